"""What is asked of the network: recordings, cut into windows, everybody together and each person alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.errors import ArchiveError, UsageError
from skeleton_lab.inference.keypoints import normalise, reading
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.inference.keypoints.reading import Keypoints
from skeleton_lab.skeletons.layouts import Layout
from skeleton_lab.skeletons.schemes import SCHEMES, Scheme
from skeleton_lab.utils.reliability import probabilities

ALL = "all"  # who a row looks at: everybody, or "person 1", "person 2"
SEEN = 0.25  # share of a window that somebody who is asked for alone is there


class Recordings:
    """Placed recordings: ``points(k)`` (T, M, V, 3) float32 of the network's joints, zeros where nobody is.

    ``labels`` are ids of classes, None where one is not known; None where they are of other actions than the network's.
    One that cannot be placed holds nobody, and a notice says why; ``trouble`` is the first such reason.
    """

    trouble: ArchiveError | None = None
    centre = True  # windows are centred as the clips of published archives are
    skeleton: Layout | None = None  # of the joints, where they are not told by their number
    scored = False  # with a skeleton: the last channel is a score
    class_names: Sequence[str] | None = None  # of an archive that tells them

    def __init__(self, names: Sequence[str], labels: Sequence[int | None] | None, scheme: str) -> None:
        self.names, self.labels, self.scheme = list(names), labels, scheme

    def __len__(self) -> int:
        return len(self.names)

    def points(self, k: int) -> np.ndarray:
        raise NotImplementedError

    def _placed(self, make: Callable[[], np.ndarray], name: str, shape: tuple[int, int], notices: Notices):
        """What ``make`` returns; of a recording that cannot be placed (frames, joints) ``shape`` of nobody."""
        try:
            return make()
        except ArchiveError as error:
            self.trouble = self.trouble or error
            notices.add(f"left out {name}", name, f"left out: {error}")
            return np.zeros((shape[0], 1, shape[1], 3), np.float32)


class Own(Recordings):
    """Recordings of a file of key points, placed as the network's archive is."""

    def __init__(
        self,
        found: Sequence[Keypoints],
        source: Scheme,
        target: Scheme,
        up: str | None,
        notices: Notices | None = None,
        labels: Sequence[int | None] | None = None,
    ) -> None:
        super().__init__([keypoints.name for keypoints in found], labels, source.name)
        notices = Notices() if notices is None else notices
        self._points = [
            self._placed(
                partial(normalise.placed, each, source, target, up, notices),
                each.name, (len(each.points), target.V), notices,
            )
            for each in found
        ]  # fmt: skip

    def points(self, k: int) -> np.ndarray:
        return self._points[k]


class Stored(Recordings):
    """Clips of an archive, as they are, or as key points where ``source`` and ``target`` differ in their joints."""

    def __init__(
        self, clips: Clips, names: Sequence[str], scheme: Scheme | None, target: Scheme | None, up: str | None = None,
        score: float = reading.SCORE, notices: Notices | None = None,
    ) -> None:  # fmt: skip
        labels = None if clips.labels is None else clips.labels.tolist()
        super().__init__(names, labels, scheme.name if scheme else f"{clips.V} joints")
        self.clips, self._scheme, self._target, self._up = clips, scheme, target, up
        self._score, self._notices = score, Notices() if notices is None else notices

    def points(self, k: int) -> np.ndarray:
        length = max(1, int(self.clips.lengths(np.array([k]))[1][0]))
        clip = self.clips.gather(np.array([k]), np.arange(length)[None])[0]
        if self._scheme is None or self._target is None or self._scheme is self._target:
            return clip
        mapped = partial(self._mapped, clip, k, self._scheme, self._target)
        return self._placed(mapped, self.names[k], (length, self._target.V), self._notices)

    def _mapped(self, clip: np.ndarray, k: int, source: Scheme, target: Scheme) -> np.ndarray:
        keypoints = reading.of_archive(clip, source, self.names[k], self.clips.path, self._score, self._notices)
        return normalise.placed(keypoints, source, target, self._up, self._notices)


@dataclass
class Row:
    """One question: frames first..last-1 of a recording and who is looked at."""

    recording: int
    first: int
    last: int
    who: str
    logits: np.ndarray = field(default_factory=lambda: np.empty(0))  # (K,)
    temperature: float = 1.0  # of the network's calibration
    known: bool | None = None  # whether it looks like a class of the training; None: nobody knows

    @property
    def probabilities(self) -> np.ndarray:
        """(K,) float64."""
        return probabilities(self.logits, self.temperature)


def windows(T: int, window: int, stride: int) -> list[tuple[int, int]]:
    """(first, end) of windows over T frames, every ``stride``; the last one ends with the recording.

    Where less than half a step is left behind the last window, that one is longer: another would be almost the same.
    A window of 0, or one that is not shorter than the recording, is the whole recording.
    """
    if window < 1 or window >= T:
        return [(0, T)]
    starts = list(range(0, T - window + 1, stride))
    left = T - starts[-1] - window
    if 2 * left >= min(window, stride) and left:
        starts.append(T - window)
    return [*((start, start + window) for start in starts[:-1]), (starts[-1], T)]


def rows_of(
    recordings: Recordings, window: int, stride: int, persons: int, alone: bool, everybody: bool = True
) -> list[Row]:
    """The rows of all recordings; windows without anybody are left out.

    Args:
        persons: how many the network sees at once; where there are more, nobody asks for all of them.
        alone: where there are two, also each of them who is there in a quarter of the window.
        everybody: ask for all together.
    """
    rows = []
    for k in range(len(recordings)):
        points = recordings.points(k)
        for first, last in windows(len(points), window, stride):
            seen = points[first:last].any((2, 3)).mean(0)
            present = np.flatnonzero(seen)
            if everybody and 0 < len(present) <= persons:
                rows.append(Row(k, first, last, ALL))
            if len(present) > 1 and (alone or len(present) > persons):
                rows += [Row(k, first, last, f"person {m + 1}") for m in present if seen[m] >= SEEN]
    return rows


def cut(recordings: Recordings, row: Row, centre: bool = True) -> np.ndarray:
    """The frames of a row (T, M, V, C): people who are not asked for left out, centred as an archive's clips."""
    points = recordings.points(row.recording)[row.first : row.last]
    if row.who != ALL:
        m = int(row.who.split()[1]) - 1
        points = points[:, m : m + 1]
    else:
        present = points.any((0, 2, 3))
        points = points[:, present] if present.any() else points[:, :1]
    return normalise.centred(points) if centre and recordings.centre else points


def cuts(recordings: Recordings, rows: Sequence[Row]) -> Iterator[np.ndarray]:
    for row in rows:
        yield cut(recordings, row)


def scheme_for(joints: int, where: str) -> Scheme:
    """The network's skeleton as a target of maps.

    Raises:
        UsageError: no map leads to it.
    """
    for name in ("ntu25", "ucla20"):
        if joints == SCHEMES[name].V:
            return SCHEMES[name]
    raise UsageError(
        f"{where}: this network takes {joints} joints, and key points can be mapped to 25 (NTU RGB+D) or 20 (NW-UCLA) "
        "only; give an archive of such clips, or another configuration"
    )
