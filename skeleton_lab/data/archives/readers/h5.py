"""HDF5 files with the members of the NPZ layouts (``x_train`` ...); needs h5py, imported only here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives.npy_format import StoredArray
from skeleton_lab.data.archives.parsing import ObjectArray, parsing
from skeleton_lab.errors import ArchiveError, ArchiveKeyError, listing

MAGIC = b"\x89HDF\r\n\x1a\n"


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise ArchiveError("HDF5 archives need h5py: pip install 'skeleton-lab[h5]'") from error
    return h5py


@dataclass(frozen=True)
class ChunkedArray(StoredArray):
    """A data set in chunks (compressed or not): read through the HDF5 library, a block at a time."""

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        with parsing(self.path, self.key), _h5py().File(self.path, "r") as file:
            data = file[self.key]
            for start in range(0, self.shape[0], size):
                yield data[start : start + size]


class H5:
    """The top-level data sets of one HDF5 file, with the interface of ``Npz``."""

    def __init__(self, path: Path):
        self.path = path
        h5py = _h5py()
        with parsing(path), h5py.File(path, "r") as file:
            # Links into other files are left out: an archive is one file.
            self._keys = [k for k in file if isinstance(file.get(k, getlink=True), h5py.HardLink)]

    def keys(self) -> list[str]:
        return self._keys

    def array(self, key: str) -> StoredArray:
        """The data set ``key``; one that lies in one piece is read in place, without the library.

        Raises:
            ArchiveKeyError: there is no such data set.
            ArchiveError: it is a group, keeps its data in another file, or is not an array of numbers or text.
        """
        if key not in self._keys:
            raise ArchiveKeyError(f"{self.path} has no member '{key}'; it has {listing(self._keys)}")
        h5py = _h5py()
        with parsing(self.path, key), h5py.File(self.path, "r") as file:
            data = file[key]
            if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual:
                raise ArchiveError(f"{self.path}: {key} is not an array kept in this file")
            if h5py.check_string_dtype(data.dtype):
                data = data.asstr()[...].astype(str)
                return TextArray(self.path, key, data.shape, data.dtype, False, None, data)
            if data.dtype.hasobject:
                raise ObjectArray
            offset = data.id.get_offset()
            if offset is not None and offset + data.dtype.itemsize * data.size > self.path.stat().st_size:
                raise ArchiveError(f"{self.path}: {key} is cut short")
            kind = ChunkedArray if offset is None else StoredArray
            return kind(self.path, key, data.shape, data.dtype, False, offset)


@dataclass(frozen=True)
class TextArray(StoredArray):
    """Names: HDF5 keeps text in a heap, so it is read at once."""

    text: np.ndarray | None = None

    def read(self) -> np.ndarray:
        assert self.text is not None
        return self.text
