"""``python predict.py --config X.yaml --weights W.pt --input FILE`` in the folder of a room."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skeleton_lab import trust
from skeleton_lab.data import sources
from skeleton_lab.data.archive import SPLITS
from skeleton_lab.engine.programs import NAMES
from skeleton_lab.errors import LabError, UsageError, guarded
from skeleton_lab.files import write_atomically
from skeleton_lab.flags import Parser
from skeleton_lab.keypoints import maps, placing, reading
from skeleton_lab.keypoints.notices import Notices
from skeleton_lab.keypoints.schemes import SCHEMES
from skeleton_lab.predict import results
from skeleton_lab.predict.clips import ALL, Own, Recordings, Row, Stored, cuts, rows_of, scheme_for
from skeleton_lab.predict.network import Network

WINDOW, STRIDE, FPS = 64, 32, 30.0
TABLE, PAGE, PICTURE = "predictions.json", "predictions.html", "predictions.png"


def _parser(program: str) -> Parser:
    made = Parser(
        prog="predict.py",
        description=f"What a trained {NAMES[program]} says: the five most probable classes of every clip, or of every "
        "window of a long recording; of two people together and of each alone.",
    )
    add = made.add_argument
    add("--config", type=Path, required=True, help="YAML file of the training: the published one, or config.yaml of "
        "the run's work dir")  # fmt: skip
    add("--weights", type=Path, required=True, help="weights file of that training")
    add("--input", type=Path, required=True, help="key points (.json, .npy, .npz, folder of OpenPose frames), or any "
        "archive that the lab reads")  # fmt: skip
    add("--keypoints", choices=tuple(SCHEMES), help="order of the joints; needed where their number does not tell")
    add("--up", choices=placing.UP, help="which axis of key points is up; default: y of ntu25 and ucla20, else -y")
    add("--score", type=float, help=f"key points with a lower score were not found; default: {reading.SCORE:g}")
    add("--window", type=int, metavar="FRAMES", help=f"cut recordings into windows; 0: whole; default: {WINDOW}, "
        "whole clips of an archive")  # fmt: skip
    add("--stride", type=int, default=STRIDE, metavar="FRAMES", help=f"from window to window; default: {STRIDE}")
    add("--fps", type=float, default=FPS, help=f"frames per second of the recording; default: {FPS:g}")
    add("--together", action="store_true", help="of two people only both together, not each of them alone")
    add("--split", choices=SPLITS, help="of an archive; default: test")
    add("--index", type=int, nargs="+", metavar="ROW", help="only these clips of an archive, from 0")
    add("--label-path", type=Path, metavar="FILE", help="labels of a .npy archive; default: the published name")
    add("--classes", type=Path, metavar="FILE", help="names of the classes, one per line; default: the published ones")
    add("--output", type=Path, default=Path("work_dir/predict"), metavar="DIR",
        help=f"for {TABLE}, {PAGE}, {PICTURE}; default: work_dir/predict")  # fmt: skip
    add("--device", default="cpu", help="cpu, 0, cuda:0; default: cpu")
    add("--trust-code", action="store_true", help=trust.HELP)
    return made


def _checked(options: argparse.Namespace) -> None:
    if options.window is not None and options.window < 0:
        raise UsageError(f"--window {options.window}: frames of a window, or 0 for whole recordings")
    if options.stride < 1:
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
    path = options.input
    if reading.is_keypoints(path):
        for flag in ("index", "split", "label_path"):
            if getattr(options, flag) is not None:
                raise UsageError(
                    f"--{flag.replace('_', '-')} is for archives, and {path} holds key points: leave it out"
                )
        target = scheme_for(network.joints, str(options.config))
        notices = Notices()
        found, source = reading.read(
            path, lambda V, where: placing.scheme_of(options.keypoints, V, where), _score(options), notices
        )
        recordings: Recordings = Own(found, source, target, options.up, notices)
        _tell(notices)
        return recordings, _asked(network, recordings, options, WINDOW if options.window is None else options.window)
    clips = _clips(path, options)
    taken = next((name for name in maps.TARGETS if network.joints == SCHEMES[name].V), None)
    same = network.joints == clips.V and options.keypoints in (None, taken)
    for flag in ("up", "score"):
        if same and getattr(options, flag) is not None:
            raise UsageError(f"--{flag} is for key points; the clips of {path} are taken as they are: leave it out")
    if same and not options.window:
        return _archive(network, options)
    target = scheme_for(network.joints, str(options.config))
    told = options.keypoints or {25: "ntu25"}.get(clips.V)  # archives of 25 joints are a Kinect's, not OpenPose's
    source = target if same else placing.scheme_of(told, clips.V, str(path))
    names = clips.names or [f"{options.split or 'test'}_{i}" for i in range(len(clips))]
    notices = Notices()
    recordings = Stored(clips, names, source, target, options.up, _score(options), notices)
    if not same:
        recordings.labels = None  # of other actions
    rows = _asked(network, recordings, options, options.window or 0)
    _tell(notices)
    return recordings, rows


def _score(options: argparse.Namespace) -> float:
    return reading.SCORE if options.score is None else options.score


def _tell(notices: Notices) -> None:
    for line in notices.lines():
        print(line, file=sys.stderr)


def _clips(path: Path, options: argparse.Namespace):
    parts = sources.open_source(path, split=options.split, label_path=options.label_path)
    clips = parts["test"] if "test" in parts else next(iter(parts.values()))
    if options.index is None:
        return clips
    wrong = [row for row in options.index if not 0 <= row < len(clips)]
    if wrong:
        raise UsageError(f"--index {wrong[0]}: {path} has {len(clips)} clips, 0 to {len(clips) - 1}")
    return clips.subset(np.array(options.index))


def _asked(network: Network, recordings: Recordings, options: argparse.Namespace, window: int) -> list[Row]:
    """Rows through archives that are written for the purpose."""
    rows = rows_of(recordings, window, options.stride, network.persons, alone=not options.together)
    if not rows:
        raise UsageError(f"{options.input}: nobody is in it")
    for row, logits in zip(rows, network.clips_logits(cuts(recordings, rows), len(rows))):
        row.logits = logits
    return rows


def _archive(network: Network, options: argparse.Namespace) -> tuple[Recordings, list[Row]]:
    """Whole clips by the test feeder on the archive itself; people alone through archives that are written."""
    feeder = network.archive_feeder(options.input, options.split, options.label_path, options.index)
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


def _write(options: argparse.Namespace, network: Network, recordings: Recordings, rows: list[Row]) -> dict:
    from skeleton_lab.predict import overlay

    names = results.class_names(len(rows[0].logits), network.ucla, options.classes)
    about = {
        "input": str(options.input), "config": str(options.config), "weights": str(options.weights),
        "network": network.job.options.model, "keypoints": recordings.scheme, "fps": options.fps,
    }  # fmt: skip
    content = results.as_json(recordings, rows, names, options.fps, about)
    folder = options.output
    try:
        write_atomically(folder / TABLE, lambda file: file.write(results.dumped(content)))
        told = f"{options.input.name}: {network.job.options.model}, {options.weights.name}"
        page = overlay.html(recordings, rows, names, options.fps, told)
        write_atomically(folder / PAGE, lambda file: file.write(page))
        picture = overlay.png(recordings, rows, names, options.fps)
        if picture is not None:
            write_atomically(folder / PICTURE, lambda file: picture.save(file, "PNG"))
    except OSError as error:
        if isinstance(error, LabError):
            raise
        raise UsageError(f"--output {folder} cannot be written: {error.strerror or error}") from error
    return content


def predict(program: str, room: Path, argv: Sequence[str] | None = None) -> None:
    """Raises ``LabError`` for what the user can put right."""
    options = _parser(program).parse_args(placing.spelled(sys.argv[1:] if argv is None else argv))
    _checked(options)
    with trust.opened(room), trust.trusting(options.trust_code):
        _predict(program, room, options)


def _predict(program: str, room: Path, options: argparse.Namespace) -> None:
    network = Network(program, room, options.config, options.weights, options.device)
    for notice in network.notices:
        print(notice, file=sys.stderr)
    if network.K is not None:
        results.class_names(network.K, network.ucla, options.classes)  # a wrong file shows before the work
    recordings, rows = predicted(network, options)
    content = _write(options, network, recordings, rows)
    for line in results.table(content):
        print(line)
    print(f"written to {options.output}: {TABLE}, {PAGE}, {PICTURE}")


def run(program: str, main_file: str, argv: Sequence[str] | None = None) -> int:
    """The program of a room; returns the exit status.

    Args:
        program: its letter; main_file: its predict.py, in whose folder dotted names are looked for first.
        argv: arguments; None for those of the process.
    """
    room = Path(main_file).resolve().parent
    if str(room) not in sys.path:
        sys.path.insert(0, str(room))
    return guarded(lambda: predict(program, room, argv))
