"""Any archive that the lab reads into any layout that it reads, in blocks: memory does not grow with the file.

    python -m skeleton_lab.data.archives.convert --input ntu60_3danno.pkl --layout pyskl:xsub --output NTU60_CS.npz

Files appear under their names when they are complete; an interrupted conversion leaves an older file as it was.
"""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from skeleton_lab.data.archives import about
from skeleton_lab.data.archives.both_splits import open_source
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.descriptors.files import Descriptors
from skeleton_lab.data.archives.descriptors.pack import pack
from skeleton_lab.data.archives.locate import held
from skeleton_lab.data.archives.opening import SPLITS
from skeleton_lab.data.archives.readers.pyskl import divisions_of
from skeleton_lab.data.archives.writers import layouts
from skeleton_lab.data.archives.writers.layouts import Material, Materials
from skeleton_lab.errors import ArchiveError, ArchiveNotFoundError, UsageError, guarded, listing, nearest
from skeleton_lab.utils.cli import Parser
from skeleton_lab.utils.progress import clip_bar

log = logging.getLogger("skeleton_lab")

WRITERS = {
    "kaggle": layouts.write_kaggle,
    "5d": layouts.write_five,
    "h5": layouts.write_h5,
    "npy": layouts.write_npy_folder,
    "ucla": layouts.write_ucla,
    "kinetics": layouts.write_kinetics,
}
FORMATS = (*WRITERS, "pyskl")
BY_SUFFIX = {".pkl": "pyskl", ".pickle": "pyskl", ".h5": "h5", ".hdf5": "h5", "": "npy"}
ARRAYS = ("kaggle", "5d", "h5", "npy")  # padded to one length
FOLDERS = ("npy", "ucla", "kinetics")
RAGGED = ("pyskl", "nw-ucla")  # sources without padding
KNOWN_CLASSES = (60, 120)
MOST_CLASSES = 10_000  # a label above is damage, not a class
NTU_FRAMES, NTU_JOINTS, NTU_PERSONS = 300, 25, 2
NAMES = {"xsub": ("CS", "CSub"), "xview": ("CV",), "xset": ("CSet",)}  # endings of published file names


class Converted(NamedTuple):
    """What was written: files (or folders), and per split the clips and the shape (C, T, V, M) that they have."""

    paths: list[Path]
    counts: dict[str, int]
    shape: tuple[int, int, int, int]
    num_class: int
    unread: tuple[str, ...] = ()  # what the source holds besides


def convert(
    source: str | Path,
    target: str | Path,
    *,
    to: str | None = None,
    split: str | None = None,
    label_path: str | Path | None = None,
    layout: str | None = None,
    joints: int | None = None,
    num_class: int | None = None,
    frames: int | None = None,
    persons: int | None = None,
    benchmark: str | None = None,
    normalise: str | None = None,
    compress: bool = False,
    show: bool = True,
) -> Converted:
    """Write the clips of ``source`` to ``target`` in the layout ``to``.

    Args:
        source: an archive, or a folder of arrays or Kinetics clips (``open_source``).
        target: a file, or for "npy", "ucla" and "kinetics" a folder; parents are made.
        to: of ``FORMATS``; by default told by the suffix of ``target`` (.npz: "kaggle", or "5d" where that cannot hold
            the clips).
        split, label_path, layout, joints: as for ``open_source``.
        num_class: columns of one-hot labels; by default as in the source, else 60 or 120 (25 joints), or as many as
            there are.
        frames: length of padded arrays; by default that of the source, 300 for NTU clips from a pickle.
        persons: places for persons in padded arrays; by default as in the source, 2 for 25 joints.
        benchmark: "xsub", "1" ...: the division of a source that is a pickle, and what the splits of a pickle that is
            written are called.
        normalise: "msg3d" turns, centres and repeats clips as MS-G3D's own generator does.
        compress: deflate an NPZ or HDF5 file: a sixth of the size, but no feeder can map it.
        show: a progress bar on stderr.

    Raises:
        ArchiveError, ArchiveKeyError, ArchiveNotFoundError: the source is missing, damaged, or holds NaN.
        UsageError: the layouts do not go together, or the target cannot be written.
    """
    source, target = held(Path(source)), Path(target)
    layout = _division(source, layout, benchmark, to or BY_SUFFIX.get(target.suffix.lower()))
    clips = open_source(source, split=split, label_path=label_path, layout=layout, joints=joints)
    to = to or _by_suffix(target, clips)
    if to not in FORMATS:
        raise UsageError(f"--to {to}: choose from {', '.join(FORMATS)}.{nearest(to, FORMATS)}")
    # A link to the input is replaced by the new file, and the input is left alone.
    if target.exists() and source.exists() and target.samefile(source) and not target.is_symlink():
        raise UsageError(f"--output {target} is the input itself; give another name")
    replaceable = source.is_dir() or source.suffix == ".npy"  # what the folders hold
    if to in FOLDERS and replaceable and target.is_dir() and target.samefile(source.absolute().parent):
        raise UsageError(f"--output {target} is the folder of the input, which could be replaced; give another one")
    if normalise not in (None, "msg3d"):
        raise UsageError(f"--normalise {normalise}: only msg3d is known")
    total = sum(len(part) for part in clips.values())
    with clip_bar(total, f"writing {target.name}", show=show, delay=1) as bar:
        materials = _materials(clips, to, num_class, frames, persons, normalise, bar.update)
        if to in ARRAYS and not compress:
            require_space(target, materials)
        try:
            if to == "pyskl":
                paths = layouts.write_pyskl(target, materials, compress, benchmark or benchmark_of(source))
            else:
                paths = WRITERS[to](target, materials, compress)
        except OSError as error:
            if isinstance(error, ArchiveNotFoundError):
                raise
            raise UsageError(f"--output {target} cannot be written: {error.strerror or error}") from error
    first = next(iter(materials.values()))
    unread = tuple(dict.fromkeys(line for part in clips.values() for line in (*part.unread, *_lost(part, to))))
    return Converted(paths, {split: len(m) for split, m in materials.items()}, first.shape, first.num_class, unread)


