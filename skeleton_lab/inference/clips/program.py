"""``skeleton-lab prepare clips``: a folder of recordings and ``labels.csv`` to one archive."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives import about
from skeleton_lab.data.archives.array_clips import ArrayClips
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.writers import layouts as writers
from skeleton_lab.errors import ArchiveError, LabError, UsageError, guarded, listing, one_line
from skeleton_lab.inference.clips import labels as lists
from skeleton_lab.inference.clips import splits
from skeleton_lab.inference.clips.cutting import Clip, Reader, matched
from skeleton_lab.inference.clips.folder import Folder
from skeleton_lab.inference.clips.joints import Skeletons
from skeleton_lab.inference.clips.labels import Labels, Row
from skeleton_lab.inference.clips.placing import Placed, Wish, placed
from skeleton_lab.inference.keypoints import normalise
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.skeletons import layouts
from skeleton_lab.skeletons.layouts import UNITS, Layout
from skeleton_lab.skeletons.schemes import SCORE
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.cli import Parser
from skeleton_lab.utils.progress import clip_bar

SHOWN = 10  # skipped clips on the screen; all of them stand in a file
UNEVEN = 5  # times the usual length of a clip


def _parser() -> Parser:
    made = Parser(
        description="Recordings of your own and a list of what they show, to an archive that every room trains on: "
        "key points as pose estimators write them, raw .skeleton files, annotations of PYSKL."
    )
    add = made.add_argument
    add("--input", type=Path, required=True, metavar="FOLDER", help="the recordings, also in folders below it")
    add("--labels", type=Path, required=True, metavar="FILE", help="a CSV file with the columns file and label, and "
        "where wanted start, end (first and last frame), subject, split (train or test)")  # fmt: skip
    add("--output", type=Path, required=True, metavar="FILE.npz", help="the archive")
    add("--skeleton", metavar="NAME|FILE.yaml", help="order of the joints; needed where their number does not tell")
    add("--split", choices=splits.BY, help="who is tested: as the column split says, some of the subjects, or some of "
        "the files; default: the first of these that the labels have a column for")  # fmt: skip
    add("--test-share", type=float, default=0.25, metavar="SHARE", help="of clips that are tested; default: 0.25")
    add("--seed", type=int, default=0, help="of the draw of subjects or files; default: 0")
    add("--image-size", type=_size, metavar="WIDTHxHEIGHT", help="of the videos, where files do not tell it")
    add("--units", choices=UNITS, help="of the coordinates; default: those of the skeleton")
    add("--up", choices=normalise.UP, help="which axis is up; default: as the skeleton says")
    add("--score", type=float, default=SCORE, help=f"of a joint in space that was found; default: {SCORE:g}")
    add("--on-error", choices=("skip", "raise"), help="skip: leave out labels without a recording, too; raise: stop at "
        "any clip that cannot be used; default: stop at labels without a recording only")  # fmt: skip
    add("--quiet", action="store_true", help="no progress bar, no summary")
    return made


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text.strip())
    if match is None or not int(match[1]) or not int(match[2]):
        raise argparse.ArgumentTypeError(f"{text} is no size such as 1920x1080")
    return int(match[2]), int(match[1])


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit status.

    Args:
        argv: arguments; None for those of the process.
    """
    return guarded(lambda: run(_parser().parse_args(None if argv is None else normalise.spelled(argv))))


def run(options: argparse.Namespace) -> None:
    """Raises ``LabError`` for what the user can put right; nothing is written then."""
    if not 0 < options.test_share < 1:
        raise UsageError(f"--test-share {options.test_share:g} must lie between 0 and 1")
    if options.seed < 0:
        raise UsageError(f"--seed {options.seed} must not be negative")
    if options.output.suffix.lower() != ".npz":
        raise UsageError(f"--output {options.output}: the archive is an NPZ file, such as {options.output.stem}.npz")
    labels = lists.read(options.labels)
    by = splits.way(labels, options.split)
    wish = None if options.skeleton is None else layouts.layout(options.skeleton)
    folder = Folder(options.input, (options.labels, options.output))
    notices = Notices()
    reader = Reader(folder, Skeletons(wish, notices=notices), notices)
    files, lost = matched(folder, reader, labels.rows)
    _refuse_lost(options, labels, folder, lost)
    reader.skipped += [(row, "there is no such recording") for row in lost]
    clips: list[Clip] = []
    with clip_bar(len(files), "reading recordings", show=not options.quiet) as bar:
        for path, rows in files.items():
            clips += reader.clips(path, rows)
            bar.update()
    clips.sort(key=lambda clip: clip.row.line)
    if not clips:
        raise ArchiveError(f"{options.labels}: no clip can be used; the first: {one_line(reader.skipped[0][1])}")
    wishes = Wish(options.up, options.score, options.units, options.image_size)
    made = placed(clips, reader.skeletons.layout, wishes, notices)
    skipped = sorted([*reader.skipped, *((clip.row, why) for clip, why in made.skipped)], key=lambda each: each[0].line)
    if skipped and options.on_error == "raise":
        raise ArchiveError(f"{len(skipped)} of {len(labels.rows)} clips cannot be used, the first: {_why(skipped[0])}")
    test = splits.divided(labels, [clip.row for clip in made.rows], by, options.test_share, options.seed)
    written = _written(options.output, made, labels, reader.skeletons.layout, test)
    listed = _list_skipped(options.output, skipped)
    if not options.quiet:
        unlabelled = [name for name, path in folder.paths.items() if path not in files]
        notes = [*notices.lines(), *labels.unread, *_uneven(made)]
        print(*summary(options, written, made, reader.skeletons.layout, test, by), sep="\n")
        print(*_said(skipped, listed, len(labels.rows), unlabelled, notes), sep="\n")


