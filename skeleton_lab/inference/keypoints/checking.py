"""Key points of a recording, of which it is known whether they were found; what cannot be, is refused."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from skeleton_lab.errors import ArchiveError
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.inference.keypoints.tracking import seen, strongest
from skeleton_lab.skeletons.schemes import SCORE, Scheme

PERSONS = 2  # of the networks
FARTHEST = 1e9  # of a coordinate, in whatever unit: what is beyond is no number of a pose
SHARES = 0.99  # share of an image's x and y within 0..1 that says they are not pixels


class Keypoints(NamedTuple):
    """One recording: points (T, M, V, 2 or 3) float64 and which of them were found, (T, M, V) bool.

    Attributes:
        scores: (T, M, V) of the points, where the file has some; first, step: the file's number of the first frame, and
            from frame to frame; image: height and width, where they are told.
    """

    name: str
    points: np.ndarray
    found: np.ndarray
    scores: np.ndarray | None = None
    first: int = 0
    step: int = 1
    image: tuple[int, int] | None = None


def say_kept(there: int, persons: int, name: str, path: Path, notices: Notices) -> None:
    if there > persons:
        count = "two" if persons == PERSONS else persons
        notices.add("kept", name, f"{path}: {there} people in {name}: the {count} who are seen most are kept")


def infinite_in(path: Path, name: str, frame: int) -> str:
    return f"{path}: infinite key points in frame {frame} of {name}, beyond 1e9; write NaN for what was not found"


def nothing_found(points: np.ndarray, scores: np.ndarray | None, name: str, path: Path, score: float) -> ArchiveError:
    if scores is not None and (known := scores[np.isfinite(scores) & (scores > 0)]).size and known.max() < score:
        return ArchiveError(
            f"{path}: no score of {name} reaches --score {score:g}, the highest is {known.max():.3g}; give a lower one"
        )
    return ArchiveError(f"{path}: {name} holds no key point that was found: all are zero or NaN")


def checked(
    points: np.ndarray,
    scores: np.ndarray | None,
    scheme: Scheme,
    name: str,
    path: Path,
    score: float = SCORE,
    notices: Notices | None = None,
    persons: int = PERSONS,
) -> Keypoints:
    """Points (T, M, V, 2 or 3) and scores (T, M, V) as key points of which it is known whether they were found.

    At most ``persons`` are kept, and the scheme's joints: longer orders that begin with them are cut off.

    Raises:
        ArchiveError: infinite, or nothing was found.
    """
    notices = Notices() if notices is None else notices
    points = np.asarray(points[..., : scheme.V, :], np.float64)
    scores = None if scores is None else np.asarray(scores[..., : scheme.V], np.float64)
    infinite = (np.abs(points) > FARTHEST).any((1, 2, 3)) | (False if scores is None else np.isinf(scores).any((1, 2)))
    if infinite.any():
        raise ArchiveError(infinite_in(path, name, int(infinite.argmax())))
    there = seen(points, scores, score)
    if not there.any():
        raise nothing_found(points, scores, name, path, score)
    present = there.any((0, 2))
    say_kept(int(present.sum()), persons, name, path, notices)
    kept = strongest(there * (1 if scores is None else np.nan_to_num(scores)), min(persons, int(present.sum())))
    points, there = points[:, kept], there[:, kept]
    _say_scores(None if scores is None else scores[:, kept], name, path, score, notices)
    _say_shares(points[there], scheme, name, path, notices)
    sure = None if scores is None else np.where(there, np.nan_to_num(scores[:, kept]), 0)
    return Keypoints(name, np.where(there[..., None], points, 0), there, sure)


def _say_scores(scores: np.ndarray | None, name: str, path: Path, score: float, notices: Notices) -> None:
    if scores is not None and (low := int(((scores > 0) & (scores < score)).sum())):
        line = f"{path}: {low} of {(scores > 0).sum()} joints of {name} have scores below {score:g}: taken as not found"
        notices.add("scores", name, f"{line} (--score)")


def _say_shares(known: np.ndarray, scheme: Scheme, name: str, path: Path, notices: Notices) -> None:
    """MediaPipe and Kinetics have shares of the image's width and height, in which a body is squeezed."""
    if known.shape[1] == 2 or scheme.name == "mediapipe33":
        inside = ((known[:, :2] >= 0) & (known[:, :2] <= 1)).all(1).mean()
        if inside >= SHARES:
            line = f"{path}: x and y of {name} lie in 0..1: if these are shares of the image's width and height, "
            notices.add("shares", name, line + "multiply by both first, or the body is squeezed")
