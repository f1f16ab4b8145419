"""What a label costs frame by frame, against the network on the window again: multiply-adds counted, time on request.

    python -m benchmarks.continual [--model stgcnpp] [--window 100] [--every 10] [--time]

Counted exactly, of convolutions and matrix products, for one clip of as many people as the network takes: ``window``,
the plain network on the window; ``frame``, a frame that comes, in the mean over the network's stride; ``end``, what
``--continual pad`` adds to a label; with the factors by which a label every ``--every`` frames is cheaper, padded and
waiting.  ``state``: what is remembered.  Weights are random; none of the figures depends on them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import yaml

from skeleton_lab import registry
from skeleton_lab.errors import guarded
from skeleton_lab.utils.cli import check_sizes
from skeleton_lab.utils.importing import import_class

NETWORKS = ("stgcn", "stgcn-twostream", "stgcnpp", "stgcnpp-coco", "msg3d", "ctrgcn-baseline")
TIMES = 5


def counted(run: Callable[[], Any]) -> float:
    """Millions of multiply-adds."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as flops, torch.no_grad():
        run()
    return flops.get_total_flops() / 2e6


def seconds(run: Callable[[], Any]) -> float:
    """Processor time, the best of some."""
    took = []
    for _ in range(TIMES):
        begun = time.process_time()
        run()
        took.append(time.process_time() - begun)
    return min(took)


def state_bytes(state: Any) -> int:
    if hasattr(state, "untyped_storage"):
        return state.untyped_storage().nbytes()
    return sum(map(state_bytes, state)) if isinstance(state, (list, tuple)) else 0


def row(name: str, window: int, every: int, timed: bool) -> None:
    """Prints a network's line."""
    import torch  # here, and in what follows: --help needs none

    from skeleton_lab.cost import counting
    from skeleton_lab.engine.network import construct
    from skeleton_lab.nn.continual import Continual

    given = registry.model(name)
    settings = yaml.safe_load(given.path.read_text())
    with registry.room(given.room):
        network = import_class(given.network or settings["model"], "model")
        net = construct(network, name, settings["model_args"], fused=False).eval().requires_grad_(False)
        continual = Continual(net, window)
    x, *_ = counting.example(settings["model_args"], 1, window)
    stream = continual.start()
    while stream.frames < continual.reach + continual.stride:  # from then on every frame costs the same
        continual.push(stream, x)

    def push() -> None:
        for t in range(continual.stride):
            continual.push(stream, x[:, :, t : t + 1])

    whole, frame = counted(lambda: net(x)), counted(push) / continual.stride
    end = counted(lambda: continual.logits(stream))
    padded, waiting = (whole / (every * frame + more) for more in (end, 0))
    line = f"{name:16} {continual.reach:3} {whole:9.1f} {frame:8.2f} {end:9.1f} {padded:8.2f} {waiting:8.2f}"
    line += f" {state_bytes(stream.trunk) / 2**20:9.2f}"
    if timed:
        with torch.no_grad():
            times = seconds(lambda: net(x)), seconds(push) / continual.stride, seconds(lambda: continual.logits(stream))
        line += "".join(f" {1e3 * each:8.1f}" for each in times)
    print(line, flush=True)


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.continual", description=__doc__.split("\n")[0])
    options.add_argument("--model", action="append", choices=NETWORKS, help="default: all")
    options.add_argument("--window", type=int, default=100, help="frames that a label looks back on (default: 100)")
    options.add_argument("--every", type=int, default=10, help="frames from label to label (default: 10)")
    options.add_argument("--time", action="store_true", help="also ms of processor time, one thread")
    arguments = options.parse_args()
    check_sizes(arguments, "window", "every")
    import torch

    torch.set_num_threads(1)
    print(f"{'':20} {'million multiply-adds':>28} {'times cheaper':>17} {'MiB':>9}{'   ms' if arguments.time else ''}")
    print(f"{'network':16} {'R':>3} {'window':>9} {'frame':>8} {'end':>9} {'padded':>8} {'waiting':>8} {'state':>9}"
          + (f" {'window':>8} {'frame':>8} {'end':>8}" if arguments.time else ""))  # fmt: skip
    for name in arguments.model or NETWORKS:
        row(name, arguments.window, arguments.every, arguments.time)


if __name__ == "__main__":
    sys.exit(guarded(main))
