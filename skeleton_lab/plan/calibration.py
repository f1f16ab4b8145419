"""Rates of a processor, measured in a few seconds by operations that know no network, and what a step takes by them.

A step takes, of each operation, what its kind takes by its amounts while all lies in a cache, and more for bytes that
do not: those that were touched long ago, and those that the system has to give first.  Every operation, views included,
costs a call besides; on CUDA calls and kernels run side by side.
"""

from __future__ import annotations

import bisect
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skeleton_lab.plan.work import Step, Work, Works, of_step

SECONDS = 0.05  # spent on each measurement
TRIES = 5  # the second quickest counts: others disturb most of them, and a step a little
HOT = 2**18  # values of an operand that stays in a cache
DISTANCES = tuple(2**n for n in range(20, 28))  # bytes
MAPPED = 2**25  # bytes: the most to which glibc raises M_MMAP_THRESHOLD, mallopt(3)
HELD = 3 * 2**25  # bytes that are taken from the system, and given back, in a round
KEPT = 2**22  # bytes of each of them
PRODUCTS = (  # matrices, rows, what is summed over, columns
    (1, 512, 512, 512), (1, 64, 64, 2048), (1, 256, 64, 800), (1, 64, 256, 800), (1, 800, 256, 256), (1, 256, 1600, 96),
    (16, 64, 64, 64), (64, 25, 25, 64), (64, 64, 25, 25), (64, 64, 64, 25), (8, 128, 128, 128), (128, 16, 16, 32),
    (2, 256, 32, 625),
)  # fmt: skip
CONVOLUTIONS = (  # channels in and out, kernel along time, dilation
    (64, 64, 9, 1), (128, 128, 9, 1), (16, 16, 5, 1), (32, 32, 5, 2), (3, 64, 1, 1), (64, 128, 1, 1),
)  # fmt: skip


@dataclass(frozen=True)
class Rates:
    """Seconds of a processor.

    Attributes:
        call: for each operation, views included.
        kinds: of each kind, for a FLOP, a byte and an item (see ``Work``), while all is in a cache.
        far: (bytes touched since, seconds a byte more than in a cache), in rising order.
        fresh: for a byte of memory that the process does not have yet.
        mapped: bytes from which every block of memory is fetched from the system anew, and given back.
        side_by_side: the device works while the next operations are called.
        took: seconds of the calibration itself.
    """

    call: float
    kinds: dict[str, tuple[float, float, float]]
    far: tuple[tuple[float, float], ...]
    fresh: float
    mapped: float
    side_by_side: bool
    took: float

    def seconds(self, step: Step) -> float:
        """Forecast for a step."""
        calls, works = self.call * step.calls, sum(work.times * self.of(work) for work in step.works)
        return max(calls, works) if self.side_by_side else calls + works

    def of(self, work: Work) -> float:
        """Seconds of one operation, without its call."""
        flop, byte, item = self.kinds[work.kind]
        seconds = work.flops * flop + work.bytes * byte + work.items * item
        seconds += sum(size * self.further(distance) for size, distance in work.touches)
        for size, distance, new in work.results:
            if size > self.mapped:
                new = size
            seconds += new * self.fresh + (size - new) * self.further(distance)
        return seconds

    def further(self, distance: float) -> float:
        """Seconds more for a byte after which so many were touched."""
        at = bisect.bisect_left(self.far, distance, key=lambda point: point[0])
        if at in (0, len(self.far)):
            return self.far[min(at, len(self.far) - 1)][1]
        (left, low), (right, high) = self.far[at - 1 : at + 1]
        return low + (high - low) * math.log(distance / left) / math.log(right / left)


class Clock:
    """Times operations on a device: of one thread its processor time, which other programs do not lengthen."""

    def __init__(self, device: torch.device):
        self.device = device
        self.now = time.thread_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def once(self, run: Callable[[], object], times: int) -> float:
        self.wait()
        began = self.now()
        for _ in range(times):
            run()
        self.wait()
        return (self.now() - began) / times

    def __call__(self, run: Callable[[], object]) -> float:
        """Seconds of one ``run``."""
        run()
        times = max(1, min(1000, int(SECONDS / TRIES / max(self.once(run, 1), 1e-6))))
        return sorted(self.once(run, times) for _ in range(TRIES))[1]


def calibrate(device: torch.device) -> Rates:
    """Measure a device with PyTorch's threads as they are set."""
    began = time.perf_counter()
    clock = Clock(device)
    with torch.no_grad():
        kinds = {kind: (0.0, *_walk(clock, kind, make(device))) for kind, make in WALKS.items()}
        stream = kinds["stream"][1]
        far, fresh = _far(clock, stream), _fresh(clock, stream)
        kinds["product"] = _fitted(clock, [_product(device, *shape) for shape in PRODUCTS])
        kinds["convolution"] = _fitted(clock, [run for shape in CONVOLUTIONS for run in _convolution(device, *shape)])
    call = _call(clock)
    on_gpu = device.type == "cuda"
    return Rates(call, kinds, far, fresh, math.inf if on_gpu else MAPPED, on_gpu, time.perf_counter() - began)


def _random(device: torch.device, *shape: int) -> Tensor:
    return torch.randn(shape, device=device)


# Of every kind that walks over bytes an operation that stands for it, as a function of the number of values.
Walk = Callable[[int], Callable[[], object]]


