"""The page: the runs in a table, any two of them by class, parts of the clips, curves, cost, published figures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from skeleton_lab.compare import curves, sections
from skeleton_lab.compare.comparison import Comparison, occurring
from skeleton_lab.compare.figures import Row, shown
from skeleton_lab.reporting.html import line_chart, shell
from skeleton_lab.reporting.html.shell import Section, Tile

SCRIPTS = (
    "reporting/html/resources/charts.js", "reporting/html/resources/confusion.js", "compare/resources/compare.js",
)  # fmt: skip
STYLE = "compare/resources/compare.css"
MOST = 8_000_000  # bytes of answers that the page holds; runs beyond cannot be chosen there


def build(found: Comparison) -> str:
    """The whole page as text."""
    drawn = [line_chart.draw(chart, place) for place, chart in enumerate(curves.charts(found.shown))]
    rows = embedded(found)
    parts: list[Section | None] = [sections.accuracy(found), sections.fused(found)]
    if found.chosen is not None:
        parts.append(sections.pair(found, rows))
    parts += [sections.parts(found), sections.classes(found), sections.curves(found, drawn), sections.published(found)]
    parts += [sections.cost(found), sections.runs(found)]
    data = {"charts": [chart.hover for chart in drawn], "confusion": None, "paired": _paired(found, rows)}
    return shell.render(
        shell.SECTIONS, title=f"Comparison of {len(found.rows)} runs", data=data, scripts=SCRIPTS, styles=(STYLE,),
        sections=[part for part in parts if part is not None], navigation=True, **_headline(found),
    )  # fmt: skip


def embedded(found: Comparison) -> list[Row]:
    """The runs whose answers the page holds: the best, and the chosen two, as many as fit."""
    rows = found.rows
    most = max(2, MOST // (len(found.clips) * _bytes(found)))
    kept = [row for row in rows if found.chosen and row in found.chosen]
    kept += [row for row in rows if row not in kept][: most - len(kept)]
    return [row for row in rows if row in kept]


def _bytes(found: Comparison) -> int:
    return 1 if found.clips.classes <= 256 else 2


def _paired(found: Comparison, rows: Sequence[Row]) -> dict[str, Any] | None:
    """What compare.js computes with: class ids of all clips, of the truth and of every run, in base64."""
    if found.chosen is None:
        return None
    ids = occurring(found).tolist()
    kind = np.uint8 if _bytes(found) == 1 else np.dtype("<u2")

    def packed(values: np.ndarray) -> str:
        return base64.b64encode(values.astype(kind).tobytes()).decode()

    return {
        "runs": [row.name for row in rows], "ids": ids, "names": [found.class_names[k] for k in ids],
        "bytes": _bytes(found), "labels": packed(found.clips.labels),
        "predicted": [packed(row.result.predicted) for row in rows],
    }  # fmt: skip


def _headline(found: Comparison) -> dict[str, Any]:
    groups, best = found.groups, found.groups[0]
    classes = len(np.unique(found.clips.labels))
    tiles = [
        Tile("Best", f"{shown(best.over_seeds(lambda row: row.best.value))} %", [best.name, sections.seeds(best)]),
        Tile("Test clips", f"{len(found.clips):,}", [f"of {classes} classes"]),
    ]
    if len(groups) > 1:
        second = groups[1]
        points = 100 * (best.top1 - second.top1)
        tiles.insert(1, Tile("Ahead of the second by", f"{points:.2f} points", [second.name, _tested(found)]))
    notices = list(found.notices)
    if found.unfinished:
        names = ", ".join(each.name for each in found.unfinished[:10])
        more = f" and {len(found.unfinished) - 10} more" if len(found.unfinished) > 10 else ""
        notices.append(f"Not finished, or never tested, and not compared: {names}{more}.")
    count = len(found.rows)
    what = f"{count} {'run' if count == 1 else 'runs'}"
    return {
        "heading": f"Comparison of {what}",
        "about": what if count == len(groups) else f"{what} in {len(groups)} groups that differ by their seed alone",
        "notices": notices, "tiles": [tiles],
    }  # fmt: skip


def _tested(found: Comparison) -> str:
    """The paired test of the best runs of the first two groups, if they are the chosen two."""
    best = [max(group.rows, key=lambda row: row.answers.right).name for group in found.groups[:2]]
    pair = next((each for each in found.pairs if {each.a, each.b} == set(best)), None)
    return "" if pair is None else f"their best runs: p {sections.short_p(pair.p)} (McNemar)"
