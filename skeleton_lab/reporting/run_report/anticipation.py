"""Accuracy against the observed share of the clip, of one or more runs: reads ``anticipation.csv`` of their work dirs.

    python dataset_tools/plot_anticipation.py WORK_DIR [WORK_DIR ...] [--metric top1] [--output anticipation.png]

The table is written by ``main.py --phase test --observe 0.1 0.2 ... 1.0``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skeleton_lab.errors import guarded
from skeleton_lab.reporting.run_report import tables
from skeleton_lab.reporting.run_report.tables import Table
from skeleton_lab.utils.cli import Parser

TABLE = Table("anticipation.csv", ("observed",), "--observe", "0.1 0.5 1.0")


def read(run: Path, metric: str) -> tuple[list[float], list[float]]:
    """Observed shares and the metric at each, of a work dir or of a table itself.

    Raises:
        UsageError: there is no table, or none with this metric.
    """
    rows = tables.read(TABLE, run, metric)
    return [row["observed"] for row in rows], [row[metric] for row in rows]


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
    names = tables.names(list(courses))
    for place, (run, (shares, values)) in enumerate(courses.items()):
        axes.plot(shares, values, label=plots.plain(names[run]), **tables.look(place))
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


def _main(argv: list[str] | None) -> None:
    parser = Parser(prog="plot_anticipation.py", description="Draw accuracy against the observed share of the clip.")
    flags = tables.parsed(parser, Path("anticipation.png"), argv)
    print(tables.drawn(draw, flags))


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return guarded(lambda: _main(argv))
