"""``Predictor``: a trained network that is asked about recordings of one's own, as ``predict.py`` does it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab import registry
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.errors import UsageError, nearest
from skeleton_lab.inference import predictions
from skeleton_lab.inference.network import Network
from skeleton_lab.inference.predict import predict
from skeleton_lab.inference.wishes import Wishes
from skeleton_lab.skeletons.schemes import SCHEMES
from skeleton_lab.utils.reliability import probabilities


@dataclass(frozen=True)
class Prediction:
    """What the network says to one window of a recording.

    Attributes:
        clip: name of the recording; first, last: its frames, both included, from 0.
        who: "all", or "person 1", "person 2": as if nobody else were there.
        logits: (K,) float32; classes: K names; label: the class of the recording, where it is known.
        temperature: by which they are divided for ``probabilities``: of a calibrated network, else 1.
        known: whether it looks like a class of the training; None where the network is not calibrated.
    """

    clip: str
    first: int
    last: int
    who: str
    logits: np.ndarray = field(repr=False)
    classes: Sequence[str] = field(repr=False)
    label: int | None = None
    temperature: float = 1.0
    known: bool | None = None

    @property
    def probabilities(self) -> np.ndarray:
        """(K,) float64."""
        return probabilities(self.logits, self.temperature)

    @property
    def top(self) -> list[tuple[str, float]]:
        """The five most probable classes with their probabilities, best first."""
        return [(each["name"], each["probability"]) for each in predictions.top(self.probabilities, self.classes)]

    @property
    def best(self) -> str:
        """Name of the most probable class."""
        return self.top[0][0]

    def __str__(self) -> str:
        shown = ", ".join(f"{name} {100 * p:.1f} %" for name, p in self.top)
        return f"{self.clip}, frames {self.first}-{self.last}, {self.who}: {shown}"


class Predictor:
    """A trained network; called with a recording it returns a ``Prediction`` per window and person, in order.

    Args:
        name: one of ``list_models()``; weights: file of its training.
        config: YAML file of the training; by default the published configuration of that name.
        device: "cpu", 0, "cuda:0"; where there is no GPU it is the CPU.
        classes: K names of classes; by default the published ones.

    Raises:
        UsageError: an unknown name, a configuration that cannot work, another number of names than classes.
        WeightsError: the weights are missing, damaged, or those of another network.
    """

    def __init__(
        self,
        name: str,
        weights: str | Path,
        *,
        config: str | Path | None = None,
        device: str | int = "cpu",
        classes: Sequence[str] | None = None,
    ) -> None:
        this = registry.supervised(name, "Predictor")
        with registry.room(this.room) as room:
            self._config = this.path if config is None else Path(config)
            other = this.network if config is None else None
            self._network = Network(room.recipe, room.path, self._config, Path(weights), str(device), other)
        for notice in self._network.notices:
            print(notice, file=sys.stderr)
        count = self._network.K
        if classes is not None and count is not None and len(classes) != count:
            raise UsageError(f"classes: {len(classes)} names; the network has {count} classes")
        self._room, self._classes = this.room, None if classes is None else list(classes)
        self._told = f"Predictor({this.name!r}, {str(weights)!r})"

    def __repr__(self) -> str:
        return self._told

    def __call__(self, given: str | Path | np.ndarray | Sequence | Clips, **wishes: Any) -> list[Prediction]:
        """What the network says.

        Args:
            given: a file or folder that ``predict.py --input`` takes; an array, a tensor or lists of key points
                (T, V, C), (T, M, V, C) or (N, T, M, V, C): frames, joints, persons, clips; clips as an array
                (N, C, T, V, M), or of ``open_archive``.
            wishes: flags of ``predict.py``, as ``keypoints="coco17"``, ``window=64``; see ``inference.wishes.Wishes``.

        Raises:
            ArchiveError, ArchiveNotFoundError: the input is missing, damaged, or shows nobody.
            UsageError: a wish that cannot be met, joints that the network's do not go together with.
        """
        known = [each.name for each in fields(Wishes)]
        for word in wishes:
            if word not in known:
                raise UsageError(f"Predictor: unknown '{word}'.{nearest(word, known)} Known are {', '.join(known)}")
        if wishes.get("keypoints") not in (None, *SCHEMES):
            word = str(wishes["keypoints"])
            raise UsageError(f"keypoints '{word}': choose from {', '.join(SCHEMES)}.{nearest(word, SCHEMES)}")
        if wishes.get("label_path") is not None:
            wishes["label_path"] = Path(wishes["label_path"])
        if isinstance(wishes.get("index"), Integral):
            wishes["index"] = [wishes["index"]]
        data = _recordings(given)
        with registry.room(self._room):
            answer = predict(self._network, data, Wishes(**wishes), str(self._config))
        count = len(answer.rows[0].logits)
        recordings, labels = answer.recordings, answer.recordings.labels
        told = self._network.class_names or recordings.class_names
        names = self._classes or predictions.class_names(count, self._network.ucla, None, told)
        return [
            Prediction(
                recordings.names[row.recording], row.first, row.last - 1, row.who, row.logits, names,
                None if labels is None else labels[row.recording], row.temperature, row.known,
            )
            for row in answer.rows
        ]  # fmt: skip


def _recordings(given: Any) -> Path | np.ndarray | Clips:
    """What ``predict`` takes; UsageError for something else."""
    if isinstance(given, (str, os.PathLike)):
        return Path(given)
    if isinstance(given, Clips):
        return given
    try:
        array = np.asarray(given)
    except (TypeError, ValueError):  # lists of several lengths, a tensor on a GPU
        array = np.asarray(None)
    if array.dtype.kind not in "fiu":
        raise UsageError(
            f"Predictor: {type(given).__name__} is neither a path nor an array of numbers (frames, joints, "
            "coordinates) nor the clips of open_archive"
        )
    return array
