"""``skeleton_lab.cost.settings``: the order in which settings are tried, and that nothing fitting is told."""

from __future__ import annotations

import pytest

from skeleton_lab.cost.counting import GIB, Cost
from skeleton_lab.cost.settings import Settings, choose
from skeleton_lab.errors import UsageError

USUAL = Settings(False, 64)


def cost(again: bool, precision: str) -> Cost:
    """A clip takes 0.1 GiB, computed again 0.05, and half of it in mixed precision."""
    size = 0.1 * (0.5 if again else 1) * (1 if precision == "32" else 0.5)
    return Cost(1, 1, int(size * GIB), 0)


@pytest.mark.parametrize(
    ("budget", "settings", "flags"),
    (
        (8, USUAL, ""),
        (5, Settings(True, 64), "--activation-checkpointing"),
        (2.4, Settings(True, 32), "--activation-checkpointing --forward-batch-size 32"),
        (0.75, Settings(True, 2), "--activation-checkpointing --forward-batch-size 2"),
        (0.68, Settings(True, 2, "16-mixed"),
         "--precision 16-mixed --activation-checkpointing --forward-batch-size 2"),
    ),
)  # fmt: skip
def test_cheapest_first_and_other_numbers_last(budget, settings, flags):
    found = choose(USUAL, 64, budget, cost, mixed="16-mixed")
    assert found == settings and found.flags(USUAL) == flags


def test_a_network_that_cannot_compute_again():
    assert choose(USUAL, 64, 5, cost, checkpointing=False) == Settings(False, 32)


def test_nothing_fits():
    with pytest.raises(UsageError, match=r"0\.5 GiB whatever the settings: 0\.7 GiB .* 2 clips"):
        choose(USUAL, 64, 0.5, cost)
