"""Forecast the time of training steps by measured rates of this CPU, against their real time: one thread.

    python -m benchmarks.forecast [--room ST-GCN] [--batch 1 2 4 8 16] [--frames 64 300] [--plain]

Before each room and number of frames this CPU is calibrated anew, by operations that know no network
(``skeleton_lab.plan.calibration``): a machine on which others work is not as fast at all times.  A network is then
counted with one clip and with two, and its step forecast for every batch; real is the least processor time of forward
and backward, after a step that warms up.  ``--plain`` takes the plain forms of the networks, of which nothing is known
but their operations, as a check on rooms that the forecast has not been seen with.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time

import psutil
import torch
from torch import nn

from skeleton_lab.cost import counting, program
from skeleton_lab.engine.losses import Criterion
from skeleton_lab.errors import UsageError, guarded
from skeleton_lab.nn import unfuse
from skeleton_lab.plan import calibration, work
from skeleton_lab.registry import ROOMS
from skeleton_lab.utils.cli import Parser

WITHIN = 0.25
ENOUGH = 20.0  # seconds; then one round will do
SPARE = 0.5  # share of the free memory that a step may take


def real(model: nn.Module, model_args: dict, batch: int, frames: int, rounds: int) -> float:
    """Processor seconds of forward and backward."""
    inputs, y = counting.example(model_args, batch, frames), torch.zeros(batch, dtype=torch.long)
    times: list[float] = []
    while len(times) < 2 or (len(times) <= rounds and sum(times) < ENOUGH):
        began = time.thread_time()
        loss = Criterion(net=model)(model(*inputs), y)
        model.zero_grad(set_to_none=True)
        loss.backward()
        times.append(time.thread_time() - began)
    model.zero_grad(set_to_none=True)
    return min(times[1:])


def compare(room: str, frames: int, arguments: argparse.Namespace) -> list[float]:
    """Prints a line for each batch; returns the errors."""
    wishes = argparse.Namespace(
        room=room, config=None, num_class=60, frames=frames, activation_checkpointing=False, trust_code=False
    )
    torch.manual_seed(0)
    model, model_args = program.build(wishes)
    model = (unfuse(model) if arguments.plain else model).train()
    rates = calibration.calibrate(torch.device("cpu"))
    growth = work.Growth(*(work.of_step(model, counting.example(model_args, n, frames), False) for n in (1, 2)))
    errors = []
    for batch in arguments.batch:
        step = growth.at(batch)
        forecast, needed = rates.seconds(step), sum(new for each in step.works for _, _, new in each.results)
        if needed > SPARE * psutil.virtual_memory().available:
            print(
                f"{room:14} {frames:6} {batch:6} {forecast:10.3f}    not measured: {needed / 2**30:.1f} GiB", flush=True
            )
            continue
        took = real(model, model_args, batch, frames, arguments.rounds)
        errors.append(forecast / took - 1)
        print(f"{room:14} {frames:6} {batch:6} {forecast:10.3f} {took:9.3f} {errors[-1]:+7.1%}"
              f"{'  outside' if abs(errors[-1]) > WITHIN else ''}", flush=True)  # fmt: skip
    return errors


def main() -> None:
    options = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rooms = [each.folder for each in ROOMS if not each.variant]
    options.add_argument("--room", action="append", choices=rooms, metavar="ROOM", help="default: all")
    options.add_argument("--batch", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    options.add_argument("--frames", type=int, nargs="+", default=[64, 300])
    options.add_argument("--rounds", type=int, default=5, help="measured steps (default: %(default)s)")
    options.add_argument("--plain", action="store_true", help="the plain networks, which nothing fuses")
    arguments = options.parse_args()
    if min(*arguments.batch, *arguments.frames, arguments.rounds) < 1:
        raise UsageError("--batch, --frames and --rounds must be at least 1")
    torch.set_num_threads(1)
    print(f"PyTorch {torch.__version__}, one thread, load average {os.getloadavg()[0]:.1f}")
    print(f"{'room':14} frames  batch  forecast s    real s   error", flush=True)
    errors = []
    for room in arguments.room or rooms:
        for frames in arguments.frames:
            errors += compare(room, frames, arguments)
    inside = sum(abs(error) <= WITHIN for error in errors)
    mean = math.sqrt(sum(error**2 for error in errors) / len(errors)) if errors else math.nan
    print(f"{inside} of {len(errors)} within {WITHIN:.0%}; root mean square {mean:.1%}")


if __name__ == "__main__":
    sys.exit(guarded(main))
