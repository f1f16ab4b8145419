"""The table of exported networks: nodes, size, how well they agree, and how fast onnxruntime is beside PyTorch.

    python -m benchmarks.export

Every network by its published configuration, with random weights and norms that have seen some clips, so that logits
are of a usable size; times are processor time of one thread, the best of some, per batch.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skeleton_lab import registry
from skeleton_lab.engine.config import yaml_file
from skeleton_lab.errors import guarded
from skeleton_lab.utils.importing import import_class

if TYPE_CHECKING:
    from torch import Tensor, nn

FRAMES = 64
BATCHES = (1, 16)


def networks(wanted: list[str]) -> list[tuple[str, str, str, str | None]]:
    """(name, room, configuration, class in place of its own) of the presets and models of the registry."""
    named = [(each.name, each.room, each.config, each.network) for each in registry.MODELS if each.config]
    known = {(room, config) for _, room, config, _ in named}
    for room in registry.ROOMS:
        named += [
            (f"{room.image} {Path(preset).stem}", room.folder, preset, None)
            for preset in room.presets
            if (room.folder, preset) not in known
        ]
    return [row for row in named if not wanted or row[0].split()[0] in wanted or row[1] in wanted]


def built(room: str, config: str, network: str | None) -> tuple[nn.Module, dict[str, Any], int]:
    """A network with random weights, its arguments, and the frames that it takes."""
    import torch  # here, and in what follows: --help needs none

    from skeleton_lab.cost import counting

    settings = yaml_file.read(registry.find(room).path / config)
    arguments = dict(settings["model_args"])
    frames = int(arguments.get("frame_size") or arguments.get("num_frames") or FRAMES)
    torch.manual_seed(0)
    with registry.room(room):
        net = import_class(network or settings["model"], "model")(**arguments)
    with torch.no_grad():  # norms see clips
        net.train()(*counting.example(arguments, 4, frames))
    return net, arguments, frames


def best(call: Callable[[], Any], repeat: int) -> float:
    """Seconds of processor time."""
    times = []
    for _ in range(repeat + 1):  # the first warms up
        begun = time.process_time()
        call()
        times.append(time.process_time() - begun)
    return min(times[1:])


def timed(net: nn.Module, running: Any, inputs: tuple[Tensor, ...], repeat: int) -> tuple[float, float]:
    """Seconds of PyTorch's plain form and of onnxruntime."""
    import torch

    from skeleton_lab.export import comparing

    with torch.inference_mode():
        plain = best(lambda: net(*inputs), repeat)
    return plain, best(lambda: comparing.said(running, inputs), repeat)


def row(name: str, room: str, config: str, network: str | None, options: argparse.Namespace) -> str:
    """One line of the table."""
    from skeleton_lab.cost import counting
    from skeleton_lab.export import comparing, tracing
    from skeleton_lab.export.program import traced

    plain, arguments, frames = built(room, config, network)
    net = tracing.answer(plain)
    given = dict(zip(("clips", "index_t"), counting.example(arguments, 4, frames)))
    model, found, fixed = traced(net, given, (2, 1)[: len(given)], options.opset)  # PYSKL's are (N, M, T, V, C)
    running, cells = comparing.session(model), []
    for size in BATCHES:
        torch_s, onnx_s = timed(net, running, counting.example(arguments, size, frames), options.repeat)
        cells.append(f"{1e3 * torch_s:.0f} / {1e3 * onnx_s:.0f}")
    size, free = model.ByteSize() / 1e6, "" if fixed else " (free)"
    return (
        f"| {name} | {len(model.graph.node)} | {options.opset} | {size:.1f} MB | {frames}{free} | "
        f"{found.worst:.0e} of {found.largest:.2g} | {' | '.join(cells)} |"
    )


def run(options: argparse.Namespace) -> None:
    import torch

    torch.set_num_threads(1)
    columns = ["network", "nodes", "opset", "size", "frames", "worst difference, of logits up to"]
    columns += [f"torch / onnxruntime ms, batch {size}" for size in BATCHES]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for each in networks(options.networks):
        print(row(*each, options), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export", description=__doc__.split("\n")[0])
    parser.add_argument("networks", nargs="*", help="names of models or rooms; default: all")
    parser.add_argument("--opset", type=int, default=18, help="18 to 20")
    parser.add_argument("--repeat", type=int, default=3, help="timings of which the best counts")
    return guarded(lambda: run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
