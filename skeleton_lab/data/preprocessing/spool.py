"""Converted recordings on their way into the final files: a folder that survives an interruption.

    run.json            what the run reads and how; another run in the same folder is refused
    part-00017.f32      the arrays of one chunk of recordings, float32, one after the other
    part-00017.json     for each recording the shapes of its arrays and its note, or why it was skipped; written last

A part is there completely or not at all, so a run that was killed goes on with the next one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skeleton_lab.data.preprocessing.recordings import Source
from skeleton_lab.errors import LabError, UsageError
from skeleton_lab.utils import locks
from skeleton_lab.utils.atomic import write_atomically

FORMAT = 1
CHUNK = 64  # recordings of one part


class Converted(NamedTuple):
    """One recording after its pipeline: float32 arrays, a note that JSON can hold, and warnings for the user."""

    arrays: list[np.ndarray]
    note: dict[str, Any]
    warnings: list[str]


class Entry(NamedTuple):
    """Where the arrays of a recording lie: part, first number, shapes."""

    part: int
    offset: int
    shapes: tuple[tuple[int, ...], ...]


def digest(sources: Sequence[Source]) -> str:
    """Of names, sizes and times of all recordings, in order."""
    total = hashlib.sha256()
    for source in sources:
        total.update(json.dumps(source).encode())
    return total.hexdigest()


def prepare_folder(folder: Path, manifest: dict[str, Any], overwrite: bool) -> None:
    """Make ``folder`` that of the run ``manifest``, keeping the parts of an earlier start of the same run.

    Raises:
        UsageError: another run left its parts there and ``overwrite`` is False.
    """
    described = json.dumps({"format": FORMAT, **manifest}, sort_keys=True).encode()
    file = folder / "run.json"
    if file.exists() and file.read_bytes() != described:
        if not overwrite:
            raise UsageError(
                f"{folder} holds a half-finished run over other recordings or with other options: finish that one,"
                " or give --overwrite to throw it away"
            )
        shutil.rmtree(folder)
    write_atomically(file, lambda f: f.write(described))


def locked(folder: Path) -> AbstractContextManager[None]:
    """One run at a time works in ``folder``, whose lock lies beside it.

    Raises:
        LabError: another process does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder.with_name(f"{folder.name}.lock")
    return locks.locked(lock, lambda who: LabError(f"another run is at work in {folder}{who}: wait for it"))


def write_part(folder: Path, part: int, results: Sequence[tuple[str, Converted | str]]) -> None:
    """Store the results of one chunk: (name, what became of it, or why it was skipped)."""
    arrays, records = [], []
    for name, result in results:
        if isinstance(result, str):
            records.append({"name": name, "error": result})
            continue
        arrays += result.arrays
        shapes = [array.shape for array in result.arrays]
        records.append({"name": name, "shapes": shapes, "note": result.note, "warnings": result.warnings})

    def write(file) -> None:
        for array in arrays:
            file.write(np.ascontiguousarray(array, np.float32).data)

    write_atomically(_data(folder, part), write)
    write_atomically(_index(folder, part), lambda file: file.write(json.dumps(records).encode()))


def has_part(folder: Path, part: int) -> bool:
    """Whether the part is complete."""
    try:
        return _data(folder, part).stat().st_size == 4 * sum(_size(r) for r in _records(folder, part))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _data(folder: Path, part: int) -> Path:
    return folder / f"part-{part:05}.f32"


def _index(folder: Path, part: int) -> Path:
    return folder / f"part-{part:05}.json"


def _records(folder: Path, part: int) -> list[dict[str, Any]]:
    return json.loads(_index(folder, part).read_bytes())


def _size(record: dict[str, Any]) -> int:
    return sum(int(np.prod(shape)) for shape in record.get("shapes", ()))


class Spool:
    """A complete spool.

    Attributes:
        names: of the recordings that were converted, in order. skipped: (name, why) of the others.
        warned: (name, warning).
    """

    def __init__(self, folder: Path, parts: int):
        self.folder, self.parts = folder, parts
        self.names: list[str] = []
        self.skipped: list[tuple[str, str]] = []
        self.warned: list[tuple[str, str]] = []
        self._entries: list[Entry] = []
        for part in range(parts):
            offset = 0
            for record in _records(folder, part):
                if "error" in record:
                    self.skipped.append((record["name"], record["error"]))
                    continue
                self.names.append(record["name"])
                self._entries.append(Entry(part, offset, tuple(map(tuple, record["shapes"]))))
                self.warned += [(record["name"], warning) for warning in record["warnings"]]
                offset += _size(record)

    def __len__(self) -> int:
        return len(self.names)

    def shapes(self, i: int) -> tuple[tuple[int, ...], ...]:
        return self._entries[i].shapes

    def array(self, i: int, k: int = 0) -> np.ndarray:
        """Array ``k`` of converted recording ``i``."""
        part, offset, shapes = self._entries[i]
        sizes = [int(np.prod(shape)) for shape in shapes]
        start = 4 * (offset + sum(sizes[:k]))
        return np.fromfile(_data(self.folder, part), np.float32, sizes[k], offset=start).reshape(shapes[k])

    def skip(self, wrong: dict[int, str]) -> None:
        """Leave out converted recordings after all: place -> why."""
        self.skipped += [(self.names[i], why) for i, why in wrong.items()]
        kept = [i for i in range(len(self)) if i not in wrong]
        self.names = [self.names[i] for i in kept]
        self._entries = [self._entries[i] for i in kept]

    def notes(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(name, note) of all recordings without an error, in order; they are read from the disk, part by part."""
        for part in range(self.parts):
            for record in _records(self.folder, part):
                if "error" not in record:
                    yield record["name"], record["note"]

    def remove(self) -> None:
        """Delete the folder: everything stands in the final files."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.with_name(f"{self.folder.name}.lock").unlink(missing_ok=True)
