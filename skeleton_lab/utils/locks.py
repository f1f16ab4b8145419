"""Locks of the system on files: one process at a time does a piece of work, and no crash leaves it shut."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from skeleton_lab.errors import LabError, printable

LOOKS = 3  # at a lock that is taken, before it is refused

_held: set[int] = set()  # descriptors


@contextlib.contextmanager
def locked(file: Path, refusal: Callable[[str], LabError]) -> Iterator[None]:
    """Hold the lock of ``file``, which is made for it and removed again; a link in its place is not followed.

    Where locks or the file cannot be had (read-only folders, some network file systems) it goes on without.

    Args:
        refusal: makes the error from who has the lock: `` (process 17 on host)``, or nothing.

    Raises:
        LabError: of ``refusal``, if another process has it.
    """
    descriptor = _lock(file, refusal)
    if descriptor is None:
        yield
        return
    _held.add(descriptor)
    try:
        yield
    finally:
        _held.discard(descriptor)
        with contextlib.suppress(OSError):
            file.unlink()
        os.close(descriptor)


def held(file: Path) -> bool:
    """Whether another process holds the lock of ``file`` now, which stays as it is."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        os.close(descriptor)


def _lock(file: Path, refusal: Callable[[str], LabError]) -> int | None:
    looks = LOOKS
    while True:
        try:
            descriptor = _opened(file)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine, there = os.fstat(descriptor), file.lstat()
        except BlockingIOError:
            who = printable(os.read(descriptor, 100).decode(errors="replace")).replace("\n", " ")
            os.close(descriptor)
            looks -= 1
            if looks:  # somebody may just be looking: ``held``
                time.sleep(0.02)
                continue
            raise refusal(f" ({who})" if who else "") from None
        except FileNotFoundError:  # whoever had it has just removed it
            os.close(descriptor)
            continue
        except OSError:
            os.close(descriptor)
            return None
        if os.path.samestat(mine, there):
            break
        os.close(descriptor)
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {platform.node()}".encode(), 0)
    return descriptor


def _opened(file: Path) -> int:
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except PermissionError:  # left by another user's run that was killed: to lock it, reading is enough
        return os.open(file, os.O_RDONLY | os.O_NOFOLLOW)


def _let_go() -> None:
    """In a forked process, such as a loader's: it must not keep the lock when this one is killed."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)
