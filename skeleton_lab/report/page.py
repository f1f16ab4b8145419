"""The page: headline, sections, and the data and scripts that make them answer. One file, nothing fetched."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import Any

from skeleton_lab.report import headline, sections, svg
from skeleton_lab.report.curves import Chart
from skeleton_lab.report.markup import Markup, join, tag
from skeleton_lab.report.run import Run
from skeleton_lab.report.skeletons import Clip
from skeleton_lab.report.summary import Confusion, evaluated, hardest_pairs, per_class

RESOURCES = Path(__file__).parent / "resources"
SCRIPTS = ("common.js", "charts.js", "confusion.js", "player.js")


def build(
    run: Run, names: Sequence[str], charts: Sequence[Chart], matrix: Confusion | None, clips: Sequence[Clip]
) -> str:
    """The whole page as text."""
    pictures = [svg.draw(chart, place) for place, chart in enumerate(charts)]
    parts = [sections.curves([picture for picture, _ in pictures], run)] if pictures else []
    if matrix is not None:
        accuracy = float((run.evaluation.labels == run.evaluation.pred).mean())
        what = evaluated(run)
        parts.append(sections.confusion(matrix, names, accuracy, what))
        parts.append(sections.per_class(per_class(matrix), names, what))
    if matrix is not None or clips:
        total, wrong = (matrix.confused, matrix.wrong) if matrix is not None else (0, 0)
        parts.append(sections.pairs(hardest_pairs(run, matrix), clips, names, run.stream, evaluated(run), total, wrong))
    parts += [sections.configuration(run), sections.environment(run)]
    data = {
        "charts": [values for _, values in pictures],
        "confusion": sections.confusion_data(matrix, names) if matrix is not None else None,
        "edges": run.hardest.edges.tolist() if run.hardest is not None else [],
        "clips": [clip.as_json() for clip in clips],
    }
    links = [tag("a", part.title, href=f"#{part.anchor}") for part in parts]
    header = tag("header", headline.build(run), tag("nav", links, aria_label="Sections"))
    body = join(header, tag("main", [part.markup() for part in parts]))
    return assembled(
        f"{run.name} · {run.model} · run report", body, data, resource("style.css"), map(resource, SCRIPTS)
    )


def assembled(title: str, body: Markup, data: Any, style: str, scripts: Iterable[str]) -> str:
    """One file that needs no other; the scripts share a scope, in which ``data`` (of common.js) is what is embedded."""
    script = '(() => {\n"use strict";\n' + "\n".join(scripts) + "})();\n"
    return Template(resource("template.html")).substitute(
        title=join(title),
        style=style,
        body=body,
        data=embedded(data),
        script=script,
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def resource(name: str) -> str:
    """The text of a part of the page."""
    return (RESOURCES / name).read_text("utf-8")


def embedded(data: Any) -> str:
    """JSON that is safe inside a script element: no ``<``, and nothing that is not JSON (NaN)."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)  # ASCII only
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
