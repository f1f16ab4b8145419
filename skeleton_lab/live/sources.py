"""Where frames come from: a stream of JSON lines, a file that grows, datagrams.

Every source is an iterator of ``Frame``, one moment with the people in it. A source ends when there is nothing more to
come, and gives None now and then while it waits, so that whoever reads it can look at the clock.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from skeleton_lab.errors import UsageError

LONGEST = 1 << 20  # bytes of a line: a hundred people of 133 joints are fewer
SHOWN = 80  # bytes that are left of a longer one
PIECE = 1 << 16  # bytes read at once
PAUSE = 0.02  # seconds between two looks at a file that grows, and the longest wait for anything else
AGAIN = 10  # frames of an earlier time in a row, after which a source has begun again
LOOPBACK = "127.0.0.1"


class Frame(NamedTuple):
    """One moment.

    Attributes:
        number: of the frame; a window is so many numbers, and those that never come are empty frames.
        time: seconds, by the source's own clock: its zero is anywhere.
        people: by id, (V, 3) float64 of x, y and score, or (V, 4) of x, y, z and score, in the source's joints; joints
            that were not found have a score of 0, or NaN.
        scored: the scores are the source's; else they are 1 of joints that were found.
        arrived: ``time.monotonic()`` when it came in, before anything was made of it.
        begins: the source has begun anew: what was before it is of another time.
        asked: of a recorded session, whether the network was asked at this frame; None of all others.
    """

    number: int
    time: float
    people: dict[int, np.ndarray]
    scored: bool = True
    arrived: float = 0.0
    begins: bool = False
    asked: bool | None = None


class Lines:
    """Whole lines of bytes that come in pieces; one that is too long to be a frame is cut, and cannot be read."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False

    def add(self, piece: bytes) -> Iterator[bytes]:
        """The lines that end in ``piece``; its last bytes wait for the next one."""
        *whole, self._rest = (self._rest + piece).split(b"\n")
        for line in whole:
            if not self._skipping:
                yield line
            self._skipping = False
        if len(self._rest) > LONGEST:
            if not self._skipping:
                yield self._rest[:SHOWN]
            self._skipping, self._rest = True, b""

    def end(self) -> Iterator[bytes]:
        """What stands behind the last line end: the last line, where nothing more comes."""
        if self._rest and not self._skipping:
            yield self._rest
        self.forget()

    def forget(self) -> None:
        """Drop a line that was begun: it goes on nowhere."""
        self._rest, self._skipping = b"", False


def piped(descriptor: int, lines: Lines) -> Iterator[bytes | None]:
    """The lines of a pipe or a file that is open, to its end.

    By the descriptor: a buffered stream that another thread is reading could not be closed when the program ends.
    """
    while True:
        if not select.select([descriptor], [], [], PAUSE)[0]:
            yield None
            continue
        piece = os.read(descriptor, PIECE)
        if not piece:
            yield from lines.end()
            return
        yield from lines.add(piece)


def written(path: Path, lines: Lines, follow: bool = False) -> Iterator[bytes | None]:
    """The lines of a file; with ``follow`` also those that are still to be written, for ever.

    A file that is followed may be cut to nothing or replaced by another of its name, as logs are: its lines are then
    read from the first one on.

    Raises:
        UsageError: it is not there, or is no file.
    """
    if not path.is_file():
        raise UsageError(f"--input {path} is no file" if path.exists() else f"--input {path}: there is no such file")
    return _written(path, lines, follow)


def _written(path: Path, lines: Lines, follow: bool) -> Iterator[bytes | None]:
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open(path, "rb", buffering=0))
        while True:
            piece = file.read(PIECE)
            if piece:
                yield from lines.add(piece)
            elif not follow:
                yield from lines.end()
                return
            elif _another(path, file.fileno(), file.tell()):
                stack.close()
                file = stack.enter_context(open(path, "rb", buffering=0))
                lines.forget()
            else:
                yield None
                time.sleep(PAUSE)


def _another(path: Path, descriptor: int, read: int) -> bool:
    """Whether the file of this name is not the one that is open, or has become shorter than what was read of it."""
    try:
        now, then = path.stat(), os.fstat(descriptor)
    except FileNotFoundError:  # moved away: its successor is yet to come
        return False
    return (now.st_dev, now.st_ino) != (then.st_dev, then.st_ino) or now.st_size < read


def datagrams(port: int, host: str = LOOPBACK) -> Iterator[bytes | None]:
    """The lines of datagrams that come to a UDP port, for ever; one datagram holds one line or several.

    Raises:
        UsageError: the port cannot be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        listening = socket.socket(found[0], socket.SOCK_DGRAM)
    except OSError as error:
        raise UsageError(f"--host {host}: {error.strerror or error}") from error
    try:
        listening.bind(found[4])
    except OSError as error:
        listening.close()
        raise UsageError(f"--udp {port}: cannot listen on {host}: {error.strerror or error}") from error
    return _received(listening)


def _received(listening: socket.socket) -> Iterator[bytes | None]:
    with listening:
        listening.settimeout(PAUSE)
        while True:
            try:
                datagram = listening.recv(PIECE)
            except TimeoutError:
                yield None
            else:
                yield from datagram.split(b"\n")
