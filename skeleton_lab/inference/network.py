"""A room's network with its weights, and the logits of clips by the room's own test feeder."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from skeleton_lab.data.archives import both_splits
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.feeders.base import Feeder
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
from skeleton_lab.inference import calibrated
from skeleton_lab.inference.feeding import Fed, without_unknown
from skeleton_lab.skeletons import layouts
from skeleton_lab.skeletons.layouts import Layout
from skeleton_lab.utils.devices import Devices
from skeleton_lab.utils.importing import import_class

SOME = 256  # clips whose lengths tell the usual one
FRAMES = 300  # of the published arrays; whole-clip networks see their padding


class Network(Fed):
    """What ``main.py --phase test`` would test, in the room's folder.

    Args:
        recipe: of the room's program; room: its folder.
        config, weights: as of ``main.py``; device: ``--device``; other: a class in place of the configuration's.

    Attributes:
        options: of the configuration; net: the network; model: what is called, the network or a form of it.
        weights, config: the paths; the others are ``Fed``'s.

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
        self.config = config
        self.name = options.model
        self.model: Any = self._in_precision(found)
        self.calibration = calibrated.beside(weights, self.notices.append)
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
    def persons(self) -> int:
        """How many people the network sees at once."""
        stored = self.trained_on.M if self.skeleton is not None and self.trained_on is not None else 2
        return min(people(self.options) or stored, 1 if self.ucla else 2)

    @property
    def padded(self) -> int:
        """Frames that clips in memory are filled up to, as those of its archives are."""
        return FRAMES if self.trained_on is None else self.trained_on.T

    def _feeder(self, given: dict[str, Any]) -> Feeder:
        feeder = make_feeder(self.options, self.arguments | without_unknown(self.feeder_class, given))
        assert isinstance(feeder, Feeder)
        return feeder

    def logits(self, feeder: Feeder, title: str = "predicting") -> np.ndarray:
        """(N, K) float32, exactly as the test phase computes them."""
        plan = BatchPlan(len(feeder), self.options.test_batch_size, shuffle=False)
        loader = make_loader(feeder, plan, workers=0, device=self.runtime.device, seed=self.options.seed)
        return evaluate(self.model, loader, runtime=self.runtime, title=title).logits.numpy()

    def every_frame(self, clip: np.ndarray, describe: Callable[[Clips], Clips] = lambda clips: clips) -> Tensor:
        """A clip (T, M, V, C) float32 as the network takes it, on its device: each of its T frames, and no other.

        Raises:
            UsageError: the test feeder makes other frames of them.
        """
        told = inspect.signature(self.feeder_class).parameters
        wanted = {"window_size": len(clip), "p_interval": 1.0, "num_clips": 1}
        feeder = self._fed(
            describe(self.as_stored([clip], len(clip))), self._scrambling,
            **{name: value for name, value in wanted.items() if name in told},
        )  # fmt: skip
        x = feeder.__getitems__([0])[0]
        if x.dim() != 5 or x.shape[2] != len(clip):
            raise UsageError(f"--config: {self.options.feeder} makes {tuple(x.shape)} of {len(clip)} frames")
        return x.to(self.runtime.device)


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
