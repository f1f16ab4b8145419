"""NTU RGB+D 120's one-shot protocol (Liu et al. 2020): 20 novel classes, one anchor of each, the rest is tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from skeleton_lab.data.archives import sample_names
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.ntu_protocol import ONE_SHOT_NOVEL, anchor
from skeleton_lab.engine.config import class_list
from skeleton_lab.engine.config.options import Options
from skeleton_lab.errors import ArchiveError, UsageError

AUXILIARY = f"{class_list.ONE_SHOT}:auxiliary"
NOVEL = np.array(ONE_SHOT_NOVEL)


class Rows(NamedTuple):
    """Clips of novel classes by split and row: ``anchors`` one of each class in the order of ``NOVEL``."""

    split: np.ndarray  # (N,) text
    row: np.ndarray  # (N,) int64, in the split
    label: np.ndarray  # (N,) int64
    name: list[str]
    anchors: np.ndarray  # (20,) places in these arrays

    @property
    def tested(self) -> np.ndarray:
        """Places of all the others."""
        return np.setdiff1d(np.arange(len(self.row)), self.anchors)


def names_of(parts: Mapping[str, Clips], where: Path) -> dict[str, list[str]]:
    """The sample names of each split: of the archive, else those of the published file that it is.

    Raises:
        ArchiveError: neither tells them.
    """
    names = sample_names.of_parts(parts)
    if names is None:
        raise ArchiveError(
            f"{where}: tells no names of its clips, and is none of the published files by its counts and labels, so "
            "the anchors cannot be found; make it from the raw recordings or from PYSKL's pickle (docs/data.md)"
        )
    return {split: [sample_names.last_part(name) for name in each] for split, each in names.items()}


def novel(parts: Mapping[str, Clips], where: Path) -> Rows:
    """The clips of the novel classes in both splits, and their anchors.

    Raises:
        ArchiveError: an anchor is missing, stands twice or has another label, or a class has only its anchor.
    """
    names = names_of(parts, where)
    split, row, label, name = [], [], [], []
    for part, clips in parts.items():
        rows = np.flatnonzero(np.isin(clips.labels, NOVEL))
        split += [part] * len(rows)
        row += rows.tolist()
        label += clips.labels[rows].tolist()
        name += [names[part][at] for at in rows]
    found = Rows(np.array(split, str), np.array(row, np.int64), np.array(label, np.int64), name, np.empty(0, np.int64))
    anchors = np.array([_place(found, each, where) for each in NOVEL.tolist()])
    for each in NOVEL:
        if (found.label == each).sum() < 2:
            raise ArchiveError(f"{where}: of class A{each + 1:03d} there is no clip but its anchor {anchor(each)}")
    return found._replace(anchors=anchors)


def _place(rows: Rows, label: int, where: Path) -> int:
    wanted = anchor(label)
    at = [place for place, name in enumerate(rows.name) if name == wanted]
    if len(at) != 1:
        told = "is missing" if not at else f"stands there {len(at)} times"
        raise ArchiveError(
            f"{where}: {wanted}, the anchor of class A{label + 1:03d}, {told}; the protocol needs the clips of "
            "NTU RGB+D 120 in both splits"
        )
    if rows.label[at[0]] != label:
        raise ArchiveError(f"{where}: {wanted} has label {rows.label[at[0]]}, not {label}")
    return at[0]


def check_unseen(options: Options, where: Path) -> None:
    """Refuse a network that was trained on novel classes, as far as its configuration tells.

    Raises:
        UsageError: it was.
    """
    if options.classes is None:
        why = "tells of no --classes, so the novel ones were trained on too"
    else:
        seen = np.intersect1d(class_list.parse(options.classes), NOVEL)
        if not len(seen):
            return
        why = f"says --classes {options.classes}, and class {seen[0]} (A{seen[0] + 1:03d}) is novel"
    raise UsageError(f"--config {where} {why}; train with --classes {AUXILIARY} (--allow-leak: all the same)")


def shown(label: int, names: Sequence[str]) -> str:
    """``A007 throw``."""
    return f"A{label + 1:03d} {names[label]}"
