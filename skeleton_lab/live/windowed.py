"""The network is asked about the last frames as a whole, as ``predict`` asks about a window of a recorded file."""

from __future__ import annotations

import numpy as np

from skeleton_lab.errors import LabError
from skeleton_lab.inference import any_skeleton
from skeleton_lab.inference.keypoints import checking
from skeleton_lab.inference.keypoints.normalise import GAP
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.inference.network import Network
from skeleton_lab.inference.windows import ALL, SEEN, Recordings, Row, cut
from skeleton_lab.inference.wishes import Wishes
from skeleton_lab.live.placing import Placing
from skeleton_lab.live.reading import Reader
from skeleton_lab.live.rings import Rings
from skeleton_lab.live.sources import Frame


class Windowed:
    """An ``evaluator.Evaluator`` for every network.

    Somebody's window begins with their first frame of the last ``window`` ones, so that who has just come is not
    taken for somebody who stood at no place first; it ends with the newest frame. Frames that never came, or in which
    the person is missing, are filled in or stay empty as in a recorded file. So the answer at the last frame of a
    window of a recorded file is the one that ``predict`` gives, as far as that looks at nothing outside the window:
    where it scales bodies of an image to metres, it does so by everybody in the whole file.

    Args:
        reader: knows the joints of the frames, from the first person on.
        wishes: ``up``, ``score`` and ``together`` of a prediction.
        window: frames; None: as ``predict`` cuts.
        people: how many are judged at most, those who are seen most. least: frames of a window in which somebody has
            to be seen; None: a quarter of them.
        config: how messages call the configuration.
    """

    def __init__(
        self, network: Network, reader: Reader, wishes: Wishes, notices: Notices, *, window: int | None = None,
        people: int = checking.PERSONS, least: int | None = None, config: str = "--config",
    ) -> None:  # fmt: skip
        self._network, self._reader, self._wishes, self._notices = network, reader, wishes, notices
        self.frames = window or network.window_of_recordings
        assert network.K is not None
        self.K = network.K
        self._people = network.persons if wishes.together else people
        self._least = max(1, round(SEEN * self.frames)) if least is None else least
        self._placing = Placing(network, reader, wishes, notices, config)
        self._rings = Rings(self.frames)
        self._scored = True

    def forget(self) -> None:
        self._rings.forget()

    def push(self, frame: Frame) -> None:
        self._scored = frame.scored if frame.people else self._scored
        self._rings.push(frame)

    def logits(self) -> dict[int | str, np.ndarray]:
        groups = self._asked() if self._rings.newest is not None else {}
        clips: dict[int | str, tuple[Recordings, np.ndarray]] = {}
        for who, ids in groups.items():
            try:
                recordings = self._placed(who, ids)
            except LabError as error:  # of this person, now: the next window may be better
                self._notices.add("not placed", "", f"not judged: {error}")
                continue
            if len(recordings) and recordings.points(0).any():
                row = Row(0, 0, len(recordings.points(0)), ALL)
                clips[who] = recordings, cut(recordings, row)
        if not clips:
            return {}
        first = next(iter(clips.values()))[0]
        describe = first.described if isinstance(first, any_skeleton.Unplaced) else lambda made: made
        made = self._network.clips_logits((clip for _, clip in clips.values()), len(clips), describe=describe)
        return dict(zip(clips, made))

    def _asked(self) -> dict[int | str, list[int]]:
        """Who is judged, and whom that means: each alone, or all of them together."""
        rings = self._rings
        assert rings.newest is not None
        seen = {id: rings.of[id].seen(rings.begin, rings.newest) for id in rings.of}
        there = {
            id: len(frames) for id, frames in seen.items()
            if len(frames) >= self._least and frames[-1] >= rings.newest - GAP
        }  # fmt: skip
        most = set(sorted(there, key=lambda id: -there[id])[: self._people])
        kept = [id for id in there if id in most]
        if self._wishes.together:
            return {ALL: kept} if kept else {}
        return {id: [id] for id in kept}

    def _placed(self, who: int | str, ids: list[int]) -> Recordings:
        """A recording of these people alone, from the first frame with one of them.

        Raises:
            LabError: they cannot be placed.
        """
        rings = self._rings
        assert rings.newest is not None
        first = min(int(rings.of[id].seen(rings.begin, rings.newest)[0]) for id in ids)
        x = np.stack([rings.of[id].window(first, rings.newest) for id in ids], 1)
        return self._placing(x, self._scored, f"person {who}" if who != ALL else "everybody")
