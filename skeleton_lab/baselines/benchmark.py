"""Seconds and memory of training steps on random clips, for the small models and for those of the rooms at hand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from skeleton_lab.baselines.comparison import KEYS, ROOM_MODELS, SMALL, Result, table
from skeleton_lab.errors import FAILURE, UsageError, guarded, nearest, one_line
from skeleton_lab.registry import find
from skeleton_lab.utils.cli import Defaults, Parser, check_sizes
from skeleton_lab.utils.devices import pick_device


def here() -> list[str]:
    """The models of this image or checkout: the small ones, and those of the rooms whose folders are there."""
    return [key for key in KEYS if key in SMALL or find(ROOM_MODELS[key].room).path.is_dir()]


def run(options: argparse.Namespace) -> int:
    check_sizes(options, "batch_size", "seq_len", "steps")
    keys = list(dict.fromkeys(options.models)) or here()
    for key in keys:
        if key not in KEYS:
            raise UsageError(f"--models {key}: choose from {', '.join(KEYS)}.{nearest(key, KEYS)}")
    import torch  # here: --help needs no PyTorch

    from skeleton_lab.baselines.timing import measure

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
        formatter_class=Defaults,
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
