"""The settings that make a recipe fit, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol

HALVES = ("16-mixed", "bf16-mixed")


class Published(Protocol):
    """A recipe, as far as settings change it."""

    @property
    def forward(self) -> int: ...
    @property
    def checkpointing(self) -> bool: ...
    @property
    def precision(self) -> str: ...


@dataclass(frozen=True)
class Settings:
    """How a recipe is run. ``forward``: samples on the device at once (of several devices together)."""

    forward: int
    checkpointing: bool
    precision: str

    def flags(self, recipe: Published) -> str:
        """What is added to the published command; empty where nothing is."""
        words = []
        if self.checkpointing and not recipe.checkpointing:
            words.append("--activation-checkpointing")
        if self.forward != recipe.forward:
            words.append(f"--forward-batch-size {self.forward}")
        if self.precision != recipe.precision:
            words.append(f"--precision {self.precision}")
        return " ".join(words)

    def same_numbers(self, recipe: Published) -> bool:
        """Whether training computes what the recipe does, up to rounding."""
        return (self.forward, self.precision) == (recipe.forward, recipe.precision)


def ways(recipe: Published, checkpoints: bool, half: str | None, fixed: Collection[str] = ()) -> Iterator[Settings]:
    """As published; then the same numbers for more time; then other numbers: fewer samples at once, half floats.

    Args:
        checkpoints: the network knows activation checkpointing.
        half: the mixed precision that the device takes; None: it has none that pays.
        fixed: names of settings that stay as the recipe has them.
    """
    changes = checkpoints and not recipe.checkpointing and "checkpointing" not in fixed
    again = [False, True] if changes else [recipe.checkpointing]
    sizes = [recipe.forward]
    while sizes[-1] > 1 and "forward" not in fixed:
        sizes.append(next(n for n in range(sizes[-1] // 2, 0, -1) if recipe.forward % n == 0))
    narrow = half and recipe.precision not in (*HALVES, "64") and "precision" not in fixed
    for precision in [recipe.precision, *([half] if narrow else [])]:
        for size in sizes:
            for checkpointing in again:
                yield Settings(size, checkpointing, precision)
