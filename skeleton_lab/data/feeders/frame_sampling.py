"""Which frames of a clip are taken where none is made up: cyclic, with frames skipped at random, one of each stretch.

SkateFormer (Do and Kim 2024, section 4.2) and Hyper-GCN's clips draw frames alike; both go back to PoseC3D.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skeleton_lab.data.feeders import transforms
from skeleton_lab.data.feeders.pipeline import Crop, Work
from skeleton_lab.data.feeders.sample_rng import Draws


def even(length: np.ndarray, window: int) -> np.ndarray:
    """``floor(k L / W)`` for k = 0..W: the first frames of W stretches of clips of ``length`` (B,), and the end."""
    return np.arange(window + 1) * length[:, None] // window


def skipping(skipped: np.ndarray) -> np.ndarray:
    """Frames 0, 1, 2 ... with one left out before each place k where ``skipped`` (B, W+1) says so: (B, W) int64.

    The last place comes after all frames and changes nothing.
    """
    window = skipped.shape[1] - 1
    return np.arange(window) + np.cumsum(skipped[:, :window], axis=1)


def one_of_each(length: np.ndarray, window: int, unit: np.ndarray) -> np.ndarray:
    """A frame of each of W stretches, ``unit`` (B, W) in [0, 1) along it: (B, W) int64."""
    bounds = even(length, window)
    size = np.diff(bounds, axis=1)
    return bounds[:, :-1] + np.minimum(np.floor(unit * size).astype(np.int64), size - 1)


def drawn(length: np.ndarray, window: int, draws: Draws) -> np.ndarray:
    """``window`` different frames in order out of clips that have as many; (B, W) int64.

    Below twice the window, single frames are left out; from there on, one frame of each stretch is taken.
    """
    skipped = draws.ranks("skips", window + 1) < (length - window)[:, None]
    stretches = one_of_each(length, window, draws.uniform("offsets", window))
    return np.where(length[:, None] >= 2 * window, stretches, skipping(skipped))


@dataclass
class DrawClip:
    """``window`` of the valid frames; a shorter clip goes round from a random start (Hyper-GCN).

    With ``settled`` a sample's frames are the same in every epoch and under every seed.
    """

    window: int
    settled: bool = False

    def __call__(self, work: Work) -> None:
        draws = Draws(0, 0, work.sample) if self.settled else work.draws
        n = np.maximum(work.n, 1)
        start = draws.integers("start", 0, n)
        frames = np.where(
            n[:, None] < self.window, (start + np.arange(self.window)) % n[:, None], drawn(n, self.window, draws)
        )
        work.frames = frames.astype(np.float64)
        work.x = transforms.frames_last(work.clips.gather(work.sample, frames))


@dataclass
class UniformCrop(Crop):
    """The crop of SkateFormer's uniform sampling: ``least`` frames also where the crop is not random."""

    def __call__(self, work: Work) -> None:
        if len(self.p_interval) == 1:
            work.start, work.length = transforms.centre_crop_of_least(work.n, self.p_interval[0], self.least)
        else:
            super().__call__(work)


@dataclass
class TimedFrames:
    """Read ``window`` frames of the crop, and note when they were: resized, or with ``uniform`` picked (SkateFormer).

    Crops shorter than the window are always resized. Frames are picked evenly, or drawn if ``random``.
    """

    window: int
    uniform: bool
    random: bool

    def __call__(self, work: Work) -> None:
        first, second, a = transforms.resize_positions(work.length, self.window)
        if self.uniform:
            enough = work.length[:, None] >= self.window
            if self.random:
                picked = drawn(work.length, self.window, work.draws)
            else:
                picked = even(work.length, self.window)[:, :-1]
            first, second = np.where(enough, picked, first), np.where(enough, picked, second)
            a = np.where(enough, np.float32(0), a)
        first, second = first + work.start[:, None], second + work.start[:, None]
        rows = work.clips.gather(work.sample, first)
        between = np.flatnonzero(a.any(axis=1))
        if len(between):
            others = work.clips.gather(work.sample[between], second[between])
            rows[between] = transforms.blend(rows[between], others, a[between])
        work.x = transforms.frames_last(rows)
        work.frames = first + a.astype(np.float64) * (second - first)
        work.index_t = transforms.clip_time(work.frames, work.n)
