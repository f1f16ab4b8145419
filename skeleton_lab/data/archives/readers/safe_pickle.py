"""Pickles from outside, read without letting them run anything.

Only built-in containers, text, numbers and NumPy arrays, scalars and dtypes are rebuilt; any other name in the
pickle is refused before it is imported.
"""

from __future__ import annotations

import collections
import math
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.errors import ArchiveError

try:
    from numpy._core import multiarray, numeric
except ImportError:  # NumPy 1
    from numpy.core import multiarray, numeric  # type: ignore[no-redef]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """``_codecs.encode`` as pickles use it: bytes written with protocol 2 by Python 3."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes in encoding {encoding!r}")
    return text.encode("latin1")


def _bytes(content: bytes | list[int] | tuple[int, ...] = b"") -> bytes:
    """``bytes`` without its form that allocates any number of zeros."""
    if not isinstance(content, (bytes, list, tuple)):
        raise pickle.UnpicklingError("bytes of a number")
    return bytes(content)


class _Array:
    """Stands for ``numpy.ndarray`` where a pickle names it: not to be called, only to be handed to ``_empty``."""

    def __new__(cls, *_, **__):
        raise pickle.UnpicklingError("an array made by a call")


def _empty(kind: Any, shape: Any, _code: Any) -> np.ndarray:
    """``numpy._reconstruct`` as arrays are pickled: of nothing, the state comes later."""
    if kind is not _Array or shape != (0,):
        raise pickle.UnpicklingError("an array of another kind")
    return multiarray._reconstruct(np.ndarray, (0,), b"b")


def _is_state(made: Any, state: Any) -> bool:
    """Whether ``made`` can take ``state``: NumPy trusts it, and a damaged one can crash the process."""
    if not isinstance(state, tuple):
        return False
    if isinstance(made, np.dtype):
        plain = len(state) == 8 and state[1] in ("<", ">", "|", "=") and state[2:5] == (None, None, None)
        sizes = ((-1, made.itemsize), (-1, made.alignment), (made.flags,))
        return plain and made.fields is None and all(value in known for value, known in zip(state[5:], sizes))
    if not isinstance(made, np.ndarray) or made.size or len(state) != 5:
        return False
    _, shape, dtype, _, content = state
    if not isinstance(dtype, np.dtype) or not isinstance(shape, tuple) or not all(type(n) is int for n in shape):
        return False
    count = math.prod(shape)
    if dtype.hasobject:
        return dtype.kind == "O" and isinstance(content, list) and len(content) == count and min(shape, default=0) >= 0
    size = count * dtype.itemsize
    return isinstance(content, (bytes, str)) and len(content) == size and min(shape, default=0) >= 0


_BUILTINS = {t.__name__: t for t in (dict, list, tuple, set, frozenset, str, int, float, complex, bool)}
_ALLOWED: dict[tuple[str, str], Any] = {
    **{("builtins", name): kind for name, kind in _BUILTINS.items()},
    ("builtins", "bytes"): _bytes,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): np.dtype,
}
for _package in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_package}.multiarray", "_reconstruct"] = _empty
    _ALLOWED[f"{_package}.multiarray", "scalar"] = multiarray.scalar
    _ALLOWED[f"{_package}.numeric", "_frombuffer"] = numeric._frombuffer


class Unpickler(pickle._Unpickler):  # type: ignore[name-defined]
    """Makes plain data alone. The Python implementation: the C one allocates what a damaged memo index asks for, up to
    32 GiB.

    ``standing_in``: what is made for a (module, name) of the pickle, which is not imported.
    """

    standing_in: Mapping[tuple[str, str], Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        module = {"__builtin__": "builtins"}.get(module, module)
        if (module, name) in self.standing_in:
            return self.standing_in[module, name]
        if (module, name) not in _ALLOWED:
            raise ArchiveError(f"it asks for {module}.{name}; only lists, dicts, text, numbers and arrays are read")
        return _ALLOWED[module, name]

    def load_bytearray8(self) -> None:
        """As the parent's, but it reads before it makes room."""
        size = int.from_bytes(self.read(8), "little")
        content = self.read(size)
        if len(content) < size:
            raise pickle.UnpicklingError("pickle data was truncated")
        self.append(bytearray(content))

    def load_build(self) -> None:
        stands_in = type(self.stack[-2]) in self.standing_in.values() and isinstance(self.stack[-1], dict)
        if not stands_in and not _is_state(self.stack[-2], self.stack[-1]):
            raise pickle.UnpicklingError(f"a state that no {type(self.stack[-2]).__name__} has")
        super().load_build()

    dispatch = {
        **pickle._Unpickler.dispatch,  # type: ignore[attr-defined]
        pickle.BYTEARRAY8[0]: load_bytearray8,
        pickle.BUILD[0]: load_build,
    }

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("persistent objects")


def text(value: Any) -> str:
    """A name. A list is none: one that holds itself twice, again and again, would be endless when written out.

    Raises:
        ValueError: not text or a number.
    """
    if isinstance(value, bytes):
        return value.decode()
    if not isinstance(value, (str, int, float, np.generic)):
        raise ValueError(f"a {type(value).__name__} where a name should be")
    return str(value)


def numbers(value: Any) -> np.ndarray:
    """A list of numbers, or of rows of numbers, or an array, as an array of one axis or more.

    Raises:
        ValueError: anything else; it is not walked through.
    """
    rows = value if isinstance(value, (list, tuple)) else ()
    for row in rows:
        for entry in row if isinstance(row, (list, tuple)) else (row,):
            if isinstance(entry, (list, tuple, dict, set, frozenset)):
                raise ValueError(f"a {type(entry).__name__} where a number should be")
    array = np.asarray(value)
    if not array.ndim or not isinstance(value, (list, tuple, np.ndarray)):
        raise ValueError(f"a {type(value).__name__} where numbers should be")
    return array


class _Bounded:
    """A file that does not make room for more bytes than it has, whatever length a damaged pickle tells."""

    def __init__(self, file: BinaryIO):
        self._file, self._size = file, os.fstat(file.fileno()).st_size
        self.readline, self.tell = file.readline, file.tell

    def read(self, count: int = -1) -> bytes:
        return self._file.read(min(count, self._size))

    def readinto(self, buffer) -> int:
        return self._file.readinto(buffer)


def load(path: Path, standing_in: Mapping[tuple[str, str], Any] | None = None) -> Any:
    """The content of a pickle written by Python 2 or 3.

    Args:
        standing_in: plain classes that are made for (module, name) of the pickle, which is not imported.

    Raises:
        ArchiveNotFoundError: no such file.
        ArchiveError: not a pickle, damaged, or it holds anything beyond plain data.
    """
    with parsing(path), open(path, "rb") as file:
        try:
            unpickler = Unpickler(_Bounded(file), encoding="latin1")
            unpickler.standing_in = standing_in or {}
            return unpickler.load()
        except ArchiveError as error:
            raise ArchiveError(f"{path} is a pickle that is not plain data: {error}") from error
