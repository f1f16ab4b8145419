"""The plan in words, for the screen and the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import PurePosixPath

from skeleton_lab.plan.data import Data
from skeleton_lab.plan.machine import Machine
from skeleton_lab.plan.planning import Row
from skeleton_lab.plan.steps import FEW, FORECAST

GIGABYTE = 1e9
TITLES = ("room", "preset", "fits?", "memory", "an epoch", "epochs", "training", "settings")
_WIDTHS = (13, 24, 5, 9, 9, 6, 9, 0)
FORECAST_TIME = (
    "Time is a forecast: of every operation the longer of its arithmetic and its bytes at the card's published rates, "
    "and 5 µs to launch it. Real cards do not reach these rates: take it as the least."
)
FORECAST_MEMORY = "Memory is a forecast, counted by the operations that run on a GPU."
MEASURED_TIME = {
    "cuda": "Time is measured: a few steps of each network on this GPU. So is memory, by its highest point.",
    "cpu": f"Time is measured on this CPU: one step of each network with up to {FEW} clips.",
}
CALIBRATED_TIME = (
    "Where the batch has more, the time is calibrated: that step, scaled by what the operations of either batch take "
    "at rates of this CPU, which were measured in {:.0f} s."
)
SAME = "activation checkpointing computes activations a second time instead of keeping them: the same numbers, later"
OTHER = "a smaller forward batch, or mixed precision, changes numbers: batch norm sees fewer clips, values are rounded"


def duration(seconds: float) -> str:
    """``4.1 s``, ``12 min``, ``3.4 h``, ``2.1 days``; a dash where it is not known."""
    if math.isnan(seconds):
        return "–"
    for size, unit in ((86400 * 2, "days"), (3600, "h"), (60, "min")):
        if seconds >= size:
            value = seconds / (86400 if unit == "days" else size)
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{seconds:.1f} s"


def preset(row: Row) -> str:
    """The configuration by its name, with its folder where that tells more."""
    path = PurePosixPath(row.config)
    return path.stem if len(path.parts) < 4 or path.parts[1] == "train" else f"{path.parts[1]} {path.stem}"


def verdict(row: Row) -> str:
    """``yes``: as published; ``with``: with settings; ``no``."""
    return "yes" if row.fits else "no" if row.flags is None else "with"


def settings(row: Row) -> str:
    if row.flags is None:
        return "does not fit"
    return "as published" if row.fits else row.flags


def cells(row: Row) -> tuple[str, ...]:
    """One for each title."""
    return (
        row.room, preset(row), verdict(row), f"{row.memory:.1f} GiB", duration(row.epoch), str(row.epochs),
        duration(3600 * row.hours), settings(row),
    )  # fmt: skip


def _line(values: Sequence[str]) -> str:
    return " ".join(f"{value:{width}}" for value, width in zip(values, _WIDTHS)).rstrip()


HEADER = _line(TITLES)


def line(row: Row) -> str:
    return _line(cells(row))


def heading(where: Machine, data: Data) -> list[str]:
    return [
        f"For {where.name}: {where.memory:.1f} GiB of memory, {where.budget:.1f} GiB to spend.",
        f"On {data.name}: {data.clips:,} training clips{alone(data)}.",
        "",
    ]


def alone(data: Data) -> str:
    return f", {100 * data.alone:.0f} % of them of one person" if data.alone else ""


def sources(where: Machine) -> list[str]:
    """Which figures are measured and which are forecast, and by what."""
    if where.card is None:
        told = [MEASURED_TIME[where.device.type]]
        if where.rates is not None:
            told.append(CALIBRATED_TIME.format(where.rates.took))
        return told if where.device.type == "cuda" else [*told, FORECAST_MEMORY]
    sheet = where.card
    rates = f"{sheet.name}: {sheet.memory:g} GB, {sheet.bandwidth:g} GB/s, {sheet.fp32:g} TFLOP/s"
    return [FORECAST_TIME, FORECAST_MEMORY, f"{rates} ({sheet.source})."]


def notes(where: Machine, rows: Sequence[Row]) -> list[str]:
    """What stands below the table."""
    told = ["", *sources(where)]
    if any(verdict(row) == "with" for row in rows):
        told.append(f"fits? with: with the settings in the last column. Of these, {SAME}; {OTHER}.")
    return told


def origin(rows: Sequence[Row]) -> tuple[str, str]:
    """Where memory and time come from, a word each."""
    memory = {row.memory_from for row in rows}
    times = {row.time_from for row in rows if not math.isnan(row.epoch)}
    return " or ".join(sorted(memory)), " or ".join(sorted(times)) or FORECAST
