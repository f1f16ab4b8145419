"""Skeletons as a page: a drawing with the numbers of the joints, and the tables of the registry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skeleton_lab.reporting.html import shell
from skeleton_lab.reporting.html.shell import Section
from skeleton_lab.reporting.skeletons import picture, words
from skeleton_lab.skeletons import figure
from skeleton_lab.skeletons.layouts import Layout

TEMPLATES = "reporting/skeletons/templates"
STYLES = ("reporting/skeletons/skeletons.css",)
PIXELS = {False: 300, True: 480}  # of a metre; True: of a body with many joints
AWAY = 13  # pixels from a joint to its number


def html(layouts: Sequence[Layout]) -> str:
    """The page as text: one skeleton in all detail, or a table of several and their drawings."""
    alone = len(layouts) == 1
    first = layouts[0]
    sections = [] if alone else [Section("all", "All of them", f"{TEMPLATES}/table.html.j2", _all(layouts))]
    for each in layouts:
        values = {
            "drawing": drawing(each),
            "joints": (words.OF_JOINTS, words.joints(each)),
            "facts": words.facts(each),
            "name": each.name,
        }
        title = "Joints" if alone else f"{each.title} ({each.name})"
        sections.append(Section("joints" if alone else each.name, title, f"{TEMPLATES}/skeleton.html.j2", values))
    return shell.render(
        shell.SECTIONS,
        title=f"Skeleton {first.name}" if alone else "Skeletons",
        data={},
        styles=STYLES,
        heading=f"{first.title} ({first.name})" if alone else "Skeletons",
        about=f"{first.V} joints: {words.coordinates(first)}" if alone else f"{len(layouts)} that the lab knows",
        notices=[],
        tiles=[],
        navigation=not alone,
        sections=sections,
    )


def _all(layouts: Sequence[Layout]) -> dict[str, object]:
    return {"head": words.TITLES, "rows": [words.row(each) for each in layouts]}


def drawing(layout: Layout) -> dict[str, object]:
    """What the template draws, in pixels, y down: lines, and a dot with number, name and side for every joint."""
    places = figure.places(layout)
    away = picture.outward(layout, places)
    scale = PIXELS[layout.V > picture.MANY]
    at = (places - [places[:, 0].min(), places[:, 1].max()]) * [scale, -scale] + 30
    width, height = np.maximum(at.max(0) + 30, 240)
    at[:, 0] += (width - 30 - at[:, 0].max()) / 2
    side = {picture.LEFT: "left", picture.RIGHT: "right", picture.MIDDLE: "middle"}
    dots = [
        {
            "x": f"{at[k, 0]:.1f}", "y": f"{at[k, 1]:.1f}", "name": f"{k} {layout.joints[k]}", "text": text,
            "tx": f"{at[k, 0] + AWAY * away[k, 0]:.1f}", "ty": f"{at[k, 1] - AWAY * away[k, 1] + 4:.1f}",
            "side": side[picture.ink(layout, k)],
        }
        for k, text in picture.labels(places)
    ]  # fmt: skip
    lines = [[f"{value:.1f}" for value in at[[child, parent]].ravel()] for child, parent in layout.bones]
    return {"width": round(float(width)), "height": round(float(height)), "lines": lines, "dots": dots}
