"""What the parts of a run share: one object instead of fifteen arguments."""

from __future__ import annotations

import signal
import threading
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.utils.data import DataLoader

from skeleton_lab.engine.distributed import Team
from skeleton_lab.engine.logging import Log, Metrics, Summaries
from skeleton_lab.engine.losses import Criterion
from skeleton_lab.engine.recipe import Style
from skeleton_lab.engine.train_state import State
from skeleton_lab.errors import LabError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Stopped(Exception):
    """A signal came; ``last.ckpt`` has been written if a training was on."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class Diverged(LabError):
    """The loss is not a number any more."""


SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


class Stop:
    """SIGTERM, SIGINT, SIGHUP (the terminal is gone) and SIGQUIT.

    While ``patient`` (during the training) the first one is a request that is looked at between batches, and only the
    second acts at once; otherwise the first does.
    """

    def __init__(self) -> None:
        self.signum = 0
        self.patient = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for signum in SIGNALS:
                if signum != signal.SIGINT and signal.getsignal(signum) == signal.SIG_IGN:
                    continue  # as under nohup, which wants the run to outlive its terminal
                self._before[signum] = signal.signal(signum, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _request(self, signum: int, _: object) -> None:
        if self.signum or not self.patient:
            raise Stopped(signum)
        self.signum = signum


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
class Job:
    """One call of a program.

    Attributes:
        net: the network itself, whose names are the published ones; ``model``: the same, as Fabric calls it.
        test_piece: clips per forward pass of an evaluation, halved when memory is too small.
        finished: resuming found a run that is complete.
        digest: what a resumed run must share with this one (``state.digest``); data: the same of what it learns from;
            circumstances: what may change, and is said.
        finite_every: batches between looks at the losses; 1 where looking costs nothing.
    """

    options: Namespace
    style: Style
    work_dir: Path
    fabric: Fabric
    team: Team
    log: Log
    stop: Stop
    net: nn.Module
    model: Callable[..., Any]
    criterion: Criterion
    loaders: Loaders
    parameters: int
    metrics: Metrics
    summaries: Summaries
    test_piece: int
    state: State | None = None
    optimizer: Any = None
    rate: Callable[[int, int], float] | None = None
    finished: bool = False
    digest: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    circumstances: dict[str, Any] = field(default_factory=dict)
    evaluated: tuple[int, float] = (0, 0.0)  # evaluations of this process, and the seconds they took
    batch_seconds: float = 0.0  # of the latest epoch
    begun: float = field(default_factory=time.monotonic)
    saved_at: float = field(default_factory=time.monotonic)

    @property
    def finite_every(self) -> int:
        return 50 if self.team.device.type == "cuda" else 1

    def seconds(self) -> float:
        """Of the whole run, earlier processes included."""
        return time.monotonic() - self.begun + (self.state.seconds if self.state else 0.0)
