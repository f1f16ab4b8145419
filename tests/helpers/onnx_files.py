"""Small ONNX files under the metadata of an export: a linear network, whose answer NumPy tells too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from skeleton_lab.inference import onnx_about
from skeleton_lab.inference.onnx_about import About

K = 60
ABOUT = About(
    room="ctrgcn", model="model.ctrgcn.Model", config="small.yaml", weights="weights.pt", num_class=K, classes=None,
    skeleton=None, joints=25, channels=3, persons=2, scored=False, placed=False, frames=16, dynamic=["batch"],
    window=None, usual_length=None, padded=300, feeder="feeders.feeder_ntu.Feeder", feeder_kind="", feeder_args={},
    average_clips="prob", generated=False, bones=False, preprocessing=False, version="0", commit=None,
)  # fmt: skip
AXES = {"CTVM": (2, 4), "MTVC": (1, 2)}  # persons and frames of a batch, over which the network takes the mean


def weight(channels: int, joints: int, classes: int = K) -> np.ndarray:
    """(C V, K) of the linear network, or (V C, K) of one that reads joints first."""
    return np.random.default_rng(0).standard_normal((channels * joints, classes)).astype(np.float32)


def linear(clips: np.ndarray, axes: str, times: np.ndarray | None = None) -> np.ndarray:
    """What the network says: the mean over frames and persons, times the weights; plus the mean of ``times`` (N, T)."""
    mean = clips.mean(AXES[axes])
    logits = mean.reshape(len(mean), -1) @ weight(*mean.shape[1:])
    return logits if times is None else logits + times.mean(1, keepdims=True)


def write(path: Path, axes: str = "CTVM", frames: int | None = None, timed: bool = False, **about: Any) -> Path:
    """A file of that network.

    Args:
        frames: of the clips that it takes; None: any. timed: it has a second input.
        about: what differs from ``ABOUT``.
    """
    told = replace(ABOUT, **about)
    size = {"C": told.channels, "T": frames or "frames", "V": told.joints, "M": told.persons}
    inputs = [helper.make_tensor_value_info(onnx_about.CLIPS, TensorProto.FLOAT, ["n", *(size[a] for a in axes)])]
    nodes = [
        helper.make_node("ReduceMean", [onnx_about.CLIPS, "axes"], ["mean"], keepdims=0),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["product"]),
    ]
    constants = {"axes": np.array(AXES[axes]), "weight": weight(told.channels, told.joints, told.num_class)}
    if timed:
        inputs.append(helper.make_tensor_value_info("index_t", TensorProto.FLOAT, ["n", size["T"]]))
        nodes.append(helper.make_node("ReduceMean", ["index_t", "last"], ["time"], keepdims=1))
        constants["last"] = np.array([1])
    nodes.append(
        helper.make_node("Add", ["product", "time"], [onnx_about.LOGITS])
        if timed
        else helper.make_node("Identity", ["product"], [onnx_about.LOGITS])
    )
    output = helper.make_tensor_value_info(onnx_about.LOGITS, TensorProto.FLOAT, ["n", told.num_class])
    held = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "linear", inputs, [output], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {onnx_about.KEY: onnx_about.dumped(told)})
    onnx.save(model, path)
    return path
