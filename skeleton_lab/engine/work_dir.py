"""The folder of a run: writable, and never a mixture of two runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from skeleton_lab.engine import container_hints
from skeleton_lab.errors import UsageError, one_line
from skeleton_lab.utils import json_lines, locks
from skeleton_lab.utils.atomic import refuse_special

LAST = "last.ckpt"  # the state of an unfinished run
BEST = "best.pt"  # with --save-best: the weights of the best epoch so far

# What the engine writes. Anything else in the folder belongs to the user and stays where it is.
WRITTEN = (
    "config.yaml", "log.txt", "metrics.jsonl", "last.ckpt", ".*.tmp",
    "runs-*.pt", "runs-*_right.txt", "runs-*_wrong.txt", "runs", "trainlogs",
    "weights/weights-*.pt", "checkpoints/checkpoint-*.pt", "epoch*_model.pt", "epoch_*_*.pt",
    "epoch*_test_score.pkl", "epoch*_val_score.pkl", "*_each_class_acc.csv", "test_result.pkl",
    "right-samples.txt", "wrong-samples.txt", "evaluation.npz", "hardest.npz", "calibration.json", "report.html",
    "plots", BEST, "ema", "tracking.json", "wandb", "mlflow.db", "mlartifacts",
)  # fmt: skip
PREVIOUS = "previous"
# a run has got somewhere
TRAINED = ("last.ckpt", "runs-*.pt", "weights/weights-*.pt", "epoch*_model.pt", "epoch_*_*.pt")
LOCK = ".lock"


def prepare(path: Path) -> Path:
    """Create the folder and see that it can be written to.

    Raises:
        UsageError: it is a file, not writable, or no name that a folder can have.
        ArchiveError: a pipe stands in the place of a file that the run writes.
    """
    try:
        str(path).encode()
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path, prefix=".writable"):
            pass
    except OSError as error:
        hint = container_hints.other_user(error)
        raise UsageError(f"--work-dir {path}: cannot be written to ({error.strerror or error}){hint}") from error
    except ValueError as error:  # a NUL; bytes that are no text, which no log could show
        raise UsageError(f"--work-dir {str(path)!a}: is no name of a folder ({one_line(error)})") from error
    for name in ("log.txt", "metrics.jsonl"):  # opened to be gone on with
        refuse_special(path / name)
    return path


def locked(folder: Path, flag: str = "--work-dir") -> AbstractContextManager[None]:
    """Keep the folder to this process: the file ``.lock`` in it.

    Args:
        flag: by which the user named the folder.

    Raises:
        UsageError: another process has it.
    """

    def busy(who: str) -> UsageError:
        return UsageError(
            f"{flag} {folder}: another run is at work there{who}; wait for its end, or give another folder"
        )

    return locks.locked(folder / LOCK, busy)


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
    return json_lines.read(path)[0]
