"""The steps that a feeder's recipe is a list of.

A step is called with the ``Work`` on one batch and changes it. Some steps only decide (which frames), one reads the
archive, the rest transform ``work.x``. A step looks up what it needs in ``work`` and keeps nothing between batches, so
recipes can be cut and extended freely.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skeleton_lab.data.feeders import transforms
from skeleton_lab.data.feeders.sample_rng import Draws
from skeleton_lab.skeletons import layouts
from skeleton_lab.skeletons.layouts import Layout
from skeleton_lab.utils.tensors import Tensor, torch

NOT_YET: Any = None  # until a step puts something there


@dataclass
class Work:
    """One batch in the making."""

    clips: Any  # skeleton_lab.data.archives.clips.Clips
    sample: np.ndarray  # (B,) int64, places in clips
    draws: Draws
    n: np.ndarray = NOT_YET  # (B,) int64, valid frames
    stored: np.ndarray = NOT_YET  # (B,) int64, frames up to the last that is not empty
    start: np.ndarray = NOT_YET  # (B,) int64, first frame of the crop
    length: np.ndarray = NOT_YET  # (B,) int64, frames in the crop
    x: Tensor = NOT_YET  # (B, M, V, C, W), see transforms
    frames: np.ndarray = NOT_YET  # (B, W) float64, place in the clip of each frame of x, in frames; -1: none
    index_t: np.ndarray = NOT_YET  # (B, W) float32, where in the clip each frame lies, -1..1
    D: int = 3  # coordinates of a joint; a channel behind them is a score
    skeleton: Layout = field(default_factory=lambda: layouts.layout("ntu25"))


Step = Callable[[Work], None]


def measure(work: Work) -> None:
    """Count the frames. A gap inside a clip makes n smaller than the stored length; crops use the first n frames."""
    work.n, work.stored = work.clips.lengths(work.sample)


@dataclass
class Crop:
    """Which frames of a clip are used: the middle share ``p_interval[0]``, or a random share between two bounds."""

    p_interval: tuple[float, ...]
    least: int = 64  # a random crop is not shorter, whatever the window

    def __call__(self, work: Work) -> None:
        if len(self.p_interval) == 1:
            work.start, work.length = transforms.centre_crop(work.n, self.p_interval[0])
        else:
            share = work.draws.uniform("crop share", 1, *self.p_interval)[:, 0]
            place = work.draws.uniform("crop place")[:, 0]
            work.start, work.length = transforms.random_crop(work.n, share, place, self.least)


@dataclass
class Resize:
    """Read the crop, linearly interpolated to ``window`` frames: one gather for both neighbours of all frames."""

    window: int

    def __call__(self, work: Work) -> None:
        i0, i1, a = transforms.resize_positions(work.length, self.window)
        work.frames = work.start[:, None] + i0 + a.astype(np.float64) * (i1 - i0)
        frames = np.concatenate([i0, i1], axis=1) + work.start[:, None]
        rows = np.ascontiguousarray(work.clips.gather(work.sample, frames))
        work.x = transforms.frames_last(transforms.blend(rows[:, : self.window], rows[:, self.window :], a))


def read_whole(work: Work) -> None:
    """Read all frames as float64; after its end a clip repeats its last frame, so extremes are those of the clip."""
    work.start, work.length = np.zeros_like(work.stored), np.maximum(work.stored, 1)
    frames = np.minimum(np.arange(work.length.max()), work.length[:, None] - 1)
    work.frames = frames.astype(np.float64)
    work.x = transforms.frames_last(work.clips.gather(work.sample, frames)).double()


@dataclass
class Rotate:
    """One random rotation per sample about the origin of the data, angles uniform in +-``limit`` radians.

    About the three axes; of points in an image in their plane.
    """

    limit: float = 0.3

    def __call__(self, work: Work) -> None:
        angles = work.draws.uniform("rotation", 3, -self.limit, self.limit)
        if work.D == 2:
            angles[:, :2] = 0
        work.x = transforms.linear(work.x, transforms.in_plane(transforms.rotation_matrices(angles), work.D))


@dataclass
class RandomView:
    """NW-UCLA training: whole degrees in +-``degrees`` about x and y.

    The published recipe turns row vectors, ``x @ (Ry @ Rx)``, hence the transpose.
    """

    degrees: int = 60

    def __call__(self, work: Work) -> None:
        turned = work.draws.integers("view", -self.degrees, self.degrees + 1, 2)
        angles = np.deg2rad(np.concatenate([turned, np.zeros_like(turned[:, :1])], axis=1))
        work.x = transforms.linear(work.x, transforms.rotation_matrices(angles).transpose(0, 2, 1))


def spread_to_unit(work: Work) -> None:
    """Stretch every coordinate of a sample to -1..1."""
    work.x = transforms.spread_to_unit(work.x)


@dataclass
class PickFrames:
    """``count`` frames of the whole clip: evenly spaced, or at random and sorted (every frame up to 100 times)."""

    count: int
    random: bool

    def __call__(self, work: Work) -> None:
        if self.random:
            copies = 100
            frames = np.sort(work.draws.subset("frames", self.count, copies * work.length) // copies, axis=1)
        else:
            frames = transforms.even_frames(work.length, self.count)
        work.x = transforms.pick_frames(work.x, frames)
        if work.frames is not NOT_YET:
            work.frames = np.take_along_axis(work.frames, frames, axis=1)
        work.index_t = transforms.clip_time(frames, work.length)


@dataclass
class Align:
    """Turn each clip so that the first person's shoulders lie along x in the first frame (Hyper-GCN)."""

    left: int = 4  # of NTU's 25 joints
    right: int = 8

    def __call__(self, work: Work) -> None:
        first = work.x[:, 0, :, : work.D, 0].double().numpy()
        shoulders = np.zeros((len(first), 3))
        shoulders[:, : work.D] = first[:, self.right] - first[:, self.left]
        work.x = transforms.linear(work.x, transforms.in_plane(transforms.turn_to_x(shoulders), work.D))


class Bone:
    """Every joint relative to its parent; joint ``keep`` stays where it is, so that the trajectory survives."""

    def __init__(self, parent: np.ndarray, keep: int | None = None) -> None:
        self.parent, self.keep = torch.from_numpy(parent), keep

    def __call__(self, work: Work) -> None:
        y = transforms.bone(work.x, self.parent, work.D)
        if self.keep is not None:
            y[:, :, self.keep] = work.x[:, :, self.keep]
        work.x = y


class Joints:
    """Joints in another order, some perhaps left out."""

    def __init__(self, order: np.ndarray) -> None:
        self.order = torch.from_numpy(order)

    def __call__(self, work: Work) -> None:
        work.x = work.x.index_select(2, self.order)


def motion(work: Work) -> None:
    """Differences of consecutive frames."""
    work.x = transforms.motion(work.x, work.D)
