"""How pages are made: jinja2 templates that escape whatever they are given, and one file with styles, data and scripts.

Templates, styles and scripts are named by their path below ``skeleton_lab/``. A page extends
``reporting/html/templates/shell.html.j2``; one of a heading, tiles and sections is ``sections.html.j2`` beside it.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

PACKAGE = Path(__file__).parents[2]
STYLE = "reporting/html/resources/style.css"
COMMON = "reporting/html/resources/common.js"
SECTIONS = "reporting/html/templates/sections.html.j2"


@dataclass
class Tile:
    """A figure with what it is above and notes below; empty notes are left out."""

    title: str
    value: str
    notes: Sequence[str] = ()
    minor: bool = False


@dataclass
class Section:
    """A part of a page: ``template`` shows ``values``, which it knows as ``s``; ``anchor`` is its id."""

    anchor: str
    title: str
    template: str
    values: dict[str, Any] = field(default_factory=dict)


def render(
    template: str, *, title: str, data: Any, styles: Sequence[str] = (), scripts: Sequence[str] = (), **values: Any
) -> str:
    """The page as text: one file that needs no other.

    Args:
        data: what scripts know as ``data`` (of common.js).
        styles: beside the style of all pages.  scripts: beside common.js; they share a scope, and no other may run.
        values: what the template shows; it escapes them.
    """
    from markupsafe import Markup

    script = '(() => {\n"use strict";\n' + "\n".join(map(_resource, [COMMON, *scripts] if scripts else [])) + "})();\n"
    return _environment().get_template(template).render(
        title=title,
        style=Markup("".join(map(_resource, [STYLE, *styles]))),
        data=Markup(embedded(data)),
        script=Markup(script),
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **values,
    )  # fmt: skip


def embedded(data: Any) -> str:
    """JSON that is safe inside a script element: no ``<``, and nothing that is not JSON (NaN)."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)  # ASCII only
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def percent(share: float | None, digits: int = 2) -> str:
    """``12.34 %``; a dash where the share is not known."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def _resource(name: str) -> str:
    return (PACKAGE / name).read_text("utf-8")


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # when a page is made: many programs may make one

    made = Environment(
        loader=FileSystemLoader(PACKAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    made.filters |= {"percent": percent, "thousands": lambda count: f"{count:,}"}
    return made
