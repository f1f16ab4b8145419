"""The trials of a search, the best on the validation split first: as lines, ``search.csv``, ``.json``, ``.png``."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skeleton_lab.errors import UsageError
from skeleton_lab.sweep import state, table
from skeleton_lab.sweep.runs import Run
from skeleton_lab.sweep.state import State
from skeleton_lab.utils.results import write_csv, write_json

FILE = "search"
TITLES = ("trial", "state", "epochs", "validation", "at epoch", "test")


@dataclass(frozen=True)
class Ranked:
    """A trial.

    Attributes:
        history: epoch -> accuracy (0 to 1) on the validation split.
        best, epoch: the highest of these, and where it was reached first; None before the first.
    """

    run: Run
    now: State
    history: dict[int, float]
    best: float | None
    epoch: int | None

    @property
    def test(self) -> float | None:
        """Accuracy of the best epoch on the test set, of a trial that has come to its end."""
        return self.now.best if self.now.kind == state.FINISHED else None

    @property
    def values(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.run.tried.items())


def ranked(runs: Sequence[Run], states: Sequence[State]) -> list[Ranked]:
    """The best on the validation split first; those without any accuracy last."""
    found = []
    for run, now in zip(runs, states):
        history = state.validated(run.folder)
        epoch = max(sorted(history), key=lambda number: history[number], default=None)
        found.append(Ranked(run, now, history, None if epoch is None else history[epoch], epoch))
    return sorted(found, key=lambda each: -1.0 if each.best is None else each.best, reverse=True)


def winner(found: Sequence[Ranked]) -> Ranked | None:
    """The best trial that has come to its end: it has weights, and has been tested."""
    return next((each for each in found if each.now.kind == state.FINISHED and each.best is not None), None)


def lines(runs: Sequence[Run], states: Sequence[State]) -> list[str]:
    """The table: accuracies are top-1 in %."""
    found = ranked(runs, states)
    names = list(runs[0].tried)
    rows = [(*TITLES, *names, "")]
    rows += [
        (
            each.run.name, each.now.kind, f"{each.now.epochs}/{each.run.epochs}", table.percent(each.best),
            "" if each.epoch is None else str(each.epoch), table.percent(each.test),
            *(str(each.run.tried[name]) for name in names), each.now.why,
        )
        for each in found
    ]  # fmt: skip
    return [*table.aligned(rows), table.total(states)]


def write(out: Path, runs: Sequence[Run], states: Sequence[State]) -> list[str]:
    """``search.json``, ``.csv`` and ``.png``; lines that say which trial is the best.

    Raises:
        UsageError: a file cannot be written.
    """
    found = ranked(runs, states)
    told = [_row(each) for each in found]
    names = list(runs[0].tried)
    write_json(out / f"{FILE}.json", told)
    header = ("trial", *names, "state", "epochs", "validation", "epoch", "test")
    write_csv(out / f"{FILE}.csv", header, ([(row | row["values"])[key] for key in header] for row in told))
    best = winner(found)
    if best is not None:
        _draw(found, best, out / f"{FILE}.png")
    said = [] if best is None else [
        f"best on the validation split: {best.run.name}: {best.values}; on test {table.percent(best.test)} %",
        f"skeleton-lab {shlex.join(best.run.command)}",
    ]  # fmt: skip
    return ["", *said, f"{out / FILE}.json holds all trials."]


def _row(each: Ranked) -> dict[str, Any]:
    return {
        "trial": each.run.name, "values": dict(each.run.tried), "state": each.now.kind, "epochs": each.now.epochs,
        "validation": each.best, "epoch": each.epoch, "test": each.test, "why": each.now.why,
        "history": sorted(each.history.items()),
    }  # fmt: skip


def _draw(found: Sequence[Ranked], best: Ranked, path: Path) -> None:
    try:
        from skeleton_lab.sweep import picture
    except ImportError:
        logging.getLogger("skeleton_lab").warning(
            "matplotlib is not installed: no picture is drawn (pip install 'skeleton-lab[report]')"
        )
        return
    try:
        picture.courses(found, best, path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error})") from None
