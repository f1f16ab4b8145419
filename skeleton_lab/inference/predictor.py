"""A room's network with its weights, and the logits of an archive by the room's own test feeder."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives import array_clips, both_splits
from skeleton_lab.data.feeders.base import Feeder
from skeleton_lab.data.feeders.nw_ucla import UCLAFeeder
from skeleton_lab.engine.config import devices
from skeleton_lab.engine.config import options as command_line
from skeleton_lab.engine.dataloader import BatchPlan, make_feeder, make_loader
from skeleton_lab.engine.distributed import Team, make_fabric
from skeleton_lab.engine.evaluate import evaluate
from skeleton_lab.engine.logging import Log
from skeleton_lab.engine.network import classes_of, make_net
from skeleton_lab.engine.phases import seed_everything
from skeleton_lab.engine.pretrained import load_weights
from skeleton_lab.engine.recipe import Recipe
from skeleton_lab.engine.runtime import Runtime
from skeleton_lab.engine.size_checks import people
from skeleton_lab.errors import UsageError
from skeleton_lab.utils.importing import import_class

BLOCK = 128  # clips written and tested at once: 23 MB in the layout of 300 frames and two persons


class Network:
    """What ``main.py --phase test`` would test, in the room's folder.

    Args:
        recipe: of the room's program; room: its folder.
        config, weights: as of ``main.py``; device: ``--device``.

    Attributes:
        joints: of the skeletons that its feeder takes; K: its classes, None if nothing tells; weights: the path.

    Raises:
        UsageError: what the program's own options raise. WeightsError: the weights do not fit.
    """

    def __init__(self, recipe: Recipe, room: Path, config: Path, weights: Path, device: str) -> None:
        argv = ["--config", str(config), "--phase", "test", "--weights", str(weights), "--work-dir", "unused"]
        options = command_line.parse(recipe, [*argv, "--num-worker", "0", "--device", *device.split()], room)
        found = devices.resolve(options)
        precision, _ = devices.precision_of(options, found.kind)
        self.notices = [found.notice] if found.notice else []
        fabric = make_fabric(found.kind, found.indices[:1], precision)
        team, log = Team.launched(fabric), Log("", screen=False, file=False)
        options.seed = options.seed or 0
        seed_everything(options, team)
        net = make_net(options)
        load_weights(
            net, weights, ignore=options.ignore_weights, rule=recipe.ignores, strict=True, complete=True,
            say=self.notices.append,
        )  # fmt: skip
        net.to(team.device)
        self.K, self.weights = classes_of(options, net), weights
        self.options, self.net, self.model = options, net, fabric.setup_module(net)
        self.runtime = Runtime(team, log, fabric=fabric)
        self.feeder_class = import_class(options.feeder, "feeder")
        if not issubclass(self.feeder_class, Feeder):
            raise UsageError(f"--config {config}: {options.feeder} is no feeder of this lab; predict.py needs one")
        self.joints = _joints(self.feeder_class, options)
        self.arguments: dict[str, Any] = {**options.test_feeder_args, "debug": False}
        told = str(options.test_feeder_args.get("data_path", ""))
        # Such arrays hold clips that their generator has turned, or the bones of these.
        self.generated = recipe.arrays_turned and self.joints == 25 and told.endswith(".npy")
        self.bones = self.generated and "bone" in Path(told).name

    @property
    def ucla(self) -> bool:
        return issubclass(self.feeder_class, UCLAFeeder)

    @property
    def window(self) -> int | None:
        """Frames of a window of the configuration; None where it takes clips as long as they are."""
        if self.ucla:
            return self.feeder_class.frames
        default = inspect.signature(self.feeder_class).parameters.get("window_size")
        told = self.arguments.get("window_size", default and default.default)
        return told if isinstance(told, int) and told > 0 else None

    @property
    def persons(self) -> int:
        """How many people the network sees at once."""
        return min(people(self.options) or 2, 1 if self.ucla else 2)

    def archive_feeder(
        self, path: Path, split: str | None, label_path: Path | None, rows: Sequence[int] | None,
        layout: str | None = None,
    ) -> Feeder:  # fmt: skip
        """The test feeder, on another archive than the configuration names: its test split unless told otherwise."""
        data, label = both_splits.located(path, split or "test", label_path)
        given: dict[str, Any] = {"data_path": str(data), "split": split or "test"}
        given["label_path"] = None if label is None else str(label)
        if self.ucla:
            given = {"root": str(path), "label_path": "train" if split == "train" else "val"}
        if layout is not None:
            given["layout"] = layout
        if self.feeder_class.__name__ == "Feeder_kinetics":
            del given["split"]
        feeder = make_feeder(self.options, self.arguments | given)
        if rows is not None:
            feeder.restrict(rows)
        feeder.repeat = 1
        return feeder

    def logits(self, feeder: Feeder, title: str = "predicting") -> np.ndarray:
        """(N, K) float32, exactly as the test phase computes them."""
        plan = BatchPlan(len(feeder), self.options.test_batch_size, shuffle=False)
        loader = make_loader(feeder, plan, workers=0, device=self.runtime.device, seed=self.options.seed)
        feeder.label = np.zeros_like(feeder.label)  # nobody asks for the loss; foreign labels could be out of range
        return evaluate(self.model, loader, runtime=self.runtime, topk=1, title=title).logits.numpy()

    def clips_logits(self, clips: Iterator[np.ndarray], total: int, title: str = "predicting") -> np.ndarray:
        """(R, K) logits of clips (T, M, V, 3) float32 that are not in an archive; they pass through small ones."""
        if self.arguments.get("normalization"):
            raise UsageError(
                "--config: the test feeder has normalization=True, the mean of its archive, which own recordings lack"
            )
        made = []
        for first in range(0, total, BLOCK):
            block = [next(clips) for _ in range(min(BLOCK, total - first))]
            with tempfile.TemporaryDirectory(prefix="skeleton-lab-predict-") as folder:
                made.append(self.logits(self._written(block, Path(folder)), f"{title} {first}/{total}"))
        return np.concatenate(made)

    def _written(self, block: list[np.ndarray], folder: Path) -> Feeder:
        if self.ucla:
            array_clips.ucla_folder(folder, block)
            given: dict[str, Any] = {"root": str(folder), "label_path": "val"}
        else:
            path = folder / "clips.npz"
            array_clips.kaggle_file(path, block, self.K, self.generated, self.bones)
            given = {"data_path": str(path), "label_path": None, "split": "test"}
            if not str(self.arguments.get("layout") or "scrambled").startswith("scrambled"):
                given["layout"] = None  # it speaks of the configured archive; a scrambling is of the network
        return make_feeder(self.options, self.arguments | given)


def _joints(feeder_class: type, options: Any) -> int:
    """V of the clips that the feeder reads."""
    if issubclass(feeder_class, UCLAFeeder):
        return 20
    if (
        feeder_class.__name__ == "Feeder_kinetics"
        or options.model_args.get("graph_args", {}).get("layout") == "openpose"
    ):
        return 18
    told = getattr(feeder_class, "joints", None) or options.model_args.get("num_point")
    return told if told in (17, 18) else 25
