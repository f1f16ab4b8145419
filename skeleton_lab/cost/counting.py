"""What a network costs: FLOPs, remembered activations, peak memory, and the batch that a GPU can hold.

Counts are exact and repeatable; they are taken on the CPU, so no GPU is needed to ask whether one will do.
"""

from __future__ import annotations

import bisect
import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from skeleton_lab.cost.flags import BUDGET_GIB
from skeleton_lab.engine.losses import Criterion
from skeleton_lab.engine.memory.forecast import CONTEXT_BYTES, GIB, SLACK, Memory, PeakMemory
from skeleton_lab.skeletons import layouts

JOINTS = {"openpose": 18, "ntu-rgb+d": 25, "ntu_edge": 24, "coco_new": 20, "openpose_new": 20}  # of graphs alone


@dataclass(frozen=True)
class Cost:
    """By the code that runs on a CPU, per sample, except ``parameters``."""

    flops_forward: int  # of a training forward, 2 per multiply-add, matrix products and convolutions only
    saved_bytes: int  # distinct storages kept for backward, without parameters and input
    peak_bytes: int  # most memory of live tensors at any time of forward and backward, without parameters and input
    parameters: int  # trainable values


def fits(memory: Memory, batch: int, budget_gib: float = BUDGET_GIB) -> bool:
    """Whether a training step with ``batch`` samples stays within the budget."""
    return memory.step_bytes(batch) <= budget_gib * GIB


def largest_batch(memory: Memory, budget_gib: float = BUDGET_GIB) -> int:
    """The largest batch that fits; 0 if not even one sample does."""
    each = max(max(sample for sample, _ in memory.moments), 1.0)
    most = int(max(0.0, budget_gib * GIB - CONTEXT_BYTES) // (SLACK * each))  # with nothing else there
    return bisect.bisect_right(range(1, most + 1), budget_gib * GIB, key=memory.step_bytes)


def measure(model: nn.Module, x: Tensor, y: Tensor, *more: Tensor) -> Cost:
    """Count one training step (mean cross entropy) of a copy of ``model``.

    Args:
        x: (N, ...), with ``more`` inputs of the network, SkateFormer's frame positions say.
        y: (N,) labels.
    """
    model = copy.deepcopy(model).train()
    own = {storage_key(t) for t in (x, y, *more, *model.parameters(), *model.buffers())}
    saved = SavedTensors(own)
    with PeakMemory() as memory:
        with Flops(display=False, custom_mapping=in_place_products()) as flops, saved:
            output = model(x, *more)
            loss = Criterion(net=model)(output, y)
        loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    highest = max(map(sum, memory.moments(gradients))) - sum(t.numel() * t.element_size() for t in gradients)
    return Cost(
        flops_forward=flops.get_total_flops() // len(x),
        saved_bytes=saved.total() // len(x),
        peak_bytes=max(highest, saved.total()) // len(x),  # all gradients count with the parameters
        parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
    )


def storage_key(t: Tensor) -> int:
    return t.untyped_storage().data_ptr()


class Flops(FlopCounterMode):
    """Torch's counter. That of 2.3 fails at a product with ``out=``; later ones are no dispatch modes themselves."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = dict(kwargs or {})
        place = {"out": given.pop("out")} if "out" in given else {}

        def into(*values, **more):
            return func(*values, **more, **place)

        into._overloadpacket = func._overloadpacket  # type: ignore[attr-defined]
        return super().__torch_dispatch__(into, types, args, given)


def in_place_products() -> dict[Any, Callable[..., int]]:
    """FLOP formulas of products that torch's counter does not know."""

    def product(accumulator, a, b, *args, out_shape=None, **kwargs) -> int:
        return 2 * torch.Size(a).numel() * b[-1]

    aten = torch.ops.aten
    known = aten.baddbmm_, aten.addmm_, aten.addbmm_, aten.addbmm, aten._addmm_activation
    return dict.fromkeys(known, product)


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


def sizes(model_args: dict[str, Any]) -> tuple[int, int, int]:
    """Coordinates, joints and persons of the clips of a network built with ``model_args``."""
    layout = (model_args.get("graph_args") or model_args.get("graph_cfg") or {}).get("layout")
    joints = JOINTS.get(layout, 25)
    if layout is not None and layout not in JOINTS:
        joints = layouts.layout(layout).V
    joints = model_args.get("num_point", model_args.get("num_points", joints))
    return model_args.get("in_channels", 3), joints, model_args.get("num_person", model_args.get("num_people", 2))


def example(model_args: dict[str, Any], batch: int, frames: int, single_person: float = 0.0) -> tuple[Tensor, ...]:
    """Random inputs for a network built with ``model_args``.

    That is x (N, C, T, V, M), of networks with a ``graph_cfg`` (N, M, T, V, C), and (N, T) frame positions if it asks.

    Args:
        single_person: share of the samples without a second person.
    """
    channels, joints, persons = sizes(model_args)
    x = torch.randn(batch, channels, frames, joints, persons)
    x[: round(batch * single_person), ..., 1:] = 0
    if "graph_cfg" in model_args:
        return (x.permute(0, 4, 2, 3, 1).contiguous(),)
    return (x, torch.linspace(-1, 1, frames).expand(batch, -1)) if "index_t" in model_args else (x,)
