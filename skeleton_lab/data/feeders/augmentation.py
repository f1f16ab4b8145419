"""Augmentations that change a batch in place, some of its samples each: SkateFormer's set, and what others share of it.

An operation takes the work, the places (R,) of the samples that it is for and their draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skeleton_lab.data.feeders import transforms
from skeleton_lab.data.feeders.pipeline import NOT_YET, Work
from skeleton_lab.data.feeders.sample_rng import Draws
from skeleton_lab.utils.tensors import Tensor, torch

REACH = 7  # frames that blurring looks to either side

Operation = Callable[[Work, np.ndarray, Draws], None]


# --- with the draws as arguments; x is (B, M, V, C, W) ----------------------------------------------------------------


def shear_matrices(s1: np.ndarray, s2: np.ndarray) -> np.ndarray:
    """(B, 3, 3) of two entries for each coordinate, s1 and s2 (B, 3)."""
    one = np.ones(len(s1))
    entries = (one, s1[:, 0], s2[:, 0], s1[:, 1], one, s2[:, 1], s1[:, 2], s2[:, 2], one)
    return np.stack(entries, axis=-1).reshape(-1, 3, 3)


def axis_rotations(axis: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """(B, 3, 3), turns about one axis each."""
    angles = np.zeros((len(axis), 3))
    angles[np.arange(len(axis)), axis] = np.deg2rad(degrees)
    return transforms.rotation_matrices(angles)


def scale_matrices(unit: np.ndarray) -> np.ndarray:
    """(B, 3, 3): coordinates scaled by 1 + 0.2 unit, unit (B, 3)."""
    return (1 + 0.2 * unit)[:, :, None] * np.eye(3)


def blur(x: Tensor, sigma: np.ndarray) -> Tensor:
    """Gaussian weights over time, sigma (B,) frames; not normalised, zero outside, as published."""
    offsets = np.arange(-REACH, REACH + 1)
    weights = torch.from_numpy(np.exp(-(offsets**2) / (2 * sigma[:, None] ** 2))).to(x.dtype)
    padded = torch.nn.functional.pad(x, (REACH, REACH))
    y = torch.zeros_like(x)
    for k in range(len(offsets)):
        y += weights[:, k, None, None, None, None] * padded[..., k : k + x.shape[-1]]
    return y


def drop_grid(x: Tensor, joints: np.ndarray, frames: np.ndarray) -> Tensor:
    """Zero where both joints (B, V) and frames (B, W), bool, are chosen."""
    grid = torch.from_numpy(joints[:, :, None] & frames[:, None, :])
    return x.masked_fill(grid[:, None, :, None, :], 0)


# --- on some samples of the work --------------------------------------------------------------------------------------


def swap_persons(work: Work, rows: np.ndarray, _: Draws) -> None:
    if work.x.shape[1] > 1:
        work.x[rows] = work.x[rows].flip(1)


def drop_person(work: Work, rows: np.ndarray, _: Draws) -> None:
    """Zero the first person of clips with two; it is always the first, as published."""
    if work.x.shape[1] > 1:
        sample = work.sample[rows]
        longest = int(work.stored[rows].max())
        frames = np.broadcast_to(np.arange(longest), (len(rows), longest))
        persons = work.clips.gather(sample, frames).any(axis=(1, 3, 4)).sum(axis=1)
        work.x[rows[persons > 1], 0] = 0


def mirror(work: Work, rows: np.ndarray, _: Draws) -> None:
    """Exchange left and right joints; coordinates are not mirrored, as published."""
    work.x[rows] = work.x[rows][:, :, work.skeleton.mirror]


def reverse(work: Work, rows: np.ndarray, _: Draws) -> None:
    """Play backwards: the time of each frame changes its sign, but the order of times stays, as published."""
    work.x[rows] = work.x[rows].flip(-1)
    if work.frames is not NOT_YET:
        work.frames[rows] = work.frames[rows, ::-1]
    work.index_t[rows] *= -1


def add_noise(work: Work, rows: np.ndarray, draws: Draws) -> None:
    """Gaussian noise, also on persons who are not there, as published."""
    x = work.x[rows]
    x, scores = x[..., : work.D, :], x[..., work.D :, :]
    noise = draws.normal("noise", x[0].numel()) * 0.05
    work.x[rows] = torch.cat([x + torch.from_numpy(noise).to(x.dtype).view_as(x), scores], -2)


def smooth(work: Work, rows: np.ndarray, draws: Draws) -> None:
    x = work.x[rows]
    blurred = blur(x[..., : work.D, :], draws.uniform("sigma", 1, 0.1, 2.0)[:, 0])
    work.x[rows] = torch.cat([blurred, x[..., work.D :, :]], -2)


def drop_axis(work: Work, rows: np.ndarray, draws: Draws) -> None:
    axis = draws.integers("axis", 0, work.D)[:, 0]
    work.x[torch.from_numpy(rows), :, :, torch.from_numpy(axis)] = 0


def drop_joints(work: Work, rows: np.ndarray, draws: Draws, least: int = 5, most: int = 15) -> None:
    """Zero ``least`` to ``most`` joints in 16 to 32 frames; no more than there are."""
    V, W = work.x.shape[2], work.x.shape[4]
    joints = draws.integers("joint count", min(least, V), min(most, V) + 1)
    frames = draws.integers("frame count", min(16, W), min(32, W) + 1)
    chosen = draws.ranks("joints", V) < joints, draws.ranks("frames of the grid", W) < frames
    work.x[rows] = drop_grid(work.x[rows], *chosen)


# --- steps ------------------------------------------------------------------------------------------------------------


@dataclass
class DropAxis:
    """With probability p one coordinate is zero."""

    p: float

    def __call__(self, work: Work) -> None:
        rows = np.flatnonzero(work.draws.chance("drop axis", self.p))
        if len(rows):
            drop_axis(work, rows, work.draws.of(rows))


@dataclass
class DropJoints:
    """With probability p 4 to 12 joints are zero in 16 to 32 frames."""

    p: float

    def __call__(self, work: Work) -> None:
        rows = np.flatnonzero(work.draws.chance("drop joints", self.p))
        if len(rows):
            drop_joints(work, rows, work.draws.of(rows), least=4, most=12)
