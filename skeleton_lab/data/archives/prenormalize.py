"""MS-G3D's pre-normalisation: clips closed up, repeated, centred and turned upright.

Source: the published ``preprocess.py`` of MS-G3D (and 2s-AGCN), which turns with the angle and axis of a rotation.
"""

from __future__ import annotations

import numpy as np

FRAMES = 300
PERSONS = 2
CENTRE, SPINE = 1, (0, 1)  # joint at the origin; base and middle of the spine
SHOULDERS = (4, 8)  # left, right


def normalise(x: np.ndarray) -> np.ndarray:
    """MS-G3D's pre-normalisation of (2, F, 25, 3) float32, slot 0 the main person.

    Empty frames at the front are closed up, the clip is repeated up to 300 frames, centred frame by frame on joint 1
    of slot 0, and turned: in frame 0 the spine along z, then the shoulders along x. The result has 300 frames, or,
    where it repeats itself with period L, only the first L.
    """
    periods = [0, 0]
    x = x.copy()
    for m in range(PERSONS):
        x[m], periods[m] = _closed_up(x[m])
    if not any(periods):
        return x[:, :1]
    # Slots of different length repeat with different periods: then there is no common one below 300.
    lengths = {length for length in periods if length}
    frames = lengths.pop() if len(lengths) == 1 else FRAMES
    x = np.stack([looped(x[m], periods[m], frames) for m in range(PERSONS)])
    centre = x[0, :, CENTRE].copy()[:, None]
    there = x.sum(axis=-1, keepdims=True) != 0
    x = (x - centre) * there
    x = _turned(x, x[0, 0, SPINE[1]] - x[0, 0, SPINE[0]], 2)
    return _turned(x, x[0, 0, SHOULDERS[1]] - x[0, 0, SHOULDERS[0]], 0)


def _closed_up(slot: np.ndarray) -> tuple[np.ndarray, int]:
    """A slot without empty frames, if its first one is empty; and its length up to the last frame that is not."""
    there = slot.any(axis=(1, 2))
    if not there.any():
        return slot, 0
    if not there[0]:
        slot = np.concatenate([slot[there], np.zeros_like(slot[~there])])
        return slot, int(np.count_nonzero(there))
    return slot, int(np.flatnonzero(there)[-1]) + 1


def looped(x: np.ndarray, period: int, frames: int = FRAMES) -> np.ndarray:
    """The first ``period`` entries of axis 0 again and again; zeros for a period of 0."""
    if not period:
        return np.zeros((frames, *x.shape[1:]), x.dtype)
    return x[np.arange(frames) % period]


def _turned(x: np.ndarray, direction: np.ndarray, axis: int) -> np.ndarray:
    """``x`` (..., 3) float32 turned so that ``direction`` points along ``axis``."""
    rotation = rotation_onto(direction, axis)
    if rotation is None:
        return x
    return (x.reshape(-1, 3).astype(np.float64) @ rotation.T).astype(np.float32).reshape(x.shape)


def rotation_onto(direction: np.ndarray, axis: int) -> np.ndarray | None:
    """The rotation (3, 3) float64 of a float32 vector onto a coordinate axis; None where it is left alone.

    The unit vector is float32 as published: the arc cosine is so steep near 0 that one rounding step shows. A vector
    that points exactly the other way is left alone, too.
    """
    target = np.eye(3)[axis]
    across = np.cross(direction.astype(np.float64), target)
    angle = 0.0
    if np.abs(direction).sum() >= 1e-6:
        unit = direction / np.linalg.norm(direction)
        angle = float(np.arccos(np.clip(np.float64(unit[axis]), -1.0, 1.0)))
    if np.abs(across).sum() < 1e-6 or abs(angle) < 1e-6:
        return None
    x, y, z = across / np.sqrt(across @ across)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    outer = np.outer((x, y, z), (x, y, z))
    return np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * outer
