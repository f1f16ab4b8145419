"""Descriptors in files: a folder of ``NAME.npy``, one packed ``.npz``, or one ``.npy`` in the order of the rows.

    folder      NAME.npy of each clip, (D,) or (t, D): of the whole clip, or of t moments of it in their order
    .npz        names (N,) text; values (R, D); offsets (N + 1,) whole numbers: clip k has the values of the rows
                offsets[k]:offsets[k + 1].  ``skeleton-lab convert --descriptors FOLDER`` makes it
    .npy        (N, D) or (N, t, D), a row for every training clip and then one for every test clip

Packed files and arrays are mapped: of one of 10 GB what is asked for is read, and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives import npy_format
from skeleton_lab.data.archives.npy_format import StoredArray, open_npy
from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.data.archives.readers import npz
from skeleton_lab.errors import ArchiveError, ArchiveNotFoundError, one_line
from skeleton_lab.utils.progress import clip_bar

MEMBERS = ("names", "values", "offsets")
LARGEST = 1e15  # of a value: squares and sums of larger ones end beyond float32
SLOW = 3  # seconds of looking into a folder's files before a bar shows


class Descriptors:
    """What a place holds, in the order in which it holds it.

    Attributes:
        path: the file or folder.
        names: of the N entries, None where only their order tells whose they are.
        lengths: (N,) int64 vectors of each entry: 1 for one of the whole clip.
        D: values of a vector; dtype: in which all of them can be kept.
    """

    def __init__(self, path: Path, names: Sequence[str] | None, lengths: np.ndarray, D: int, dtype: np.dtype) -> None:
        self.path, self.D, self.dtype = Path(path), D, np.dtype(dtype)
        self.names = None if names is None else [str(name) for name in names]
        self.lengths = np.asarray(lengths, np.int64)

    def __len__(self) -> int:
        return len(self.lengths)

    def __repr__(self) -> str:
        return f"<{len(self)} descriptors of {self.path}: D={self.D}, up to {self.lengths.max(initial=0)} of a clip>"

    @property
    def per_frame(self) -> bool:
        """Whether an entry has several vectors, one behind the other in time."""
        return bool((self.lengths > 1).any())

    def shown(self, entry: int) -> str:
        """An entry by its name, or by its row."""
        return f"row {entry}" if self.names is None else one_line(self.names[entry])

    def raw(self, entry: int) -> np.ndarray:
        """(t, D) of an entry as it is stored."""
        raise NotImplementedError

    def read(self, entry: int) -> np.ndarray:
        """(t, D) float32 of an entry.

        Raises:
            ArchiveError: a value is NaN, infinite or beyond ``LARGEST``, or the file has become shorter.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            values = np.ascontiguousarray(self.raw(entry), np.float32)
        if not usable(values):
            raise ArchiveError(
                f"{self.path}: the descriptor of {self.shown(entry)} holds NaN, Inf or values beyond {LARGEST:g}; make "
                "it again or leave it out (skeleton-lab check ARCHIVE --descriptors PATH finds all of them)"
            )
        return values


def usable(values: np.ndarray) -> bool:
    """Whether heads can compute with all of these."""
    return bool((np.abs(values) <= LARGEST).all())  # not so of NaN


def open_descriptors(path: Path, show: bool = True) -> Descriptors:
    """Descriptors by their headers; values are read when they are asked for.

    Raises:
        ArchiveNotFoundError: there is nothing. ArchiveError, ArchiveKeyError: it is damaged or of another form.
    """
    path = Path(path)
    if not path.exists():
        raise ArchiveNotFoundError(f"--descriptors {path}: there is no such file or folder")
    if path.is_dir():
        return Folder(path, show)
    with parsing(path), open(path, "rb") as file:
        start = file.read(8)
    if start.startswith(npz.MAGIC):
        return Packed(path)
    if start.startswith(npy_format.MAGIC):
        return Rows(path)
    raise ArchiveError(f"{path} is neither a folder of NAME.npy, nor an .npz, nor a .npy")


