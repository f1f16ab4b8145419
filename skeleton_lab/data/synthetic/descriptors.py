"""Descriptors of images that were never taken, beside a synthetic archive: what somebody has in hand, and where.

A vector of a frame stands for what an image network would say of it: a sum of random directions of unit length, one
for the object in hand, weaker ones for the room (setup), the camera and the person, and noise of the clip and of the
frame.  Objects tell apart actions that look alike as skeletons (drinking and saluting, clapping and rubbing hands), and
several actions share one (a ball is picked up, thrown and kicked), so neither source knows everything.  The object
comes into view within the first third of a clip.  In a share of the clips another object lies about instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives.both_splits import open_source
from skeleton_lab.data.archives.ntu_protocol import sample
from skeleton_lab.data.archives.writers.streaming import Rows, write_npz
from skeleton_lab.errors import UsageError
from skeleton_lab.utils.atomic import check_output

OBJECTS = {
    0: "cup", 5: "ball", 6: "ball", 7: "chair", 8: "chair", 21: "flag", 23: "ball", 33: "soap", 37: "cap",
    38: "candle", 49: "gloves", 50: "gloves", 57: "letter", 58: "bag", 59: "bag",
}  # fmt: skip
NOTHING = "nothing"  # of all other actions
NAMES = sorted({*OBJECTS.values(), NOTHING})
ROOM, CAMERA, PERSON = 0.5, 0.5, 0.3  # lengths of the other directions; that of the object is 1
LATEST = 1 / 3  # share of a clip in which the object comes into view
SIZE, NOISE, WRONG = 32, 1.0, 0.1
_OURS = 0x0B1EC7  # of the random numbers, so that they are not those of the clips


def write(
    path: str | os.PathLike, archive: str | os.PathLike, *, seed: int = 0, size: int = SIZE, noise: float = NOISE,
    wrong: float = WRONG,
) -> Path:  # fmt: skip
    """Write an NPZ of descriptors, one vector a frame, for the clips of a synthetic archive.

    A clip's descriptor depends on (seed, its split and row, its name, its length) alone.

    Args:
        size: D of a vector; noise: length of that of a clip, and of each frame.
        wrong: share of the clips that show another object than their action's.

    Raises:
        UsageError: impossible values, or the file cannot be written.
    """
    path = Path(path)
    check_output("--descriptors", path, ".npz", Path(archive))
    if not 2 <= size <= 10_000:
        raise UsageError(f"--descriptor-size must be a whole number from 2 to 10000, not {size}")
    if not 0 <= wrong <= 1 or not 0 <= noise <= 1000:
        raise UsageError("--descriptor-wrong must lie between 0 and 1, --descriptor-noise between 0 and 1000")
    parts = open_source(Path(archive))
    frames = np.concatenate([clips.lengths(np.arange(len(clips)))[1] for clips in parts.values()])
    names = np.array([name for clips in parts.values() for name in clips.names or ()])
    rows = [(split, row) for split in range(len(parts)) for row in range(len(list(parts.values())[split]))]

    def values() -> Iterator[np.ndarray]:
        for (split, row), name, n in zip(rows, names, frames):
            yield _clip(np.random.default_rng([_OURS, seed, split, row]), str(name), int(n), size, noise, wrong)

    offsets = np.concatenate([[0], np.cumsum(frames)])
    try:
        write_npz(path, {
            "names": Rows(names.shape, names.dtype, [names]), "offsets": Rows(offsets.shape, offsets.dtype, [offsets]),
            "values": Rows((int(frames.sum()), size), np.dtype(np.float16), values()),
        })  # fmt: skip
    except OSError as error:
        raise UsageError(f"--descriptors {path} cannot be written: {error.strerror or error}") from error
    return path


def _clip(random: np.random.Generator, name: str, n: int, size: int, noise: float, wrong: float) -> np.ndarray:
    """(n, size) of a clip of n frames."""
    who = sample(name)
    thing = OBJECTS.get(who.label, NOTHING)
    if random.random() < wrong:
        others = [other for other in NAMES if other != thing]
        thing = others[random.integers(len(others))]
    begin = random.random() * LATEST * n
    seen = (np.arange(n) >= begin)[:, None]
    scene = ROOM * _direction(f"setup {who.setup}", size) + CAMERA * _direction(f"camera {who.camera}", size)
    scene = scene + PERSON * _direction(f"person {who.performer}", size)
    blur = noise * (random.standard_normal(size) + random.standard_normal((n, size))) / np.sqrt(size)
    shown = np.where(seen, _direction(thing, size), _direction(NOTHING, size))
    return (shown + scene + blur).astype(np.float16)


def _direction(word: str, size: int) -> np.ndarray:
    """A random direction that a word stands for, always the same."""
    made = np.random.default_rng([_OURS, *word.encode()]).standard_normal(size)
    return made / np.linalg.norm(made)
