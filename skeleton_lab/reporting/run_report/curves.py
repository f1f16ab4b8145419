"""The curves of a run, as series that both the page and the PNG plots draw."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from skeleton_lab.reporting.run_report.summary import top_k
from skeleton_lab.reporting.run_report.work_dir import Run, number


@dataclass
class Series:
    label: str
    colour: str  # train, test or val
    points: dict[int, float]  # epoch -> value
    dashed: bool = False


@dataclass
class Chart:
    title: str
    unit: str
    text: Callable[[float], str]  # a value as a reader wants it
    series: list[Series] = field(default_factory=list)
    log: bool = False
    axis: str = "epoch"  # what the horizontal axis counts

    @property
    def epochs(self) -> list[int]:
        return sorted({epoch for series in self.series for epoch in series.points})

    @property
    def span(self) -> tuple[float, float]:
        values = [value for series in self.series for value in series.points.values()]
        return min(values), max(values)


def percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def significant(value: float) -> str:
    return f"{value:.4g}"


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
    speed = [Series("training", "train", _points(run.epochs, "samples_per_second"))]
    found = [loss, accuracy, rate, Chart("Throughput", "training samples per second", significant, speed)]
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


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) that enclose low..high."""
    if not high > low:
        low, high = (low - abs(low) / 2 or -0.5, low + abs(low) / 2 or 0.5)
    raw = (high - low) / count
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten that enclose low..high."""
    return [10.0**k for k in range(math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9) + 1)]
