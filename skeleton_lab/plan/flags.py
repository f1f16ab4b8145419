"""The flags of the plan; they need no PyTorch."""

from __future__ import annotations

from pathlib import Path

from skeleton_lab.utils.cli import Parser


def parser() -> Parser:
    options = Parser(description="Which rooms this machine, or another card, can train, with which settings, how long.")
    add = options.add_argument
    add("--card", help="plan for this card: a name ('RTX 4060'), or MEMORY,BANDWIDTH,RATE as 8GB,272GB/s,15TFLOP/s")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N: the machine's own (default: %(default)s)")
    add("--memory", type=float, metavar="GIB", help="memory to spend; default: what is free, of a card seven eighths")
    add("--room", help="one room alone: folder, image name or program letter; default: all")
    add(
        "--data", type=Path, metavar="FILE", help="count its clips, and how many show one person; default: NTU RGB+D 60"
    )
    add("--out", type=Path, default=Path("work_dir/plan"), metavar="FOLDER",
        help="where plan.html and plan.json are written (default: %(default)s)")  # fmt: skip
    return options
