"""A study in words: a table of its runs, a line when one begins or ends, a bar over all epochs."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from skeleton_lab.reporting.run_report.headline import duration
from skeleton_lab.sweep import state
from skeleton_lab.sweep.forecast import Forecast
from skeleton_lab.sweep.fusion import Fused
from skeleton_lab.sweep.runs import Run
from skeleton_lab.sweep.state import State
from skeleton_lab.utils.progress import clip_bar
from skeleton_lab.utils.statistics import mean_sd

EVERY = 2.0  # seconds: metrics of long runs take milliseconds to read
TITLES = ("run", "state", "epochs", "best", "last", "time", "")


def percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"


def counted_runs(count: int) -> str:
    return f"{count} run{'s' * (count != 1)}"


def cells(run: Run, now: State) -> tuple[str, ...]:
    """One for each title."""
    time = "" if now.seconds is None else duration(now.seconds)
    return (run.name, now.kind, f"{now.epochs}/{run.epochs}", percent(now.best), percent(now.last), time, now.why)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of equally many cells as lines with columns; the last one is as long as it is."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]) - 1)]
    return [" ".join([*(f"{cell:{width}}" for cell, width in zip(row, widths)), row[-1]]).rstrip() for row in rows]


def lines(runs: Sequence[Run], states: Sequence[State]) -> list[str]:
    """The table: accuracies are top-1 in %, of the best and of the last epoch."""
    return [*aligned([TITLES, *(cells(run, now) for run, now in zip(runs, states))]), total(states)]


def total(states: Sequence[State]) -> str:
    """How many runs there are of each kind."""
    counted = Counter(now.kind for now in states)
    order = (
        state.FINISHED, state.STOPPED, state.RUNNING, state.INTERRUPTED, state.WAITING, state.FAILED, state.CHANGED,
    )  # fmt: skip
    words = ", ".join(f"{counted[kind]} {kind}" for kind in order if counted[kind])
    return f"{counted_runs(len(states))}: {words}"


def commands(runs: Sequence[Run], states: Sequence[State], forecasts: Sequence[Forecast], places: int) -> list[str]:
    """What ``--dry-run`` says: the command of each run that is to do, then hours."""
    told = [
        f"skeleton-lab {shlex.join(run.command)}" if now.to_do else f"# {now.kind}: {run.name}"
        for run, now in zip(runs, states)
    ]
    return [*told, *_hours(runs, states, forecasts, places)]


def _hours(runs: Sequence[Run], states: Sequence[State], forecasts: Sequence[Forecast], places: int) -> list[str]:
    open_runs = [(run, each) for run, now, each in zip(runs, states, forecasts) if now.to_do]
    known = [each for _, each in open_runs if each.seconds is not None]
    told = []
    if known:
        total = sum(each.seconds or 0.0 for each in known)
        sources = ", ".join(sorted({each.source for each in known}))
        told.append(f"# forecast: {total / 3600:.2f} h of training for {counted_runs(len(known))} ({sources})")
        if places > 1:
            share = total / 3600 / places
            told.append(f"# {places} at once: {share:.2f} h on as many GPUs; runs that share cores gain less")
    for run, each in open_runs:
        if each.seconds is None:
            told.append(f"# no forecast for {run.name}: {each.source}")
    return told


class Live:
    """Meanwhile: a line for what begins or ends, and a bar over the epochs of all runs, with rate and time left."""

    def __init__(self, runs: Sequence[Run], states: Sequence[State]) -> None:
        self._runs = {run.name: run for run in runs}
        self._done = {run.name: now.epochs for run, now in zip(runs, states)}
        total = sum(now.epochs if now.kind == state.STOPPED else run.epochs for run, now in zip(runs, states))
        self._bar = clip_bar(total, "study", unit=" epochs", leave=True)
        self._bar.update(sum(self._done.values()))
        self._bar.initial = self._bar.n  # the rate is that of what is trained now
        self._active: set[str] = set()
        self._looked = time.monotonic()

    def told(self, run: Run, now: State) -> None:
        (self._active.add if now.kind == state.RUNNING else self._active.discard)(run.name)
        done = self._done[run.name]
        words = {state.RUNNING: f"goes on after epoch {done}" if done else "begins"}
        last = f", top-1 {percent(now.last)} %" if now.last is not None and now.kind == state.FINISHED else ""
        why = f": {now.why}" if now.why else ""
        tqdm.write(f"{run.name}: {words.get(now.kind, now.kind)}{last}{why}")
        self.look(run)
        if now.kind == state.STOPPED:  # the rest of its epochs does not come
            self._bar.total -= run.epochs - self._done[run.name]

    def tick(self) -> None:
        """Look how far the active runs are, every now and then."""
        if time.monotonic() - self._looked > EVERY:
            self._looked = time.monotonic()
            for name in self._active:
                self.look(self._runs[name])
        self._bar.update(0)

    def look(self, run: Run) -> None:
        epochs = min(state.progress(run)[0], run.epochs)
        if epochs > self._done[run.name]:
            self._bar.update(epochs - self._done[run.name])
            self._done[run.name] = epochs

    def close(self) -> None:
        self._bar.close()


def _over_seeds(found: Sequence[Fused]) -> list[tuple[str, ...]]:
    """Mean and deviation of the fusions of each group that has several seeds."""
    groups: dict[str, list[Fused]] = {}
    for each in found:
        if each.top1 is not None:
            groups.setdefault(each.group, []).append(each)
    rows = []
    for name, several in groups.items():
        if len(several) > 1:
            fixed, fitted = (mean_sd([getattr(each, key) for each in several]) for key in ("top1", "fitted_top1"))
            words = (f"{percent(mean)} ± {percent(sd)}" for mean, sd in (fixed, fitted))
            rows.append((f"{name}, {len(several)} seeds", "+".join(several[0].weights), "", *words, ""))
    return rows


def fused(found: Sequence[Fused], file: Path) -> list[str]:
    """Fusions: with the room's fixed weights, and apart from these with weights fitted on the test labels."""
    if not found:
        return []
    rows: list[tuple[str, ...]] = [("fusion", "streams", "best single", "fixed weights", "fitted on test", "")]
    for each in found:
        best = max((share for share in each.single.values() if share is not None), default=None)
        rows.append((
            each.name, "+".join(each.weights), percent(best), percent(each.top1),
            percent(each.fitted_top1), each.why,
        ))  # fmt: skip
    rows += _over_seeds(found)
    told = "Fixed weights are the room's; fitted ones were searched for on the labels they are judged by: optimistic."
    return ["", *aligned(rows), told, f"{file} holds them."]
