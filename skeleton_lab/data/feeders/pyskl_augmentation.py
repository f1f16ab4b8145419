"""Random changes of PYSKL's and ProtoGCN's training pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skeleton_lab.data.feeders.pyskl_normalise import Item, real
from skeleton_lab.data.feeders.pyskl_streams import NTU, layout_of
from skeleton_lab.errors import UsageError
from skeleton_lab.skeletons.layouts import Layout


def _coordinates(item: Item) -> int:
    """Channels that are no score."""
    return item["keypoint"].shape[-1] - bool(item.get("scored"))


class RandomScale:
    """One factor 1 + U(-1, 1) * scale per coordinate and clip; ``scale``: a number, or one per coordinate."""

    def __init__(self, scale: float | Sequence[float] = 0.2) -> None:
        self.scale = scale

    def __call__(self, item: Item, chance: Any) -> None:
        C, x = _coordinates(item), real(item["keypoint"])
        scale = np.broadcast_to(np.asarray(self.scale, np.float64), C)
        factor = 1 + chance.np.uniform(-1, 1, size=C) * scale
        item["keypoint"] = np.concatenate([x[..., :C] * factor, x[..., C:]], -1)


class RandomRot:
    """One rotation of the clip about the origin, Rz Ry Rx with three angles of U(-theta, theta) radians.

    In the plane one angle of U(-theta, 1): the upper bound is published. A clip that is all but zero stays, and nothing
    is drawn for it. Scores do not turn.
    """

    def __init__(self, theta: float = 0.3) -> None:
        self.theta = theta

    def __call__(self, item: Item, chance: Any) -> None:
        C, x = _coordinates(item), real(item["keypoint"])
        if np.allclose(x, 0):
            return
        if C == 2:
            angle = chance.np.uniform(-self.theta, 1)
            c, s = np.cos(angle), np.sin(angle)
            turn = np.array([[c, -s], [s, c]])
        else:
            turn = _rotation(*chance.np.uniform(-self.theta, self.theta, size=3))
        item["keypoint"] = np.concatenate([x[..., :C] @ turn.T, x[..., C:]], -1)


def _rotation(a: float, b: float, c: float) -> np.ndarray:
    """(3, 3) float64: Rz(c) Ry(b) Rx(a), each turning the way that PYSKL's does, the opposite of the usual."""
    (ca, cb, cc), (sa, sb, sc) = np.cos([a, b, c]), np.sin([a, b, c])
    x = np.array([[1, 0, 0], [0, ca, sa], [0, -sa, ca]])
    y = np.array([[cb, 0, -sb], [0, 1, 0], [sb, 0, cb]])
    z = np.array([[cc, sc, 0], [-sc, cc, 0], [0, 0, 1]])
    return z @ y @ x


class Spatial_Flip:
    """With probability p joints of the left and of the right change places; their coordinates do not (as published)."""

    def __init__(self, dataset: str | Layout = NTU, p: float = 0.5) -> None:
        self.mirror, self.p = layout_of(dataset).mirror, p

    def __call__(self, item: Item, chance: Any) -> None:
        if chance.py.random() < self.p:
            item["keypoint"] = item["keypoint"][:, :, self.mirror]


class Part_Drop:
    """With probability p the joints of one limb lie at the origin, for all persons and frames.

    NTU's limbs in the published order: left arm, left leg, right arm, right leg; of other skeletons in that of their
    layout.
    """

    def __init__(self, p: float = 0.2, dataset: str | Layout = NTU) -> None:
        limbs = layout_of(dataset).limbs
        if not limbs:
            raise UsageError(f"Part_Drop: the skeleton {dataset} tells no limbs")
        self.limbs = [list(limbs[k]) for k in ((0, 2, 1, 3) if len(limbs) == 4 else range(len(limbs)))]
        self.p = p

    def __call__(self, item: Item, chance: Any) -> None:
        if chance.py.random() < self.p:
            limb = self.limbs[chance.py.randint(0, len(self.limbs) - 1)]
            item["keypoint"] = item["keypoint"].copy()
            item["keypoint"][:, :, limb] = 0


class Flip:
    """With probability ``flip_ratio`` the picture is mirrored: x = width - x where x is not 0, left and right swapped.

    Args:
        left_kp, right_kp: joints that change places, pair by pair.
    """

    def __init__(
        self, flip_ratio: float = 0.5, left_kp: Sequence[int] | None = None, right_kp: Sequence[int] | None = None
    ) -> None:
        self.ratio, self.left, self.right = flip_ratio, list(left_kp or []), list(right_kp or [])
        if len(self.left) != len(self.right):
            raise UsageError(f"Flip: left_kp has {len(self.left)} joints and right_kp {len(self.right)}")

    def __call__(self, item: Item, chance: Any) -> None:
        if not chance.np.rand() < self.ratio:
            return
        if not item.get("img_shape"):
            raise UsageError("Flip mirrors pixels, and the clips do not tell the width of their pictures (img_shape)")
        x = real(item["keypoint"]).copy()
        x[..., 0] = np.where(x[..., 0] != 0, item["img_shape"][1] - x[..., 0], 0)
        order = np.arange(x.shape[2])
        order[self.left + self.right] = self.right + self.left
        item["keypoint"] = x[:, :, order]
        if "keypoint_score" in item:
            item["keypoint_score"] = item["keypoint_score"][:, :, order]
