"""Which settings make a training step fit a memory: cheapest first, and the same numbers before other numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from skeleton_lab.cost.counting import Cost, fits
from skeleton_lab.errors import UsageError

SMALLEST_PIECE = 2  # batch norm cannot train on one clip


@dataclass(frozen=True)
class Settings:
    """How a batch is trained: computed again in backward or kept, so many clips at once, and in which precision."""

    activation_checkpointing: bool
    forward_batch_size: int
    precision: str = "32"

    def flags(self, usual: Settings) -> str:
        """The flags that lead here from the ``usual`` settings; empty where nothing changes."""
        words = []
        if self.precision != usual.precision:
            words.append(f"--precision {self.precision}")
        if self.activation_checkpointing and not usual.activation_checkpointing:
            words.append("--activation-checkpointing")
        if self.forward_batch_size != usual.forward_batch_size:
            words.append(f"--forward-batch-size {self.forward_batch_size}")
        return " ".join(words)


def candidates(usual: Settings, batch: int, checkpointing: bool, mixed: str | None) -> Iterator[Settings]:
    """Settings in the order in which they are tried.

    As published; activations computed again (a third more time, the same numbers); pieces of the batch (batch norm
    sees others), the largest that divide it first, computed again or not; all of it in mixed precision (``mixed``).
    """
    again = [usual.activation_checkpointing] if usual.activation_checkpointing or not checkpointing else [False, True]
    most = usual.forward_batch_size
    pieces = [n for n in range(most, SMALLEST_PIECE - 1, -1) if batch % n == 0 or n == most] or [most]
    for precision in dict.fromkeys((usual.precision, *([mixed] if mixed and usual.precision == "32" else []))):
        yield from (Settings(each, most, precision) for each in again)
        for size in pieces[1:]:
            yield from (Settings(each, size, precision) for each in again)


def choose(
    usual: Settings,
    batch: int,
    budget_gib: float,
    cost: Callable[[bool, str], Cost],
    checkpointing: bool = True,
    mixed: str | None = None,
) -> Settings:
    """The first of ``candidates`` whose step stays within the budget.

    Args:
        batch: clips of an optimiser step.
        cost: (activations computed again, precision) -> what a clip costs then; asked once for each.
        checkpointing: whether the network can compute activations again.
        mixed: the precision to turn to last, ``16-mixed`` say; None: stay with the usual one.

    Raises:
        UsageError: nothing fits.
    """
    known: dict[tuple[bool, str], Cost] = {}
    for each in candidates(usual, batch, checkpointing, mixed):
        key = each.activation_checkpointing, each.precision
        if key not in known:
            known[key] = cost(*key)
        if fits(known[key], each.forward_batch_size, budget_gib):
            return each
    least = min(found.step_bytes(SMALLEST_PIECE) for found in known.values()) / 2**30
    raise UsageError(
        f"a training step does not fit {budget_gib:g} GiB whatever the settings: {least:.1f} GiB are needed with "
        f"{SMALLEST_PIECE} clips at once; shorten the clips (window_size) or take more memory"
    )
