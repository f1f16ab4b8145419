"""How fast a session is, and what came in: a few numbers, however long it goes on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import psutil

SHORTEST, RATIO, BINS = 1e-5, 1.02, 1000  # seconds; 1.02 ** 1000 * 1e-5 s is an hour


class Delays:
    """Seconds, counted in bins that are two per cent wide: quantiles are that exact."""

    def __init__(self) -> None:
        self._counts = np.zeros(BINS, np.int64)
        self.most = 0.0

    def add(self, seconds: float) -> None:
        place = 0 if seconds <= SHORTEST else int(np.log(seconds / SHORTEST) / np.log(RATIO)) + 1
        self._counts[min(place, BINS - 1)] += 1
        self.most = max(self.most, seconds)

    def __len__(self) -> int:
        return int(self._counts.sum())

    def quantile(self, q: float) -> float:
        """Seconds that a share ``q`` of all does not exceed; 0 where there are none."""
        if not len(self):
            return 0.0
        place = int(np.searchsorted(np.cumsum(self._counts), q * len(self)))
        return min(SHORTEST * RATIO**place, self.most)

    def as_ms(self, name: str) -> dict[str, float]:
        """Median, 99 % and the longest, in ms."""
        told = {f"{name}_ms_p{round(100 * q)}": round(1e3 * self.quantile(q), 2) for q in (0.5, 0.99)}
        return {**told, f"{name}_ms_most": round(1e3 * self.most, 2)}


@dataclass
class Figures:
    """Of a session.

    Attributes:
        frames, labels: that came, and that were given, one per person and moment.
        missing: numbers that never came, so far. late: frames behind a newer one.
        skipped: moments of a label that were left out because the next one was there already.
        per_frame: from a frame's arrival until everything about it was done. per_label: the same of frames at which
            the network was asked.
        begun, cpu: MiB in use, and the process's processor time, when the first frame came.
    """

    frames: int = 0
    labels: int = 0
    missing: int = 0
    late: int = 0
    skipped: int = 0
    per_frame: Delays = field(default_factory=Delays, repr=False)
    per_label: Delays = field(default_factory=Delays, repr=False)
    begun: float = 0.0
    cpu: float = 0.0

    def begin(self) -> None:
        """The first frame has come."""
        self.begun, self.cpu = resident(), time.process_time()

    def as_json(self) -> dict[str, Any]:
        """Seconds in ms, memory in MiB."""
        told: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self) if each.type == "int"}
        told["cpu_s"] = round(time.process_time() - self.cpu, 2)
        for name, delays in (("frame", self.per_frame), ("label", self.per_label)):
            told |= delays.as_ms(name)
        return {**told, "mib_begin": round(self.begun, 1), "mib_end": round(resident(), 1)}


def resident() -> float:
    """MiB of this process."""
    return psutil.Process().memory_info().rss / 2**20
