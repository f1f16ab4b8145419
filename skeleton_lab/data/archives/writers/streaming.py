"""Final files, written row by row under a temporary name: the size of the data does not matter for memory."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skeleton_lab.utils.atomic import write_atomically

EARLIEST = (1980, 1, 1, 0, 0, 0)  # a fixed time stamp, so that equal archives are equal byte for byte
_PROTOCOL, _STOP = b"\x80\x03", b"."


class Rows(NamedTuple):
    """An array as its rows, ``shape[0]`` of them, in order."""

    shape: tuple[int, ...]
    dtype: np.dtype
    rows: Iterable[np.ndarray]

    def write(self, file: Any) -> None:
        """As ``.npy`` format 1.0."""
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(file, header)
        for row in self.rows:
            file.write(np.ascontiguousarray(row, self.dtype).data.cast("B"))


def write_npy(path: Path, rows: Rows) -> Path:
    """Raises OSError, as ``write_atomically`` does."""
    return write_atomically(path, rows.write)


def write_npz(path: Path, members: dict[str, Rows]) -> Path:
    """An NPZ of stored members, which can be mapped; loads equal to what ``np.savez`` writes.

    Raises OSError, as ``write_atomically`` does.
    """

    def write(file: Any) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for key, rows in members.items():
                with archive.open(zipfile.ZipInfo(f"{key}.npy", EARLIEST), "w", force_zip64=True) as member:
                    rows.write(member)

    return write_atomically(path, write)


def write_pickle(path: Path, content: Any) -> Path:
    """Raises OSError, as ``write_atomically`` does."""
    return write_atomically(path, lambda file: file.write(pickle.dumps(content, protocol=4)))


class Streamed(NamedTuple):
    """Stands for a list whose items are made while they are written."""

    items: Iterable[Any]


def write_streamed_pickle(path: Path, content: dict[str, Any] | Streamed) -> Path:
    """A pickle of a list, or of a dict with lists in it, that is never in memory as a whole.

    Any unpickler reads it. Items may hold plain data and arrays, and must not refer to each other.
    Raises OSError, as ``write_atomically`` does.
    """

    def write(file: Any) -> None:
        file.write(_PROTOCOL)
        if isinstance(content, Streamed):
            _write_list(file, content)
        else:
            file.write(b"}(")  # an empty dict, and the mark below its keys and values
            for key, value in content.items():
                file.write(_body(key))
                _write_list(file, value) if isinstance(value, Streamed) else file.write(_body(value))
            file.write(b"u")
        file.write(_STOP)

    return write_atomically(path, write)


def _write_list(file: Any, content: Streamed) -> None:
    file.write(b"](")
    for item in content.items:
        file.write(_body(item))
    file.write(b"e")


def _body(value: Any) -> bytes:
    """The opcodes of one value. Each numbers its memo from 0 again: later entries replace those of earlier items."""
    return pickle.dumps(value, protocol=3)[len(_PROTOCOL) : -len(_STOP)]
