"""Clips of a skeleton that the archive says: whether joints, scores, units and pictures are what it says they are."""

from __future__ import annotations

import numpy as np

from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.doctor.diagnosis import NOTE, WARNING, Diagnosis, Facts
from skeleton_lab.errors import listing
from skeleton_lab.skeletons.layouts import Layout, Point
from skeleton_lab.skeletons.schemes import SCORE

TORSO = (0.2, 1.0)  # metres between the ends of a skeleton's ``scale``: of a child, of a tall man with errors
HAND = (0.03, 0.2)
FACTORS = {"m": 1.0, "cm": 100.0, "mm": 1000.0}
SHARES = 2.0  # coordinates beyond it are no shares of a picture
SEEN, ODD = 0.05, 0.5  # of all joints: found so seldom, or strange so often, is worth a line


class Measured:
    """What the clips of one split say about joints, block by block.

    Attributes:
        found, there: (V,) how often a joint was found, of so many bodies.
        low, high: (C,) of all that was found.
        heads_down, torsos: bodies whose shoulders are below their hips, of so many; each with both.
        outside, swapped, placed: joints outside of their picture, or of one with the sides exchanged; of so many.
        lengths: median of the skeleton's ``scale`` for each clip that shows it.
    """

    def __init__(self, clips: Clips) -> None:
        assert clips.skeleton is not None
        self.clips, self.skeleton = clips, clips.skeleton
        self.found, self.there = np.zeros(clips.V, np.int64), 0
        self.low, self.high = np.full(clips.C, np.inf), np.full(clips.C, -np.inf)
        self.heads_down = self.torsos = self.outside = self.swapped = self.placed = 0
        self.lengths: list[float] = []

    def add(self, x: np.ndarray, start: int) -> None:
        """Clips (B, T, M, V, C) from the clip ``start`` on; NaN and Inf count as zero."""
        x = np.where(np.isfinite(x), x, np.float32(0))
        bodies = x.any(axis=(3, 4))
        found = (x[..., -1] >= SCORE if self.clips.scored else x.any(axis=4)) & bodies[..., None]
        self.found += found.sum(axis=(0, 1, 2))
        self.there += int(bodies.sum())
        if found.any():
            seen = x[found]
            self.low, self.high = np.minimum(self.low, seen.min(0)), np.maximum(self.high, seen.max(0))
        points = x[..., : self.clips.C - self.clips.scored]
        self._stand(points, found)
        self._measure(points, found)
        if self.clips.img_shape is not None and self.clips.units == "px":
            self._frame(points, found, self.clips.img_shape[start : start + len(x)])

    def _stand(self, points: np.ndarray, found: np.ndarray) -> None:
        ends = [_named(self.skeleton, part) for part in ("shoulder", "hip")]
        if not all(ends):
            return
        both = found[..., [*ends[0], *ends[1]]].all(axis=3)
        high, low = (_mean(points, end)[both][:, 1] for end in ends)
        self.torsos += int(both.sum())
        self.heads_down += int((high < low if self.skeleton.y_up else high > low).sum())

    def _measure(self, points: np.ndarray, found: np.ndarray) -> None:
        low, high = self.skeleton.scale
        both = found[..., [*low, *high]].all(axis=3)
        length = np.linalg.norm(_mean(points, high) - _mean(points, low), axis=3)
        self.lengths += [float(np.median(row[there])) for row, there in zip(length, both) if there.any()]

    def _frame(self, points: np.ndarray, found: np.ndarray, shapes: np.ndarray) -> None:
        at = points[..., :2]
        sides = np.broadcast_to(shapes[:, None, None, None, ::-1], at.shape)[found]
        self.placed += len(sides)
        self.outside += int(_beyond(at[found], sides).sum())
        self.swapped += int(_beyond(at[found], sides[:, ::-1]).sum())


