"""Key points in pixels, or in whatever unit, become bodies in metres as a Kinect of NTU RGB+D sees them.

The steps, in order: joints that were not found are filled in; the axes are turned to the sensor's; the target's joints
are made (``maps``); the recording is scaled by one number so that the torso, from the middle of the hips to that of the
shoulders, is as long as an adult's. Centring is done clip by clip (``centred``), as the published archives are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from skeleton_lab.errors import ArchiveError, UsageError
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.inference.keypoints.reading import Keypoints
from skeleton_lab.skeletons import joint_maps, missing
from skeleton_lab.skeletons.schemes import COCO17, SCHEMES, Scheme

TORSO = 0.5  # metres
PLAUSIBLE = (0.25, 0.8)  # torso of 3-D points that are in metres already
GAP = 15  # frames, half a second: a person who is missing for no longer was overlooked
LEANING = 0.5  # cosine of 60 degrees from upright: beyond it a torso lies flat, or hangs upside down
QUANTILE = 0.75  # of the torso's length in an image: bending only makes it shorter
UP = ("y", "-y", "z", "-z", "x", "-x")
BEGIN_WITH_COCO = (23, 26, 133, 136)  # joints: COCO with feet, Halpe, COCO-WholeBody, Halpe's full body
ORIGIN = 1  # the middle of the spine, of both targets


def placed(
    keypoints: Keypoints, source: Scheme, target: Scheme, up: str | None = None, notices: Notices | None = None
) -> np.ndarray:
    """The persons of a recording as (T, M, V, 3) float32 of the target, zeros where a person is not there.

    Somebody who is missing for at most ``GAP`` frames is filled in, as single joints are; longer gaps stay empty.

    Args:
        up: which axis is up, of ``UP``; by default that of the source, and ``-y`` of an image.
        notices: takes who is left out, gaps that stay, and bodies that do not stand upright.

    Raises:
        ArchiveError: nobody in it has shoulders and hips, or they have no length. UsageError: an image has no such
            axis.
    """
    notices, name = Notices() if notices is None else notices, keypoints.name
    flat = keypoints.points.shape[-1] == 2
    there = keypoints.found.any(2)
    filled = [fill(keypoints.points[:, m], keypoints.found[:, m], source) for m in range(there.shape[1])]
    known = [m for m, points in enumerate(filled) if points is not None]
    if not known:
        raise ArchiveError(f"{name}: nobody has shoulders and hips in any frame; the body cannot be placed and scaled")
    if len(known) < len(filled):
        notices.add("left out", name, f"{name}: somebody has shoulders or hips in no frame, and is left out")
    points = np.stack([filled[m] for m in known], 1)
    there = np.stack([bridged(there[:, m], f"{name}: person {k + 1}", notices) for k, m in enumerate(known)], 1)
    if flat and up in ("z", "-z"):
        raise UsageError(f"--up {up}: the key points of {name} have no z")
    told = up or ("-y" if flat or not source.y_up else "y")
    look_upright(points, there, source, told, name, notices)
    points = joint_maps.apply(turned(points, told), source.name, target.name)
    if flat or not source.y_up:
        points *= factor(points, there, target, flat, name)
    return (points * there[..., None, None]).astype(np.float32)


def bridged(there: np.ndarray, who: str, notices: Notices) -> np.ndarray:
    """(T,) bool with the gaps of at most ``GAP`` frames closed; longer ones are said."""
    there, at = there.copy(), np.flatnonzero(there)
    gaps = [(a + 1, b) for a, b in pairwise(at.tolist()) if b - a > 1]
    long = [(first, end) for first, end in gaps if end - first > GAP]
    for first, end in gaps:
        there[first:end] |= end - first <= GAP
    if long:
        (first, end), more = long[0], f" and {len(long) - 1} times more" if len(long) > 1 else ""
        line = f"{who} is missing in frames {first} to {end - 1}{more}: gaps of more than {GAP} frames stay empty"
        notices.add("gap", who, line)
    return there


def look_upright(points: np.ndarray, there: np.ndarray, source: Scheme, up: str, name: str, notices: Notices) -> None:
    """Say where torsos (T, M, V, 2 or 3) lie flat or hang upside down over most frames, and which axis may be up."""
    low, high = (
        points[:, :, [source.at(side) for side in _pair(source, part)]].mean(2) for part in ("hip", "shoulder")
    )
    torso = (high - low)[there]
    lengths = np.linalg.norm(torso, axis=-1)
    torso = torso[lengths > 0] / lengths[lengths > 0, None]
    if not len(torso):
        return
    upright = {
        axis: float((_along(torso, axis) >= LEANING).mean()) for axis in UP if axis[-1] in "xyz"[: torso.shape[1]]
    }
    if upright[up] >= 0.5:
        return
    best = max(upright, key=lambda axis: upright[axis])
    hint = (
        f"--up {best} if that axis is" if upright[best] > 0.5 else f"--up names the axis that is ({', '.join(upright)})"
    )
    line = f"{name}: with {up} up, torsos lie flat or upside down in {1 - upright[up]:.0%} of the frames"
    notices.add("up", name, f"{line}; {hint}")


def _pair(source: Scheme, part: str) -> tuple[str, str]:
    return f"left_{part}", f"right_{part}"


def _along(vectors: np.ndarray, axis: str) -> np.ndarray:
    return vectors[..., "xyz".index(axis[-1])] * (-1 if axis.startswith("-") else 1)


def fill(points: np.ndarray, found: np.ndarray, scheme: Scheme) -> np.ndarray | None:
    """One person (T, V, C) without gaps: joints between the frames where they were found, at the nearest outside.

    A joint that is found in no frame takes the place of its parent, or of a joint that hangs on it. None for a person
    without shoulders or hips.
    """
    seen = found.any(0)
    if not all(_has(seen, scheme, part) for part in ("shoulder", "hip")):
        return None
    return missing.filled(points, found, scheme.edges)


def _has(seen: np.ndarray, scheme: Scheme, part: str) -> bool:
    return any(seen[scheme.at(f"{side}_{part}")] for side in ("left", "right"))


def turned(points: np.ndarray, up: str) -> np.ndarray:
    """(..., 2 or 3) to (..., 3): y up and z away from the sensor, by a rotation, so that left stays left.

    A Kinect's x axis points to its own left: what points right and down in an image is turned by half a circle. An
    image whose y points up is mirrored for it; one with x up was taken by a camera on its side, and is turned.
    """
    x, y, *z = np.moveaxis(points, -1, 0)
    if not z:
        flat = {"-y": (-x, -y), "y": (-x, y), "x": (-y, x), "-x": (y, -x)}
        return np.stack([*flat[up], np.zeros_like(x)], -1)
    z = z[0]
    rotations = {
        "y": (x, y, z), "-y": (-x, -y, z), "z": (x, z, -y), "-z": (x, -z, y), "x": (-y, x, z), "-x": (y, -x, z),
    }  # fmt: skip
    return np.stack(rotations[up], -1)


def factor(points: np.ndarray, there: np.ndarray, target: Scheme, flat: bool, name: str) -> float:
    """What the recording (T, M, V, 3) is multiplied with: 1 for 3-D points whose torso is one in metres.

    Raises:
        ArchiveError: the torso has no length.
    """
    low, high = target.at("spine_base"), target.at("spine_shoulder")
    torso = np.linalg.norm(points[:, :, high] - points[:, :, low], axis=-1)
    lengths = [np.quantile(torso[there[:, m], m], QUANTILE) for m in range(there.shape[1]) if there[:, m].any()]
    length = float(np.median(lengths))
    if not length > 1e-9:
        raise ArchiveError(f"{name}: shoulders and hips are at the same place; the body cannot be scaled")
    return 1.0 if not flat and PLAUSIBLE[0] <= length <= PLAUSIBLE[1] else TORSO / length


def centred(clip: np.ndarray) -> np.ndarray:
    """(T, M, V, 3) moved so that the middle of the spine of the first person is the origin in its first frame.

    That is the centring of the published NTU archives; who is not there stays zero.
    """
    there = clip.any((2, 3))
    persons = np.flatnonzero(there.any(0))
    if not len(persons):
        return clip
    first = int(there[:, persons[0]].argmax())
    return np.where(there[..., None, None], clip - clip[first, persons[0], ORIGIN], 0).astype(np.float32)


def spelled(argv: Sequence[str]) -> list[str]:
    """Arguments with ``--up -y`` as ``--up=-y``: the parser would take ``-y`` for a flag."""
    made: list[str] = []
    for word in argv:
        if word in UP and made and made[-1] == "--up":
            made[-1] = f"--up={word}"
        else:
            made.append(word)
    return made


def scheme_of(name: str | None, joints: int, where: str) -> Scheme:
    """The scheme that ``--keypoints`` names, checked against the number of joints; without it, the one that fits.

    Of the orders that go on behind COCO's 17 joints (Halpe, COCO-WholeBody), these 17.

    Raises:
        UsageError: another number of joints, or several schemes that fit.
    """
    fitting = [s for s in SCHEMES.values() if joints == s.V]
    if joints in BEGIN_WITH_COCO and name in (None, COCO17.name):
        return COCO17
    if name is not None:
        scheme = SCHEMES[name]
        if joints != scheme.V:
            hint = f"; {joints} joints are {' or '.join(s.name for s in fitting)}" if fitting else ""
            raise UsageError(f"{where}: {joints} joints per person, --keypoints {name} has {scheme.V}{hint}")
        return scheme
    if len(fitting) != 1:
        if fitting:
            orders = " or ".join(s.name for s in fitting)
            raise UsageError(f"{where}: {joints} joints per person can be {orders}; name it with --keypoints")
        listing = ", ".join(f"{s.name} ({s.V})" for s in SCHEMES.values())
        raise UsageError(f"{where}: {joints} joints per person are in no known order; known are {listing}")
    return fitting[0]