def _lost(clips: Clips, to: str) -> list[str]:
    """What an archive says of its clips and ``to`` has no place for."""
    said = [key.removesuffix("_train") for key in about.members({"train": clips})]
    kept = {"npy": (), "ucla": (), "kinetics": about.OF_ALL, "pyskl": (*about.OF_ALL, "img_shape")}
    lost = [key for key in said if key not in kept.get(to, said)]
    lines = [f"{', '.join(lost)}: files of --to {to} have no place for it"] if lost else []
    if clips.skeleton is None and clips.class_names is not None:
        lines.append("class_names: they are kept where the skeleton is known; the source does not say it")
    return lines


def _division(source: Path, layout: str | None, benchmark: str | None, to: str | None) -> str | None:
    """``layout`` with the division that ``benchmark`` picks of a pickle.

    Raises:
        UsageError: there is no such division, and no pickle is written whose splits it could name; the layout picks
            another.
    """
    if benchmark is None:
        return layout
    words = (layout or "pyskl").split(":")
    known = divisions_of(source, layout) if words[0] == "pyskl" else {}
    named = set(words) & set(known)
    if benchmark in known and not named:
        return ":".join([words[0], benchmark, *words[1:]])
    if benchmark in known and benchmark not in named:
        raise UsageError(f"--layout {layout} and --benchmark {benchmark} name two divisions of {source}; leave one out")
    if benchmark not in known and to != "pyskl":
        there = f"its divisions are {listing(known)}" if any(known) else "it has no divisions"
        raise UsageError(f"--benchmark {benchmark}: {source} cannot be divided so; {there}")
    return layout


def _by_suffix(target: Path, clips: dict[str, Clips]) -> str:
    suffix = "" if target.is_dir() else target.suffix.lower()
    if suffix == ".npz":
        first = next(iter(clips.values()))
        fits = first.C == 3 and first.V in (25, 17) and not about.members(clips, "kaggle")
        return "kaggle" if fits else "5d"
    if suffix not in BY_SUFFIX:
        raise UsageError(f"--output {target}: say --to {', --to '.join(FORMATS)}")
    return BY_SUFFIX[suffix]


def benchmark_of(source: Path) -> str:
    """ "xsub", "xview" or "xset" by the end of a published file name; "xsub" for any other."""
    ending = source.stem.rpartition("_")[2]
    return next((benchmark for benchmark, endings in NAMES.items() if ending in endings), "xsub")


