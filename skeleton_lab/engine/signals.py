"""What ends a run early: signals, and a loss that is no number."""

from __future__ import annotations

import signal
import threading
from typing import Any

from skeleton_lab.errors import LabError

REQUESTS = (signal.SIGUSR1, signal.SIGUSR2)  # of a cluster, some time before its limit
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, *REQUESTS)


class Stopped(Exception):
    """A signal came; ``last.ckpt`` has been written if a training was on."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class Diverged(LabError):
    """The loss is not a number any more."""


class Stop:
    """SIGTERM, SIGINT, SIGHUP (the terminal is gone), SIGQUIT, SIGUSR1 and SIGUSR2, while it is entered.

    While ``patient`` (during the training) the first one is a request that is looked at between batches, and only the
    second acts at once; otherwise the first does. SIGUSR1 and SIGUSR2 never hurry: a cluster sends them to every
    process of a job, and the job passes them on to the same.
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
        if self.signum and signum in REQUESTS:
            return
        if self.signum or not self.patient:
            raise Stopped(signum)
        self.signum = signum
