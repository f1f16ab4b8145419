"""Files that are either the old or the new one, never half of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def replace(path: Path, write: Callable[[Path], Any]) -> Path:
    """Let ``write`` fill a temporary file in ``path``'s folder, then rename it to ``path``; OSError leaves no trace."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write(temporary)
        return temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
