"""From what a network says again and again to a label that stands still: smoothing, hysteresis, and "nothing"."""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass

import numpy as np

from skeleton_lab.errors import UsageError
from skeleton_lab.inference.predictions import probabilities


@dataclass(frozen=True)
class Steadiness:
    """How labels are chosen.

    Attributes:
        smooth: seconds after which a judgement weighs 1/e of a new one; 0: only the newest counts.
        threshold: probability that a class needs to be a label; below it there is none.
        hysteresis: by how much another class has to be more probable than the one that is the label; and how far that
            one may fall below the threshold before it is none.

    Raises:
        UsageError: a number that cannot work.
    """

    smooth: float = 0.5
    threshold: float = 0.4
    hysteresis: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.smooth <= 3600:
            raise UsageError(f"--smooth {self.smooth:g} must be seconds from 0 to 3600")
        for flag in ("threshold", "hysteresis"):
            if not 0 <= getattr(self, flag) <= 1:
                raise UsageError(f"--{flag} {getattr(self, flag):g} is a probability, from 0 to 1")


@dataclass
class _State:
    """Of a person: time and mean of the judgements so far, what they weigh together, and the label."""

    time: float
    p: np.ndarray
    weight: float
    label: int | None


class Labels:
    """A label for each person who is judged, or none.

    The probability of a class is the mean of all judgements, each weighed by exp(-age / smooth): times may be uneven.
    The label changes as a Schmitt trigger does: from none to the best class where that reaches the threshold; from a
    class to none where it falls below the threshold by more than the hysteresis; to another class that reaches the
    threshold and is more probable by the hysteresis.

    Args:
        temperature: by which logits are divided, of a calibrated network.
    """

    def __init__(self, steadiness: Steadiness, temperature: float = 1.0) -> None:
        self._how, self._temperature = steadiness, temperature
        self._of: dict[int | str, _State] = {}

    def step(self, who: int | str, time: float, logits: np.ndarray) -> tuple[int | None, np.ndarray]:
        """The class of a person's label, None for none, and the probabilities (K,) float64 that it rests on."""
        p, before, old = probabilities(logits, self._temperature), self._of.get(who), 0.0
        if before is not None and self._how.smooth:
            old = before.weight * math.exp(-max(time - before.time, 0.0) / self._how.smooth)
            p = (p + old * before.p) / (1 + old)
        label = self._chosen(None if before is None else before.label, p)
        self._of[who] = _State(time, p, 1 + old, label)
        return label, p

    def _chosen(self, label: int | None, p: np.ndarray) -> int | None:
        best, how = int(p.argmax()), self._how
        if label is not None and p[label] < how.threshold - how.hysteresis:
            label = None
        if p[best] >= how.threshold and (label is None or p[best] >= p[label] + how.hysteresis):
            return best
        return label

    def gone(self, judged: Container[int | str]) -> list[int | str]:
        """Those who were judged before and are not any more: nothing is kept of them."""
        gone = [who for who in self._of if who not in judged]
        for who in gone:
            del self._of[who]
        return gone

    def forget(self) -> None:
        self._of = {}
