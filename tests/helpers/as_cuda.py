"""The CUDA path of the fused networks on a machine without a GPU: tensors say that they lie on one."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
ASKED = (
    (torch.Tensor.is_cuda.__get__, True),
    (torch.Tensor.is_cpu.__get__, False),
    (torch.Tensor.device.__get__, CUDA),
)


def _here(value: Any) -> Any:
    return CPU if isinstance(value, torch.device) and value.type == "cuda" else value


class AsCuda(TorchFunctionMode):
    """Inside, code that asks tensors for their device takes the way of a GPU; the CPU computes."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        for attribute, value in ASKED:
            if function == attribute:  # not ``is``: an attribute's getter is a new object each time
                return value
        return function(*tree_map(_here, args), **tree_map(_here, kwargs or {}))
