"""Count kernels and bytes of a training step on CUDA, plain against fused, without a GPU; model the step on a card.

    python -m benchmarks.kernels [--room MS-G3D] [--batch 2]

The plain form stands for the published code, which computes the same layer by layer.  Where the published code launches
another number of kernels than its plain form here, the legend tells it.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
from collections import Counter

import torch
from torch import nn

from skeleton_lab.cost import counting, kernels, program
from skeleton_lab.errors import guarded
from skeleton_lab.nn import unfuse
from skeleton_lab.registry import ROOMS

CARD = kernels.Card(bandwidth=272e9, flops=7e12, launch=5e-6)
# Counted on the published code itself: kernels and GB of a step, batch 2, 64 frames.  Only its kernels are compared;
# bytes were counted by another rule.
PUBLISHED = {
    "CTR-GCN": 1593, "MS-G3D": 905, "FreqMixFormer": 30794, "SkateFormer": 1947, "Hyper-GCN": 1587, "ST-GCN": 292,
}  # fmt: skip


def count(model: nn.Module, model_args: dict, batch: int, frames: int) -> list[kernels.Kernel]:
    """Kernels of a step with two people in every clip."""
    inputs = tuple(t.to("meta") for t in counting.example(model_args, batch, frames))
    return kernels.of_step(model.to("meta"), inputs, torch.zeros(batch, dtype=torch.long, device="meta"))


def row(room: str, arguments: argparse.Namespace) -> tuple[float, float, float]:
    """Prints a room's line; returns lab / published of kernels, lab / plain of bytes, plain / lab of modelled time."""
    wishes = argparse.Namespace(
        room=room, config=None, num_class=60, frames=arguments.frames, activation_checkpointing=False, trust_code=False
    )
    fused, model_args = program.build(wishes)
    plain = unfuse(copy.deepcopy(fused))
    few = [count(m, model_args, arguments.batch, arguments.frames) for m in (plain, fused)]
    many = [kernels.seconds(count(m, model_args, 16, arguments.frames), CARD) for m in (plain, fused)]
    number, moved = [len(k) for k in few], [sum(k.bytes for k in found) for found in few]
    published = PUBLISHED.get(room, number[0])
    print(f"{room:14} {published:9,} {number[0]:7,} {number[1]:7,} {number[1] / published:6.2f}"
          f" {moved[0] / 1e9:8.2f} {moved[1] / 1e9:7.2f} {moved[1] / moved[0]:6.2f}"
          f" {1e3 * many[0]:8.1f} {1e3 * many[1]:7.1f} {many[0] / many[1]:6.2f}", flush=True)  # fmt: skip
    if arguments.detail:
        for name, times in Counter(k.name for k in few[1]).most_common(20):
            gigabytes = sum(k.bytes for k in few[1] if k.name == name) / 1e9
            print(f"    {times:6,} {name:40} {gigabytes:.3f} GB")
    return number[1] / published, moved[1] / moved[0], many[0] / many[1]


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__.split("\n")[0])
    options.add_argument("--room", action="append", help="default: all")
    options.add_argument("--batch", type=int, default=2, help="of the counts; the modelled step has 16")
    options.add_argument("--frames", type=int, default=64)
    options.add_argument("--detail", action="store_true", help="the commonest kernels of each room")
    arguments = options.parse_args()
    print(f"{'':14} {'kernels':>32} {'GB moved':>23} {'ms modelled, batch 16':>23}")
    print(f"{'room':14} published   plain     lab  ratio    plain     lab  ratio    plain     lab  times")
    rooms = arguments.room or [each.folder for each in ROOMS if not each.variant]
    ratios = [row(room, arguments) for room in rooms]
    means = [math.exp(sum(map(math.log, column)) / len(column)) for column in zip(*ratios)]
    print(f"{'geometric mean':14} {means[0]:32.2f} {means[1]:23.2f} {means[2]:23.2f}")
    print("published: kernels counted on the published code, batch 2, 64 frames. Modelled: the larger of FLOPs at"
          " 7 TFLOP/s and bytes at 272 GB/s, and 5 us a launch, of each kernel.")  # fmt: skip


if __name__ == "__main__":
    sys.exit(guarded(main))
