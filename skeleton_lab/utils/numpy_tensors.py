"""The operations of PyTorch that feeders use in a test, on NumPy's arrays (``utils.tensors``).

Names, arguments and results are PyTorch's, so a feeder does not notice. What only training needs is not here: asking
for it is an error that says what to install.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from skeleton_lab.errors import UsageError

int64, float32 = np.int64, np.float32


class Dataset:
    """``torch.utils.data.Dataset``, the mark of a feeder."""


class Tensor(np.ndarray):
    """An array with the methods of a tensor; those of arrays that go by the same name work as PyTorch's."""

    def permute(self, *axes: int) -> Tensor:
        return self.transpose(*axes)

    def view(self, *shape: Any) -> Any:
        """Of a shape, as PyTorch's; of a type or a class, as NumPy itself calls it."""
        sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple) else shape
        whole = sizes and all(isinstance(size, (int, np.integer)) for size in sizes)
        return self.reshape(sizes) if whole else super().view(*shape)

    def expand(self, *sizes: int) -> Tensor:
        shape = [own if size == -1 else size for own, size in zip(self.shape, sizes)]
        return from_numpy(np.broadcast_to(self, shape))

    def index_select(self, dim: int, index: np.ndarray) -> Tensor:
        return self.take(index, axis=dim)

    def gather(self, dim: int, index: np.ndarray) -> Tensor:
        shape = [index.shape[axis] if axis == dim % self.ndim else size for axis, size in enumerate(self.shape)]
        return from_numpy(np.take_along_axis(self, np.broadcast_to(index, shape), dim))

    def amin(self, dim: tuple[int, ...], keepdim: bool = False) -> Tensor:
        return self.min(axis=dim, keepdims=keepdim)

    def amax(self, dim: tuple[int, ...], keepdim: bool = False) -> Tensor:
        return self.max(axis=dim, keepdims=keepdim)

    def new_zeros(self, *shape: int) -> Tensor:
        return from_numpy(np.zeros(shape, self.dtype))

    def to(self, dtype: Any) -> Tensor:
        return self.astype(dtype, copy=False)

    def float(self) -> Tensor:
        return self.to(np.float32)

    def double(self) -> Tensor:
        return self.to(np.float64)

    def numpy(self) -> np.ndarray:
        return np.asarray(self)

    def mul_(self, other: Any) -> Tensor:
        return np.multiply(self, other, out=self)

    def add_(self, other: Any) -> Tensor:
        return np.add(self, other, out=self)

    def neg_(self) -> Tensor:
        return np.negative(self, out=self)


class Sorted(NamedTuple):
    values: Tensor
    indices: Tensor


def from_numpy(x: np.ndarray) -> Tensor:
    return np.asarray(x).view(Tensor)


as_tensor = from_numpy


def tensor(values: Any, dtype: Any = None) -> Tensor:
    return from_numpy(np.array(values, dtype))


def cat(parts: Sequence[np.ndarray], dim: int = 0) -> Tensor:
    return from_numpy(np.concatenate(parts, dim))


def where(condition: np.ndarray, x: Any, y: Any) -> Tensor:
    return from_numpy(np.where(condition, x, y))


def sort(x: np.ndarray, dim: int = -1, stable: bool = False) -> Sorted:
    indices = np.argsort(x, dim, kind="stable" if stable else None)
    return Sorted(from_numpy(np.take_along_axis(x, indices, dim)), from_numpy(indices))


empty_like, zeros_like, mul, sub = np.empty_like, np.zeros_like, np.multiply, np.subtract


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise UsageError(f"this feeder needs PyTorch (torch.{name}), which is not installed: pip install torch")