def _refuse_lost(options: argparse.Namespace, labels: Labels, folder: Folder, lost: Sequence[Row]) -> None:
    if not lost or (options.on_error == "skip" and len(lost) < len(labels.rows)):
        return
    names = listing([row.shown for row in lost[:5]]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
    there = listing(list(folder.paths)[:3]) + (" ..." if len(folder.paths) > 3 else "")
    raise ArchiveError(
        f"{labels.path}: {len(lost)} of {len(labels.rows)} labels have no recording in {folder.root}: {names}; there "
        f"are {there}. --on-error skip leaves such labels out"
    )  # fmt: skip


def _written(path: Path, made: Placed, labels: Labels, skeleton: Layout, test: np.ndarray) -> dict[str, Clips]:
    """The archive; what was written of each split."""
    names = [name for name in labels.classes if any(clip.row.label == name for clip in made.rows)]
    persons = max(x.shape[3] for x in made.x)
    length = max(x.shape[1] for x in made.x)
    subjects = tuple(sorted({clip.row.subject for clip in made.rows})) if "subject" in labels.columns else None
    parts: dict[str, Clips] = {}
    for split, wanted in (("train", False), ("test", True)):
        at = np.flatnonzero(test == wanted).tolist()
        rows = [made.rows[k].row for k in at]
        clips = ArrayClips(
            [made.x[k] for k in at], [names.index(row.label) for row in rows], names=[made.rows[k].name for k in at],
            num_class=len(names), length=length, persons=persons,
        )  # fmt: skip
        clips.path = path
        clips.skeleton, clips.units, clips.scored, clips.class_names = skeleton, made.units, made.scored, tuple(names)
        clips.img_shape = None if made.images is None else made.images[at]
        if subjects is not None:
            clips.subject_names = subjects
            clips.subjects = np.array([subjects.index(row.subject) for row in rows], np.int64)
        parts[split] = clips
    materials = {
        split: writers.Material(
            part, part.labels, part.names, part.T, part.M, len(names), normalised=False, tick=lambda count: None
        )
        for split, part in parts.items()
    }
    try:
        writers.write_five(path, materials, compress=False)
    except OSError as error:
        if isinstance(error, LabError):
            raise
        raise UsageError(f"--output {path} cannot be written: {error.strerror or error}") from error
    return parts


def _list_skipped(output: Path, skipped: Sequence[tuple[Row, str]]) -> Path:
    """All skipped lines in ``skipped-NAME.txt`` beside the archive; no such file where there are none."""
    path = output.with_name(f"skipped-{output.stem}.txt")
    if skipped:
        text = "".join(f"line {row.line}\t{row.file}\t{row.label}\t{one_line(why)}\n" for row, why in skipped)
        write_atomically(path, lambda file: file.write(text.encode()))
    else:
        path.unlink(missing_ok=True)
    return path


def summary(
    options: argparse.Namespace, written: dict[str, Clips], made: Placed, skeleton: Layout, test: np.ndarray, by: str
) -> list[str]:
    """What was written: clips of each class, the skeleton, lengths."""
    train, tested = written["train"], written["test"]
    lengths = sorted(x.shape[1] for x in made.x)
    who = {"column": "as the column split says", "subject": "by subject", "files": "by file"}[by]
    if by == "subject":
        who += f"; tested: {listing(sorted({clip.row.subject for clip, t in zip(made.rows, test) if t}))}"
    channels = {"xyz": "x, y, z", "xy": "x, y", "xys": "x, y, score"}[about.channels(train)]
    people = "1 person" if train.M == 1 else "up to 2 people"
    lines = [
        f"wrote {options.output}: {len(made.x)} clips, {len(train)} to train on, {len(tested)} to test ({who})",
        f"  skeleton {skeleton.name}, {skeleton.V} joints, {channels} in {made.units}; {people}; {lengths[0]} to "
        f"{lengths[-1]} frames, half of the clips at most {lengths[len(lengths) // 2]}",
    ]
    counts = [Counter(part.labels.tolist()) for part in (train, tested)]
    width = max(5, *(len(name) for name in train.class_names or ()))
    lines.append(f"  {'class':{width}}  train  test")
    for k, name in enumerate(train.class_names or ()):
        lines.append(f"  {name:{width}}  {counts[0][k]:5d} {counts[1][k]:5d}")
    return lines


def _uneven(made: Placed) -> list[str]:
    lengths = np.array([x.shape[1] for x in made.x])
    usual, longest = float(np.median(lengths)), int(lengths.argmax())
    if lengths[longest] <= UNEVEN * usual:
        return []
    shown = made.rows[longest].row.shown
    return [
        f"{shown} has {lengths[longest]} frames, most clips about {usual:.0f}: every clip is padded to it; cut it with "
        "start and end"
    ]


def _why(skipped: tuple[Row, str]) -> str:
    return f"{skipped[0].shown}: {one_line(skipped[1])}"


def _said(
    skipped: Sequence[tuple[Row, str]], listed: Path, total: int, unlabelled: Sequence[str], notes: Sequence[str]
) -> list[str]:
    """What was left out, and what was decided."""
    lines = []
    if skipped:
        lines.append(f"skipped {len(skipped)} of {total} lines ({listed} has all):")
        lines += [f"  {_why(each)}" for each in skipped[:SHOWN]]
        if len(skipped) > SHOWN:
            lines.append(f"  and {len(skipped) - SHOWN} more")
    if unlabelled:
        more = f" and {len(unlabelled) - 5} more" if len(unlabelled) > 5 else ""
        lines.append(f"no label, not used: {len(unlabelled)} recordings: {listing(unlabelled[:5])}{more}")
    return [*lines, *(f"note: {note}" for note in notes)]
