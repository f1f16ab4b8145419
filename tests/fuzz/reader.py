"""What is tried: a reader with its seeds and with how a file is given to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random


@dataclass(frozen=True)
class Reader:
    """``use(folder, data)`` writes the input into an empty folder and reads it; ``made`` generate strange files.

    ``share``: of the inputs that are generated; the others are seeds with damaged bytes.
    """

    name: str
    seeds: tuple[Callable[[], bytes | None], ...]
    use: Callable[[Path, bytes], object]
    made: tuple[Callable[[Random], bytes], ...] = field(default=())
    share: float = 0.3


def written(path: Path, data: bytes) -> Path:
    """``path`` with this content; its folder is made."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path
