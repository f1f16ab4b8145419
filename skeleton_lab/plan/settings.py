"""The settings that make a recipe fit, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from skeleton_lab.cost.program import Recipe

HALVES = ("16-mixed", "bf16-mixed")


@dataclass(frozen=True)
class Settings:
    """How a recipe is run. ``forward``: samples on the device at once."""

    forward: int
    checkpointing: bool
    precision: str

    def flags(self, recipe: Recipe) -> str:
        """What is added to the published command; empty where nothing is."""
        words = []
        if self.checkpointing and not recipe.checkpointing:
            words.append("--activation-checkpointing")
        if self.forward != recipe.forward:
            words.append(f"--forward-batch-size {self.forward}")
        if self.precision != recipe.precision:
            words.append(f"--precision {self.precision}")
        return " ".join(words)

    def same_numbers(self, recipe: Recipe) -> bool:
        """Whether training computes what the recipe does, up to rounding."""
        return (self.forward, self.precision) == (recipe.forward, recipe.precision)


def ways(recipe: Recipe, checkpoints: bool, half: str | None) -> Iterator[Settings]:
    """As published; then the same numbers for more time; then other numbers: fewer samples at once, half floats.

    Args:
        checkpoints: the network knows activation checkpointing.
        half: the mixed precision that the device takes; None: it has none that pays.
    """
    again = [False, True] if checkpoints and not recipe.checkpointing else [recipe.checkpointing]
    sizes = [recipe.forward]
    while sizes[-1] > 1:
        sizes.append(next(n for n in range(sizes[-1] // 2, 0, -1) if recipe.forward % n == 0))
    precisions = [recipe.precision, *([half] if half and recipe.precision not in HALVES else [])]
    for precision in precisions:
        for size in sizes:
            for checkpointing in again:
                yield Settings(size, checkpointing, precision)
