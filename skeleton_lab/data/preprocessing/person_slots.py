"""NTU recordings by slot, the place of a body in its frame's list, as ST-GCN and MS-G3D read them.

Whoever is listed first is slot 0, whatever the ids: people can swap slots from frame to frame, and so they do in the
published data.
"""

from __future__ import annotations

import numpy as np

from skeleton_lab.data.archives.prenormalize import FRAMES, PERSONS
from skeleton_lab.data.preprocessing.skeleton_text import Recording
from skeleton_lab.errors import ArchiveError


def slots(recording: Recording, persons: int) -> np.ndarray:
    """(persons, F, V, 3) float64: body m of a frame in slot m, zeros where there is none."""
    x = np.zeros((persons, recording.frames, *recording.joints.shape[1:]))
    for frame, rows in enumerate(recording.rows()):
        here = rows[:persons]
        x[: len(here), frame] = recording.joints[here.start : here.stop]
    return x


def liveliest(x: np.ndarray) -> np.ndarray:
    """The two slots of (4, F, V, 3) that move most, more first, as float32; empty frames do not count."""
    energy = []
    for slot in x:
        there = slot[slot.sum(axis=(1, 2)) != 0]
        energy.append(sum(there[..., c].std() for c in range(3)) if len(there) else 0)
    # Of equal slots (empty ones, in practice) the higher comes first, as published.
    return x[np.argsort(energy, kind="stable")[::-1][:PERSONS]].astype(np.float32)


def checked_length(x: np.ndarray, truncate: bool, frames: int = FRAMES) -> np.ndarray:
    """(M, F, ...) with at most ``frames`` frames.

    Raises:
        ArchiveError: it has more and ``truncate`` is False.
    """
    if x.shape[1] > frames and not truncate:
        raise ArchiveError(f"{x.shape[1]} frames, at most {frames} fit; --truncate cuts such clips")
    return x[:, :frames]
