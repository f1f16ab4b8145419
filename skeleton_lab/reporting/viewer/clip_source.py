"""Where clips come from: any archive of the lab, or raw ``.skeleton`` recordings; which ones of them to show."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from skeleton_lab.data.archives import class_names, ntu_protocol
from skeleton_lab.data.archives.both_splits import open_source
from skeleton_lab.data.archives.clip_groups import NTU_NAME
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.preprocessing import skeleton_text
from skeleton_lab.data.preprocessing.recordings import Source, listed
from skeleton_lab.errors import UsageError, nearest
from skeleton_lab.skeletons.layouts import Layout

NONE = -1  # label of a recording whose name does not tell
MOST_BODIES = 6  # of a raw recording; more are reflections
NTU_CLASSES = 120


class Collection(Protocol):
    """Clips by row. ``labels`` (N,) int64; ``names`` of the samples, if known; ``where`` for messages; ``skeleton`` and
    ``scored`` as of ``Clips``.
    """

    path: Path
    where: str
    labels: np.ndarray
    names: Sequence[str] | None
    skeleton: Layout | None
    scored: bool

    def points(self, row: int) -> np.ndarray:
        """(T, M, V, C) float32, up to the last frame that holds something."""
        ...

    def class_name(self, label: int) -> str: ...


class Archive:
    """One split of an archive."""

    def __init__(self, clips: Clips, split: str):
        self.path, self.where = clips.path, f"{clips.path}, {split}"
        self.labels, self.names = clips.labels, clips.names
        self.skeleton, self.scored = clips.skeleton, clips.scored
        self._clips = clips
        self._classes = _classes(clips)

    def points(self, row: int) -> np.ndarray:
        index = np.array([row])
        length = max(1, int(self._clips.lengths(index)[1][0]))
        return self._clips.gather(index, np.arange(length)[None])[0]

    def class_name(self, label: int) -> str:
        return self._classes[label] if 0 <= label < len(self._classes) else f"class {label}"


class Recordings:
    """Raw recordings: a file, a folder, or a ZIP of them, in the order of their names."""

    skeleton, scored = None, False

    def __init__(self, path: Path, sources: list[Source]):
        self.path, self.where, self._sources = path, str(path), sources
        self.names = [source.name for source in sources]
        told = [NTU_NAME.fullmatch(name) for name in self.names]
        self.labels = np.array([ntu_protocol.sample(match[0]).label if match else NONE for match in told], np.int64)
        self._classes = list(class_names.ntu())

    def points(self, row: int) -> np.ndarray:
        """Bodies by their id, those that are there longest first, so that colours stay with a person."""
        recording = skeleton_text.read(self._sources[row])
        counts = {name: recording.ids.count(name) for name in dict.fromkeys(recording.ids)}
        if len(counts) > MOST_BODIES:
            print(
                f"{self._sources[row].shown}: of {len(counts)} bodies the {MOST_BODIES} that are there longest are "
                "shown", file=sys.stderr,
            )  # fmt: skip
        place = {name: m for m, name in enumerate(sorted(counts, key=lambda name: -counts[name])[:MOST_BODIES])}
        points = np.zeros((recording.frames, max(len(place), 1), skeleton_text.JOINTS, 3), np.float32)
        for frame, rows in enumerate(recording.rows()):
            for body in rows:
                if recording.ids[body] in place:
                    points[frame, place[recording.ids[body]]] = recording.joints[body]
        return points

    def class_name(self, label: int) -> str:
        return self._classes[label] if 0 <= label < len(self._classes) else "unknown class"


def _classes(clips: Clips) -> list[str]:
    """Names that the archive tells, or of NTU RGB+D or NW-UCLA where skeleton, sample names and labels are theirs."""
    if clips.class_names is not None:
        return list(clips.class_names)
    highest = int(clips.labels.max(initial=0))
    columns = clips.num_class or highest + 1
    named = bool(clips.names) and NTU_NAME.search(clips.names[0]) is not None
    kinect = clips.V == 25 and (clips.skeleton is None or clips.skeleton.name == "ntu25")
    if (kinect or named) and columns <= NTU_CLASSES:
        return list(class_names.ntu())
    ucla = list(class_names.nw_ucla())
    return ucla if clips.V == 20 and columns <= len(ucla) else []


def opened(path: Path, split: str | None, label_path: Path | None = None, layout: str | None = None) -> Collection:
    """The clips of an archive (its test split unless ``split`` says otherwise), or raw recordings.

    Raises:
        ArchiveError, ArchiveKeyError, ArchiveNotFoundError: missing or damaged. UsageError: a question to the user.
    """
    recordings = raw_recordings(path)
    if recordings:
        return Recordings(path, recordings)
    parts = open_source(path, split=split, label_path=label_path, layout=layout)
    chosen = "test" if "test" in parts else next(iter(parts))
    return Archive(parts[chosen], chosen)


def raw_recordings(path: Path) -> list[Source]:
    """The raw recordings that a path is, or holds; none where it is something else."""
    if path.name.endswith((".skeleton", ".skeleton.gz")) and path.is_file():
        status = path.stat()
        return [Source(path.name.partition(".skeleton")[0], str(path), "", status.st_size, status.st_mtime_ns)]
    if path.is_dir() or path.suffix.lower() == ".zip":
        return sorted(listed(path))
    return []


class Wish(NamedTuple):
    """Which clips: rows, a class by number or by name, or one clip of each class; at most ``count`` of a class."""

    rows: Sequence[int] = ()
    label: int | None = None
    class_name: str | None = None
    each: bool = False
    count: int = 1


def chosen(found: Collection, wish: Wish) -> list[int]:
    """The rows that a wish asks for.

    Raises:
        UsageError: there are none such; the message has what there is.
    """
    total = len(found.labels)
    if wish.each:
        return [int(row) for row in np.unique(found.labels, return_index=True)[1]]
    if wish.label is None and wish.class_name is None:
        for row in wish.rows:
            check_row(found, row)
        return list(wish.rows) or [0]
    label = wish.label if wish.class_name is None else _label(found, wish.class_name)
    rows = np.flatnonzero(found.labels == label)[: wish.count]
    if not len(rows):
        there = np.unique(found.labels).tolist()
        shown = ", ".join(map(str, there[:12])) + (f" and {len(there) - 12} more" if len(there) > 12 else "")
        raise UsageError(
            f"{found.where}: none of its {total} clips is of class {label} ({found.class_name(label)}); it has {shown}"
        )
    return rows.tolist()


def share(found: Collection, wish: Wish, rows: Sequence[int]) -> str:
    """How many of the clips that there are the chosen rows are: "3 of 276 clips of the class"."""
    total, of = len(found.labels), ""
    if wish.label is not None or wish.class_name is not None:
        total, of = int((found.labels == found.labels[rows[0]]).sum()), " of the class"
    elif wish.each:
        of = ", the first of every class"
    return f"{len(rows):,} of {total:,} clip{'s' * (total != 1)}{of}"


def check_row(found: Collection, row: int) -> None:
    """Raises ``UsageError`` for a row that is not there."""
    total = len(found.labels)
    if not 0 <= row < total:
        raise UsageError(f"--index {row}: {found.where}, has {total} clip{'s' * (total != 1)}, 0 to {total - 1}")


def _label(found: Collection, name: str) -> int:
    labels = range(max(NTU_CLASSES, int(found.labels.max()) + 1))
    known = {found.class_name(label).casefold(): label for label in reversed(labels)}
    wanted = " ".join(name.casefold().split())
    if wanted not in known:
        there = {found.class_name(int(label)).casefold() for label in np.unique(found.labels)}
        hint = nearest(wanted, sorted(there)) or nearest(wanted, known)
        raise UsageError(f"--class '{name}': {found.path} has no class of that name.{hint} Or give its number: --label")
    return known[wanted]
