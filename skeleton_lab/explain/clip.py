"""A clip as the network gets it, and as it would get it if some joints had not moved for a while."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skeleton_lab.data.feeders.base import Feeder
from skeleton_lab.data.feeders.pipeline import Bone
from skeleton_lab.data.feeders.skeleton import coordinates
from skeleton_lab.engine.dataloader import unpack
from skeleton_lab.skeletons.layouts import Layout

MEAN, ZEROS = "mean", "zeros"


class Hidden:
    """The clips of a feeder, one of which is read without what ``mask`` (T, M, V) hides; else answered by the clips.

    A hidden joint stands where it is on average in the recorded frames in which it is found, or at the origin. Where
    it is not found (nobody is there; of key points no score, or no place) there is nothing to hide.

    Args:
        clips: of the feeder; index: of the clip; baseline: ``MEAN``, which leaves scores as they are, or ``ZEROS``.
    """

    def __init__(self, clips: Any, index: int, baseline: str) -> None:
        self._clips, self._index = clips, index
        frames = max(1, int(clips.lengths(np.array([index]))[1][0]))
        self.points: np.ndarray = clips.gather(np.array([index]), np.arange(frames)[None])[0]  # (T, M, V, C)
        D = coordinates(clips)
        self.found = _found(self.points, D, bool(getattr(clips, "scored", False)))
        self.still = np.zeros_like(self.points)
        if baseline == MEAN:
            count = np.maximum(self.found.sum(0), 1)[..., None]
            mean = np.where(self.found[..., None], self.points, 0).sum(0, dtype=np.float64) / count
            self.still[..., :D] = mean[..., :D]
            self.still[..., D:] = self.points[..., D:]
        self.mask: np.ndarray | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clips, name)

    def gather(self, idx: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """As ``Clips.gather``: idx (B,), frames (B, W) -> (B, W, M, V, C) float32."""
        x = np.array(self._clips.gather(idx, frames))
        if self.mask is None:
            return x
        hidden = self.mask & self.found
        for row in np.flatnonzero(np.asarray(idx) == self._index):
            inside = np.flatnonzero((frames[row] >= 0) & (frames[row] < len(self.points)))
            at = frames[row][inside]
            x[row, inside] = np.where(hidden[at][..., None], self.still[at], x[row, inside])
        return x


def _found(points: np.ndarray, D: int, scored: bool) -> np.ndarray:
    """(T, M, V) bool: the joints that are there."""
    if scored or D == 2:
        return np.any(points[..., D:] > 0 if scored else points != 0, axis=3)
    there = np.any(points, axis=(2, 3))
    return np.broadcast_to(there[..., None], points.shape[:3])


class Clip:
    """One clip of a test feeder, which can be read with parts of it hidden.

    Args:
        feeder: of the network; it stays as it is. index: of the clip in it; baseline: as of ``Hidden``.
    """

    def __init__(self, feeder: Feeder, index: int, baseline: str = MEAN) -> None:
        self._feeder, self._index = copy.copy(feeder), index
        self._view = Hidden(feeder.clips, index, baseline)
        self._feeder.clips = self._view

    @property
    def points(self) -> np.ndarray:
        """(T, M, V, C) float32, the recorded frames."""
        return self._view.points

    @property
    def average(self) -> str:
        """How several clips of a sample are put together, see ``evaluate.average``."""
        return getattr(self._feeder, "average_clips", "prob")

    @property
    def skeleton(self) -> Layout | None:
        """Of the joints, where the archive or the feeder's argument says it."""
        return getattr(self._view, "skeleton", None) or self._feeder.skeleton

    @property
    def from_joint(self) -> int | None:
        """The joint that the feeder sees most others from, frame by frame; None where it does no such thing."""
        for step in self._feeder.steps:
            if isinstance(step, Bone):
                parent = step.parent.numpy()
                seen = np.bincount(parent[parent != np.arange(len(parent))], minlength=1)
                return int(seen.argmax()) if 2 * seen.max() > len(parent) else None
        return None

    def inputs(self, masks: Iterable[np.ndarray | None]) -> list[Tensor]:
        """What the network is called with for each mask (T, M, V): tensors (B, ...). None hides nothing.

        The feeder is asked for one clip at a time, so whatever it draws is drawn alike for all of them.
        """
        made = []
        for mask in masks:
            self._view.mask = mask
            made.append(unpack(self._feeder.__getitems__([self._index]))[0])
        self._view.mask = None
        return [torch.cat(each) for each in zip(*made)]

    def motionless(self) -> np.ndarray:
        """The mask that hides everything."""
        return np.ones(self.points.shape[:3], bool)
