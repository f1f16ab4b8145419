"""The skeletons with what the network says about them: a page that plays them, and a PNG of the windows."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skeleton_lab.errors import UsageError
from skeleton_lab.inference import timeline
from skeleton_lab.inference.predictions import DOUBT, main_row, top
from skeleton_lab.inference.windows import ALL, Recordings, Row
from skeleton_lab.reporting.html import clip_json, shell
from skeleton_lab.reporting.viewer import page as view_page
from skeleton_lab.reporting.viewer.clip_view import Shown, without_gaps
from skeleton_lab.skeletons.schemes import SCORE
from skeleton_lab.skeletons.sides import of_layout, skeleton, told_upright, upright
from skeleton_lab.utils.importing import optional

TEMPLATE = "inference/templates/predictions.html.j2"
STYLES = (view_page.STYLE, "inference/resources/captions.css")
SCRIPTS = (view_page.PLAYER, "inference/resources/captions.js", "inference/resources/timeline.js")
MOST_FRAMES = 40_000  # that a page plays, some 10 MB
PER_PAGE, MOST_PANELS = 12, 16
SIDE = 260  # pixels of a panel
PIECE = clip_json.FRAMES  # frames of a card; a long recording fills several


@dataclass
class Labelled(Shown):
    """A piece of a recording, played with ``fps`` frames per second.

    ``at`` (T,) is the window of each frame, ``told`` what was said about each window.
    """

    at: list[int] = field(default_factory=list)
    told: list[list[dict[str, Any]]] = field(default_factory=list)
    recording: int = 0
    fps: float = 30.0

    def as_json(self) -> dict:
        return super().as_json() | {
            "at": self.at, "told": self.told, "title": self.title, "details": self.details,
            "recording": self.recording, "fps": self.fps,
        }  # fmt: skip


def shown(
    points: np.ndarray, recordings: Recordings, first: int, total: int, title: str, details: str, every: int = 1
) -> dict[str, Any]:
    """Arguments of ``Shown`` for frames (T, M, V, C) of a recording: every ``every``-th from ``first`` on."""
    known = recordings.skeleton
    turned, flat = upright(points) if known is None else told_upright(points, known, recordings.scored, SCORE)
    there = turned.any(-1)
    clip = clip_json.clip(without_gaps(turned, there) if flat else turned, 0, 0, title)
    kept = there[:, there.any((0, 2))] if there.any() else there[:, :1]
    length = len(clip.points)
    numbers = first + every * np.arange(length) + 1
    drawn = skeleton(points.shape[2]) if known is None else of_layout(known)
    return dict(
        clip=clip, skeleton=drawn, numbers=numbers, total=total,
        found=kept[:length] if flat else np.ones(clip.points.shape[:3], bool), flat=flat, title=title, details=details,
    )  # fmt: skip


@dataclass
class Plan:
    """Which recordings a page plays: (recording, frames, every so many-th frame of it) each."""

    played: list[tuple[int, int, int]]
    totals: dict[int, int]  # frames of every recording


def plan(recordings: Recordings, rows: Sequence[Row]) -> Plan:
    """The first recordings, as many as a page should hold; of one that is longer than a page, every n-th frame."""
    totals = {k: max(row.last for row in mine) for k, mine in timeline.by_recording(rows).items()}
    played, left = [], MOST_FRAMES
    for k in totals:
        if not left:
            break
        total = totals[k] = len(recordings.points(k))
        every = -(-total // MOST_FRAMES)
        if total // every > left and played:
            break
        left = max(0, left - total // every)
        played.append((k, total, every))
    return Plan(played, totals)


def cards(
    recordings: Recordings, rows: Sequence[Row], names: Sequence[str], fps: float, chosen: Plan
) -> list[Labelled]:
    """Every recording that is played, in pieces of at most 300 frames."""
    made: list[Labelled] = []
    of = timeline.by_recording(rows)
    for k, total, every in chosen.played:
        points = recordings.points(k)
        spans = list(dict.fromkeys((row.first, row.last) for row in of[k]))
        told = [[_said(row, names, fps) for row in of[k] if (row.first, row.last) == span] for span in spans]
        details = _details(recordings, k, names) + (f", every {ordinal(every)} frame" if every > 1 else "")
        for first in range(0, total, PIECE * every):
            end = min(first + PIECE * every, total)
            title = f"{recordings.names[k]}, {clock(first / fps)} to {clock(end / fps)}"
            drawn = shown(points[first:end:every], recordings, first, total, title, details, every)
            at = timeline.nearest(spans, np.asarray(drawn["numbers"]) - 1)
            used = np.unique(at)
            made.append(Labelled(**drawn, at=np.searchsorted(used, at).tolist(), told=[told[n] for n in used],
                                 recording=k, fps=fps / every))  # fmt: skip
    return made


def clock(seconds: float) -> str:
    """``4.5 s``, from a minute on ``1:04.5``, from an hour on ``1:00:04.5``."""
    tenths = round(10 * seconds)
    minutes, rest = divmod(tenths, 600)
    if not minutes:
        return f"{rest / 10:.1f} s"
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:{minutes:02d}" if hours else f"{minutes}") + f":{rest / 10:04.1f}"


def ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 not in (11, 12, 13) else 0, "th")
    return f"{number}{ending}"


def _details(recordings: Recordings, k: int, names: Sequence[str]) -> str:
    label = None if recordings.labels is None else recordings.labels[k]
    if label is None:
        return f"{recordings.scheme} key points"
    return f"label: {names[label] if 0 <= label < len(names) else label}"


def _said(row: Row, names: Sequence[str], fps: float) -> dict[str, Any]:
    best = top(row.probabilities, names)
    who = "" if row.who == ALL else f"{row.who}, "
    return {
        "who": f"{who}{clock(row.first / fps)} to {clock(row.last / fps)}" + f", {DOUBT}" * (row.known is False),
        "best": [[each["name"], each["probability"]] for each in best],
    }


def html(
    recordings: Recordings, rows: Sequence[Row], names: Sequence[str], fps: float, subtitles: Sequence[str]
) -> bytes:
    """One page that needs nothing else: the timelines of all recordings, and the skeletons as far as a page goes."""
    chosen = plan(recordings, rows)
    clips = cards(recordings, rows, names, fps, chosen)
    lanes = timeline.as_json(recordings, rows, names, chosen.totals)
    occurring = {int(part[2]) for entry in lanes for _, parts in entry["lanes"] for part in parts}
    data = {
        "fps": fps, "clips": [each.as_json() for each in clips], "edges": [], "timeline": lanes, "perPage": PER_PAGE,
        "classes": {k: names[k] for k in sorted(occurring)},
    }  # fmt: skip
    return shell.render(
        TEMPLATE, title=f"Predictions: {subtitles[0].partition(':')[0]}", data=data, styles=STYLES, scripts=SCRIPTS,
        subtitles=subtitles, doubts=any(row.known is False for row in rows),
        notices=list(_left_out(chosen, len(recordings))), legend=list(view_page.legend(clips)),
        cards=clips[:PER_PAGE],
    ).encode()  # fmt: skip


def _left_out(chosen: Plan, count: int) -> Iterator[str]:
    """What the page does not play, in words."""
    if len(chosen.played) < len(chosen.totals):
        yield (
            f"The skeletons of the first {len(chosen.played):,} of {len(chosen.totals):,} recordings play on this "
            "page, which would get too large; the timeline has all of them. With --index the page plays others."
        )
    if len(chosen.totals) < count:
        yield f"In {count - len(chosen.totals):,} of {count:,} recordings nobody is seen: nothing was asked about them."


def png(recordings: Recordings, rows: Sequence[Row], names: Sequence[str], fps: float) -> tuple[Any, str]:
    """A picture (PIL) of the middle frame of each window with its best class; which ones, where they are not all.

    No picture, and a line on stderr, where Pillow is not installed.
    """
    try:
        optional("PIL.Image", "Pillow", "report", "a PNG of the windows")
    except UsageError as error:
        print(f"no picture: {error}", file=sys.stderr)
        return None, ""
    from skeleton_lab.reporting.viewer.raster import Sheet

    spans = dict.fromkeys((row.recording, row.first, row.last) for row in rows)
    spans = [(k, first, last) for k, first, last in spans if recordings.points(k)[first:last].any()]
    if not spans:
        return None, ""  # an archive's clips may show nobody
    chosen = np.unique(np.linspace(0, len(spans) - 1, min(len(spans), MOST_PANELS)).round().astype(int))
    panels = []
    for k, first, last in (spans[i] for i in chosen):
        middle = (first + last - 1) // 2
        row = main_row([row for row in rows if (row.first, row.last) == (first, last)], k, middle)
        best = top(row.probabilities, names, 1)[0]
        points = recordings.points(k)
        present = first + np.flatnonzero(points[first:last].any((1, 2, 3)))
        frame = int(present[np.abs(present - middle).argmin()])
        title = f"{100 * best['probability']:.0f} % {best['name']}"
        details = f"{recordings.names[k]}, {clock(first / fps)} to {clock(last / fps)}"
        details += f", {DOUBT}" * (row.known is False)
        panels.append(Shown(**shown(points[frame : frame + 1], recordings, frame, len(points), title, details)))
    told = f"{len(panels)} of {len(spans)} windows, evenly spaced" if len(panels) < len(spans) else ""
    return Sheet(panels, SIDE).picture(0), told
