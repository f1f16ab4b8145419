"""The persons of every frame in the results of OpenPose, AlphaPose and MMPose."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.npy import parsing
from skeleton_lab.errors import ArchiveError
from skeleton_lab.keypoints.tracking import Person

Frames = list[list[Person]]
NUMBER = re.compile(r"(\d+)\D*$")
LONGEST = 1_000_000  # frames, nine hours
TRACKS = ("track_id", "idx", "person_id", "instance_id", "id")


def openpose_folder(path: Path) -> Frames:
    """``*_keypoints.json``, one file per frame, by the number in the name; frames without a file are empty."""
    with parsing(path):
        files = [p for p in path.iterdir() if p.name.endswith("_keypoints.json")]
    numbered = [(_number(file.name.removesuffix("_keypoints.json"), file), file) for file in files]
    found = []
    for number, file in sorted(numbered):
        with parsing(file):
            frame = json.loads(file.read_bytes())
            found.append((number, [_openpose(person) for person in frame["people"]]))
    return _in_order(found, path)


def frames_of(content: Any, path: Path) -> Frames | None:
    """The frames of one JSON file; None where it is none of the known forms.

    OpenPose: a frame, or a list of them. MMPose: ``instance_info``, or a list of frames with ``instances``.
    AlphaPose: one list of persons with ``image_id``.
    """
    if isinstance(content, dict):
        if "people" in content:
            content = [content]
        elif isinstance(content.get("instance_info"), list):
            content = content["instance_info"]
    if not isinstance(content, list) or not content or not all(isinstance(item, dict) for item in content):
        return None
    first = content[0]
    with parsing(path):
        if "people" in first:
            return [[_openpose(person) for person in frame["people"]] for frame in content]
        if "instances" in first:
            numbered = [
                (int(frame.get("frame_id", k)), [_mmpose(person) for person in frame["instances"]])
                for k, frame in enumerate(content)
            ]
            return _in_order(numbered, path)
        if "image_id" in first and "keypoints" in first:
            return _in_order([(_number(str(p["image_id"]), path), [_flat(p)]) for p in content], path)
    return None


def _number(text: str, path: Path) -> int:
    match = NUMBER.search(text)
    if match is None:
        raise ArchiveError(f"{path}: '{text[:60]}' has no number of its frame")
    return int(match[1])


def _in_order(found: Sequence[tuple[int, list[Person]]], path: Path) -> Frames:
    """Frames by number from the smallest one; those that nobody is in are empty."""
    first, last = min(number for number, _ in found), max(number for number, _ in found)
    if last - first >= LONGEST:
        raise ArchiveError(f"{path}: frames {first} to {last} are more than {LONGEST}")
    frames: Frames = [[] for _ in range(last - first + 1)]
    for number, persons in found:
        frames[number - first] += persons
    return frames


def _openpose(person: dict[str, Any]) -> Person:
    joints = np.asarray(person["pose_keypoints_2d"], np.float64).reshape(-1, 3)
    told = person.get("person_id", [-1])
    track = int(told[0]) if isinstance(told, list) and told else -1
    return Person(joints, track if track >= 0 else None)


def _flat(person: dict[str, Any]) -> Person:
    """COCO's and AlphaPose's result: x, y, score, x, y, score ..."""
    return Person(np.asarray(person["keypoints"], np.float64).reshape(-1, 3), _track(person))


def _mmpose(person: dict[str, Any]) -> Person:
    joints = np.asarray(person["keypoints"], np.float64)
    if joints.ndim != 2:
        raise ValueError(f"keypoints of shape {joints.shape}, expected (V, 2) or (V, 3)")
    if person.get("keypoint_scores") is not None:
        scores = np.asarray(person["keypoint_scores"], np.float64).reshape(len(joints), 1)
        joints = np.concatenate([joints, scores], 1)
    return Person(joints, _track(person))


def _track(person: dict[str, Any]) -> int | None:
    told = next((person[key] for key in TRACKS if key in person), None)
    return int(told) if isinstance(told, (int, float)) and told == told else None
