"""Files that must survive a crash: a reader sees the old file or the new one, whatever happens in between."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from skeleton_lab.errors import UsageError


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> Path:
    """Let ``write`` fill a temporary file in ``path``'s folder, flush it to the disk and rename it to ``path``.

    Raises:
        OSError: full disk, read-only folder ...; an earlier ``path`` is untouched then, the temporary file removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return path


def check_output(flag: str, path: Path, suffix: str, *inputs: Path | None) -> None:
    """Before the work: refuse a result that would replace something else or that cannot be there.

    Raises:
        UsageError: another suffix, a folder, a place below a file, or one of the inputs.
    """
    if path.is_dir():
        raise UsageError(f"{flag} {path} is a folder; give the name of a file")
    if path.suffix.lower() != suffix:
        raise UsageError(f"{flag} {path}: the name of the file to be written must end in {suffix}")
    place = next(folder for folder in path.absolute().parents if folder.exists())
    if not place.is_dir():
        raise UsageError(f"{flag} {path}: {place} is a file, not a folder")
    if path.exists() and any(source is not None and source.exists() and path.samefile(source) for source in inputs):
        raise UsageError(f"{flag} {path} is the input itself; give another name")
