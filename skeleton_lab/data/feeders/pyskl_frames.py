"""Steps of PYSKL's pipelines that choose frames and people: what a network gets of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from skeleton_lab.data.feeders.base import checked_count
from skeleton_lab.data.feeders.pyskl_normalise import Item, join_score, keep_frames, real
from skeleton_lab.errors import UsageError

TEST_SEED = 255


class UniformSample:
    """Frames spread over a clip: it is cut into ``clip_len`` stretches, and each gives one of its frames at random.

    Of a clip with n frames, fewer than ``clip_len``: consecutive ones from a random start on, from the beginning again
    after the end; with fewer than twice as many: steps of 1 and 2 in random order. In a test the numbers are drawn from
    ``seed`` for every clip, so they depend on n alone, and short clips start evenly spread. (PYSKL's
    ``UniformSample`` and ``UniformSampleFrames``.)

    Args:
        clip_len: frames; num_clips: so often, each with its own frames.
        p_interval: share of the clip that is looked at, anywhere in it; (a, b): at random between these.
    """

    turned_within = False  # frames beyond the end go on at the beginning of the clip, not of the share

    def __init__(
        self, clip_len: int, num_clips: int = 1, p_interval: float | Sequence[float] = 1, seed: int = TEST_SEED
    ) -> None:
        self.clip_len, self.num_clips = checked_count("clip_len", clip_len), checked_count("num_clips", num_clips)
        ends = (p_interval, p_interval) if isinstance(p_interval, (int, float)) else tuple(p_interval)
        if len(ends) != 2 or not 0 < ends[0] <= ends[1] <= 1:
            raise UsageError(f"p_interval is a share p or [a, b] with 0 < p, a, b <= 1, not {p_interval!r}")
        self.p_interval, self.seed = (float(ends[0]), float(ends[1])), int(seed)

    def frames(self, total: int, test: bool, np_random: Any) -> np.ndarray:
        """(num_clips * clip_len,) int64 of a clip of ``total`` frames; in a test ``np_random`` is not asked."""
        if total < 1:
            raise UsageError("a clip without frames cannot be sampled")
        if test:
            return _test_frames(self.turned_within, self.clip_len, self.num_clips, self.p_interval, self.seed, total)
        return self._drawn(total, False, np_random)

    def _drawn(self, total: int, test: bool, np_random: Any) -> np.ndarray:
        clips, (low, high) = [], self.p_interval
        for number in range(self.num_clips):
            n = max(int(total * (np_random.rand() * (high - low) + low)), 1)
            off = np_random.randint(total - n + 1)
            clips.append(self._clip(n, number, test, np_random, off, total))
        return np.concatenate(clips)

    def _clip(self, n: int, number: int, test: bool, np_random: Any, off: int, total: int) -> np.ndarray:
        """One clip of n frames from ``off`` on."""
        L = self.clip_len
        if n < L:
            if test and not self.turned_within:
                start = number if n < self.num_clips else number * n // self.num_clips
            else:
                start = np_random.randint(0, n)
            frames = start + np.arange(L)
        elif n < 2 * L:
            double = np.zeros(L + 1, np.int64)
            double[np_random.choice(L + 1, n - L, replace=False)] = 1
            frames = np.arange(L) + double.cumsum()[:-1]
        else:
            bounds = np.arange(L + 1) * n // L
            frames = bounds[:-1] + np_random.randint(np.diff(bounds))
        return frames % n + off if self.turned_within else (frames + off) % total

    def __call__(self, item: Item, chance: Any) -> None:
        chosen = self.frames(item["total_frames"], item.get("test_mode", False), chance.np)
        keep_frames(item, chosen)
        item["frame_inds"] = chosen + item.get("start_index", 0)
        item["clip_len"], item["num_clips"] = self.clip_len, self.num_clips


@lru_cache(maxsize=4096)
def _test_frames(
    turned_within: bool, clip_len: int, num_clips: int, p_interval: tuple[float, float], seed: int, total: int
) -> np.ndarray:
    kind = UniformSampleDecode if turned_within else UniformSample
    step = kind(clip_len, num_clips, p_interval, seed)
    frames = step._drawn(total, True, np.random.RandomState(seed))
    frames.flags.writeable = False
    return frames


class PoseDecode:
    """The chosen frames of key points and scores, as float32; all where none were chosen."""

    def __call__(self, item: Item, chance: Any = None) -> None:
        frames = item.get("frame_inds", slice(None))
        for key in ("keypoint", "keypoint_score"):
            if key in item:
                item[key] = item[key][:, frames].astype(np.float32)


class UniformSampleDecode(UniformSample):
    """``UniformSample`` and ``PoseDecode`` in one (ProtoGCN); two laws differ.

    Frames beyond the end of the share go on at the beginning of the share, and short clips start at random in a test
    too.
    """

    turned_within = True

    def __call__(self, item: Item, chance: Any) -> None:
        join_score(item)
        item["total_frames"] = item["keypoint"].shape[1]
        super().__call__(item, chance)
        PoseDecode()(item)


class PadTo:
    """Longer clips: their frames again and again (``loop``), or empty ones behind them (``zero``).

    Args:
        length: frames; longer clips are refused.
    """

    def __init__(self, length: int, mode: str = "loop") -> None:
        if mode not in ("loop", "zero"):
            raise UsageError(f"PadTo: mode is 'loop' or 'zero', not {mode!r}")
        self.length, self.mode = checked_count("length", length), mode

    def __call__(self, item: Item, chance: Any = None) -> None:
        total = item["total_frames"]
        if total > self.length:
            raise UsageError(f"PadTo: a clip has {total} frames, more than length={self.length}")
        frames = np.arange(self.length)
        for key in ("keypoint", "keypoint_score"):
            if key in item:
                x = item[key][:, frames % total]
                if self.mode == "zero":
                    x[:, total:] = 0
                item[key] = x
        keep_frames(item, np.where(frames < total, frames, -1) if self.mode == "zero" else frames % total)
        item["total_frames"] = self.length


class FormatGCNInput:
    """(M, clips * T, V, C) to what the networks take: (clips, num_person, T, V, C).

    Missing persons are zero, more than ``num_person`` are left out. ``mode`` "loop", which should repeat a single
    person, never does in published code, and does not here.
    """

    def __init__(self, num_person: int = 2, mode: str = "zero") -> None:
        if mode not in ("zero", "loop"):
            raise UsageError(f"FormatGCNInput: mode is 'zero' or 'loop', not {mode!r}")
        self.num_person = checked_count("num_person", num_person)

    def __call__(self, item: Item, chance: Any = None) -> None:
        join_score(item)
        x = real(item["keypoint"])[: self.num_person]
        clips = item.get("num_clips", 1)
        people, frames, *rest = x.shape
        out = np.zeros((clips, self.num_person, frames // clips, *rest), x.dtype)
        out[:, :people] = x.reshape(people, clips, frames // clips, *rest).swapaxes(0, 1)
        item["keypoint"] = out
