"""Parts of the test clips: those of a subject, a camera, a setup, and of short and long recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skeleton_lab.compare.clips import Clips
from skeleton_lab.compare.figures import Row, right_matrix
from skeleton_lab.data.archives import clip_groups, sample_names
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.errors import UsageError
from skeleton_lab.utils.progress import clip_bar

AT_ONCE = 256  # clips whose length is found between two steps of the bar


@dataclass
class Parts:
    """One way to part the clips into P parts.

    Attributes:
        kind: "subject", "camera", "setup" or "length"; values: what each part is called.
        clips: (P,) how many are in each. right: (R, P) how many of them each run has right.
    """

    kind: str
    values: list[str]
    clips: np.ndarray
    right: np.ndarray


def of_clips(rows: Sequence[Row], clips: Clips) -> list[Parts]:
    """As the archive or the names of the clips tell; kinds of which there is but one are left out."""
    right = right_matrix(rows)
    found = clip_groups.of_clips(clips.names, clips.labels, clips.subjects)
    return [_parts(kind, *coded, right) for kind, coded in found.items() if len(coded[1]) > 1]


def by_length(rows: Sequence[Row], frames: np.ndarray) -> Parts:
    """Quarters of the clips by their frames (N,)."""
    codes, names = clip_groups.by_length(frames)
    return _parts("length", codes, [f"{name} frames" for name in names], right_matrix(rows))


def _parts(kind: str, codes: np.ndarray, names: list[str], right: np.ndarray) -> Parts:
    """Args: codes: (N,) the part of each clip, below 0 for none."""
    there = [codes == code for code in range(len(names))]
    counts = np.stack([right[:, each].sum(1) for each in there], 1)
    return Parts(kind, names, np.array([each.sum() for each in there]), counts)


def lengths_of(archive: Path, clips: Clips, show: bool = True) -> np.ndarray:
    """(N,) frames of the clips, from their archive: up to the last that holds anything.

    Raises:
        UsageError: the archive's test clips are others. What ``open_archive`` raises.
    """
    stored = open_archive(archive, "test")
    count = len(clips)
    rows = None
    if clips.names is not None and stored.names is not None:
        place = {sample_names.bare(name): k for k, name in enumerate(stored.names)}
        found = np.array([place.get(sample_names.bare(name), -1) for name in clips.names.tolist()])
        rows = found if (found >= 0).all() else None
    if rows is None and len(stored) == count:
        rows = np.arange(count)
    if rows is None or (stored.labels[rows] != clips.labels).any():
        raise UsageError(
            f"--archive {archive}: its {len(stored):,} test clips are not the {count:,} that the runs were tested on, "
            "by their names and classes"
        )
    lengths = np.empty(count, np.int64)
    with clip_bar(count, "Clip lengths", show=show, delay=1) as bar:
        for begin in range(0, count, AT_ONCE):
            part = rows[begin : begin + AT_ONCE]
            lengths[begin : begin + AT_ONCE] = stored.lengths(part)[1]
            bar.update(len(part))
    return lengths
