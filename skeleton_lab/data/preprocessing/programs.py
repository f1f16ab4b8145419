"""The command lines of the raw pipelines; the scripts at the published paths are thin calls of these.

Flags work with hyphens and underscores.  A default path stands where the published script has it, seen from the
script's folder, so that it does not matter from where the script is called; paths that are given are taken as they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from skeleton_lab.data.archives.ntu_protocol import DATASETS
from skeleton_lab.data.preprocessing import bone_arrays, kinetics, pku_mmd, uav_human
from skeleton_lab.data.preprocessing.pipelines import PIPELINES, CtrGcn, MsG3d, Pipeline, StGcn
from skeleton_lab.data.preprocessing.recordings import Source, chosen, ignored_names, recordings
from skeleton_lab.data.preprocessing.run import STAGES, Options, convert_ntu
from skeleton_lab.errors import UsageError, guarded
from skeleton_lab.utils.cli import Parser

RAW, LIST_60, LIST_120 = (
    "nturgb+d_skeletons",
    "NTU_RGBD_samples_with_missing_skeletons.txt",
    "NTU_RGBD120_samples_with_missing_skeletons.txt",
)
Argv = Sequence[str] | None


def _parser(description: str) -> Parser:
    parser = Parser(description=description)
    parser.add_argument("--n-cores", type=_positive, metavar="N", help="processes (default: one per CPU)")
    failing = "recordings that cannot be used: leave them out and list them (default), or stop before writing"
    parser.add_argument("--on-error", choices=("skip", "raise"), default="skip", help=failing)
    parser.add_argument("--truncate", action="store_true", help="cut clips that are too long instead of skipping them")
    parser.add_argument("--overwrite", action="store_true", help="throw away another, half-finished run in the folder")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no notes")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 on")
    return value


def _options(args: argparse.Namespace) -> Options:
    options = Options(on_error=args.on_error, overwrite=args.overwrite, show=not args.quiet)
    return replace(options, workers=args.n_cores) if args.n_cores else options


def _ntu(args: argparse.Namespace, pipeline: Pipeline, raw: list[Path], out: Path, default_list: Path | None, **how):
    options = _options(args)
    ignored = ignored_names(pipeline.facts, args.ignored_sample_path, default_list, options.say)
    sources = recordings(pipeline.facts, raw, ignored, options.say)
    _convert(sources, pipeline, out, options, **how)


def _convert(sources: list[Source], pipeline: Pipeline, out: Path, options: Options, **how) -> None:
    for path in convert_ntu(sources, out, pipeline, options, **how):
        options.say(f"wrote {path}")


def _first(places: Sequence[Path]) -> Path:
    """The first that exists; if none does, the first, which is then named in the message."""
    return next((place for place in places if place.exists()), places[0])


def _raw_folders(room: Path, name: str) -> list[Path]:
    """Where MS-G3D's recordings may be: in the room, or where its image mounts them, beside it."""
    return [room / "data" / "nturgbd_raw" / name, room.parent / "data" / "nturgbd_raw" / name]


def msg3d_ntu(room: Path, argv: Argv = None) -> int:
    """``MS-G3D/data_gen/ntu_gendata.py``."""
    parser = _parser("NTU RGB+D 60 recordings to data/ntu/{xsub,xview}/{train,val}_data_joint.npy and _label.pkl.")
    parser.add_argument("--data-path", type=Path, metavar="DIR", help="folder or ZIP of the .skeleton files")
    parser.add_argument("--ignored-sample-path", type=Path, metavar="FILE", help="list of missing skeletons")
    parser.add_argument("--out-folder", type=Path, default=room / "data" / "ntu", metavar="DIR")
    args = parser.parse_args(argv)
    raw = args.data_path or _first(_raw_folders(room, RAW))
    missing = _first(_raw_folders(room, LIST_60))
    return guarded(lambda: _ntu(args, MsG3d("ntu60", args.truncate), [raw], args.out_folder, missing))


def msg3d_ntu120(room: Path, argv: Argv = None) -> int:
    """``MS-G3D/data_gen/ntu120_gendata.py``."""
    parser = _parser("NTU RGB+D 120 recordings to data/ntu120/{xsub,xset}/{train,val}_data_joint.npy and _label.pkl.")
    parser.add_argument("--part1-path", type=Path, metavar="DIR", help="folder or ZIP of setups 1-17")
    parser.add_argument("--part2-path", type=Path, metavar="DIR", help="folder or ZIP of setups 18-32")
    parser.add_argument("--ignored-sample-path", type=Path, metavar="FILE", help="list of missing skeletons")
    parser.add_argument("--out-folder", type=Path, default=room / "data" / "ntu120", metavar="DIR")
    args = parser.parse_args(argv)
    given = (args.part1_path, args.part2_path)
    raw = [path or _first(_raw_folders(room, RAW + end)) for path, end in zip(given, ("", "120"))]
    missing = _first(_raw_folders(room, LIST_120))
    return guarded(lambda: _ntu(args, MsG3d("ntu120", args.truncate), raw, args.out_folder, missing))


