"""The ``.skeleton`` text of NTU RGB+D (Kinect v2): frames of bodies of 25 joints, in UAV-Human of 17.

number of frames
per frame: number of bodies
  per body: 10 fields (id, edges, hands, lean, tracking); the number of joints, V
    per joint: 12 fields: x y z in metres, depth x y, colour x y, orientation w x y z, tracking
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from skeleton_lab.data.preprocessing.recordings import Source
from skeleton_lab.errors import ArchiveError

JOINTS, BODY_FIELDS, JOINT_FIELDS = 25, 10, 12
LARGEST = 1e4  # metres: what is farther away is damage


@dataclass(frozen=True)
class Recording:
    """One file.  Body b of frame f is row ``starts[f] + b`` of ``ids``, ``joints`` and ``colors``, in file order.

    starts: (F + 1,) int64; ids: text, since float64 would merge neighbouring ones; joints: (B, V, 3) float64, metres;
    colors: (B, V, 2) float32, pixels of the colour image, or None where they were not asked for.
    """

    starts: np.ndarray
    ids: list[str]
    joints: np.ndarray
    colors: np.ndarray | None = None

    @property
    def frames(self) -> int:
        return len(self.starts) - 1

    def rows(self) -> Iterator[range]:
        """The rows of each frame."""
        for start, stop in pairwise(self.starts.tolist()):
            yield range(start, stop)


def read(source: Source, colors: bool = False, joints: int = JOINTS) -> Recording:
    """Parse one recording whose bodies have so many joints.

    Raises:
        ArchiveError: unreadable or damaged; the message has the file, the line and what was expected there.
    """
    data = source.read()
    try:
        return parse(data, colors, joints)
    except ValueError as error:
        raise ArchiveError(f"{source.shown}, {error}") from error


def parse(data: bytes, colors: bool = False, V: int = JOINTS) -> Recording:
    """Parse the text of one recording; line ends are CRLF or LF.

    Raises:
        ValueError: "line 12: ..." where the text departs from the grammar.
    """
    lines = data.split(b"\n")
    if b"_" in data:  # Python reads 1_0 as a number
        number = data.count(b"\n", 0, data.index(b"_"))
        raise ValueError(f"line {number + 1}: numbers expected, not {_seen(lines[number])}")
    frames = _count(lines, 0, "frames")
    if not frames:
        raise ValueError("line 1: a recording without frames")
    starts, ids, texts, tints, heads = [0], [], [], [], []
    at = 1
    for _ in range(frames):
        bodies = _count(lines, at, "bodies")
        at += 1
        for _ in range(bodies):
            body, count = _body_id(lines, at), _count(lines, at + 1, "joints")
            if not count:  # a body that was announced and not seen: nobody
                at += 2
                continue
            ids.append(body)
            if count != V:
                raise ValueError(f"line {at + 2}: {V} joints expected, not {_seen(lines[at + 1])}")
            heads.append(at + 2)
            at += 2 + V
            _joints(lines, heads[-1], V, texts, tints if colors else None)
        starts.append(len(ids))
    for number in range(at, len(lines)):
        if lines[number].strip():
            raise ValueError(f"line {number + 1}: the end expected after {frames} frames, not {_seen(lines[number])}")
    joints = _numbers(texts, 3, heads, V).reshape(-1, V, 3)
    wrong = ~(np.abs(joints) <= LARGEST).all(axis=2)  # NaN is not, either
    if wrong.any():
        body, joint = np.argwhere(wrong)[0].tolist()
        raise ValueError(f"line {heads[body] + joint + 1}: a coordinate in metres expected")
    tint = _numbers(tints, 2, heads, V).astype(np.float32).reshape(-1, V, 2) if colors else None
    return Recording(np.array(starts, np.int64), ids, joints, tint)


def _seen(line: bytes) -> str:
    text = line.strip()[:40].decode("ascii", "replace")
    return repr(text) if text else "an empty line"


def _line(lines: list[bytes], at: int, what: str) -> bytes:
    # The text after the last line end is a line only if it holds something.
    if at >= len(lines) or (at == len(lines) - 1 and not lines[at].strip()):
        raise ValueError(f"line {at + 1}: {what} expected, but the file ends (an unfinished copy?)")
    return lines[at]


def _count(lines: list[bytes], at: int, what: str) -> int:
    text = _line(lines, at, f"the number of {what}").strip()
    if not text.isdigit() or len(text) > 9:
        raise ValueError(f"line {at + 1}: the number of {what} expected, not {_seen(text)}")
    return int(text)


def _body_id(lines: list[bytes], at: int) -> str:
    fields = _line(lines, at, f"a body of {BODY_FIELDS} fields").split()
    if len(fields) != BODY_FIELDS or not fields[0].isdigit() or len(fields[0]) > 20:
        raise ValueError(f"line {at + 1}: a body of {BODY_FIELDS} fields with its id expected, not {_seen(lines[at])}")
    return fields[0].decode()


def _joints(lines: list[bytes], at: int, V: int, texts: list[bytes], tints: list[bytes] | None) -> None:
    """Append the fields that are kept of the V lines from ``at`` on; the numbers are made for all bodies at once."""
    block = lines[at : at + V]
    try:
        for line in block:
            x, y, z, rest = line.split(None, 3)
            # One blank between fields, as in the published files, is counted; anything else is split.
            if rest.count(b" ") != JOINT_FIELDS - 4 and len(rest.split()) != JOINT_FIELDS - 3:
                raise ValueError
            texts += (x, y, z)
            if tints is not None:
                tints += rest.split()[2:4]
        if len(block) == V:
            return
    except ValueError:
        pass
    for number in range(at, at + V):
        what = f"joint {number - at} of {V} with {JOINT_FIELDS} fields"
        if len(_line(lines, number, what).split()) != JOINT_FIELDS:
            raise ValueError(f"line {number + 1}: {what} expected, not {_seen(lines[number])}")


def _numbers(texts: list[bytes], columns: int, heads: list[int], V: int) -> np.ndarray:
    try:
        return np.array(list(map(float, texts)), np.float64)
    except ValueError:
        place = next(i for i, text in enumerate(texts) if not _is_number(text))
    body, joint = divmod(place // columns, V)
    raise ValueError(f"line {heads[body] + joint + 1}: a number expected, not {_seen(texts[place])}")


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
