"""Descriptors at the moments that a feeder shows: the same crop, the same frames, and no more than is observed.

A feeder's steps note which frames of a clip they take (``Work.frames``), places between two frames where they
interpolate.  A clip of e recorded frames with t descriptors has one for each stretch of e/t frames; for t = e that is
one for each frame.  Where s of the e frames are observed, only stretches that are over by then have been seen, so
nothing knows the future: a descriptor of the whole clip (t = 1) is not there before its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skeleton_lab.data.archives.descriptors.beside import NONE
from skeleton_lab.data.archives.descriptors.files import Descriptors
from skeleton_lab.data.feeders.base import Feeder
from skeleton_lab.data.feeders.pipeline import NOT_YET, Work
from skeleton_lab.errors import UsageError
from skeleton_lab.utils.tensors import Dataset, Tensor, torch


@dataclass
class Moments:
    """When the frames of N items are.

    Attributes:
        frames: (N, W) places in the clip, in frames, -1 for none.
        total, seen: (N,) int64 recorded frames of the clip, and how many of them are observed.
    """

    frames: np.ndarray
    total: np.ndarray
    seen: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)

    def of(self, rows: np.ndarray) -> Moments:
        return Moments(self.frames[rows], self.total[rows], self.seen[rows])

    @classmethod
    def joined(cls, parts: Sequence[Moments]) -> Moments:
        """One behind the other; where others show more frames, there is none behind one's own."""
        W = max(part.frames.shape[1] for part in parts)
        frames = [np.pad(p.frames, ((0, 0), (0, W - p.frames.shape[1])), constant_values=-1) for p in parts]
        return cls(*(np.concatenate(each) for each in (frames, [p.total for p in parts], [p.seen for p in parts])))


def moments(feeder: Feeder, work: Work, epoch: int) -> Moments:
    """Of a batch that the feeder has made.

    Raises:
        UsageError: a step of a feeder of one's own chooses frames and does not say which.
    """
    if work.frames is NOT_YET:
        raise UsageError(
            f"feeder {type(feeder).__module__}.{type(feeder).__name__}: none of its steps tells which frames it shows, "
            "so descriptors cannot follow; let the step that reads the clips set work.frames"
        )
    total = seen = feeder.clips.recorded(work.sample)
    if feeder.observe != (1, 1):
        seen = feeder.shown(epoch).lengths(work.sample)[1]
    return Moments(work.frames.astype(np.float32), total, seen)


def described(
    descriptors: Descriptors, entries: np.ndarray, when: Moments, first: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The descriptors of items at their moments.

    Args:
        entries: (N,) int64 places in ``descriptors``, ``NONE`` for an item without one.
        first: the first descriptor of each clip alone.

    Returns:
        (N, W, D) float32, zeros where there is none, and (N, W) bool, where there is one. W is 1 where clips have one
        descriptor each, or the first one alone.

    Raises:
        ArchiveError: a descriptor that is read holds NaN or Inf.
    """
    once = first or not descriptors.per_frame
    W = 1 if once else when.frames.shape[1]
    values, there = np.zeros((len(entries), W, descriptors.D), np.float32), np.zeros((len(entries), W), bool)
    for item in np.flatnonzero(entries != NONE):
        vectors = descriptors.read(int(entries[item]))
        e, s = int(when.total[item]), int(when.seen[item])
        known = len(vectors) if s >= e else len(vectors) * s // e
        if not known:
            continue
        if once:
            values[item], there[item] = vectors[0], True
            continue
        place = when.frames[item].astype(np.float64)
        shown = (place >= 0) & (place < s)
        at = np.clip((place[shown] + 0.5) * len(vectors) / max(e, 1) - 0.5, 0, known - 1)
        low = at.astype(np.int64)
        share = (at - low)[:, None].astype(np.float32)
        high = np.minimum(low + 1, known - 1)
        values[item, shown] = vectors[low] * (1 - share) + vectors[high] * share
        there[item] = shown
    return values, there


class WithDescriptors(Dataset):
    """A feeder whose batches end with descriptors: (inputs ..., label, index, values, there).

    Args:
        entries: (N,) int64, of the feeder's clips.
    """

    def __init__(self, feeder: Feeder, descriptors: Descriptors, entries: np.ndarray, first: bool = False) -> None:
        self.feeder, self.descriptors, self.entries, self.first = feeder, descriptors, entries, first

    def __len__(self) -> int:
        return len(self.feeder)

    def __getitems__(self, batch: Sequence[int]) -> tuple[Tensor, ...]:
        work = self.feeder.work(batch)
        when = moments(self.feeder, work, getattr(batch, "epoch", self.feeder.epoch))
        made = described(self.descriptors, self.entries[work.sample], when, self.first)
        label = torch.from_numpy(self.feeder.label[work.sample])
        index = torch.tensor(list(batch), dtype=torch.int64)
        return *self.feeder.inputs(work), label, index, *(torch.from_numpy(each) for each in made)


class NotingMoments(Dataset):
    """A feeder that is read once and in order, and whose items' ``moments`` are kept meanwhile."""

    def __init__(self, feeder: Feeder) -> None:
        self.feeder, self.average_clips = feeder, feeder.average_clips
        self._parts: list[Moments] = []

    def __len__(self) -> int:
        return len(self.feeder)

    def __getitems__(self, batch: Sequence[int]) -> tuple[Tensor, ...]:
        work = self.feeder.work(batch)
        self._parts.append(moments(self.feeder, work, getattr(batch, "epoch", self.feeder.epoch)))
        label = torch.from_numpy(self.feeder.label[work.sample])
        return *self.feeder.inputs(work), label, torch.tensor(list(batch), dtype=torch.int64)

    @property
    def moments(self) -> Moments:
        """Of all items that were read."""
        return Moments.joined(self._parts)
