"""The frames of the JSON files that pose estimators write, and the numbers of these frames."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.errors import ArchiveError
from skeleton_lab.inference.keypoints import persons
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.inference.keypoints.tracking import Person

Frames = list[list[Person]]
Numbered = list[tuple[int, list[Person]]]
NUMBER = re.compile(r"(\d+)\D*$")
SUFFIX = re.compile(r"(\.[A-Za-z]\w{1,4})+$")  # .jpg; not the .5 of a time
LONGEST = 1_000_000  # frames, nine hours
SPARSE = 20_000  # frames; a longer recording holds somebody in more than one of a hundred
REGULAR = 5  # frames in equal steps that are no accident
LANDMARKS = ("pose_world_landmarks", "worldLandmarks", "world_landmarks", "pose_landmarks", "landmarks")
FRAME_KEYS = ("frame_id", "frame_index", "frame_idx", "frame_number", "frame", "image_id")
ENDING = "_keypoints.json"


def openpose_folder(path: Path, notices: Notices) -> Frames:
    """``*_keypoints.json``, one file per frame, by the number in the name; frames without a file are empty."""
    with parsing(path):
        files = [p for p in path.iterdir() if p.name.endswith(ENDING)]
    numbers = _numbers([file.name.removesuffix(ENDING) for file in files], path)
    found = []
    for number, file in sorted(zip(numbers, files)):
        with parsing(file):
            found.append((number, _everybody(json.loads(file.read_bytes())["people"], persons.openpose)))
    return _in_order(found, path, notices)


def frames_of(content: Any, path: Path, notices: Notices) -> Frames | None:
    """The frames of one JSON file; None where it is none of the known forms.

    OpenPose: a frame, or a list of them. MMPose: ``instance_info`` or ``predictions``, a list of frames with
    ``instances``, or of lists of persons. AlphaPose and COCO: one list of persons with ``image_id`` (or the
    ``annotations`` of a data set); AlphaPose's other form, frames by image name. Kinetics: ``data`` of frames with
    ``skeleton``. Ultralytics and MediaPipe: a list of frames, each a list of persons or of landmarks.
    """
    if isinstance(content, dict):
        content = _opened(content)
    if isinstance(content, dict) and content and all(_has_people(frame) for frame in content.values()):
        with parsing(path):
            numbers = _numbers([str(name) for name in content], path)
            frames = [(n, _openpose_frame(frame)) for n, frame in zip(numbers, content.values())]
            return _in_order(frames, path, notices)
    if not isinstance(content, list) or not all(item is None or isinstance(item, (dict, list)) for item in content):
        return None
    with parsing(path):
        if all(isinstance(item, dict) for item in content):
            return _of_dicts(content, path, notices)
        if any(_holds_dicts(item) for item in content):
            return [_listed(frame) for frame in content]
    return None


def _opened(content: dict[str, Any]) -> Any:
    if "people" in content:
        return [content]
    for key in ("instance_info", "annotations", "predictions"):
        if isinstance(content.get(key), list):
            return content[key]
    data = content.get("data")
    return data if isinstance(data, list) and data and isinstance(data[0], dict) else content


def _has_people(frame: Any) -> bool:
    return isinstance(frame, dict) and ("people" in frame or "bodies" in frame)


def _holds_dicts(item: Any) -> bool:
    return isinstance(item, list) and len(item) > 0 and isinstance(item[0], dict)


def _of_dicts(content: Sequence[dict[str, Any]], path: Path, notices: Notices) -> Frames | None:
    keys = set().union(*content) if content else set()
    if "people" in keys or "bodies" in keys:
        return _in_order(_told(content, _openpose_frame), path, notices)
    if "instances" in keys:
        return _in_order(_told(content, lambda frame: _everybody(frame.get("instances"), persons.told)), path, notices)
    if "skeleton" in keys:
        return _in_order(
            _told(content, lambda frame: _everybody(frame.get("skeleton"), persons.kinetics)), path, notices
        )
    landmarks = next((key for key in LANDMARKS if key in keys), None)
    if landmarks is not None:
        return _in_order(_told(content, lambda frame: _landmarks(frame.get(landmarks))), path, notices)
    if {"image_id", "keypoints"} <= keys:
        numbers = _numbers([person["image_id"] for person in content], path)
        return _in_order([(n, _everybody([p], persons.told)) for n, p in zip(numbers, content)], path, notices)
    return None


def _told(content: Sequence[dict[str, Any]], read: Callable[[dict[str, Any]], list[Person]]) -> Numbered:
    """Frames with the numbers that they tell, if all of them do, else in the order of the list."""
    key = next((key for key in FRAME_KEYS if all(persons.whole(frame.get(key)) is not None for frame in content)), None)
    numbers = range(len(content)) if key is None else [int(frame[key]) for frame in content]
    return [(number, read(frame)) for number, frame in zip(numbers, content)]


def _openpose_frame(frame: dict[str, Any]) -> list[Person]:
    return _everybody(frame["people"] if "people" in frame else frame["bodies"], persons.openpose)


def _listed(frame: Any) -> list[Person]:
    """A frame that is a list of persons, or MediaPipe's list of the landmarks of one."""
    if frame and isinstance(frame, list) and isinstance(frame[0], dict) and "x" in frame[0]:
        return [persons.landmarks(frame)]
    return _everybody(frame, persons.told)