def msg3d_bones(room: Path, argv: Argv = None) -> int:
    """``MS-G3D/data_gen/gen_bone_data.py``."""
    parser = Parser(description="{train,val}_data_bone.npy from the _data_joint.npy beside it.")
    parser.add_argument("--dataset", choices=tuple(bone_arrays.FOLDERS), required=True)
    parser.add_argument(
        "--data-path", type=Path, default=room / "data", metavar="DIR", help="folder of ntu, ntu120, kinetics"
    )
    args = parser.parse_args(argv)
    return guarded(lambda: bone_arrays.write(args.data_path, args.dataset))


def _kinetics(args: argparse.Namespace, lineage: str, bone: bool = False) -> None:
    options = _options(args)
    for path in kinetics.convert(args.data_path, args.out_folder, kinetics.OpenPose(lineage, bone), options):
        options.say(f"wrote {path}")


def msg3d_kinetics(room: Path, argv: Argv = None) -> int:
    """``MS-G3D/data_gen/kinetics_gendata.py``."""
    parser = _parser("Kinetics-skeleton JSON to data/kinetics/{train,val}_data_joint.npy and _label.pkl.")
    parser.add_argument("--data-path", type=Path, default=room / "data" / "kinetics_raw", metavar="DIR")
    parser.add_argument("--out-folder", type=Path, default=room / "data" / "kinetics", metavar="DIR")
    args = parser.parse_args(argv)
    return guarded(lambda: _kinetics(args, "msg3d"))


def stgcn_ntu(room: Path, argv: Argv = None) -> int:
    """``ST-GCN/tools/ntu_gendata.py``."""
    parser = _parser("NTU RGB+D 60 recordings to {xsub,xview}/{train,val}_data.npy and _label.pkl.")
    home = room / "data" / "NTU-RGB-D"
    parser.add_argument(
        "--data-path", type=Path, default=home / RAW, metavar="DIR", help="folder or ZIP of .skeleton files"
    )
    parser.add_argument("--ignored-sample-path", type=Path, metavar="FILE", help="list of missing skeletons")
    parser.add_argument("--out-folder", type=Path, default=home, metavar="DIR")
    args = parser.parse_args(argv)
    missing = room / "resource" / "NTU-RGB-D" / "samples_with_missing_skeletons.txt"

    def work() -> None:
        _ntu(args, StGcn("ntu60", args.truncate), [args.data_path], args.out_folder, missing)
        _say_where_read(args, home)

    return guarded(work)


def stgcn_kinetics(room: Path, argv: Argv = None) -> int:
    """``ST-GCN/tools/kinetics_gendata.py``."""
    parser = _parser("Kinetics-skeleton JSON to {train,val}_data.npy and _label.pkl.")
    home = room / "data" / "Kinetics" / "kinetics-skeleton"
    parser.add_argument("--data-path", type=Path, default=home, metavar="DIR")
    parser.add_argument("--out-folder", type=Path, default=home, metavar="DIR")
    args = parser.parse_args(argv)

    def work() -> None:
        _kinetics(args, "stgcn")
        _say_where_read(args, home)

    return guarded(work)


def _say_where_read(args: argparse.Namespace, home: Path) -> None:
    if not args.quiet and args.out_folder.resolve() != home.resolve():
        print(f"note: the configurations read {home}; point their data_path and label_path to {args.out_folder}")


