"""Files of key points, told by their content: arrays, nested lists, OpenPose, AlphaPose, MMPose."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skeleton_lab.data import npy, npz
from skeleton_lab.data.npy import listing, parsing
from skeleton_lab.errors import ArchiveError, ArchiveNotFoundError
from skeleton_lab.keypoints import people
from skeleton_lab.keypoints.schemes import SCHEMES, Scheme
from skeleton_lab.keypoints.tracking import found, linked, strongest

PERSONS = 2  # of the networks
MOST = 5  # persons of an array of key points; an axis that is longer there holds frames
KEYS = ("keypoints", "keypoint", "data", "pose", "positions", "positions_2d", "arr_0")  # of an NPZ, in this order
FORMS = (
    "(T, V, C), (T, M, V, C) or (N, T, M, V, C) of frames, joints, persons, clips; "
    "C is x, y; x, y, score; x, y, z; or x, y, z, score"
)
FRAME = re.compile(r"(\d+)\D*$")
Choose = Callable[[int, str], Scheme]  # the scheme of so many joints; for a message: where


class Keypoints(NamedTuple):
    """One recording: points (T, M, V, 2 or 3) float64 and which of them were found, (T, M, V) bool."""

    name: str
    points: np.ndarray
    found: np.ndarray


def is_keypoints(path: Path) -> bool:
    """Whether a path holds key points, and not an archive of labelled clips: told by its content.

    Raises:
        ArchiveNotFoundError: it does not exist.
    """
    if not path.exists():
        raise ArchiveNotFoundError(f"--input {path} does not exist (looked for {path.absolute()})")
    with parsing(path):
        if path.is_dir():
            return any(p.name.endswith("_keypoints.json") for p in path.iterdir())
        with open(path, "rb") as file:
            start = file.read(8)
    if not start:
        raise ArchiveError(f"{path} is empty (0 bytes)")
    if start.startswith(npz.MAGIC):
        return not any(key.startswith(("x_train", "x_test")) for key in npz.Npz(path).keys())  # noqa: SIM118
    if start.startswith(npy.MAGIC):
        return not _holds_clips(npy.open_npy(path).shape)
    return path.name.endswith(".json") or start.lstrip()[:1] in (b"[", b"{")


def _holds_clips(shape: tuple[int, ...]) -> bool:
    """Whether an array is (N, C, T, V, M) of labelled clips, as MS-G3D and ST-GCN keep them."""
    if len(shape) != 5:
        return False
    _, C, T, V, M = shape  # of (N, T, M, V, C): frames, persons, joints, coordinates
    return C in (2, 3) and V in {scheme.V for scheme in SCHEMES.values()} and (M == 1 or T > MOST)


def read(path: Path, choose: Choose) -> tuple[list[Keypoints], Scheme]:
    """All recordings of a file or of a folder of OpenPose frames, and their joints' order.

    Args:
        choose: ``placing.scheme_of`` with the user's wish.

    Raises:
        ArchiveError: unknown, damaged, empty, or with NaN. UsageError: another number of joints than the scheme has.
    """
    if path.is_dir():
        return _of_people(path, people.openpose_folder(path), choose)
    with parsing(path), open(path, "rb") as file:
        start = file.read(8)
    if start.startswith(npz.MAGIC):
        return _of_array(path, _member(npz.Npz(path)).read(), choose)
    if start.startswith(npy.MAGIC):
        return _of_array(path, npy.open_npy(path).read(), choose)
    with parsing(path):
        content = json.loads(path.read_bytes())
    frames = people.frames_of(content, path)
    if frames is not None:
        return _of_people(path, frames, choose)
    if isinstance(content, dict):
        content = next((content[key] for key in KEYS if isinstance(content.get(key), list)), None)
    return _of_array(path, _numbers(path, content), choose)


def _member(file: npz.Npz) -> npy.StoredArray:
    keys = list(file.keys())
    key = next((key for key in KEYS if key in keys), keys[0] if len(keys) == 1 else None)
    if key is None:
        raise ArchiveError(f"{file.path}: which array holds the key points? Call it keypoints; it has {listing(keys)}")
    return file.array(key)


def _numbers(path: Path, content: Any) -> np.ndarray:
    try:
        return np.asarray(content, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ArchiveError(
            f"{path}: neither lists of numbers {FORMS}, nor frames of OpenPose, AlphaPose or MMPose"
        ) from None


def _of_array(path: Path, array: np.ndarray, choose: Choose) -> tuple[list[Keypoints], Scheme]:
    if array.dtype.kind not in "iuf" or array.ndim not in (3, 4, 5) or array.shape[-1] not in (2, 3, 4):
        raise ArchiveError(f"{path}: {array.dtype} of shape {array.shape}; accepted are {FORMS}")
    if not array.size:
        raise ArchiveError(f"{path}: shape {array.shape}: it holds no frames")
    scheme = choose(array.shape[-2], str(path))
    array = array.astype(np.float64)
    if array.ndim == 3:
        array = array[:, None]
    clips = array if array.ndim == 5 else array[None]
    return [_recording(path, k, len(clips), clip, scheme) for k, clip in enumerate(clips)], scheme


def _of_people(path: Path, frames: Sequence[Sequence[people.Person]], choose: Choose) -> tuple[list[Keypoints], Scheme]:
    shapes = {person.joints.shape for frame in frames for person in frame}
    if not shapes:
        raise ArchiveError(f"{path}: {len(frames)} frames, and nobody in any of them")
    if len(shapes) > 1:
        raise ArchiveError(f"{path}: persons of {' and '.join(str(shape[0]) for shape in sorted(shapes))} joints mixed")
    V, C = shapes.pop()
    scheme = choose(V, str(path))
    clip = linked(frames, V, C, scored=_scored(C, scheme))
    return [_recording(path, 0, 1, clip, scheme)], scheme


def _scored(C: int, scheme: Scheme) -> bool:
    return C == 4 or (C == 3 and scheme.scored)


def _recording(path: Path, k: int, count: int, clip: np.ndarray, scheme: Scheme) -> Keypoints:
    return checked(clip, scheme, path.name.partition(".")[0] + (f"_{k}" if count > 1 else ""), path)


def checked(clip: np.ndarray, scheme: Scheme, name: str, path: Path) -> Keypoints:
    """Clip (T, M, V, C) split into places and what was found; at most two persons are kept.

    Raises:
        ArchiveError: NaN, infinite, or nothing was found.
    """
    if not np.isfinite(clip).all():
        frame = int(np.flatnonzero(~np.isfinite(clip).all((1, 2, 3)))[0])
        raise ArchiveError(
            f"{path}: NaN or infinite key points in frame {frame} of {name}; write 0 for what was not found"
        )
    scored = _scored(clip.shape[-1], scheme)
    points = clip[..., :-1] if scored else clip
    there = found(clip, scored) & points.any(-1) if scored and points.shape[-1] == 2 else found(clip, scored)
    if points.shape[-1] == 3 and not scored:
        there = np.broadcast_to(points.any((2, 3))[..., None], there.shape)  # a joint at the origin may be the root
    if not there.any():
        raise ArchiveError(f"{path}: {name} holds no key point that was found: all are zero")
    kept = strongest(points, there * (clip[..., -1] if scored else 1), PERSONS)
    return Keypoints(name, points[:, kept], there[:, kept])
