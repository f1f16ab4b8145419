"""Pickles from outside, read without letting them run anything.

Only built-in containers, text, numbers and NumPy arrays, scalars and dtypes are rebuilt; any other name in the
pickle is refused before it is imported.
"""

from __future__ import annotations

import collections
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.npy import parsing
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


_BUILTINS = {t.__name__: t for t in (dict, list, tuple, set, frozenset, str, int, float, complex, bool)}
_ALLOWED: dict[tuple[str, str], Any] = {
    **{("builtins", name): kind for name, kind in _BUILTINS.items()},
    ("builtins", "bytes"): _bytes,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
for _package in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_package}.multiarray", "_reconstruct"] = multiarray._reconstruct
    _ALLOWED[f"{_package}.multiarray", "scalar"] = multiarray.scalar
    _ALLOWED[f"{_package}.numeric", "_frombuffer"] = numeric._frombuffer


class _Unpickler(pickle._Unpickler):  # type: ignore[name-defined]
    """The Python implementation: the C one allocates what a damaged memo index asks for, up to 32 GiB."""

    def find_class(self, module: str, name: str) -> Any:
        module = {"__builtin__": "builtins"}.get(module, module)
        if (module, name) not in _ALLOWED:
            raise ArchiveError(f"it asks for {module}.{name}; only lists, dicts, text, numbers and arrays are read")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("persistent objects")


def load(path: Path) -> Any:
    """The content of a pickle written by Python 2 or 3.

    Raises:
        ArchiveNotFoundError: no such file.
        ArchiveError: not a pickle, damaged, or it holds anything beyond plain data.
    """
    with parsing(path), open(path, "rb") as file:
        try:
            return _Unpickler(file, encoding="latin1").load()
        except ArchiveError as error:
            raise ArchiveError(f"{path} is a pickle that is not plain data: {error}") from error
