"""Tables that ``--phase test`` leaves in work dirs, of one or more runs: read, and what their pictures share."""

from __future__ import annotations

import csv
import math
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skeleton_lab.errors import UsageError, nearest
from skeleton_lab.reporting.run_report.work_dir import named
from skeleton_lab.utils.atomic import refuse_special
from skeleton_lab.utils.cli import Parser

COLOURS = ("#0072B2", "#C44E00", "#009E73", "#CC79A7", "#56B4E9", "#B8860B", "#5B6570", "#000000")
MARKERS = "osD^vPX*"


@dataclass(frozen=True)
class Table:
    """A kind of table: its file, the columns that it has beside measured ones, and the flag that writes it."""

    name: str
    keys: tuple[str, ...]
    flag: str
    example: str  # of the flag's values
    words: tuple[str, ...] = ()  # keys whose cells are no numbers


def read(table: Table, run: Path, metric: str) -> list[dict[str, Any]]:
    """The keys and the metric of every row, of a work dir or of a table itself.

    Raises:
        UsageError: there is no table, or none with this metric.
    """
    path = run if run.is_file() else run / table.name
    refuse_special(path)
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}; main.py --phase test {table.flag} {table.example} writes it into the work dir"
        ) from None
    except (csv.Error, UnicodeError):
        rows = []
    none = UsageError(f"{path} is no table of main.py {table.flag}")
    if not rows or any(key not in rows[0] for key in table.keys):
        raise none
    measured = [name for name in rows[0] if name not in table.words]
    if metric not in measured:
        raise UsageError(f"{path} has no column '{metric}'.{nearest(metric, measured)} It has {', '.join(rows[0])}")
    try:
        numbers = [
            {name: float(row[name]) for name in (*table.keys, metric) if name not in table.words} for row in rows
        ]
    except (ValueError, TypeError):
        raise none from None
    if not all(math.isfinite(value) for row in numbers for value in row.values()):
        raise none
    return [{**each, **{name: str(row[name]) for name in table.words}} for each, row in zip(numbers, rows)]


def names(runs: Sequence[Path]) -> dict[Path, str]:
    """Each run's folder; where some are called alike, with as many of the folders above as tell them apart."""
    parts = {run: (named(run).parent if run.is_file() else named(run)).parts for run in runs}
    found = {run: path[-1] for run, path in parts.items()}
    for depth in range(2, max(map(len, parts.values())) + 1):
        alike = [run for run, name in found.items() if list(found.values()).count(name) > 1]
        found |= {run: "/".join(parts[run][-depth:]) for run in alike}
    return found


def look(place: int) -> dict[str, Any]:
    """How the curve of the run at this place looks, for ``Axes.plot``."""
    return {
        "color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)], "markersize": 5,
        "linewidth": 1.8, "linestyle": "-" if place < len(COLOURS) else "--",
    }  # fmt: skip


def parsed(parser: Parser, output: Path, argv: Sequence[str] | None) -> Namespace:
    """The flags of a program that draws tables: ``runs``, ``metric``, ``output``."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="WORK_DIR", help="work dirs, or tables in them")
    parser.add_argument("--metric", default="top1", help="column to draw: top1, top5, loss [top1]")
    parser.add_argument("--output", type=Path, default=output, metavar="PNG", help=f"[{output}]")
    return parser.parse_args(argv)


def drawn(draw: Callable[[Sequence[Path], Path, str], Path], flags: Namespace) -> Path:
    """The picture of these flags; UsageError where it cannot be written."""
    try:
        flags.output.parent.mkdir(parents=True, exist_ok=True)
        return draw(flags.runs, flags.output, flags.metric)
    except OSError as error:
        raise UsageError(f"--output {flags.output}: {error.strerror or error}") from None
