"""The code that networks run on CUDA, on CPU tensors that have values."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from skeleton_lab.cost import as_cuda


class StandIns(TorchDispatchMode):
    """Kernels that PyTorch has for CUDA alone, computed as their documents say."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return as_cuda.STAND_INS.get(function, function)(*args, **(kwargs or {}))


@contextlib.contextmanager
def on_cuda() -> Iterator[None]:
    """Inside, tensors say that they lie on CUDA; start backward by ``as_cuda.backward``."""
    with as_cuda.AsCuda(torch.device("cpu")), StandIns():
        yield
