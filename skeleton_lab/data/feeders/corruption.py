"""Clips as a worse camera, estimator or place would have recorded them: what a network's accuracy should withstand.

Every kind (``corruption_kinds``) comes in severities 1 to 5, as in Hendrycks and Dietterich 2019 ("Benchmarking Neural
Network Robustness to Common Corruptions and Perturbations"). A clip is corrupted as its archive holds it, before
anything is centred, turned, filled in or sampled. What happens to it follows from the kind, the seed and its place in
the archive alone, and a higher severity goes on where a lower one ends: the same joints are missing and more, the same
noise is larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skeleton_lab.data.feeders import skeleton as skeletons
from skeleton_lab.data.feeders.corruption_kinds import KINDS, SEVERITIES, Recorded
from skeleton_lab.data.feeders.sample_rng import Draws
from skeleton_lab.errors import UsageError, nearest
from skeleton_lab.skeletons.layouts import Layout

EVERY = "all"  # the word for every kind


@dataclass(frozen=True)
class Corruption:
    """A kind, and how much of it."""

    kind: str
    severity: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.severity}"

    def amount(self, D: int) -> float:
        """How much it is of clips of D coordinates."""
        return KINDS[self.kind].amount(self.severity, D)

    def told(self, D: int) -> str:
        """What it is, for a log: ``one limb missing: 60 % of the frames``."""
        kind = KINDS[self.kind]
        return f"{kind.title[0].lower()}{kind.title[1:]}: {kind.number(self.amount(D))}{kind.unit}"


def parsed(words: Sequence[str]) -> list[Corruption]:
    """``KIND`` (all severities), ``KIND:SEVERITY``; ``all`` for every kind. In the order of ``KINDS``, each once.

    Raises:
        UsageError: no such kind or severity.
    """
    asked: set[tuple[str, int]] = set()
    for word in words:
        kind, colon, severity = str(word).partition(":")
        if kind not in (*KINDS, EVERY):
            raise UsageError(
                f"--corrupt {word}: there is no such corruption.{nearest(kind, KINDS)} Known are {', '.join(KINDS)}, "
                f"and {EVERY}; each with a severity behind it, like {next(iter(KINDS))}:3, or without for all five"
            )
        if colon and severity not in map(str, SEVERITIES):
            raise UsageError(f"--corrupt {word}: the severity is one of {', '.join(map(str, SEVERITIES))}")
        asked |= {(k, s) for k in (KINDS if kind == EVERY else [kind]) for s in SEVERITIES if severity in ("", str(s))}
    return [Corruption(kind, severity) for kind in KINDS for severity in SEVERITIES if (kind, severity) in asked]


def cannot_happen(corruption: Corruption, clips: Any, skeleton: Layout | None) -> str | None:
    """Why clips of this skeleton cannot suffer it, in words for a line; None where they can."""
    needs = KINDS[corruption.kind].needs
    if not needs:
        return None
    if skeleton is None:
        return f"nothing tells the skeleton of {clips.path}; name it with --skeleton (`skeleton-lab skeletons`)"
    if needs != "skeleton" and not getattr(skeleton, needs):
        return f"the skeleton {skeleton.name} has no {'limbs' if needs == 'limbs' else 'left and right side'}"
    return None


def dimensions(clips: Any, skeleton: Layout | None) -> int:
    """D, how many of the channels of clips are coordinates; one behind them is a score."""
    return min(clips.C - skeletons.scored(clips, skeleton), 3)


class Corrupted:
    """Clips that suffer a corruption; whatever else is asked is answered by the clips.

    Args:
        clips: as their archive has them (``Clips``, or ``Observed`` ones: then of what is seen).
        skeleton: their order of joints, None where nothing tells it.
        seed: what the corruption depends on besides the clip.
    """

    def __init__(self, clips: Any, corruption: Corruption, skeleton: Layout | None, seed: int = 0) -> None:
        self._clips, self._corruption, self._skeleton, self._seed = clips, corruption, skeleton, seed
        self._last: tuple[bytes | None, list[np.ndarray]] = None, []  # lengths are asked for before frames are

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clips, name)

    def lengths(self, idx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As ``Clips.lengths``: n (B,), e (B,)."""
        recorded = [np.flatnonzero(x.any(axis=(1, 2, 3))) for x in self._whole(idx)]
        n = np.array([len(frames) for frames in recorded], np.int64)
        return n, np.array([frames[-1] + 1 if len(frames) else 0 for frames in recorded], np.int64)

    def gather(self, idx: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """As ``Clips.gather``: idx (B,), frames (B, W) -> (B, W, M, V, C) float32."""
        frames = np.asarray(frames, np.int64)
        whole = self._whole(idx)
        out = np.zeros((*frames.shape, *whole[0].shape[1:]), np.float32) if whole else self._clips.gather(idx, frames)
        for row, x in enumerate(whole):
            inside = (frames[row] >= 0) & (frames[row] < len(x))
            out[row, inside] = x[frames[row, inside]]
        return out

    def _whole(self, idx: np.ndarray) -> list[np.ndarray]:
        """Each clip up to its last recorded frame, corrupted: (e, M, V, C)."""
        idx = np.asarray(idx, np.int64)
        if self._last[0] != idx.tobytes():
            _, ends = self._clips.lengths(idx)
            longest = np.arange(max(int(ends.max(initial=0)), 1))
            x = self._clips.gather(idx, np.broadcast_to(longest, (len(idx), len(longest))))
            draws = Draws(self._seed, 0, self._clips.places(idx))
            rows = [
                self._one(x[row, :e], draws.of(np.array([row])), clip) for row, (clip, e) in enumerate(zip(idx, ends))
            ]
            self._last = idx.tobytes(), rows
        return self._last[1]

    def _one(self, x: np.ndarray, draws: Draws, clip: int) -> np.ndarray:
        D = dimensions(self._clips, self._skeleton)
        unit = np.ones(D)
        if self._clips.units == "image" and self._clips.img_shape is not None:
            unit[:2] = self._clips.img_shape[clip][::-1]
        kind = KINDS[self._corruption.kind]
        if x.any():
            kind.change(Recorded(x, D, self._skeleton, unit, draws), self._corruption.amount(D))
        return x
