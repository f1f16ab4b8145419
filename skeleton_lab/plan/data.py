"""What is trained on: how many clips, how many of them of one person, how large on the disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives.both_splits import open_source
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.ntu_published import SIZES
from skeleton_lab.errors import UsageError

PUBLISHED = "NTU60_CS"
ROW = 300 * 150 * 4  # bytes of a clip of the Kaggle file: 300 frames, two people of 25 joints, three coordinates
LOOKED_AT = 2000  # clips, spread over the archive
BLOCK = 50


@dataclass(frozen=True)
class Data:
    """``clips``: of the training split. ``alone``: the share of them that show one person. ``bytes``: on the disk."""

    name: str
    clips: int
    alone: float
    bytes: int


def published() -> Data:
    """NTU RGB+D 60, cross-subject, as the Kaggle file holds it; as if each clip showed two people."""
    return Data("NTU RGB+D 60, cross-subject (NTU60_CS.npz)", SIZES[PUBLISHED][0], 0.0, sum(SIZES[PUBLISHED]) * ROW)


def read(path: Path) -> Data:
    """Of an archive.

    Raises:
        ArchiveError and its kin: it is missing or damaged.
        UsageError: it has no training clips.
    """
    clips = open_source(path).get("train")
    if clips is None or not len(clips):
        raise UsageError(f"--data {path}: there are no training clips in it")
    files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
    return Data(path.name, len(clips), _alone(clips), sum(each.stat().st_size for each in files))


def _alone(clips: Clips) -> float:
    """The share of clips without a second person, of at most ``LOOKED_AT``."""
    if clips.M < 2:
        return 1.0
    chosen = np.unique(np.linspace(0, len(clips) - 1, min(len(clips), LOOKED_AT)).astype(np.int64))
    both = sum(
        int(clips.clips(chosen[at : at + BLOCK])[..., 1:].any((1, 2, 3, 4)).sum())
        for at in range(0, len(chosen), BLOCK)
    )
    return 1 - both / len(chosen)
