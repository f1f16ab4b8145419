"""Memory of a training step, followed operation by operation: no GPU is needed to ask whether one will do.

Activations grow with the batch; gradients, and what a network makes of its parameters, do not. Which moment of a step
is the highest therefore depends on the batch, and so does what a sample seems to need: ST-GCN keeps some 27 MiB that no
sample asks for, more than two short clips do. Two batches are counted, and what differs is the samples'.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from skeleton_lab.engine.losses import Criterion, heads_of
from skeleton_lab.engine.memory.as_device import CPU, STAND_INS, AsCuda, AsDevice, backward
from skeleton_lab.engine.memory.settings import HALVES

GIB = 2**30
CONTEXT_BYTES = 0.6 * GIB  # CUDA context, cuBLAS and cuDNN workspaces
STATES = 3  # parameter, gradient, momentum of SGD; Adam keeps one more
SLACK = 1.1  # allocator rounding and fragmentation
META = torch.device("meta")  # shapes are enough to count
FRAMES = 256  # in all, which show what a sample needs by the code of a CPU

Moment = tuple[float, float]


@dataclass(frozen=True)
class Memory:
    """What training or testing takes.

    Attributes:
        parameters: trainable values.  states: values that one takes with its gradient and the optimiser's memory.
        moments: (bytes per sample, bytes whatever the batch) of the moments that may be the highest.
        resident: bytes of data that lie on the device throughout.
    """

    parameters: int
    moments: tuple[Moment, ...]
    states: int = STATES
    resident: int = 0

    def live_bytes(self, batch: int) -> float:
        """Most memory of live tensors in a step, in bytes: parameters, optimiser, gradients, activations."""
        working = max(batch * sample + always for sample, always in self.moments)
        return 4 * (self.states - 1) * self.parameters + self.resident + working

    def step_bytes(self, batch: int, around: float = CONTEXT_BYTES) -> float:
        """Memory that the process needs on the device, in bytes; ``around``: what it takes beside tensors."""
        return around + SLACK * self.live_bytes(batch)

    def scaled(self, share: float) -> Memory:
        """With activations of so much of their width."""
        return replace(self, moments=tuple((share * sample, always) for sample, always in self.moments))


def forecast(
    model: nn.Module,
    samples: Sequence[Tensor],
    batch: int,
    states: int,
    kind: str,
    loss: Callable[..., Tensor] | None,
    *,
    alone: bool = False,
) -> Memory:
    """Of training steps of up to ``batch`` samples like ``samples`` (n, ...), by the code that ``kind`` runs.

    For ``batch`` itself it is exact on CUDA. A CPU's code goes through its samples in small slices, which take long to
    count: few are, and the rest follows from them.

    Args:
        kind: ``cuda`` or ``cpu``.
        loss: of (output, labels); None: a forward pass in evaluation mode, without gradients.
        alone: only ``batch`` is of interest, which takes half the time on CUDA.

    Raises:
        Exception: nearly any, of a network that looks at values.
    """
    most = min(batch, max(2, FRAMES // _frames(samples))) if kind == "cpu" else batch
    fewer = max(1, most // 2 if kind == "cpu" else min(2, most - 1))
    sizes = [most] if fewer == most or (alone and most == batch) else [fewer, most]
    found = [counted(model, samples, size, kind, loss) for size in sizes]
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Memory(trainable, between(sizes, found), states)


def _frames(samples: Sequence[Tensor]) -> int:
    """Of a clip (n, C, T, V, M); 1 where samples have another form."""
    return samples[0].shape[2] if samples[0].dim() == 5 else 1


def counted(
    model: nn.Module, samples: Sequence[Tensor], batch: int, kind: str, loss: Callable[..., Tensor] | None
) -> list[tuple[int, int]]:
    """``PeakMemory.moments`` of one step of ``batch`` samples, without computing it; ``model`` stays as it is.

    Every body counts, as nobody knows which are empty. Arguments as of ``forecast``.
    """
    model = copy.deepcopy(model).to(META).train(loss is not None)
    if hasattr(model, "merge_empty_bodies"):
        model.merge_empty_bodies = False
    inputs = [torch.empty(batch, *x.shape[1:], dtype=x.dtype, device=META) for x in samples]
    y = torch.zeros(batch, dtype=torch.long, device=META)
    there = AsCuda(META) if kind == "cuda" else AsDevice(META, CPU)
    with PeakMemory() as memory, there, torch.set_grad_enabled(loss is not None):
        output = model(*inputs)
        if loss is not None:
            backward((loss.on(model) if isinstance(loss, Criterion) else loss)(output, y))
        else:
            heads_of(output)
    return memory.moments([p.grad for p in model.parameters() if p.grad is not None])


def between(sizes: Sequence[int], found: Sequence[Sequence[tuple[int, int]]]) -> tuple[Moment, ...]:
    """Moments by sample, of the moments of one batch or of two: those that have the same gradients are the same."""
    if len(sizes) == 1:
        return tuple((activations / sizes[0], held) for activations, held in found[0])
    lines = []
    for held in sorted({held for moments in found for _, held in moments}):
        fewer, more = (max((a for a, g in moments if g >= held), default=0) for moments in found)
        each = (more - fewer) / (sizes[1] - sizes[0])
        lines.append((each, fewer - each * sizes[0] + held))
    return tuple(lines)


class PeakMemory(TorchDispatchMode):
    """Follows every storage that operations make until it is freed."""

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[int, int] = {}  # id of a storage -> its number, for ids are used again
        self.events: list[tuple[int, int]] = []  # (number, bytes), which are negative when it is freed

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.ops.aten._local_scalar_dense.default and args[0].is_meta:
            return torch.ones((), dtype=args[0].dtype).item()  # code that looks at values looks whether all is well
        given = {id(t.untyped_storage()) for t in tensors((*args, *kwargs.values()))}
        result = STAND_INS.get(func, func)(*args, **kwargs)
        for storage in (t.untyped_storage() for t in tensors(result)):
            key = id(storage)
            if key not in given and key not in self.live:
                self.live[key] = len(self.events)
                self.events.append((len(self.events), storage.nbytes()))
                weakref.finalize(storage, self.forget, key, storage.nbytes())
        return result

    def forget(self, key: int, size: int) -> None:
        self.events.append((self.live.pop(key), -size))

    @property
    def peak(self) -> int:
        """The most bytes that lived at once."""
        return max(itertools.accumulate(size for _, size in self.events), default=0)

    def moments(self, gradients: list[Tensor]) -> list[tuple[int, int]]:
        """(bytes of activations, bytes of gradients) when no other moment has as much of both; most activations first.

        Activations grow with the batch and gradients do not, and most of them come when activations have gone: which
        moment is the highest depends on the batch.
        """
        numbers = {self.live.get(id(t.untyped_storage())) for t in gradients}
        now, seen = [0, 0], set()
        for number, size in self.events:
            now[number in numbers] += size
            if size > 0:
                seen.add((now[0], now[1]))
        front: list[tuple[int, int]] = []
        for activations, held in sorted(seen, reverse=True):
            if not front or held > front[-1][1]:
                front.append((activations, held))
        return front or [(0, 0)]


def tensors(tree: Any) -> Iterator[Tensor]:
    """Those among the arguments of an operation, or its results, which stand in lists at most."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, (list, tuple)):
        for each in tree:
            yield from tensors(each)


def narrowed(model: nn.Module, samples: Sequence[Tensor], precision: str, device: torch.device) -> float:
    """The share of a step's activations that a precision leaves, compared with single precision.

    Mixed precision is computed to know it, with the samples given; the CPU has bfloat16 for either kind.
    """
    if precision not in HALVES:
        return 2.0 if precision == "64" else 1.0
    dtype = torch.float16 if precision == "16-mixed" and device.type == "cuda" else torch.bfloat16
    peaks = []
    for arithmetic in (contextlib.nullcontext(), torch.autocast(device.type, dtype)):
        net = copy.deepcopy(model).to(device).train()
        inputs = [x.to(device) for x in samples]
        y = torch.zeros(len(inputs[0]), dtype=torch.long, device=device)
        with PeakMemory() as memory, arithmetic:
            Criterion(net=net)(net(*inputs), y).backward()
        peaks.append(memory.moments([p.grad for p in net.parameters() if p.grad is not None])[0][0])
    return peaks[1] / peaks[0]
