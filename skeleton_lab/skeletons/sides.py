"""What to draw between joints, and which of them are left and right, by the number of joints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from skeleton_lab.skeletons import bones
from skeleton_lab.skeletons.edges import OPENPOSE, Edges
from skeleton_lab.skeletons.layouts import Layout

MIDDLE, LEFT, RIGHT = 0, 1, 2

# COCO key points (UAV-Human, PYSKL's HRNet poses): nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles,
# each left before right. UAV-Human's published bone list connects other joints; this one is the body.
COCO: Edges = [
    (1, 0), (2, 0), (3, 1), (4, 2), (5, 6), (7, 5), (9, 7), (8, 6), (10, 8), (11, 5), (12, 6), (11, 12), (13, 11),
    (15, 13), (14, 12), (16, 14), (5, 0), (6, 0),
]  # fmt: skip
COCO_JOINTS, OPENPOSE_JOINTS = 17, 18
IN_THE_IMAGE = {COCO_JOINTS: (0, (15, 16)), OPENPOSE_JOINTS: (0, (10, 13))}  # nose and ankles of 2-D key points
SPINE = {25: (0, 20), 20: (0, 2)}  # lower and upper end, of the skeletons that a Kinect records

_LIMBS = {  # joints of the left and of the right
    25: ((4, 5, 6, 7, 12, 13, 14, 15, 21, 22), (8, 9, 10, 11, 16, 17, 18, 19, 23, 24)),
    20: ((4, 5, 6, 7, 12, 13, 14, 15), (8, 9, 10, 11, 16, 17, 18, 19)),
    OPENPOSE_JOINTS: ((5, 6, 7, 11, 12, 13, 15, 17), (2, 3, 4, 8, 9, 10, 14, 16)),
    COCO_JOINTS: (tuple(range(1, 17, 2)), tuple(range(2, 17, 2))),
}
_EDGES: dict[int, Edges] = {
    25: bones.edges(bones.NTU_HANDS),
    20: bones.edges(bones.UCLA),
    OPENPOSE_JOINTS: OPENPOSE,
    COCO_JOINTS: COCO,
}


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
    left, right = _LIMBS.get(joints, ((), ()))
    sides = [MIDDLE] * joints
    _mark(sides, left, LEFT)
    _mark(sides, right, RIGHT)
    return Skeleton(_EDGES.get(joints, []), tuple(sides))


def of_layout(layout: Layout) -> Skeleton:
    """What to draw of any skeleton of the registry, or of one's own."""
    sides = [MIDDLE] * layout.V
    _mark(sides, (left for left, _ in layout.pairs), LEFT)
    _mark(sides, (right for _, right in layout.pairs), RIGHT)
    return Skeleton(layout.bones, tuple(sides))


def _mark(sides: list[int], joints: Iterable[int], side: int) -> None:
    for joint in joints:
        sides[joint] = side


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
