"""Frames of one recording in order, by the numbers that a file gives them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from skeleton_lab.errors import ArchiveError
from skeleton_lab.inference.keypoints import persons
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.inference.keypoints.tracking import Person

Numbered = list[tuple[int, list[Person]]]
NUMBER = re.compile(r"(\d+)\D*$")
SUFFIX = re.compile(r"(\.[A-Za-z]\w{1,4})+$")  # .jpg; not the .5 of a time
LONGEST = 1_000_000  # frames, nine hours
SPARSE = 20_000  # frames; a longer recording holds somebody in more than one of a hundred
REGULAR = 5  # frames in equal steps that are no accident


class Frames(NamedTuple):
    """One recording: the persons of each frame, and what the file says besides.

    Attributes:
        name: of the recording, where a file holds several; first: the file's number of the first frame; step: from
            frame to frame; image: height and width in pixels; joints: their names.
    """

    people: list[list[Person]]
    name: str = ""
    first: int = 0
    step: int = 1
    image: tuple[int, int] | None = None
    joints: tuple[str, ...] | None = None


def parted(name: str) -> tuple[tuple[str, str], int] | None:
    """What is the same in the names of all frames of a recording, before and behind the number, and the number.

    >>> parted("walk_07.jpg")
    (('walk_', ''), 7)
    """
    stem = SUFFIX.sub("", name)
    match = NUMBER.search(stem)
    return match and ((stem[: match.start()], stem[match.end(1) :]), int(match[1][:20]))


def numbers_of(told: Sequence[Any], path: Path) -> list[int]:
    """The number of each frame: a number, or the last one in a name, which is the same but for it in all frames.

    Raises:
        ArchiveError: a name without a number, or names of several recordings.
    """
    numbers: list[int] = []
    around: dict[tuple[str, str], str] = {}
    for each in told:
        whole = persons.whole(each)
        if whole is not None:
            numbers.append(whole)
            continue
        found = None if isinstance(each, (int, float)) else parted(str(each))  # the 5 of 7.5 is no number of a frame
        if found is None:
            raise ArchiveError(f"{path}: '{str(each)[:60]}' has no number of its frame")
        around.setdefault(found[0], str(each))
        numbers.append(found[1])
    if len(around) > 1:
        names = [name[:60] for name in around.values()]
        raise ArchiveError(
            f"{path}: frames of {len(around)} recordings, such as '{names[0]}' and '{names[1]}'; give one at a time"
        )
    return numbers


def in_order(found: Numbered, path: Path, notices: Notices, name: str = "") -> Frames:
    """Frames by number from the smallest one; those that nobody is in are empty.

    Numbers that go up in equal steps, as of every fifth frame, are closed up.

    Args:
        name: of the recording, where the file holds several.

    Raises:
        ArchiveError: numbers of a recording that would be longer than one can be.
    """
    if not found:
        return Frames([], name)
    numbers = sorted({number for number, _ in found})
    first, step = numbers[0], math.gcd(*(number - numbers[0] for number in numbers)) or 1
    where = f"{path}: {name}" if name else str(path)
    if step > 1 and len(numbers) >= REGULAR:
        notices.add("step", where, f"{where}: every {step}th frame from {first} on: read as frames that follow each "
                    "other; --fps is that of these")  # fmt: skip
    else:
        step = 1
    length = (numbers[-1] - first) // step + 1
    if length > LONGEST or length > max(SPARSE, 100 * len(numbers)):
        raise ArchiveError(
            f"{where}: {len(numbers)} frames, numbered {first} to {numbers[-1]}: no recording is so long"
        )
    frames: list[list[Person]] = [[] for _ in range(length)]
    for number, people in found:
        frames[(number - first) // step] += people
    return Frames(frames, name, first, step)
