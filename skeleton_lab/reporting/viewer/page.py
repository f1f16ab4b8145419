"""The page that plays clips: the player of the report, several of them in step. One file, nothing fetched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skeleton_lab.reporting.html import shell
from skeleton_lab.reporting.html.markup import Markup, join, tag
from skeleton_lab.reporting.viewer.clip_view import Shown

RESOURCES = Path(__file__).parent / "resources"
KEYS = "Drag or use the arrow keys to turn the view, space to play, comma and full stop to step."
PERSONS = 2  # colours; a third person has the first one's


def build(clips: Sequence[Shown], title: str, subtitle: str, fps: float, across: int | None = None) -> str:
    """The whole page as text; ``across`` clips side by side, by default as many as fit."""
    cards = [card(place, shown) for place, shown in enumerate(clips)]
    style = f"--across: {across}" if across else None
    header = tag("header", tag("h1", title), tag("p", subtitle, class_="muted"), tag("p", KEYS, class_="muted"))
    grid = tag("div", cards, class_="pairs across" if across else "pairs", style=style)
    body = join(header, tag("main", _together() if len(clips) > 1 else None, legend(clips), grid))
    data = {"fps": fps, "clips": [shown.as_json() for shown in clips], "edges": []}
    texts = [shell.resource("common.js"), shell.resource("player.js"), (RESOURCES / "together.js").read_text("utf-8")]
    styles = shell.resource("style.css") + (RESOURCES / "view.css").read_text("utf-8")
    return shell.assembled(title, body, data, styles, texts)


def card(place: int, shown: Shown) -> Markup:
    """One clip with its controls; ``place`` is its number among the page's clips."""
    told = f"Skeleton of {shown.title}, {shown.details}. Arrow keys turn, space plays, comma and full stop step."
    stage = tag("canvas", class_="stage", tabindex=0, role="img", aria_label=told)
    slider = tag("input", type="range", min=0, max=0, value=0, aria_label=f"Frame: {shown.title}")
    controls = tag(
        "div", tag("button", "Play", type="button"), slider, tag("output", class_="muted"), class_="controls"
    )
    content = [tag("h3", shown.title), tag("p", shown.details, class_="sub"), stage, controls]
    return tag("article", content, class_="pair", data_clip=place)


def _together() -> Markup:
    """What moves all clips at once; ``together.js`` brings it to life."""
    slider = tag("input", type="range", min=0, max=0, value=0, aria_label="Frame of all clips")
    return tag("div", tag("button", "Play all", type="button"), slider, tag("output", class_="muted"),
               class_="controls card", id="together")  # fmt: skip


def legend(clips: Sequence[Shown]) -> Markup:
    """The colours that occur."""
    persons = min(PERSONS, max(shown.clip.points.shape[1] for shown in clips))
    sides = ["", "-left", "-right"] if any(any(shown.skeleton.sides) for shown in clips) else [""]
    told = {"": "", "-left": ", left limbs", "-right": ", right limbs"}
    keys = [
        tag("span", tag("i", class_="key", style=f"color: var(--person{m}{side})"), f"person {m + 1}{told[side]}")
        for m in range(persons)
        for side in sides
    ]
    return tag("p", keys, class_="legend")
