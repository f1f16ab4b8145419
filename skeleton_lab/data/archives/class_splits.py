"""Which classes are seen, unseen and unseen in validation: the published lists, or ``label_splits/`` of the user."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives.npy_format import open_npy
from skeleton_lab.errors import ArchiveError, UsageError, nearest

RESOURCE = Path(__file__).parent / "resources" / "class_splits.json"
FOLDER = Path("label_splits")


@dataclass(frozen=True)
class Split:
    """The classes of one phase, 0-based and ascending; the order of ``unseen`` is that of the columns of scores."""

    seen: np.ndarray  # (n - S,) int64; validation: (n - 2 S,)
    unseen: np.ndarray  # (S,) int64
    num_class: int


def names(prefix: str, unseen: int, num_class: int, phase: str) -> tuple[str, str]:
    """Names of the lists of seen and unseen classes: ``rs55``, ``ru5``, or for validation ``rs50_0``, ``rv5_0``."""
    if phase == "val":
        return f"{prefix}s{num_class - 2 * unseen}_0", f"{prefix}v{unseen}_0"
    return f"{prefix}s{num_class - unseen}", f"{prefix}u{unseen}"


def load(prefix: str, unseen: int, num_class: int, phase: str = "train", folder: Path = FOLDER) -> Split:
    """The split that ``--st``, ``--ss``, ``--ntu`` and ``--phase`` name.

    The seen classes of validation are the seen classes less the unseen ones of validation; the published list of
    NTU-120 (``rs100_0``) is incomplete, and nothing depends on it.

    Args:
        folder: holds ``<name>.npy`` files that go before the packaged ones, where it exists.

    Raises:
        UsageError: there is no such split.
        ArchiveError: a file of ``folder`` is damaged, or classes are out of range, twice there or in both lists.
    """
    seen_name, unseen_name = names(prefix, unseen, num_class, "train")
    seen = _read(seen_name, num_class, folder)
    if phase == "val":
        unseen_name = names(prefix, unseen, num_class, "val")[1]
        columns = _read(unseen_name, num_class, folder)
        if not np.isin(columns, seen).all():
            raise ArchiveError(f"label split {unseen_name}: classes that are not among the seen ones of {seen_name}")
        return Split(np.setdiff1d(seen, columns), columns, num_class)
    columns = _read(unseen_name, num_class, folder)
    both = np.intersect1d(seen, columns)
    if both.size:
        raise ArchiveError(f"label splits {seen_name} and {unseen_name}: class {both[0]} is in both")
    return Split(seen, columns, num_class)


def _read(name: str, num_class: int, folder: Path) -> np.ndarray:
    """One list, ascending."""
    path = folder / f"{name}.npy"
    if path.is_file():
        told, where = open_npy(path).read(), str(path)
    else:
        known = json.loads(RESOURCE.read_text("utf-8"))
        if name not in known:
            raise UsageError(
                f"there is no label split '{name}' (from --st, --ss, --ntu): published are r with 5 or 12 unseen "
                f"classes of 60, and 10 or 24 of 120; put others into {path}.{nearest(name, known)}"
            )
        told, where = np.array(known[name], np.int64), f"label split {name}"
    if told.ndim != 1 or told.dtype.kind not in "iu" or not told.size:
        raise ArchiveError(f"{where}: {told.dtype} of shape {told.shape}; a list of class indices is needed")
    classes = np.unique(told.astype(np.int64))
    if len(classes) < len(told) or classes[0] < 0 or classes[-1] >= num_class:
        raise ArchiveError(f"{where}: classes must be different and within 0..{num_class - 1} (--ntu {num_class})")
    return classes