def prepare(argv: Argv = None) -> int:
    """``dataset_tools/prepare.py``."""
    parser = _parser(
        "Raw recordings to what feeders read: every published pipeline behind one command. Recordings of your own, "
        "with labels in a CSV file: `skeleton-lab prepare clips --help`."
    )
    parser.add_argument("dataset", choices=(*DATASETS, "kinetics", *OTHERS))
    parser.add_argument("--pipeline", choices=tuple(PIPELINES), help="default: ctrgcn, the layout of Kaggle")
    parser.add_argument(
        "--raw", type=Path, nargs="+", required=True, metavar="DIR", help="folder(s) or ZIP(s) of recordings"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--split", type=Path, metavar="FILE", help="uav: training subjects; pku-mmd: training videos")
    parser.add_argument("--labels", type=Path, metavar="DIR", help="pku-mmd: folder of the label files")
    parser.add_argument(
        "--ignored-sample-path", type=Path, metavar="FILE", help="list to leave out (default: the published)"
    )
    parser.add_argument(
        "--frames",
        type=_positive,
        metavar="T",
        help="ctrgcn, uav, pku-mmd: length of the arrays (default: longest clip)",
    )
    single = "ctrgcn: repeat a clip's only person as the second (default, as published: in NTU 120)"
    parser.add_argument("--duplicate-single", choices=("True", "False"), help=single)
    parser.add_argument("--bones", action="store_true", help="msg3d: write the bone arrays, too")
    parser.add_argument("--side-files", action="store_true", help="ctrgcn: logs, counts and clips before translation")
    parser.add_argument("--colors", action="store_true", help="ctrgcn, with --side-files: pixels of the joints")
    args = parser.parse_args(argv)
    return guarded(lambda: _prepare(args))


# Data sets with a pipeline of the lab's own: what flags they take besides, and what converts them.
OTHERS = {
    "uav": (("split", "frames"), lambda a, o: uav_human.convert(a.raw, a.out, a.split, a.frames, a.truncate, o)),
    "pku-mmd": (
        ("split", "labels", "frames"),
        lambda a, o: pku_mmd.convert(a.raw, a.labels, a.out, a.split, a.frames, a.truncate, o),
    ),
}
PARTICULAR = (
    "pipeline", "split", "labels", "ignored_sample_path", "frames", "duplicate_single", "bones", "side_files", "colors",
)  # fmt: skip


def _prepare(args: argparse.Namespace) -> None:
    taken, convert = OTHERS.get(args.dataset, ((), None))
    for name in PARTICULAR:
        foreign = name not in taken if convert else name in ("split", "labels")
        if getattr(args, name) and foreign:
            raise UsageError(f"--{name.replace('_', '-')} has no effect with {args.dataset}: leave it out")
    if convert:
        for name in ("split", "labels"):
            if name in taken and getattr(args, name) is None:
                raise UsageError(f"{args.dataset} needs --{name}")
        options = _options(args)
        options.say(f"wrote {convert(args, options)}")
        return
    args.pipeline = args.pipeline or CtrGcn.key
    if args.dataset == "kinetics":
        if args.pipeline not in ("msg3d", "stgcn") or len(args.raw) > 1:
            raise UsageError("kinetics needs --pipeline msg3d or stgcn, and one --raw folder")
        args.data_path, args.out_folder = args.raw[0], args.out
        _kinetics(args, args.pipeline, args.bones)
        return
    pipeline = _pipeline(args)
    stages = STAGES if args.side_files else ("write",)
    _ntu(args, pipeline, args.raw, args.out, None, stages=stages)


def _pipeline(args: argparse.Namespace) -> Pipeline:
    wishes = {
        "frames": args.frames,
        "duplicate_single": None if args.duplicate_single is None else args.duplicate_single == "True",
        "colors": args.colors or None,
        "bones": args.bones or None,
    }
    given = {name: value for name, value in wishes.items() if value is not None}
    plain = PIPELINES[args.pipeline](args.dataset, args.truncate)
    for name in given:
        if name not in asdict(plain):
            raise UsageError(f"--{name.replace('_', '-')} has no effect with --pipeline {args.pipeline}: leave it out")
    if args.colors and not args.side_files:
        raise UsageError("--colors needs --side-files")
    return replace(plain, **given)


def ctrgcn_stage(stage: str, argv: Argv = None) -> int:
    """``get_raw_skes_data.py``, ``get_raw_denoised_data.py``, ``seq_transformation.py``, in data/ntu or data/ntu120.

    Each does what is left to do up to its stage; the last one writes the NPZ files.
    """
    parser = _parser(f"The step '{stage}' of raw recordings to NPZ; run it in data/ntu or data/ntu120.")
    parser.add_argument("--dataset", choices=tuple(DATASETS), help="default: by the name of the working folder")
    raw = Path("../nturgbd_raw")
    parser.add_argument(
        "--raw", type=Path, nargs="+", metavar="DIR", help=f"default: {raw / RAW} and, for NTU 120, {RAW}120"
    )
    names = Path("statistics/skes_available_name.txt")
    parser.add_argument(
        "--names", type=Path, metavar="FILE", help=f"samples to take, default: {names} if it is there, else all"
    )
    parser.add_argument("--frames", type=_positive, metavar="T", help="length of the arrays (default: longest clip)")
    args = parser.parse_args(argv)
    dataset = args.dataset or ("ntu120" if Path.cwd().name == "ntu120" else "ntu60")
    folders = args.raw or [raw / RAW, raw / f"{RAW}120"][: 1 + (dataset == "ntu120")]
    listed = args.names or (names if names.exists() else None)

    def work() -> None:
        options, pipeline = _options(args), CtrGcn(dataset, args.truncate, args.frames)
        ignored = frozenset() if listed else pipeline.facts.missing()
        sources = recordings(pipeline.facts, folders, ignored, options.say)
        if listed:
            sources = chosen(sources, listed)
        _convert(sources, pipeline, Path(), options, stages=(stage,))

    return guarded(work)