class Folder(Descriptors):
    """``NAME.npy`` of each clip; names are those of the files, sorted; hidden ones (macOS makes some) are none."""

    def __init__(self, path: Path, show: bool = True) -> None:
        with parsing(path):
            files = sorted(each for each in path.iterdir() if each.suffix == ".npy" and not each.name.startswith("."))
        if not files:
            raise ArchiveError(f"{path} holds no .npy file; a folder of descriptors has NAME.npy for each clip")
        self._arrays = []
        with clip_bar(len(files), f"looking into {path.name}", show=show, delay=SLOW, unit=" files") as bar:
            for file in files:
                self._arrays.append(_vectors(open_npy(file)))
                bar.update()
        D = self._arrays[0].shape[-1]
        other = next((array for array in self._arrays if array.shape[-1] != D), None)
        if other is not None:
            raise ArchiveError(f"{other.path}: vectors of {other.shape[-1]} values, those of {files[0].name} have {D}")
        lengths = [1 if len(array.shape) == 1 else array.shape[0] for array in self._arrays]
        dtype = np.result_type(*{array.dtype for array in self._arrays})
        super().__init__(path, [file.stem for file in files], np.array(lengths), D, dtype)

    def raw(self, entry: int) -> np.ndarray:
        return self._arrays[entry].read().reshape(-1, self.D)


class Packed(Descriptors):
    """One ``.npz`` of names, values and offsets; values are mapped where they are stored without compression."""

    def __init__(self, path: Path) -> None:
        file = npz.Npz(path)
        names, values, offsets = (file.array(key) for key in MEMBERS)
        if len(names.shape) != 1 or not names.shape[0] or names.dtype.kind not in "US":
            raise ArchiveError(f"{path}: names has shape {names.shape}, type {names.dtype}; it is (N,) texts, N > 0")
        if len(values.shape) != 2 or not values.shape[1] or values.dtype.kind not in "fiu":
            raise ArchiveError(f"{path}: values has shape {values.shape}, type {values.dtype}; it is (R, D) numbers")
        if not values.mappable:
            how = "in Fortran order; save np.ascontiguousarray of it" if values.fortran else "compressed; use np.savez"
            raise ArchiveError(f"{path}: values cannot be mapped, it is {how}")
        N = names.shape[0]
        if offsets.shape != (N + 1,) or offsets.dtype.kind not in "iu":
            raise ArchiveError(
                f"{path}: offsets has shape {offsets.shape}, type {offsets.dtype}; for {N} names it is ({N + 1},) "
                "whole numbers"
            )
        self._first = offsets.read().astype(np.int64)
        first, end = self._first[:-1], self._first[1:]
        grows = (end > first).all()  # compared, since differences may overflow
        if self._first[0] != 0 or self._first[-1] != values.shape[0] or not grows:
            raise ArchiveError(
                f"{path}: offsets must begin with 0, grow, and end with {values.shape[0]}, the rows of values"
            )
        self._rows = _mapped(values)
        with parsing(path, "names"):
            super().__init__(path, names.read().astype(str).tolist(), end - first, values.shape[1], values.dtype)

    def raw(self, entry: int) -> np.ndarray:
        return self._rows[self._first[entry] : self._first[entry + 1]]


class Rows(Descriptors):
    """One ``.npy`` in the order of the archive's rows, mapped."""

    def __init__(self, path: Path) -> None:
        array = open_npy(path)
        if len(array.shape) not in (2, 3) or 0 in array.shape or array.dtype.kind not in "fiu":
            raise ArchiveError(
                f"{path} has shape {array.shape}, type {array.dtype}; descriptors in the order of the archive's rows "
                "are (N, D) or (N, t, D) numbers"
            )
        if not array.mappable:
            raise ArchiveError(f"{path} is in Fortran order; save np.ascontiguousarray of it")
        self._values = _mapped(array)
        N, D = array.shape[0], array.shape[-1]
        super().__init__(path, None, np.full(N, 1 if len(array.shape) == 2 else array.shape[1]), D, array.dtype)

    def raw(self, entry: int) -> np.ndarray:
        return self._values[entry].reshape(-1, self.D)


def _vectors(array: StoredArray) -> StoredArray:
    """Raises ArchiveError unless it is (D,) or (t, D) numbers."""
    if len(array.shape) not in (1, 2) or 0 in array.shape or array.dtype.kind not in "fiu":
        raise ArchiveError(f"{array.path} has shape {array.shape}, type {array.dtype}; it is (D,) or (t, D) numbers")
    return array


def _mapped(array: StoredArray) -> np.ndarray:
    """Members of an NPZ begin at any address; slices of them are copied before anybody computes with them."""
    made: Any = np.memmap(array.path, array.dtype, "r", array.offset, array.shape)
    return made.view(np.ndarray)
