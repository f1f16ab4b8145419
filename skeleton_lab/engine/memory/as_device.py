"""The code that a network runs on another device, run without it: to count its operations, not for its results.

Tensors lie on the CPU, or on PyTorch's ``meta`` device where only shapes matter, and say that they are elsewhere.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import checkpoint
from torch.utils._python_dispatch import TorchDispatchMode

from skeleton_lab.engine.memory.attention_stand_in import attention, attention_backward

# Devices that no machine has: what a network keeps by device for later must not be found by a real run.
CUDA, CPU = torch.device("cuda", 127), torch.device("cpu", 127)


class AsDevice(TorchFunctionMode):
    """Within it tensors name ``named`` as their device, and what is made there is made on ``real``.

    Start backward by ``backward`` of this module: PyTorch's own switches the mode off.

    Activation checkpointing does not compare here what backward computes again with what forward did: the comparison
    holds names of devices, and PyTorch takes those of forward inside its own code, where they are real.
    """

    def __init__(self, real: torch.device, named: torch.device):
        super().__init__()
        self.real, self.named = real, named
        cuda = named.type == "cuda"
        self.told = {_IS_CUDA: cuda, _IS_CPU: not cuda, _DEVICE: named}

    def __enter__(self):
        checks = checkpoint._allowed_determinism_checks_to_fns
        self._compared, checks["default"] = checks["default"], checks["none"]
        return super().__enter__()

    def __exit__(self, *error) -> None:
        checkpoint._allowed_determinism_checks_to_fns["default"] = self._compared
        super().__exit__(*error)

    def __torch_function__(self, function, types, args=(), kwargs=None) -> Any:
        if function in self.told:
            return self.told[function]
        named = {name: self._real(value) for name, value in (kwargs or {}).items()}
        return self.called(function, [self._real(value) for value in args], named)

    def called(self, function: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """What ``function`` is there."""
        return function(*args, **kwargs)

    def _real(self, value: Any) -> Any:
        """No function of PyTorch takes devices within lists."""
        there = isinstance(value, torch.device) and (value == self.named or value.type == "cuda")
        return self.real if there else value


class AsCuda(AsDevice):
    """``AsDevice`` for CUDA: ``torch.dropout`` and ``F.dropout`` are the single kernel that they are there."""

    def __init__(self, real: torch.device):
        super().__init__(real, CUDA)

    def called(self, function: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if function in (torch.dropout, torch.nn.functional.dropout):
            return dropout(*args, **kwargs)
        return function(*args, **kwargs)


_IS_CUDA, _IS_CPU, _DEVICE = (getattr(torch.Tensor, name).__get__ for name in ("is_cuda", "is_cpu", "device"))


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """As on CUDA, where one kernel draws and applies the mask; also there it makes a new tensor if not in place."""
    if not training or p == 0:
        return input
    if inplace or p == 1:
        return torch.nn.functional.dropout(input, p, training, inplace)
    return torch.native_dropout(input, p, True)[0]


def backward(loss: Tensor) -> None:
    """Gradients of a scalar for the leaves; modes that are on stay on inside custom functions."""
    engine = torch.autograd.Variable._execution_engine  # what Tensor.backward calls when it has left the modes
    engine.run_backward(
        (loss,), (torch.ones_like(loss),), False, False, (), allow_unreachable=True, accumulate_grad=True
    )


def _batch_norm_stats(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    x = x if x.dtype == torch.float64 else x.float()  # sums are at least of single precision
    var, mean = torch.var_mean(x, [d for d in range(x.dim()) if d != 1], correction=0)
    return mean, (var + eps).rsqrt()


def _batch_norm_elemt(x: Tensor, weight, bias, mean: Tensor, invstd: Tensor, eps: float) -> Tensor:
    y = (x - _channels(mean, x)) * _channels(invstd, x)
    return (y if weight is None else y * _channels(weight, x) + _channels(bias, x)).to(x.dtype)


def _batch_norm_backward_reduce(dy: Tensor, x: Tensor, mean: Tensor, invstd: Tensor, weight, *wanted: bool):
    others = [d for d in range(x.dim()) if d != 1]
    total, product = dy.sum(others), (dy * (x - _channels(mean, x))).sum(others)
    return total, product, product * invstd, total.clone()


def _batch_norm_backward_elemt(dy, x, mean, invstd, weight, sum_dy, sum_dy_xmu, count) -> Tensor:
    n, scale = count.sum(), invstd if weight is None else invstd * weight
    centred = (x - _channels(mean, x)) * _channels(sum_dy_xmu / n * invstd.square(), x)
    return ((dy - _channels(sum_dy / n, x) - centred) * _channels(scale, x)).to(x.dtype)


def _channels(t: Tensor, x: Tensor) -> Tensor:
    return t.view([1, -1] + [1] * (x.dim() - 2))


aten = torch.ops.aten
STAND_INS = {  # for kernels that PyTorch has on CUDA alone, or not on meta tensors
    aten.batch_norm_stats.default: _batch_norm_stats,
    aten.batch_norm_elemt.default: _batch_norm_elemt,
    aten.batch_norm_backward_reduce.default: _batch_norm_backward_reduce,
    aten.batch_norm_backward_elemt.default: _batch_norm_backward_elemt,
    aten._scaled_dot_product_efficient_attention.default: attention,
    aten._scaled_dot_product_efficient_attention_backward.default: attention_backward,
    aten._foreach_pow.Scalar: lambda tensors, exponent: [t.pow(exponent) for t in tensors],  # of PyTorch 2.3
}


class StandIns(TorchDispatchMode):
    """Kernels that PyTorch has for CUDA alone, computed as their documents say."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None) -> Any:
        return STAND_INS.get(function, function)(*args, **(kwargs or {}))
