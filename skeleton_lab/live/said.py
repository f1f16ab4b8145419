"""Notices of a session that goes on: told when they come up, each kind once."""

from __future__ import annotations

from collections.abc import Callable

from skeleton_lab.errors import one_line
from skeleton_lab.inference.keypoints.notices import Notices

MOST = 200  # kinds: some are told of each person, and in days there are many


class Said(Notices):
    """``say`` takes the first line of every kind; of the others nothing is kept."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say
        self._kinds: set[str] = set()

    def add(self, kind: str, recording: str, line: str) -> None:
        if kind not in self._kinds and len(self._kinds) < MOST:
            self._kinds.add(kind)
            self._say(one_line(line))

    def forget(self, kind: str) -> None:
        """Nothing: what has been said once is not said again, window after window."""
