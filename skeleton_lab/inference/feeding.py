"""How clips of any origin reach a network, whatever computes it: by the room's own test feeder. Needs no PyTorch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives import both_splits
from skeleton_lab.data.archives.array_clips import ArrayClips
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.writers.layouts import turned
from skeleton_lab.data.feeders.base import Feeder
from skeleton_lab.data.feeders.nw_ucla import UCLAFeeder
from skeleton_lab.errors import UsageError
from skeleton_lab.inference.calibrated import Calibration
from skeleton_lab.inference.wishes import WINDOW
from skeleton_lab.skeletons.bones import NTU, bone
from skeleton_lab.skeletons.layouts import Layout

BLOCK = 128  # clips in memory at once: 23 MB of 300 frames and two persons


class Fed:
    """What ``predict`` asks of a network. Who computes it adds ``logits``, the feeder, and what it knows of its clips.

    Attributes:
        name: dotted name of the network; K: its classes, None if nothing tells.
        feeder_class: makes its input of clips; arguments: of the test feeder.
        joints: of the skeletons that the feeder takes; channels: of a joint that the network reads.
        skeleton: that it was made for, where that is another than the published archives'; None else.
        calibration: of its probabilities, where that was measured.
        generated: its archives hold clips turned by MS-G3D's generator; bones: bones of those.
    """

    name: str
    K: int | None
    feeder_class: type[Feeder]
    arguments: dict[str, Any]
    joints: int
    channels: int
    skeleton: Layout | None
    calibration: Calibration | None = None
    generated: bool
    bones: bool

    @property
    def scored(self) -> bool:
        """Whether the last channel of a network for ``skeleton`` is a score."""
        raise NotImplementedError

    @property
    def persons(self) -> int:
        """How many people the network sees at once."""
        raise NotImplementedError

    @property
    def padded(self) -> int:
        """Frames that clips in memory are filled up to, as those of its archives are."""
        raise NotImplementedError

    @property
    def usual_length(self) -> int | None:
        """Recorded frames of the median clip that it was tested on; None where nothing tells."""
        raise NotImplementedError

    @property
    def class_names(self) -> Sequence[str] | None:
        """K names where they are told by what it was trained on."""
        raise NotImplementedError

    def logits(self, feeder: Feeder, title: str = "predicting") -> np.ndarray:
        """(N, K) float32 of every clip of a feeder, in order."""
        raise NotImplementedError

    def _feeder(self, given: dict[str, Any]) -> Feeder:
        """The test feeder with ``given`` instead of what its arguments say about the clips."""
        raise NotImplementedError

    @property
    def ucla(self) -> bool:
        return issubclass(self.feeder_class, UCLAFeeder)

    @property
    def window(self) -> int | None:
        """Frames of a window of the configuration; None where it takes clips as long as they are."""
        if self.ucla:
            return self.feeder_class.frames  # type: ignore[attr-defined]
        default = inspect.signature(self.feeder_class).parameters.get("window_size")
        size = self.arguments.get("window_size", default and default.default)
        return size if isinstance(size, int) and size > 0 else None

    @property
    def window_of_recordings(self) -> int:
        """Frames of the windows that recordings are cut into, where the user does not say."""
        usual = None if self.skeleton is None else self.usual_length
        return usual or self.window or WINDOW

    def archive_feeder(
        self, data: Path | Clips, split: str | None, label_path: Path | None, rows: Sequence[int] | None,
        layout: str | None = None,
    ) -> Feeder:  # fmt: skip
        """The test feeder, on another archive than the configuration names: its test split unless told otherwise."""
        if isinstance(data, Clips):
            feeder = self._fed(data, layout)
        else:
            path, label = both_splits.located(data, split or "test", label_path)
            given: dict[str, Any] = {"data_path": str(path), "split": split or "test"}
            given["label_path"] = None if label is None else str(label)
            if self.ucla:
                given = {"root": str(data), "label_path": "train" if split == "train" else "val"}
            if layout is not None:
                given["layout"] = layout
            feeder = self._feeder(given)
        if rows is not None:
            feeder.restrict(rows)
        feeder.repeat = 1
        return feeder

    def _fed(self, clips: Clips, layout: str | None = None, **more: Any) -> Feeder:
        """The test feeder on clips that are open already."""
        given: dict[str, Any] = {"data_path": clips, "label_path": "val", "split": "test", "layout": layout}
        if self.ucla:
            given = {"root": clips, "label_path": "val"}
        return self._feeder(given | more)

    def clips_logits(
        self, clips: Iterator[np.ndarray], total: int, title: str = "predicting",
        describe: Callable[[Clips], Clips] = lambda clips: clips,
    ) -> np.ndarray:  # fmt: skip
        """(R, K) logits of clips (T, M, V, C) float32 that are in no archive, a block at a time.

        Args:
            describe: says on clips what an archive of them would say.
        """
        made = []
        for first in range(0, total, BLOCK):
            block = [next(clips) for _ in range(min(BLOCK, total - first))]
            lengths = np.array([max(self.padded, len(clip)) for clip in block])
            answers: dict[int, np.ndarray] = {}
            for length in np.unique(lengths):  # a longer clip is no reason to fill the others up to it
                rows = np.flatnonzero(lengths == length).tolist()
                feeder = self.fed([block[row] for row in rows], describe)
                answers |= zip(rows, self.logits(feeder, f"{title} {first}/{total}"))
            made += [answers[row] for row in range(len(block))]
        return np.stack(made)

    def fed(self, block: list[np.ndarray], describe: Callable[[Clips], Clips] = lambda clips: clips) -> Feeder:
        """The test feeder on clips (T, M, V, C) float32 that are in no archive; ``describe`` as of ``clips_logits``.

        Raises:
            UsageError: it subtracts the mean of an archive.
        """
        if self.arguments.get("normalization"):
            raise UsageError(
                "--config: the test feeder has normalization=True, the mean of its archive, which own recordings lack"
            )
        return self._fed(describe(self.as_stored(block)), self._scrambling)

    @property
    def _scrambling(self) -> str | None:
        """A layout of the configuration speaks of its archive, except a scrambling, which belongs to the weights."""
        layout = str(self.arguments.get("layout") or "")
        return layout if layout.startswith("scrambled") else None

    def as_stored(self, block: list[np.ndarray], length: int | None = None) -> ArrayClips:
        """Clips (T, M, V, 3) as the network's archives hold them: padded, or made by its room's own generator.

        ``length``: frames, in place of the archives'.
        """
        if self.ucla:
            return ArrayClips([clip[:, :1].transpose(3, 0, 2, 1) for clip in block])
        length = length or max(self.padded, *(len(clip) for clip in block))
        if self.generated:
            block = [_generated(clip, length, self.bones) for clip in block]
        clips = [clip.transpose(3, 0, 2, 1) for clip in block]
        return ArrayClips(clips, num_class=self.K, length=length, persons=2 if self.skeleton is None else self.persons)


def without_unknown(feeder_class: type[Feeder], given: dict[str, Any]) -> dict[str, Any]:
    """What is told about clips, without what a feeder whose archive is one split does not ask."""
    if "split" in inspect.signature(feeder_class).parameters:
        return given
    return {key: value for key, value in given.items() if key not in ("split", "layout")}


def _generated(clip: np.ndarray, length: int, bones: bool) -> np.ndarray:
    """A clip turned and repeated as MS-G3D's generator does it, (length, 2, 25, 3); on request the bones of that."""
    x = np.zeros((length, 2, *clip.shape[2:]), np.float32)
    x[: len(clip), : clip.shape[1]] = clip
    x = turned(x)
    return bone(x[None].swapaxes(2, 4), NTU).swapaxes(2, 4)[0] if bones else x
