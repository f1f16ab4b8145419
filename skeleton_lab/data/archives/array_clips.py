"""Clips as small archives that the rooms' feeders read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives.writers.layouts import turned
from skeleton_lab.skeletons.bones import NTU, bone

FRAMES = 300  # of the published arrays; whole-clip networks see their padding
FIRST_SUBJECT = 50  # NW-UCLA has ten: the names of temporary clips are in nobody's list, so they stay in order


def kaggle_file(path: Path, clips: Sequence[np.ndarray], classes: int | None, generated: bool, bones: bool) -> None:
    """An NPZ whose test split holds the clips (T, M, 25, 3), at most two persons, padded with zeros.

    Args:
        generated: turn and repeat them as MS-G3D's own generator does; bones: hand over the bones of that.
    """
    T = max(FRAMES, *(len(clip) for clip in clips))
    x = np.zeros((len(clips), T, 2, 25, 3), np.float32)
    for row, clip in zip(x, clips):
        row[: len(clip), : clip.shape[1]] = clip
        if generated:
            row[:] = turned(row)
    if bones:
        x = bone(x.swapaxes(2, 4), NTU).swapaxes(2, 4)
    labels = np.zeros(len(x), np.int64)
    if classes and classes > 1:
        labels = np.eye(classes)[labels]
    np.savez(path, x_test=x.reshape(len(x), T, -1), y_test=labels)


def ucla_folder(folder: Path, clips: Sequence[np.ndarray]) -> None:
    """One JSON file of NW-UCLA's test view per clip (T, 1, 20, 3), in the order of the names."""
    for k, clip in enumerate(clips):
        name = f"a01_s{FIRST_SUBJECT + k // 100:02d}_e{k % 100:02d}_v03"
        content = {"file_name": name, "skeletons": clip[:, 0].astype(np.float64).tolist(), "label": 1}
        (folder / f"{name}.json").write_text(json.dumps(content))
