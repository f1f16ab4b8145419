"""Arrays in files: the ``.npy`` header, and arrays that are mapped or streamed but never loaded whole.

``StoredArray`` is one array somewhere in a file, known by its header alone. ``zipfile`` and HDF5 members that have
no place of their own in the file (compressed ones) are subclasses that override ``stream`` or ``blocks``.
"""

from __future__ import annotations

import ast
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from skeleton_lab.data.archives.parsing import ObjectArray, parsing
from skeleton_lab.errors import ArchiveError

MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 10_000  # bytes; NumPy's own limit


@dataclass(frozen=True)
class Header:
    """What a ``.npy`` header says; ``size`` is the number of bytes before the data."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    size: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: BinaryIO) -> Header:
    """Parse the ``.npy`` header at the file's position (format versions 1, 2 and 3).

    Raises:
        ValueError: no such header, or one of an array that cannot be read (object dtype).
    """
    start = file.read(8)
    if start[:6] != MAGIC or len(start) < 8 or start[6] not in (1, 2, 3):
        raise ValueError("no .npy header where one should be")
    length_bytes = 2 if start[6] == 1 else 4
    length = int.from_bytes(file.read(length_bytes), "little")
    if length > LONGEST_HEADER:
        raise ValueError(f".npy header of {length} bytes")
    text = file.read(length)
    if len(text) < length:
        raise ValueError("the file ends inside the .npy header")
    entries: Any = ast.literal_eval(text.decode("utf-8" if start[6] == 3 else "latin1").strip())
    if not isinstance(entries, dict) or set(entries) != {"descr", "fortran_order", "shape"}:
        raise ValueError(".npy header without descr, fortran_order and shape")
    shape, fortran = entries["shape"], entries["fortran_order"]
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape) or type(fortran) is not bool:
        raise ValueError(f".npy header with shape {shape!r}, fortran_order {fortran!r}")
    dtype = np.lib.format.descr_to_dtype(entries["descr"])
    if dtype.hasobject:
        raise ObjectArray
    return Header(shape, dtype, fortran and len(shape) > 1, 8 + length_bytes + length)


@dataclass(frozen=True)
class StoredArray:
    """One array in a file, by its header: nothing is read before ``rows``, ``blocks`` or ``read``.

    ``offset`` is the place of the data in the file, ``None`` where the data is compressed or scattered.
    """

    path: Path
    key: str
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    offset: int | None

    @property
    def mappable(self) -> bool:
        """Whether clips can be read in place, each from one run of bytes."""
        return self.offset is not None and not self.fortran

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @contextmanager
    def stream(self) -> Iterator[BinaryIO]:
        """A reader that stands at the first byte of the data."""
        assert self.offset is not None
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            yield file

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """The array in blocks of ``size`` entries along axis 0; one block is in memory at a time.

        Raises:
            ArchiveError: the data is damaged or ends too early.
        """
        if self.fortran and self.nbytes:  # nothing cannot be mapped
            yield from self._fortran_blocks(size)
            return
        row = self.nbytes // max(self.shape[0], 1)
        with parsing(self.path, self.key), self.stream() as file:
            for start in range(0, self.shape[0], size):
                stop = min(start + size, self.shape[0])
                data = self._exactly(file, (stop - start) * row)
                yield np.frombuffer(data, self.dtype).reshape(stop - start, *self.shape[1:])
            file.read(1)  # past the end: a ZIP member checks its CRC here

    def _fortran_blocks(self, size: int) -> Iterator[np.ndarray]:
        """A Fortran-ordered array has no blocks of samples: lay it out in a temporary file and map that."""
        with tempfile.TemporaryFile() as spool:
            with parsing(self.path, self.key), self.stream() as file:
                left = self.nbytes
                while left:
                    left -= spool.write(self._exactly(file, min(left, 1 << 24)))
            spool.flush()
            whole = np.memmap(spool, self.dtype, "r", 0, self.shape, order="F")
            for start in range(0, self.shape[0], size):
                yield np.ascontiguousarray(whole[start : start + size])

    def _exactly(self, file: BinaryIO, count: int) -> bytes:
        data = file.read(count)
        if len(data) < count:
            raise ArchiveError(f"{self.path}: {self.key} is cut short: {self.nbytes} bytes expected, it ends early")
        return data

    def read(self) -> np.ndarray:
        """The whole array, for labels and names."""
        blocks = list(self.blocks(1 << 16)) if self.shape and self.shape[0] else []
        return np.concatenate(blocks) if blocks else np.empty(self.shape, self.dtype)


def open_npy(path: Path) -> StoredArray:
    """A ``.npy`` file.

    Raises:
        ArchiveError: damaged, an object array, or shorter than its header says.
    """
    with parsing(path), open(path, "rb") as file:
        header = read_header(file)
    present = path.stat().st_size - header.size
    if present < header.nbytes:
        raise ArchiveError(f"{path} is cut short: {header.nbytes} bytes of data expected, {present} present")
    return StoredArray(path, path.name, header.shape, header.dtype, header.fortran, header.size)
