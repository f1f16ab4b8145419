"""The page: headline, sections, and the data and scripts that make them answer. One file, nothing fetched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from skeleton_lab.errors import UsageError
from skeleton_lab.reporting.html import line_chart, shell
from skeleton_lab.reporting.html.clip_json import Clip
from skeleton_lab.reporting.html.line_chart import Chart
from skeleton_lab.reporting.html.shell import Section
from skeleton_lab.reporting.run_report import calibration, groups, headline, robustness, sections
from skeleton_lab.reporting.run_report.summary import Confusion, evaluated, hardest_pairs, per_class
from skeleton_lab.reporting.run_report.work_dir import Run

SCRIPTS = tuple(f"reporting/html/resources/{name}" for name in ("charts.js", "confusion.js", "player.js"))


def tested(run: Run, section: Callable[[Path], Section | None]) -> list[Section]:
    """The section that tells a table of ``--phase test``, where there is one; a damaged one is a notice."""
    try:
        made = section(run.work_dir)
    except UsageError as error:
        run.notices.append(f"{error}: its part is left out.")
        made = None
    return [] if made is None else [made]


def build(
    run: Run, names: Sequence[str], charts: Sequence[Chart], matrix: Confusion | None, clips: Sequence[Clip]
) -> str:
    """The whole page as text."""
    drawn = [line_chart.draw(chart, place) for place, chart in enumerate(charts)]
    parts = [sections.curves(drawn, run)] if drawn else []
    if matrix is not None:
        accuracy = float((run.evaluation.labels == run.evaluation.pred).mean())
        what = evaluated(run)
        parts.append(sections.confusion(matrix, names, accuracy, what))
        parts.append(sections.per_class(per_class(matrix), names, what))
        told = groups.section(run.evaluation, what)
        parts += [] if told is None else [told]
    if matrix is not None or clips:
        total, wrong = (matrix.confused, matrix.wrong) if matrix is not None else (0, 0)
        parts.append(sections.pairs(hardest_pairs(run, matrix), clips, names, run.stream, evaluated(run), total, wrong))
    measured = run.evaluation.reliability if run.evaluation is not None else None
    sure = calibration.section(run.calibration, measured, evaluated(run), len(drawn))
    if sure is not None:
        parts.append(sure[0])
        drawn = [*drawn, sure[1]] if sure[1] is not None else drawn  # a new list: the section of curves has this one
    parts += tested(run, robustness.section)
    parts += [sections.configuration(run), sections.environment(run)]
    data = {
        "charts": [chart.hover for chart in drawn],
        "confusion": sections.confusion_data(matrix, names) if matrix is not None else None,
        "edges": run.hardest.edges.tolist() if run.hardest is not None else [],
        "clips": [clip.as_json() for clip in clips],
    }
    title = f"{run.name} · {run.model} · run report"
    return shell.render(
        shell.SECTIONS, title=title, data=data, scripts=SCRIPTS, sections=parts, navigation=True, **headline.build(run)
    )
