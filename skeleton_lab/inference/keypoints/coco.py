"""Data sets in COCO's form: images that are frames of videos, and the people annotated in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from skeleton_lab.errors import ArchiveError
from skeleton_lab.inference.keypoints import persons
from skeleton_lab.inference.keypoints.frames import Frames, Numbered, in_order, parted
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.inference.keypoints.tracking import Person

VISIBLE = 2  # of an annotation: 0 not labelled, 1 hidden, 2 visible
COUNTED = ("frame_id", "frame_index", "frame_idx", "frame")


def is_data_set(content: Any) -> bool:
    """Whether a JSON file has COCO's images and annotations; without images these are a list of results."""
    return isinstance(content, dict) and all(
        isinstance(content.get(key), list) and all(isinstance(item, dict) for item in content[key])
        for key in ("images", "annotations")
    ) and bool(content["images"])  # fmt: skip


def recordings(content: dict[str, Any], path: Path, notices: Notices) -> list[Frames]:
    """The recordings of a data set, each with its frames in order.

    Images of one ``video_id``, or else of names that differ in the last number alone, are one recording; images without
    annotations are frames that nobody is in. Visibility becomes a score: 1 of visible joints, 0.5 of hidden ones.

    Raises:
        ArchiveError: an image whose place in time nothing tells, annotations of no image, no key points.
    """
    people: dict[Any, list[Person]] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        if annotation["image_id"] not in people:
            raise ArchiveError(f"{path}: an annotation is of image {annotation['image_id']}, which 'images' lacks")
        person = None if annotation.get("iscrowd") else persons.told(annotation)
        if person is not None and (person.scores is None or person.scores.any()):
            people[annotation["image_id"]].append(_scored(person))
    groups = _grouped(content["images"], path)
    joints = _joints(content.get("categories"))
    made = []
    for name, images in groups.items():
        found: Numbered = [(number, people[image["id"]]) for number, image in images]
        frames = in_order(found, path, notices, name if len(groups) > 1 else "")
        made.append(frames._replace(image=_size(images[0][1]), joints=joints))
    return made


def _scored(person: Person) -> Person:
    if person.scores is None or not np.isin(person.scores, (0, 1, VISIBLE)).all():
        return person
    return person._replace(scores=person.scores / VISIBLE)


def _grouped(images: Sequence[dict[str, Any]], path: Path) -> dict[str, list[tuple[int, dict[str, Any]]]]:
    """Numbered images of each recording, by its name."""
    groups: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    by_video = all(image.get("video_id") is not None for image in images)
    for image in images:
        file = PurePosixPath(str(image.get("file_name", "")).replace("\\", "/"))
        found = parted(file.name)
        told = next((number for key in COUNTED if (number := persons.whole(image.get(key))) is not None), None)
        if told is None and found is None:
            raise ArchiveError(
                f"{path}: image {image['id']} ('{str(file)[:60]}') has neither a number in its name nor a frame_id: "
                "nothing tells its place in time"
            )
        around = "_".join(part.strip("_-. ") for part in found[0] if part.strip("_-. ")) if found else ""
        folder = "" if file.parent == PurePosixPath(".") else str(file.parent)
        name = f"video_{image['video_id']}" if by_video else "/".join(filter(None, (folder, around)))
        groups.setdefault(name, []).append((told if told is not None else found[1] if found else 0, image))
    return groups


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    size = persons.whole(image.get("height")), persons.whole(image.get("width"))
    return (size[0], size[1]) if size[0] and size[1] else None


def _joints(categories: Any) -> tuple[str, ...] | None:
    """Names of the joints, where one category has some."""
    told = [each["keypoints"] for each in categories or () if isinstance(each, dict) and each.get("keypoints")]
    return tuple(str(name) for name in told[0]) if len(told) == 1 else None
