"""What the operations of a training step ask of a processor: counted for a forecast by measured rates.

An operation is of a kind, by what bounds it.  Its amounts are what a rate turns into seconds: multiply-adds, bytes that
it walks over, and how far away those bytes are likely to lie: in a cache if they were touched a moment ago.
"""

from __future__ import annotations

import dataclasses
import math
import weakref
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_lab.cost import kernels
from skeleton_lab.cost.kernels import Kernels
from skeleton_lab.cost.traffic import OVERWRITES, real_bytes, tensors

PRODUCTS = {"mm", "bmm", "addmm", "baddbmm", "addbmm"}
CONVOLUTIONS = {"convolution", "convolution_backward"}
SUMS = {"sum", "mean", "var", "var_mean", "std", "linalg_vector_norm", "norm", "amax", "amin", "max", "min", "argmax",
        "prod", "cumsum"}  # fmt: skip
NORMS = {"native_batch_norm", "native_layer_norm", "native_group_norm"}
NORMS_BACKWARD = {f"{name}_backward" for name in NORMS}
CURVES = {"gelu", "gelu_backward", "exp", "log", "sigmoid", "silu", "erf", "sin", "cos", "pow", "log_sigmoid_forward"}
RANDOM = {"bernoulli", "normal", "uniform", "random", "rand", "randn", "randint", "native_dropout", "randperm"}
SORTS = {"topk", "sort", "argsort", "unique", "unique_dim", "_unique2", "kthvalue", "median"}
GATHERS = {"index", "index_put", "_unsafe_index_put", "index_select", "index_add", "gather", "scatter", "scatter_add",
           "embedding", "embedding_dense_backward", "roll", "repeat"}  # fmt: skip
KINDS = {
    "sum": SUMS, "norm": NORMS, "norm backward": NORMS_BACKWARD, "tanh": {"tanh"}, "curve": CURVES,
    "softmax": {"_softmax", "_log_softmax"}, "random": RANDOM, "sort": SORTS, "gather": GATHERS,
}  # fmt: skip
_KIND = {name: kind for kind, names in KINDS.items() for name in names}
FAR = 10**15  # bytes: never touched before
NEAR = 2**22  # bytes within which a slice of the work is done: such distances do not grow with the batch
FREED = 64  # blocks of freed memory that are looked at for a result


@dataclass(frozen=True)
class Work:
    """One operation, or ``times`` of them.

    Attributes:
        kind: a key of ``KINDS``, "product", "convolution", "convert", "transpose" or "stream".
        flops: 2 per multiply-add of products and convolutions.
        bytes: that it reads and writes.  items: matrices in a batch of products; values that a sum leaves.
        touches: (bytes, bytes touched by all operations since these were) of operands.
        results: the same of memory that results take, and how many of the bytes the process does not have yet.
    """

    kind: str
    flops: float
    bytes: float
    items: float
    touches: tuple[tuple[float, float], ...] = ()
    results: tuple[tuple[float, float, float], ...] = ()
    times: float = 1.0


@dataclass(frozen=True)
class Step:
    """The work of a step, and how many operations it dispatches, views included."""

    works: list[Work]
    calls: float


