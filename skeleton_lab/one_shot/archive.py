"""An archive for the one-shot protocol: all clips of the auxiliary classes are trained on, whatever their split was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives import both_splits, convert
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.writers import layouts
from skeleton_lab.errors import ArchiveError, UsageError
from skeleton_lab.one_shot.ntu120 import NOVEL, names_of
from skeleton_lab.utils.progress import clip_bar

CLASSES = 120


class Joined(Clips):
    """The clips of several splits one behind the other, as clips of one.

    Args:
        parts: of the same joints, coordinates and people. names: of each part's clips.
    """

    def __init__(self, parts: Sequence[Clips], names: Sequence[Sequence[str]]) -> None:
        first = parts[0]
        shape = first.C, max(part.T for part in parts), first.V, max(part.M for part in parts)
        labels = np.concatenate([part.labels for part in parts])
        super().__init__(first.path, first.layout, shape, labels, key=first.key, num_class=CLASSES,
                         names=[name for each in names for name in each])  # fmt: skip
        self._parts = list(parts)
        self._begin = np.cumsum([0, *(len(part) for part in parts)])

    def _each(self, at: np.ndarray):
        """For every part the places among ``at`` that are its own, and its rows there."""
        which = np.searchsorted(self._begin, at, side="right") - 1
        for number, part in enumerate(self._parts):
            places = np.flatnonzero(which == number)
            if len(places):
                yield part, places, at[places] - self._begin[number]

    def _lengths(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n, e = np.zeros(len(at), np.int64), np.zeros(len(at), np.int64)
        for part, places, rows in self._each(at):
            n[places], e[places] = part.lengths(rows)
        return n, e

    def _gather(self, at: np.ndarray, frames: np.ndarray) -> np.ndarray:
        out = np.zeros((*frames.shape, self.M, self.V, self.C), np.float32)
        for part, places, rows in self._each(at):
            out[places, :, : part.M] = part.gather(rows, frames[places])
        return out


def write(source: Path, target: Path, *, layout: str | None = None, every: int = 50, show: bool = True) -> list[int]:
    """Write the archive; returns the numbers of its training and of its test clips.

    Training: the auxiliary classes' clips of both splits, but each ``every``-th of a class. Test: those, by which a
    training is watched (``--classes ntu120_one_shot:auxiliary``), and all clips of the novel classes.

    Raises:
        ArchiveError: names are unknown, or a class of either kind has no clip. UsageError: the target cannot be
            written.
    """
    parts = both_splits.open_source(source, layout=layout)
    if len(parts) < 2:
        raise ArchiveError(f"{source}: has the {next(iter(parts))} split alone; the protocol takes the clips of both")
    names = names_of(parts, source)
    whole = Joined(list(parts.values()), [names[split] for split in parts])
    of_novel = np.isin(whole.labels, NOVEL)
    if of_novel.all() or not of_novel.any():
        kind = "auxiliary" if of_novel.all() else "novel"
        raise ArchiveError(f"{source}: holds no clip of the {kind} classes; the protocol is that of NTU RGB+D 120")
    watched = ~of_novel & _each_nth(whole.labels, every)
    train, test = np.flatnonzero(~of_novel & ~watched), np.flatnonzero(of_novel | watched)
    rows: Mapping[str, np.ndarray] = {"train": train, "test": test}
    with clip_bar(len(whole), f"writing {target.name}", show=show, delay=1) as bar:
        materials = {}
        for split, chosen in rows.items():
            clips = whole.subset(chosen)
            materials[split] = layouts.Material(
                clips, clips.labels, clips.names, whole.T, whole.M, CLASSES, False, bar.update
            )
        convert.require_space(target, materials)
        try:
            writer = layouts.write_kaggle if (whole.C, whole.V, whole.M) == (3, 25, 2) else layouts.write_five
            writer(target, materials, False)
        except OSError as error:
            raise UsageError(f"--output {target} cannot be written: {error.strerror or error}") from error
    return [len(train), len(test)]


def _each_nth(labels: np.ndarray, every: int) -> np.ndarray:
    """A mask of the last of each ``every`` clips of a class, in their order."""
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        mask[np.flatnonzero(labels == label)[every - 1 :: every]] = True
    return mask
