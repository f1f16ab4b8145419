"""PKU-MMD, cut to its labelled intervals: long videos of 20 actions each, of two people with 25 joints.

Liu et al., "PKU-MMD: A Large Scale Benchmark for Continuous Multi-Modal Human Action Understanding", 2017.

    skeleton file    a frame on a line: 150 numbers, two people, 25 joints, x y z in metres
    label file       class,start,end,confidence on a line; classes from 1, frames from 0, ``end`` is behind the last
    split file       names of training videos; names behind a line that begins with "Valid" or "Test" are tested
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from skeleton_lab.data.preprocessing import own_archive, person_slots
from skeleton_lab.data.preprocessing.own_archive import Clip
from skeleton_lab.data.preprocessing.recordings import Source, listed
from skeleton_lab.data.preprocessing.run import Options, Run
from skeleton_lab.data.preprocessing.skeleton_text import LARGEST
from skeleton_lab.data.preprocessing.spool import Converted
from skeleton_lab.errors import ArchiveError, UsageError

SKELETON = "ntu25"
JOINTS, PERSONS, CLASSES = 25, 2, 51
NUMBERS = PERSONS * JOINTS * 3
FILE = re.compile(r"(?P<name>[^.].*)\.(?:txt|skeleton)(?P<gz>\.gz)?", re.DOTALL)
VIDEO = re.compile(r"[A-Za-z0-9]+-[LMR]\b")
TESTED = re.compile(r"\s*(?:valid|test)", re.IGNORECASE)
Interval = tuple[int, int, int]  # class from 0, first frame, frame behind the last


@dataclass(frozen=True)
class PkuMmd:
    """One video: an array (2, T, 25, 3) of each of its intervals; ``intervals`` has those of every video."""

    frames: int | None
    truncate: bool
    intervals: Mapping[str, Sequence[Interval]] = field(default_factory=dict)

    def __call__(self, source: Source) -> Converted:
        x = video(source)
        arrays, notes, warnings = [], [], []
        for number, (label, start, end) in enumerate(self.intervals.get(source.name, ())):
            part = x[:, start:end]
            try:
                if not part.any():
                    raise ArchiveError(f"frames {start} to {end} of {x.shape[1]} show nobody")
                part = person_slots.checked_length(part, self.truncate, self.frames or part.shape[1])
            except ArchiveError as error:
                warnings.append(f"interval {number + 1} left out: {error}")
                continue
            if end > x.shape[1]:
                warnings.append(f"interval {number + 1} ends at frame {end} of {x.shape[1]}: cut there")
            arrays.append(part)
            notes.append([number, label])
        if not arrays:
            raise ArchiveError(f"{source.shown}: no label file of this name, or no interval of it can be used")
        return Converted(arrays, {"clips": notes}, warnings)


def video(source: Source) -> np.ndarray:
    """(2, F, 25, 3) float32.

    Raises:
        ArchiveError: a line is not 150 numbers; the message has the file and the line.
    """
    lines = source.read().split(b"\n")
    while lines and not lines[-1].strip():
        lines.pop()
    fields = [line.split() for line in lines]
    for number, words in enumerate(fields, 1):
        if len(words) != NUMBERS:
            raise ArchiveError(f"{source.shown}, line {number}: {NUMBERS} numbers expected, not {len(words)}")
    try:
        x = np.array([list(map(float, words)) for words in fields], np.float64).reshape(-1, NUMBERS)
    except ValueError:
        number = next(n for n, words in enumerate(fields, 1) if not all(map(_is_number, words)))
        raise ArchiveError(f"{source.shown}, line {number}: {NUMBERS} numbers expected, not words") from None
    wrong = ~(np.abs(x) <= LARGEST).all(1)  # NaN is not, either
    if wrong.any() or not len(x):
        raise ArchiveError(
            f"{source.shown}, line {int(wrong.argmax()) + 1 if len(x) else 1}: coordinates in metres expected"
        )
    return x.reshape(-1, PERSONS, JOINTS, 3).swapaxes(0, 1).astype(np.float32)


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def intervals(source: Source) -> list[Interval]:
    """What a label file says.

    Raises:
        ArchiveError: a line is not class,start,end,confidence of one of the 51 classes and a span of frames.
    """
    found = []
    for number, line in enumerate(source.read().decode("utf-8-sig", "replace").splitlines(), 1):
        if not line.strip():
            continue
        words = [word.strip() for word in line.split(",")]
        if len(words) in (3, 4) and all(word.isdecimal() and len(word) < 9 for word in words[:3]):
            label, start, end = map(int, words[:3])
            if 1 <= label <= CLASSES and start < end:
                found.append((label - 1, start, end))
                continue
        raise ArchiveError(
            f"{source.shown}, line {number}: class,start,end,confidence expected, with a class from 1 to {CLASSES} and "
            f"start before end, not {line[:40]!r}"
        )
    return found


def training_videos(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    """The videos that a split names for training, and those that it names for the test, none where that is all others.

    Raises:
        ArchiveNotFoundError, ArchiveError: there is no such file, or it names no video to train on.
    """
    names: tuple[set[str], set[str]] = (set(), set())
    tested = False
    for line in own_archive.text_of(path).splitlines():
        tested = tested or TESTED.match(line) is not None
        names[tested].update(VIDEO.findall(line))
    if not names[False]:
        raise ArchiveError(f"{path}: names of training videos expected, such as 0002-L; there is none")
    both = names[False] & names[True]
    if both:
        raise ArchiveError(f"{path}: {min(both)} is named for training and for the test")
    return frozenset(names[False]), frozenset(names[True])


def convert(
    folders: Sequence[Path], labels: Path, out: Path, split: Path, frames: int | None, truncate: bool, options: Options
) -> Path:
    """Write ``pku-mmd_{name of the split}.npz`` in ``out``; returns it.

    Raises:
        LabError: no videos, labels or split, a damaged label file, no room, another run's spool, or no clip in a part.
    """
    train, test = training_videos(split)
    there = {source.name: source for folder in reversed(folders) for source in listed(folder, FILE)}
    labelled = {source.name: intervals(source) for source in listed(labels, FILE) if source.name in there}
    if not labelled:
        raise UsageError(f"{labels} has no label file with the name of a video in {' and '.join(map(str, folders))}")
    named = [name for name in sorted(there) if name in train or not test or name in test]
    if not named:
        raise UsageError(f"{split} names none of the {len(there)} videos in {' and '.join(map(str, folders))}")
    own_archive.check_parts([name in train for name in named], "videos")
    if len(named) < len(there):
        options.say(f"{len(there) - len(named)} videos left out: {split} does not name them")
    videos = [there[name] for name in named]
    pipeline = PkuMmd(frames, truncate, {name: labelled[name] for name in named if name in labelled})
    run = Run(videos, out, f"pku-mmd-{split.stem}", pipeline, options)
    with run.spooled(sum(video.size for video in videos)) as spool:
        run.report(spool)
        notes = dict(spool.notes())
        clips = [
            Clip(f"{name}_{number + 1:03}", label, name in train, i, k)
            for i, name in enumerate(spool.names)
            for k, (number, label) in enumerate(notes[name]["clips"])
        ]
        says = {"skeleton": SKELETON, "channels": "xyz", "units": "m"}
        with run.writing(len(clips)) as tick:
            path = own_archive.write(out / f"pku-mmd_{split.stem}.npz", spool, clips, frames, says, tick)
        run.finished(spool)
    return path
