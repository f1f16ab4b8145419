"""Accuracy against the observed share of the clip, of one or more runs: reads ``anticipation.csv`` of their work dirs.

    python dataset_tools/plot_anticipation.py WORK_DIR [WORK_DIR ...] [--metric top1] [--output anticipation.png]

The table is written by ``main.py --phase test --observe 0.1 0.2 ... 1.0``.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from skeleton_lab.errors import UsageError, guarded, nearest
from skeleton_lab.utils.atomic import refuse_special
from skeleton_lab.utils.cli import Parser

TABLE = "anticipation.csv"
COLOURS = ("#0072B2", "#C44E00", "#009E73", "#CC79A7", "#56B4E9", "#B8860B", "#5B6570", "#000000")
MARKERS = "osD^vPX*"


def read(run: Path, metric: str) -> tuple[list[float], list[float]]:
    """Observed shares and the metric at each, of a work dir or of a table itself.

    Raises:
        UsageError: there is no table, or none with this metric.
    """
    path = run if run.is_file() else run / TABLE
    refuse_special(path)
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}; main.py --phase test --observe 0.1 0.5 1.0 writes it into the work dir"
        ) from None
    except (csv.Error, UnicodeError):
        rows = []
    if not rows or "observed" not in rows[0]:
        raise UsageError(f"{path} is no table of main.py --observe")
    if metric not in rows[0]:
        raise UsageError(f"{path} has no column '{metric}'.{nearest(metric, rows[0])} It has {', '.join(rows[0])}")
    try:
        shares, values = ([float(row[name]) for row in rows] for name in ("observed", metric))
    except (ValueError, TypeError):
        raise UsageError(f"{path} is no table of main.py --observe") from None
    return shares, values


def draw(runs: Sequence[Path], path: Path, metric: str = "top1") -> Path:
    """One curve for each run, named after its folder.

    Raises:
        UsageError: as ``read``.
    """
    from matplotlib.ticker import PercentFormatter  # here: --help needs no matplotlib

    from skeleton_lab.reporting.run_report import plots

    courses = {run: read(run, metric) for run in runs}
    made = plots.figure(6.4, 4.2)
    axes = made.add_subplot()
    names = _names(list(courses))
    for place, (run, (shares, values)) in enumerate(courses.items()):
        axes.plot(
            shares, values, color=COLOURS[place % len(COLOURS)], marker=MARKERS[place % len(MARKERS)], markersize=5,
            linewidth=1.8, linestyle="-" if place < len(COLOURS) else "--", label=plots.plain(names[run]),
        )  # fmt: skip
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.set_xlim(0, 1.03)
    if metric.startswith("top"):
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
        axes.set_ylim(0, 1.03)
    axes.set_xlabel("observed share of the clip", fontsize=10)
    whose = f"{plots.plain(names[runs[0]])}: " if len(courses) == 1 else ""  # of several the legend tells
    axes.set_title(
        f"{whose}{metric.capitalize()} before the action is over", fontsize=11, loc="left", fontweight="bold"
    )
    axes.grid(color="#E3E7EB", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    if len(courses) > 1:
        axes.legend(fontsize=9, frameon=False, loc="best")
    return plots.save(made, path)


def _names(runs: Sequence[Path]) -> dict[Path, str]:
    """Each run's folder; where some are called alike, with as many of the folders above as tell them apart."""
    parts = {run: (run.resolve().parent if run.is_file() else run.resolve()).parts for run in runs}
    names = {run: path[-1] for run, path in parts.items()}
    for depth in range(2, max(map(len, parts.values())) + 1):
        alike = [run for run, name in names.items() if list(names.values()).count(name) > 1]
        names |= {run: "/".join(parts[run][-depth:]) for run in alike}
    return names


def _main(argv: list[str] | None) -> None:
    parser = Parser(prog="plot_anticipation.py", description="Draw accuracy against the observed share of the clip.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="WORK_DIR", help="work dirs, or tables in them")
    parser.add_argument("--metric", default="top1", help="column to draw: top1, top5, loss [top1]")
    parser.add_argument("--output", type=Path, default=Path("anticipation.png"), metavar="PNG")
    flags = parser.parse_args(argv)
    try:
        flags.output.parent.mkdir(parents=True, exist_ok=True)
        print(draw(flags.runs, flags.output, flags.metric))
    except OSError as error:
        raise UsageError(f"--output {flags.output}: {error.strerror or error}") from None


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return guarded(lambda: _main(argv))