class Works(Kernels):
    """Collects in ``works`` what runs within it."""

    def __init__(self) -> None:
        super().__init__()
        self.works: list[Work] = []
        self.calls = 0
        self._clock = 0  # bytes that all operations have touched
        self._touched: dict[int, int] = {}  # storage -> the clock when it was, last
        self._live = self._highest = 0
        self._freed: list[tuple[int, int]] = []  # (bytes, clock when they were touched last), the latest at the end

    def __torch_dispatch__(self, func, types, args=(), kwargs=None) -> Any:
        self.calls += 1
        before = len(self.found)
        result = super().__torch_dispatch__(func, types, args, kwargs)
        name = func._schema.name.split("::")[1]
        inputs, outputs = tensors((args, kwargs or {})), tensors(result)
        if len(self.found) > before:
            self._add(name, self.found[-1].flops, inputs, outputs)
        return result

    def _add(self, name: str, flops: int, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        read = inputs[1:] if name in OVERWRITES else inputs
        written = outputs or inputs[:1]
        given = {_key(t) for t in inputs}
        touches = tuple((real_bytes(t), self._clock - self._touched.get(_key(t), -FAR)) for t in read)
        new = [t for t in written if _key(t) not in self._touched and (_key(t) not in given or name in OVERWRITES)]
        results = tuple(map(self._allocated, new))
        moved = sum(real_bytes(t) for t in (*read, *written))
        self._clock += moved
        for t in (*inputs, *outputs):
            self._touched[_key(t)] = self._clock
        kind = kind_of(name, inputs, written)
        self.works.append(Work(kind, flops, moved, _items(kind, written), touches, results))

    def _allocated(self, t: Tensor) -> tuple[int, int, int]:
        """Give memory to a tensor: its bytes, how many were touched since they were, how many are new."""
        storage = t.untyped_storage()
        size, highest = storage.nbytes(), self._highest
        self._live += size
        self._highest = max(highest, self._live)
        weakref.finalize(storage, self._forget, storage._cdata, size)
        return size, self._again(size), self._highest - highest

    def _again(self, size: int) -> int:
        """Take a freed block, the latest that is large enough; how many bytes were touched since it was."""
        for at in range(len(self._freed) - 1, -1, -1):
            if self._freed[at][0] >= size:
                rest, touched = self._freed.pop(at)
                if rest > size:
                    self._freed.insert(at, (rest - size, touched))
                return self._clock - touched
        return FAR

    def _forget(self, key: int, size: int) -> None:
        self._freed.append((size, self._touched.pop(key, 0)))
        del self._freed[:-FREED]
        self._live -= size


@dataclass(frozen=True)
class Growth:
    """A step of one sample and one of two, from which follows that of any batch.

    What both do equally large is done for every sample, or once for all; what grows is done once, on all samples.  A
    sample should be of two people: then one sample shows what is done for each of them, and what adds their gradients.
    """

    one: Step
    two: Step

    def at(self, batch: int) -> Step:
        if batch == 1:
            return self.one
        counts = [Counter(map(_size, step.works)) for step in (self.one, self.two)]
        works = []
        for work in self.two.works:
            small, large = (count[_size(work)] for count in counts)
            if small:
                times = max(small + (large - small) * (batch - 1), 0) / large
                touches = tuple((b, d if d < NEAR else d * batch / 2) for b, d in work.touches)
                works.append(dataclasses.replace(work, times=times, touches=touches))
            else:
                works.append(_larger(work, batch / 2))
        return Step(works, self.one.calls + (self.two.calls - self.one.calls) * (batch - 1))


def _size(work: Work) -> tuple:
    return work.kind, work.flops, work.bytes, work.items


def _larger(work: Work, by: float) -> Work:
    return dataclasses.replace(
        work, flops=by * work.flops, bytes=by * work.bytes, items=by * work.items,
        touches=tuple((by * size, by * distance) for size, distance in work.touches),
        results=tuple((by * size, by * distance, by * new) for size, distance, new in work.results),
    )  # fmt: skip


def _key(t: Tensor) -> int:
    return t.untyped_storage()._cdata


def kind_of(name: str, inputs: Sequence[Tensor], written: Sequence[Tensor]) -> str:
    """Which rate an operation has."""
    plain = name[:-1] if name.endswith("_") and not name.endswith("__") else name
    if plain in PRODUCTS:
        return "product"
    if plain in CONVOLUTIONS:
        return "convolution"
    if plain in _KIND:
        return _KIND[plain]
    large = [t for t in (*inputs, *written[:1]) if t.numel() == max((w.numel() for w in written), default=0)]
    if len({t.element_size() for t in large}) > 1:
        return "convert"
    return "transpose" if len({_fastest(t) for t in large if t.numel() > 1}) > 1 else "stream"


def _fastest(t: Tensor) -> int:
    """The dimension along which a tensor lies in memory, by the values before the end that it spans."""
    strides = [(stride, d) for d, (size, stride) in enumerate(zip(t.shape, t.stride())) if size > 1 and stride]
    d = min(strides)[1] if strides else -1
    return math.prod(t.shape[d + 1 :])


def _items(kind: str, written: Sequence[Tensor]) -> int:
    if kind == "product":
        return len(written[0]) if written[0].dim() == 3 else 1
    return written[0].numel() if kind == "sum" else 0


def of_step(model: nn.Module, inputs: Sequence[Tensor], cuda: bool) -> Step:
    """The work of forward, mean cross entropy and backward of a copy of ``model``.

    Args:
        inputs: on ``meta`` shapes are enough for CUDA's code; on a CPU the code depends on values: they are computed.
        cuda: of the code that the network runs on CUDA, else on a CPU.
    """
    counter = Works()
    kernels.of_step(
        model, inputs, torch.zeros(len(inputs[0]), dtype=torch.long, device=inputs[0].device), cuda, counter
    )
    return Step(counter.works, counter.calls)
