"""A curve chart: its series, and where they lie, for ``templates/line_chart.html.j2`` and ``resources/charts.js``."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from skeleton_lab.reporting.html.shell import percent

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 10, 38  # of the frame around the curves
MARKED = 30  # up to so many epochs the points are marked


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
    note: str | None = None  # instead of a legend, where there is but one series

    @property
    def epochs(self) -> list[int]:
        return sorted({epoch for series in self.series for epoch in series.points})

    @property
    def span(self) -> tuple[float, float]:
        values = [value for series in self.series for value in series.points.values()]
        return min(values), max(values)


def significant(value: float) -> str:
    return f"{value:.4g}"


@dataclass
class Line:
    label: str
    colour: str
    dashed: bool
    points: list[tuple[float, float]]


@dataclass
class Drawn:
    """A chart in the units of its picture; ``hover`` are its values as ``charts.js`` tells them."""

    title: str
    axis: str
    note: str | None  # instead of a legend
    words: str  # what somebody would say who sees it
    number: int  # among the charts of the page
    levels: list[tuple[float, str]]
    places: list[tuple[float, int]]
    lines: list[Line]
    marked: bool
    hover: dict
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def draw(chart: Chart, number: int) -> Drawn:
    """The chart laid out; it is the ``number``-th of its page."""
    epochs = chart.epochs
    low, high = chart.span
    marks = log_ticks(low, high) if chart.log else ticks(low, high)
    if chart.text is percent:
        marks = [mark for mark in marks if 0 <= mark <= 1]
    scale = math.log10 if chart.log else float
    bottom, top = scale(marks[0]), scale(marks[-1])

    def x(epoch: int) -> float:
        span = epochs[-1] - epochs[0]
        return round(LEFT + (WIDTH - LEFT - RIGHT) * ((epoch - epochs[0]) / span if span else 0.5), 1)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (scale(value) - bottom) / (top - bottom or 1), 1)

    told = [int(mark) for mark in ticks(epochs[0], epochs[-1]) if mark == int(mark)]
    return Drawn(
        title=chart.title,
        axis=chart.axis,
        note=chart.note,
        words=_in_words(chart),
        number=number,
        levels=[(y(mark), _tick(chart, mark)) for mark in marks],
        places=[(x(epoch), epoch) for epoch in told if epochs[0] <= epoch <= epochs[-1]],
        lines=[
            Line(series.label, series.colour, series.dashed, [(x(e), y(value)) for e, value in series.points.items()])
            for series in chart.series
        ],
        marked=len(epochs) <= MARKED,
        hover=_hover(chart, [x(epoch) for epoch in epochs]),
    )


def _hover(chart: Chart, places: list[float]) -> dict:
    """Epochs, their x, and per series label and text (None: no value)."""
    epochs = chart.epochs
    texts = [[chart.text(s.points[epoch]) if epoch in s.points else None for epoch in epochs] for s in chart.series]
    return {
        "width": WIDTH,
        "axis": chart.axis,
        "epochs": epochs,
        "x": places,
        "series": [{"label": s.label, "colour": s.colour, "text": text} for s, text in zip(chart.series, texts)],
    }


def _tick(chart: Chart, value: float) -> str:
    return f"{100 * value:.4g} %" if chart.text is percent else f"{value:.4g}"


def _in_words(chart: Chart) -> str:
    words = []
    for series in chart.series:
        first, last = min(series.points), max(series.points)
        words.append(f"{series.label}: {chart.text(series.points[first])} at {chart.axis} {first}, "
                     f"{chart.text(series.points[last])} at {chart.axis} {last}.")  # fmt: skip
    return " ".join(words)


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
