"""Frames are taken in by a thread of their own, so that none waits in a pipe while the network computes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from skeleton_lab.live.sources import Frame

MOST = 256  # frames that wait, some eight seconds; then the source has to


class Ahead:
    """What an iterator of frames has given so far.

    It is read on while ``take`` is not called, but never more than ``MOST`` frames ahead: a pipe then fills, and
    whoever writes into it waits; datagrams are lost, as they are wherever nobody takes them.
    """

    def __init__(self, frames: Iterable[Frame | None]) -> None:
        self._waiting: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._ended = self._closed = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._read, args=(frames,), name="frames", daemon=True)
        self._thread.start()

    def _read(self, frames: Iterable[Frame | None]) -> None:
        try:
            for frame in frames:
                with self._changed:
                    while len(self._waiting) >= MOST and not self._closed:
                        self._changed.wait()
                    if self._closed:
                        return
                    if frame is not None:
                        self._waiting.append(frame)
                        self._changed.notify_all()
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def take(self, seconds: float) -> list[Frame] | None:
        """The frames that wait, in order, none after ``seconds``; None where nothing more will come.

        Raises:
            what the iterator has raised, after the frames before it.
        """
        with self._changed:
            if not self._waiting and not self._ended:
                self._changed.wait(seconds)
            if self._waiting:
                frames = list(self._waiting)
                self._waiting.clear()
                self._changed.notify_all()
                return frames
            if self._error is not None:
                raise self._error
            return None if self._ended else []

    def close(self) -> None:
        """Read no further; the thread ends at the next frame, or when its source has waited long enough."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout=1)
