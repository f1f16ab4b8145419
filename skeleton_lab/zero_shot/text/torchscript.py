"""The tensors of a TorchScript archive, read without loading any program.

``torch.jit.load`` builds the archive's modules and methods. Here only its pickle of attributes is read, with an
unpickler that knows nothing but containers, tensors and inert stand-ins for modules; tensors stay on the disk until
they are asked for, so the image half of CLIP costs nothing.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from skeleton_lab.data.archives.readers import safe_pickle
from skeleton_lab.errors import WeightsError
from skeleton_lab.utils.atomic import refuse_special

DTYPES = {
    "HalfStorage": torch.float16, "BFloat16Storage": torch.bfloat16, "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip
DEPTH = 50  # of modules in modules


class Stored(NamedTuple):
    """A tensor that has not been read yet."""

    dtype: torch.dtype
    key: str
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _Module:
    """Stands for an object of any class of the archive: its attributes and nothing else."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _same(value: Any, *_: Any) -> Any:
    return value


def _stored(storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> Stored:
    kind, (dtype, key) = storage
    if kind != "storage":
        raise pickle.UnpicklingError("a tensor without storage")
    return Stored(dtype, key, int(offset), tuple(map(int, size)), tuple(map(int, stride)))


_ALLOWED: dict[tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor_v2"): _stored,
    ("torch._utils", "_rebuild_parameter"): _same,
    ("torch.jit._pickle", "restore_type_tag"): _same,
    **{("torch.jit._pickle", f"build_{kind}list"): _same for kind in ("int", "double", "bool", "tensor")},
    **{("torch", name): dtype for name, dtype in DTYPES.items()},
}


class _Unpickler(safe_pickle.Unpickler):
    standing_in = {**_ALLOWED, ("__torch__", "Module"): _Module}

    def find_class(self, module: str, name: str) -> Any:
        return _Module if module.split(".")[0] == "__torch__" else super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        kind, dtype, key, *_ = pid
        return kind, (dtype, str(key))


def _tensors(value: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Stored]]:
    """Dotted names as in ``state_dict``."""
    state = value.state if isinstance(value, _Module) else None
    if not isinstance(state, dict) or depth > DEPTH:
        return
    for name, entry in state.items():
        if isinstance(entry, Stored):
            yield f"{prefix}{name}", entry
        else:
            yield from _tensors(entry, f"{prefix}{name}.", depth + 1)


def _read(archive: zipfile.ZipFile, root: str, tensor: Stored, name: str) -> Tensor:
    content = archive.read(f"{root}data/{tensor.key}")
    width = torch.empty((), dtype=tensor.dtype).element_size()
    last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.size, tensor.stride))
    wrong = len(tensor.size) != len(tensor.stride) or tensor.offset < 0 or min((*tensor.size, *tensor.stride, 0)) < 0
    if wrong or (math.prod(tensor.size) and (last + 1) * width > len(content)):
        raise ValueError(f"tensor {name} is larger than its storage")
    if not math.prod(tensor.size):
        return torch.empty(tensor.size, dtype=tensor.dtype)
    flat = torch.frombuffer(bytearray(content), dtype=tensor.dtype)
    return flat.as_strided(tensor.size, tensor.stride, tensor.offset)


def is_torchscript(path: Path) -> bool:
    """Whether a file is a zip with TorchScript's constants."""
    refuse_special(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def read(path: Path, wanted: Callable[[str], bool] = lambda _: True) -> dict[str, Tensor]:
    """Name -> tensor, on the CPU, in the stored types; only the names that are ``wanted``.

    Raises:
        WeightsError: not such an archive, or a damaged one, or one with other things in it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if len(pickles) != 1:
                raise ValueError("there is no data.pkl")
            root = pickles[0].removesuffix("data.pkl")
            top = _Unpickler(io.BytesIO(archive.read(pickles[0]))).load()
            found = dict(_tensors(top))
            return {name: _read(archive, root, value, name) for name, value in found.items() if wanted(name)}
    except FileNotFoundError:
        raise WeightsError(f"there is no file {path}") from None
    except Exception as error:  # damaged bytes make the unpickler raise nearly anything
        raise WeightsError(f"{path}: not a TorchScript archive of plain tensors, or damaged ({error})") from error
