"""The network takes each frame once, as ``nn.continual`` derives it, in place of a window again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.errors import LabError, UsageError
from skeleton_lab.inference import any_skeleton
from skeleton_lab.inference.keypoints import checking
from skeleton_lab.inference.keypoints.normalise import GAP
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.inference.network import Network
from skeleton_lab.inference.windows import ALL, SEEN, Row, cut
from skeleton_lab.inference.wishes import Wishes
from skeleton_lab.live.placing import Placing
from skeleton_lab.live.reading import Reader
from skeleton_lab.live.resampling import moved
from skeleton_lab.live.sources import Frame
from skeleton_lab.nn.continual import Continual, Stream
from skeleton_lab.skeletons.schemes import SCORE

PIECE = 32  # frames that wait to be asked about; then they are taken in all the same


@dataclass
class Followed:
    """One person, since they came.

    Attributes:
        newest: number of the latest frame. waiting: frames (V, C) that the network has not seen.
        first: the first ones (A, V, C), by which all others are placed; None until there are enough.
        latest: the last frame that the network has seen, its missing joints where they were seen last.
    """

    newest: int
    waiting: list[np.ndarray] = field(default_factory=list)
    scored: bool = True
    first: np.ndarray | None = None
    latest: np.ndarray | None = None
    stream: Stream | None = None


class FrameByFrame:
    """An ``evaluator.Evaluator`` for networks that have a continual form; each person is judged alone.

    Somebody's first frames are placed as ``predict`` places a recording, and all later ones as if they were part of it:
    about the same origin, in the same size. So with frames that lie in metres the answer while the window is not full,
    and at the frame that fills it, is what ``predict`` says to a recording that ends there; key points of an image get
    the size of the body from the first frames alone. A frame that never came is where a straight line between its
    neighbours is; what comes late is left out; who is gone for more than ``GAP`` frames begins anew.

    Args:
        end: of ``Continual.logits``: "pad" or "wait".
        wishes, config: as of ``windowed.Windowed``. people: how many are judged at most, those who came first.
        window: frames that a judgement looks back on; None: those of the network's configuration.
        least: frames from somebody's first one until they are judged, and by which they are placed; None: a quarter of
            the window.

    Raises:
        UsageError: the network has no continual form; its feeder does not make frames one by one; people are to be
            judged together.
    """

    def __init__(
        self, network: Network, reader: Reader, wishes: Wishes, notices: Notices, *, end: str = "pad",
        window: int | None = None, people: int = checking.PERSONS, least: int | None = None, config: str = "--config",
    ) -> None:  # fmt: skip
        if wishes.together:
            raise UsageError("--continual judges each person alone: leave out --together")
        self._network, self._notices, self._people, self._end = network, notices, people, end
        self.frames = window or network.window or network.window_of_recordings
        assert network.K is not None
        self.K = network.K
        self._least = max(1, round(SEEN * self.frames)) if least is None else least
        self._found = max(reader.least, SCORE if network.skeleton is not None else 0.0)
        self._placing = Placing(network, reader, wishes, notices, config)
        self._continual = Continual(network.net, self.frames)
        check_feeder(network)
        self.forget()

    def forget(self) -> None:
        self._of: dict[int, Followed] = {}
        self._newest: int | None = None

    def push(self, frame: Frame) -> None:
        self._newest = newest = frame.number if self._newest is None else max(self._newest, frame.number)
        self._of = {id: each for id, each in self._of.items() if each.newest >= newest - GAP - 1}
        for id, x in frame.people.items():
            if id not in self._of:
                if len(self._of) >= self._people:
                    continue
                self._of[id] = Followed(frame.number - 1)
            person = self._of[id]
            self._add(person, frame.number, x, frame.scored)
            if len(person.waiting) >= max(PIECE, self._least):
                self._take_in(id)

    def _add(self, person: Followed, number: int, x: np.ndarray, scored: bool) -> None:
        """A frame, and those that are missing before it; nothing of one that is late."""
        before = person.waiting[-1] if person.waiting else person.latest
        for k in range(person.newest + 1, number):
            share = (k - person.newest) / (number - person.newest)
            assert before is not None  # or the person would begin here
            person.waiting.append(moved(before, x, share))
        if number > person.newest:
            person.waiting.append(x)
            person.newest, person.scored = number, scored

    def logits(self) -> dict[int | str, np.ndarray]:
        told: dict[int | str, np.ndarray] = {}
        for id in list(self._of):
            self._take_in(id)
            stream = self._of[id].stream if id in self._of else None
            answer = None if stream is None else self._continual.logits(stream, self._end)
            if answer is not None:
                told[id] = answer[0].float().cpu().numpy()
        return told

    def _take_in(self, id: int) -> None:
        """Let the network see the frames that wait; a person who cannot be placed begins anew."""
        person = self._of[id]
        if not person.waiting or (person.stream is None and len(person.waiting) < self._least):
            return
        try:
            self._pushed(person, f"person {id}")
        except LabError as error:
            self._notices.add("not placed", "", f"not judged: {error}")
            del self._of[id]

    def _pushed(self, person: Followed, name: str) -> None:
        new, person.waiting = person.waiting, []
        if person.first is None or person.latest is None:
            person.first, before = np.stack(new), []
            person.stream, clip = self._continual.start(), person.first
        else:
            before = [*person.first, person.latest]
            new = self._held(person.latest, new)
            clip = np.stack([*before, *new])
        recordings = self._placing(clip[:, None], person.scored, name)
        describe = recordings.described if isinstance(recordings, any_skeleton.Unplaced) else lambda made: made
        placed = cut(recordings, Row(0, 0, len(clip), ALL))
        x = self._network.every_frame(placed, describe)
        assert person.stream is not None
        self._continual.push(person.stream, x[:, :, len(before) :])
        latest = new[0] if person.latest is None else person.latest
        person.latest = self._held(latest, new)[-1]

    def _held(self, latest: np.ndarray, new: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Frames whose missing joints are where they were last, with the score of one that is just found."""
        made = []
        for x in new:
            missing = ~(np.isfinite(x).all(-1) & (x[:, -1] > 0) & (x[:, -1] >= self._found))
            held = np.where(missing[:, None], latest, x)
            known = latest[:, -1] > 0
            held[missing & known, -1] = np.clip(latest[missing & known, -1], self._found or 1e-3, None)
            latest = np.nan_to_num(held)
            made.append(latest)
        return made


def check_feeder(network: Network) -> None:
    """Whether a clip's first frames are what they are without the frames behind them, of a body that only drifts.

    Raises:
        UsageError: they are not, as in streams of motion, or where a feeder stretches clips.
    """
    skeleton, channels, rng = network.skeleton, network.channels if network.skeleton else 3, np.random.default_rng(0)
    pose, way = rng.normal(0, 1, (2, network.joints, channels))
    clip = pose + way[:1] * np.arange(8)[:, None, None, None] / 10
    describe: Callable[[Clips], Clips] = lambda made: made  # noqa: E731
    if skeleton is not None:
        describe = any_skeleton.Unplaced(["drift"], None, skeleton, skeleton.units, network.scored).described
    if network.scored:
        clip[..., -1] = 1
    whole, begin = (network.every_frame(each.astype(np.float32), describe) for each in (clip, clip[:5]))
    if not np.allclose(whole[:, :, :5].cpu(), begin.cpu(), atol=1e-3):
        raise UsageError(
            f"--continual: {network.options.feeder} looks at frames behind the one that it makes, as streams of motion "
            "do: leave it out"
        )
