"""Kernels that a training step launches, with the floating-point operations and bytes of each, counted without a GPU.

A kernel is an operation that PyTorch dispatches, except views and allocations.  Some are several on a real card
(a convolution's backward): they count once, but with the bytes of each.  No kernel reads a cache, what it reads twice
within itself apart: the counts compare forms of a network, and bound its time.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, shape_wrapper

from skeleton_lab.cost.counting import in_place_products
from skeleton_lab.cost.traffic import moved, tensors
from skeleton_lab.engine.losses import Criterion
from skeleton_lab.engine.memory.as_device import STAND_INS, AsCuda, backward

NO_KERNELS = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "lift_fresh", "detach"}
RESULT = next(iter(shape_wrapper(len).__kwdefaults__))  # what a formula calls the result; not the same in every PyTorch


@dataclass(frozen=True)
class Kernel:
    """One launch: ``flops`` of products and convolutions (2 per multiply-add), ``bytes`` read and written."""

    name: str
    flops: int
    bytes: int


@dataclass(frozen=True)
class Card:
    """What a processor does: bytes and FLOPs a second, seconds to launch a kernel."""

    bandwidth: float
    flops: float
    launch: float = 5e-6


class Kernels(TorchDispatchMode):
    """Collects in ``found`` what runs within it."""

    def __init__(self):
        super().__init__()
        self.found: list[Kernel] = []
        self.formulas = {**flop_registry, **{op: shape_wrapper(f) for op, f in in_place_products().items()}}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None) -> Any:
        kwargs = kwargs or {}
        result = STAND_INS.get(func, func)(*args, **kwargs)
        name = func._schema.name.split("::")[1]
        if name not in NO_KERNELS and not is_view(func, tensors((args, kwargs)), tensors(result)):
            formula = self.formulas.get(func.overloadpacket)
            flops = formula(*args, **{**kwargs, RESULT: result}) if formula else 0
            self.found.append(Kernel(name, int(flops), moved(func, args, kwargs, result)))
        return result


def is_view(func: Any, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> bool:
    """Whether an operation made nothing: its results lie in its arguments' memory, which it did not change."""
    given = {t.untyped_storage()._cdata for t in inputs}
    return not func._schema.is_mutable and all(t.untyped_storage()._cdata in given for t in outputs)


def of_step(
    model: nn.Module, inputs: Sequence[Tensor], y: Tensor, cuda: bool = True, counter: Kernels | None = None
) -> list[Kernel]:
    """Kernels of forward, loss and backward of a copy of ``model``.

    Args:
        inputs: what the network takes, (N, ...) each; on the device ``meta`` shapes are enough, and any N is cheap.
        y: (N,) labels.
        cuda: the code that the network runs on CUDA, else on the CPU.
        counter: what counts; by default one that only counts kernels.
    """
    return _counted(model, inputs, y, cuda, counter or Kernels())


def of_inference(model: nn.Module, inputs: Sequence[Tensor], cuda: bool = True) -> list[Kernel]:
    """Kernels of a forward in eval mode without gradients; see ``of_step``."""
    return _counted(model, inputs, None, cuda, Kernels())


def _counted(
    model: nn.Module, inputs: Sequence[Tensor], y: Tensor | None, cuda: bool, kernels: Kernels
) -> list[Kernel]:
    real = inputs[0].device
    model = copy.deepcopy(model).to(real).train(y is not None)
    if real.type == "meta" and hasattr(model, "merge_empty_bodies"):
        model.merge_empty_bodies = False  # which bodies are empty depends on values
    with kernels, torch.set_grad_enabled(y is not None):
        if cuda:
            with AsCuda(real):
                _run(model, inputs, y)
        else:
            _run(model, inputs, y)
    return kernels.found


def _run(model: nn.Module, inputs: Sequence[Tensor], y: Tensor | None) -> None:
    output = model(*inputs)
    if y is not None:
        backward(Criterion(net=model)(output, y))


def seconds(kernels: Iterable[Kernel], card: Card) -> float:
    """Modelled time: of each kernel its launch and the longer of its FLOPs and its bytes at the card's rates."""
    return sum(card.launch + max(k.flops / card.flops, k.bytes / card.bandwidth) for k in kernels)
