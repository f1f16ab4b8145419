"""The ways to corrupt clips: each changes one clip by an amount; ``KINDS`` says how much each severity is.

What is missing is zero, its score too, and stays so, as in Song et al. 2020 ("Richly Activated Graph Convolutional
Network for Robust Skeleton-based Action Recognition", section IV): what becomes of it is the feeder's business. All
people of a clip suffer alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from skeleton_lab.data.feeders import image_points
from skeleton_lab.data.feeders.sample_rng import Draws
from skeleton_lab.skeletons import missing

SEVERITIES = (1, 2, 3, 4, 5)
UPRIGHT = 1  # the axis that is taken as vertical where a trunk has no length: y


@dataclass
class Recorded:
    """One clip: x (T, M, V, C) float32, which is changed in place, and what is known of it.

    Args:
        D: coordinates; a channel behind them is a score.
        skeleton: a ``Layout``; None where nothing tells it, for kinds that do not ask.
        unit: (D,) what coordinates are multiplied by to be of one length: shares of a picture are not.
    """

    x: np.ndarray
    D: int
    skeleton: Any
    unit: np.ndarray
    draws: Draws

    @cached_property
    def there(self) -> np.ndarray:
        """(T, M) bool, who is seen in which frame."""
        return np.any(self.x, axis=(2, 3))

    @cached_property
    def points(self) -> np.ndarray:
        """(T, M, V, D) float64, of equal units along the axes; in a picture with its missing joints filled in."""
        points = self.x[..., : self.D] * self.unit
        for m in np.flatnonzero(self.there.any(axis=0)):
            if not self.found[:, m].all():
                whole = missing.filled(points[:, m], self.found[:, m], self.skeleton.bones)
                points[:, m] = points[:, m] if whole is None else whole
        return points

    @cached_property
    def found(self) -> np.ndarray:
        """(T, M, V) bool; in space every joint of somebody who is seen: one at 0, 0, 0 may well be the centre."""
        if self.D == 2:
            return image_points.joints_found(self.x, self.x.shape[3] > 2)
        return np.broadcast_to(self.there[..., None], self.x.shape[:3])

    @property
    def origin(self) -> np.ndarray:
        """(D,) of the first person in the first frame with one."""
        return image_points.origin(self.points, self.there, self.skeleton)

    @property
    def trunk(self) -> float:
        """The skeleton's length ``scale``, as clips of a picture are measured."""
        return image_points.size(self.points, self.found, self.there, self.skeleton)

    @property
    def plane(self) -> tuple[int, int]:
        """The axes that a turn of the view mixes: of a picture its own, in space the two that are not upright.

        Upright is the axis that the trunk of the first person lies along, more or less, in the first frame: archives
        have it along y, normalised ones along z.
        """
        if self.D == 2:
            return 0, 1
        first = int(self.there.any(axis=1).argmax())
        body = self.points[first, self.there[first].argmax()]
        low, high = (body[list(end)].mean(axis=0) for end in self.skeleton.scale)
        along = np.abs(high - low)
        upright = int(along.argmax()) if along.any() else UPRIGHT
        a, b = (axis for axis in range(3) if axis != upright)
        return a, b

    def piece(self, share: float, key: str) -> slice:
        """A piece of the frames, somewhere; a larger share contains a smaller one."""
        total = len(self.x)
        size = min(max(round(share * total), 1), total)
        return slice(start := int(self.draws.uniform(key)[0, 0] * (total - size + 1)), start + size)

    def move(self, points: np.ndarray) -> None:
        """Put joints (T, M, V, D) elsewhere; those that are missing stay so."""
        present = self.x[..., : self.D].any(axis=-1, keepdims=True)
        self.x[..., : self.D] = np.where(present, points / self.unit, 0)


# --- the kinds: each changes a clip by an amount ----------------------------------------------------------------------


def lose_joints(clip: Recorded, share: float) -> None:
    V = clip.x.shape[2]
    clip.x[:, :, clip.draws.ranks("lost joints", V)[0] < min(math.ceil(share * V), V - 1)] = 0


def lose_limb(clip: Recorded, share: float) -> None:
    limbs = clip.skeleton.limbs
    limb = limbs[int(clip.draws.integers("lost limb", 0, len(limbs))[0, 0])]
    clip.x[clip.piece(share, "frames without a limb"), :, list(limb)] = 0


