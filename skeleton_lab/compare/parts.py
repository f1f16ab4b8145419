"""Parts of the test clips: those of a subject, a camera, a setup, and of short and long recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skeleton_lab.compare.clips import Clips
from skeleton_lab.compare.figures import Row, right_matrix
from skeleton_lab.data.archives import sample_names
from skeleton_lab.data.archives.name_groups import groups
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.errors import UsageError
from skeleton_lab.utils.progress import clip_bar

QUARTERS = 4
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


def by_name(rows: Sequence[Row], clips: Clips) -> list[Parts]:
    """As the names of the clips tell; kinds of which there is but one are left out."""
    if clips.names is None:
        return []
    right = right_matrix(rows)
    found = groups(clips.names, clips.labels)
    return [
        _parts(kind, numbers, {value: str(value) for value in np.unique(numbers).tolist()}, right)
        for kind, numbers in found.items()
        if len(np.unique(numbers[numbers >= 0])) > 1
    ]


def _parts(kind: str, numbers: np.ndarray, names: dict[int, str], right: np.ndarray) -> Parts:
    """Args: numbers: (N,) of the part, below 0 for a clip of none."""
    values = [value for value in names if value >= 0]
    there = [numbers == value for value in values]
    counts = np.stack([right[:, each].sum(1) for each in there], 1)
    return Parts(kind, [names[value] for value in values], np.array([each.sum() for each in there]), counts)


def by_length(rows: Sequence[Row], clips: Clips, lengths: np.ndarray) -> Parts:
    """Quarters of the clips by their frames; equal lengths stay together, so that quarters may differ in size."""
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, QUARTERS + 1)[1:-1], method="lower"))
    numbers = np.searchsorted(edges, lengths, side="left")
    names = {}
    for value in np.unique(numbers).tolist():
        mine = lengths[numbers == value]
        names[value] = f"{mine.min()} to {mine.max()} frames"
    return _parts("length", numbers, names, right_matrix(rows))


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
