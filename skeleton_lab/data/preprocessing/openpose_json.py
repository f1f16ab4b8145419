"""Kinetics-skeleton clips: OpenPose JSON to the arrays of MS-G3D and ST-GCN."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.data.preprocessing.recordings import Source
from skeleton_lab.errors import ArchiveError, UsageError

FRAMES, JOINTS, SEEN, PERSONS = 300, 18, 5, 2
# Parents of MS-G3D's bones, which differ from the edges of its graph.
PARENTS = np.array([0, 0, 1, 2, 3, 1, 5, 6, 2, 8, 9, 5, 11, 12, 0, 0, 14, 15])


def clips(root: Path, part: str, say: Callable[[str], object] = print) -> tuple[list[Source], dict[str, int]]:
    """The clips of ``kinetics_{part}`` that have a skeleton, sorted by file name; the labels of the label file by id.

    Raises:
        ArchiveNotFoundError, ArchiveError: the folder or the label file is missing or damaged.
        UsageError: there are no clips.
    """
    folder, table = root / f"kinetics_{part}", root / f"kinetics_{part}_label.json"
    with parsing(table):
        entries = json.loads(table.read_bytes())
        labels = {str(name): int(entry["label_index"]) for name, entry in entries.items()}
        empty = {str(name) for name, entry in entries.items() if not entry["has_skeleton"]}
    with parsing(folder):
        paths = [path for path in folder.iterdir() if path.name.endswith(".json")]
        found = [(path, path.stat()) for path in sorted(paths, key=lambda path: path.name)]
    sources = [
        Source(path.name.split(".")[0], str(path), "", status.st_size, status.st_mtime_ns)
        for path, status in found
        if path.name.split(".")[0] not in empty
    ]
    if not sources:
        raise UsageError(f"no clips with a skeleton in {folder}: expected <id>.json as {table.name} lists them")
    if len(found) > len(sources):
        say(f"{len(found) - len(sources)} clips of {folder.name} left out: has_skeleton is false")
    return sources, labels


def clip(text: bytes, flip: bool) -> tuple[np.ndarray, int, int]:
    """(2, T, 18, 3) float32 of one clip: x and y centred, score; its label; the number of frames left out.

    T is at most 300. In every frame the two of the first five persons whose scores sum to most, best first.
    ``flip``: y points up, as in MS-G3D.

    Raises:
        ArchiveError: not a clip.
    """
    try:
        content = json.loads(text)
        x, beyond = _persons(content["data"])
        label = int(content["label_index"])
    except ArchiveError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ArchiveError(f"no Kinetics clip ({type(error).__name__}: {error})") from error
    x[..., :2] -= 0.5
    if flip:
        x[..., 1] = -x[..., 1]
    x[..., :2][x[..., 2] == 0] = 0
    order = np.argsort(-x[..., 2].sum(axis=-1), axis=1, kind="stable")[:, :PERSONS]
    best = np.take_along_axis(x, order[:, :, None, None], axis=1)
    return best.transpose(1, 0, 2, 3).astype(np.float32), label, beyond


def _persons(frames: list[dict[str, Any]]) -> tuple[np.ndarray, int]:
    """(T, 5, 18, 3) float64 as written, T up to the last frame; how many frames lie outside of 0..299."""
    x = np.zeros((FRAMES, SEEN, JOINTS, 3))
    last = beyond = 0
    for frame in frames:
        t = frame["frame_index"]
        if type(t) is not int:
            raise ArchiveError(f"frame_index is {t!r}, no whole number")
        if not 0 <= t < FRAMES:
            beyond += 1
            continue
        for m, person in enumerate((frame["skeleton"] or [])[:SEEN]):
            if person["pose"] in (None, []):
                continue  # hands or a face without a body: nobody in this slot
            x[t, m, :, :2] = np.array(person["pose"], np.float64).reshape(JOINTS, 2)
            x[t, m, :, 2] = np.array(person["score"], np.float64).reshape(JOINTS)
            last = max(last, t)
    with np.errstate(over="ignore"):
        if not np.isfinite(x.astype(np.float32)).all():
            raise ArchiveError("a coordinate or score that is not finite")
    return x[: last + 1], beyond
