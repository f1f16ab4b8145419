"""The annotations of a PYSKL pickle and their key points: in them, or in files of their own, skeleton by skeleton.

Kinetics-400 keeps its key points in "kpfiles", pickles of {clip: {"keypoint": (S, V, 3)}}, which the annotations name
as ``raw_file``; ``frame_inds`` (S,) tells the frame of each of the S skeletons.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.data.archives.readers import safe_pickle
from skeleton_lab.errors import ArchiveError, ArchiveNotFoundError

FOLDER = "kpfiles"  # where such files lie beside the annotations, whatever path was written into these
LARGEST = 1_000_000  # height or width of a picture in pixels
MOST_PEOPLE = 10  # of a frame, as published


def persons_by_frames(points: np.ndarray, frames: np.ndarray, total: int, most: int) -> np.ndarray:
    """Points (S, V, C) of ascending frames (S,) in 0..total-1 as (P, total, V, C), P at most ``most``.

    In a frame the order is that of the points; where some frame has more than ``most``, that of the sums of the last
    channel, the largest first.
    """
    first = np.searchsorted(frames, np.arange(total + 1))
    place = np.arange(len(frames)) - first[frames]
    people = int(place.max(initial=0)) + 1
    if people > most:
        best = np.lexsort((-points[..., -1].sum(-1), frames))  # frame by frame as before
        points, kept = points[best][place < most], place < most
        place, frames, people = place[kept], frames[kept], most
    x = np.zeros((people, total, *points.shape[1:]), points.dtype)
    x[place, frames] = points
    return x


def decompressed(where: str, points: Any, annotation: dict[str, Any]) -> np.ndarray:
    """(P, T, V, 3) float32 of skeletons (S, V, 3) with ``frame_inds`` (S,): the frames that have one, in their order.

    Raises:
        ArchiveError: shapes that do not go together, or frames that go back.
    """
    frames = safe_pickle.numbers(annotation["frame_inds"])
    if not isinstance(points, np.ndarray) or points.ndim != 3 or points.dtype.kind != "f" or points.shape[2] != 3:
        shown = f"{points.dtype} {points.shape}" if isinstance(points, np.ndarray) else type(points).__name__
        raise ArchiveError(f"{where}: key points are {shown}; expected with frame_inds is float (skeletons, V, 3)")
    if frames.shape != (len(points),) or frames.dtype.kind not in "iu" or (np.diff(frames.astype(np.int64)) < 0).any():
        raise ArchiveError(f"{where}: {len(points)} skeletons, and frame_inds are not so many ascending whole numbers")
    kept, place = np.unique(frames, return_inverse=True)
    return persons_by_frames(points.astype(np.float32), place.reshape(-1), len(kept), MOST_PEOPLE)


class PointFiles:
    """The key points that annotations keep elsewhere: one file at a time is in memory."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._open: tuple[Path | None, dict[str, Any]] = (None, {})

    def of(self, where: str, name: str, raw_file: str) -> Any:
        """What the file that ``raw_file`` speaks of has for the clip.

        Raises:
            ArchiveNotFoundError: there is no such file. ArchiveError: it is damaged, or lacks the clip.
        """
        path = self.path(raw_file)
        if path != self._open[0]:
            content = safe_pickle.load(path)
            if not isinstance(content, dict):
                raise ArchiveError(f"{path} is a {type(content).__name__}, not a dict of clips with key points")
            self._open = (path, content)
        entry = self._open[1].get(name)
        points = entry.get("keypoint") if isinstance(entry, dict) else entry
        if points is None:
            raise ArchiveError(f"{where}: {path} has no key points of this clip")
        return points

    def path(self, raw_file: str) -> Path:
        """Where the file lies here: beside the annotations or in ``kpfiles`` there, else where it is said to be."""
        beside, told = self._archive.parent, Path(raw_file.replace("\\", "/"))
        places = [beside / FOLDER / told.name, beside / told.name]
        places += [told] if told.is_absolute() else [beside / told]
        for place in places:
            with parsing(self._archive):
                if place.is_file():
                    return place
        raise ArchiveNotFoundError(
            f"{self._archive} keeps its key points in other files, and there is no {places[0]} (nor {places[-1]}): put "
            f"the folder {FOLDER} beside it"
        )


