"""``skeleton-lab predict --onnx net.onnx --input FILE``: what an exported network says, without PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skeleton_lab.errors import guarded
from skeleton_lab.inference import predictions, program
from skeleton_lab.inference.keypoints import normalise
from skeleton_lab.utils import trust
from skeleton_lab.utils.cli import Parser


def _parser() -> Parser:
    made = Parser(
        description="What an exported network says: the five most probable classes of every clip, or of every window "
        "of a long recording; of two people together and of each alone. It runs by onnxruntime, on the CPU.",
    )
    made.add_argument("--onnx", type=Path, required=True, metavar="FILE", help="file of skeleton-lab export; it tells "
        "the room, the classes and what becomes of clips before the network")  # fmt: skip
    program.add_recording_flags(made)
    return made


def main(argv: Sequence[str]) -> int:
    """The program; returns the exit status."""
    return guarded(lambda: run(argv))


def run(argv: Sequence[str]) -> None:
    """Raises ``LabError`` for what the user can put right."""
    options = _parser().parse_args(normalise.spelled(argv))
    wishes = program.checked(options)
    from skeleton_lab.inference import onnx_network  # here: --help and mistakes need no onnxruntime

    with trust.trusting(options.trust_code), onnx_network.opened(options.onnx) as network:
        predictions.class_names(network.about.num_class, network.ucla, options.classes)  # a wrong file shows at once
        program.answer(options, network, wishes, {"onnx": str(options.onnx)}, f"--onnx {options.onnx}")
