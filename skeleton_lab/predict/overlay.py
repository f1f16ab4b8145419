"""The skeletons with what the network says about them: a page that plays them, and a PNG of the windows."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.errors import UsageError
from skeleton_lab.imports import optional
from skeleton_lab.predict.clips import ALL, Recordings, Row
from skeleton_lab.predict.results import main_row, probabilities, top
from skeleton_lab.report import page, skeletons
from skeleton_lab.report.markup import Markup, join, tag
from skeleton_lab.view import page as view_page
from skeleton_lab.view.shown import Shown
from skeleton_lab.view.skeleton import skeleton, upright

RESOURCES = Path(__file__).parent / "resources"
MOST_CARDS, MOST_PANELS = 24, 16
SIDE = 260  # pixels of a panel
PIECE = skeletons.FRAMES  # frames of a card; a long recording fills several


@dataclass
class Labelled(Shown):
    """A piece of a recording; ``at`` (T,) is the window of each frame, ``told`` what was said about each window."""

    at: list[int] = field(default_factory=list)
    told: list[list[dict[str, Any]]] = field(default_factory=list)

    def as_json(self) -> dict:
        return super().as_json() | {"at": self.at, "told": self.told}


def _shown(points: np.ndarray, first: int, total: int, title: str, details: str) -> dict[str, Any]:
    """Arguments of ``Shown`` for the frames (T, M, V, C) of a recording from ``first`` on."""
    turned, flat = upright(points)
    there = turned.any(-1)
    clip = skeletons.clip(turned, 0, 0, title)
    kept = there[:, there.any((0, 2))] if there.any() else there[:, :1]
    length = len(clip.points)
    return dict(
        clip=clip, skeleton=skeleton(points.shape[2]), numbers=np.arange(first, first + length) + 1, total=total,
        found=kept[:length] if flat else np.ones(clip.points.shape[:3], bool), flat=flat, title=title, details=details,
    )  # fmt: skip


def _pieces(recordings: Recordings, rows: Sequence[Row]) -> Iterator[tuple[int, int, np.ndarray, int]]:
    """(recording, first frame, points, frames of the recording), at most 300 frames each."""
    for k in dict.fromkeys(row.recording for row in rows):
        points = recordings.points(k)
        for first in range(0, len(points), PIECE):
            yield k, first, points[first : first + PIECE], len(points)


def cards(recordings: Recordings, rows: Sequence[Row], names: Sequence[str], fps: float) -> list[Labelled]:
    """The first pieces, as many as a page should have."""
    made: list[Labelled] = []
    for k, first, points, total in _pieces(recordings, rows):
        if len(made) == MOST_CARDS:
            break
        mine = [row for row in rows if row.recording == k]
        shown = _shown(points, first, total, recordings.names[k], _details(recordings, k, names))
        places = {span: n for n, span in enumerate(dict.fromkeys((row.first, row.last) for row in mine))}
        told = [[_said(row, names, fps) for row in mine if (row.first, row.last) == span] for span in places]
        windows = [main_row(mine, k, first + frame) for frame in range(len(shown["numbers"]))]
        made.append(Labelled(**shown, at=[places[(row.first, row.last)] for row in windows], told=told))
    return made


def _details(recordings: Recordings, k: int, names: Sequence[str]) -> str:
    if recordings.labels is None:
        return f"{recordings.scheme} key points"
    label = int(recordings.labels[k])
    return f"label: {names[label] if 0 <= label < len(names) else label}"


def _said(row: Row, names: Sequence[str], fps: float) -> dict[str, Any]:
    best = top(probabilities(row.logits), names)
    who = "" if row.who == ALL else f"{row.who}, "
    return {
        "who": f"{who}{row.first / fps:.1f} to {row.last / fps:.1f} s",
        "best": [[each["name"], each["probability"]] for each in best],
    }


def html(recordings: Recordings, rows: Sequence[Row], names: Sequence[str], fps: float, subtitle: str) -> bytes:
    """One page that needs nothing else."""
    clips = cards(recordings, rows, names, fps)
    header = tag(
        "header", tag("h1", "Predictions"), tag("p", subtitle, class_="muted"),
        tag("p", view_page.KEYS, class_="muted"),
    )  # fmt: skip
    grid = tag("div", [_card(place, shown) for place, shown in enumerate(clips)], class_="pairs")
    body = join(header, tag("main", view_page.legend(clips), grid))
    data = {"fps": fps, "clips": [shown.as_json() for shown in clips], "edges": []}
    scripts = [page.resource("common.js"), page.resource("player.js"), (RESOURCES / "captions.js").read_text("utf-8")]
    styles = [page.resource("style.css"), (view_page.RESOURCES / "view.css").read_text("utf-8"),
              (RESOURCES / "captions.css").read_text("utf-8")]  # fmt: skip
    return page.assembled("Predictions", body, data, "".join(styles), scripts).encode()


def _card(place: int, shown: Labelled) -> Markup:
    card = view_page.card(place, shown)
    return Markup(card.removesuffix("</article>") + tag("div", class_="told") + "</article>")


def png(recordings: Recordings, rows: Sequence[Row], names: Sequence[str], fps: float) -> Any:
    """A picture (PIL) of the middle frame of each window with its best class; of many windows, some.

    None, and a line on stderr, where Pillow is not installed.
    """
    try:
        optional("PIL.Image", "Pillow", "report", "a PNG of the windows")
    except UsageError as error:
        print(f"no picture: {error}", file=sys.stderr)
        return None
    from skeleton_lab.view.drawing import Sheet

    spans = list(dict.fromkeys((row.recording, row.first, row.last) for row in rows))
    chosen = np.unique(np.linspace(0, len(spans) - 1, min(len(spans), MOST_PANELS)).round().astype(int))
    panels = []
    for k, first, last in (spans[i] for i in chosen):
        middle = (first + last - 1) // 2
        row = main_row([row for row in rows if (row.first, row.last) == (first, last)], k, middle)
        best = top(probabilities(row.logits), names, 1)[0]
        points = recordings.points(k)
        present = first + np.flatnonzero(points[first:last].any((1, 2, 3)))
        frame = int(present[np.abs(present - middle).argmin()])
        title = f"{100 * best['probability']:.0f} % {best['name']}"
        details = f"{recordings.names[k]}, {first / fps:.1f} to {last / fps:.1f} s"
        panels.append(Shown(**_shown(points[frame : frame + 1], frame, len(points), title, details)))
    return Sheet(panels, SIDE).picture(0)
