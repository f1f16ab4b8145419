"""Who is who from frame to frame, where a pose estimator lists the persons of every frame in any order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

PATIENCE = 30  # frames after which somebody who is gone is not recognised any more
FAR = 1.0  # a person cannot move farther between two frames, in extents of the body
CROWD = 100  # persons of a frame who are followed: a list of thousands is a detector's noise


class Person(NamedTuple):
    """One person of one frame: points (V, 2 or 3), scores (V,) where the file has some, the number of a tracker."""

    points: np.ndarray
    scores: np.ndarray | None = None
    track: int | None = None


class Linked(NamedTuple):
    """The persons that were kept, points (T, M, V, D) and scores (T, M, V), zeros where not there; and of how many."""

    points: np.ndarray
    scores: np.ndarray | None
    persons: int


def seen(points: np.ndarray, scores: np.ndarray | None, least: float) -> np.ndarray:
    """(..., V) bool of joints (..., V, D) that were found.

    Not found are NaN in a coordinate or in the score, scores of 0 or below ``least``, what lies at (0, 0) in an image,
    and in 3-D without scores a person who is at the origin with all joints: one joint there may be the root.
    """
    there = np.isfinite(points).all(-1)
    if scores is not None:
        there &= (scores > 0) & (scores >= least)
    somewhere = np.isfinite(points) & (points != 0)
    if points.shape[-1] == 2:
        there &= somewhere.any(-1)
    elif scores is None:
        there &= somewhere.any((-2, -1))[..., None]
    return there


class _Body(NamedTuple):
    """A person, which joints were found, and the points with the others at the origin."""

    person: Person
    there: np.ndarray
    points: np.ndarray


def _body(person: Person, least: float) -> _Body:
    there = seen(person.points, person.scores, least)
    return _Body(person, there, np.where(there[:, None], person.points, 0))


class _Slot:
    """One person, as seen last; ``number`` is that of a tracker."""

    def __init__(self, number: int | None, last: _Body) -> None:
        self.number, self.last = number, last


class Tracker:
    """Who is who, a frame at a time.

    Numbers of a tracker are believed; where one occurs twice in a frame, it is of the one who is nearest to where its
    owner was. Everybody else continues the nearest of those seen last, if that is nearer than their own extent; nearest
    pairs first. A number that appears for the first time may continue somebody who had none. Persons of whom nothing
    was found are left out.

    Args:
        least: score of a joint that was found.
        forgetful: forget whoever is gone for more than ``PATIENCE`` frames, also those with a number, so that memory is
            bounded however long it goes on.
    """

    def __init__(self, least: float, forgetful: bool = False) -> None:
        self._least, self._forgetful = least, forgetful
        self._slots: dict[int, _Slot] = {}
        self._of_number: dict[int, int] = {}
        self._active: OrderedDict[int, int] = OrderedDict()  # slot -> frame, the one seen longest ago first
        self._next = 0

    def __contains__(self, slot: int) -> bool:
        """Whether somebody is still known."""
        return slot in self._slots

    def follow(self, t: int, people: Sequence[Person]) -> dict[int, _Body]:
        """The slot of each person of frame ``t``; slots are numbered as they appear."""
        self._leave(t)
        bodies = [body for body in (_body(person, self._least) for person in people[:CROWD]) if body.there.any()]
        chosen = _by_number(bodies, self._slots, self._of_number)
        taken = set(chosen.values())
        free = {m: self._slots[m] for m in self._active if m not in taken}
        chosen |= _nearest(bodies, [i for i in range(len(bodies)) if i not in chosen], free, self._of_number)
        for i, body in enumerate(bodies):
            number = body.person.track
            fresh = None if number in self._of_number else number
            if i not in chosen:
                chosen[i] = self._next
                self._slots[self._next] = _Slot(fresh, body)
                self._next += 1
            slot = self._slots[chosen[i]]
            if fresh is not None:
                slot.number = self._of_number[fresh] = chosen[i]
            slot.last = body
            self._active[chosen[i]] = t
            self._active.move_to_end(chosen[i])
        return {chosen[i]: body for i, body in enumerate(bodies)}

    def _leave(self, t: int) -> None:
        while self._active and t - next(iter(self._active.values())) > PATIENCE:
            gone, _ = self._active.popitem(last=False)
            if self._forgetful:
                del self._slots[gone]
                self._of_number = {number: slot for number, slot in self._of_number.items() if slot != gone}


class _Followed:
    """One person over the frames, and how much was seen of them."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, _Body]] = []
        self.weight = 0.0

    def add(self, t: int, body: _Body) -> None:
        self.frames.append((t, body))
        scores = body.person.scores
        self.weight += float(body.there.sum() if scores is None else scores[body.there].sum())


