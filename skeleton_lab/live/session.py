"""The loop of ``skeleton-lab live``: frames in, and every so many frames a label for each person out.

Frames are never left out. Where the machine is too slow for a label, that label is: of the moments that have come while
the network was computing, only the latest is asked about. What is said then depends on the frames alone, so a recorded
session, which also holds at which frames the network was asked, gives the same lines again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skeleton_lab.inference import predictions
from skeleton_lab.live.ahead import Ahead
from skeleton_lab.live.evaluator import Evaluator
from skeleton_lab.live.figures import Figures
from skeleton_lab.live.labels import Labels
from skeleton_lab.live.reading import FAR
from skeleton_lab.live.sources import Frame

TICK = 0.2  # seconds after which the clock is looked at, where nothing comes


@dataclass(frozen=True)
class Outlets:
    """Where lines go: ``label`` takes each one said, ``record`` each frame and whether it was asked about; ``tick`` is
    called now and then."""

    label: Callable[[dict[str, Any]], None]
    record: Callable[[Frame, bool], None] = lambda frame, asked: None
    tick: Callable[[Figures], None] = lambda figures: None


class Session:
    """One run.

    Args:
        names: of the K classes. every: frames from label to label.
        recorded: the frames lie ready, so their delays count from when they are looked at, not from their arrival.
        skip: leave out labels that are overtaken; else the source waits for the network.
        idle: seconds without a frame after which it ends; None: never.
    """

    def __init__(
        self, evaluator: Evaluator, labels: Labels, names: Sequence[str], outlets: Outlets, *, every: int,
        recorded: bool, skip: bool, idle: float | None = None,
    ) -> None:  # fmt: skip
        self._evaluator, self._labels, self._names, self._outlets = evaluator, labels, names, outlets
        self._every, self._recorded, self._skip, self._idle = every, recorded, skip, idle
        self._newest: int | None = None
        self.figures = Figures()

    def run(self, frames: Iterable[Frame | None]) -> None:
        """Until the frames end. Raises what their source raises."""
        ahead = Ahead(frames)
        latest = time.monotonic()
        try:
            while (taken := ahead.take(TICK)) is not None:
                now = time.monotonic()
                latest = now if taken else latest
                if self._idle is not None and now - latest > self._idle:
                    return
                self._take(taken)
                self._outlets.tick(self.figures)
        finally:
            ahead.close()

    def _take(self, frames: Sequence[Frame]) -> None:
        due = [self._due(frame) for frame in frames]
        last = max((n for n, asked in enumerate(due) if asked), default=-1)
        for n, (frame, asked) in enumerate(zip(frames, due)):
            told = frame.asked
            if asked and told is None and self._skip and n < last:
                self.figures.skipped += 1
                asked = False
            self._handle(frame, asked)

    def _due(self, frame: Frame) -> bool:
        """Whether a label is due at a frame, which becomes the newest one; in a recorded session as it says."""
        before, every = self._newest, self._every
        self._count(frame, before)
        if frame.asked is not None:
            return frame.asked
        if before is None or frame.begins:
            return (frame.number + 1) % every == 0
        return (frame.number + 1) // every > (before + 1) // every

    def _count(self, frame: Frame, before: int | None) -> None:
        figures = self.figures
        if not figures.frames:
            figures.begin()
        figures.frames += 1
        if before is None or frame.begins:
            self._newest = frame.number
            return
        if frame.number <= before:
            figures.late += 1
            figures.missing = max(figures.missing - 1, 0)
        elif frame.number - before <= FAR:
            figures.missing += frame.number - before - 1
        self._newest = max(before, frame.number)

    def _handle(self, frame: Frame, asked: bool) -> None:
        arrived = time.monotonic() if self._recorded else frame.arrived
        if frame.begins:
            self._evaluator.forget()
            self._labels.forget()
        self._evaluator.push(frame)
        self._outlets.record(frame, asked)
        if asked:
            self._ask(frame)
        delay = time.monotonic() - arrived
        self.figures.per_frame.add(delay)
        if asked:
            self.figures.per_label.add(delay)

    def _ask(self, frame: Frame) -> None:
        answers = self._evaluator.logits()
        for who, logits in answers.items():
            label, p = self._labels.step(who, frame.time, logits)
            self._say(frame, who, label, p)
        for who in self._labels.gone(answers):
            self._say(frame, who, None, None)

    def _say(self, frame: Frame, who: int | str, label: int | None, p: np.ndarray | None) -> None:
        """``p`` None: the person has left."""
        line: dict[str, Any] = {"frame": frame.number, "time": round(frame.time, 6), "person": who}
        line |= {"label": None, "p": None}
        line["top5"] = [] if p is None else predictions.top(p, self._names)
        if p is not None:
            best = int(p.argmax()) if label is None else label
            line |= {"label": None if label is None else self._names[label], "p": round(float(p[best]), 6)}
            self.figures.labels += 1
        self._outlets.label(line)
