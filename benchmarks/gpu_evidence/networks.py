"""Networks, batches and arithmetic that the parts measure with."""

from __future__ import annotations

import contextlib
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.gpu_evidence.schedule import Report
from skeleton_lab import registry
from skeleton_lab.cost import counting, program
from skeleton_lab.cost.flags import parser
from skeleton_lab.engine.losses import Criterion
from skeleton_lab.engine.out_of_memory import is_out_of_memory, release

ROOMS = tuple(room.folder for room in registry.ROOMS if room.program)
DRY = {"batch": 2, "frames": 16}
Step = Callable[[], Any]
# name: autocast to, TF32 allowed
ARITHMETIC: dict[str, tuple[torch.dtype | None, bool]] = {
    "float32": (None, False),
    "TF32": (None, True),
    "bfloat16": (torch.bfloat16, False),
}


def arithmetics(report: Report) -> list[tuple[str, tuple[torch.dtype | None, bool]]]:
    """Name, and what it means; CPUs without bfloat16 take seconds for what is milliseconds elsewhere."""
    return list(ARITHMETIC.items())[: 1 if report.dry else None]


def wishes(report: Report, room: str, **flags: Any) -> Namespace:
    """The flags of the cost program, by default those of the room's own recipe."""
    options = parser().parse_args(["--room", room, "--samples", "2"])
    for name, value in {**(DRY if report.dry else {}), **flags}.items():
        setattr(options, name, value)
    return options


def rooms(report: Report) -> Iterator[str]:
    """Those that there is time for; the dry mode tries the quickest network."""
    for room in ("ST-GCN",) if report.dry else ROOMS:
        if report.left <= 0:
            return
        yield room


@dataclass
class Work:
    """A network on the device, with a batch of its recipe: ``batch`` clips (those of a forward pass)."""

    net: nn.Module
    inputs: tuple[Tensor, ...]
    labels: Tensor
    recipe: program.Recipe

    def training(self, net: Callable[..., Any] | None = None, dtype: torch.dtype | None = None) -> Step:
        """A step of SGD: forward, loss, backward, update."""
        optimizer = torch.optim.SGD(self.net.parameters(), lr=1e-4, momentum=0.9)
        called = self.net if net is None else net  # a compiled network is asked for its length by ``or``
        self.net.train()

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            with cast(self.labels.device, dtype):
                loss = Criterion(net=self.net)(called(*self.inputs), self.labels)
            loss.backward()
            optimizer.step()

        return step

    def inference(self, clips: int, net: Callable[..., Any] | None = None, dtype: torch.dtype | None = None) -> Step:
        inputs = tuple(t[:1].expand(clips, *t.shape[1:]).contiguous() for t in self.inputs)
        called = self.net if net is None else net
        self.net.eval()

        def step() -> None:
            with torch.no_grad(), cast(self.labels.device, dtype):
                called(*inputs)

        return step


def cast(device: torch.device, dtype: torch.dtype | None) -> contextlib.AbstractContextManager:
    return contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def work(report: Report, room: str) -> Work:
    """The fused network of a room's recipe."""
    options = wishes(report, room)
    recipe, feeder = program.read(registry.find(room), options)
    options.frames = recipe.frames
    torch.manual_seed(0)
    net, arguments = program.build(options)
    people = {} if {"num_person", "num_people"} & set(arguments) else {"num_person": feeder.get("num_person") or 2}
    inputs = counting.example(arguments | people, recipe.forward, recipe.frames)
    labels = torch.arange(recipe.forward, device=report.device) % 10
    return Work(net.to(report.device), tuple(t.to(report.device) for t in inputs), labels, recipe)


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """TF32 in matrix products and convolutions, or not (PyTorch allows it in convolutions alone)."""
    cublas, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = cublas.allow_tf32, cudnn.allow_tf32
    cublas.allow_tf32 = cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        cublas.allow_tf32, cudnn.allow_tf32 = before


def milliseconds(step: Step, device: str, seconds: float = 1.5) -> float:
    """The median of a step's time over ``seconds``, after two that do not count (0: once, at once)."""
    for _ in range(2 if seconds else 0):
        step()
    times: list[float] = []
    while not times or (sum(times) < seconds and len(times) < 100):
        synchronize(device)
        begun = time.perf_counter()
        step()
        synchronize(device)
        times.append(time.perf_counter() - begun)
    return 1e3 * sorted(times)[len(times) // 2]


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def peak(step: Step, device: str) -> int | None:
    """Most bytes that the allocator gave out during two steps (0 on the CPU); None where memory ran out."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    full = False
    try:
        step()
        step()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        full = True
    release(torch.device(device))  # behind the ``except``, which keeps the failed step's tensors alive
    if full:
        return None
    return torch.cuda.max_memory_allocated() if device == "cuda" else 0
