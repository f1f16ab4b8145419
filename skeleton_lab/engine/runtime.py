"""Where a run computes and whom it tells (``Runtime``), and the parts of a training around it (``Run``)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from skeleton_lab.engine.distributed import Team
from skeleton_lab.engine.logging import Log, Metrics, Summaries
from skeleton_lab.engine.losses import Criterion
from skeleton_lab.engine.signals import Stop
from skeleton_lab.engine.train_state import TrainState

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from skeleton_lab.engine.averaging import Average
    from skeleton_lab.engine.config.options import Options
    from skeleton_lab.engine.recipe import Recipe


@dataclass
class Runtime:
    """The process group, the log, the stop signal, and Fabric where something is trained. Nothing of it is saved.

    Attributes:
        log: takes a line and tells it, as ``logging.Log`` does.
        piece: clips per forward pass of an evaluation, once the memory was too small for a whole batch.
        quiet: no progress bars: a network is asked many times a second.
    """

    team: Team
    log: Callable[..., None]
    stop: Stop = field(default_factory=Stop)
    fabric: Fabric | None = None
    piece: int | None = None
    quiet: bool = False

    @classmethod
    def local(cls, device: str | torch.device = "cpu", log: Callable[..., None] | None = None) -> Runtime:
        """This process alone on one device, without Fabric and without signal handlers: as a notebook computes."""
        return cls(Team(0, 1, torch.device(device)), log or Log("", file=False))

    @property
    def device(self) -> torch.device:
        return self.team.device


@dataclass
class Loaders:
    """Training, the one that chooses the best epoch (``split``: ``test`` or ``val``), and the test.

    ``evaluation`` makes another loader like the test's from a feeder.
    """

    train: DataLoader | None = None
    choose: DataLoader | None = None
    test: DataLoader | None = None
    split: str = "test"
    evaluation: Callable[[Any], DataLoader] | None = None


@dataclass
class Learner:
    """What learns, and how.

    Attributes:
        net: the network itself, whose names are the published ones; ``model``: the same, as Fabric calls it.
        rate: (epoch, step) -> learning rate.
        frozen: names of the parameters that --freeze keeps; still: the modules of which nothing learns.
        average: of the weights, with --ema.
    """

    net: nn.Module
    model: Callable[..., Any]
    criterion: Criterion
    optimizer: Any = None
    rate: Callable[[int, int], float] | None = None
    frozen: list[str] = field(default_factory=list)
    still: list[nn.Module] = field(default_factory=list)
    average: Average | None = None

    @property
    def parameters(self) -> int:
        """Trainable values, those that --freeze keeps among them."""
        frozen = set(self.frozen)
        return sum(p.numel() for name, p in self.net.named_parameters() if p.requires_grad or name in frozen)


@dataclass
class Clock:
    """What took how long in this process; ``evaluated``: evaluations and their seconds."""

    begun: float = field(default_factory=time.monotonic)
    saved_at: float = field(default_factory=time.monotonic)
    evaluated: tuple[int, float] = (0, 0.0)
    batch_seconds: float = 0.0  # of the latest epoch


@dataclass
class Run:
    """One training or one test: ``options`` say what is done, ``runtime`` where, ``state`` how far it is.

    ``results``: of the best and of the last epoch (``best``, ``last``), once there are some.
    """

    options: Options
    runtime: Runtime
    learner: Learner
    loaders: Loaders
    state: TrainState | None = None
    metrics: Metrics = field(default_factory=lambda: Metrics(None))
    summaries: Summaries = field(default_factory=lambda: Summaries(None))
    clock: Clock = field(default_factory=Clock)
    results: dict[str, Any] = field(default_factory=dict)

    @property
    def recipe(self) -> Recipe:
        return self.options.recipe

    @property
    def team(self) -> Team:
        return self.runtime.team

    @property
    def log(self) -> Any:
        return self.runtime.log

    @property
    def work_dir(self) -> Path:
        return Path(self.options.work_dir)

    @property
    def tests_best(self) -> bool:
        """Whether the best epoch is measured on the test set at the end: as published, or nothing else has been yet."""
        return self.recipe.final_test or self.loaders.split == "val"

    @property
    def finished(self) -> bool:
        return self.state is not None and self.state.finished

    def seconds(self) -> float:
        """Of the whole run, earlier processes included."""
        return time.monotonic() - self.clock.begun + (self.state.seconds if self.state else 0.0)
