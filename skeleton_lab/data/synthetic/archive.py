"""A synthetic archive in the layout of ``NTU60_CS.npz``: believable human motion, any size, the same for the same seed.

    python -m skeleton_lab.data.synthetic --out demo.npz --train 600 --test 200

Members: ``x_train, x_test (N, frames, 150)`` float32 in metres, column ``75*person + 3*joint + coordinate``, origin at
joint 1 (the middle of the spine) of person 0 in the first frame, rows after the end and missing persons zero;
``y_train, y_test (N, 60)`` float64 one-hot; ``name_train, name_test (N,)`` sample names ``SsssCcccPpppRrrrAaaa``.
Stored, not compressed, so that the archive can be mapped.

With ``--skeleton coco17`` the same people are what a pose estimator makes of pictures of them (``pictures``), in an
archive of one's own (``archives.about``): ``x_train, x_test (N, 3, frames, 17, 2)`` pixels and scores, ``y_train,
y_test (N,)`` numbers of the ``class_names``.

Training and test subjects are those of the cross-subject benchmark.  Clip ``i`` depends on (seed, split, i, classes,
two_person_share, frames) alone.  Clips are made and written some hundred at a time: the size of the file does not
matter for memory.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from skeleton_lab.data.archives import class_names
from skeleton_lab.data.synthetic import descriptors, pictures
from skeleton_lab.data.synthetic.actions import ACTIONS, PAIRS, SINGLE, chosen
from skeleton_lab.data.synthetic.recorder import Recorder, Resampled
from skeleton_lab.errors import UsageError, guarded, nearest
from skeleton_lab.utils.atomic import completed
from skeleton_lab.utils.cli import Defaults, Parser
from skeleton_lab.utils.progress import clip_bar

CHUNK_BYTES = 32 << 20
KINECT = "ntu25"
SKELETONS = (KINECT, pictures.SKELETON)
MARK = b"skeleton_lab.data.synthetic "  # begins the ZIP comment: only such files are overwritten
EARLIEST = (1980, 1, 1, 0, 0, 0)  # a fixed time stamp, so that equal archives are equal byte for byte


@dataclass(frozen=True)
class Written:
    """What ``write`` made."""

    path: Path
    train: int
    test: int
    labels: tuple[int, ...]  # the classes that occur, 0-based
    bytes: int
    seconds: float


def write(
    path: str | os.PathLike,
    *,
    train: int,
    test: int,
    classes: int = 10,
    actions: Sequence[int] | None = None,
    frames: int = 300,
    seed: int = 0,
    num_class: int = 60,
    two_person_share: float = 0.2,
    repeat_distinct: int | None = None,
    resample: int | None = None,
    skeleton: str = KINECT,
    progress: bool = True,
) -> Written:
    """Write an archive of ``train`` and ``test`` clips; it appears under its name only when it is complete.

    ``classes`` actions occur, about ``two_person_share`` of them with two persons; their labels are those of NTU RGB+D
    60, and the one-hot rows have ``num_class`` columns.  ``actions``: labels of those that occur, in place of a number.
    ``frames`` is the padded length.  With ``repeat_distinct``
    only that many clips of each split are made and then repeated, for files that only have to be large; the names of
    the copies differ in the replication number (which has three digits: the names of very many copies repeat).
    With ``resample`` each clip is stored as that many evenly spaced frames of it: feeders that take whole clips,
    padding included, then have little to compute.  ``skeleton``: of ``SKELETONS``.

    Raises ``UsageError`` for impossible values, a place that cannot be written, too little room, or an existing file
    that was not made by this function.
    """
    path = Path(path)
    if actions is not None:
        _check_actions(actions)
        classes = len(actions)
    _check(train, test, classes, frames, seed, num_class, two_person_share, repeat_distinct, resample)
    if skeleton not in SKELETONS:
        raise UsageError(f"skeleton must be {' or '.join(SKELETONS)}, not {skeleton!r}.{nearest(skeleton, SKELETONS)}")
    labels = chosen(classes, two_person_share) if actions is None else sorted(actions)
    settings = {"train": train, "test": test, "classes": classes, "frames": frames, "seed": seed}
    stored = resample or frames
    begun = time.perf_counter()
    with (
        _completed(path, (train + test) * (stored * 600 + num_class * 8 + 80)) as raw,
        zipfile.ZipFile(raw, "w", zipfile.ZIP_STORED, allowZip64=True) as archive,
        clip_bar(train + test, path.name, show=progress, leave=True) as bar,
    ):
        archive.comment = MARK + json.dumps(settings).encode()
        for split, count in (("train", train), ("test", test)):
            people = Recorder(seed, split, labels, frames)
            recorder = Resampled(people, resample) if resample else people
            distinct = min(count, repeat_distinct or count)
            if skeleton == pictures.SKELETON:
                recorder = pictures.Pictures(recorder, partial(people.random, 2))
            _write_clips(archive, raw, f"x_{split}", recorder, count, distinct, bar)
            if skeleton == pictures.SKELETON:
                _write_own(archive, split, recorder, labels, count, distinct)
            else:
                _write_labels(archive, f"y_{split}", recorder, count, distinct, num_class)
            _write_names(archive, f"name_{split}", recorder, count, distinct)
        if skeleton == pictures.SKELETON:
            names = [class_names.ntu()[label] for label in labels]
            for key, value in (("skeleton", skeleton), ("channels", pictures.CHANNELS), ("units", pictures.UNITS),
                               ("class_names", names)):  # fmt: skip
                _write_array(archive, key, np.array(value))
    return Written(path, train, test, tuple(labels), path.stat().st_size, time.perf_counter() - begun)


def _check(train, test, classes, frames, seed, num_class, two_person_share, repeat_distinct, resample) -> None:
    most = len(ACTIONS)
    for flag, value, least, greatest in (
        ("train", train, 1, 10**8),
        ("test", test, 1, 10**8),
        ("classes", classes, 2, most),
        ("frames", frames, 20, 10_000),
        ("seed", seed, 0, 2**63 - 1),
        ("num_class", num_class, 60, 10_000),
        ("repeat_distinct", 1 if repeat_distinct is None else repeat_distinct, 1, 10**8),
        ("resample", 1 if resample is None else resample, 1, 10_000),
    ):
        if not isinstance(value, int | np.integer) or not least <= value <= greatest:
            raise UsageError(f"{flag} must be a whole number from {least} to {greatest}, not {value!r}")
    if not 0 <= two_person_share <= 1:
        raise UsageError(f"two_person_share must lie between 0 and 1, not {two_person_share!r}")


def _check_actions(actions: Sequence[int]) -> None:
    unknown = [label for label in actions if label not in ACTIONS]
    if unknown or len(set(actions)) < len(actions):
        wrong = f"{unknown[0]} is none of them" if unknown else "one is named twice"
        raise UsageError(f"actions: {wrong}; there are {', '.join(map(str, sorted(ACTIONS)))}, by their labels from 0")


@contextlib.contextmanager
def _completed(path: Path, size: int) -> Iterator:
    """A new file that gets its name when the block ends well and vanishes when it does not."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the name of a file, for example {path / 'synthetic.npz'}")
    if path.exists() and not _ours(path):
        raise UsageError(f"{path} exists and is no synthetic archive; choose another name or move it away")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
        if size > free:
            raise UsageError(f"{path} needs {size / 1e9:.1f} GB, {free / 1e9:.1f} GB are free in {path.parent}")
        with completed(path) as raw:
            yield raw
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def _ours(path: Path) -> bool:
    with contextlib.suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        return archive.comment.startswith(MARK)
    return False