def _landmarks(given: Any) -> list[Person]:
    """MediaPipe's landmarks of one person, or a list of such."""
    return [person for one in given or [] for person in _listed(one)] if not _holds_dicts(given) else _listed(given)


def _everybody(
    people: Iterable[dict[str, Any]] | None, read: Callable[[dict[str, Any]], Person | None]
) -> list[Person]:
    """Those who have key points: OpenPose also lists hands or faces without a body."""
    made = [read(person) for person in (() if people is None else people) if person is not None]
    return [person for person in made if person is not None]


def _numbers(told: Sequence[Any], path: Path) -> list[int]:
    """The number of each frame: a number, or the last one in a name, which is the same but for it in all frames."""
    numbers, around = [], {}
    for each in told:
        whole = persons.whole(each)
        if whole is not None:
            numbers.append(whole)
            continue
        stem = SUFFIX.sub("", str(each))
        match = NUMBER.search(stem)
        if match is None:
            raise ArchiveError(f"{path}: '{str(each)[:60]}' has no number of its frame")
        around.setdefault((stem[: match.start()], stem[match.end(1) :]), str(each))
        numbers.append(int(match[1][:20]))
    if len(around) > 1:
        names = [name[:60] for name in around.values()]
        raise ArchiveError(
            f"{path}: frames of {len(around)} recordings, such as '{names[0]}' and '{names[1]}'; give one at a time"
        )
    return numbers


def _in_order(found: Numbered, path: Path, notices: Notices) -> Frames:
    """Frames by number from the smallest one; those that nobody is in are empty.

    Numbers that go up in equal steps, as of every fifth frame, are closed up.
    """
    if not found:
        return []
    numbers = sorted({number for number, _ in found})
    first, step = numbers[0], math.gcd(*(number - numbers[0] for number in numbers)) or 1
    if step > 1 and len(numbers) >= REGULAR:
        notices.add("step", str(path), f"{path}: every {step}th frame from {first} on: read as frames that follow each "
                    "other; --fps is that of these")  # fmt: skip
    else:
        step = 1
    length = (numbers[-1] - first) // step + 1
    if length > LONGEST or length > max(SPARSE, 100 * len(numbers)):
        raise ArchiveError(f"{path}: {len(numbers)} frames, numbered {first} to {numbers[-1]}: no recording is so long")
    frames: Frames = [[] for _ in range(length)]
    for number, people in found:
        frames[(number - first) // step] += people
    return frames
