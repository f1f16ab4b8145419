"""Files of tools that track animals, people and signs: DeepLabCut, SLEAP, movement and ``.pose``.

DeepLabCut's CSV needs nothing; the others are read by libraries of the extra ``formats``: SLEAP's by sleap-io,
``.pose`` by pose-format, movement's netCDF by xarray. DeepLabCut's ``.h5`` is a table of pandas whose reading runs what
is pickled in it; the CSV that DeepLabCut writes beside it says the same.
"""

from __future__ import annotations

import csv
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.data.archives.readers import h5
from skeleton_lab.errors import ArchiveError, UsageError, listing
from skeleton_lab.inference.keypoints.frames import Frames, in_order, numbers_of
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.inference.keypoints.tracking import Person

if TYPE_CHECKING:
    from skeleton_lab.inference.keypoints.reading import Choose

ENDINGS = (".csv", ".h5", ".slp", ".nc", ".pose")
HEADS = ("scorer", "individuals", "bodyparts", "coords")  # of DeepLabCut's first rows
EXTRA = "pip install 'skeleton-lab[formats]'"
# Parts of a .pose file that are a body, or hands (each then counts as a person), and how many coordinates are of use:
# the z of landmarks in an image is a guess, in no unit.
PARTS = (
    (("POSE_LANDMARKS",), 2),
    (("POSE_WORLD_LANDMARKS",), 3),
    (("pose_keypoints_2d",), 2),
    (("LEFT_HAND_LANDMARKS", "RIGHT_HAND_LANDMARKS"), 2),
    (("hand_left_keypoints_2d", "hand_right_keypoints_2d"), 2),
)


def knows(path: Path) -> bool:
    """Whether a file is of one of these tools, by its ending and, of ``.csv`` and ``.h5``, its beginning."""
    ending = path.suffix.lower()
    if ending == ".csv":
        with parsing(path), open(path, "rb") as file:
            return file.read(10).lstrip(b'\xef\xbb\xbf"').startswith(b"scorer")
    return ending in (".slp", ".nc", ".pose") or (ending == ".h5" and bool(_of_h5(path)))


def _of_h5(path: Path) -> str:
    """ "SLEAP", "DeepLabCut", or "" for something else, such as an archive."""
    try:
        h5py = importlib.import_module("h5py")
    except ImportError:
        return ""
    with parsing(path), open(path, "rb") as file:
        if file.read(len(h5.MAGIC)) != h5.MAGIC:
            return ""
    with parsing(path), h5py.File(path, "r", locking=False) as content:
        keys = set(content)
    return "SLEAP" if {"tracks", "node_names"} <= keys else "DeepLabCut" if "df_with_missing" in keys else ""


def read(path: Path, choose: Choose, notices: Notices) -> Frames:
    """The frames of such a file, with the names of its joints where it tells any.

    Args:
        choose: which part of a ``.pose`` file is meant: the first whose number of joints it takes.

    Raises:
        ArchiveError: damaged, or of another form. UsageError: a library is missing.
    """
    ending = path.suffix.lower()
    if ending == ".csv":
        with parsing(path):
            return _deeplabcut(path, notices)
    if ending == ".pose":
        return _pose(path, choose)
    if ending == ".nc":
        return _movement(path)
    if ending == ".h5" and _of_h5(path) == "DeepLabCut":
        raise ArchiveError(
            f"{path} is DeepLabCut's table for pandas, which can run code when it is read; give the .csv that "
            "DeepLabCut writes beside it (save_as_csv=True)"
        )
    return _sleap(path)


def _library(name: str, path: Path) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UsageError(f"{path}: reading it needs {name.partition('.')[0].replace('_', '-')}: {EXTRA}") from None


def _people(points: np.ndarray, scores: np.ndarray | None, tracked: bool = True) -> list[list[Person]]:
    """Persons of each frame of points (T, M, V, D) and scores (T, M, V); those without a finite point are absent."""
    there = np.isfinite(points).all(3)
    frames = []
    for t in range(len(points)):
        frames.append([
            Person(points[t, m], None if scores is None else scores[t, m], m if tracked else None)
            for m in np.flatnonzero(there[t].any(1)).tolist()
        ])  # fmt: skip
    return frames


