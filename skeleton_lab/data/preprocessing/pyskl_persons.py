"""The choice of persons of PYSKL's NTU annotations: ``denoise`` in most, with some rules of its own."""

from __future__ import annotations

import numpy as np

from skeleton_lab.data.preprocessing.actors import SHORTEST, WORST, Body, Scene, motion, upright
from skeleton_lab.errors import ArchiveError

EMPTY = 1e-3  # metres: a frame whose absolute coordinates sum to less shows nobody


def key_points(scene: Scene) -> np.ndarray:
    """(M, T, 25, 3) float16, M 1 or 2, not translated.

    Raises:
        ArchiveError: all bodies are flat, or nothing is left.
    """
    if len(scene.bodies) == 1:
        return scene.bodies[0].joints[None].astype(np.float16)
    for body in scene.bodies:
        body.motion = motion(body.joints)
    bodies = sorted(scene.bodies, key=lambda body: -body.motion)
    bodies = [body for body in bodies if len(body.joints) > SHORTEST] or bodies
    if len(bodies) > 1:
        bodies = _standing(bodies)
    if len(bodies) == 1:
        return bodies[0].joints[None].astype(np.float16)
    return _trimmed(_two_slots(bodies)).astype(np.float16)


def _standing(bodies: list[Body]) -> list[Body]:
    kept = []
    for body in bodies:
        good = upright(body.joints)
        ratio = (len(good) - np.count_nonzero(good)) / len(good)
        if ratio >= WORST:
            continue
        if ratio > 0:
            body.motion = min(body.motion, motion(body.joints[good]))
        kept.append(body)
    if not kept:
        raise ArchiveError("none of its bodies stands upright")
    return sorted(kept, key=lambda body: -body.motion)


def _two_slots(bodies: list[Body]) -> np.ndarray:
    x = np.zeros((2, max(body.end + 1 for body in bodies), 25, 3), np.float32)
    hulls = [(bodies[0].start, bodies[0].end + 1), (0, 0)]  # half-open
    x[0, bodies[0].start : bodies[0].end + 1] = bodies[0].joints
    for body in bodies[1:]:
        start, stop = body.start, body.end + 1
        for slot, hull in enumerate(hulls):
            if max(hull[0], start) >= min(hull[1], stop):
                x[slot, start:stop] = body.joints
                hulls[slot] = (min(start, hull[0]), max(stop, hull[1]))
                break
    return x


def _trimmed(x: np.ndarray) -> np.ndarray:
    there = np.flatnonzero(np.abs(x).sum(axis=(0, 2, 3)) >= EMPTY)
    if not len(there):
        raise ArchiveError("all its joints are at zero")
    x = x[:, there[0] : there[-1] + 1]
    first = np.abs(x[:, 0, 1]).sum(axis=-1)
    return x[::-1] if first[0] < EMPTY <= first[1] else x
