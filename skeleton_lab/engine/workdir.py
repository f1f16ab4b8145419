"""The folder of a run: writable, and never a mixture of two runs."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from skeleton_lab.engine import containers
from skeleton_lab.errors import UsageError, one_line

# What the engine writes. Anything else in the folder belongs to the user and stays where it is.
WRITTEN = (
    "config.yaml", "log.txt", "metrics.jsonl", "last.ckpt", ".*.tmp",
    "runs-*.pt", "runs-*_right.txt", "runs-*_wrong.txt", "runs", "trainlogs",
    "weights/weights-*.pt", "checkpoints/checkpoint-*.pt", "epoch*_model.pt",
    "epoch*_test_score.pkl", "epoch*_val_score.pkl", "*_each_class_acc.csv", "test_result.pkl",
    "right-samples.txt", "wrong-samples.txt", "evaluation.npz", "hardest.npz", "report.html", "plots",
)  # fmt: skip
PREVIOUS = "previous"
TRAINED = ("last.ckpt", "runs-*.pt", "weights/weights-*.pt", "epoch*_model.pt")  # a run has got somewhere


LOCK = ".lock"
_held: set[int] = set()  # descriptors of locks


def prepare(path: Path) -> Path:
    """Create the folder and see that it can be written to.

    Raises:
        UsageError: it is a file, not writable, or no name that a folder can have.
    """
    try:
        str(path).encode()
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path, prefix=".writable"):
            pass
    except OSError as error:
        hint = containers.other_user(error)
        raise UsageError(f"--work-dir {path}: cannot be written to ({error.strerror or error}){hint}") from error
    except ValueError as error:  # a NUL; bytes that are no text, which no log could show
        raise UsageError(f"--work-dir {str(path)!a}: is no name of a folder ({one_line(error)})") from error
    return path


@contextlib.contextmanager
def locked(folder: Path, flag: str = "--work-dir") -> Iterator[None]:
    """Keep the folder to this process: the file ``.lock`` in it, locked by the system, so that no crash leaves it shut.

    Where locks or the file cannot be had (read-only folders, some network file systems) it goes on without.

    Args:
        flag: by which the user named the folder.

    Raises:
        UsageError: another process has it.
    """
    descriptor = _lock(folder, flag)
    if descriptor is None:
        yield
        return
    _held.add(descriptor)
    try:
        yield
    finally:
        _held.discard(descriptor)
        with contextlib.suppress(OSError):
            (folder / LOCK).unlink()
        os.close(descriptor)


def _lock(folder: Path, flag: str) -> int | None:
    file = folder / LOCK
    while True:
        try:
            descriptor = _opened(file)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine, there = os.fstat(descriptor), file.lstat()
        except BlockingIOError:
            who = "".join(c for c in os.read(descriptor, 100).decode(errors="replace") if c.isprintable())
            os.close(descriptor)
            raise UsageError(
                f"{flag} {folder}: another run is at work there{f' ({who})' * bool(who)}; wait for its end, or give "
                "another folder"
            ) from None
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


def holds_run(work_dir: Path) -> bool:
    """Whether a training run has left something there; the log of an evaluation is no run."""
    if any(next(work_dir.glob(pattern), None) for pattern in TRAINED):
        return True
    metrics = work_dir / "metrics.jsonl"
    return metrics.exists() and any(event.get("event") == "epoch" for event in read_metrics(metrics))


def move_earlier(work_dir: Path, sources: Iterable[str] = ()) -> Path | None:
    """Move the files of an earlier run to ``previous/<n>/``, n = 1, 2, ...; nothing is deleted.

    Args:
        sources: file names of the copied model source.

    Returns:
        The folder that they went to, None if there was no earlier run.
    """
    if not holds_run(work_dir):
        return None
    target = next_previous(work_dir)
    for pattern in (*WRITTEN, *sources):
        for path in sorted(work_dir.glob(pattern)):
            destination = target / path.relative_to(work_dir)
            destination.parent.mkdir(parents=True, exist_ok=True)
            path.replace(destination)
    return target


def next_previous(work_dir: Path) -> Path:
    """``previous/<n>`` with the first n that is not taken; it is not made."""
    archive = work_dir / PREVIOUS
    numbers = [int(p.name) for p in archive.glob("*") if p.name.isdigit()]
    return archive / str(max(numbers, default=0) + 1)


def read_metrics(path: Path) -> list[dict]:
    """Events of ``metrics.jsonl``; a line cut off by a crash is left out."""
    events = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return [event for event in events if isinstance(event, dict)]
