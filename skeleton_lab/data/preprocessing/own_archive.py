"""What recordings that no published pipeline fits become: one 5-D archive that says its skeleton."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.data.archives.writers.streaming import Rows, write_npz
from skeleton_lab.data.preprocessing.pipelines import FLOAT, Tick
from skeleton_lab.data.preprocessing.spool import Spool
from skeleton_lab.errors import ArchiveError

PERSONS = 2


class Clip(NamedTuple):
    """One clip of the archive: array ``k`` (2, T, V, 3) of recording ``i`` of the spool."""

    name: str
    label: int
    train: bool
    i: int
    k: int = 0
    subject: str = ""


class Whole(NamedTuple):
    """A member that is small: an array in memory."""

    array: np.ndarray

    def write(self, file: Any) -> None:
        np.lib.format.write_array(file, self.array, version=(1, 0), allow_pickle=False)


def write(
    path: Path, spool: Spool, clips: Sequence[Clip], frames: int | None, says: dict[str, str], tick: Tick
) -> Path:
    """Write an archive: ``x_train`` (N, 3, T, V, 2), ``y_train`` and ``name_train`` (N,), where known
    ``subject_train``, the same for test, and the texts of ``says`` (``skeleton``, ``channels``, ``units``).

    Args:
        frames: T; None: that of the longest clip. Shorter clips are padded with zeros.

    Raises:
        ArchiveError: there is no clip to train on, or none to test with. OSError: the disk does not take it.
    """
    check_parts([clip.train for clip in clips], "clips")
    shapes = [spool.shapes(clip.i)[clip.k] for clip in clips]
    T, V = frames or max(shape[1] for shape in shapes), shapes[0][2]
    members: dict[str, Any] = {key: Whole(np.array(text)) for key, text in says.items()}
    for part in ("train", "test"):
        chosen = [clip for clip in clips if clip.train == (part == "train")]
        members[f"x_{part}"] = Rows((len(chosen), 3, T, V, PERSONS), FLOAT, tick(_padded(spool, chosen, T)))
        members[f"y_{part}"] = Whole(np.array([clip.label for clip in chosen], np.int64))
        members[f"name_{part}"] = Whole(np.array([clip.name for clip in chosen]))
        if all(clip.subject for clip in clips):
            members[f"subject_{part}"] = Whole(np.array([clip.subject for clip in chosen]))
    return write_npz(path, members)


def check_parts(train: Sequence[bool], what: str) -> None:
    """ArchiveError where all of ``what`` are for training, or none."""
    for part, word in ((True, "train on"), (False, "test with")):
        if part not in train:
            raise ArchiveError(f"none of {len(train)} {what} is there to {word}: do --split and --raw belong together?")


def _padded(spool: Spool, clips: Sequence[Clip], frames: int) -> Iterator[np.ndarray]:
    for clip in clips:
        x = spool.array(clip.i, clip.k)  # (2, T, V, 3)
        out = np.zeros((3, frames, x.shape[2], PERSONS), np.float32)
        out[:, : x.shape[1]] = x.transpose(3, 1, 2, 0)
        yield out


def text_of(path: Path) -> str:
    """The text of a list. Raises ArchiveNotFoundError, ArchiveError: missing or no text."""
    with parsing(path):
        return path.read_text(encoding="utf-8-sig")


def words(text: str) -> list[str]:
    """What stands between blanks, commas, semicolons and brackets; ``#`` begins a comment."""
    return [
        word for line in text.splitlines() for word in re.split(r"[\s,;\[\](){}'\"]+", line.partition("#")[0]) if word
    ]