def _materials(clips: dict[str, Clips], to: str, num_class, frames, persons, normalise, tick) -> Materials:
    first = next(iter(clips.values()))
    T = max(part.T for part in clips.values())
    if frames is None and _ntu(first) and first.layout in RAGGED and T <= NTU_FRAMES:
        T = NTU_FRAMES
    if frames is not None:
        T = _frames(frames, T, clips)
    M = first.M if persons is None else persons
    if persons is None and _ntu(first) and to in ARRAYS:
        M = NTU_PERSONS
    for flag, number in (("--persons", persons), ("--num-class", num_class)):
        if number is not None and number < 1:
            raise UsageError(f"{flag} must be at least 1, not {number}")
    if M < 1 or (M < first.M and persons is None):
        raise UsageError(f"{first.path} has places for {first.M} persons; --persons {max(M, 1)} keeps the first ones")
    if normalise and (to not in ARRAYS or (T, first.V, first.C, M) != (NTU_FRAMES, NTU_JOINTS, 3, NTU_PERSONS)):
        raise UsageError(
            f"--normalise msg3d makes arrays of 300 frames, 25 joints and 2 persons, not {T}, {first.V}, {M}"
        )
    labels, K = _labels(clips, num_class)
    return {
        split: Material(part, labels[split], part.names, T, M, K, normalise is not None, tick)
        for split, part in clips.items()
    }  # fmt: skip


def _ntu(clips: Clips) -> bool:
    """Whether the clips are those of NTU RGB+D, as far as their archive tells."""
    told = clips.skeleton is None or clips.skeleton.name == "ntu25"
    return clips.V == NTU_JOINTS and told and clips.class_names is None


def _frames(frames: int, T: int, clips: dict[str, Clips]) -> int:
    if frames < 1:
        raise UsageError(f"--frames must be at least 1, not {frames}")
    if frames < T:
        longest = max(int(part.lengths(np.arange(len(part)))[1].max(initial=0)) for part in clips.values())
        if frames < longest:
            raise UsageError(f"--frames {frames} would cut clips: the longest has {longest} frames")
    return frames


def _labels(clips: dict[str, Clips], num_class: int | None) -> tuple[dict[str, np.ndarray], int]:
    """Labels from 0, and the number of classes. Ids 1..K of a data set with K classes are moved down by one.

    Raises:
        ArchiveError: a label outside of 0..K-1.
    """
    labels = {split: part.labels for split, part in clips.items()}
    low, high = min(y.min() for y in labels.values()), max(y.max() for y in labels.values())
    if high >= MOST_CLASSES and not num_class:
        where = next(part for part in clips.values() if part.labels.max() == high)
        raise ArchiveError(f"{where.path}: label {high} in row {where.labels.argmax()} is no class id")
    columns = {part.num_class for part in clips.values()} - {None}
    known = KNOWN_CLASSES if _ntu(next(iter(clips.values()))) else ()
    sizes = [num_class] if num_class else sorted(columns) or list(known)
    if not columns and low >= 1 and high in sizes:
        log.warning("labels are %d..%d: they count from 1, taking 1 off", low, high)
        labels = {split: y - 1 for split, y in labels.items()}
        high -= 1
    elif not columns and low == 1 and set(range(1, high + 1)) == set(np.concatenate(list(labels.values())).tolist()):
        log.warning("labels are 1..%d, class 0 has no clip: if they count from 1, say --num-class %d", high, high)
    K = next((size for size in sizes if size > high), int(high) + 1)
    if num_class and high >= num_class:
        raise ArchiveError(f"labels go up to {high}, with --num-class {num_class} they are 0..{num_class - 1}")
    return labels, K


