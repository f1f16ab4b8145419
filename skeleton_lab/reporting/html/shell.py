"""The frame of every page: one file with its styles, data and scripts; nothing is fetched."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from string import Template
from typing import Any

from skeleton_lab.reporting.html.markup import Markup, join

RESOURCES = Path(__file__).parent / "resources"


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
