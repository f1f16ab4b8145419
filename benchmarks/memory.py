"""Forecast memory of training steps against what PyTorch's allocator hands out on the CPU.

    python -m benchmarks.memory [--room ST-GCN] [--batch 1 4 16] [--frames 64 300]

The forecast is that of ``--memory``, counted without computing; reality is the second of two steps with momentum, every
allocation counted by PyTorch's profiler.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from skeleton_lab.cost import counting, program
from skeleton_lab.engine.losses import Criterion
from skeleton_lab.engine.memory.forecast import STATES, forecast
from skeleton_lab.errors import guarded
from skeleton_lab.registry import ROOMS

MIB = 2**20


def peak(model: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> int:
    """Bytes at the highest moment of a training step: parameters and momentum, and all that the step allocates."""
    model = model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9, foreach=False)

    def step() -> None:
        Criterion(net=model)(model(*inputs), y).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    step()
    held = [*model.parameters(), *(state["momentum_buffer"] for state in optimizer.state.values())]
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    now = most = 0
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(events, key=lambda e: e.start_ns() if hasattr(e, "start_ns") else e.start_us()):
        now += event.nbytes()
        most = max(most, now)
    return sum(t.numel() * t.element_size() for t in held) + most


def compare(room: str, frames: int, batches: list[int]) -> Iterator[tuple[int, float, int]]:
    """(batch, bytes forecast, bytes used) of a room's network, with clips of two people."""
    wishes = argparse.Namespace(
        room=room, config=None, num_class=60, frames=frames, activation_checkpointing=False, trust_code=False
    )
    torch.manual_seed(0)
    model, model_args = program.build(wishes)
    sample = counting.example(model_args, 1, frames)
    for batch in batches:
        memory = forecast(model, sample, batch, STATES, "cpu", Criterion(net=model))
        used = peak(model, counting.example(model_args, batch, frames), torch.zeros(batch, dtype=torch.long))
        yield batch, memory.live_bytes(batch), used


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.split("\n")[0])
    options.add_argument("--room", action="append", help="default: all")
    options.add_argument("--batch", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    options.add_argument("--frames", type=int, nargs="+", default=[64, 300])
    arguments = options.parse_args()
    torch.set_num_threads(1)
    print(f"{'room':14} frames  batch  forecast MiB  used MiB   error")
    for room in arguments.room or [each.folder for each in ROOMS if not each.variant]:
        for frames in arguments.frames:
            for batch, expected, used in compare(room, frames, arguments.batch):
                print(f"{room:14} {frames:6} {batch:6} {expected / MIB:13.1f} {used / MIB:9.1f}"
                      f" {expected / used - 1:+7.1%}", flush=True)  # fmt: skip


if __name__ == "__main__":
    sys.exit(guarded(main))