def content_of(path: Path) -> tuple[dict[str, Any], dict[str, list[str]], list[tuple[int, str, dict[str, Any]]]]:
    """The pickled dict; names of the clips of each split; number, name and content of the annotations.

    Those whose key points lie in one file come one after the other.

    Raises:
        ArchiveError: not such a pickle.
    """
    content = safe_pickle.load(path)
    if isinstance(content, list) and all(isinstance(each, dict) for each in content):
        content = {"split": None, "annotations": content}
    if not isinstance(content, dict) or not {"split", "annotations"} <= set(content):
        raise ArchiveError(f"{path} is a pickle, but not of PYSKL: expected a dict with 'split' and 'annotations'")
    annotations = []
    with parsing(path):
        all_of_them = list(content["annotations"])
        named_by = "filename" if all_of_them and "filename" in all_of_them[0] else "frame_dir"
    for number, annotation in enumerate(all_of_them):
        with parsing(path, f"annotation {number}"):
            annotations.append((number, safe_pickle.text(annotation[named_by]), annotation))
    with parsing(path):
        annotations.sort(key=lambda each: "" if "keypoint" in each[2] else str(each[2].get("raw_file", "")))
    if content["split"] is None:
        names = [name for _, name, _ in annotations]
        return content, {"train": names, "test": names}, annotations
    with parsing(path):
        listed = {name: [*map(safe_pickle.text, names)] for name, names in content["split"].items()}
    return content, listed, annotations


def picture_of(where: str, annotation: dict[str, Any]) -> tuple[int, int]:
    """Height and width of a clip's picture, (0, 0) where the annotation does not tell.

    Raises:
        ArchiveError: a picture without pixels, or of more than there are.
    """
    told = annotation.get("img_shape", annotation.get("original_shape"))
    if told is None:
        return 0, 0
    height, width = (int(side) for side in told)
    if not (0 < height <= LARGEST and 0 < width <= LARGEST):
        raise ArchiveError(f"{where}: img_shape is {(height, width)}; a picture has 1 to {LARGEST} pixels each way")
    return height, width


def points_of(
    where: str, name: str, annotation: dict[str, Any], files: PointFiles
) -> tuple[np.ndarray, np.ndarray | None]:
    """Key points (M, T, V, C) and the scores of 2-D ones (M, T, V), as far as they are arrays of these shapes.

    Raises:
        ArchiveError, ArchiveNotFoundError: there are none, or not where the annotation says.
    """
    if "keypoint" not in annotation and "raw_file" not in annotation:
        raise ArchiveError(f"{where}: annotation without 'keypoint': damaged")
    x = annotation.get("keypoint")
    if x is None:
        x = files.of(where, name, safe_pickle.text(annotation["raw_file"]))
    if "frame_inds" in annotation:
        x = decompressed(where, x, annotation)
        return x[..., :2], x[..., 2]
    if not isinstance(x, np.ndarray):
        raise ArchiveError(f"{where}: keypoint is a {type(x).__name__}, not an array")
    if not x.size and (x.ndim < 2 or not all(x.shape[:2])):
        return np.zeros((0, 0, 0, 0)), None
    _check(where, x, annotation)
    if x.shape[3] == 3:
        return x, None
    if "keypoint_score" not in annotation:
        raise ArchiveError(f"{where}: 2-D key points without 'keypoint_score'")
    return x, safe_pickle.numbers(annotation["keypoint_score"]).astype(np.float32).reshape(x.shape[:3])


def _check(where: str, x: np.ndarray, annotation: dict[str, Any]) -> None:
    if x.ndim != 4 or x.dtype.kind != "f" or x.shape[3] not in (2, 3) or not all(x.shape):
        raise ArchiveError(
            f"{where}: keypoint of shape {x.shape}, type {x.dtype}; accepted is float (M, T, V, C=2 or 3)"
        )
    told = annotation.get("total_frames", x.shape[1])
    if not isinstance(told, (int, np.integer)) or x.shape[1] != told:
        shown = told if isinstance(told, (int, float)) else type(told).__name__
        raise ArchiveError(f"{where}: keypoint has {x.shape[1]} frames, total_frames is {shown}")
