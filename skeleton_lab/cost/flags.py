"""The flags of the cost program; they need no PyTorch."""

from __future__ import annotations

from skeleton_lab.utils import trust
from skeleton_lab.utils.cli import Parser

BUDGET_GIB = 7.0  # what an 8 GB card leaves to one process
FLOATS = {"32": "float32", "64": "float64", "16-mixed": "mixed precision", "bf16-mixed": "mixed precision (bfloat16)"}


def parser() -> Parser:
    options = Parser(
        description="What a room's training costs by its own recipe, and whether it fits a GPU.",
    )
    add = options.add_argument
    add("--room", default="all", help="folder, image name or program letter; all: a table (default: %(default)s)")
    add("--config", help="YAML of the room; default: the room's own")
    add("--batch", type=int, help="instead of the recipe's batch")
    add("--frames", type=int, help="instead of the recipe's")
    add("--forward-batch-size", type=int, help="samples on the GPU at once, instead of the recipe's")
    add("--precision", choices=tuple(FLOATS), help="instead of the recipe's")
    add("--num-class", type=int, help="instead of the configuration's")
    add("--single-person", type=float, default=0.0, help="share of samples without a second person")
    add("--activation-checkpointing", action="store_true")
    add("--trust-code", action="store_true", help=trust.HELP)
    add("--samples", type=int, help="measure with so many (default: 8, of long clips 2); figures are per sample")
    add("--budget", type=float, default=BUDGET_GIB, help="GPU memory in GiB (default: %(default)s, of an 8 GB card)")
    return options
