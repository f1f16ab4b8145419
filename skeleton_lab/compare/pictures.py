"""The comparison as PNG files, for papers and slides. The only module here that needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.ticker import MaxNLocator, PercentFormatter

from skeleton_lab.compare import curves
from skeleton_lab.compare.comparison import Comparison
from skeleton_lab.compare.figures import Group
from skeleton_lab.errors import UsageError
from skeleton_lab.reporting.html.line_chart import MARKED
from skeleton_lab.reporting.html.shell import percent
from skeleton_lab.reporting.run_report import plots, tables

MOST_GROUPS, MOST_CLASSES = 40, 30  # that a picture shows


def draw(found: Comparison, folder: Path) -> list[Path]:
    """``accuracy.png``, ``curves.png`` and ``classes.png``, as far as there is something to draw.

    Raises:
        UsageError: a picture cannot be written.
    """
    try:
        made = [accuracy(found.groups, folder / "accuracy.png")]
        if any(row.result.run.epochs for row in found.rows):
            made.append(courses(found.shown, folder / "curves.png"))
        if found.chosen is not None:
            made.append(classes(found, folder / "classes.png"))
        return made
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: cannot be written ({error.strerror or error})") from None


def accuracy(groups: Sequence[Group], path: Path) -> Path:
    """Every group's runs as dots; the line is mean ± deviation over seeds, or the interval of a single run."""
    shown = groups[:MOST_GROUPS]
    made = plots.figure(7.2, 1.2 + 0.3 * len(shown))
    axes = made.add_subplot()
    for place, group in enumerate(shown):
        axes.plot(group.span, [place, place], color=plots.MUTED, linewidth=2, solid_capstyle="butt")
        values = [row.best.value for row in group.rows]
        axes.plot(values, [place] * len(values), "o", color=plots.COLOURS["train"], markersize=5, alpha=0.9)
        ends = [row.last.value for row in group.rows if row.last is not None]
        axes.plot(ends, [place] * len(ends), "|", color=plots.COLOURS["test"], markersize=11, markeredgewidth=2)
    axes.set_yticks(range(len(shown)), [plots.plain(group.name) for group in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.grid(axis="x", color="#E3E7EB", linewidth=0.8)
    axes.set_axisbelow(True)
    plots.bare(axes)
    axes.tick_params(axis="y", length=0)
    rest = f"; the best {len(shown)} of {len(groups)}" if len(groups) > len(shown) else ""
    axes.set_xlabel(
        f"top-1 (dot: best epoch, stroke: last epoch; line: ± deviation over seeds, or 95 %){rest}", fontsize=9
    )
    return plots.save(made, path)


def courses(groups: Sequence[Group], path: Path) -> Path:
    charts = curves.charts(groups)
    made = plots.figure(5.6 * len(charts), 3.9 + 0.22 * -(-len(groups) // 4))
    handles = {}
    for place, chart in enumerate(charts):
        axes = made.add_subplot(1, len(charts), place + 1)
        for series in chart.series:
            look = {**tables.look(int(series.colour.removeprefix("run"))), "markersize": 3}
            look |= {} if len(chart.epochs) <= MARKED else {"marker": None}
            (handles[series.label],) = axes.plot(
                list(series.points), list(series.points.values()), label=plots.plain(series.label), **look
            )
        if chart.text is percent:
            axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(chart.title, fontsize=11, loc="left", fontweight="bold")
        axes.set_xlabel(chart.axis, fontsize=10)
        axes.grid(axis="y", color="#E3E7EB", linewidth=0.8)
        plots.bare(axes)
    made.legend(handles=list(handles.values()), loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    return plots.save(made, path)


def classes(found: Comparison, path: Path) -> Path:
    """The classes in which the chosen two differ most; filled where the difference stands after Holm's correction."""
    assert found.chosen is not None
    a, b = found.chosen
    part = found.differences[:MOST_CLASSES]
    part = sorted(part, key=lambda each: each.change)
    made = plots.figure(7.6, 1.5 + 0.25 * len(part))
    axes = made.add_subplot()
    for place, each in enumerate(part):
        colour = plots.COLOURS["train" if each.change > 0 else "test"]
        inside = colour if each.adjusted < 0.05 else "white"
        axes.barh(place, 100 * each.change, height=0.68, linewidth=1.2, facecolor=inside, edgecolor=colour)
        side = 1 if each.change >= 0 else -1
        axes.annotate(
            each.points, (100 * each.change, place), (4 * side, 0),
            textcoords="offset points", va="center", ha="left" if side > 0 else "right", fontsize=8,
        )  # fmt: skip
    axes.axvline(0, color=plots.MUTED, linewidth=1)
    axes.set_yticks(range(len(part)), [plots.plain(found.class_names[each.cls]) for each in part])
    axes.margins(x=0.14)
    axes.set_ylim(-0.7, len(part) - 0.3)
    axes.set_xlabel("points of accuracy (filled: p < 0.05, McNemar, Holm's correction)", fontsize=10)
    plots.bare(axes)
    axes.tick_params(axis="y", length=0)
    rest = (
        f", the {len(part)} of {len(found.differences)} classes that differ most"
        if len(part) < len(found.differences)
        else ""
    )
    made.suptitle(plots.plain(f"{b.name} against {a.name}{rest}"), fontsize=11, x=0.01, ha="left")
    return plots.save(made, path)
