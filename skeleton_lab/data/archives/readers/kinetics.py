"""Kinetics-skeleton: a folder of OpenPose JSON clips and one JSON file of labels (ST-GCN)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives import about
from skeleton_lab.data.archives.packed import PackedClips, Writer, state_of, stored
from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.errors import ArchiveError, ArchiveNotFoundError

FRAMES, JOINTS, PERSONS = 300, 18, 5


def open_kinetics(path: Path, label_path: str | Path | None, cache_dir: str | Path | None = None) -> PackedClips:
    """All clips of the folder, by file name; ``has_skeleton`` tells which the label file calls empty.

    Channels are x and y, centred (0..1 becomes -0.5..0.5) and 0 where the score is 0, and the score. The first five
    skeletons of a frame are kept; ``frame_index`` (it starts at 1) is the frame, those beyond 299 are left out.

    Raises:
        ArchiveNotFoundError: the label file does not exist.
        ArchiveError: it is not given; a clip is damaged, unlabelled, or its label is not the label file's.
    """
    if label_path is None:
        raise ArchiveError(f"{path} is a folder of Kinetics clips: give the JSON file of its labels as label_path")
    label_path = Path(label_path)
    if not label_path.exists():
        raise ArchiveNotFoundError(f"label file {label_path} does not exist (looked for {label_path.absolute()})")
    with parsing(path):
        files = sorted(p for p in path.iterdir() if p.suffix == ".json" and p.absolute() != label_path.absolute())
    state = state_of([label_path, *files])
    key = f"clips of {label_path.absolute()}"
    store = stored(path, key, state, lambda writer: _fill(writer, files, label_path), cache_dir=cache_dir,
                   total=len(files), show=len(files) > 1000)  # fmt: skip
    index = store[1]
    clips = PackedClips(path, "kinetics", store, index["labels"], names=index["names"].tolist())
    clips.has_skeleton = index["has_skeleton"]
    about.by_format(clips)
    if index["absent"]:
        clips.unread = [f"{index['absent']} clips that {label_path} lists: they have no file in {path}"]
    return clips


def _fill(writer: Writer, files: list[Path], label_path: Path):
    with parsing(label_path):
        table = json.loads(label_path.read_bytes())
        entries = {name: (bool(e["has_skeleton"]), int(e["label_index"])) for name, e in table.items()}
    labels, has_skeleton = [], []
    absent = len(set(entries) - {file.stem for file in files})
    for file in files:
        if file.stem not in entries:
            raise ArchiveError(f"{label_path} has no label of {file.name}")
        with parsing(file):
            clip = json.loads(file.read_bytes())
            x, label = _coordinates(clip["data"]), int(clip["label_index"])
        filled, listed = entries[file.stem]
        if label != listed or label < 0:
            raise ArchiveError(f"{file} has label_index {label}, {label_path} says {listed}")
        labels.append(label)
        has_skeleton.append(filled)
        writer.add(x[None], file.stem)
    if not files:
        raise ArchiveError(f"{label_path.parent} holds no clips besides the label file")
    extra = {
        "names": np.array([file.stem for file in files]),
        "labels": np.array(labels, np.int64),
        "has_skeleton": np.array(has_skeleton),
        "absent": np.array(absent),
    }
    return (3, FRAMES, JOINTS, PERSONS), extra


def _coordinates(frames: list[dict[str, Any]]) -> np.ndarray:
    """(T, M, V, C) float32 of one clip."""
    x = np.zeros((FRAMES, PERSONS, JOINTS, 3), np.float32)
    for t, m, person in _skeletons(frames):
        x[t, m, :, :2] = np.asarray(person["pose"], np.float32).reshape(JOINTS, 2) - np.float32(0.5)
        x[t, m, :, 2] = np.asarray(person["score"], np.float32).reshape(JOINTS)
    x[x[..., 2] == 0] = 0
    return x


def _skeletons(frames: list[dict[str, Any]]) -> Iterator[tuple[int, int, dict[str, Any]]]:
    for frame in frames:
        t = int(frame["frame_index"])
        if 0 <= t < FRAMES:
            for m, person in enumerate((frame["skeleton"] or [])[:PERSONS]):
                if person["pose"] not in (None, []):  # else hands or a face without a body: nobody in this slot
                    yield t, m, person
