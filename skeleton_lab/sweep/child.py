"""A run as a process of its own: the room's command, ended by one signal, never left behind by a parent that dies."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

SET_PDEATHSIG = 1  # prctl(2): the signal that a process gets when its parent is gone
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def command(words: Sequence[str]) -> list[str]:
    """``skeleton-lab WORDS``, whatever is on the path."""
    return [sys.executable, "-m", "skeleton_lab", *words]


class Child:
    """A program that writes to a log. It hears no signal of the terminal: who started it passes one on, once.

    On Linux it gets SIGUSR1 when its parent dies, also by ``kill -9``: a training saves then, and ends; one that is
    saving already is not hurried by it. The parent is the thread that started it, which has to live as long.
    """

    def __init__(self, argv: Sequence[str], log: Path, more: Mapping[str, str]) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        parent = os.getpid()

        def prepare() -> None:
            if _libc is not None:
                _libc.prctl(SET_PDEATHSIG, signal.SIGUSR1)
                if os.getppid() != parent:  # it died in between
                    os._exit(128 + signal.SIGUSR1)

        with open(log, "ab") as file:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                env={**os.environ, **more}, start_new_session=True, preexec_fn=prepare,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code, -n after signal n; None while it runs."""
        return self._process.poll()

    def wait(self) -> int:
        return self._process.wait()

    def settle(self) -> None:
        """Wait until it has ended, in a handler of a signal that may have come during ``wait``, whose lock is shut."""
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    def tell(self, signum: int) -> None:
        """Send it a signal, if it is there."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signum)
