"""The page that plays clips: the player of the report, several of them in step. One file, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from skeleton_lab.reporting.html import shell
from skeleton_lab.reporting.viewer.clip_view import Shown

TEMPLATE = "reporting/viewer/templates/page.html.j2"
STYLE = "reporting/viewer/resources/view.css"
PLAYER = "reporting/html/resources/player.js"
TOGETHER = "reporting/viewer/resources/together.js"
PERSONS = 2  # colours; a third person has the first one's


def build(clips: Sequence[Shown], title: str, subtitle: str, fps: float, across: int | None = None) -> str:
    """The whole page as text; ``across`` clips side by side, by default as many as fit."""
    data = {"fps": fps, "clips": [shown.as_json() for shown in clips], "edges": []}
    return shell.render(
        TEMPLATE, title=title, data=data, styles=[STYLE], scripts=[PLAYER, TOGETHER], subtitle=subtitle, clips=clips,
        legend=list(legend(clips)), across=across,
    )  # fmt: skip


def legend(clips: Sequence[Shown]) -> Iterator[tuple[str, str]]:
    """(ending of the colour's name, words) of the colours that occur."""
    persons = min(PERSONS, max(shown.clip.points.shape[1] for shown in clips))
    sided = any(any(shown.skeleton.sides) for shown in clips)
    for m in range(persons):
        yield f"{m}", f"person {m + 1}"
        if sided:
            yield f"{m}-left", f"person {m + 1}, left limbs"
            yield f"{m}-right", f"person {m + 1}, right limbs"