def require_space(target: Path, materials: Materials) -> None:
    needed = sum(len(m) * 4 * int(np.prod(m.shape)) for m in materials.values())
    folder = next(place for place in (target, *target.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UsageError(f"--output {target} needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free in {folder}")


# --- command lines -----------------------------------------------------------------------------------------------


def _say(made: Converted) -> None:
    C, T, V, M = made.shape
    counts = ", ".join(f"{count} {split} clips" for split, count in made.counts.items())
    print(f"Wrote {counts} of (C={C}, T={T}, V={V}, M={M}), {made.num_class} classes:")
    for path in made.paths[:8]:
        print(f"  {path}" + (f"  {path.stat().st_size / 1e6:.1f} MB" if path.is_file() else ""))
    if len(made.paths) > 8:
        print(f"  ... {len(made.paths)} in all")
    for line in made.unread:
        print(f"Not written: {line}")


def common(description: str) -> Parser:
    """The flags that all converters have."""
    parser = Parser(description=description)
    parser.add_argument("--layout", help="of the input, where its shape does not tell: repair-vcm, pyskl:xview ... "
                        "(docs/data.md)")  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def run(source: Path, target: Path, quiet: bool, **options) -> int:
    """One conversion as a program; returns the exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")

    def program() -> None:
        _say(convert(source, target, show=not quiet, **options))

    return guarded(program)


def to_five(argv: Sequence[str] | None, description: str, default_input: Path | None = None) -> int:
    """The programs that turn the Kaggle file into the 5-D layout; ``default_input`` makes both paths optional."""
    parser = common(description)
    needed = default_input is None
    says = ["", ""] if needed else [f"; default: {default_input}", "; default: <input>_ctrgcn.npz beside the input"]
    add = parser.add_argument
    add("--input", type=Path, required=needed, default=default_input, metavar="FILE",
        help=f"archive in Kaggle or 5-D layout{says[0]}")  # fmt: skip
    add("--output", type=Path, required=needed, metavar="FILE", help=f"NPZ to write{says[1]}")
    parser.add_argument("--compress", action="store_true", help="deflate: a sixth of the size, but not mappable")
    options = vars(parser.parse_args(argv))
    source, target, quiet = options.pop("input"), options.pop("output"), options.pop("quiet")
    return run(source, target or source.with_name(f"{source.stem}_ctrgcn.npz"), quiet, to="5d", **options)


def to_msg3d(argv: Sequence[str] | None, description: str) -> int:
    """The program that writes MS-G3D's ``xsub/{train,val}_data_joint.npy`` and label pickles."""
    parser = common(description)
    parser.add_argument("--input", type=Path, metavar="FILE", help="archive in Kaggle or 5-D layout; default: "
                        "NTU60_CS.npz in --output-root, /workspace/data/NTU60, its kaggle_raw/ or ctrgcn/")  # fmt: skip
    parser.add_argument("--output-root", type=Path, default=Path("/workspace/MS-G3D/data/ntu"),
                        metavar="FOLDER", help="default: %(default)s")  # fmt: skip
    parser.add_argument("--normalise", choices=["msg3d"], help="turn, centre and repeat clips as MS-G3D's generator "
                        "does: for weights published by its authors")  # fmt: skip
    options = vars(parser.parse_args(argv))
    source, root, quiet = options.pop("input"), options.pop("output_root"), options.pop("quiet")
    places = [Path("/workspace/data/NTU60", part, "NTU60_CS.npz") for part in ("", "kaggle_raw", "ctrgcn")]
    source = source or next((p for p in (root / "NTU60_CS.npz", *places) if p.exists()), places[0])
    return run(source, root / benchmark_of(source), quiet, to="npy", **options)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = common("Convert an archive of skeleton clips from any layout to any other.")
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--input", type=Path, metavar="PATH", help="archive, or folder of arrays or JSON clips")
    source.add_argument("--descriptors", type=Path, metavar="FOLDER", help="descriptors beside an archive, NAME.npy of "
        "each clip, to be packed in one .npz (docs/multimodal.md)")  # fmt: skip
    add("--output", type=Path, metavar="PATH", help="file, or folder for npy, ucla, kinetics")
    add("--to", choices=FORMATS, help="default: by the suffix of --output")
    add("--split", choices=SPLITS, help="only this one")
    add("--label-path", type=Path, metavar="FILE", help="labels of a .npy file or of a folder of Kinetics clips; "
        "default: the published name beside it")  # fmt: skip
    add("--joints", type=int, metavar="V", help="of the skeleton, where the layout leaves it open")
    add("--num-class", type=int, metavar="K", help="columns of one-hot labels")
    add("--frames", type=int, metavar="T", help="length of padded clips")
    add("--persons", type=int, metavar="M", help="places for persons in padded clips")
    add("--benchmark", metavar="NAME", help="the division of a pickle that is read, or the name of the one that "
        "is written: xsub, xview, 1 ...")  # fmt: skip
    add("--normalise", choices=["msg3d"], help="as MS-G3D's own generator does")
    add("--compress", action="store_true", help="deflate NPZ and HDF5")
    options = vars(parser.parse_args(argv))
    source, target, quiet = options.pop("input"), options.pop("output"), options.pop("quiet")
    if target is None:  # behind --input, which argparse would pass over in silence where this lacks too
        parser.error("the following arguments are required: --output")
    folder = options.pop("descriptors")
    if folder is not None:
        given = [name for name, value in options.items() if value]
        if given:
            parser.error(f"--{given[0].replace('_', '-')} is about clips, and --descriptors has none")
        return guarded(lambda: _say_packed(pack(folder, target, not quiet)))
    return run(source, target, quiet, **options)


def _say_packed(made: Descriptors) -> None:
    per = f"{made.lengths.min()} to {made.lengths.max()} of a clip" if made.per_frame else "one of each clip"
    print(f"Wrote descriptors of {len(made)} clips, {per}, D={made.D}:")
    print(f"  {made.path}  {made.path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    sys.exit(main())
