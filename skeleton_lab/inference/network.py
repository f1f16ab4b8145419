"""A room's network with its weights, and the logits of clips by the room's own test feeder."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives import both_splits
from skeleton_lab.data.archives.array_clips import ArrayClips
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.writers.layouts import turned
from skeleton_lab.data.feeders.base import Feeder
from skeleton_lab.data.feeders.nw_ucla import UCLAFeeder
from skeleton_lab.engine.config import devices
from skeleton_lab.engine.config import options as configured
from skeleton_lab.engine.dataloader import BatchPlan, make_feeder, make_loader
from skeleton_lab.engine.evaluate import evaluate
from skeleton_lab.engine.network import classes_of, make_net
from skeleton_lab.engine.pretrained import load_weights
from skeleton_lab.engine.recipe import Recipe
from skeleton_lab.engine.runtime import Runtime
from skeleton_lab.engine.size_checks import CHANNELS, people, told
from skeleton_lab.errors import LabError, UsageError
from skeleton_lab.skeletons import layouts
from skeleton_lab.skeletons.bones import NTU, bone
from skeleton_lab.skeletons.layouts import Layout
from skeleton_lab.utils.devices import Devices
from skeleton_lab.utils.importing import import_class

BLOCK = 128  # clips in memory at once: 23 MB of 300 frames and two persons
SOME = 256  # clips whose lengths tell the usual one
FRAMES = 300  # of the published arrays; whole-clip networks see their padding


class Network:
    """What ``main.py --phase test`` would test, in the room's folder.

    Args:
        recipe: of the room's program; room: its folder.
        config, weights: as of ``main.py``; device: ``--device``; other: a class in place of the configuration's.

    Attributes:
        options: of the configuration; net: the network; model: what is called, the network or a form of it.
        joints: of the skeletons that its feeder takes; K: its classes, None if nothing tells; weights: the path.
        skeleton: that it was made for, where its configuration names another than the published archives'; None else.
        channels: of a joint that it reads; scored: the last of them is a score.
        arguments: of the test feeder.

    Raises:
        UsageError: what the configuration's options raise. WeightsError: the weights do not fit.
    """

    def __init__(
        self, recipe: Recipe, room: Path, config: Path, weights: Path, device: str, other: str | None = None
    ) -> None:
        asked = {"config": str(config), "weights": str(weights), "phase": "test", "device": device.split()}
        asked |= {"model": other} if other else {}
        options = configured.from_values(recipe, asked, room)
        options.seed = options.seed or 0
        found = devices.resolve(options)
        self.notices = [found.notice] if found.notice else []
        net = make_net(options)
        load_weights(
            net, weights, ignore=options.ignore_weights, rule=recipe.ignores, strict=True, complete=True,
            say=self.notices.append,
        )  # fmt: skip
        place = f"cuda:{found.indices[0]}" if found.indices else "cpu"
        self.runtime = Runtime.local(place, lambda line, **_: print(line, file=sys.stderr))
        self.options, self.net, self.weights = options, net.to(self.runtime.device), weights
        self.model: Any = self._in_precision(found)
        self.K = classes_of(options, net)
        self.feeder_class = import_class(options.feeder, "feeder")
        if not issubclass(self.feeder_class, Feeder):
            raise UsageError(f"--config {config}: {options.feeder} is no feeder of this lab; predict.py needs one")
        self.skeleton = _skeleton(self.feeder_class, options)
        self.joints = self.skeleton.V if self.skeleton else _joints(self.feeder_class, options)
        self.channels = told(CHANNELS, options.model_args, type(net)) or 3
        self.arguments: dict[str, Any] = {**options.test_feeder_args, "debug": False}
        path = str(options.test_feeder_args.get("data_path", ""))
        self.generated = recipe.arrays_turned and self.joints == 25 and path.endswith(".npy")
        self.bones = self.generated and "bone" in Path(path).name

    def _in_precision(self, found: Devices) -> Any:
        """The network, or for another arithmetic than float32 the form of it that Fabric makes, as in a test phase."""
        precision, _ = devices.precision_of(self.options, found.kind)
        if precision == "32-true":
            return self.net
        from skeleton_lab.engine.distributed import make_fabric

        return make_fabric(found.kind, found.indices[:1], precision).setup_module(self.net)

    @cached_property
    def trained_on(self) -> Clips | None:
        """The clips that its configuration tests on, where they are here: they tell the classes' names and lengths."""
        path = self.arguments.get("data_path")
        plain = Path(str(path)).suffix in (".npz", ".h5", ".hdf5")  # opened in no time; a pickle is unpacked first
        if self.ucla or path is None or not (plain or self.skeleton):
            return None
        for place in (Path(path), self.options.room_dir / path):
            with contextlib.suppress(LabError, OSError):
                return next(iter(both_splits.open_source(place, split="test").values()))
        return None

    @cached_property
    def usual_length(self) -> int | None:
        """Recorded frames of the median clip of ``trained_on``, by some of them; None where that is not here.

        Feeders stretch a whole clip over the network's frames; a window of recordings shows as much of an action.
        """
        clips = self.trained_on
        if clips is None or not len(clips):
            return None
        some = np.unique(np.linspace(0, len(clips) - 1, min(len(clips), SOME)).round().astype(int))
        return max(1, int(np.median(clips.lengths(some)[1])))

    @property
    def class_names(self) -> Sequence[str] | None:
        """Of the archive that it was trained on, where that is here and tells them."""
        names = None if self.trained_on is None else self.trained_on.class_names
        return names if names is not None and len(names) == self.K else None

    @property
    def scored(self) -> bool:
        """Whether the last channel of a network for ``skeleton`` is a score."""
        if self.trained_on is not None and self.channels == self.trained_on.C:
            return self.trained_on.scored
        return self.skeleton is not None and self.channels - self.skeleton.dimensions == 1

    @property
    def ucla(self) -> bool:
        return issubclass(self.feeder_class, UCLAFeeder)

    @property
    def window(self) -> int | None:
        """Frames of a window of the configuration; None where it takes clips as long as they are."""
        if self.ucla:
            return self.feeder_class.frames
        default = inspect.signature(self.feeder_class).parameters.get("window_size")
        size = self.arguments.get("window_size", default and default.default)
        return size if isinstance(size, int) and size > 0 else None

    @property
    def persons(self) -> int:
        """How many people the network sees at once."""
        stored = self.trained_on.M if self.skeleton is not None and self.trained_on is not None else 2
        return min(people(self.options) or stored, 1 if self.ucla else 2)

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

    def _fed(self, clips: Clips, layout: str | None = None) -> Feeder:
        """The test feeder on clips that are open already."""
        given: dict[str, Any] = {"data_path": clips, "label_path": "val", "split": "test", "layout": layout}
        if self.ucla:
            given = {"root": clips, "label_path": "val"}
        return self._feeder(given)

    def _feeder(self, given: dict[str, Any]) -> Feeder:
        if "split" not in inspect.signature(self.feeder_class).parameters:  # the archive is one
            given = {key: value for key, value in given.items() if key not in ("split", "layout")}
        feeder = make_feeder(self.options, self.arguments | given)
        assert isinstance(feeder, Feeder)
        return feeder

    def logits(self, feeder: Feeder, title: str = "predicting") -> np.ndarray:
        """(N, K) float32, exactly as the test phase computes them."""
        plan = BatchPlan(len(feeder), self.options.test_batch_size, shuffle=False)
        loader = make_loader(feeder, plan, workers=0, device=self.runtime.device, seed=self.options.seed)
        return evaluate(self.model, loader, runtime=self.runtime, title=title).logits.numpy()

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
            made.append(self.logits(self.fed(block, describe), f"{title} {first}/{total}"))
        return np.concatenate(made)

    def fed(self, block: list[np.ndarray], describe: Callable[[Clips], Clips] = lambda clips: clips) -> Feeder:
        """The test feeder on clips (T, M, V, C) float32 that are in no archive; ``describe`` as of ``clips_logits``.

        Raises:
            UsageError: it subtracts the mean of an archive.
        """
        if self.arguments.get("normalization"):
            raise UsageError(
                "--config: the test feeder has normalization=True, the mean of its archive, which own recordings lack"
            )
        return self._fed(describe(self._as_stored(block)), self._scrambling)

    @property
    def _scrambling(self) -> str | None:
        """A layout of the configuration speaks of its archive, except a scrambling, which belongs to the weights."""
        layout = str(self.arguments.get("layout") or "")
        return layout if layout.startswith("scrambled") else None

    def _as_stored(self, block: list[np.ndarray]) -> ArrayClips:
        """Clips (T, M, V, 3) as the network's archives hold them: padded, or made by its room's own generator."""
        if self.ucla:
            return ArrayClips([clip[:, :1].transpose(3, 0, 2, 1) for clip in block])
        padded = FRAMES if self.skeleton is None or self.trained_on is None else self.trained_on.T
        length = max(padded, *(len(clip) for clip in block))
        if self.generated:
            block = [_generated(clip, length, self.bones) for clip in block]
        clips = [clip.transpose(3, 0, 2, 1) for clip in block]
        return ArrayClips(clips, num_class=self.K, length=length, persons=2 if self.skeleton is None else self.persons)


def _generated(clip: np.ndarray, length: int, bones: bool) -> np.ndarray:
    """A clip turned and repeated as MS-G3D's generator does it, (length, 2, 25, 3); on request the bones of that."""
    x = np.zeros((length, 2, *clip.shape[2:]), np.float32)
    x[: len(clip), : clip.shape[1]] = clip
    x = turned(x)
    return bone(x[None].swapaxes(2, 4), NTU).swapaxes(2, 4)[0] if bones else x


def _skeleton(feeder_class: type[Feeder], options: Any) -> Layout | None:
    """Of a network that was made for another skeleton than those of published archives, or reads it another way."""
    if options.skeleton is None:
        return None
    found = layouts.layout(options.skeleton)
    channels = told(CHANNELS, options.model_args, import_class(options.model, "model"))
    return None if found.name == feeder_class.usual and channels in (None, 3) else found


def _joints(feeder_class: type[Feeder], options: Any) -> int:
    """V of the clips that the feeder reads."""
    if feeder_class.joints is None and options.model_args.get("graph_args", {}).get("layout") == "openpose":
        return 18
    told = feeder_class.joints or options.model_args.get("num_point")
    return told if told in (17, 18, 20) else 25
