"""Seconds and memory of training steps on random clips, for the small models and for those of the rooms at hand."""

from __future__ import annotations

import argparse
import contextlib
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from skeleton_lab.baselines.models import (
    CLASSES,
    COORDINATES,
    JOINTS,
    PERSONS,
    SimpleMLP,
    SimpleSTBackbone,
    STGCNBackbone,
)
from skeleton_lab.baselines.training import half
from skeleton_lab.cost import counting, program
from skeleton_lab.engine.losses import Criterion
from skeleton_lab.errors import FAILURE, LabError, UsageError, guarded, nearest, one_line
from skeleton_lab.registry import find, room
from skeleton_lab.utils.cli import Parser, check_sizes
from skeleton_lab.utils.devices import pick_device

SMALL = {
    "simple": lambda T: SimpleSTBackbone(),
    "stgcn_lite": lambda T: STGCNBackbone(),
    "mlp": lambda T: SimpleMLP(T * PERSONS * JOINTS * COORDINATES),
}
ROOM_MODELS = {
    "ctrgcn": ("CTR-GCN", None),
    "msg3d": ("MS-G3D", None),
    "freqmixformer": ("FreqMixFormer", None),
    "skateformer": ("SkateFormer", None),
    "hypergcn": ("Hyper-GCN", None),
    "hypergcn_large": ("Hyper-GCN", "config/large/nturgbd-cross-subject/hyper_joint.yaml"),
    "stgcn": ("ST-GCN", None),
}
KEYS = (*SMALL, *ROOM_MODELS)
COLUMNS = ("", "model", "steps", "batch", "seq_len", "device", "amp", "seconds", "ms/step", "peak MB")


@dataclass
class Result:
    """One row; ``frames`` is what the model got, ``peak`` its most memory in bytes; ``error`` instead if it failed."""

    key: str
    frames: int
    seconds: float = 0.0
    peak: int = 0
    error: str | None = None


class Case(NamedTuple):
    model: nn.Module
    inputs: tuple[Tensor, ...]
    frames: int


def here() -> list[str]:
    """The models of this image or checkout: the small ones, and those of the rooms whose folders are there."""
    return [key for key in KEYS if key in SMALL or find(ROOM_MODELS[key][0]).path.is_dir()]


def case(key: str, batch: int, frames: int) -> Case:
    """A model with 60 classes and random input x (B, 3, T, 25, 2).

    A network that cannot take so many frames gets the next number above that it can (at most 64 more).

    Raises:
        UsageError: the room is not here.
    """
    if key in SMALL:
        return Case(SMALL[key](frames), (torch.randn(batch, COORDINATES, frames, JOINTS, PERSONS),), frames)
    name, config = ROOM_MODELS[key]
    refusal: LabError | None = None
    for T in range(frames, frames + 65):
        wishes = argparse.Namespace(
            room=name, config=config, num_class=CLASSES, frames=T, activation_checkpointing=False, trust_code=False
        )
        try:
            model, model_args = program.build(wishes)
            inputs = counting.example(model_args, batch, T)
            with room(name), torch.no_grad():
                model.eval()(*(each[:1] for each in inputs))
            return Case(model, inputs, T)
        except LabError as error:
            if not find(name).path.is_dir():
                raise
            refusal = refusal or error
    assert refusal is not None
    raise refusal


def measure(key: str, options: argparse.Namespace, device: torch.device) -> Result:
    """Time ``options.steps`` steps of Adam, after one that is not timed."""
    model, inputs, frames = case(key, options.batch_size, options.seq_len)
    model = model.to(device).train()
    inputs = tuple(each.to(device) for each in inputs)
    y = torch.randint(CLASSES, (options.batch_size,), device=device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler(device.type, enabled=options.amp)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with half(device) if options.amp else contextlib.nullcontext():
            loss = Criterion()(model(*inputs), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    step()
    settle(device)
    begun = time.perf_counter()
    for _ in range(options.steps):
        step()
    settle(device)
    return Result(key, frames, time.perf_counter() - begun, peak_memory(device))


def settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(device: torch.device) -> int:
    """Bytes: of tensors on a GPU, of the whole process (all models so far) on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def table(results: Sequence[Result], options: argparse.Namespace, device: torch.device) -> list[str]:
    rows = [COLUMNS]
    for r in results:
        mark = "OK" if r.error is None else "FAIL"
        numbers = (f"{r.seconds:.3f}", f"{1000 * r.seconds / options.steps:.1f}", f"{r.peak / 2**20:.0f}")
        settings = (options.steps, options.batch_size, r.frames, device, "on" if options.amp else "off")
        rows.append((mark, r.key, *map(str, settings), *(numbers if r.error is None else ("-", "-", "-"))))
    widths = [max(len(row[k]) for row in rows) for k in range(len(COLUMNS))]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in rows]


def run(options: argparse.Namespace) -> int:
    check_sizes(options, "batch_size", "seq_len", "steps")
    keys = list(dict.fromkeys(options.models)) or here()
    for key in keys:
        if key not in KEYS:
            raise UsageError(f"--models {key}: choose from {', '.join(KEYS)}.{nearest(key, KEYS)}")
    device = pick_device(options.device)
    if options.amp and device.type != "cuda":
        print("warning: --amp has no effect on the CPU", file=sys.stderr)
        options.amp = False
    results = []
    for key in keys:
        print(f"Running {key}...", flush=True)
        torch.manual_seed(0)
        try:
            results.append(measure(key, options, device))
            if results[-1].frames != options.seq_len:
                print(f"  {key} takes {results[-1].frames} frames instead of {options.seq_len}")
        except Exception as error:  # one model that fails must not hide the others' figures
            results.append(Result(key, options.seq_len, error=one_line(error) or type(error).__name__))
    print("Benchmark summary:")
    print("\n".join(table(results, options, device)))
    for r in results:
        if r.error is not None:
            print(f"error: {r.key}: {r.error}", file=sys.stderr)
    return FAILURE if any(r.error is not None for r in results) else 0


def parser() -> Parser:
    made = Parser(
        description="Time training steps (Adam, cross entropy) on random clips (B, 3, T, 25, 2); reads no file.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = made.add_argument
    add("--models", "--model", nargs="+", action="extend", default=[], metavar="NAME",
        help=f"of {', '.join(KEYS)}; default: all that are in this image")  # fmt: skip
    add("--batch-size", type=int, default=2, metavar="B", help="clips in a batch")
    add("--seq-len", type=int, default=50, metavar="T", help="frames of a clip")
    add("--steps", type=int, default=3, help="timed steps")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add("--amp", action=argparse.BooleanOptionalAction, default=False, help="mixed precision")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 1 if a model failed."""
    options = parser().parse_args(argv)
    return guarded(lambda: run(options))
