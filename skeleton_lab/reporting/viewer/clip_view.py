"""A clip as it is shown: turned upright, with its frames, its view, its skeleton and what stands above it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skeleton_lab.errors import ArchiveError, UsageError
from skeleton_lab.reporting.html import clip_json
from skeleton_lab.reporting.html.clip_json import Clip
from skeleton_lab.reporting.viewer.clip_source import Collection, check_row
from skeleton_lab.skeletons.schemes import SCORE
from skeleton_lab.skeletons.sides import Skeleton, of_layout, skeleton, told_upright, upright

USUAL = ("ntu25", "ucla20", "coco17", "coco18", "uav17")  # whose drawings have bones besides their tree
ASLANT = (clip_json.YAW, clip_json.PITCH)


@dataclass
class Shown:
    """``numbers`` (T,) are the frames of the recording that were kept, from 1; it has ``total`` of them.

    ``found`` (T, M, V): the joints that are there; in an image some are not.
    """

    clip: Clip
    skeleton: Skeleton
    found: np.ndarray
    numbers: np.ndarray
    total: int
    flat: bool
    title: str
    details: str

    @property
    def view(self) -> tuple[float, float]:
        """Yaw and pitch."""
        return clip_json.FRONT if self.flat else ASLANT

    def as_json(self) -> dict:
        """What ``player.js`` plays."""
        told = self.skeleton
        return self.clip.as_json() | {
            "view": [round(angle, 4) for angle in self.view],
            "flat": self.flat,
            "edges": [[*edge, told.side(edge)] for edge in told.edges],
            "sides": list(told.sides),
            "numbers": self.numbers.tolist(),
            "total": self.total,
            "found": "".join("01"[there] for there in self.found.ravel().astype(int)) if self.flat else None,
        }


def show(found: Collection, row: int, frames: int | None = None, source: str = "", score: float = SCORE) -> Shown:
    """Row ``row``; at most ``frames`` frames of it, evenly spaced. ``source`` is put before the details.

    Key points of an image with a lower score than ``score`` are not shown.

    Raises:
        UsageError: there is no such row, or no score is so high. ArchiveError: the clip is damaged.
    """
    check_row(found, row)
    points = found.points(row)
    if not np.isfinite(points).all():
        raise ArchiveError(f"{found.where}: row {row} holds NaN or Inf")
    total = len(points)
    kept = np.arange(total)
    most = min(frames or clip_json.FRAMES, clip_json.FRAMES)
    if total > most:
        kept = np.linspace(0, total - 1, most).round().astype(int)
    turned, flat = _upright(found, points[kept], score)
    if flat and not turned.any() and points.any():
        raise UsageError(f"{found.where}: no key point of row {row} reaches --score {score:g}; give a lower one")
    there = turned.any(-1)
    if flat:
        turned = without_gaps(turned, there)
    there = there[:, there.any((0, 2))] if there.any() else there[:, :1]  # the persons that ``skeletons.clip`` keeps
    label = int(found.labels[row])
    name = found.names[row] if found.names else ""
    clip = clip_json.clip(turned, label, label, name or f"row {row}")
    kept = kept[: len(clip.points)]  # without empty frames at the end
    joints = there[: len(kept)] if flat else np.ones(clip.points.shape[:3], bool)
    thinned = f"{most} of {total} frames" if total > most else ""
    return Shown(
        clip, _drawn(found, points.shape[2]), joints, kept + 1, total, flat, found.class_name(label),
        ", ".join(word for word in (source, f"label {label}", f"row {row}", name, thinned) if word),
    )  # fmt: skip


def _upright(found: Collection, points: np.ndarray, score: float) -> tuple[np.ndarray, bool]:
    if found.skeleton is None:
        return upright(points, score)
    return told_upright(points, found.skeleton, found.scored, score)


def _drawn(found: Collection, joints: int) -> Skeleton:
    """What is drawn of these clips; of the skeletons of the papers what was always drawn of them."""
    drawn = skeleton(joints)
    told = found.skeleton
    usual = told is None or (told.name in USUAL and drawn.edges)
    return drawn if usual else of_layout(told)


def without_gaps(points: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Joints that were not found moved to the middle of the others, so that a corner of the image does not count."""
    count = np.maximum(there.sum(-1), 1)[..., None, None]
    middle = (points * there[..., None]).sum(2, keepdims=True) / count
    return np.where(there[..., None], points, middle).astype(np.float32)


def longest(clips: Sequence[Shown]) -> int:
    """Frames of a picture that shows them all: those that end earlier hold their last frame."""
    return max(len(shown.clip.points) for shown in clips)
