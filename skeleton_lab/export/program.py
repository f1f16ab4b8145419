"""``skeleton-lab export ROOM --weights W --output net.onnx``: a trained network as a file for other runtimes.

The file holds the plain network in evaluation mode. It is written only when onnxruntime says of the same clips what
PyTorch says, in batches of sizes that it was not traced with.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skeleton_lab import registry
from skeleton_lab.errors import FAILURE, UsageError, guarded
from skeleton_lab.inference import flags
from skeleton_lab.inference.onnx_about import BATCH, FRAMES, KEY, dumped
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.cli import Parser, check_sizes
from skeleton_lab.utils.importing import optional
from skeleton_lab.utils.progress import step_bar

if TYPE_CHECKING:
    from torch import Tensor

    from skeleton_lab.export.comparing import Compared
    from skeleton_lab.export.tracing import Answer
    from skeleton_lab.inference.network import Network

OPSET = 18
STEPS = 3  # reading clips, tracing, comparing
CLIPS = 8  # that are compared by default
LONGEST = 20_000  # frames
DIFFERS = "file and network differ: nothing was written"


def _parser() -> Parser:
    made = Parser(
        description="Write a trained network as an ONNX file, which onnxruntime, OpenVINO, tract, a browser and "
        "skeleton-lab predict --onnx run. It is compared with PyTorch on clips, and not written if they differ.",
    )
    flags.of_a_network(made)
    add = made.add_argument
    add("--output", type=Path, required=True, metavar="FILE", help="the .onnx file")
    add("--opset", type=int, default=OPSET, help=f"version of ONNX's operators, 18 to 20; default: {OPSET}")
    add("--frames", type=int, metavar="N", help="of the clips; default: as many as the test feeder makes")
    add("--with-preprocessing", action="store_true", help="the file takes key points and normalises them itself, but "
        "fills in no joints that were not found (docs/deploy.md)")  # fmt: skip
    add("--archive", type=Path, metavar="FILE", help="compare on test clips of this archive; default: on the "
        "configuration's, where they are here, else on made-up ones")  # fmt: skip
    add("--clips", type=int, default=CLIPS, metavar="N", help=f"that are compared; default: {CLIPS}")
    add("--classes", type=Path, metavar="FILE", help="names of the classes, one per line; default: those of the "
        "archive that the network was trained on, or the published ones")  # fmt: skip
    add("--quantize", type=Path, metavar="ARCHIVE", help="also write FILE.int8.onnx, smaller and slower: ranges "
        "from the training clips of an archive; size, time and accuracy of both files on its test clips")  # fmt: skip
    made.set_defaults(device="cpu")
    return made


def run(options: argparse.Namespace) -> int:
    """Export, compare, write and say; returns the exit code, 1 where file and network differ.

    Raises:
        LabError: what the user has to put right.
    """
    _check(options)
    onnx = optional("onnx", "onnx", "export", "export")
    from skeleton_lab.export import quantize, tracing
    from skeleton_lab.inference import opening

    if options.opset not in tracing.OPSETS:
        raise UsageError(f"--opset {options.opset}: choose from {tracing.OPSETS[0]} to {tracing.OPSETS[-1]}")
    with opening.opened(options) as network:
        if options.quantize is not None:
            quantize.feeders(network, options.quantize)  # an archive that does not fit shows before the work
        with step_bar(STEPS, "exporting") as begin:
            model, found, told = exported(network, options, begin)
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    if found.agrees:
        write_atomically(options.output, lambda file: file.write(content))
    for line in [*told, written(options, model, len(content)) if found.agrees else DIFFERS]:
        print(line)
    if not found.agrees:
        return FAILURE
    if options.quantize is not None:
        quantize.run(options.output, options.quantize)
    return 0


def _check(options: argparse.Namespace) -> None:
    """UsageError for flags that cannot be, or not together."""
    check_sizes(options, "clips")
    if options.frames is not None and not 1 <= options.frames <= LONGEST:
        raise UsageError(f"--frames {options.frames} must be from 1 to {LONGEST}")
    if options.output.is_dir():
        raise UsageError(f"--output {options.output} is a folder; give the name of a file, such as net.onnx")
    if options.quantize is not None and options.with_preprocessing:
        raise UsageError("--quantize does not go with --with-preprocessing: 8 bits are too few for coordinates")


def exported(
    network: Network, options: argparse.Namespace, begin: Callable[[str], None]
) -> tuple[Any, Compared, list[str]]:
    """The file (``onnx.ModelProto``) with its metadata, how it compares, and what the user is told of it.

    ``begin`` is told the names of ``STEPS`` steps.
    """
    import onnx

    from skeleton_lab.export import comparing, describing, example, preprocessing, tracing

    begin("reading clips")
    _for_frames(network, options.frames)
    feeder, clips = example.feeder_of(network, options.archive, options.clips)
    count = max(options.clips, *comparing.BATCHES)
    given = usual = example.inputs(feeder, count)
    length = next(iter(usual.values())).shape[example.frames_axes(feeder, usual)[0]]
    _check_length(options.frames, length)
    before = None
    if options.with_preprocessing:
        before, given = preprocessing.preprocessing(network, feeder), example.keypoints(feeder, count)
    net = tracing.answer(network.net, before)
    model, found, fixed = traced(net, given, example.frames_axes(feeder, given), options.opset, begin)
    about = describing.about(
        network, feeder, registry.find(options.room).image, length, [BATCH] if fixed else [BATCH, FRAMES],
        options.classes, before is not None, found.classes,
    )  # fmt: skip
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = found.classes  # which tracing may lose
    onnx.helper.set_model_props(model, {KEY: dumped(about)})
    model.graph.name = about.model
    told = report(model, found, f"{options.clips} {clips}", fixed)
    if before is not None:
        told.append(_beside_feeder(answers(net, given), answers(tracing.Answer(net.net), usual)))
    if about.calibration is not None:
        told.append(f"the file is calibrated: its temperature is {about.calibration['temperature']:.4g}")
    return model, found, told


def traced(
    net: Answer, given: dict[str, Tensor], axes: Sequence[int], opset: int, begin: Callable[[str], None]
) -> tuple[Any, Compared, str]:
    """The graph, how it compares, and why its frames are fixed; empty where they are free.

    Args:
        given: inputs by name, clips along their first axis; axes: of each that of its frames.
        begin: is told what begins.

    Raises:
        UsageError: what ``tracing.graph`` raises, or the network does not take the clips.
    """
    from skeleton_lab.export import comparing, tracing

    begin("tracing")
    two, others = {name: x[:2] for name, x in given.items()}, comparing.longer(list(given.values()), axes)
    fixed = _takes(net, [x[:1] for x in given.values()])
    if fixed:
        raise UsageError(f"the network does not take the clips: {fixed}")
    if not (fixed := _takes(net, [x[:1] for x in others])):
        model = tracing.graph(net, two, axes, opset)
        begin("comparing")
        running = comparing.session(model)
        found = comparing.compared(running, net, list(given.values()))
        if found.agrees and comparing.compared(running, net, [x[:3] for x in others]).agrees:
            return model, found, ""
        fixed = "the graph counts them"
    model = tracing.graph(net, two, [None] * len(axes), opset)
    return model, comparing.compared(comparing.session(model), net, list(given.values())), fixed


def _takes(net: Answer, inputs: Sequence[Tensor]) -> str:
    """Empty, or what the network says against the inputs."""
    import torch

    from skeleton_lab.errors import one_line

    try:
        with torch.no_grad():
            net(*inputs)
    except (ValueError, RuntimeError, IndexError) as error:
        return one_line(error)[:200]
    return ""


def answers(net: Answer, given: dict[str, Tensor]) -> Tensor:
    """(N, K) logits of the clips."""
    import torch

    with torch.no_grad():
        return net(*given.values())


def _beside_feeder(inside: Tensor, by_feeder: Tensor) -> str:
    """How clips that are normalised in the file fare against those of the feeder."""
    from skeleton_lab.export.comparing import TOLERANCE

    apart = (inside - by_feeder).abs().amax(1)
    same = apart <= TOLERANCE * by_feeder.abs().max().clamp(min=1)
    return (
        f"as by the test feeder: {int(same.sum())} of {len(same)} clips, after joints that were not found were filled "
        "in; the file does not do that, predict --onnx does"
    )


def _for_frames(network: Network, frames: int | None) -> None:
    """Let the test feeder make clips of so many frames; UsageError for one that always makes the same number."""
    if frames is None:
        return
    if network.ucla or "window_size" not in inspect.signature(network.feeder_class).parameters:
        raise UsageError(f"--frames: clips of {network.options.feeder} have a fixed number of frames; leave it out")
    network.arguments["window_size"] = frames


def _check_length(wanted: int | None, length: int) -> None:
    if wanted not in (None, length):
        raise UsageError(f"--frames {wanted}: the test feeder's clips have {length} frames; leave it out")


def report(model: Any, found: Compared, clips: str, fixed: str) -> list[str]:
    """What a file takes and gives, and how it compares with the network on ``clips``."""
    shapes = [
        f"{each.name} ({', '.join(d.dim_param or str(d.dim_value) for d in each.type.tensor_type.shape.dim)})"
        for each in (*model.graph.input, *model.graph.output)
    ]
    lines = [" ".join([*shapes[:-1], "->", shapes[-1]])]
    if fixed and found.agrees:  # else the frames may not be why the file differed before
        lines.append(f"frames are fixed: {fixed}")
    difference = f"worst difference {found.worst:.1e} of logits up to {found.largest:.3g}"
    if found.trouble:
        difference = f"onnxruntime stopped: {found.trouble}"
    lines.append(f"{clips}, batches of 1 and 3: {difference}")
    return lines


def written(options: argparse.Namespace, model: Any, size: int) -> str:
    """The line about a file of ``size`` bytes."""
    return f"written to {options.output}: {len(model.graph.node)} nodes, opset {options.opset}, {size / 1e6:.1f} MB"


def main(argv: Sequence[str] | None = None) -> int:
    """The program; returns the exit status."""
    return guarded(lambda: run(_parser().parse_args(argv)))
