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
    seen = found.any(0)
    frames = np.arange(len(points))
    for joint in np.flatnonzero(seen & ~found.all(0)):
        at = np.flatnonzero(found[:, joint])
        for c in range(points.shape[2]):
            points[:, joint, c] = np.interp(frames, at, points[at, joint, c])
    while not seen.all():
        before = seen.sum()
        for joint, parent in [*edges, *((parent, joint) for joint, parent in edges)]:
            if seen[parent] and not seen[joint]:
                points[:, joint] = points[:, parent]
                seen[joint] = True
        if seen.sum() == before:
            return None
    return points