def linked(frames: Sequence[Sequence[Person]], least: float, count: int) -> Linked:
    """The ``count`` persons that are seen most, each in a slot of their own, in the order of appearance.

    Args:
        least: score of a joint that was found.
    """
    tracker, followed = Tracker(least), {}
    for t, people in enumerate(frames):
        for slot, body in tracker.follow(t, people).items():
            followed.setdefault(slot, _Followed()).add(t, body)
    return _stacked([followed[slot] for slot in range(len(followed))], len(frames), count)


def _by_number(bodies: Sequence[_Body], slots: dict[int, _Slot], of_number: dict[int, int]) -> dict[int, int]:
    """Slots of those whose number is known; of several with one number, that of the nearest."""
    holders: dict[int, list[int]] = {}
    for i, body in enumerate(bodies):
        if body.person.track in of_number:
            holders.setdefault(of_number[body.person.track], []).append(i)
    return {
        min(held, key=lambda i, m=m: _away(bodies[i], slots[m].last)) if len(held) > 1 else held[0]: m
        for m, held in holders.items()
    }


def _away(a: _Body, b: _Body) -> float:
    both = a.there & b.there
    if not both.any():
        return np.inf
    return float(np.linalg.norm(a.points[both] - b.points[both], axis=1).mean())


def _nearest(
    bodies: Sequence[_Body], wanted: Sequence[int], free: dict[int, _Slot], of_number: dict[int, int]
) -> dict[int, int]:
    if not wanted or not free:
        return {}
    places = list(free)
    points = np.stack([slot.last.points for slot in free.values()])
    known = np.stack([slot.last.there for slot in free.values()])
    unnumbered = np.array([slot.number is None for slot in free.values()])
    pairs = []
    for i in wanted:
        person, there, here = bodies[i]
        fresh = person.track is not None and person.track not in of_number
        rows = np.flatnonzero(unnumbered) if fresh else np.arange(len(places))
        if not len(rows):
            continue
        both = known[rows] & there
        with np.errstate(over="ignore", invalid="ignore"):
            gaps = np.linalg.norm(points[rows] - here, axis=-1)
            away = np.where(both, gaps, 0).sum(1) / np.maximum(both.sum(1), 1)
            fits = both.any(1) & (away <= FAR * np.ptp(here[there], axis=0).max())
        pairs += [(float(away[k]), i, places[rows[k]]) for k in np.flatnonzero(fits)]
    chosen: dict[int, int] = {}
    taken = set()
    for _, i, m in sorted(pairs):
        if i not in chosen and m not in taken:
            chosen[i] = m
            taken.add(m)
    return chosen


def _stacked(slots: Sequence[_Followed], T: int, count: int) -> Linked:
    kept = sorted(sorted(range(len(slots)), key=lambda m: -slots[m].weight)[:count])
    if not kept:
        return Linked(np.zeros((T, 0, 0, 2)), None, 0)
    V, D = slots[kept[0]].frames[-1][1].person.points.shape
    points = np.zeros((T, len(kept), V, D))
    scored = any(body.person.scores is not None for m in kept for _, body in slots[m].frames)
    scores = np.zeros((T, len(kept), V)) if scored else None
    for place, m in enumerate(kept):
        for t, body in slots[m].frames:
            points[t, place] = body.person.points
            if scores is not None:
                scores[t, place] = 1 if body.person.scores is None else body.person.scores
    return Linked(points, scores, len(slots))


def strongest(weights: np.ndarray, count: int) -> np.ndarray:
    """The slots of the ``count`` persons with the largest sums of weights (T, M, V), in the order that they have."""
    return np.sort(np.argsort(-weights.sum((0, 2)), kind="stable")[:count])
