"""What to draw between joints, and which of them are left and right, by the number of joints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skeleton_lab.skeletons import rules
from skeleton_lab.skeletons.layouts import Layout, known
from skeleton_lab.skeletons.tree import Edges

MIDDLE, LEFT, RIGHT = 0, 1, 2

# Told by the number of joints alone: the skeletons of the papers
_USUAL = {each.V: each for each in (known()[name] for name in ("ntu25", "ucla20", "coco18", "coco17"))}
IN_THE_IMAGE = {  # nose and ankles of 2-D key points
    V: (each.at("nose"), (each.at("left_ankle"), each.at("right_ankle"))) for V, each in _USUAL.items() if each.scored
}
SPINE = {V: (each.scale[0][0], each.scale[1][0]) for V, each in _USUAL.items() if not each.scored}  # its ends


@dataclass(frozen=True)
class Skeleton:
    """``edges`` are (joint, parent) pairs; ``sides`` says MIDDLE, LEFT or RIGHT of each joint."""

    edges: Edges
    sides: tuple[int, ...]

    def side(self, edge: tuple[int, int]) -> int:
        """An edge is of the limb that either end belongs to; one across the body belongs to neither."""
        found = {self.sides[joint] for joint in edge} - {MIDDLE}
        return found.pop() if len(found) == 1 else MIDDLE


def skeleton(joints: int) -> Skeleton:
    """The skeleton of ``joints`` joints; dots alone, all MIDDLE, where it is not one of the field's."""
    usual = _USUAL.get(joints)
    return Skeleton([], (MIDDLE,) * joints) if usual is None else of_layout(usual)


def of_layout(layout: Layout) -> Skeleton:
    """What to draw of any skeleton of the registry, or of one's own: its tree, fingers on the hands, and more bones."""
    sides = np.full(layout.V, MIDDLE)
    for left, right in layout.pairs:
        sides[[left, right]] = LEFT, RIGHT
    return Skeleton(rules.star(layout).bones + layout.also_drawn, tuple(sides.tolist()))


def told_upright(points: np.ndarray, layout: Layout, scored: bool, score: float = 0.0) -> tuple[np.ndarray, bool]:
    """``upright`` of clips whose skeleton is told: two coordinates are an image, with a score behind them or not."""
    flat = scored or points.shape[3] == 2
    if not flat and (layout.y_up or layout.V in SPINE):
        return upright(points, score) if layout.V in SPINE else (points, False)
    x, y = np.moveaxis(points[..., :2], -1, 0)
    y = y if layout.y_up else -y
    if not flat:
        return np.stack([-x, y, points[..., 2]], -1), False  # half a turn, so that left stays left
    turned = np.stack([-x, y, np.zeros_like(x)], -1)  # seen from the sensor, as in ``upright``
    return np.where((points[..., -1] >= score)[..., None], turned, 0) if scored else turned, True


def upright(points: np.ndarray, score: float = 0.0) -> tuple[np.ndarray, bool]:
    """(T, M, V, C) turned to x, y up, z as a Kinect has them, and whether it is flat: key points in an image.

    Told by the content: 2 coordinates, or a third one of 17 or 18 joints that is a score (0..1), are an image, mirrored
    and put head up; joints with a lower score than ``score`` go to the origin, as those that were not found. Clips that
    MS-G3D's normalisation turned, spine along z, are turned back.
    """
    V, C = points.shape[2:]
    there = (points != 0).any((2, 3))
    seen = points[there]  # (n, V, C)
    if C == 2 or (V in IN_THE_IMAGE and seen.size and seen[..., 2].min() >= 0 and seen[..., 2].max() <= 1):
        if C == 3:
            points = np.where((points[..., 2] >= score)[..., None], points, 0)
        return _from_image(points, points[there]), True
    if V in SPINE and seen.size:
        low, high = SPINE[V]
        _, y, z = np.abs((seen[:, high] - seen[:, low]).mean(0))
        if z > 2 * y:
            return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1), False
    return points, False


def _from_image(points: np.ndarray, seen: np.ndarray) -> np.ndarray:
    head, feet = IN_THE_IMAGE.get(points.shape[2], (0, (0,)))
    found = (seen[..., 0] != 0) | (seen[..., 1] != 0)  # a joint that was not found stands in the corner
    both = found[:, head] & found[:, feet].all(1)
    down = not both.any() or (seen[both, head, 1] < seen[both][:, feet, 1].mean(1)).mean() > 0.5
    # The view is from the sensor, which sees its own x axis point to the left.
    flat = np.stack([-points[..., 0], -points[..., 1] if down else points[..., 1], np.zeros_like(points[..., 0])], -1)
    return flat
