"""Clips made ready to be drawn: positions in space, empty frames and persons removed, a box around them, a view."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

FRAMES = 300  # longer clips are thinned out
FRONT = (np.pi, 0.0)  # yaw and pitch: an image is looked at straight
YAW, PITCH = np.pi - 0.5, 0.12  # from the sensor (which looks along +z), a little from the side and from above
KINETICS_JOINTS = 18  # OpenPose in the image: the third channel is a confidence, no depth
JUMPS = 0.05  # of a motion stream the box leaves out so much at both ends: where a clip ends, everything jumps
UP = ("y", "-y", "z")  # axes that may point up
APART = 1.2  # widths between persons whose stream has lost where they stand


@dataclass
class Hardest:
    """Misclassified clips as the network got them."""

    data: np.ndarray  # (k, C, T, V, M) float32
    label: np.ndarray  # (k,)
    pred: np.ndarray  # (k,)
    name: list[str]
    edges: np.ndarray  # (E, 2) int64
    flat: bool | None = None  # key points in an image; None: told by the number of joints
    up: str = "y"  # of ``UP``


@dataclass
class Clip:
    """One clip to draw; y points up. ``present`` tells in which frames a person is there."""

    points: np.ndarray  # (T, M, V, 3) float32
    present: np.ndarray  # (T, M) bool
    label: int
    pred: int
    name: str
    centre: np.ndarray  # (3,) of the bounding box
    radius: float  # horizontally, whatever the view is turned to
    height: float  # half of it
    flat: bool = False  # looked at straight

    def as_json(self) -> dict:
        """Points as base64 of little-endian int16 (T, M, V, 3), absent persons zero.

        The unit is such that the clip just fits into 16 bit, whatever it was measured in: for a room, below 0.1 mm.
        """
        points = (self.points - self.centre) * self.present[..., None, None]
        unit = max(float(np.abs(points).max(initial=0)), 1e-9) / 32767
        return {
            "shape": list(self.points.shape[:3]),
            "present": ["".join("01"[there] for there in person) for person in self.present.T.astype(int)],
            "points": base64.b64encode(np.round(points / unit).astype("<i2").tobytes()).decode(),
            "radius": round(self.radius / unit),
            "height": round(self.height / unit),
            "name": self.name,
            **({"view": [round(angle, 4) for angle in FRONT], "flat": True} if self.flat else {}),
        }


def prepare(hardest: Hardest, stream: str) -> list[Clip]:
    """All clips of ``hardest.npz``. Bones are added up from the root to show a body; motion is left as it is."""
    order = rebuild_order(hardest.edges, hardest.data.shape[3]) if stream == "bone" else None
    clips = []
    for data, label, pred, name in zip(hardest.data, hardest.label, hardest.pred, hardest.name):
        points = _straight(data.transpose(1, 3, 2, 0), hardest)  # (T, M, V, C)
        made = clip(points, int(label), int(pred), name, order, JUMPS if "motion" in stream else 0)
        made.flat = bool(hardest.flat)
        clips.append(made)
    return clips


def clip(
    points: np.ndarray, label: int, pred: int, name: str, order: list[tuple[int, int]] | None = None, spare: float = 0
) -> Clip:
    """A clip of (T, M, V, C >= 2) positions, or of bones if ``order`` (``rebuild_order``) adds them up.

    ``spare``: share of the positions that the box leaves out at either end.
    """
    points = _three(np.nan_to_num(points, nan=0.0, posinf=0.0, neginf=0.0))
    points, present = _occupied(points, (points != 0).any((2, 3)))
    if order is not None:
        points = _rebuilt(points, order)
    return Clip(points, present, label, pred, name, *_box(points[present].reshape(-1, 3), spare))


def _straight(points: np.ndarray, hardest: Hardest) -> np.ndarray:
    """(T, M, V, C) with y up; key points of an image as seen from the sensor, whose x axis points to its left.

    People who have been turned upright to z look along y; the sensor sees them from the front.
    """
    if hardest.flat:
        return np.stack([-points[..., 0], points[..., 1] * (-1 if hardest.up == "-y" else 1)], -1)
    if hardest.up == "z" and points.shape[3] > 2:
        return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)
    return points * np.array([-1, -1] + [1] * (points.shape[3] - 2), points.dtype) if hardest.up == "-y" else points


def _three(points: np.ndarray) -> np.ndarray:
    flat = points.shape[3] == 2 or points.shape[2] == KINETICS_JOINTS
    if not flat:
        return points[..., :3]
    return np.concatenate([points[..., :2], np.zeros_like(points[..., :1])], axis=3)


def _occupied(points: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Without the empty frames at the end and the persons that never appear, at most FRAMES frames, at least one."""
    filled = np.flatnonzero(present.any(1))
    length = int(filled[-1]) + 1 if len(filled) else 1
    frames = np.arange(length) if length <= FRAMES else np.linspace(0, length - 1, FRAMES).round().astype(int)
    persons = present.any(0)
    if not persons.any():
        persons[:1] = True
    return points[frames][:, persons], present[frames][:, persons]


def rebuild_order(edges: np.ndarray, joints: int) -> list[tuple[int, int]] | None:
    """The (joint, parent) pairs, parents first, if they are a tree; else None."""
    parent = dict(edges.tolist())
    roots = [joint for joint in range(joints) if joint not in parent]
    if len(parent) != len(edges) or len(roots) != 1:
        return None
    order, reached = [], set(roots)
    while len(reached) < joints:
        ready = [(joint, above) for joint, above in parent.items() if above in reached and joint not in reached]
        if not ready:
            return None  # a ring
        order += ready
        reached.update(joint for joint, _ in ready)
    return order


def _rebuilt(bones: np.ndarray, order: list[tuple[int, int]]) -> np.ndarray:
    points = bones.copy()
    for joint, above in order:
        points[:, :, joint] = points[:, :, above] + bones[:, :, joint]
    width = float(np.ptp(points[..., 0])) if points.size else 0.0
    points[..., 0] += (np.arange(points.shape[1]) * APART * width)[None, :, None]
    return points


def _box(seen: np.ndarray, spare: float) -> tuple[np.ndarray, float, float]:
    """Centre, radius and half the height of the (n, 3) points, a share ``spare`` at either end left out."""
    if not len(seen):
        return np.zeros(3, np.float32), 1.0, 1.0
    low, high = np.quantile(seen, [spare, 1 - spare], axis=0)
    centre = (low + high) / 2
    away = np.clip(seen, low, high) - centre
    radius, height = float(np.hypot(away[:, 0], away[:, 2]).max()), float(np.abs(away[:, 1]).max())
    reach = max(radius, height, 1e-6)
    return centre, max(radius, reach / 10), max(height, reach / 10)


def project(points: np.ndarray, centre: np.ndarray, yaw: float = YAW, pitch: float = PITCH) -> np.ndarray:
    """(..., 3) points to (..., 3): right, up, towards the viewer. The same view as in ``resources/player.js``."""
    x, y, z = np.moveaxis(points - centre, -1, 0)
    near = np.sin(yaw) * x + np.cos(yaw) * z
    right = np.cos(yaw) * x - np.sin(yaw) * z
    return np.stack([right, np.cos(pitch) * y - np.sin(pitch) * near, np.sin(pitch) * y + np.cos(pitch) * near], -1)
