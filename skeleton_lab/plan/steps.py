"""What one training step takes: forecast from its operations, or measured."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from skeleton_lab.cost import kernels
from skeleton_lab.cost.kernels import Kernel
from skeleton_lab.engine.losses import Criterion
from skeleton_lab.engine.memory.forecast import CONTEXT_BYTES, Memory, forecast
from skeleton_lab.engine.memory.settings import Settings
from skeleton_lab.plan import work
from skeleton_lab.plan.calibration import Rates
from skeleton_lab.plan.cards import Card
from skeleton_lab.plan.work import Growth

TRIES = 3  # measured steps on a GPU, after one that warms up; the quickest counts
FEW = 2  # samples that are measured with on a CPU
MEASURED, CALIBRATED, FORECAST = "measured", "calibrated", "forecast"  # where a figure is from
REAL = torch.device("meta")  # shapes are enough to count


@dataclass(frozen=True)
class Count:
    """The operations of forward and backward of ``batch`` samples, and the memory that they need."""

    kernels: list[Kernel]
    batch: int
    memory: Memory

    def seconds(self, card: Card, batch: int, half: bool = False, narrow: float = 1.0) -> float:
        """Forecast for ``batch`` samples: of each operation its launch and the longer of its FLOPs and its bytes.

        Args:
            half: products run on tensor cores, in half floats.
            narrow: the share of the bytes that they leave.
        """
        rates = kernels.Card(card.bandwidth * 1e9 / narrow, (card.half if half else card.fp32) * 1e12)
        launches = rates.launch * len(self.kernels)
        return launches + (kernels.seconds(self.kernels, rates) - launches) * batch / self.batch


def counted(model: nn.Module, samples: Sequence[Tensor], batch: int, states: int) -> Count:
    """A step of ``batch`` samples like the first of ``samples``, counted as it runs on CUDA, without computing it."""
    inputs = [torch.empty(batch, *x.shape[1:], dtype=x.dtype, device=REAL) for x in samples]
    y = torch.empty(batch, dtype=torch.long, device=REAL)
    memory = forecast(model, samples, batch, states, "cuda", Criterion(net=model))
    return Count(kernels.of_step(model, inputs, y), batch, memory)


def measured(
    model: nn.Module, samples: Callable[[int], Sequence[Tensor]], settings: Settings, device: torch.device, tries: int
) -> tuple[float, int | None]:
    """Seconds of forward and backward of ``settings.forward`` samples, and the most bytes that CUDA held (CPU: None).

    Raises:
        torch.cuda.OutOfMemoryError: they do not fit.
    """
    model = model.to(device).train()
    if hasattr(model, "activation_checkpointing"):
        model.activation_checkpointing = settings.checkpointing
    inputs = [x.to(device) for x in samples(settings.forward)]
    y = torch.zeros(settings.forward, dtype=torch.long, device=device)
    dtype = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}.get(settings.precision)
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    times = []
    for _ in range(1 + tries):
        began = time.perf_counter()
        with torch.autocast(device.type, dtype) if dtype else contextlib.nullcontext():
            output = model(*inputs)
            loss = Criterion(net=model)(output, y)
        model.zero_grad(set_to_none=True)
        loss.backward()
        if on_gpu:
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    most = torch.cuda.max_memory_reserved(device) if on_gpu else None
    model.zero_grad(set_to_none=True)
    model.to("cpu")
    return min(times[1:]), None if most is None else most + int(CONTEXT_BYTES)


def growth(model: nn.Module, samples: Callable[[int], Sequence[Tensor]], checkpointing: bool) -> Growth:
    """The work of a step on a CPU, from which that of any batch follows."""
    if hasattr(model, "activation_checkpointing"):
        model.activation_checkpointing = checkpointing
    one, two = (work.of_step(model, samples(count), False) for count in (1, 2))
    return Growth(one, two)


def on_cpu(
    model: nn.Module, samples: Callable[[int], Sequence[Tensor]], settings: Settings, rates: Rates | None
) -> tuple[float, str]:
    """Seconds of a forward batch on this CPU: measured with few samples, scaled to the batch by calibrated rates.

    Without rates the time is as if every sample took the same.
    """
    few = min(settings.forward, FEW)
    with_few = dataclasses.replace(settings, forward=few)
    seconds, _ = measured(model, samples, with_few, torch.device("cpu"), 1)
    if few == settings.forward:
        return seconds, MEASURED
    if rates is None:
        return seconds * settings.forward / few, MEASURED
    grown = growth(model, samples, settings.checkpointing)
    return seconds * rates.seconds(grown.at(settings.forward)) / rates.seconds(grown.at(few)), CALIBRATED
