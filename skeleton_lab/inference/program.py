"""``python predict.py --config X.yaml --weights W.pt --input FILE`` in the folder of a room."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skeleton_lab.data.archives import both_splits
from skeleton_lab.data.archives.labels import NTU_NAME
from skeleton_lab.data.archives.opening import SPLITS
from skeleton_lab.engine.recipe import Recipe
from skeleton_lab.errors import LabError, UsageError, guarded
from skeleton_lab.inference import predictions
from skeleton_lab.inference import recordings as inputs
from skeleton_lab.inference.keypoints import normalise, reading
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.inference.predictor import Network
from skeleton_lab.inference.recordings import Found
from skeleton_lab.inference.windows import ALL, Own, Recordings, Row, Stored, cuts, rows_of, scheme_for
from skeleton_lab.reporting.viewer.clip_source import raw_recordings
from skeleton_lab.skeletons import joint_maps
from skeleton_lab.skeletons.schemes import SCHEMES
from skeleton_lab.utils import trust
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.cli import Parser

WINDOW, FPS = 64, 30.0
ANNOTATED = {17: "coco17", 25: "ntu25"}  # joints of PYSKL's annotations
TABLE, PAGE, PICTURE = "predictions.json", "predictions.html", "predictions.png"


def _parser(name: str) -> Parser:
    made = Parser(
        prog="predict.py",
        description=f"What a trained {name} says: the five most probable classes of every clip, or of every "
        "window of a long recording; of two people together and of each alone.",
    )
    add = made.add_argument
    add("--config", type=Path, required=True, help="YAML file of the training: the published one, or config.yaml of "
        "the run's work dir")  # fmt: skip
    add("--weights", type=Path, required=True, help="weights file of that training")
    add("--input", type=Path, required=True, help="key points (.json, .npy, .npz, folder of OpenPose frames), raw "
        ".skeleton files, annotations of PYSKL (.pkl), or any archive that the lab reads")  # fmt: skip
    add("--keypoints", choices=tuple(SCHEMES), help="order of the joints; needed where their number does not tell")
    add("--up", choices=normalise.UP, help="which axis of key points is up; default: y of ntu25 and ucla20, else -y")
    add("--score", type=float, help=f"key points with a lower score were not found; default: {reading.SCORE:g}")
    add("--window", type=int, metavar="FRAMES", help="cut recordings into windows; 0: whole; default: that of the "
        f"configuration ({WINDOW} where it has none), whole clips of an archive")  # fmt: skip
    add("--stride", type=int, metavar="FRAMES", help="from window to window; default: half a window")
    add("--fps", type=float, default=FPS, help=f"frames per second of the recording; default: {FPS:g}")
    add("--together", action="store_true", help="of two people only both together, not each of them alone")
    add("--split", choices=SPLITS, help="of an archive; default: test")
    add("--index", type=int, nargs="+", metavar="ROW", help="only these clips of an archive, from 0")
    add("--label-path", type=Path, metavar="FILE", help="labels of a .npy archive; default: the published name")
    add("--layout", help="of an archive, where its content does not tell: pyskl:xsub ... (docs/data.md)")
    add("--classes", type=Path, metavar="FILE", help="names of the classes, one per line; default: the published ones")
    add("--output", type=Path, default=Path("work_dir/predict"), metavar="DIR",
        help=f"for {TABLE}, {PAGE}, {PICTURE}; default: work_dir/predict")  # fmt: skip
    add("--device", default="cpu", help="cpu, 0, cuda:0; default: cpu")
    add("--trust-code", action="store_true", help=trust.HELP)
    return made


def _checked(options: argparse.Namespace) -> None:
    if options.window is not None and options.window < 0:
        raise UsageError(f"--window {options.window}: frames of a window, or 0 for whole recordings")
    if options.stride is not None and options.stride < 1:
        raise UsageError(f"--stride {options.stride} must be at least 1 frame")
    if not 0 < options.fps <= 1000:
        raise UsageError(f"--fps {options.fps:g} must be above 0 and at most 1000")
    if options.score is not None and not 0 <= options.score < math.inf:
        raise UsageError(f"--score {options.score:g} must be 0 or more; the scores of most pose estimators end at 1")
    if options.output.exists() and not options.output.is_dir():
        raise UsageError(f"--output {options.output} is a file; give a folder")


def predicted(network: Network, options: argparse.Namespace) -> tuple[Recordings, list[Row]]:
    """The recordings, and the rows with their logits, in order.

    Raises:
        ArchiveError, ArchiveNotFoundError: the input is missing, damaged or of no known form.
        UsageError: its joints and the network's do not go together.
    """
    own = _own(network, options)
    if own is not None:
        window = options.window if options.window is not None else network.window or WINDOW
        return own, _asked(network, own, options, window)
    path = options.input
    clips = _clips(path, options)
    taken = next((name for name in joint_maps.TARGETS if network.joints == SCHEMES[name].V), None)
    same = network.joints == clips.V and options.keypoints in (None, taken)
    for flag in ("up", "score"):
        if same and getattr(options, flag) is not None:
            raise UsageError(f"--{flag} is for key points; the clips of {path} are taken as they are: leave it out")
    if same and not options.window:
        return _archive(network, options)
    target = scheme_for(network.joints, str(options.config))
    known = ANNOTATED if clips.layout == "pyskl" else {25: "ntu25"}  # 25 joints are a Kinect's here, not OpenPose's
    told = options.keypoints or known.get(clips.V)
    source = target if same else normalise.scheme_of(told, clips.V, str(path))
    names = clips.names or [f"{options.split or 'test'}_{i}" for i in range(len(clips))]
    notices = Notices()
    recordings = Stored(clips, names, source, target, options.up, _score(options), notices)
    if not same and not _of_ntu(network, names):
        recordings.labels = None  # of other actions
    rows = _asked(network, recordings, options, options.window or 0)
    _tell(notices)
    return recordings, rows


def _score(options: argparse.Namespace) -> float:
    return reading.SCORE if options.score is None else options.score


def _tell(notices: Notices) -> None:
    for line in notices.lines():
        print(line, file=sys.stderr)


def _own(network: Network, options: argparse.Namespace) -> Recordings | None:
    """Recordings that are no archive: key points, raw ones, annotations; None for an archive."""
    path = options.input
    both_splits = raw_recordings(path)
    kind = "holds raw recordings" if both_splits else "holds key points" if reading.is_keypoints(path) else ""
    content = None if kind else inputs.annotations(path)
    if not kind and content is None:
        return None
    _refuse_archive_flags(options, kind or "holds annotations")
    if both_splits and (options.score is not None or options.keypoints not in (None, "ntu25")):
        flag = "--score" if options.score is not None else f"--keypoints {options.keypoints}"
        raise UsageError(f"{flag} is for key points, and {path} {kind}, of 25 joints without scores: leave it out")
    target = scheme_for(network.joints, str(options.config))
    notices, score = Notices(), _score(options)
    if not kind:
        choose = lambda V, where: normalise.scheme_of(options.keypoints or ANNOTATED.get(V), V, where)  # noqa: E731
        found = inputs.annotated(path, content, choose, score, notices)
    elif both_splits:
        found = inputs.raw(both_splits, notices)
    else:
        choose = lambda V, where: normalise.scheme_of(options.keypoints, V, where)  # noqa: E731
        found = Found(*reading.read(path, choose, score, notices), [])
    same = found.scheme is target or _of_ntu(network, [keypoints.name for keypoints in found.keypoints])
    labels = found.labels if same and any(label is not None for label in found.labels) else None
    recordings = Own(found.keypoints, found.scheme, target, options.up, notices, labels)
    _tell(notices)
    return recordings


def _of_ntu(network: Network, names: Sequence[str]) -> bool:
    """Whether labels of another skeleton's clips are this network's classes, by the names that NTU RGB+D gives."""
    return not network.ucla and all(NTU_NAME.fullmatch(name) for name in names)


def _refuse_archive_flags(options: argparse.Namespace, kind: str) -> None:
    for flag in ("index", "split", "label_path", "layout"):
        if getattr(options, flag) is not None:
            raise UsageError(f"--{flag.replace('_', '-')} is for archives, and {options.input} {kind}: leave it out")


def _clips(path: Path, options: argparse.Namespace):
    parts = both_splits.open_source(path, split=options.split, label_path=options.label_path, layout=options.layout)
    clips = parts["test"] if "test" in parts else next(iter(parts.values()))
    if options.index is None:
        return clips
    wrong = [row for row in options.index if not 0 <= row < len(clips)]
    if wrong:
        raise UsageError(f"--index {wrong[0]}: {path} has {len(clips)} clips, 0 to {len(clips) - 1}")
    return clips.subset(np.array(options.index))


def _asked(network: Network, recordings: Recordings, options: argparse.Namespace, window: int) -> list[Row]:
    """Rows through archives that are written for the purpose."""
    stride = options.stride or max(window // 2, 1)
    options.windows = f"windows of {window} frames, every {stride}" if window else None
    rows = rows_of(recordings, window, stride, network.persons, alone=not options.together)
    if not rows:
        raise recordings.trouble or UsageError(f"{options.input}: nobody is in it")
    for row, logits in zip(rows, network.clips_logits(cuts(recordings, rows), len(rows))):
        row.logits = logits
    return rows


def _archive(network: Network, options: argparse.Namespace) -> tuple[Recordings, list[Row]]:
    """Whole clips by the test feeder on the archive itself; people alone through archives that are written."""
    feeder = network.archive_feeder(options.input, options.split, options.label_path, options.index, options.layout)
    recordings = Stored(feeder.clips, [str(name) for name in feeder.sample_name], None, None)
    recordings.labels = feeder.label.tolist()
    _, ends = feeder.clips.lengths(np.arange(len(feeder.label)))
    logits = network.logits(feeder)
    rows = [Row(k, 0, max(int(end), 1), ALL, values) for k, (end, values) in enumerate(zip(ends, logits))]
    if options.together or feeder.clips.M < 2 or feeder.clips.V != 25 or network.bones:
        return recordings, rows
    alone = rows_of(recordings, 0, 1, network.persons, alone=True, everybody=False)
    if alone:
        for row, values in zip(alone, network.clips_logits(cuts(recordings, alone), len(alone), "each person")):
            row.logits = values
    return recordings, sorted([*rows, *alone], key=lambda row: row.recording)


def _write(options: argparse.Namespace, network: Network, recordings: Recordings, rows: list[Row]) -> None:
    from skeleton_lab.inference import overlay

    names = predictions.class_names(len(rows[0].logits), network.ucla, options.classes)
    about = {
        "input": str(options.input), "config": str(options.config), "weights": str(options.weights),
        "network": network.options.model, "keypoints": recordings.scheme, "fps": options.fps,
        "windows": getattr(options, "windows", None),
    }  # fmt: skip
    content = predictions.as_json(recordings, rows, names, options.fps, about)
    folder = options.output
    try:
        write_atomically(folder / TABLE, lambda file: file.write(predictions.dumped(content)))
        told = [
            f"{options.input.name}: {network.options.model}, {options.weights.name}",
            *predictions.summary(content),
        ]
        page = overlay.html(recordings, rows, names, options.fps, told)
        write_atomically(folder / PAGE, lambda file: file.write(page))
        picture, shown = overlay.png(recordings, rows, names, options.fps)
        if picture is not None:
            write_atomically(folder / PICTURE, lambda file: picture.save(file, "PNG"))
    except OSError as error:
        if isinstance(error, LabError):
            raise
        raise UsageError(f"--output {folder} cannot be written: {error.strerror or error}") from error
    drawn = f", {PICTURE}{f' ({shown})' if shown else ''}" if picture is not None else ""
    print(*predictions.table(content), *predictions.summary(content), sep="\n")
    print(f"written to {folder}: {TABLE}, {PAGE}{drawn}")


def predict(recipe: Recipe, room: Path, argv: Sequence[str] | None = None) -> None:
    """Raises ``LabError`` for what the user can put right."""
    options = _parser(recipe.name).parse_args(normalise.spelled(sys.argv[1:] if argv is None else argv))
    _checked(options)
    with trust.opened(room), trust.trusting(options.trust_code):
        _predict(recipe, room, options)


def _predict(recipe: Recipe, room: Path, options: argparse.Namespace) -> None:
    network = Network(recipe, room, options.config, options.weights, options.device)
    for notice in network.notices:
        print(notice, file=sys.stderr)
    if network.K is not None:
        predictions.class_names(network.K, network.ucla, options.classes)  # a wrong file shows before the work
    recordings, rows = predicted(network, options)
    _write(options, network, recordings, rows)


def run(recipe: Recipe, main_file: str, argv: Sequence[str] | None = None) -> int:
    """The program of a room; returns the exit status.

    Args:
        recipe: of its program; main_file: its predict.py, in whose folder dotted names are looked for first.
        argv: arguments; None for those of the process.
    """
    room = Path(main_file).resolve().parent
    if str(room) not in sys.path:
        sys.path.insert(0, str(room))
    return guarded(lambda: predict(recipe, room, argv))
