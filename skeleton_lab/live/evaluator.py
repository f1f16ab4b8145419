"""What a network says now: the interface that all ways to ask it have in common.

``windowed.Windowed`` asks about the last frames as a whole, as ``predict`` does, and serves every network.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from skeleton_lab.live.sources import Frame


class Evaluator(Protocol):
    """Keeps what it needs of the people it has seen; what it keeps is bounded, however long it goes on.

    Attributes:
        frames: of the past that a judgement rests on.
        K: classes.
    """

    frames: int
    K: int

    def push(self, frame: Frame) -> None:
        """Take in a frame. Its number may be any: frames that were left out, and late ones, are the evaluator's to
        deal with."""

    def logits(self) -> dict[int | str, np.ndarray]:
        """(K,) float32 of each person who can be judged now, by id; of everybody together under ``windows.ALL``.

        It is asked after the ``push`` of the frame that the answer is about.
        """

    def forget(self) -> None:
        """Begin anew, as if no frame had come."""
