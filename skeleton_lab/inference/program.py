"""``python predict.py --config X.yaml --weights W.pt --input FILE`` in the folder of a room."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from skeleton_lab.engine.recipe import Recipe
from skeleton_lab.errors import LabError, UsageError, guarded
from skeleton_lab.inference import flags, predictions
from skeleton_lab.inference.keypoints import normalise
from skeleton_lab.inference.wishes import Wishes
from skeleton_lab.utils import trust
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.cli import Parser

if TYPE_CHECKING:
    from skeleton_lab.inference.feeding import Fed
    from skeleton_lab.inference.predict import Answer

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
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--input", type=Path, help=flags.INPUT)
    what.add_argument("--batch", type=Path, metavar="FOLDER", help="all recordings below a folder, in one table; "
                      "the same command goes on where it was interrupted")  # fmt: skip
    flags.of_recordings(parser)
    add = parser.add_argument
    add("--together", action="store_true", help="of two people only both together, not each of them alone")
    add("--index", type=int, nargs="+", metavar="ROW", help="only these clips of an archive, from 0")
    add("--output", type=Path, default=Path("work_dir/predict"), metavar="DIR",
        help=f"for {TABLE}, {PAGE}, {PICTURE}, of --batch predictions.csv; default: work_dir/predict")  # fmt: skip
    add("--trust-code", action="store_true", help=trust.HELP)


def checked(options: argparse.Namespace) -> Wishes:
    """The wishes among the flags; UsageError for numbers that cannot work."""
    wishes = Wishes(**{each.name: getattr(options, each.name) for each in fields(Wishes)})
    flags.check(options)
    if options.input is None and options.index is not None:
        raise UsageError("--index is for one archive, and --batch reads many files: leave it out")
    return wishes


def answer(options: argparse.Namespace, network: Fed, wishes: Wishes, source: dict[str, str], config: str) -> None:
    """Ask the network about the recordings, or the folder of them, that the flags name; print and write what it says.

    Args:
        source: the files that the network comes from, by flag, its own the last. config: how messages call it.
    """
    from skeleton_lab.inference import batch
    from skeleton_lab.inference.predict import predict

    if options.batch is None:
        write(options, network, predict(network, options.input, wishes, config), source)
        return
    told = batch.run(
        network, source, options.batch, wishes, options.classes, options.fps, options.output, config
    )  # fmt: skip
    print(*told, sep="\n")
    print(f"written to {options.output}: {batch.TABLE}, {batch.JOURNAL}")


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

    with trust.opened(room), trust.trusting(options.trust_code):
        network = Network(recipe, room, options.config, options.weights, options.device)
        for notice in network.notices:
            print(notice, file=sys.stderr)
        if network.K is not None:
            predictions.class_names(network.K, network.ucla, options.classes)  # a wrong file shows before the work
        source = {"config": str(options.config), "weights": str(options.weights)}
        answer(options, network, wishes, source, str(options.config))


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
