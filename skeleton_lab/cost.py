"""What a network costs: FLOPs, remembered activations, peak memory, and the batch that a GPU can hold.

    python -m skeleton_lab.cost --room CTR-GCN --batch 8 --frames 64

Counts are exact and repeatable; they are taken on the CPU in float32, so no GPU is needed to ask whether one will do.
"""

from __future__ import annotations

import argparse
import copy
import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import FlopCounterMode

from skeleton_lab.errors import UsageError, guarded
from skeleton_lab.imports import import_class
from skeleton_lab.rooms import room

GIB = 2**30
BUDGET_GIB = 7.0  # what an 8 GB card leaves to one process
CONTEXT_BYTES = 0.6 * GIB  # CUDA context, cuBLAS and cuDNN workspaces
STATES = 3  # parameter, gradient, momentum
SLACK = 1.1  # allocator rounding and fragmentation


@dataclass(frozen=True)
class Cost:
    """Per sample, except ``parameters``."""

    flops_forward: int  # of a training forward, 2 per multiply-add, matrix products and convolutions only
    saved_bytes: int  # distinct storages kept for backward, without parameters and input
    peak_bytes: int  # most memory of live tensors at any time of forward and backward, without parameters and input
    parameters: int  # trainable values

    def step_bytes(self, batch: int) -> float:
        """Memory that a training step with SGD and momentum needs on a GPU, in bytes."""
        return CONTEXT_BYTES + SLACK * (4 * STATES * self.parameters + batch * self.peak_bytes)


def fits(cost: Cost, batch: int, budget_gib: float = BUDGET_GIB) -> bool:
    """Whether a float32 training step with ``batch`` samples stays within the budget."""
    return cost.step_bytes(batch) <= budget_gib * GIB


def largest_batch(cost: Cost, budget_gib: float = BUDGET_GIB) -> int:
    """The largest batch that fits; 0 if not even one sample does."""
    room_left = budget_gib * GIB - cost.step_bytes(0)
    return max(0, int(room_left // (SLACK * cost.peak_bytes)))


def measure(model: nn.Module, x: Tensor, y: Tensor) -> Cost:
    """Count one training step (mean cross entropy) of a copy of ``model`` on x (N, ...), labels y (N,)."""
    model = copy.deepcopy(model).train()
    own = {storage_key(t) for t in (x, y, *model.parameters(), *model.buffers())}
    with FlopCounterMode(display=False, custom_mapping=in_place_products()) as flops, torch.no_grad():
        copy.deepcopy(model)(x)
    saved = SavedTensors(own)
    with PeakMemory() as memory:
        with saved:
            loss = F.cross_entropy(model(x), y)
        loss.backward()
    gradients = sum(4 * p.numel() for p in model.parameters() if p.grad is not None)
    return Cost(
        flops_forward=flops.get_total_flops() // len(x),
        saved_bytes=saved.total() // len(x),
        peak_bytes=max(memory.peak - gradients, saved.total()) // len(x),
        parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
    )


def storage_key(t: Tensor) -> int:
    return t.untyped_storage().data_ptr()


def in_place_products() -> dict[Any, Callable[..., int]]:
    """FLOP formulas of products that torch's counter does not know."""

    def product(accumulator, a, b, *args, out_shape=None, **kwargs) -> int:
        return 2 * torch.Size(a).numel() * b[-1]

    aten = torch.ops.aten
    return {aten.baddbmm_: product, aten.addmm_: product, aten.addbmm_: product, aten.addbmm: product}


class SavedTensors(torch.autograd.graph.saved_tensors_hooks):
    """Collects what autograd keeps for backward, custom functions included; each storage once."""

    def __init__(self, excluded: set[int]):
        self.storages: dict[int, int] = {}
        self.excluded = excluded
        super().__init__(self.pack, lambda t: t)

    def pack(self, t: Tensor) -> Tensor:
        if storage_key(t) not in self.excluded:
            self.storages[storage_key(t)] = t.untyped_storage().nbytes()
        return t

    def total(self) -> int:
        return sum(self.storages.values())


class PeakMemory(TorchDispatchMode):
    """Follows every storage that operations make until it is freed."""

    def __init__(self):
        super().__init__()
        self.live: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        before = {id(s) for s in storages(args)} | {id(s) for s in storages(kwargs)}
        result = func(*args, **(kwargs or {}))
        for storage in storages(result):
            key = id(storage)
            if key not in before and key not in self.live:
                self.live[key] = storage.nbytes()
                weakref.finalize(storage, self.live.pop, key, None)
        self.peak = max(self.peak, sum(self.live.values()))
        return result


def storages(tree: Any) -> Iterator[torch.UntypedStorage]:
    return (leaf.untyped_storage() for leaf in tree_iter(tree) if isinstance(leaf, Tensor))
