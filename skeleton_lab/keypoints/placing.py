"""Key points in pixels, or in whatever unit, become bodies in metres as a Kinect of NTU RGB+D sees them.

The steps, in order: joints that were not found are filled in; the axes are turned to the sensor's; the target's joints
are made (``maps``); the recording is scaled by one number so that the torso, from the middle of the hips to that of the
shoulders, is as long as an adult's. Centring is done clip by clip (``centred``), as the published archives are.
"""

from __future__ import annotations

import numpy as np

from skeleton_lab.errors import UsageError
from skeleton_lab.keypoints import maps
from skeleton_lab.keypoints.reading import Keypoints
from skeleton_lab.keypoints.schemes import SCHEMES, Scheme

TORSO = 0.5  # metres
PLAUSIBLE = (0.25, 0.8)  # torso of 3-D points that are in metres already
QUANTILE = 0.75  # of the torso's length in an image: bending only makes it shorter
UP = ("y", "-y", "z")
ORIGIN = 1  # the middle of the spine, of both targets


def placed(keypoints: Keypoints, source: Scheme, target: Scheme, up: str | None = None) -> np.ndarray:
    """The persons of a recording as (T, M, V, 3) float32 of the target, zeros where a person is not there.

    Args:
        up: which axis of 3-D points is up, ``y``, ``-y`` or ``z``; by default that of the source. The image's y axis
            is always taken to point downwards.

    Raises:
        UsageError: nobody in it has shoulders and hips.
    """
    flat = keypoints.points.shape[-1] == 2
    there = keypoints.found.any(2)
    filled = [fill(keypoints.points[:, m], keypoints.found[:, m], source) for m in range(there.shape[1])]
    known = [m for m, points in enumerate(filled) if points is not None]
    if not known:
        raise UsageError(
            f"{keypoints.name}: nobody has shoulders and hips in any frame; the body cannot be placed and scaled"
        )
    points = np.stack([filled[m] for m in known], 1)
    there = there[:, known]
    points = turned(points, "-y" if flat else up or ("y" if source.y_up else "-y"))
    points = maps.apply(points, source.name, target.name)
    if flat or not source.y_up:
        points *= factor(points, there, target, flat, keypoints.name)
    return (points * there[..., None, None]).astype(np.float32)


def fill(points: np.ndarray, found: np.ndarray, scheme: Scheme) -> np.ndarray | None:
    """One person (T, V, C) without gaps: joints between the frames where they were found, at the nearest outside.

    A joint that is found in no frame takes the place of its parent, or of a joint that hangs on it. None for a person
    without shoulders or hips.
    """
    points = np.array(points, np.float64)
    seen = found.any(0)
    if not all(_has(seen, scheme, part) for part in ("shoulder", "hip")):
        return None
    frames = np.arange(len(points))
    for joint in np.flatnonzero(seen):
        at = np.flatnonzero(found[:, joint])
        for c in range(points.shape[2]):
            points[:, joint, c] = np.interp(frames, at, points[at, joint, c])
    seen = seen.copy()
    while not seen.all():
        before = seen.sum()
        for joint, parent in [*scheme.edges, *((parent, joint) for joint, parent in scheme.edges)]:
            if seen[parent] and not seen[joint]:
                points[:, joint] = points[:, parent]
                seen[joint] = True
        if seen.sum() == before:
            return None
    return points


def _has(seen: np.ndarray, scheme: Scheme, part: str) -> bool:
    return any(seen[scheme.at(f"{side}_{part}")] for side in ("left", "right"))


def turned(points: np.ndarray, up: str) -> np.ndarray:
    """(..., 2 or 3) to (..., 3): y up and z away from the sensor, by a rotation, so that left stays left.

    A Kinect's x axis points to its own left: what points right and down in an image is turned by half a circle.
    """
    if points.shape[-1] == 2:
        points = np.concatenate([points, np.zeros_like(points[..., :1])], -1)
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack({"y": (x, y, z), "-y": (-x, -y, z), "z": (x, z, -y)}[up], -1)


def factor(points: np.ndarray, there: np.ndarray, target: Scheme, flat: bool, name: str) -> float:
    """What the recording (T, M, V, 3) is multiplied with: 1 for 3-D points whose torso is one in metres.

    Raises:
        UsageError: the torso has no length.
    """
    low, high = target.at("spine_base"), target.at("spine_shoulder")
    torso = np.linalg.norm(points[:, :, high] - points[:, :, low], axis=-1)
    lengths = [np.quantile(torso[there[:, m], m], QUANTILE) for m in range(there.shape[1]) if there[:, m].any()]
    length = float(np.median(lengths))
    if not length > 1e-9:
        raise UsageError(f"{name}: shoulders and hips are at the same place; the body cannot be scaled")
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


def scheme_of(name: str | None, joints: int, where: str) -> Scheme:
    """The scheme that ``--keypoints`` names, checked against the number of joints; without it, the one that fits.

    Raises:
        UsageError: another number of joints, or several schemes that fit.
    """
    fitting = [s for s in SCHEMES.values() if joints == s.V]
    listing = ", ".join(f"{s.name} ({s.V})" for s in SCHEMES.values())
    if name is not None:
        scheme = SCHEMES[name]
        if joints != scheme.V:
            hint = f"; {joints} joints are {' or '.join(s.name for s in fitting)}" if fitting else ""
            raise UsageError(f"{where}: {joints} joints per person, --keypoints {name} has {scheme.V}{hint}")
        return scheme
    if len(fitting) != 1:
        which = f"can be {' or '.join(s.name for s in fitting)}" if fitting else "are in no known order"
        raise UsageError(f"{where}: {joints} joints per person {which}; name it with --keypoints: {listing}")
    return fitting[0]
