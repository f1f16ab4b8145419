"""Recordings for a network of any skeleton, as the archive that it was trained on would hold them.

Joints are not mapped: a recording has the network's skeleton, or a longer one that has all of its joints by name. What
happens to its coordinates is what ``prepare clips`` does (``clips.placing``); the network's feeder then places people
as in training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.errors import UsageError
from skeleton_lab.inference import recordings as inputs
from skeleton_lab.inference.clips import placing
from skeleton_lab.inference.clips.cutting import Clip
from skeleton_lab.inference.clips.joints import Skeletons
from skeleton_lab.inference.clips.labels import Row as Line
from skeleton_lab.inference.keypoints import reading
from skeleton_lab.inference.keypoints.checking import Keypoints
from skeleton_lab.inference.keypoints.notices import Notices, Without
from skeleton_lab.inference.windows import Recordings
from skeleton_lab.inference.wishes import Wishes
from skeleton_lab.reporting.viewer.clip_source import raw_recordings
from skeleton_lab.skeletons import layouts
from skeleton_lab.skeletons.layouts import Layout

NAMED = {2: "x, y", 3: "x, y, z"}


class _Recording(Line):
    """A recording in place of a line of labels; messages call it by its name."""

    @property
    def shown(self) -> str:
        return self.file


class Unplaced(Recordings):
    """Recordings (T, M, V, C) in the units of their files, C as the network reads it.

    Attributes:
        skeleton: of all; units, scored: as of ``Clips``.
    """

    centre = False  # the feeder places them

    def __init__(
        self, names: Sequence[str], labels: Sequence[int | None] | None, skeleton: Layout, units: str, scored: bool
    ) -> None:
        super().__init__(names, labels, skeleton.name)
        self.skeleton, self.units, self.scored = skeleton, units, scored
        self._points: list[np.ndarray] = []

    def points(self, k: int) -> np.ndarray:
        return self._points[k]

    def described(self, clips: Clips) -> Clips:
        """Say on clips made of these recordings what an archive of them would say."""
        clips.skeleton, clips.units, clips.scored = self.skeleton, self.units, self.scored
        return clips


class StoredUnplaced(Unplaced):
    """Clips of an archive of the network's skeleton, one at a time."""

    def __init__(self, clips: Clips, names: Sequence[str], skeleton: Layout) -> None:
        super().__init__(names, clips.labels.tolist(), skeleton, clips.units or skeleton.units, clips.scored)
        self.clips, self.class_names = clips, clips.class_names

    def points(self, k: int) -> np.ndarray:
        length = max(1, int(self.clips.lengths(np.array([k]))[1][0]))
        return self.clips.gather(np.array([k]), np.arange(length)[None])[0]


def of_keypoints(
    given: Path | np.ndarray, skeleton: Layout, channels: int, scored: bool, wishes: Wishes, notices: Notices
) -> Unplaced | None:
    """Recordings of a file, a folder or an array; None for an archive.

    Args:
        skeleton, channels, scored: of the clips that the network was trained on.

    Raises:
        ArchiveError and its kin: missing, damaged, or of nobody.
        UsageError: another skeleton, or other coordinates than the network takes.
    """
    skeletons = Skeletons(skeleton, True, wishes.keypoints is not None, notices)
    if wishes.keypoints is not None and layouts.layout(wishes.keypoints) != skeleton:
        raise UsageError(f"--keypoints {wishes.keypoints}: the network takes {skeleton.name}; leave it out")
    read = _read(given, skeletons, notices)
    if read is None:
        return None
    found, source, labels = read
    where = str(given) if isinstance(given, Path) else "the array"
    found = [skeletons.settled(each, source, where) for each in found]
    wish = placing.Wish(wishes.up, wishes.least_score)
    return of_found(found, labels, skeleton, channels, scored, wish, notices, where)


def of_found(
    found: Sequence[Keypoints], labels: Sequence[int | None], skeleton: Layout, channels: int, scored: bool,
    wish: placing.Wish, notices: Notices, where: str,
) -> Unplaced:  # fmt: skip
    """Recordings of key points in the joints of ``skeleton``; those that cannot be placed are left out and said.

    Raises:
        ArchiveError: none can be placed. UsageError: other coordinates than the network takes.
    """
    clips = [_clip(each) for each in found]
    placed = placing.placed(clips, skeleton, wish, Without("size", notices))  # the network has no use for it
    for clip, why in placed.skipped:
        notices.add(f"left out {clip.name}", clip.name, f"left out: {why}")
    kept = [next(k for k, clip in enumerate(clips) if clip.row is each.row) for each in placed.rows]
    names = [clips[k].name for k in kept]
    known = [labels[k] for k in kept]
    told = known if any(label is not None for label in known) else None
    made = Unplaced(names, told, skeleton, placed.units, scored)
    made._points = [_fitted(x.transpose(1, 3, 2, 0), placed.scored, channels, scored, where) for x in placed.x]
    return made


def check_archive(clips: Clips, skeleton: Layout, channels: int, where: str) -> None:
    """UsageError if clips of an archive are of another skeleton, or of other coordinates, than the network takes."""
    if clips.skeleton is not None and clips.skeleton.name != skeleton.name:
        raise UsageError(f"{where} is of the skeleton {clips.skeleton.name}, and the network takes {skeleton.name}")
    if (skeleton.V, channels) != (clips.V, clips.C):
        raise UsageError(
            f"{where} has {clips.V} joints of {clips.C} channels, and the network takes {skeleton.V} of {channels} "
            f"({skeleton.name})"
        )


def _read(
    given: Path | np.ndarray, skeletons: Skeletons, notices: Notices
) -> tuple[list[Keypoints], Layout, Sequence[int | None]] | None:
    """Recordings, their skeleton and the classes of those that have one. Joints of every score are taken: the feeder
    looks at the scores."""
    choose: Callable[[int, str], Any] = skeletons.choose
    if isinstance(given, np.ndarray):
        found, source = reading.of_array(Path("array"), given, None, False, choose, 0, notices)
    elif raw := raw_recordings(given):
        read = inputs.raw(raw, notices)
        return read.keypoints, layouts.layout(read.scheme.name), read.labels
    elif (content := inputs.annotation_list(given)) is not None:
        read = inputs.annotated(given, content, choose, 0, notices)
        return read.keypoints, _layout(read.scheme), read.labels
    elif reading.is_keypoints(given):
        found, source = reading.read(given, choose, 0, notices, skeletons.named)
    else:
        return None
    return found, _layout(source), [None] * len(found)


def _layout(scheme: Any) -> Layout:
    return scheme if isinstance(scheme, Layout) else layouts.layout(scheme.name)


def _clip(found: Keypoints) -> Clip:
    scores = None if found.scores is None else found.scores.astype(np.float32)
    points = np.where(found.found[..., None], found.points, 0).astype(np.float32)
    return Clip(_Recording(0, found.name, ""), found.name, points, found.found, scores, found.image)


def _fitted(x: np.ndarray, has_score: bool, channels: int, scored: bool, where: str) -> np.ndarray:
    """(T, M, V, channels): a score is made of whether a joint was found, or left out, as the network takes one."""
    D, wanted = x.shape[-1] - has_score, channels - scored
    if wanted != D:
        has, takes = NAMED.get(D, D), NAMED.get(wanted, wanted)
        raise UsageError(f"{where} has {has} of each joint, and the network takes {takes}")
    if has_score and not scored:
        return x[..., :D]
    if scored and not has_score:
        return np.concatenate([x, x.any(-1, keepdims=True).astype(x.dtype)], -1)
    return x
