"""The page of explained clips: skeletons whose joints are coloured, and under each the curve and the map in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skeleton_lab.explain.attribution import METHODS
from skeleton_lab.explain.cells import JOINTS, shares
from skeleton_lab.explain.results import WORDS, Explained, told_number
from skeleton_lab.inference import overlay
from skeleton_lab.inference.windows import ALL, Recordings
from skeleton_lab.reporting.html import clip_json, shell
from skeleton_lab.reporting.html.shell import percent
from skeleton_lab.reporting.viewer import page as view_page
from skeleton_lab.reporting.viewer.clip_view import Shown

TEMPLATE = "explain/templates/explanations.html.j2"
STYLES = (view_page.STYLE, "explain/resources/explain.css")
SCRIPTS = (view_page.PLAYER, "explain/resources/explain.js")
MOST = 12  # clips of a page
FINEST = 127  # values of a map are told in so many steps of its largest


@dataclass
class Card(Shown):
    """A clip with its maps; ``limbs``: rows of the table under it."""

    maps: dict[str, Any] = field(default_factory=dict)
    limbs: list[list[str]] = field(default_factory=list)

    def as_json(self) -> dict:
        return super().as_json() | self.maps


def card(explained: Explained, recordings: Recordings, classes: Sequence[str], fps: float) -> Card:
    """Of a clip; of a long one every n-th frame is played."""
    asked, cells, maps = explained.asked, explained.cells, explained.maps
    first, total = asked.row.first, len(asked.points)
    every = -(-total // clip_json.FRAMES)
    there = np.flatnonzero(asked.points.any((0, 2, 3))).tolist()

    def drawn(people: Sequence[int]) -> dict[str, Any]:
        return overlay.shown(asked.points[::every, people], recordings, first, first + total, title, details, every)

    who = "" if asked.row.who == ALL else f", {asked.row.who}"
    title = f"{asked.name}{who}: {classes[maps.target]}"
    label = "" if asked.label is None or not 0 <= asked.label < len(classes) else f", label: {classes[asked.label]}"
    details = (
        f"{percent(asked.p, 1)}{label}, log-odds {maps.odds:.2f}, without motion {maps.still:.2f}, agreement of the "
        f"methods {told_number(explained.agreement)}"
    )
    seen = [k for k, person in enumerate(there) if drawn([person])["found"].any()]  # scores may be too low to draw
    shown = drawn([there[k] for k in seen] or [0])
    persons = [cells.persons[k] for k in seen if k < len(cells.persons)]
    of = np.zeros(cells.shape[2], int)
    for number, part in enumerate(cells.parts):
        of[list(part.joints)] = number
    values = {method: maps.of[method][persons] for method in METHODS}
    reach = {method: float(np.abs(each).max(initial=0)) or 1.0 for method, each in values.items()}
    told = {
        "parts": [part.name for part in cells.parts], "of": of.tolist(), "bounds": (first + cells.bounds).tolist(),
        "reach": reach, "fps": fps / every, "persons": len(persons), "rate": fps,
        "maps": {m: np.rint(each / reach[m] * FINEST).astype(int).ravel().tolist() for m, each in values.items()},
    }  # fmt: skip
    found = {method: shares(maps.of[method], cells.parts) for method in METHODS}
    limbs = [[name, *(percent(found[method][name], 1) for method in METHODS)] for name in found[METHODS[0]]]
    return Card(**shown, maps=told, limbs=limbs)


def html(
    explained: Sequence[Explained], recordings: Recordings, classes: Sequence[str], fps: float, title: str,
    subtitles: Sequence[str], notices: Sequence[str] = (), kind: str = JOINTS,
) -> bytes:  # fmt: skip
    """One file that needs nothing else, of the first clips; ``kind``: of the parts, as of ``cells.parts_of``."""
    cards = [card(each, recordings, classes, fps) for each in explained[:MOST]]
    if len(explained) > MOST:
        notices = [*notices, f"The first {MOST} of {len(explained)} clips are shown; the JSON file has all of them."]
    whose, parts = ("they say", "joints") if kind == JOINTS else ("their part of the body says", "parts of the body")
    data = {"fps": fps, "clips": [each.as_json() for each in cards], "edges": [], "methods": WORDS, "finest": FINEST}
    return shell.render(
        TEMPLATE, title=title, data=data, styles=STYLES, scripts=SCRIPTS, subtitles=subtitles, notices=notices,
        cards=cards, whose=whose, parts=parts, methods=list(WORDS.items()), head=["part of the body", *WORDS.values()],
    ).encode()  # fmt: skip
