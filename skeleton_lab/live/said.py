"""Notices of a session that goes on: told when they come up, each kind once."""

from __future__ import annotations

import sys

from skeleton_lab.errors import one_line
from skeleton_lab.inference.keypoints.notices import Notices

MOST = 200  # kinds: some are told of each person, and in days there are many


class Said(Notices):
    """Prints the first line of every kind on stderr; of the others it keeps nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: set[str] = set()

    def add(self, kind: str, recording: str, line: str) -> None:
        if kind not in self._kinds and len(self._kinds) < MOST:
            self._kinds.add(kind)
            print(one_line(line), file=sys.stderr, flush=True)

    def forget(self, kind: str) -> None:
        """Nothing: what has been said once is not said again, window after window."""
