"""``--quantize ARCHIVE``: a second file with integers of 8 bits, a third to a half as large, and what it costs.

Static quantisation by onnxruntime (Jacob et al. 2018, section 2): convolutions and products with constant matrices get
int8 weights, a scale for each output channel, and int8 inputs, whose range is what real clips made it. The rest stays
float32: products of two activations, the einsum over a graph, normalisations. That is for the size. On a CPU these
networks are slower so, and they may lose accuracy; both are printed, and it is never done unasked.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.feeders.base import Batch, Feeder
from skeleton_lab.errors import UsageError
from skeleton_lab.export import example
from skeleton_lab.inference import onnx_network
from skeleton_lab.inference.feeding import Fed
from skeleton_lab.inference.onnx_network import OnnxNetwork
from skeleton_lab.utils.atomic import completed
from skeleton_lab.utils.importing import optional
from skeleton_lab.utils.progress import clip_bar, step_bar

CALIBRATION = 128  # clips whose activations tell the ranges
STEPS = 3  # quantising, accuracy of both files
TIMED = 32  # clips, one at a time, whose median is the time of a clip
SAVED = 0.1  # of the size; where less is saved, 8 bits are not worth it
LOST = 0.05  # of top-1
KINDS = ["Conv", "Gemm", "MatMul"]  # to become integer; Add and Relu as integers cost accuracy and save nothing


@dataclass(frozen=True)
class Cost:
    """Of one file on the test clips of an archive.

    Attributes:
        bytes: of the file; seconds: median of one clip alone, its feeder's work left out.
        top1: share of right answers; logits: (N, K) float32.
    """

    bytes: int
    seconds: float
    top1: float
    logits: np.ndarray


def feeders(network: Fed, archive: Path) -> tuple[Feeder, Feeder]:
    """The test feeder on the clips of an archive that tell the ranges, its training clips, and on its test clips.

    Raises:
        LabError: what ``example.archive_feeder`` raises.
    """
    return example.archive_feeder(network, archive, "train"), example.archive_feeder(network, archive)


def run(source: Path, archive: Path) -> None:
    """Write ``NAME.int8.onnx`` beside an exported network, and print size, time and accuracy of both.

    Args:
        archive: its training clips tell the ranges, its test clips the accuracy.

    Raises:
        UsageError: onnxruntime is not installed. LabError: what ``feeders`` raises.
    """
    target = source.with_suffix(".int8.onnx")
    with onnx_network.opened(source) as network:
        train, test = feeders(network, archive)
        some = np.unique(np.linspace(0, len(train) - 1, min(len(train), CALIBRATION)).round().astype(int))
        with step_bar(STEPS, "quantising") as begin:
            begin("ranges of training clips")
            quantize(source, target, calibration(network, train, some))
            begin("accuracy of float32")
            before = cost(network, test)
            begin("accuracy of int8")
            after = cost(OnnxNetwork(target, *onnx_network.read(target)), test)
    print(f"written: {target}, quantised by {len(some)} training clips of {archive}")
    print(*table(before, after), sep="\n")
    if line := unsuited(before, after, source):
        print(line, file=sys.stderr)


def calibration(network: OnnxNetwork, feeder: Feeder, rows: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    """The network's inputs, by name, of some clips, one at a time; of a sample with several clips all of them."""
    names = [told.name for told in network.session.get_inputs()]
    with clip_bar(len(rows), "calibration") as bar:
        for row in rows:
            yield dict(zip(names, network.inputs(feeder, Batch([int(row)]))))
            bar.update()


def quantize(source: Path, target: Path, clips: Iterable[dict[str, np.ndarray]]) -> None:
    """Write ``target``, the network of ``source`` with weights and activations of 8 bits; its metadata is the same.

    Args:
        clips: inputs by name, as the network takes them, of real clips.

    Raises:
        UsageError: onnx or onnxruntime is not installed; nothing in the network can be quantised.
    """
    onnx = optional("onnx", "onnx", "export", "--quantize")
    tools = optional("onnxruntime.quantization", "onnxruntime", "export", "--quantize")
    shapes = optional("onnxruntime.quantization.shape_inference", "onnxruntime", "export", "--quantize")
    with completed(target, ".onnx") as file:
        shapes.quant_pre_process(str(source), file.name, skip_symbolic_shape=True)
        tools.quantize_static(
            file.name, file.name, _Reader(clips), quant_format=tools.QuantFormat.QDQ, per_channel=True,
            activation_type=tools.QuantType.QInt8, weight_type=tools.QuantType.QInt8, op_types_to_quantize=KINDS,
            extra_options={"MatMulConstBOnly": True},
        )  # fmt: skip
        before, after = onnx.load(source), onnx.load(file.name)
        if not any(node.op_type == "QuantizeLinear" for node in after.graph.node):
            raise UsageError(f"--quantize: {source} has no {', '.join(KINDS)} with constant weights to quantise")
        onnx.helper.set_model_props(after, {prop.key: prop.value for prop in before.metadata_props})
        onnx.save(after, file.name)


class _Reader:
    """``CalibrationDataReader`` of onnxruntime over any clips."""

    def __init__(self, clips: Iterable[dict[str, np.ndarray]]) -> None:
        self._clips = iter(clips)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._clips, None)


def cost(network: OnnxNetwork, feeder: Feeder) -> Cost:
    """Size, time and accuracy of a file on the clips of a feeder."""
    logits = network.logits(feeder, network.path.name)
    known = feeder.label < logits.shape[1]
    right = (logits.argmax(1) == feeder.label)[known]
    seconds = []
    for row in range(min(TIMED, len(feeder))):
        inputs: Any = network.inputs(feeder, Batch([row]))
        begun = time.perf_counter()
        network.run(inputs)
        seconds.append(time.perf_counter() - begun)
    top1 = float(right.mean()) if len(right) else float("nan")
    return Cost(network.path.stat().st_size, float(np.median(seconds)), top1, logits)


def table(before: Cost, after: Cost) -> Iterator[str]:
    """Lines that compare the file of float32 with that of int8."""
    yield f"{'':8} {'size':>10}  {'one clip':>10}  top-1 of {len(before.logits)} test clips"
    for name, each in (("float32", before), ("int8", after)):
        yield f"{name:8} {each.bytes / 1e6:7.2f} MB  {1e3 * each.seconds:7.2f} ms  {100 * each.top1:6.2f} %"
    same = float((before.logits.argmax(1) == after.logits.argmax(1)).mean())
    yield f"int8 has {after.bytes / before.bytes:.2f} of the size, {after.seconds / before.seconds:.2f} of the time; "\
        f"both say the same class of {100 * same:.2f} % of the clips"  # fmt: skip


def unsuited(before: Cost, after: Cost, source: Path) -> str:
    """Empty, or what speaks against the file of int8: that it is hardly smaller, or that many answers are wrong."""
    against = []
    if after.bytes > (1 - SAVED) * before.bytes:
        against.append(f"the file has {100 * after.bytes / before.bytes:.0f} % of the size")
    if round(before.top1 - after.top1, 6) > LOST:  # False for NaN, where no clip has a usable label
        against.append(f"top-1 falls from {100 * before.top1:.1f} to {100 * after.top1:.1f} %")
    if not against:
        return ""
    return f"8 bits do not suit this network: {', and '.join(against)}; use {source}, of float32"
