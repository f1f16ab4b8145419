"""Clips in memory, under the interface of an archive's: what ``predict`` and notebooks feed to a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives import column_order
from skeleton_lab.data.archives.clips import FLOAT, Clips, non_finite
from skeleton_lab.data.archives.labels import class_ids
from skeleton_lab.errors import ArchiveError, UsageError

IN_MEMORY = Path("(arrays)")  # where an archive's clips have a path, in messages
LAYOUT = "arrays"


class ArrayClips(Clips):
    """Clips of arrays, one per sample, each as long as it is.

    Args:
        sequences: (N, C, T, V, M), or a list of arrays (C, T, V, M) that may differ in T and M: coordinates, frames,
            joints, persons; any kind of floating point numbers or integers, read as float32.
        labels: (N,) class ids, or (N, K) one-hot; by default all 0, for clips that nobody knows the class of.
        names: N names, under which scores are stored.
        num_class: labels must be below it.
        length: T that clips are padded to with zeros, at least the longest clip's; by default that.
        persons: M that clips are padded to with nobody; by default the largest.

    Raises:
        ArchiveError: a shape that does not fit, NaN, or labels that are none.
    """

    def __init__(
        self,
        sequences: np.ndarray | Sequence[np.ndarray],
        labels: Any = None,
        *,
        names: Sequence[str] | None = None,
        num_class: int | None = None,
        length: int = 0,
        persons: int = 0,
    ) -> None:
        parts = [np.asarray(part) for part in sequences]
        C, V = _common(parts)
        T, M = max(length, *(part.shape[1] for part in parts)), max(persons, *(part.shape[3] for part in parts))
        ids, columns = np.zeros(len(parts), np.int64), num_class
        if labels is not None:
            ids, told = class_ids(np.asarray(labels), "labels", num_class)
            columns = told or num_class
        if len(ids) != len(parts):
            raise ArchiveError(f"there are {len(parts)} clips and {len(ids)} labels")
        if names is not None and len(names) != len(parts):
            raise ArchiveError(f"there are {len(parts)} clips and {len(names)} names")
        super().__init__(IN_MEMORY, LAYOUT, (C, T, V, M), ids, num_class=columns, names=names)
        sizes = np.array([part.shape[1] for part in parts], np.int64)
        self._off = np.concatenate([[0], sizes.cumsum()[:-1]])
        self._size = sizes
        self._rows = np.zeros((int(sizes.sum()) + 1, M, V, C), FLOAT)  # the last row is that of no frame
        self._n, self._e = np.zeros(len(parts), np.int64), np.zeros(len(parts), np.int64)
        for number, part in enumerate(parts):
            self._store(number, part)

    def _store(self, number: int, part: np.ndarray) -> None:
        rows = self._rows[self._off[number] : self._off[number] + self._size[number]]
        with np.errstate(over="ignore", invalid="ignore"):  # what does not fit becomes Inf, and is refused as such
            rows[:, : part.shape[3]] = part.transpose(1, 3, 2, 0)
        wrong = np.flatnonzero(~np.isfinite(rows).all((1, 2, 3)))
        if len(wrong):
            raise non_finite(self.path, "", self._shown(number), int(wrong[0]))
        there = np.flatnonzero(rows.any((1, 2, 3)))
        self._n[number], self._e[number] = len(there), there[-1] + 1 if len(there) else 0

    def scrambled(self, layout: str) -> ArrayClips:
        """These clips as a wrong reader of the Kaggle columns saw them ("scrambled-vcm", "scrambled-cvm")."""
        order = column_order.choose(layout, 3)
        if order is None:
            return self
        view = self.subset(np.arange(len(self)))
        view._order = order
        assert isinstance(view, ArrayClips)
        return view

    def _lengths(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._n[at], self._e[at]

    def _gather(self, at: np.ndarray, frames: np.ndarray) -> np.ndarray:
        outside = (frames < 0) | (frames >= self._size[at][:, None])
        rows = np.where(outside, len(self._rows) - 1, self._off[at][:, None] + frames)
        return self._rows[rows]


def _common(parts: Sequence[np.ndarray]) -> tuple[int, int]:
    """C and V of all clips.

    Raises:
        ArchiveError: no clip, another number of axes, different C or V, no frame, no numbers.
    """
    if not parts:
        raise ArchiveError("there is no clip")
    for number, part in enumerate(parts):
        fits = part.ndim == 4 and part.dtype.kind in "fiu" and part.size
        if not fits or (part.shape[0], part.shape[2]) != (parts[0].shape[0], parts[0].shape[2]):
            raise ArchiveError(
                f"clip {number} is an array of {part.dtype}, shape {part.shape}; expected are numbers (C, T, V, M): "
                f"coordinates, frames, joints, persons{', C and V as of clip 0' if number else ''}"
            )
    return parts[0].shape[0], parts[0].shape[2]


def given(data: Any, layout: str | None = None) -> Clips | None:
    """Clips that a feeder gets in place of a path; None for a path.

    Args:
        layout: of the feeder: a scrambling, which belongs to the network's weights, is applied to arrays too.

    Raises:
        UsageError: a layout that speaks of a file.
    """
    if not isinstance(data, Clips):
        return None
    if layout is None:
        return data
    if isinstance(data, ArrayClips) and layout.startswith(("scrambled", "kaggle")):
        return data.scrambled(layout)
    raise UsageError(f"layout '{layout}': it is for files; these clips have been opened already")
