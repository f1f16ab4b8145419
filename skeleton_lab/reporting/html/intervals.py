"""Intervals of shares, one under the other on one scale: what the macro ``interval`` of parts.html.j2 draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skeleton_lab.reporting.html import line_chart

WIDTH, MARGIN = 190, 8  # of the picture of an interval


class Scale:
    """From ``low`` to ``high``, round shares around all values; ``grid``: places of its lines.

    Args:
        values: all that will be drawn, fractions.
    """

    def __init__(self, values: Sequence[float]) -> None:
        ticks = line_chart.ticks(min(values), max(values))
        self.low, self.high = max(0.0, ticks[0]), min(1.0, ticks[-1])
        self.grid = [self.place(tick) for tick in ticks if self.low <= tick <= self.high]

    def place(self, value: float) -> float:
        return round(MARGIN + (WIDTH - 2 * MARGIN) * (value - self.low) / ((self.high - self.low) or 1), 1)

    def drawn(self, span: tuple[float, float], dots: Sequence[float]) -> dict[str, Any]:
        """A line from end to end of a span, and dots."""
        ends = max(self.low, span[0]), min(self.high, span[1])
        return {"line": [self.place(end) for end in ends], "dots": [self.place(dot) for dot in dots]}
