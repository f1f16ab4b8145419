"""Accuracy against corruptions, of one or more runs: reads ``robustness.csv`` of their work dirs.

    skeleton-lab robustness WORK_DIR [WORK_DIR ...] [--metric top1] [--output robustness.png]

The table is written by ``main.py --phase test --corrupt all``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from skeleton_lab.data.feeders.corruption_kinds import KINDS, SEVERITIES
from skeleton_lab.errors import UsageError, guarded
from skeleton_lab.reporting.html.shell import Section, percent
from skeleton_lab.reporting.run_report import tables
from skeleton_lab.reporting.run_report.tables import Table
from skeleton_lab.utils.cli import Parser

TABLE = Table("robustness.csv", ("corruption", "severity", "amount"), "--corrupt", "all", words=("corruption",))
CLEAN = "none"  # the corruption of the first row
TEMPLATE = "reporting/run_report/templates/robustness.html.j2"


@dataclass
class Robustness:
    """A metric by corruption.

    Attributes:
        clean: of the clips as they are; None where the table does not say.
        values: kind -> severity -> value, kinds in the order of ``KINDS``.
        amounts: kind -> severity -> how much that is.
    """

    clean: float | None = None
    values: dict[str, dict[int, float]] = field(default_factory=dict)
    amounts: dict[str, dict[int, float]] = field(default_factory=dict)

    def mean(self, kind: str) -> float:
        """Over the severities that were tested."""
        found = self.values[kind].values()
        return sum(found) / len(found)

    @property
    def overall(self) -> float:
        """The mean over the kinds."""
        return sum(map(self.mean, self.values)) / len(self.values)


def read(run: Path, metric: str) -> Robustness:
    """The table of a work dir, or a table itself.

    Raises:
        UsageError: there is no table, or none with this metric.
    """
    result = Robustness()
    for row in tables.read(TABLE, run, metric):
        kind, severity = row["corruption"], row["severity"]
        if kind == CLEAN:
            result.clean = row[metric]
        elif kind in KINDS and severity in SEVERITIES:
            result.values.setdefault(kind, {})[int(severity)] = row[metric]
            result.amounts.setdefault(kind, {})[int(severity)] = row["amount"]
        else:
            raise UsageError(f"{run}: its {TABLE.name} has a corruption '{kind}:{severity:g}', which does not exist")
    result.values = {kind: dict(sorted(result.values[kind].items())) for kind in KINDS if kind in result.values}
    if not result.values:
        raise UsageError(f"{run}: its {TABLE.name} has no corruption yet; main.py --phase test {TABLE.flag} goes on")
    return result


def draw(runs: Sequence[Path], path: Path, metric: str = "top1") -> Path:
    """A panel for each kind with one curve for each run, named after its folder.

    Raises:
        UsageError: as ``read``.
    """
    from matplotlib.lines import Line2D  # here: --help needs no matplotlib
    from matplotlib.ticker import PercentFormatter

    from skeleton_lab.reporting.run_report import plots

    found = {run: read(run, metric) for run in runs}
    names = tables.names(list(found))
    kinds = _kinds(found)
    columns = min(3, len(kinds))
    rows = -(-len(kinds) // columns)
    made = plots.figure(max(3.4 * columns, 5.0), 2.7 * rows + 0.5 + 0.25 * (len(found) > 1))
    panels = made.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes, kind in zip(panels, kinds):
        for place, (run, each) in enumerate(found.items()):
            course = ({} if each.clean is None else {0: each.clean}) | each.values.get(kind, {})
            if kind in each.values:
                axes.plot(list(course), list(course.values()), label=plots.plain(names[run]), **tables.look(place))
        axes.set_title(KINDS[kind].title, fontsize=10, loc="left", fontweight="bold")
        _label(axes, kind, [each.amounts[kind] for each in found.values() if kind in each.amounts])
        axes.grid(color="#E3E7EB", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        if metric.startswith("top"):
            axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
            axes.set_ylim(0, 1.03)
    for axes in panels[len(kinds) :]:
        axes.set_visible(False)
    whose = f"{plots.plain(names[runs[0]])}: " if len(found) == 1 else ""  # of several the legend tells
    made.suptitle(f"{whose}{metric.capitalize()} of corrupted clips", fontsize=12, fontweight="bold", x=0.01, ha="left")
    if len(found) > 1:
        handles = [Line2D([], [], label=plots.plain(names[run]), **tables.look(k)) for k, run in enumerate(found)]
        made.legend(handles=handles, loc="outside lower center", ncols=min(4, len(found)), fontsize=9, frameon=False)
    return plots.save(made, path)


def _kinds(found: Mapping[Path, Robustness]) -> list[str]:
    """Those that some run has."""
    return [kind for kind in KINDS if any(kind in each.values for each in found.values())]


def _label(axes, kind: str, amounts: Sequence[Mapping[int, float]]) -> None:
    """Amounts along the axis where the runs agree on them, else severities."""
    severities = sorted({severity for each in amounts for severity in each})
    one = {severity: {each[severity] for each in amounts if severity in each} for severity in severities}
    if all(len(values) == 1 for values in one.values()):
        told = [KINDS[kind].number(next(iter(one[severity]))).strip() for severity in severities]
        axes.set_xticks([0, *severities], ["–", *told], fontsize=8.5)
        axes.set_xlabel(KINDS[kind].axis, fontsize=9)
    else:
        axes.set_xticks([0, *severities])
        axes.set_xlabel("severity", fontsize=9)
    axes.tick_params(labelsize=8.5)


def section(run: Path) -> Section | None:
    """The part of a run's page about its table; None where there is none.

    Raises:
        UsageError: there is one that cannot be read.
    """
    if not (run / TABLE.name).is_file():
        return None
    found = read(run, "top1")
    severities = sorted({severity for each in found.values.values() for severity in each})
    rows = []
    for kind, values in found.values.items():
        amounts = {severity: KINDS[kind].number(amount).strip() for severity, amount in found.amounts[kind].items()}
        cells = [(percent(values.get(s), 1), _lost(found.clean, values.get(s)), amounts.get(s, "")) for s in severities]
        rows.append((KINDS[kind].title, KINDS[kind].axis, cells, percent(found.mean(kind), 1)))
    return Section("robustness", "Robustness", TEMPLATE, {
        "severities": severities, "rows": rows, "clean": found.clean, "overall": found.overall,
    })  # fmt: skip


def _lost(clean: float | None, value: float | None) -> float:
    """The share of the clean accuracy that is gone, 0..1."""
    return 0.0 if not clean or value is None else min(max(1 - value / clean, 0.0), 1.0)


def text(runs: Sequence[Path], metric: str) -> str:
    """A table for the terminal: clean, the mean over severities of every kind, and over the kinds; a run in a line."""
    found = {run: read(run, metric) for run in runs}
    names = tables.names(list(found))
    kinds, share = _kinds(found), metric.startswith("top")

    def cell(value: float | None) -> str:
        return "–" if value is None else f"{100 * value:.1f}" if share else f"{value:.3f}"

    head = [f"{metric}{', %' if share else ''}", "clean", *kinds, "mean"]
    lines = [head]
    for run, each in found.items():
        of_kinds = [cell(each.mean(kind) if kind in each.values else None) for kind in kinds]
        lines.append([names[run], cell(each.clean), *of_kinds, cell(each.overall)])
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(
        "  ".join(
            word.ljust(width) if not k else word.rjust(width) for k, (word, width) in enumerate(zip(line, widths))
        )
        for line in lines
    )


def _tests(run: Path, metric: str) -> set[tuple[str, int]]:
    return {(kind, severity) for kind, values in read(run, metric).values.items() for severity in values}


def _main(argv: Sequence[str] | None) -> None:
    parser = Parser(prog="robustness", description="Compare runs by their accuracy on corrupted clips.")
    flags = tables.parsed(parser, Path("robustness.png"), argv)
    print(text(flags.runs, flags.metric))
    if len({frozenset(_tests(run, flags.metric)) for run in flags.runs}) > 1:
        print("The runs were not all tested on the same corruptions: their means do not compare.")
    print(tables.drawn(draw, flags))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return guarded(lambda: _main(argv))
