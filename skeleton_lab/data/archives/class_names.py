"""Names of classes: of NTU RGB+D 60 and 120, and of NW-UCLA. Their only home."""

from __future__ import annotations

from functools import cache
from pathlib import Path

RESOURCES = Path(__file__).parent / "resources"


@cache
def ntu() -> tuple[str, ...]:
    """The 120 classes of NTU RGB+D 120 by label; the first 60 are those of NTU RGB+D 60."""
    return _lines("ntu120_classes.txt")


@cache
def nw_ucla() -> tuple[str, ...]:
    """The 10 classes of NW-UCLA by label."""
    return _lines("ucla_classes.txt")


def published(count: int, ucla: bool) -> list[str]:
    """``count`` names: those of NTU RGB+D for 60 and 120, those of NW-UCLA for 10 if it is, else ``class k``."""
    if count in (60, 120):
        return list(ntu()[:count])
    return list(nw_ucla()) if count == 10 and ucla else [f"class {k}" for k in range(count)]


def _lines(name: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in (RESOURCES / name).read_text("utf-8").splitlines() if line.strip())
