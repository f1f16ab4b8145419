"""The beginning of every clip: what a camera has seen when an action must be named before it is over (anticipation)."""

from __future__ import annotations

from typing import Any

import numpy as np

from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.feeders.sample_rng import Draws


class Observed:
    """Clips that end after a share of their recorded frames; whatever else is asked is answered by the clips.

    A clip whose last recorded frame is frame e-1 shows its first ``ceil(share * e)`` frames; the rest is empty, as
    after the end of a clip. An archive that repeats actions up to its padded length counts the repetitions too.

    Args:
        clips: the whole clips.
        shares: (a, b), 0 < a <= b <= 1: the same share a for all where they are equal, else one between them for each
            clip and epoch.
        seed, epoch: what random shares depend on besides the clip.
    """

    frames = None  # what the archive says of whole clips

    def __init__(self, clips: Clips, shares: tuple[float, float], seed: int = 0, epoch: int = 0) -> None:
        self._clips, self._shares, self._seed, self._epoch = clips, shares, seed, epoch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clips, name)

    def lengths(self, idx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As ``Clips.lengths``: n (B,), e (B,)."""
        idx = np.asarray(idx, np.int64)
        n, whole = self._clips.lengths(idx)
        e = self._ends(idx)
        gaps = np.flatnonzero(n != whole)  # empty frames inside: count those that are left
        n = e.copy()
        for row in gaps:
            seen = self._clips.gather(idx[row : row + 1], np.arange(e[row])[None])
            n[row] = np.count_nonzero(seen.reshape(e[row], -1).any(axis=1))
        return n, e

    def gather(self, idx: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """As ``Clips.gather``: idx (B,), frames (B, W) -> (B, W, M, V, C)."""
        return self._clips.gather(idx, np.where(frames < self._ends(idx)[:, None], frames, -1))

    def _ends(self, idx: np.ndarray) -> np.ndarray:
        """(B,) int64, how many frames are seen; 0 for an empty clip."""
        _, e = self._clips.lengths(idx)
        share = Draws(self._seed, self._epoch, idx).uniform("observe", 1, *self._shares)[:, 0]
        return np.ceil(share * e - 1e-9).astype(np.int64)  # 0.7 * 10 is a little more than 7