def lose_side(clip: Recorded, share: float) -> None:
    side = [pair[int(clip.draws.chance("lost side")[0])] for pair in clip.skeleton.pairs]
    clip.x[clip.piece(share, "frames without a side"), :, side] = 0


def lose_frames(clip: Recorded, share: float) -> None:
    T = len(clip.x)
    clip.x[clip.draws.ranks("lost frames", T)[0] < min(round(share * T), T - 1)] = 0


def lose_piece(clip: Recorded, share: float) -> None:
    if len(clip.x) > 1:
        clip.x[clip.piece(share, "gap")] = 0


def jitter(clip: Recorded, deviation: float) -> None:
    noise = clip.draws.normal("jitter", clip.points.size).reshape(clip.points.shape)
    clip.move(clip.x[..., : clip.D] * clip.unit + deviation * clip.trunk * noise)


def swap_sides(clip: Recorded, share: float) -> None:
    frames = clip.piece(share, "frames with swapped sides")
    clip.x[frames] = clip.x[frames].take(clip.skeleton.mirror, axis=2)


def turn(clip: Recorded, degrees: float) -> None:
    angle = np.deg2rad(degrees) * (1 if clip.draws.chance("direction")[0] else -1)
    a, b = clip.plane
    points = clip.x[..., : clip.D] * clip.unit - clip.origin
    turned = points.copy()
    turned[..., a] = np.cos(angle) * points[..., a] - np.sin(angle) * points[..., b]
    turned[..., b] = np.sin(angle) * points[..., a] + np.cos(angle) * points[..., b]
    clip.move(turned + clip.origin)


def resize(clip: Recorded, factor: float) -> None:
    factor = factor if clip.draws.chance("larger")[0] else 1 / factor
    points = clip.x[..., : clip.D] * clip.unit - clip.origin
    clip.move(factor * points + clip.origin)


@dataclass(frozen=True)
class Kind:
    """One way to corrupt clips.

    Attributes:
        title: as pictures call it; amounts: of severity 1 to 5, ``flat`` in a picture where that is another thing.
        unit: what amounts are: "%" of what follows, or a unit behind the number.
        needs: what the skeleton must have: "skeleton" (be known), "limbs" or "pairs"; "": nothing.
    """

    title: str
    change: Callable[[Recorded, float], None]
    amounts: tuple[float, ...]
    unit: str
    needs: str = ""
    flat: tuple[float, ...] = ()

    def amount(self, severity: int, D: int) -> float:
        """Of clips of D coordinates."""
        return (self.flat if D == 2 and self.flat else self.amounts)[severity - 1]

    @property
    def axis(self) -> str:
        """What amounts count, for the axis of a picture."""
        return {"°": "degrees", " times": "times as large, or as small"}.get(self.unit, self.unit.strip())

    def number(self, amount: float) -> str:
        """As it stands before the unit."""
        return f"{100 * amount:g} " if self.unit.startswith("%") else f"{amount:g}"


LONG = (0.2, 0.4, 0.6, 0.8, 1.0)  # of the frames, in one piece
KINDS = {
    "joints": Kind("Missing joints", lose_joints, (0.1, 0.2, 0.3, 0.4, 0.5), "% of the joints"),
    "limb": Kind("One limb missing", lose_limb, LONG, "% of the frames", "limbs"),
    "side": Kind("One side missing", lose_side, LONG, "% of the frames", "pairs"),
    "frames": Kind("Single frames missing", lose_frames, (0.1, 0.3, 0.5, 0.7, 0.9), "% of the frames"),
    "gap": Kind("A gap in the clip", lose_piece, (0.1, 0.2, 0.3, 0.4, 0.5), "% of the frames"),
    "jitter": Kind("Jitter", jitter, (0.02, 0.04, 0.08, 0.12, 0.2), " trunk lengths", "skeleton"),
    "swap": Kind("Left and right swapped", swap_sides, LONG, "% of the frames", "pairs"),
    "view": Kind("View turned", turn, (15, 30, 45, 60, 90), "°", "skeleton", flat=(5, 10, 15, 20, 30)),
    "scale": Kind("Wrong scale", resize, (1.1, 1.25, 1.5, 1.75, 2.0), " times", "skeleton"),
}
