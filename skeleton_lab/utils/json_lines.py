"""Files with a JSON object in every line that a run goes on writing; a crash may cut off the last."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def parsed(line: str) -> Any:
    """What a line says.

    Raises:
        ValueError: it is no JSON, or nested deeper than Python reads.
    """
    try:
        return json.loads(line)
    except RecursionError:
        raise ValueError("nested too deep") from None


def read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The objects of a file, and how many lines of it are damaged; lines of other JSON are left out.

    Raises:
        OSError: the file cannot be read.
    """
    found: list[dict[str, Any]] = []
    damaged = 0
    for line in path.read_text("utf-8", errors="replace").split("\n"):
        if not line.strip():
            continue
        try:
            content = parsed(line)
        except ValueError:
            damaged += 1
            continue
        if isinstance(content, dict):
            found.append(content)
    return found, damaged
