"""What a search tries: of each trial the values, drawn beforehand, so that its runs have names and folders."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# A name in ``search:`` that gives several flags the same value
SHORT = {"window": ("train_window_size", "test_window_size")}
DIGITS = 4  # of a drawn number: more would only make commands longer


@dataclass(frozen=True)
class Space:
    """Where the values of a flag come from: a list of choices, or the numbers from ``low`` to ``high``, both included.

    Attributes:
        log: a range's numbers are even in their logarithm.
        whole: they are whole numbers.
    """

    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    def value(self, share: float) -> Any:
        """The value at ``share`` of the space, 0 <= share < 1.

        >>> Space(low=0.001, high=0.1, log=True).value(0.5), Space(choices=(16, 24, 32)).value(0.5)
        (0.01, 24)
        """
        if self.choices:
            return self.choices[int(share * len(self.choices))]
        high = self.high + 1 if self.whole else self.high
        drawn = self.low * (high / self.low) ** share if self.log else self.low + (high - self.low) * share
        if self.whole:
            return min(int(drawn), int(self.high))
        return min(max(float(f"{drawn:.{DIGITS}g}"), self.low), self.high)


def drawn(spaces: Mapping[str, Space], seed: int, number: int) -> dict[str, Any]:
    """The values of trial ``number``, from 1: they stay what they are when there are more trials, or other flags."""
    return {
        name: space.value(random.Random(f"{seed} {number} {name}").random())  # texts seed alike in every Python
        for name, space in spaces.items()
    }


def flags(values: Mapping[str, Any]) -> dict[str, Any]:
    """Drawn values as flags of training.

    >>> flags({"base_lr": 0.1, "window": 16})
    {'base_lr': 0.1, 'train_window_size': 16, 'test_window_size': 16}
    """
    return {flag: value for name, value in values.items() for flag in SHORT.get(name, (name,))}
