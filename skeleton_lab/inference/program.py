"""``python predict.py --config X.yaml --weights W.pt --input FILE`` in the folder of a room."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from skeleton_lab.data.archives.opening import SPLITS
from skeleton_lab.engine.recipe import Recipe
from skeleton_lab.errors import LabError, UsageError, guarded
from skeleton_lab.inference import predictions
from skeleton_lab.inference.keypoints import normalise, reading
from skeleton_lab.inference.wishes import WINDOW, Wishes
from skeleton_lab.skeletons.schemes import SCHEMES
from skeleton_lab.utils import trust
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.cli import Parser

if TYPE_CHECKING:
    from skeleton_lab.inference.feeding import Fed
    from skeleton_lab.inference.predict import Answer

FPS = 30.0
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
    add_recording_flags(made)
    add("--device", default="cpu", help="cpu, 0, cuda:0; default: cpu")
    return made


def add_recording_flags(parser: Parser) -> None:
    """What is asked about, and where the answer goes: the flags that do not depend on who computes."""
    add = parser.add_argument
    add("--input", type=Path, required=True, help="key points (.json, .npy, .npz, folder of OpenPose frames), raw "
        ".skeleton files, annotations of PYSKL (.pkl), or any archive that the lab reads")  # fmt: skip
    add("--keypoints", choices=tuple(SCHEMES), help="order of the joints; needed where their number does not tell")
    add("--up", choices=normalise.UP, help="which axis of key points is up; default: as the skeleton says")
    add("--score", type=float, help=f"key points with a lower score were not found; default: {reading.SCORE:g}")
    add("--window", type=int, metavar="FRAMES", help="cut recordings into windows; 0: whole; default: that of the "
        f"configuration ({WINDOW} where it has none), of an archive of your own the usual length of its clips; "
        "whole clips of an archive")  # fmt: skip
    add("--stride", type=int, metavar="FRAMES", help="from window to window; default: half a window")
    add("--fps", type=float, default=FPS, help=f"frames per second of the recording; default: {FPS:g}")
    add("--together", action="store_true", help="of two people only both together, not each of them alone")
    add("--split", choices=SPLITS, help="of an archive; default: test")
    add("--index", type=int, nargs="+", metavar="ROW", help="only these clips of an archive, from 0")
    add("--label-path", type=Path, metavar="FILE", help="labels of a .npy archive; default: the published name")
    add("--layout", help="of an archive, where its content does not tell: pyskl:xsub ... (docs/data.md)")
    add("--classes", type=Path, metavar="FILE", help="names of the classes, one per line; default: those of the "
        "archive that the network was trained on, or the published ones")  # fmt: skip
    add("--output", type=Path, default=Path("work_dir/predict"), metavar="DIR",
        help=f"for {TABLE}, {PAGE}, {PICTURE}; default: work_dir/predict")  # fmt: skip
    add("--trust-code", action="store_true", help=trust.HELP)


def checked(options: argparse.Namespace) -> Wishes:
    """The wishes among the flags; UsageError for numbers that cannot work."""
    wishes = Wishes(**{each.name: getattr(options, each.name) for each in fields(Wishes)})
    if not 0 < options.fps <= 1000:
        raise UsageError(f"--fps {options.fps:g} must be above 0 and at most 1000")
    if options.output.exists() and not options.output.is_dir():
        raise UsageError(f"--output {options.output} is a file; give a folder")
    return wishes


def write(options: argparse.Namespace, network: Fed, answer: Answer, source: dict[str, str]) -> None:
    """Print the answer and write its files into ``--output``.

    Args:
        source: where the network comes from, by flag; the last of them is its file.

    Raises:
        UsageError: the folder cannot be written.
    """
    from skeleton_lab.inference import overlay

    recordings, rows = answer.recordings, answer.rows
    told = network.class_names or recordings.class_names
    names = predictions.class_names(len(rows[0].logits), network.ucla, options.classes, told)
    about = {
        "input": str(options.input), **source, "network": network.name, "keypoints": recordings.scheme,
        "fps": options.fps, "windows": answer.windows, **predictions.sureness(network.calibration),
    }  # fmt: skip
    content = predictions.as_json(recordings, rows, names, options.fps, about)
    folder = options.output
    try:
        write_atomically(folder / TABLE, lambda file: file.write(predictions.dumped(content)))
        told = [
            f"{options.input.name}: {network.name}, {Path([*source.values()][-1]).name}",
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


def main(recipe: Recipe, room: Path, argv: Sequence[str] | None = None) -> None:
    """Raises ``LabError`` for what the user can put right."""
    options = _parser(recipe.name).parse_args(normalise.spelled(sys.argv[1:] if argv is None else argv))
    wishes = checked(options)
    from skeleton_lab.inference.network import Network  # here: --help and mistakes need no PyTorch
    from skeleton_lab.inference.predict import predict

    with trust.opened(room), trust.trusting(options.trust_code):
        network = Network(recipe, room, options.config, options.weights, options.device)
        for notice in network.notices:
            print(notice, file=sys.stderr)
        if network.K is not None:
            predictions.class_names(network.K, network.ucla, options.classes)  # a wrong file shows before the work
        source = {"config": str(options.config), "weights": str(options.weights)}
        write(options, network, predict(network, options.input, wishes, str(options.config)), source)


def run(recipe: Recipe, main_file: str, argv: Sequence[str] | None = None) -> int:
    """The program of a room; returns the exit status.

    Args:
        recipe: of its ``main.py``; main_file: its predict.py, in whose folder dotted names are looked for first.
        argv: arguments; None for those of the process.
    """
    room = Path(main_file).resolve().parent
    if str(room) not in sys.path:
        sys.path.insert(0, str(room))
    return guarded(lambda: main(recipe, room, argv))
