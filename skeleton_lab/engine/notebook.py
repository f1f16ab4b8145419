"""Training as a function call: ``fit("ctrgcn", train, test, work_dir="work_dir/mine", num_epoch=65)``."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any

from torch import nn
from torch.utils.data import Dataset

from skeleton_lab import registry
from skeleton_lab.engine.config import options as settings
from skeleton_lab.engine.phases import launch
from skeleton_lab.engine.signals import Stopped
from skeleton_lab.errors import UsageError


@dataclass
class FitResult:
    """What a training came to.

    Attributes:
        work_dir: everything that was written: weights, scores, log.txt, metrics.jsonl, report.html.
        best: of the epoch with the highest accuracy: ``epoch``, ``step``, ``loss``, ``top1`` ... (fractions); None
            without test data. last: the same of the last epoch.
        net: the network with the last epoch's weights, on the device.
    """

    work_dir: Path
    best: dict[str, Any] | None
    last: dict[str, Any] | None
    net: nn.Module = field(repr=False)

    @property
    def top1(self) -> float | None:
        """Of the best epoch, a fraction; None without test data, or with another ``show_topk``."""
        return None if self.best is None else self.best.get("top1")


def fit(
    name: str,
    train: Dataset,
    test: Dataset | None = None,
    *,
    work_dir: str | Path,
    config: str | Path | None = None,
    device: str | int = 0,
    **options: Any,
) -> FitResult:
    """Train a room's network by its published recipe, as its ``main.py`` does, in this process.

    Args:
        name: of the room, by folder or paper (``ctrgcn``).
        train, test: data sets (feeders) of (data, label, index); without ``test`` nothing is evaluated.
        work_dir: folder for everything the run writes; an earlier run in it moves to ``previous/<n>/``.
        config: YAML file; by default the room's own, of which ``data_path`` and the like are not looked at.
        device: ``cpu``, a GPU's number, ``cuda:1``; one device. Without any GPU everything runs on the CPU.
        options: any flag of ``main.py`` by its name: ``num_epoch=65``, ``batch_size=16``, ``fused=False``,
            ``model_args={"num_class": 10}`` (merged into the configuration's), ``num_worker=0``, ``resume=True``.

    Raises:
        UsageError: an unknown option, a value that does not fit, data that the network cannot take.
        Diverged: the loss is not a number any more. KeyboardInterrupt: interrupted; last.ckpt is written, and
            ``resume=True`` goes on from there. Stopped: by another signal, likewise.
    """
    with registry.room(name) as room:
        if room.config is None:
            raise UsageError(f"fit: {room.folder} trains on features, not on clips; see its README")
        where = str(config if config is not None else room.path / room.config)
        given = {**options, "work_dir": str(work_dir), "config": where, "device": device}
        chosen = settings.from_values(room.recipe, given, room.path)
        if chosen.phase != "train":
            raise UsageError(f"fit trains; for phase='{chosen.phase}' there is evaluate()")
        if isinstance(chosen.device, list) and len(chosen.device) > 1:
            raise UsageError("fit runs in this process, on one device; main.py --device 0 1 takes several")
        for what, data in (("train", train), ("test", test)):
            missing = data is None and what == "test"
            if not missing and (isinstance(data, (str, Path)) or not hasattr(data, "__getitem__")):
                shown = repr(data) if isinstance(data, (str, Path, NoneType)) else type(data).__name__
                raise UsageError(f"fit: {what}={shown} is no data set; create_dataset makes one of an archive")
        try:
            run = launch(chosen, (train, test))
        except Stopped as stopped:
            if stopped.signum == signal.SIGINT:
                raise KeyboardInterrupt from stopped
            raise
        return FitResult(run.work_dir, run.results["best"], run.results["last"], run.learner.net)
