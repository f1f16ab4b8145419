"""The last frames of each person, as many as a window has and no more."""

from __future__ import annotations

import numpy as np

from skeleton_lab.live.sources import Frame

NEVER = np.iinfo(np.int64).min
MOST = 100  # people who are kept at once: a tracker that gives everybody a new number every frame would fill the memory


class Ring:
    """One person: points (W, V, C) by the number of their frame, of which the latest W are there."""

    def __init__(self, W: int, V: int, C: int) -> None:
        self._points = np.zeros((W, V, C))
        self._numbers = np.full(W, NEVER)
        self.newest = NEVER

    def put(self, number: int, points: np.ndarray) -> None:
        """What comes late takes its place; of two frames of one number the later is kept."""
        slot = number % len(self._numbers)
        if number >= self._numbers[slot]:
            self._points[slot], self._numbers[slot] = points, number
            self.newest = max(self.newest, number)

    def seen(self, first: int, last: int) -> np.ndarray:
        """Which of the frames first..last are there, ascending, at most W."""
        there = self._numbers[(self._numbers >= first) & (self._numbers <= last)]
        return np.sort(there)

    def window(self, first: int, last: int) -> np.ndarray:
        """(T, V, C) of first..last, zeros where there is none; T is at most W."""
        numbers = np.arange(first, last + 1)
        slots = numbers % len(self._numbers)
        there = self._numbers[slots] == numbers
        return np.where(there[:, None, None], self._points[slots], 0)


class Rings:
    """Everybody's; who has not been seen for a window is forgotten.

    Args:
        W: frames of a window.

    Attributes:
        newest: number of a frame, None before there is one.
    """

    def __init__(self, W: int) -> None:
        self.W = W
        self.forget()

    def forget(self) -> None:
        self.of: dict[int, Ring] = {}
        self.newest: int | None = None

    def push(self, frame: Frame) -> None:
        """Take in the people of a frame, unless it is older than the window."""
        self.newest = frame.number if self.newest is None else max(self.newest, frame.number)
        self.of = {id: ring for id, ring in self.of.items() if ring.newest > self.newest - self.W}
        if frame.number <= self.newest - self.W:
            return
        for id, points in frame.people.items():
            if id not in self.of:
                self._room_for_one()
                self.of[id] = Ring(self.W, *points.shape)
            self.of[id].put(frame.number, points)

    def _room_for_one(self) -> None:
        if len(self.of) >= MOST:
            del self.of[min(self.of, key=lambda id: self.of[id].newest)]

    @property
    def begin(self) -> int:
        """Number of the window's first frame."""
        assert self.newest is not None
        return self.newest - self.W + 1
