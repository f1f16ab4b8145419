"""Frames of whatever rate become frames of a constant one, by their times."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from skeleton_lab.live.sources import AGAIN, Frame

LONGEST = 0.5  # seconds between two frames that are joined by a line: a person who is missing for longer was away
NEAR = 1e-6  # of a frame: times are written with so many digits that k / rate is not met exactly


class Resampled:
    """Frames at the times k / rate, numbered k; between the frames that came, people are where a straight line says.

    A frame is made as soon as the one behind it has come. A joint that was found in one of the two alone is where it
    was found; a person who is in one of them alone is there at that frame's own time. Behind a pause that is too long
    for a line the next frame stands for the grid's last time before it. Frames that come late are left out: their time
    has been filled in. After ``AGAIN`` of them in a row, whose times go on, the source's clock has been set back, and
    everything begins again.

    Args:
        rate: frames per second.

    Attributes:
        late: how many frames came late, and were left out.
    """

    def __init__(self, frames: Iterable[Frame | None], rate: float) -> None:
        self._frames, self._rate = frames, rate
        self.late = 0

    def __iter__(self) -> Iterator[Frame | None]:
        before: Frame | None = None
        begins, behind = False, 0
        late: Frame | None = None  # the latest of ``behind`` frames in a row
        for frame in self._frames:
            if frame is None:
                yield None
                continue
            if before is not None and not frame.begins and frame.time <= before.time:
                behind = behind + 1 if late is not None and frame.time > late.time else 1
                late = frame
                if behind < AGAIN:
                    self.late += 1
                    continue
                frame = frame._replace(begins=True)
            late = None
            begins |= frame.begins
            for made in self._made(None if frame.begins else before, frame):
                yield made._replace(begins=begins, asked=None)
                begins = False
            before = frame

    def _made(self, before: Frame | None, frame: Frame) -> Iterator[Frame]:
        last = math.floor(frame.time * self._rate + NEAR)
        first = last if before is None else math.floor(before.time * self._rate + NEAR) + 1
        if before is None or frame.time - before.time > LONGEST:
            if first <= last:
                yield frame._replace(number=last, time=last / self._rate)
            return
        for k in range(first, last + 1):
            share = (k / self._rate - before.time) / (frame.time - before.time)
            people = _between(before.people, frame.people, min(share, 1.0))
            yield frame._replace(number=k, time=k / self._rate, people=people)


def _between(a: dict[int, np.ndarray], b: dict[int, np.ndarray], share: float) -> dict[int, np.ndarray]:
    if share >= 1 - NEAR:
        return b
    return {id: moved(a[id], end, share) for id, end in b.items() if id in a and a[id].shape == end.shape}


def moved(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    """(V, C) on the way from a to b."""
    in_a, in_b = (np.isfinite(x).all(1) & (x[:, -1] > 0) for x in (a, b))
    made = a + share * (b - a)
    made[in_a & ~in_b] = a[in_a & ~in_b]
    made[in_b & ~in_a] = b[in_b & ~in_a]
    made[~in_a & ~in_b] = 0
    return made
