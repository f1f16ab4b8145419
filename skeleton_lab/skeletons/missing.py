"""Joints that were not found, filled in from the frames and the joints around them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def filled(points: np.ndarray, found: np.ndarray, edges: Sequence[tuple[int, int]]) -> np.ndarray | None:
    """One person (T, V, C) without gaps: joints between the frames where they were found, at the nearest outside.

    A joint that is found in no frame takes the place of its parent, or of a joint that hangs on it.

    Args:
        found: (T, V) bool. edges: (joint, parent) pairs.

    Returns:
        (T, V, C) float64; None where no edge leads from a joint that was found to one that was not.
    """
    points = np.array(points, np.float64)
    seen = np.any(found, axis=0)
    if gaps := np.flatnonzero(seen & ~found.all(0)).tolist():
        points[:, gaps] = _between(points[:, gaps], found[:, gaps])
    while not seen.all():
        before = int(seen.sum())
        for joint, parent in [*edges, *((parent, joint) for joint, parent in edges)]:
            if seen[parent] and not seen[joint]:
                points[:, joint] = points[:, parent]
                seen[joint] = True
        if seen.sum() == before:
            return None
    return points


def _between(points: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Joints (T, V, C), each found (T, V) in some frame, linearly between those frames and as the nearest outside."""
    T = len(points)
    frames = np.arange(T)[:, None]
    before = np.maximum.accumulate(np.where(found, frames, -1))  # the last frame with the joint, -1 before the first
    after = np.minimum.accumulate(np.where(found, frames, T)[::-1])[::-1]
    before, after = np.where(before < 0, after, before), np.where(after == T, before, after)
    share = (frames - before) / np.maximum(after - before, 1)
    low, high = (np.take_along_axis(points, at[..., None], axis=0) for at in (before, after))
    return low + share[..., None] * (high - low)