def _beyond(points: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """(n,) bool: outside of the picture by more than a twentieth of its side."""
    return ((points < -0.05 * sides) | (points > 1.05 * sides)).any(axis=1)


def _named(skeleton: Layout, part: str) -> Point:
    names = [f"{side}_{part}" for side in ("left", "right")]
    return tuple(skeleton.at(name) for name in names) if set(names) <= set(skeleton.joints) else ()


def _mean(points: np.ndarray, joints: Point) -> np.ndarray:
    return points[..., list(joints), :].mean(axis=-2)


def facts(measured: Measured, made: Facts) -> None:
    """Put skeleton, units and how often each joint was found among the facts of a split."""
    made.skeleton, made.units = measured.skeleton.name, measured.clips.units or ""
    made.scored = measured.clips.scored
    made.found = (measured.found / max(measured.there, 1)).round(4).tolist()
    made.torso = float(np.median(measured.lengths)) if measured.lengths else 0.0
    shapes = measured.clips.img_shape
    if shapes is not None:
        sizes, counts = np.unique(shapes, axis=0, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        made.pictures = [sizes[k].tolist() for k in order[:3]]
        made.sizes = len(sizes)


def check(key: str, measured: Measured, diagnosis: Diagnosis) -> None:
    """Findings about one split; ``key`` is what it is called."""
    if not measured.there:
        return
    if measured.clips.scored:
        _scores(key, measured, diagnosis)
    _seldom(key, measured, diagnosis)
    _upright(key, measured, diagnosis)
    if measured.clips.units in FACTORS:
        _metres(key, measured, diagnosis)
    elif measured.clips.units is not None:
        _pixels(key, measured, diagnosis)


def _scores(key: str, measured: Measured, diagnosis: Diagnosis) -> None:
    highest, share = measured.high[-1], measured.found.sum() / (measured.there * measured.clips.V)
    if share < ODD:
        diagnosis.add(
            WARNING, "low-scores", f"{key}: {100 * (1 - share):.0f} % of the joints of the people have a score below "
            f"{SCORE:g} and count as missing",
            "another estimator, larger pictures, or scores of another scale?",
        )  # fmt: skip
    if np.isfinite(highest) and highest > 1.5:
        what = "COCO's visibility (0, 1, 2)" if highest == 2 else "no probability"
        diagnosis.add(
            NOTE, "scores", f"{key}: scores go up to {highest:.4g}: {what}; {SCORE:g} and above count as found"
        )


def _seldom(key: str, measured: Measured, diagnosis: Diagnosis) -> None:
    share = measured.found / measured.there
    if (share < SEEN).all():
        return  # every joint is low: told above
    names = [measured.skeleton.joints[joint] for joint in np.flatnonzero(share < SEEN)]
    if names:
        shown = listing(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        diagnosis.add(
            WARNING, "missing-joints", f"{key}: found in fewer than {100 * SEEN:.0f} % of the bodies: {shown}",
            "they take the places of the joints that they hang on; out of the picture, or another skeleton?",
        )  # fmt: skip


def _upright(key: str, measured: Measured, diagnosis: Diagnosis) -> None:
    if measured.torsos and measured.heads_down > ODD * measured.torsos:
        axis = "y points up" if measured.skeleton.y_up else "y points down, as in a picture"
        diagnosis.add(
            WARNING, "upside-down", f"{key}: {100 * measured.heads_down / measured.torsos:.0f} % of the bodies have "
            f"their shoulders below their hips ({measured.skeleton.name}: {axis})",
            "another order of joints than the archive says, or the other direction of y?",
        )  # fmt: skip


def _metres(key: str, measured: Measured, diagnosis: Diagnosis) -> None:
    if not measured.lengths:
        return
    middle, units = float(np.median(measured.lengths)), str(measured.clips.units)
    low, high = HAND if measured.skeleton.name.startswith("hand") else TORSO
    if low <= middle / FACTORS[units] <= high:
        return
    fitting = [unit for unit, factor in FACTORS.items() if low <= middle / factor <= high]
    hint = f"that would be a body in {fitting[0]}" if fitting else "no unit fits"
    diagnosis.add(
        WARNING, "units", f"{key}: the length {_scale(measured.skeleton)} is {middle:.4g} in the median clip, and the "
        f"archive says {units}: {hint}", "name the right unit, or scale the coordinates",
    )  # fmt: skip


def _scale(skeleton: Layout) -> str:
    ends = [listing([skeleton.joints[joint] for joint in end]) for end in skeleton.scale]
    return f"from {ends[0]} to {ends[1]}"


def _pixels(key: str, measured: Measured, diagnosis: Diagnosis) -> None:
    reach = float(np.abs([measured.low[:2], measured.high[:2]]).max())
    if not np.isfinite(reach):
        return
    if (measured.clips.units == "px") != (reach > SHARES):
        seems = "shares of the picture" if reach <= SHARES else "pixels"
        diagnosis.add(
            WARNING, "units", f"{key}: coordinates go up to {reach:.4g}, and the archive says {measured.clips.units}: "
            f"they look like {seems}", "name the right unit",
        )  # fmt: skip
    elif measured.placed and measured.outside > SEEN * measured.placed:
        turned = measured.swapped <= SEEN * measured.placed
        diagnosis.add(
            WARNING, "outside", f"{key}: {100 * measured.outside / measured.placed:.0f} % of the joints are outside of "
            "their pictures by img_shape" + ("; with height and width exchanged they are inside" if turned else ""),
            "img_shape is (height, width)" if turned else "are these the sizes of the pictures that were measured?",
        )  # fmt: skip
