"""The curves of a run, as series that both the page and the PNG plots draw."""

from __future__ import annotations

from skeleton_lab.reporting.html.line_chart import Chart, Series, significant
from skeleton_lab.reporting.html.shell import percent
from skeleton_lab.reporting.run_report.summary import top_k
from skeleton_lab.reporting.run_report.work_dir import Run, number


def charts(run: Run) -> list[Chart]:
    """Loss, accuracy, learning rate and throughput by epoch; those without a single value are left out."""
    loss = Chart("Loss", "loss", significant, [Series("training", "train", _points(run.epochs, "loss"))])
    accuracy = Chart("Accuracy", "accuracy (%)", percent, [Series("training", "train", _points(run.epochs, "acc"))])
    for split, name in (("test", "test"), ("val", "validation")):
        events = run.evals.get(split, {})
        loss.series.append(Series(name, split, _points(events, "loss")))
        for k in sorted({k for event in events.values() for k in top_k(event)}):
            accuracy.series.append(Series(f"{name} top-{k}", split, _points(events, f"top{k}"), dashed=k > 1))
    rate = Chart("Learning rate", "learning rate", significant, [Series("rate", "train", _points(run.epochs, "lr"))])
    rate.note = ""
    speed = [Series("training", "train", _points(run.epochs, "samples_per_second"))]
    throughput = Chart("Throughput", "training samples per second", significant, speed)
    throughput.note = throughput.unit
    found = [loss, accuracy, rate, throughput]
    for chart in found:
        chart.series = [series for series in chart.series if series.points]
    found = [chart for chart in found if chart.series]
    if rate in found:
        low, high = rate.span
        rate.log = low > 0 and high / low > 20
    return found


def _points(events: dict[int, dict], key: str) -> dict[int, float]:
    values = {epoch: number(events[epoch].get(key)) for epoch in sorted(events)}
    return {epoch: value for epoch, value in values.items() if value is not None}