def _walks() -> dict[str, Callable[[torch.device], Walk]]:
    def unary(operation: Callable[[Tensor], object]) -> Callable[[torch.device], Walk]:
        def make(device: torch.device) -> Walk:
            def of(values: int) -> Callable[[], object]:
                x = _random(device, values // 16, 16)
                return lambda: operation(x)

            return of

        return make

    def rows(operation: Callable[[Tensor], object]) -> Callable[[torch.device], Walk]:
        return unary(lambda x: operation(x.view(-1, 64) if x.numel() > 64 else x))

    def channels(x: Tensor) -> Tensor:
        return x.view(1, -1, 64) if x.numel() > 64 else x.view(1, 1, -1)

    def norm_backward(x: Tensor) -> object:
        y = channels(x)
        c = x.new_ones(y.shape[1])
        return torch.ops.aten.native_batch_norm_backward(y, y, c, c, c, c, c, False, 1e-5, [True, True, True])

    def norm(x: Tensor) -> object:
        y = channels(x)
        c = x.new_ones(y.shape[1])
        return F.batch_norm(y, c, c, c, c, False)

    return {
        "stream": unary(lambda x: x.add_(x)),
        "transpose": unary(lambda x: x.t().contiguous()),
        "convert": unary(lambda x: x > 0),
        "norm": unary(norm), "norm backward": unary(norm_backward),
        "tanh": unary(torch.tanh), "curve": unary(F.gelu), "softmax": rows(lambda x: x.softmax(-1)),
        "random": unary(torch.rand_like), "sort": rows(lambda x: x.topk(4)),
        "gather": unary(lambda x: x[torch.arange(len(x), device=x.device)]),
        "sum": rows(lambda x: x.sum(-1)),
    }  # fmt: skip


WALKS = _walks()


def _walk(clock: Clock, kind: str, walk: Walk) -> tuple[float, float]:
    """Seconds a byte, and an item of sums."""
    few, many = walk(64), walk(HOT)
    least, most = clock(few), clock(many)
    work = _work(many)
    byte = max(most - least, 0.0) / work.bytes
    if kind != "sum":
        return byte, 0.0
    x = _random(clock.device, 1, HOT // 16)  # nothing to add: what each result costs
    return byte, max(clock(lambda: x.sum(0)) - least, 0.0) / x.numel()


def _work(run: Callable[[], object]) -> Work:
    with Works() as counter:
        run()
    return max(counter.works, key=lambda work: (work.flops, work.bytes))


def _far(clock: Clock, stream: float) -> tuple[tuple[float, float], ...]:
    """Walk over more and more memory, again and again."""
    points, most = [], 0.0
    for distance in DISTANCES:  # each value is read and written before the next round
        pieces = _random(clock.device, distance // 8).split(2**16)
        calls = len(pieces) * clock(partial(_add_to_each, [pieces[0][:64]]))
        byte = (clock(partial(_add_to_each, pieces)) - calls) / (distance / 2)
        most = max(most, byte - 2 * stream)
        points.append((distance, most))
    return tuple(points)


def _add_to_each(pieces: Sequence[Tensor]) -> None:
    for piece in pieces:
        piece.add_(1.0)


def _fresh(clock: Clock, stream: float) -> float:
    """Take memory from the system, use it, give it back, as a training step does with its activations."""
    x = _random(clock.device, KEPT // 4)

    def run() -> None:
        kept = [x + 1.0 for _ in range(HELD // KEPT)]
        del kept

    return max(clock(run) / HELD - 2 * stream, 0.0)


def _product(device: torch.device, matrices: int, rows: int, inner: int, columns: int) -> Callable[[], object]:
    a, b = _random(device, matrices, rows, inner), _random(device, matrices, inner, columns)
    return lambda: torch.bmm(a, b)


def _convolution(device: torch.device, given: int, made: int, size: int, dilation: int) -> list[Callable[[], object]]:
    """Forward and backward, on two clips of 32 frames and 25 joints."""
    x, w = _random(device, 2, given, 32, 25), _random(device, made, given, size, 1)
    pad = dilation * (size - 1) // 2
    y = F.conv2d(x, w, None, 1, (pad, 0), (dilation, 1))
    how = ((1, 1), (pad, 0), (dilation, 1), False, (0, 0), 1)
    return [
        lambda: F.conv2d(x, w, None, 1, (pad, 0), (dilation, 1)),
        lambda: torch.ops.aten.convolution_backward(y, x, w, None, *how, [True, True, False]),
    ]


def _fitted(clock: Clock, runs: Sequence[Callable[[], object]]) -> tuple[float, float, float]:
    """Seconds a FLOP, a byte and an item, of which none is negative, with the least relative squared error."""
    works, times = [_work(run) for run in runs], np.array([clock(run) for run in runs])
    amounts = np.array([[work.flops, work.bytes, work.items] for work in works]) / times[:, None]
    best, found = math.inf, np.zeros(3)
    for count in (1, 2, 3):
        for chosen in map(list, itertools.combinations(range(3), count)):
            if not amounts[:, chosen].any(0).all():
                continue
            part = np.linalg.lstsq(amounts[:, chosen], np.ones(len(times)), rcond=None)[0]
            error = np.square(amounts[:, chosen] @ part - 1).sum()
            if (part >= 0).all() and error < best:
                best, found = error, np.zeros(3)
                found[chosen] = part
    return tuple(map(float, found))


class Small(nn.Module):
    """A little of what networks do, so small that only calls take time."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU()) for _ in range(8))
        self.last = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            first, second = layer(x).chunk(2, 1)
            x = x + torch.cat([first * second, second.transpose(2, 3).contiguous().transpose(2, 3)], 1)
        return self.last(x.mean((2, 3)))


def _call(clock: Clock) -> float:
    """A training step in which nothing else takes time, shared among the operations that it calls."""
    model, x = Small().to(clock.device), _random(clock.device, 1, 4, 2, 2)
    y = torch.zeros(1, dtype=torch.long, device=clock.device)

    def run() -> None:
        F.cross_entropy(model(x), y).backward()

    return clock(run) / of_step(model, [x], False).calls
