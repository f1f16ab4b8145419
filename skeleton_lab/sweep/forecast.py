"""How long a study will take: by its own finished epochs where there are some, else by ``skeleton-lab plan``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skeleton_lab.errors import LabError, one_line
from skeleton_lab.sweep.runs import Run
from skeleton_lab.sweep.state import State
from skeleton_lab.utils.progress import clip_bar

if TYPE_CHECKING:
    from skeleton_lab.plan.data import Data
    from skeleton_lab.plan.machine import Machine
    from skeleton_lab.plan.planning import Row

OWN, PLANNED = "measured in this study", "by skeleton-lab plan"
Kind = tuple[str, str, int, "int | None", "str | None"]


@dataclass(frozen=True)
class Forecast:
    """Of one run: seconds that are left, None where nothing tells; ``source``: what does, or why nothing does."""

    seconds: float | None
    source: str


def kind(run: Run) -> Kind:
    """What runs of equal epochs share: room, configuration, batch, frames, archive."""
    window = run.options.train_feeder_args.get("window_size")
    frames = window if isinstance(window, int) and window > 0 else None
    return run.room, str(run.options.config), run.options.batch_size, frames, run.data


def of(runs: Sequence[Run], states: Sequence[State]) -> list[Forecast]:
    """The time that each run still needs; those without an epoch of their kind are planned for, once for each kind."""
    each: dict[Kind, tuple[float | None, str]] = {}
    for run, state in zip(runs, states):
        if state.epochs and state.seconds is not None:
            each[kind(run)] = state.seconds / state.epochs, OWN
    left = {kind(run): run for run, state in zip(runs, states) if state.to_do and kind(run) not in each}
    with clip_bar(len(left), "forecast", unit=" configurations", delay=1) as bar:
        for row_kind, row in _planned(list(left.values())):
            each[row_kind] = row
            bar.update(1)
    found = []
    for run, state in zip(runs, states):
        seconds, source = each.get(kind(run), (None, "")) if state.to_do else (0.0, "")
        found.append(Forecast(None if seconds is None else seconds * max(run.epochs - state.epochs, 0), source))
    return found


def _planned(runs: Sequence[Run]) -> Iterator[tuple[Kind, tuple[float | None, str]]]:
    """Seconds of an epoch for one run of each kind."""
    if not runs:
        return
    from skeleton_lab.plan import data, machine  # here: they load PyTorch, and a status needs neither

    where = machine.find(None, "cpu" if _on_cpu(runs) else "auto", None)
    if where.device.type == "cpu":
        where = _calibrated(where)
    for run in runs:
        try:
            trained_on = data.published() if run.data is None else data.read(Path(run.data))
            planned = _row(run, where, trained_on)
            yield kind(run), (planned.epoch, PLANNED)
        except (LabError, TypeError, ValueError, RuntimeError) as error:  # a network of one's own, an odd configuration
            yield kind(run), (None, one_line(error)[:200])


def _calibrated(where: Machine) -> Machine:
    from skeleton_lab.plan import calibration

    return dataclasses.replace(where, rates=calibration.calibrate(where.device))


def _on_cpu(runs: Sequence[Run]) -> bool:
    return all(run.flags.get("device") in ("cpu", -1) or run.flags.get("use_gpu") is False for run in runs)


def _row(run: Run, where: Machine, trained_on: Data) -> Row:
    from skeleton_lab.plan import planning

    _, config, batch, frames, _ = kind(run)
    return planning.row(run.entry.room, config, where, trained_on, batch, frames)


def fitting(runs: Sequence[Run]) -> int:
    """How many runs at once each GPU has the memory for, by the largest of them; at least 1."""
    from skeleton_lab.plan import data, machine

    where = machine.find(None, "auto", None)
    rows = [_row(run, where, data.published()) for run in {kind(run): run for run in runs}.values()]
    return most(where.budget, [row.memory for row in rows])


def most(budget: float, needs: Sequence[float]) -> int:
    """How often the largest need goes into a budget (GiB); at least once.

    >>> most(79, [4.8, 11.0]), most(6, [4.8, 11.0])
    (7, 1)
    """
    return max(int(budget // max(needs)), 1)
