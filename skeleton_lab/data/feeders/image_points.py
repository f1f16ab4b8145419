"""Key points of an image, as networks take them: without gaps, upright, about the body, in lengths of the torso.

A person is as large as near to the camera, and stands where the camera looks; neither tells what the person does. So
every clip is moved and scaled by one point and one length, which both of its persons share:

    p' = s (p - o) / l

    o   the ``origin`` of the skeleton (COCO: the middle of the hips) of the first person, in the first frame with one
    l   the length ``scale`` of the skeleton (COCO: from the hips to the shoulders), the median over the frames in
        which the first person has both ends of it
    s   turns y up: (x, y) becomes (x, -y), and (x, y, z) becomes (x, -y, -z)

Before that, joints whose score is below ``SCORE`` (0.3), or without scores those at (0, 0), are missing, and are filled
in from the frames around (``skeletons.missing``).  Scores stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from skeleton_lab.skeletons import missing
from skeleton_lab.skeletons.layouts import Layout, Point
from skeleton_lab.skeletons.schemes import SCORE

SHORTEST = 0.01  # of the spread of the joints: what is shorter is no size, and joints would end up very far away


class ImagePoints:
    """Clips whose frames are ``placed``, or only ``filled``; whatever else is asked is answered by the clips.

    A joint is filled in from frames of the clip as it is here: under ``observation.Observed``, of the frames seen.

    Args:
        clips: of a two-dimensional skeleton (``Clips``, or ``Observed`` ones).
        skeleton: their order of joints. made: ``placed`` or ``filled``.
    """

    def __init__(self, clips: Any, skeleton: Layout, made: Callable[..., np.ndarray] | None = None) -> None:
        self._clips, self._skeleton, self._made = clips, skeleton, made or placed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clips, name)

    def gather(self, idx: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """As ``Clips.gather``: idx (B,), frames (B, W) -> (B, W, M, V, C) float32."""
        idx, frames = np.asarray(idx, np.int64), np.asarray(frames, np.int64)
        _, ends = self._clips.lengths(idx)
        T = max(int(ends.max(initial=0)), 1)
        whole = self._clips.gather(idx, np.broadcast_to(np.arange(T), (len(idx), T)))
        # Shares of the width and of the height are different lengths; with the size of the image they become equal.
        shapes = self._clips.img_shape if self._clips.units == "image" else None
        out = np.zeros((*frames.shape, *whole.shape[2:]), np.float32)
        for row, clip in enumerate(idx):
            shape = None if shapes is None else shapes[clip]
            e = max(int(ends[row]), 1)
            x = self._made(whole[row, :e], self._skeleton, self._clips.scored, shape)
            inside = (frames[row] >= 0) & (frames[row] < e)
            out[row, inside] = x[frames[row, inside]]
        return out


def placed(x: np.ndarray, skeleton: Layout, scored: bool = False, img_shape: np.ndarray | None = None) -> np.ndarray:
    """One clip, all its frames, by the rule above: (T, M, V, C) to (T, M, V, C) float32.

    Args:
        x: coordinates, of an absent person zeros. scored: the last channel is a score.
        img_shape: (2,) height and width that the coordinates are shares of; None where x and y have one unit.
    """
    points, there, found = _in_one_unit(x, skeleton, scored, img_shape)
    if there.any():
        points = (points - origin(points, there, skeleton)) / size(points, found, there, skeleton)
        if not skeleton.y_up:
            points[..., 1:] *= -1
    return _with_scores(points, there, x)


def filled(x: np.ndarray, skeleton: Layout, scored: bool = False, img_shape: np.ndarray | None = None) -> np.ndarray:
    """One clip whose missing joints are filled in, in one unit, where it is: ``placed`` makes the same of it.

    Arguments and result as of ``placed``.
    """
    points, there, _ = _in_one_unit(x, skeleton, scored, img_shape)
    return _with_scores(points, there, x)


def _in_one_unit(
    x: np.ndarray, skeleton: Layout, scored: bool, img_shape: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As ``without_gaps``; x and y in pixels where they were shares of an image of that height and width."""
    points, there, found = without_gaps(x, skeleton, scored)
    if img_shape is not None:
        points[..., :2] *= img_shape[::-1]
    return points, there, found


def _with_scores(points: np.ndarray, there: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(T, M, V, C) float32: coordinates (T, M, V, D) of those who are there, and the scores of ``x``."""
    out = np.zeros(x.shape, np.float32)
    if there.any():
        D = points.shape[3]
        out[..., :D] = points * there[..., None, None]
        out[..., D:] = x[..., D:]
    return out


def without_gaps(x: np.ndarray, skeleton: Layout, scored: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The coordinates of one clip (T, M, V, C), missing joints filled in.

    Returns:
        points (T, M, V, D) float64; there (T, M) bool, who is seen when; found (T, M, V) bool: the joints that were
        not missing. Somebody without a single joint is nowhere.
    """
    points = x[..., : x.shape[3] - scored].astype(np.float64)
    there = np.any(x, axis=(2, 3))
    found = joints_found(x, scored)
    for m in range(x.shape[1]):
        whole = missing.filled(points[:, m], found[:, m], skeleton.bones) if there[:, m].any() else None
        if whole is None:
            there[:, m] = False
        else:
            points[:, m] = whole
    return points, there, found


def joints_found(x: np.ndarray, scored: bool) -> np.ndarray:
    """(T, M, V) bool; of a person whose joints all have low scores, those that have one at all."""
    good = x[..., -1] >= SCORE if scored else np.any(x, axis=3)
    of_each = np.any(good, axis=(0, 2))
    return np.where(of_each[:, None], good, x[..., -1] > 0) if scored else good


def _point(body: np.ndarray, joints: Point) -> np.ndarray:
    """The mean of some joints (..., V, D) -> (..., D)."""
    return body[..., list(joints), :].mean(axis=-2)


def origin(points: np.ndarray, there: np.ndarray, skeleton: Layout) -> np.ndarray:
    """(D,) the skeleton's origin of the first person in the first frame with one.

    Args:
        points: (T, M, V, D). there: (T, M) bool, who is in the picture; somebody is.
    """
    first = int(there.any(axis=1).argmax())
    return _point(points[first, there[first].argmax()], skeleton.origin)


def size(points: np.ndarray, found: np.ndarray, there: np.ndarray, skeleton: Layout) -> float:
    """The length that a clip is divided by, never 0.

    Args:
        points: (T, M, V, D). found: (T, M, V) bool. there: (T, M) bool.

    Without a frame that shows both ends (a person at a desk has no hips), or with ends on top of each other, it is the
    spread of the joints: the root of their mean squared distance from their middle.
    """
    body = points[there]
    spread = float(np.sqrt(((body - body.mean(axis=1, keepdims=True)) ** 2).sum(axis=-1).mean()))
    low, high = skeleton.scale
    both = np.all(found[..., [*low, *high]], axis=2) & there  # (T, M)
    for m in np.flatnonzero(both.any(axis=0)):
        body = points[both[:, m], m]
        length = float(np.median(np.linalg.norm(_point(body, high) - _point(body, low), axis=-1)))
        if length > SHORTEST * spread:
            return length
    return spread or 1.0
