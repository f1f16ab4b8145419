"""PYSKL / MMAction2 annotation pickles: a dict of ``split`` lists and ``annotations``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data import pickles
from skeleton_lab.data.labels import subjects_of
from skeleton_lab.data.npy import listing, parsing
from skeleton_lab.data.store import PackedClips, Writer, stored
from skeleton_lab.errors import ArchiveError, ArchiveKeyError, UsageError

PART = {"train": "train", "test": "val"}
PERSONS = 2
CENTRE = 1  # joint at the origin, of person 0 in the first frame in which person 0 is there


def open_pyskl(path: Path, split: str, layout: str | None, cache_dir: str | Path | None = None) -> PackedClips:
    """The clips of one split, in list order, centred as the Kaggle file is, two persons each.

    ``layout`` "pyskl:xview" picks the benchmark where the pickle holds several; "pyskl:xview:raw" or "pyskl:raw"
    leaves out the centring.

    Raises:
        ArchiveKeyError: no such split. UsageError: the benchmark is not said, or the layout not understood.
        ArchiveError: damaged, not this format, or with key points in other files (Kinetics-400).
    """
    benchmark, centre = _wishes(path, layout)
    status = path.stat()
    store = stored(
        path, "centred" if centre else "raw", [status.st_size, status.st_mtime_ns],
        lambda writer: _fill(writer, path, centre), cache_dir=cache_dir, show=True,
    )  # fmt: skip
    index = store[1]
    names = index["names"].tolist()
    at = {name: i for i, name in enumerate(names)}
    listed = index[f"split_{_split_name(path, index, PART[split], benchmark)}"].tolist()
    unknown = [name for name in listed if name not in at]
    if unknown:
        raise ArchiveError(f"{path}: {len(unknown)} clips of the {split} list have no annotation, first {unknown[0]}")
    if not listed:
        raise ArchiveError(f"{path}: the {split} list is empty")
    clips = PackedClips(path, "pyskl", store, index["labels"], names=names)
    chosen = clips.subset([at[name] for name in listed])
    chosen.T = max(int(chosen.lengths(np.arange(len(chosen)))[1].max()), 1)
    chosen.subjects = subjects_of(chosen.names)
    return chosen


def _wishes(path: Path, layout: str | None) -> tuple[str | None, bool]:
    words = (layout or "pyskl").split(":")
    if words[0] != "pyskl":
        raise UsageError(
            f"layout '{layout}' does not fit {path}, a pickle; write pyskl, pyskl:xsub, pyskl:xsub:raw ..."
        )
    benchmarks = [word for word in words[1:] if word != "raw"]
    if len(benchmarks) > 1:
        raise UsageError(f"layout '{layout}' names several benchmarks of {path}")
    return (benchmarks[0] if benchmarks else None), "raw" not in words


def _split_name(path: Path, index: dict[str, np.ndarray], part: str, benchmark: str | None) -> str:
    known = [key.removeprefix("split_") for key in index if key.startswith("split_")]
    if benchmark is not None:
        if f"{benchmark}_{part}" not in known:
            raise ArchiveKeyError(f"{path} has no split '{benchmark}_{part}'; it has {listing(known)}")
        return f"{benchmark}_{part}"
    fitting = [name for name in known if name == part or name.endswith(f"_{part}")]
    if not fitting:
        raise ArchiveKeyError(f"{path} has no split called {part} or ..._{part}; it has {listing(known)}")
    if len(fitting) > 1:
        choice = ", ".join(f"layout='pyskl:{name.removesuffix('_' + part)}'" for name in fitting)
        raise UsageError(f"{path} holds several benchmarks: choose {choice}")
    return fitting[0]


def _fill(writer: Writer, path: Path, centre: bool):
    content = pickles.load(path)
    if not isinstance(content, dict) or not {"split", "annotations"} <= set(content):
        raise ArchiveError(f"{path} is a pickle, but not of PYSKL: expected a dict with 'split' and 'annotations'")
    names: list[str] = []
    labels: list[int] = []
    with parsing(path):
        splits = {f"split_{name}": np.array(list(map(pickles.text, names))) for name, names in content["split"].items()}
        annotations = list(content["annotations"])
    joints: tuple[int, int] | None = None
    for number, annotation in enumerate(annotations):
        with parsing(path, f"annotation {number}"):
            x = _coordinates(path, annotation, centre)
            names.append(pickles.text(annotation["frame_dir"]))
            labels.append(int(annotation["label"]))
        if x.shape[2:] != (joints := joints or x.shape[2:]):
            raise ArchiveError(f"{path}: {names[-1]} has (V, C) = {x.shape[2:]}, earlier clips {joints}")
        if not 0 <= labels[-1] < 2**31:
            raise ArchiveError(f"{path}: {names[-1]} has label {labels[-1]}")
        writer.add(x[None], names[-1])
    if joints is None:
        raise ArchiveError(f"{path} holds no annotations")
    if len(set(names)) < len(names):
        raise ArchiveError(f"{path} holds two annotations of one clip")
    V, C = joints
    return (C, writer.longest, V, PERSONS), {"names": np.array(names), "labels": np.array(labels, np.int64), **splits}


def _coordinates(path: Path, annotation: dict[str, Any], centre: bool) -> np.ndarray:
    """(T, M=2, V, C) float32 of one annotation; for 2-D key points the score is the third channel."""
    if "keypoint" not in annotation:
        kind = "Kinetics-400 keeps its key points in other files (raw_file)" if "raw_file" in annotation else "damaged"
        raise ArchiveError(f"{path}: annotation without 'keypoint': {kind}; that is not supported")
    x = annotation["keypoint"]
    if not isinstance(x, np.ndarray):
        raise ArchiveError(f"{path}: keypoint is a {type(x).__name__}, not an array")
    if x.ndim != 4 or x.dtype.kind != "f" or x.shape[3] not in (2, 3) or not all(x.shape):
        raise ArchiveError(
            f"{path}: keypoint of shape {x.shape}, type {x.dtype}; accepted is float (M, T, V, C=2 or 3)"
        )
    told = annotation.get("total_frames", x.shape[1])
    if not isinstance(told, (int, np.integer)) or x.shape[1] != told:
        shown = told if isinstance(told, (int, float)) else type(told).__name__
        raise ArchiveError(f"{path}: keypoint has {x.shape[1]} frames, total_frames is {shown}")
    x = x.astype(np.float32)
    if x.shape[3] == 2:
        score = pickles.numbers(annotation["keypoint_score"]).astype(np.float32).reshape(x.shape[:3])
        x = np.concatenate([x, score[..., None]], axis=3)
    elif centre:
        x = _centred(x)
    out = np.zeros((x.shape[1], PERSONS, *x.shape[2:]), np.float32)
    kept = x[:PERSONS].transpose(1, 0, 2, 3)
    out[:, : kept.shape[1]] = kept
    return out


def _centred(x: np.ndarray) -> np.ndarray:
    there = (x != 0).any(axis=(2, 3))  # (M, T)
    if not there[0].any():
        return x
    origin = x[0, there[0].argmax(), CENTRE].copy()
    with np.errstate(invalid="ignore"):  # NaN and Inf are refused when the clip is packed
        return np.where(there[:, :, None, None], x - origin, x)
