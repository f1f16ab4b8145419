"""The frames of the JSON files that pose estimators write."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.inference.keypoints import coco, persons
from skeleton_lab.inference.keypoints.frames import Frames, Numbered, in_order, numbers_of
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.inference.keypoints.tracking import Person

LANDMARKS = ("pose_world_landmarks", "worldLandmarks", "world_landmarks", "pose_landmarks", "landmarks")
FRAME_KEYS = ("frame_id", "frame_index", "frame_idx", "frame_number", "frame", "image_id")
ENDING = "_keypoints.json"


LOOKED_INTO = 20  # files of a folder, for one that somebody is in
SMALL = 1 << 22  # bytes of the JSON file of one frame, at most


def is_folder_of_frames(path: Path) -> bool:
    """Whether a folder holds one JSON file per frame: OpenPose's by their names, others by what is in them.

    The folders of JSON clips that are archives (NW-UCLA, Kinetics-skeleton) hold objects, not lists of persons.
    """
    files = _files(path)
    if not files or files[0].name.endswith(ENDING):
        return bool(files)
    for file in files[:LOOKED_INTO]:
        with parsing(file):
            content = json.loads(file.read_bytes()) if file.stat().st_size <= SMALL else None
        if not isinstance(content, list) or (content and not _is_person(content[0])):
            return False
        if content:
            return True
    return False


def _files(folder: Path) -> list[Path]:
    """The JSON files of a folder, those of OpenPose alone where there are some, in the order of their names."""
    with parsing(folder):
        files = sorted(p for p in folder.iterdir() if p.name.endswith(".json"))
    return [p for p in files if p.name.endswith(ENDING)] or files


def _is_person(content: Any) -> bool:
    return isinstance(content, dict) and "keypoints" in content and "image_id" not in content


def folder(path: Path, notices: Notices) -> Frames:
    """One file per frame, by the number in the name; frames without a file are empty.

    ``*_keypoints.json`` of OpenPose, or what MMPose's inferencer writes of an image, and Ultralytics' ``to_json()``: a
    list of persons.
    """
    files = _files(path)
    numbers = numbers_of([file.name.removesuffix(ENDING) for file in files], path)
    found: Numbered = []
    for number, file in sorted(zip(numbers, files)):
        with parsing(file):
            content = json.loads(file.read_bytes())
            found.append((number, _listed(content) if isinstance(content, list) else _openpose_frame(content)))
    return in_order(found, path, notices)


def parsed(path: Path) -> Any:
    """The content of a JSON file; of JSON lines, as ``live`` records them, the list of what they hold.

    A last line that was cut off is left out, as whoever wrote it may have been stopped.
    """
    text = path.read_bytes()
    try:
        return json.loads(text)
    except ValueError as error:
        lines = [line for line in text.split(b"\n") if line.strip()]
        if len(lines) < 2 or lines[0].lstrip()[:1] not in (b"{", b"["):
            raise
        try:
            content = [json.loads(line) for line in lines[:-1]]
        except ValueError:
            raise error from None
        with contextlib.suppress(ValueError):
            content.append(json.loads(lines[-1]))
        return content


def frames_of(content: Any, path: Path, notices: Notices) -> list[Frames] | None:
    """The recordings of one JSON file, nearly always one; None where it is none of the known forms.

    OpenPose: a frame, or a list of them. MMPose: ``instance_info`` or ``predictions``, a list of frames with
    ``instances``, or of lists of persons; of an image, the list of its persons. AlphaPose and COCO: one list of persons
    with ``image_id``; COCO data sets: the ``annotations`` of ``images``; AlphaPose's other form, and lists of persons,
    by the image's name. Kinetics: ``data`` of frames with ``skeleton``. Ultralytics and MediaPipe: a list of frames,
    each a list of persons or of landmarks, or the text of one as ``to_json()`` returns it.

    Raises:
        ArchiveError: it is damaged, or its frames are of no one recording.
    """
    with parsing(path):
        if coco.is_data_set(content):
            return coco.recordings(content, path, notices)
        found = _frames(content, path, notices)
    return None if found is None else [found._replace(joints=_joints(content))]


def _frames(content: Any, path: Path, notices: Notices) -> Frames | None:
    if isinstance(content, dict):
        content = _opened(content)
    if isinstance(content, dict):
        return _by_name(content, path, notices)
    if not isinstance(content, list):
        return None
    if content and all(isinstance(item, str) for item in content):
        content = [json.loads(item) for item in content]
    if not all(item is None or isinstance(item, (dict, list)) for item in content):
        return None
    if all(isinstance(item, dict) for item in content):
        return _of_dicts(content, path, notices)
    if any(_holds_dicts(item) for item in content):
        return Frames([_listed(frame) for frame in content])
    return None


def _by_name(content: dict[str, Any], path: Path, notices: Notices) -> Frames | None:
    """Frames by the names of their images: each as OpenPose has it, or a list of persons."""
    read: Callable[[Any], list[Person]]
    if content and all(_has_people(frame) for frame in content.values()):
        read = _openpose_frame
    elif any(content.values()) and all(isinstance(frame, list) for frame in content.values()):
        if not all(_is_person(person) for frame in content.values() for person in frame):
            return None
        read = _listed
    else:
        return None
    numbers = numbers_of([str(name) for name in content], path)
    return in_order([(n, read(frame)) for n, frame in zip(numbers, content.values())], path, notices)


def _joints(content: Any) -> tuple[str, ...] | None:
    """The names of joints that MMPose tells in ``meta_info``."""
    meta = content.get("meta_info") if isinstance(content, dict) else None
    told = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if not isinstance(told, dict) or not all(str(k) in told for k in range(len(told))):
        return None
    return tuple(str(told[str(k)]) for k in range(len(told)))


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
        return in_order(_told(content, _openpose_frame), path, notices)
    if "instances" in keys:
        return in_order(_told(content, lambda frame: _everybody(frame.get("instances"), persons.told)), path, notices)
    if "skeleton" in keys:
        return in_order(
            _told(content, lambda frame: _everybody(frame.get("skeleton"), persons.kinetics)), path, notices
        )
    landmarks = next((key for key in LANDMARKS if key in keys), None)
    if landmarks is not None:
        return in_order(_told(content, lambda frame: _landmarks(frame.get(landmarks))), path, notices)
    if {"image_id", "keypoints"} <= keys:
        numbers = numbers_of([person["image_id"] for person in content], path)
        return in_order([(n, _everybody([p], persons.told)) for n, p in zip(numbers, content)], path, notices)
    return Frames([_everybody(content, persons.told)]) if "keypoints" in keys else None


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
