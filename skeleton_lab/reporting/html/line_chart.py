"""A curve chart as inline SVG, and the places of its points for the hover line of ``resources/charts.js``."""

from __future__ import annotations

import math

from skeleton_lab.reporting.html.markup import Markup, tag
from skeleton_lab.reporting.run_report.curves import Chart, log_ticks, percent, ticks

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 38
MARKED = 30  # up to so many epochs the points are marked


def draw(chart: Chart, number: int) -> tuple[Markup, dict]:
    """The chart as HTML, and what hovering needs: epochs, their x, and per series y and text (None: no value)."""
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

    parts = [_level(y(mark), _tick(chart, mark)) for mark in marks]
    parts += [_epoch_tick(x(int(mark)), int(mark)) for mark in ticks(epochs[0], epochs[-1])
              if mark == int(mark) and epochs[0] <= mark <= epochs[-1]]  # fmt: skip
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(tag("text", chart.axis, x=middle, y=HEIGHT - 4, class_="axis", text_anchor="middle"))
    for series in chart.series:
        points = [(x(epoch), y(value)) for epoch, value in series.points.items()]
        style = f"line {series.colour}{' dashed' if series.dashed else ''}"
        parts.append(tag("polyline", points=" ".join(f"{a},{b}" for a, b in points), class_=style))
        if len(epochs) <= MARKED:
            parts += [tag("circle", cx=a, cy=b, r=2.6, class_=f"mark {series.colour}") for a, b in points]
    parts.append(tag("line", class_="cross", y1=TOP, y2=HEIGHT - BOTTOM, visibility="hidden"))
    picture = tag(
        "svg", parts, class_="chart", viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", tabindex=0, data_chart=number,
        aria_label=f"{chart.title} by {chart.axis}. {_in_words(chart)} Arrow keys read single values.",
    )  # fmt: skip
    return tag("figure", tag("figcaption", tag("h3", f"{chart.title}"), _legend(chart)), picture), {
        "width": WIDTH,
        "axis": chart.axis,
        "epochs": epochs,
        "x": [x(epoch) for epoch in epochs],
        "series": [
            {
                "label": series.label,
                "colour": series.colour,
                "text": [chart.text(series.points[epoch]) if epoch in series.points else None for epoch in epochs],
            }
            for series in chart.series
        ],
    }


def _tick(chart: Chart, value: float) -> str:
    return f"{100 * value:.4g} %" if chart.text is percent else f"{value:.4g}"


def _level(y: float, text: str) -> tuple[Markup, Markup]:
    line = tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid")
    return line, tag("text", text, x=LEFT - 6, y=y + 4, text_anchor="end", class_="axis")


def _epoch_tick(x: float, epoch: int) -> tuple[Markup, Markup]:
    y = HEIGHT - BOTTOM
    line = tag("line", x1=x, x2=x, y1=y, y2=y + 4, class_="grid")
    return line, tag("text", epoch, x=x, y=y + 18, text_anchor="middle", class_="axis")


def _legend(chart: Chart) -> Markup:
    if chart.title == "Learning rate":
        return tag("span", class_="legend")
    if chart.title == "Throughput":
        return tag("span", chart.unit, class_="legend")
    styles = [f"key {series.colour}{' dashed' if series.dashed else ''}" for series in chart.series]
    keys = [tag("span", tag("i", class_=style), series.label) for style, series in zip(styles, chart.series)]
    return tag("span", keys, class_="legend")


def _in_words(chart: Chart) -> str:
    words = []
    for series in chart.series:
        first, last = min(series.points), max(series.points)
        words.append(f"{series.label}: {chart.text(series.points[first])} at {chart.axis} {first}, "
                     f"{chart.text(series.points[last])} at {chart.axis} {last}.")  # fmt: skip
    return " ".join(words)