def _deeplabcut(path: Path, notices: Notices) -> Frames:
    """Rows of scorer, maybe individuals, bodyparts and coords, then a row per frame behind its number or image."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        table = list(csv.reader(file))
    header = {row[0].strip().lower(): row for row in table[:4] if row}
    if not {"bodyparts", "coords"} <= set(header):
        raise ArchiveError(f"{path}: no table of DeepLabCut: its first rows are {listing(header)}")
    rows = table[len([row for row in table[:4] if row and row[0].strip().lower() in HEADS]) :]
    rows = [row for row in rows if row and any(cell.strip() for cell in row)]
    coords = [cell.strip().lower() for cell in header["coords"]]
    first = coords.index("x")
    who = header.get("individuals", [""] * len(coords))[first:]
    part = [cell.strip() for cell in header["bodyparts"]][first:]
    people, joints, coords = list(dict.fromkeys(who)), list(dict.fromkeys(part)), coords[first:]
    values = np.array([[float(cell) if cell.strip() else np.nan for cell in row[first:]] for row in rows])
    if values.ndim != 2 or values.shape[1] != len(coords):
        raise ArchiveError(f"{path}: rows of other lengths than the header, or none")
    axes = [axis for axis in ("x", "y", "z") if axis in coords]
    made = np.full((len(rows), len(people), len(joints), len(axes) + 1), np.nan)
    for column, axis in enumerate(coords):
        place = len(axes) if axis == "likelihood" else axes.index(axis)
        made[:, people.index(who[column]), joints.index(part[column]), place] = values[:, column]
    told = [row[first - 1].strip() for row in rows]
    numbers = numbers_of([int(name) if name.isdecimal() else name for name in told], path)
    scored = "likelihood" in coords
    frames = _people(made[..., : len(axes)], made[..., -1] if scored else None)
    return in_order(list(zip(numbers, frames)), path, notices)._replace(joints=tuple(joints))


def _sleap(path: Path) -> Frames:
    """A project or predictions (``.slp``), or an analysis file (``.h5``), of one video."""
    sleap = _library("sleap_io", path)
    with parsing(path):
        if path.suffix.lower() == ".slp":
            labels = sleap.load_slp(str(path), open_videos=False)
        else:
            labels = sleap.load_analysis_h5(str(path))
        if len(labels.videos) > 1:
            raise ArchiveError(f"{path} is of {len(labels.videos)} videos; export one file for each")
        tracked = len(labels.tracks) > 0
        found = np.asarray(labels.numpy(untracked=not tracked, return_confidence=True), np.float64)
        joints = tuple(str(name) for name in labels.skeleton.node_names)
    points = found[..., :2]
    scores = np.where(np.isfinite(points).all(-1) & np.isnan(found[..., 2]), 1, found[..., 2])  # labelled by hand
    return Frames(_people(points, scores, tracked), joints=joints)


def _movement(path: Path) -> Frames:
    """``position`` and ``confidence`` of time, space, keypoints and individuals, as netCDF."""
    xarray = _library("xarray", path)
    _library("h5netcdf", path)
    with parsing(path):
        with xarray.open_dataset(path, engine="h5netcdf") as file:
            content = file.load()
        if "position" not in content:
            raise ArchiveError(f"{path}: no poses of movement: it holds {listing(map(str, content.data_vars))}")
        names = {_singular(name): name for name in map(str, content["position"].dims)}
        order = [names[each] for each in ("time", "individual", "keypoint")]
        points = content["position"].transpose(*order, names["space"]).to_numpy().astype(np.float64)
        scores = None
        if "confidence" in content:
            scores = content["confidence"].transpose(*order).to_numpy().astype(np.float64)
        joints = tuple(str(name) for name in content[names["keypoint"]].to_numpy())
    if scores is not None and np.isnan(scores).all():
        scores = None
    return Frames(_people(points, scores), joints=joints)


def _singular(name: str) -> str:
    return name.removesuffix("s")


def _pose(path: Path, choose: Choose) -> Frames:
    """One part of a ``.pose`` file: the body, or the hands."""
    Pose = _library("pose_format", path).Pose
    with parsing(path):
        content = Pose.read(path.read_bytes())
        starts, at = {}, 0
        for component in content.header.components:
            starts[component.name] = (at, len(component.points))
            at += len(component.points)
        data = np.ma.filled(content.body.data.astype(np.float64), np.nan)  # (T, people, points, D)
        sure = np.asarray(content.body.confidence, np.float64)
        image = int(content.header.dimensions.height), int(content.header.dimensions.width)
    parts = [([starts[name] for name in names if name in starts], D) for names, D in PARTS]
    parts = [(spans, min(D, data.shape[3])) for spans, D in parts if spans]
    if not parts:
        raise ArchiveError(f"{path}: no body and no hands in it: it holds {listing(starts)}")
    spans, D = _chosen(path, parts, choose)
    points = np.concatenate([data[:, :, a : a + V, :D] for a, V in spans], 1)
    scores = np.concatenate([sure[:, :, a : a + V] for a, V in spans], 1)
    return Frames(_people(points, scores), image=image if D == 2 and min(image) > 0 else None)


def _chosen(path: Path, parts: Sequence[tuple[list, int]], choose: Choose) -> tuple[list, int]:
    errors = []
    for spans, D in parts:
        try:
            choose(spans[0][1], str(path))
        except UsageError as error:
            errors.append(error)
        else:
            return spans, D
    raise errors[0]
