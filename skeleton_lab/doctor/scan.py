"""One pass over the clips of a split: what is measured of each, and what is counted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from skeleton_lab.data.archives import scrambled
from skeleton_lab.data.archives.prenormalize import CENTRE
from skeleton_lab.doctor.intake import Part
from skeleton_lab.doctor.joints import Measured

NTU = (2, 25, 3)  # persons, joints, coordinates of the files that the orders of columns are about


@dataclass
class Scan:
    """Per clip, (N,) each.

    Attributes:
        n, e: frames that hold something, and 1 + the last of them.
        first, second, same: person 0 or 1 is there; both are there and equal.
        bad: frame of the first NaN or Inf, -1 without.
        frozen: nothing moves, in at least two frames.
        centred: joint 1 of person 0 is the origin where person 0 enters.
        swapped: it is joint 1 of person 1 instead, or there is a person 1 without a person 0.
        odd: every second column is zero and later ones are not, as where the person varies fastest.
        extent: largest absolute coordinate.
        digest: of the content, 8 bytes as an integer.
        traces: counts of ``orders.traces``. example: the first clip with content, (T, M, V, C).
        joints: of an archive that says its skeleton, what its joints say.
    """

    n: np.ndarray
    e: np.ndarray
    first: np.ndarray
    second: np.ndarray
    same: np.ndarray
    bad: np.ndarray
    frozen: np.ndarray
    centred: np.ndarray
    swapped: np.ndarray
    odd: np.ndarray
    extent: np.ndarray
    digest: np.ndarray
    traces: np.ndarray = field(default_factory=lambda: np.zeros(4, np.int64))
    example: np.ndarray | None = None
    joints: Measured | None = None

    @classmethod
    def empty(cls, count: int) -> Scan:
        flags = [np.zeros(count, bool) for _ in range(7)]
        first, second, same, frozen, centred, swapped, odd = flags
        n, e, bad = (np.zeros(count, np.int64) for _ in range(3))
        return cls(
            n, e, first, second, same, bad, frozen, centred, swapped, odd, np.zeros(count), np.zeros(count, np.uint64)
        )


def scan(part: Part, tick: Callable[[int], object]) -> Scan:
    """Read all clips of a split once.

    Raises:
        ArchiveError: the data ends early or its checksum is wrong.
    """
    found = Scan.empty(part.shape[0])
    if part.said is not None and part.said.skeleton is not None:
        found.joints = Measured(part.said)
    at = 0
    for x in part.blocks():
        here = slice(at, at + len(x))
        _measure(found, here, x, part.flat)
        if found.joints is not None:
            found.joints.add(x, at)
        if found.example is None and found.n[here].any():
            found.example = x[int(found.n[here].argmax())].copy()
        at += len(x)
        tick(len(x))
    return found


def _measure(found: Scan, here: slice, x: np.ndarray, flat: bool) -> None:
    """Fill the entries ``here`` from x (B, T, M, V, C); NaN and Inf count as zero from then on."""
    finite = np.isfinite(x).all(axis=(2, 3, 4))
    found.bad[here] = np.where(finite.all(1), -1, finite.argmin(1))
    if not finite.all():
        x = np.where(np.isfinite(x), x, np.float32(0))
    used = x.any(axis=(3, 4))  # (B, T, M)
    frames = used.any(axis=2)
    found.n[here] = frames.sum(1)
    found.e[here] = np.where(frames.any(1), frames.shape[1] - frames[:, ::-1].argmax(1), 0)
    found.first[here] = used[:, :, 0].any(1)
    if x.shape[2] > 1:
        found.second[here] = used[:, :, 1].any(1)
        found.same[here] = found.second[here] & (x[:, :, 0] == x[:, :, 1]).all(axis=(1, 2, 3))
    found.extent[here] = np.abs(x).max(axis=(1, 2, 3, 4))
    clips = np.arange(len(x))
    entry = x[clips, used[:, :, 0].argmax(1), 0]  # (B, V, C) of person 0 where it enters
    begin = x[clips, frames.argmax(1)]  # (B, M, V, C)
    found.centred[here] = (entry[:, CENTRE] == 0).all(1)
    if x.shape[2] > 1:
        alone = found.second[here] & ~found.first[here]
        other = (begin[:, 1, CENTRE] == 0).all(1) & begin[:, 1].any(axis=(1, 2)) & ~found.same[here]
        found.swapped[here] = alone | (other & (begin[:, 0, CENTRE] != 0).any(1))
    if x.shape[2:] == NTU:
        found.traces += scrambled.traces(x)
        if flat:
            columns = x.reshape(len(x), x.shape[1], -1).any(axis=1)  # (B, 150)
            found.odd[here] = ~columns[:, 1::2].any(1) & columns[:, 75:].any(1)
    for i, clip in enumerate(x):
        content = clip[: found.e[here.start + i]]
        found.frozen[here.start + i] = len(content) > 1 and bool((content == content[:1]).all())
        digest = hashlib.blake2b(content.tobytes(), digest_size=8).digest()
        found.digest[here.start + i] = int.from_bytes(digest, "little")
