"""Arrays of key points: which axis holds the frames and which the persons, and what the last column is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives import npy_format
from skeleton_lab.data.archives.readers import npz
from skeleton_lab.errors import ArchiveError, listing
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.skeletons.schemes import Scheme

MOST = 5  # persons that are meant without doubt; an axis that is longer holds frames, if another can hold the persons
CROWD = 30  # persons of an array at most
PEOPLE_FIRST = "keypoint"  # PYSKL and MMAction2: (M, T, V, C)
KEYS = ("keypoints", PEOPLE_FIRST, "data", "pose", "positions", "positions_2d", "arr_0")  # of an NPZ, in this order
SCORES = ("keypoint_score", "keypoint_scores", "keypoints_score", "keypoints_scores", "scores", "score", "confidence")
FORMS = (
    "(T, V, C), (T, M, V, C) or (N, T, M, V, C) of frames, joints, persons, clips; "
    "C is x, y; x, y, score; x, y, z; or x, y, z, score"
)
READ = (
    "arrays or lists (T, V, C), (T, M, V, C) in .npy, .npz or .json; JSON of OpenPose (also a folder of frames), "
    "AlphaPose, COCO (results, data sets), MMPose, Ultralytics to_json, MediaPipe, Kinetics-skeleton; annotations of "
    "PYSKL (.pkl); raw .skeleton files; DeepLabCut (.csv), SLEAP (.slp, .h5), movement (.nc) and .pose"
)
DEPTH = (0.05, 50)  # a third column with more negative values than this share, or a larger median, is no score
WIDE = 20  # x and y that spread so far are pixels, and a third value that stays in 0..1 beside them is a score


def member(file: npz.Npz) -> tuple[npy_format.StoredArray, npy_format.StoredArray | None, bool]:
    """The array of key points, that of their scores or None, and whether persons come first.

    Raises:
        ArchiveError: nothing says which array it is.
    """
    keys = list(file.keys())
    key = next((key for key in KEYS if key in keys), keys[0] if len(keys) == 1 else None)
    if key is None:
        raise ArchiveError(f"{file.path}: which array holds the key points? Call it keypoints; it has {listing(keys)}")
    array = file.array(key)
    scores = (file.array(name) for name in SCORES if name in keys and name != key)
    return array, next((each for each in scores if fits(each.shape, array.shape)), None), key == PEOPLE_FIRST


def fits(scores: tuple[int, ...], points: tuple[int, ...]) -> bool:
    """Whether there is one score for each of the points, which have none of their own."""
    return scores in (points[:-1], (*points[:-1], 1)) and points[-1] in (2, 3)


def of_lists(path: Path, content: Any) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """The same of a JSON file; ``null`` becomes NaN, also where it stands for a joint, a person or a frame.

    Raises:
        ArchiveError: no lists of numbers.
    """
    if not isinstance(content, dict):
        return numbers(path, content), None, False
    key = next((key for key in KEYS if isinstance(content.get(key), list)), None)
    if key is None:
        raise ArchiveError(f"{path}: no key points in it; accepted are {READ}")
    array = numbers(path, content[key])
    scores = (numbers(path, content[name]) for name in SCORES if isinstance(content.get(name), list))
    return array, next((each for each in scores if array.ndim and fits(each.shape, array.shape)), None), (
        key == PEOPLE_FIRST
    )  # fmt: skip


def numbers(path: Path, content: Any) -> np.ndarray:
    """Nested lists as float64. Raises ``ArchiveError`` where they are none."""
    try:
        try:
            return np.asarray(content, dtype=np.float64)
        except ValueError:
            shape = _shape(content, 6)
            made = np.full(shape, np.nan)
            _fill(made, content)
            return made
    except (TypeError, ValueError, OverflowError, MemoryError):
        raise ArchiveError(
            f"{path}: neither lists of numbers {FORMS}, nor any other form; accepted are {READ}"
        ) from None


def _shape(content: Any, depth: int) -> tuple[int, ...]:
    """The shape of nested lists, told by the first entry of each that is not ``null``."""
    if not isinstance(content, list) or not depth:
        return ()
    inner = next((each for each in content if each is not None), None)
    return (len(content), *_shape(inner, depth - 1))


def _fill(made: np.ndarray, content: Any) -> None:
    if content is None:
        return
    inner = np.asarray(content, np.float64) if made.ndim == 1 else content
    if len(inner) != len(made) or (made.ndim == 1 and inner.ndim != 1):
        raise ValueError
    if made.ndim == 1:
        made[:] = inner
        return
    for row, each in zip(made, content):
        _fill(row, each)


def people_first(path: Path, shape: tuple[int, ...], told: bool, notices: Notices) -> bool:
    """Whether the persons' axis of an array with 3, 4 or 5 axes stands before that of the frames.

    Where the array's key does not tell, it is the one that can be: ``(T, M, V, C)`` is what the lab documents,
    ``(M, T, V, C)`` what PYSKL and MMAction2 write.

    Raises:
        ArchiveError: neither or both can be, and the wrong choice would be nonsense.
    """
    if len(shape) == 3:
        return False
    if shape[1:3] == (1, 1) and len(shape) == 5:
        return False
    a, b = shape[-4:-2]
    first = told or _first_are_people(path, shape, a, b)
    if first and not told:
        notices.add("people first", str(path), f"{path}: {shape} is read with people first: {a} people, {b} frames, as "
                    "PYSKL and MMAction2 have it")  # fmt: skip
    if (a if first else b) > CROWD:
        raise ArchiveError(f"{path}: {shape} would be {a if first else b} people; accepted are {FORMS}")
    return first


def arranged(array: np.ndarray, first: bool) -> np.ndarray:
    """(N, T, M, V, C) of an array with 3, 4 or 5 axes; ``first``: the persons' axis stands before the frames'.

    (T, 1, 1, V, C), as MoveNet's results are stacked, are frames, not clips of one.
    """
    if array.ndim == 3:
        return array[None, :, None]
    if array.ndim == 5 and array.shape[1:3] == (1, 1):
        return array[:, 0, 0][None, :, None]
    clips = array if array.ndim == 5 else array[None]
    return clips.swapaxes(1, 2) if first else clips


def _first_are_people(path: Path, shape: tuple[int, ...], a: int, b: int) -> bool:
    """Whether the first of two axes, of lengths ``a`` and ``b``, holds the persons."""
    if b <= MOST:
        return False
    said = f"{path}: {shape} can be {a} frames of {b} people, or {a} people in {b} frames"
    way_out = "frames come first; or call the array keypoint in an NPZ, then people do; clips of one person are "
    way_out += "(N, T, 1, V, C)"
    if a == 3 and len(shape) == 4 and shape[-1] == 2:
        raise ArchiveError(f"{said}, or x, y, z of 2 people in {b} frames: {way_out}")
    if a <= MOST:
        return True
    if min(a, b) > CROWD or max(a, b) < 2 * min(a, b):
        raise ArchiveError(f"{said}: {way_out}")
    return a < b


def split(
    clips: np.ndarray, scores: np.ndarray | None, scheme: Scheme, path: Path, notices: Notices
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Points (T, M, V, 2 or 3) and scores (T, M, V) or None of each clip.

    Three columns are x, y, score or x, y, z, as the scheme has them, unless the values say that they cannot be.
    """
    C = clips.shape[-1]
    scored = scores is None and (C == 4 or (C == 3 and third_is_score(clips, scheme, path, notices)))
    for k, clip in enumerate(clips):
        if scored:
            yield clip[..., :-1], clip[..., -1]
        else:
            yield clip, None if scores is None else scores[k]


def third_is_score(points: np.ndarray, scheme: Scheme, path: Path, notices: Notices) -> bool:
    """Whether the third of three columns (..., 3) is a score."""
    known = points[np.isfinite(points).all(-1) & points.any(-1)]
    if not len(known):
        return scheme.scored
    third = known[:, 2]
    if scheme.scored and ((third < 0).mean() > DEPTH[0] or np.median(third) > DEPTH[1]):
        notices.add("third", str(path), f"{path}: the third value of a joint goes from {third.min():.3g} to "
                    f"{third.max():.3g}: read as z, not as a score")  # fmt: skip
        return False
    if not scheme.scored and np.ptp(known[:, :2]) > WIDE and third.min() >= 0 and 0 < third.max() <= 1:
        notices.add("third", str(path), f"{path}: the third value of a joint stays in 0..1 beside pixels: read as a "
                    "score, not as z")  # fmt: skip
        return True
    return scheme.scored
