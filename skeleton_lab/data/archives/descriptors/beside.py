"""Which descriptor belongs to which clip of an archive: by the clips' names, or by the order of the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives import sample_names
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.descriptors.files import Descriptors
from skeleton_lab.errors import ArchiveError, one_line
from skeleton_lab.utils.progress import clip_bar

NONE = -1  # a clip without a descriptor


@dataclass(frozen=True)
class Beside:
    """Descriptors beside an archive.

    Attributes:
        entries: by split (N,) int64, the entry of each clip in ``descriptors``, ``NONE`` for a clip without one.
        surplus: names (or rows) of descriptors that belong to no clip.
    """

    descriptors: Descriptors
    entries: Mapping[str, np.ndarray]
    surplus: Sequence[str]

    def digest(self, show: bool = True) -> str:
        """Of the values of all clips' descriptors, whatever kind of file they are in; reads each of them once.

        Raises:
            ArchiveError: one holds NaN or Inf.
        """
        entries = np.concatenate(list(self.entries.values()))
        used, place = np.unique(entries, return_inverse=True)
        told = [
            self.descriptors.D,
            *((split, len(each)) for split, each in self.entries.items()),
            bool(used[0] == NONE),
        ]
        found = blake2b(repr(told).encode(), digest_size=16)
        found.update(place.astype(np.int64).tobytes())
        with clip_bar(len(used), f"reading {self.descriptors.path.name}", show=show, delay=1) as bar:
            for entry in used[used != NONE].tolist():
                values = self.descriptors.read(entry)
                found.update(b"%d" % len(values))
                found.update(values.tobytes())
                bar.update()
        return found.hexdigest()

    def missing(self, split: str) -> np.ndarray:
        """Rows of the clips without a descriptor."""
        return np.flatnonzero(self.entries[split] == NONE)


def beside(descriptors: Descriptors, parts: Mapping[str, Clips], archive: Path) -> Beside:
    """Find the descriptor of every clip.

    Names are compared as they are, then without ending and split, then without folders, as ``sample_names.places``
    does, as long as this keeps clips apart; the form counts in which the most clips have one. Clips may lack one, and
    descriptors may be of no clip.

    Args:
        parts: the clips of the splits; archive: their file, for messages.

    Raises:
        ArchiveError: no name is that of a clip, nothing tells the clips' names, or rows and clips differ in number.
    """
    if descriptors.names is None:
        return _by_row(descriptors, parts, archive)
    names = sample_names.of_parts(parts)
    if names is None:
        raise ArchiveError(
            f"{archive} tells no names of its clips and is none of the published files, so descriptors cannot be found "
            "by name; give one .npy in the order of its rows, training clips first"
        )
    found = _by_name(descriptors, names)
    if not any((entries != NONE).any() for entries in found.values()):
        first = next(name for each in names.values() for name in each)
        raise ArchiveError(
            f"{descriptors.path}: none of its {len(descriptors)} names is that of a clip of {archive}; its first is "
            f"{one_line(descriptors.names[0])}, the first clip is {one_line(first)}"
        )
    used = np.zeros(len(descriptors), bool)
    for entries in found.values():
        used[entries[entries != NONE]] = True
    return Beside(descriptors, found, [descriptors.names[k] for k in np.flatnonzero(~used)])


def _by_name(descriptors: Descriptors, names: Mapping[str, Sequence[str]]) -> dict[str, np.ndarray]:
    best: dict[str, np.ndarray] = {}
    most = -1
    different = sum(len(set(each)) for each in names.values())
    for form in sample_names.FORMS:
        of_split = {split: [form(name) for name in each] for split, each in names.items()}
        place = {form(name): k for k, name in enumerate(descriptors.names or ())}
        if len(place) < len(descriptors) or len(set().union(*of_split.values())) < different:
            continue  # two descriptors, or two clips, would be called the same
        found = {split: np.array([place.get(key, NONE) for key in each], int) for split, each in of_split.items()}
        count = sum(int((entries != NONE).sum()) for entries in found.values())
        if count > most:
            best, most = found, count
    if not best:
        twice = [name for name, count in Counter(descriptors.names or ()).items() if count > 1]
        raise ArchiveError(
            f"{descriptors.path}: two of its descriptors are called {one_line(twice[0])}; names must tell clips apart"
            if twice
            else f"{descriptors.path} cannot go by names: a training and a test clip of the archive are called the same"
        )
    return best


def _by_row(descriptors: Descriptors, parts: Mapping[str, Clips], archive: Path) -> Beside:
    counts = {split: len(clips) for split, clips in parts.items()}
    if len(descriptors) != sum(counts.values()):
        told = " and ".join(f"{count} {split}" for split, count in counts.items())
        raise ArchiveError(
            f"{descriptors.path} has {len(descriptors)} rows; {archive} has {told} clips, and one row is expected for "
            "each in this order"
        )
    entries, first = {}, 0
    for split, count in counts.items():
        entries[split] = np.arange(first, first + count)
        first += count
    return Beside(descriptors, entries, [])
