"""JSON lines, as pose tools write frames, become ``Frame``s: numbers, times, ids, joints of which it is known whether
they were found.

A line is a frame: ``{"frame": 7, "time": 0.233, "people": [{"id": 0, "keypoints": [[x, y, score], ...]}]}``, or what
OpenPose, MMPose, Ultralytics and MediaPipe write of one (``keypoints.estimators``).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.errors import ArchiveError, UsageError, one_line
from skeleton_lab.inference.keypoints import arrays, estimators
from skeleton_lab.inference.keypoints.checking import FARTHEST
from skeleton_lab.inference.keypoints.frames import numbers_of
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.inference.keypoints.tracking import Person, seen
from skeleton_lab.live.identities import Identities
from skeleton_lab.live.sources import AGAIN, Frame
from skeleton_lab.skeletons.schemes import Scheme

FAR = 300  # frames that a number may lie behind the newest one, ten seconds; what is older is of another time
LARGEST = 10**15  # a frame's number, and seconds of its time: counted in nanoseconds, more than a week


class Reader:
    """Frames of lines, in the order in which they come.

    Args:
        choose: the skeleton of so many joints (``normalise.scheme_of`` with the user's wish).
        least: score of a joint that was found; fps: times of frames that have none.
        where: what messages call the source.

    Attributes:
        scheme: of the joints, from the first person on. where, least: as given.
        lines, bad: how many came, and how many could not be read; trouble: why, of the first of them.
        old: frames that came more than ``FAR`` frames late, and were left out.
    """

    def __init__(
        self, choose: Callable[[int, str], Scheme], least: float, fps: float, where: str, notices: Notices
    ) -> None:
        self._choose, self.least, self._fps = choose, least, fps
        self.where, self._notices = Path(where), notices
        self._identities = Identities(least)
        self._third: bool | None = None  # whether the third value of a joint is a score
        self._axes = 0  # of a point: 2 or 3
        self._newest: int | None = None
        self._behind: list[int] = []  # numbers of the latest frames that were too old
        self.scheme: Scheme | None = None
        self.lines = self.bad = self.old = 0
        self.trouble: str | None = None

    def frames(self, lines: Iterable[bytes | None]) -> Iterator[Frame | None]:
        """A frame for every line that can be read; None as the source gives it.

        Raises:
            UsageError: the first person has a number of joints that no skeleton, or not the one asked for, has.
        """
        for line in lines:
            if line is None:
                yield None
            elif line.strip():
                arrived = time.monotonic()
                frame = self._read(line, arrived)
                if frame is not None:
                    yield frame

    def _read(self, line: bytes, arrived: float) -> Frame | None:
        self.lines += 1
        try:
            content = json.loads(line)
            people = self._people(content)
            number = self._number(content)
            moment = self._time(content, number)
        except UsageError:
            raise
        except Exception as error:  # foreign bytes raise nearly anything; a session outlives them
            self.bad += 1
            self.trouble = self.trouble or f"{self.where}, line {self.lines}: {one_line(error)[:300]}"
            self._notices.add("bad line", "", f"left out: {self.trouble}")
            return None
        begins = self._ordered(number, bool(_says(content, "begins")))
        if begins is None:
            return None
        found = self._identities(number, people)
        scored = all(person.scores is not None for person in people) and _says(content, "scored") is not False
        made = {id: _joined(person, self.least) for id, person in found.items()}
        return Frame(number, moment, made, scored, arrived, begins, _says(content, "asked"))

    def _number(self, content: Any) -> int:
        """As the line tells, else the next one."""
        told = content if isinstance(content, dict) else {}
        key = next((key for key in estimators.FRAME_KEYS if told.get(key) is not None), None)
        if key is None:
            return 0 if self._newest is None else self._newest + 1
        number = numbers_of([told[key]], self.where)[0]
        if abs(number) > LARGEST:
            raise ArchiveError(f"frame {number} is no number of a frame")
        return number

    def _time(self, content: Any, number: int) -> float:
        told = content.get("time") if isinstance(content, dict) else None
        if told is None:
            return number / self._fps
        if isinstance(told, bool) or not isinstance(told, (int, float)) or not abs(told) <= LARGEST:  # nor NaN
            raise ArchiveError(f"time {told!r} is no number of seconds")
        return float(told)

    def _ordered(self, number: int, told: bool) -> bool | None:
        """Whether the source has begun anew with this frame, as it may have ``told``; None where it is too old."""
        if told:
            return self._anew(number)
        if self._newest is None or number >= self._newest - FAR:
            self._behind = []
            if self._newest is not None and number > self._newest + FAR:
                line = f"{self.where}: frame numbers go on from {self._newest} at {number}"
                self._notices.add("jump", "", line)
            self._newest = number if self._newest is None else max(self._newest, number)
            return False
        self._behind = [*self._behind, number] if self._behind and number > self._behind[-1] else [number]
        if len(self._behind) < AGAIN:
            self.old += 1
            return None
        line = f"{self.where}: frame {number} after {self._newest}: it has begun again, and so does everything"
        self._notices.add("again", "", line)
        return self._anew(number)

    def _anew(self, number: int) -> bool:
        self._newest, self._behind = number, []
        self._identities.forget()
        return True

    def _people(self, content: Any) -> list[Person]:
        """The persons of a line, in the joints of the scheme.

        Raises:
            ArchiveError, and nearly anything: it is none of the forms, or holds other joints than those before.
            UsageError: of the first person, where the number of joints cannot be.
        """
        if content == []:
            return []
        found = estimators.frames_of([content], self.where, self._notices)
        if found is None or len(found) != 1:
            raise ArchiveError("no frame of key points; see docs/live.md for the forms that are read")
        people = found[0].people[0]
        if not people and isinstance(content, dict) and any(content.get(key) for key in ("people", "instances")):
            line = f"{self.where}, line {self.lines}: people without key points are nobody"
            self._notices.add("no key points", "", line)
        return [self._checked(person) for person in people]

    def _checked(self, person: Person) -> Person:
        points, scores = person.points, person.scores
        if self.scheme is None:
            self.scheme = self._choose(len(points), str(self.where))
            self._joints = len(points)
        if len(points) != self._joints:
            raise ArchiveError(f"{len(points)} joints, and the first person had {self._joints}")
        if points.shape[1] == 3 and scores is None:
            if self._third is None:
                self._third = arrays.third_is_score(points, self.scheme, self.where, self._notices)
            if self._third:
                points, scores = points[:, :2], points[:, 2]
        self._axes = self._axes or points.shape[1]
        if points.shape[1] != self._axes:
            raise ArchiveError(f"{points.shape[1]} coordinates, and the first person had {self._axes}")
        if (np.abs(points) > FARTHEST).any() or (scores is not None and np.isinf(scores).any()):
            raise ArchiveError("infinite key points, beyond 1e9; write NaN for what was not found")
        V = self.scheme.V
        return Person(points[:V], None if scores is None else scores[:V], person.track)


def _joined(person: Person, least: float) -> np.ndarray:
    """(V, 3 or 4): coordinates and score; without scores 1 of joints that were found."""
    scores = person.scores
    if scores is None:
        scores = seen(person.points, None, least).astype(np.float64)
    return np.concatenate([person.points, scores[:, None]], 1)


def _says(content: Any, key: str) -> bool | None:
    """Of a line of a recorded session; None of others."""
    told = content.get(key) if isinstance(content, dict) else None
    return told if isinstance(told, bool) else None


def written(frame: Frame, asked: bool) -> str:
    """The line of a recorded session: read again it is the same frame."""
    people = [
        {"id": id, "keypoints": _numbers(x[:, :-1]), "keypoint_scores": _numbers(x[:, -1])}
        for id, x in frame.people.items()
    ]
    line: dict[str, Any] = {"frame": frame.number, "time": frame.time, "people": people, "asked": asked}
    if not frame.scored:
        line["scored"] = False
    if frame.begins:
        line["begins"] = True
    return json.dumps(line) + "\n"


def _numbers(x: np.ndarray) -> list:
    """Nested lists, None in place of NaN."""
    numbers = x.astype(object)
    numbers[np.isnan(x)] = None
    return numbers.tolist()
