"""What each of the small scripts does without flags, and their flags; PyTorch is imported when one of them starts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skeleton_lab.errors import guarded
from skeleton_lab.utils.cli import Defaults, Parser

if TYPE_CHECKING:
    from torch import nn

    from skeleton_lab.baselines.dataset import NTU60SkeletonDataset


@dataclass(frozen=True)
class Recipe:
    """What one script does when it gets no flags.

    Attributes:
        purpose: one line for ``--help``.
        build: makes the network for a data set.
        batch_size, num_worker: defaults of the flags.
        steps: without ``--epochs``, so many optimiser steps of one shuffled pass.
        epochs: without ``--epochs``, so many passes; used where ``steps`` is None.
        every: a line is printed every so many steps.
        test: measure accuracy on the test split after every epoch.
        header: print settings line by line, as the graph network's script does, not as the MLP's.
        paths: where the archive is looked for without ``--npz-path``; empty: the usual places.
    """

    purpose: str
    build: Callable[[NTU60SkeletonDataset], nn.Module]
    batch_size: int = 32
    num_worker: int = 4
    steps: int | None = None
    epochs: int = 1
    every: int = 10
    test: bool = False
    header: bool = True
    paths: tuple[str, ...] = ()


def parser(recipe: Recipe) -> Parser:
    length = f"{recipe.epochs} epochs" if recipe.steps is None else f"{recipe.steps} batches"
    made = Parser(description=recipe.purpose, formatter_class=Defaults)
    add = made.add_argument
    add("--npz-path", type=Path, metavar="FILE", help="archive in any layout; default: where documents "
        "put NTU60_CS.npz")  # fmt: skip
    add("--layout", help="of the archive, where its content does not tell: pyskl:1 ... (docs/data.md)")
    add("--epochs", type=int, metavar="E", help=f"passes over the training split; default: {length}")
    add("--batch-size", type=int, default=recipe.batch_size, metavar="N", help="clips in a batch")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add("--num-worker", "--num-workers", type=int, default=recipe.num_worker, metavar="W",
        help="processes that read clips; 0 reads in the program itself")  # fmt: skip
    add("--seed", type=int, default=0, help="of the weights and the order of the clips")
    return made


def main(recipe: Recipe, argv: Sequence[str] | None = None) -> int:
    """The whole program: flags, training, the documented lines; returns the exit status."""
    options = parser(recipe).parse_args(argv)

    def program() -> int:
        from skeleton_lab.baselines.training import run  # here: --help needs no PyTorch

        return run(recipe, options)

    return guarded(program)


def program(recipe: Recipe) -> None:
    """``if __name__ == "__main__"`` of a script."""
    sys.exit(main(recipe))
