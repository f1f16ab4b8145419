"""One person as pose estimators write it: key points in one of several forms, scores, the number of a tracker."""

from __future__ import annotations

from typing import Any

import numpy as np

from skeleton_lab.inference.keypoints.tracking import Person

TRACKS = ("track_id", "idx", "person_id", "instance_id", "id")
SCORES = ("keypoint_scores", "keypoint_score", "kp_score", "keypoints_scores")
VISIBLE = ("visible", "visibility", "confidence", "conf", "score", "presence")
WHOLE_BODY = ("foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts")
PAIRS = (17, 18, 25, 33, 20)  # joints, where a flat list can be triples or pairs


def openpose(person: dict[str, Any]) -> Person | None:
    """``pose_keypoints_2d`` of x, y, score; else ``pose_keypoints_3d``; ``pose_keypoints`` of before version 1.3.

    In the same frames of ``people`` other programs write ``keypoints``, as of ``told``.
    """
    for key, width in (("pose_keypoints_2d", 3), ("pose_keypoints", 3), ("joints", 3), ("pose_keypoints_3d", 4)):
        if person.get(key):
            joints = np.asarray(person[key], np.float64).reshape(-1, width)
            return Person(joints[:, :-1], joints[:, -1], _track(person))
    return told(person)


def kinetics(person: dict[str, Any]) -> Person | None:
    """``pose`` of x, y and ``score``, as Kinetics-skeleton has them."""
    if not person["pose"]:
        return None
    points = np.asarray(person["pose"], np.float64).reshape(-1, 2)
    return Person(points, np.asarray(person["score"], np.float64).reshape(len(points)))


def told(person: dict[str, Any]) -> Person | None:
    """``keypoints`` of COCO, AlphaPose, MMPose or Ultralytics: flat, by joint, or by coordinate; scores maybe beside.

    None where there are none. The third value of a joint is a score in a flat list; in a list by joint it may be z, and
    is left to the scheme.
    """
    given = person.get("keypoints")
    if WHOLE_BODY[0] in person and isinstance(given, list):  # COCO-WholeBody's annotations, in the order of its joints
        given = [*given, *(value for key in WHOLE_BODY for value in person[key])]
    if isinstance(given, dict):
        return _by_coordinate(given, _track(person))
    if given is None or not len(given):
        return None
    joints = np.asarray(given, np.float64)
    scores = next((person[key] for key in SCORES if person.get(key) is not None), None)
    if joints.ndim == 1:
        joints = _unfolded(joints)
        if joints.shape[1] == 3 and scores is None:
            return Person(joints[:, :2], joints[:, 2], _track(person))
    while joints.ndim == 3 and len(joints) == 1:
        joints = joints[0]
    if joints.ndim != 2 or joints.shape[1] not in (2, 3, 4):
        raise ValueError(f"keypoints of shape {joints.shape}, expected (V, 2), (V, 3) or (V, 4)")
    if scores is not None:
        return Person(joints[:, :3], np.asarray(scores, np.float64).reshape(len(joints)), _track(person))
    if joints.shape[1] == 4:
        return Person(joints[:, :3], joints[:, 3], _track(person))
    return Person(joints, None, _track(person))


def _unfolded(values: np.ndarray) -> np.ndarray:
    triples = len(values) % 3 == 0 and (len(values) // 3 in PAIRS or len(values) % 2 or len(values) // 2 not in PAIRS)
    return values.reshape(-1, 3 if triples else 2)


def _by_coordinate(given: dict[str, Any], track: int | None) -> Person | None:
    """Ultralytics: ``{"x": [...], "y": [...], "visible": [...]}``."""
    if not given.get("x"):
        return None
    axes = [np.asarray(given[axis], np.float64).reshape(-1) for axis in "xyz" if given.get(axis)]
    scores = next((given[key] for key in VISIBLE if given.get(key)), None)
    points = np.stack(axes, 1)
    return Person(points, None if scores is None else np.asarray(scores, np.float64).reshape(len(points)), track)


def landmarks(joints: list[dict[str, Any]]) -> Person:
    """MediaPipe: a list of ``{"x", "y", "z", "visibility"}``."""
    axes = [axis for axis in "xyz" if axis in joints[0]]
    points = np.array([[joint[axis] for axis in axes] for joint in joints], np.float64)
    key = next((key for key in VISIBLE if key in joints[0]), None)
    return Person(points, None if key is None else np.array([joint[key] for joint in joints], np.float64))


def whole(value: Any) -> int | None:
    """A whole number, which may be written 3.0; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or abs(value) > 2**63:
        return None
    return int(value) if value == int(value) else None


def _track(person: dict[str, Any]) -> int | None:
    """A tracker's number; negative and null are none, and the ``id`` of a COCO annotation is not one."""
    for key in TRACKS[: -1 if "image_id" in person else None]:
        value = person.get(key)
        while isinstance(value, list) and len(value) == 1:
            value = value[0]
        number = whole(value)
        if number is not None and number >= 0:
            return number
    return None
