"""Curves of several groups over each other: by epoch, the mean over the seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from skeleton_lab.compare.figures import Group
from skeleton_lab.reporting.html.line_chart import Chart, Series, significant
from skeleton_lab.reporting.html.shell import percent
from skeleton_lab.reporting.run_report.work_dir import Run, number


def charts(groups: Sequence[Group]) -> list[Chart]:
    """Accuracy on the test set and on validation, training loss; those that no group has are left out."""
    wanted: list[tuple[str, str, Callable[[float], str], Callable[[Run], dict[int, dict]], str]] = [
        ("Test accuracy", "top-1 (%)", percent, lambda run: run.evals.get("test", {}), "top1"),
        ("Validation accuracy", "top-1 (%)", percent, lambda run: run.evals.get("val", {}), "top1"),
        ("Training loss", "loss", significant, lambda run: run.epochs, "loss"),
    ]
    made = []
    for title, unit, text, events, key in wanted:
        chart = Chart(title, unit, text)
        for place, group in enumerate(groups):
            if points := mean_curve([events(row.result.run) for row in group.rows], key):
                chart.series.append(Series(group.name, f"run{place}", points))
        if chart.series:
            made.append(chart)
    return made


def mean_curve(runs: Sequence[dict[int, dict]], key: str) -> dict[int, float]:
    """Epoch -> mean over the runs, where all of them have a value."""
    courses = [{epoch: value for epoch, event in run.items() if (value := number(event.get(key))) is not None}
               for run in runs]  # fmt: skip
    epochs = sorted(set.intersection(*(set(course) for course in courses)))
    return {epoch: sum(course[epoch] for course in courses) / len(courses) for epoch in epochs}
