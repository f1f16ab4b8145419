"""Skeletons as a PNG: one large, or all of them on a sheet, with the numbers of their joints."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from skeleton_lab.skeletons import figure
from skeleton_lab.skeletons.layouts import Layout
from skeleton_lab.utils.importing import optional

LEFT, RIGHT, MIDDLE = "#D55E00", "#0072B2", "#444444"  # Okabe and Ito's, apart for the colour blind too
ACROSS = 7
MANY = 60  # joints that need a large picture


def draw(layouts: Sequence[Layout]) -> bytes:
    """The PNG of one skeleton, or of several side by side.

    Raises:
        UsageError: Matplotlib is not installed.
    """
    optional("matplotlib", "Matplotlib", "report", "--output *.png")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    many = any(each.V > MANY for each in layouts)
    across = min(ACROSS, len(layouts))
    down = -(-len(layouts) // across)
    width, height = (10.0, 10.5) if len(layouts) == 1 and many else (6.4, 7.2) if len(layouts) == 1 else (3.4, 3.9)
    sheet = Figure(figsize=(width * across, height * down), dpi=100)
    FigureCanvasAgg(sheet)
    panels = sheet.subplots(down, across, squeeze=False).flat
    for panel in panels:
        panel.axis("off")
    for panel, each in zip(sheet.axes, layouts):
        _skeleton(panel, each, size=8 if len(layouts) == 1 else 5)
    sheet.text(0.5, 0.004, "orange: the person's left, blue: right", ha="center", va="bottom", fontsize=9, color=MIDDLE)
    sheet.tight_layout(rect=(0, 0.02, 1, 1))
    buffer = io.BytesIO()
    sheet.savefig(buffer, format="png")
    return buffer.getvalue()


def ink(layout: Layout, joint: int) -> str:
    """The colour of a joint's side."""
    if joint == layout.mirror[joint]:
        return MIDDLE
    return LEFT if joint in {left for left, _ in layout.pairs} else RIGHT


def _skeleton(panel: Any, layout: Layout, size: int) -> None:
    at = figure.places(layout)
    for joint, parent in layout.bones:
        panel.plot(*at[[joint, parent]].T, color="#BFC7CE", linewidth=size / 4, zorder=1)
    panel.scatter(*at.T, s=2 * size, c=[ink(layout, joint) for joint in range(layout.V)], zorder=2)
    for (k, text), (dx, dy) in zip(labels(at), outward(layout, at)):
        panel.annotate(
            text, at[k], (0.9 * size * dx, 0.9 * size * dy), textcoords="offset points", fontsize=size,
            color=ink(layout, k), ha="center", va="center",
        )  # fmt: skip
    panel.set_title(f"{layout.title} ({layout.name})", fontsize=size + 4, parse_math=False)
    panel.set_aspect("equal")
    middle, half = (at.max(0) + at.min(0)) / 2, np.maximum((at.max(0) - at.min(0)) / 2, 0.2) + 0.08
    panel.set(xlim=(middle[0] - half[0], middle[0] + half[0]), ylim=(middle[1] - half[1], middle[1] + half[1]))


def labels(at: np.ndarray) -> list[tuple[int, str]]:
    """The number of each joint, with those of others in the same place; they have an empty text of their own."""
    same = [np.flatnonzero(np.abs(at - place).max(1) < 1e-6).tolist() for place in at]
    return [(k, " ".join(map(str, group)) if k == group[0] else "") for k, group in enumerate(same)]


def outward(layout: Layout, at: np.ndarray) -> np.ndarray:
    """(V, 2) unit directions from each joint in which its number has most room: away from bones and joints nearby."""
    near = np.vstack([at, (at[[child for child, _ in layout.bones]] + at[[parent for _, parent in layout.bones]]) / 2])
    away = at[:, None] - near[None]
    distance = np.linalg.norm(away, axis=-1, keepdims=True)
    push = np.where(distance > 1e-9, away / np.maximum(distance, 1e-9) ** 3, 0).sum(1)
    push[:, 0] += np.sign(at[:, 0]) * 1e-3 + 1e-4  # to a side where nothing is nearby
    return push / np.linalg.norm(push, axis=1, keepdims=True)
