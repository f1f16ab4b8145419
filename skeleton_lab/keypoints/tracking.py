"""Who is who from frame to frame, where a pose estimator lists the persons of every frame in any order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

PATIENCE = 30  # frames after which somebody who is gone is not recognised any more
FAR = 1.0  # a person cannot move farther between two frames, in heights of the body


class Person(NamedTuple):
    """One person of one frame: joints (V, C), the last column a score where the scheme has one; maybe a number."""

    joints: np.ndarray
    track: int | None = None


def linked(frames: Sequence[Sequence[Person]], V: int, C: int, scored: bool) -> np.ndarray:
    """(T, M, V, C) with everybody in a slot of their own, in the order of appearance; zeros where not there.

    Numbers of a tracker are believed. Persons without one continue the nearest of those seen last, if that is nearer
    than their own height; nearest pairs first.
    """
    slots: list[np.ndarray] = []
    of_track: dict[int, int] = {}
    last: dict[int, tuple[int, np.ndarray]] = {}  # slot -> frame and joints
    for t, people in enumerate(frames):
        free = {m: joints for m, (seen, joints) in last.items() if t - seen <= PATIENCE}
        chosen: dict[int, int] = {}
        for i, person in enumerate(people):
            if person.track is not None and person.track in of_track:
                chosen[i] = of_track[person.track]
                free.pop(of_track[person.track], None)
        new = [i for i in range(len(people)) if i not in chosen]
        chosen |= _nearest(people, [i for i in new if people[i].track is None], free, scored)
        for i, person in enumerate(people):
            if i not in chosen:
                chosen[i] = len(slots)
                slots.append(np.zeros((len(frames), V, C)))
                if person.track is not None:
                    of_track[person.track] = chosen[i]
            slots[chosen[i]][t] = person.joints
            last[chosen[i]] = t, person.joints
    return np.stack(slots, 1) if slots else np.zeros((len(frames), 0, V, C))


def _nearest(
    people: Sequence[Person], wanted: Sequence[int], free: dict[int, np.ndarray], scored: bool
) -> dict[int, int]:
    pairs = []
    for i in wanted:
        here = people[i].joints
        size = float(np.ptp(here[found(here, scored), 1])) if found(here, scored).any() else 0.0
        for m, joints in free.items():
            both = found(here, scored) & found(joints, scored)
            if both.any():
                place = slice(None, -1) if scored else slice(None)
                away = float(np.linalg.norm(here[both, place] - joints[both, place], axis=1).mean())
                if away <= FAR * size:
                    pairs.append((away, i, m))
    chosen: dict[int, int] = {}
    for _, i, m in sorted(pairs):
        if i not in chosen and m not in chosen.values():
            chosen[i] = m
    return chosen


def found(joints: np.ndarray, scored: bool) -> np.ndarray:
    """(...,) bool of joints (..., C): with a score above 0, or anywhere but at the origin."""
    return joints[..., -1] > 0 if scored else joints.any(-1)


def strongest(points: np.ndarray, there: np.ndarray, count: int) -> np.ndarray:
    """The slots of the ``count`` persons with the largest sums of ``there`` (T, M, V), in the order that they have."""
    return np.sort(np.argsort(-there.sum((0, 2)), kind="stable")[:count]) if points.shape[1] else np.empty(0, int)