@contextlib.contextmanager
def _member(archive: zipfile.ZipFile, key: str, shape: tuple[int, ...], dtype: np.dtype) -> Iterator:
    """A stored ``.npy`` member to which the array's bytes can be written piece by piece."""
    with archive.open(zipfile.ZipInfo(f"{key}.npy", EARLIEST), "w", force_zip64=True) as member:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(member, header)
        yield member


def _write_clips(archive, raw, key: str, recorder: Recorder, count: int, distinct: int, bar: tqdm) -> None:
    shape = recorder.shape
    step = max(1, CHUNK_BYTES // (4 * math.prod(shape)))
    buffer = np.empty((min(step, distinct), *shape), np.float32)
    with _member(archive, key, (count, *shape), buffer.dtype) as member:
        first = raw.tell()
        for begin in range(0, distinct, step):
            part = buffer[: min(step, distinct - begin)]
            recorder.record(np.arange(begin, begin + len(part)), part)
            member.write(memoryview(part).cast("B"))
            bar.update(len(part))
        raw.flush()
        if count > distinct:
            _write_again(member, raw, first, buffer, count, distinct, bar)


def _write_again(member, raw, first: int, buffer: np.ndarray, count: int, distinct: int, bar: tqdm) -> None:
    """Repeat the first ``distinct`` clips, read back from the file, until there are ``count``."""
    size = buffer[0].nbytes
    done = distinct
    while done < count:
        begin = done % distinct
        part = buffer[: min(len(buffer), distinct - begin, count - done)]
        view = memoryview(part).cast("B")
        got = os.preadv(raw.fileno(), [view], first + begin * size)
        if got != len(view):
            raise OSError(f"read back {got} of {len(view)} bytes")
        member.write(view)
        done += len(part)
        bar.update(len(part))


def _write_labels(archive, key: str, recorder: Recorder, count: int, distinct: int, num_class: int) -> None:
    with _member(archive, key, (count, num_class), np.dtype(np.float64)) as member:
        for begin in range(0, count, 8192):
            index = np.arange(begin, min(begin + 8192, count)) % distinct
            rows = np.zeros((len(index), num_class))
            rows[np.arange(len(index)), recorder.plan(index).label] = 1
            member.write(rows.tobytes())


def _write_own(archive, split: str, recorder, labels: list[int], count: int, distinct: int) -> None:
    """Numbers of the classes, sizes of the pictures and subjects of an archive of one's own."""
    plan = recorder.plan(np.arange(count) % distinct)
    _write_array(archive, f"y_{split}", np.searchsorted(labels, plan.label).astype(np.int64))
    _write_array(archive, f"img_shape_{split}", np.full((count, 2), (pictures.HEIGHT, pictures.WIDTH), np.int64))
    _write_array(archive, f"subject_{split}", np.array([f"P{subject:03d}" for subject in plan.subject]))


def _write_array(archive, key: str, value: np.ndarray) -> None:
    with _member(archive, key, value.shape, value.dtype) as member:
        member.write(value.tobytes())


def _write_names(archive, key: str, recorder: Recorder, count: int, distinct: int) -> None:
    with _member(archive, key, (count,), np.dtype("<U20")) as member:
        for begin in range(0, count, 8192):
            index = np.arange(begin, min(begin + 8192, count))
            member.write(recorder.plan(index % distinct).names(index // distinct, distinct).tobytes())


def _parser() -> Parser:
    parser = Parser(
        description="Write a synthetic archive in the layout of NTU60_CS.npz.",
        formatter_class=Defaults,
    )
    most = len(SINGLE) + len(PAIRS)
    parser.add_argument("--out", required=True, metavar="FILE", help="the NPZ to write")
    parser.add_argument("--train", type=int, required=True, metavar="N", help="training clips")
    parser.add_argument("--test", type=int, required=True, metavar="N", help="test clips")
    parser.add_argument("--classes", type=int, default=10, metavar="K", help=f"actions that occur, 2 to {most}")
    parser.add_argument("--actions", type=int, nargs="+", metavar="LABEL", help="these, by their labels from 0, in "
                        "place of --classes")  # fmt: skip
    parser.add_argument("--frames", type=int, default=300, metavar="T", help="padded length of a clip")
    parser.add_argument("--seed", type=int, default=0, help="equal seeds give equal files")
    parser.add_argument("--num-class", type=int, default=60, metavar="K", help="columns of the one-hot labels")
    parser.add_argument(
        "--two-person-share", type=float, default=0.2, metavar="P", help="share of the actions that show two persons"
    )
    parser.add_argument(
        "--repeat-distinct",
        type=int,
        metavar="K",
        help="make only K different clips per split and repeat them: large files quickly",
    )
    parser.add_argument("--resample", type=int, metavar="T", help="store each clip as T evenly spaced frames of it")
    parser.add_argument("--skeleton", choices=SKELETONS, default=KINECT, help="coco17: key points of pictures of the "
                        "same people, in pixels, with the errors and scores of an estimator")  # fmt: skip
    parser.add_argument("--descriptors", type=Path, metavar="FILE", help="also an NPZ of descriptors of images that "
                        "were never taken: objects, rooms, people (docs/multimodal.md)")  # fmt: skip
    parser.add_argument("--descriptor-size", type=int, default=descriptors.SIZE, metavar="D", help="values of a vector")
    parser.add_argument("--descriptor-noise", type=float, default=descriptors.NOISE, metavar="X", help="length of the "
                        "noise of a clip, and of a frame; the object's direction has length 1")  # fmt: skip
    parser.add_argument("--descriptor-wrong", type=float, default=descriptors.WRONG, metavar="P", help="share of the "
                        "clips that show another object than their action's")  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def _main(argv: list[str] | None) -> None:
    flags = vars(_parser().parse_args(argv))
    out, quiet, beside = flags.pop("out"), flags.pop("quiet"), flags.pop("descriptors")
    of_images = {key: flags.pop(f"descriptor_{key}") for key in ("size", "noise", "wrong")}
    made = write(out, progress=not quiet, **flags)
    own = flags["skeleton"] != KINECT  # whose classes are counted anew
    names = ", ".join(f"{k if own else label} {class_names.ntu()[label]}" for k, label in enumerate(made.labels))
    print(
        f"{made.path}: {made.train} training and {made.test} test clips, {made.bytes / 1e6:.1f} MB,"
        f" {(made.train + made.test) / made.seconds:.0f} clips/s\nactions: {names}"
    )
    if beside is not None:
        descriptors.write(beside, out, seed=flags["seed"], **of_images)
        print(f"{beside}: a vector of {of_images['size']} values for every frame, {beside.stat().st_size / 1e6:.1f} MB")


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return guarded(lambda: _main(argv))
