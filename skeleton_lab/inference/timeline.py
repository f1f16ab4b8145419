"""When the network sees what: windows as stretches of time, and the window that a frame belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skeleton_lab.inference.windows import ALL, Recordings, Row


def by_recording(rows: Sequence[Row]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row.recording, []).append(row)
    return found


def nearest(spans: Sequence[tuple[int, int]], frames: np.ndarray) -> np.ndarray:
    """For each frame the place of the (first, end) span whose middle is nearest; the earlier of two."""
    middles = np.array([first + end - 1 for first, end in spans], np.float64)  # twice
    order = np.argsort(middles, kind="stable")
    between = (middles[order][1:] + middles[order][:-1]) / 2
    return order[np.searchsorted(between, 2 * frames, side="left")]


def stretches(rows: Sequence[Row]) -> list[list[float]]:
    """[first, end, class, mean probability, doubt] of one person's windows, where each is the nearest.

    Equal ones are joined. Doubt is 1 where a calibrated network knows no such class, else 0.
    """
    rows = sorted(rows, key=lambda row: row.first + row.last)
    made: list[list[float]] = []
    weight = 0
    for place, row in enumerate(rows):
        first: float = row.first
        end = row.last
        if place and rows[place - 1].last > first:
            first = made[-1][1]
        if place + 1 < len(rows) and rows[place + 1].first < end:
            after = rows[place + 1]
            end = (row.first + row.last + after.first + after.last) // 4
        p = row.probabilities
        best, doubt = int(p.argmax()), int(row.known is False)
        if made and made[-1][1:3] == [first, best] and made[-1][4] == doubt:
            made[-1][3] = (made[-1][3] * weight + float(p[best])) / (weight + 1)
            made[-1][1], weight = end, weight + 1
        else:
            made.append([first, end, best, float(p[best]), doubt])
            weight = 1
    return [[first, end, best, round(p, 4), doubt] for first, end, best, p, doubt in made]


def as_json(recordings: Recordings, rows: Sequence[Row], names: Sequence[str], totals: dict[int, int]) -> list[dict]:
    """One entry per recording: name, label, frames, and a lane for everybody and for each person."""
    made = []
    of = by_recording(rows)
    for k, name in enumerate(recordings.names):
        mine = of.get(k, [])
        people = sorted({row.who for row in mine}, key=lambda who: (who != ALL, who))
        lanes = [[who, stretches([row for row in mine if row.who == who])] for who in people]
        entry: dict[str, Any] = {"name": name, "total": totals.get(k) or len(recordings.points(k)), "lanes": lanes}
        label = None if recordings.labels is None else recordings.labels[k]
        if label is not None:
            entry["label"] = names[label] if 0 <= label < len(names) else str(label)
        made.append(entry)
    return made
