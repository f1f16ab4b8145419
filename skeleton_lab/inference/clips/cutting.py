"""The clips that lines of the labels mean, cut out of their recordings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.errors import ArchiveError, UsageError, listing
from skeleton_lab.inference import recordings as inputs
from skeleton_lab.inference.clips.folder import Folder
from skeleton_lab.inference.clips.joints import Skeletons
from skeleton_lab.inference.clips.labels import Row
from skeleton_lab.inference.keypoints import reading
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.inference.keypoints.reading import Keypoints
from skeleton_lab.inference.keypoints.tracking import strongest
from skeleton_lab.reporting.viewer.clip_source import raw_recordings
from skeleton_lab.skeletons import layouts
from skeleton_lab.skeletons.layouts import Layout

PERSONS = 2  # of a clip
MANY = 20  # people of a long recording who are followed, until it is known which part of it is meant
FORMS = (
    "key points are read as arrays or lists (T, V, C), (T, M, V, C) in .npy, .npz or .json; JSON of OpenPose (also a "
    "folder of frames), AlphaPose, COCO (results, data sets), MMPose, Ultralytics to_json, MediaPipe, "
    "Kinetics-skeleton; PYSKL annotations (.pkl); raw .skeleton files; DeepLabCut (.csv), SLEAP (.slp, .h5), movement "
    "(.nc) and .pose"
)


class Clip(NamedTuple):
    """One line of the labels with its key points, as ``Keypoints`` has them."""

    row: Row
    name: str
    points: np.ndarray  # (T, M, V, 2 or 3) float32, zeros where not found
    found: np.ndarray  # (T, M, V) bool
    scores: np.ndarray | None  # (T, M, V) float32
    image: tuple[int, int] | None  # height, width


class Reader:
    """Reads recordings, a file at a time, and cuts the clips of its lines out of them.

    Attributes:
        skeletons: what joints they have. notices: what the user should know.
        skipped: lines that give no clip, and why.
    """

    def __init__(self, folder: Folder, skeletons: Skeletons, notices: Notices) -> None:
        self.folder, self.skeletons, self.notices = folder, skeletons, notices
        self.skipped: list[tuple[Row, str]] = []

    def clips(self, path: Path, rows: Sequence[Row]) -> list[Clip]:
        """The clips of the lines that mean the recordings of one file or folder.

        Raises:
            UsageError: its joints are not those of the others, or nothing tells them.
        """
        parts = any(row.start is not None or row.end is not None for row in rows)
        try:
            found, source = self._read(path, MANY if parts else PERSONS, self.notices)
        except ArchiveError as error:
            self.skipped += [(row, str(error)) for row in rows]
            return []
        settled = [self.skeletons.settled(each, source, str(path)) for each in found]
        return [clip for row in rows for clip in self._of_row(row, path, settled)]

    def names(self, path: Path) -> list[str]:
        """Of the recordings of a file; none of one that cannot be read: no line needs it."""
        try:
            return [each.name for each in self._read(path, PERSONS, Notices())[0]]
        except (ArchiveError, UsageError):
            return []

    def _read(self, path: Path, persons: int, notices: Notices) -> tuple[list[Keypoints], Layout]:
        if raw := raw_recordings(path):
            read = inputs.raw(raw, notices)
            return read.keypoints, read.scheme
        if (content := inputs.annotation_list(path)) is not None:
            read = inputs.annotated(path, content, partial(self._annotated, content), 0, notices)
            return [_with_size(each, content) for each in read.keypoints], read.scheme
        if not reading.is_keypoints(path):
            raise ArchiveError(f"{path}: no key points; {FORMS}")
        found, scheme = reading.read(path, self.skeletons.choose, 0, notices, self.skeletons.named, persons)
        return found, scheme

    def _annotated(self, content: Sequence[dict[str, Any]], V: int, where: str) -> Layout:
        """PYSKL's 17 joints in an image are COCO's, its 25 in space NTU RGB+D's."""
        dimensions = np.shape(content[0]["keypoint"])[-1]
        usual = {(17, 2): "coco17", (25, 3): "ntu25"}.get((V, dimensions))
        return layouts.layout(usual) if usual and self.skeletons.wish is None else self.skeletons.choose(V, where)

    def _of_row(self, row: Row, path: Path, found: Sequence[Keypoints]) -> list[Clip]:
        whole = self.folder.find(row.file) == path
        chosen = list(found) if whole else [each for each in found if each.name == row.file]
        part = row.start is not None or row.end is not None
        if part and len(chosen) > 1:
            names = listing([each.name for each in chosen[:5]])
            why = f"{path} holds {len(chosen)} recordings; name the one whose frames are meant ({names})"
            self.skipped.append((row, why))
            return []
        made = []
        for each in chosen:
            try:
                made.append(self._cut(row, each, len(chosen) > 1))
            except ArchiveError as error:
                self.skipped.append((row, str(error)))
        return made

    def _cut(self, row: Row, found: Keypoints, several: bool) -> Clip:
        T = len(found.points)
        first, last = found.first, found.first + (T - 1) * found.step
        begin = 0 if row.start is None else max(0, -(-(row.start - first) // found.step))
        end = T if row.end is None else min(T, (row.end - first) // found.step + 1)
        asked = f"frames {'first' if row.start is None else row.start} to {'last' if row.end is None else row.end}"
        if begin >= end:
            raise ArchiveError(f"{asked}: {row.file} has frames {first} to {last}")
        if row.end is not None and row.end > last:
            self.notices.add("short", row.shown, f"{row.shown}: {asked}: the recording ends with frame {last}")
        there = found.found[begin:end]
        if not there.any():
            raise ArchiveError(f"{asked}: nobody is found there")
        scores = None if found.scores is None else found.scores[begin:end]
        present = there.any((0, 2))
        kept = strongest(there * (1.0 if scores is None else scores), min(PERSONS, int(present.sum())))
        if present.sum() > PERSONS:
            line = f"{row.shown}: {present.sum()} people: the two who are seen most are kept"
            self.notices.add("kept", row.shown, line)
        name = found.name if several else row.file
        if row.start is not None or row.end is not None:
            name += f"[{first + begin * found.step}-{first + (end - 1) * found.step}]"
        return Clip(
            row, name, found.points[begin:end][:, kept].astype(np.float32), there[:, kept],
            None if scores is None else scores[:, kept].astype(np.float32), found.image,
        )  # fmt: skip


def _with_size(found: Keypoints, content: Sequence[dict[str, Any]]) -> Keypoints:
    """With the height and width that the annotation of a recording tells."""
    told = next((each.get("img_shape") for each in content if each.get("frame_dir") == found.name), None)
    with parsing(Path(found.name), "img_shape"):
        size = None if told is None else (int(told[0]), int(told[1]))
    return found._replace(image=size if size and min(size) > 0 else None)


def matched(folder: Folder, reader: Reader, rows: Sequence[Row]) -> tuple[dict[Path, list[Row]], list[Row]]:
    """The lines of each file, and those whose recording is not there.

    A name that is no file's may be that of a recording in a file which no line names: a video of a COCO data set, an
    annotation's ``frame_dir``, the third clip of an array (``walk_2``).

    Raises:
        UsageError: a name could be several files'.
    """
    found: dict[Path, list[Row]] = {}
    lost = []
    for row in rows:
        path = folder.find(row.file)
        if path is None:
            lost.append(row)
        else:
            found.setdefault(path, []).append(row)
    if not lost:
        return found, []
    by_name: dict[str, Path] = {}
    for path in folder.paths.values():
        if path not in found:
            by_name |= {name: path for name in reader.names(path) if name not in by_name}
    for row in lost:
        if row.file in by_name:
            found.setdefault(by_name[row.file], []).append(row)
    return found, [row for row in lost if row.file not in by_name]
