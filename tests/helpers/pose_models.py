"""Small ONNX files of the shapes that RTMPose and person detectors have, and videos of what they see: a bright dot.

The pose model takes the dot for the middle of a body that does not move: each joint is a fixed way from it. The
detector finds one person in the whole picture, as surely as the picture is bright anywhere.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH, HEIGHT = 192, 256  # of RTMPose's picture
# COCO's joints about the middle of the body, in pixels of that picture
BODY = np.array(
    [(0, -60), (4, -64), (-4, -64), (10, -62), (-10, -62), (24, -40), (-24, -40), (36, -10), (-36, -10), (40, 16),
     (-40, 16), (16, 30), (-16, 30), (18, 62), (-18, 62), (20, 90), (-20, 90)]
)  # fmt: skip


def _tensor(name: str, values: np.ndarray) -> onnx.TensorProto:
    return numpy_helper.from_array(values, name)


def _saved(path: Path, nodes: list, tensors: list, shape: list, outputs: dict[str, list]) -> Path:
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, of) for name, of in outputs.items()],
        tensors,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def pose_model(path: Path, joints: int = 17) -> Path:
    """(1, 3, 256, 192) to simcc_x (1, V, 384) and simcc_y (1, V, 512): two places a pixel.

    Along each axis the brightest place is found; a convolution per joint whose kernel is one 1 moves it.
    """
    nodes, tensors, outputs = [], [_tensor("scale", np.array(0.2, np.float32))], {}
    for axis, size, other in (("x", WIDTH, 2), ("y", HEIGHT, 3)):
        far = int(np.abs(BODY).max())
        kernel = np.zeros((joints, 1, 2 * far + 1), np.float32)
        for joint in range(joints):
            kernel[joint, 0, far - BODY[joint, "xy".index(axis)]] = 1
        tensors += [_tensor(f"W{axis}", kernel), _tensor(f"twice{axis}", np.array([1, 1, 2], np.float32))]
        nodes += [
            helper.make_node("ReduceMax", ["input"], [f"a{axis}"], axes=[1, other], keepdims=0),  # (1, size)
            helper.make_node("Unsqueeze", [f"a{axis}", "one"], [f"b{axis}"]),
            helper.make_node("Conv", [f"b{axis}", f"W{axis}"], [f"c{axis}"], pads=[far, far]),
            helper.make_node("Mul", [f"c{axis}", "scale"], [f"d{axis}"]),
            helper.make_node(
                "Resize", [f"d{axis}", "", f"twice{axis}"], [f"simcc_{axis}"], mode="nearest",
                coordinate_transformation_mode="asymmetric", nearest_mode="floor",
            ),
        ]  # fmt: skip
        outputs[f"simcc_{axis}"] = [1, joints, 2 * size]
    return _saved(path, nodes, [*tensors, _tensor("one", np.array([1]))], [1, 3, HEIGHT, WIDTH], outputs)


def detector(path: Path, size: int = 64) -> Path:
    """(1, 3, size, size) to one box with its score, (1, 1, 5): the whole, 1 where the picture has white, 0 if none."""
    box = np.array([[[0, 0, size, size]]], np.float32)
    nodes = [
        helper.make_node("ReduceMax", ["input"], ["brightest"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Sub", ["brightest", "grey"], ["above"]),
        helper.make_node("Clip", ["above", "zero", "top"], ["score"]),
        helper.make_node("Reshape", ["score", "shape"], ["shaped"]),
        helper.make_node("Concat", ["box", "shaped"], ["dets"], axis=2),
    ]
    tensors = [
        _tensor("box", box), _tensor("grey", np.array(150, np.float32)), _tensor("shape", np.array([1, 1, 1])),
        _tensor("zero", np.array(0, np.float32)), _tensor("top", np.array(1, np.float32)),
    ]  # fmt: skip
    return _saved(path, nodes, tensors, [1, 3, size, size], {"dets": [1, 1, 5]})


def places(frames: int) -> np.ndarray:
    """(T, 2) where the dot is, in pixels of a picture 160 wide and 120 high."""
    turn = np.linspace(0, 2 * np.pi, frames, endpoint=False)
    return np.stack([80 + 30 * np.cos(turn), 60 + 20 * np.sin(turn)], 1)


def video(path: Path, dots: np.ndarray, fps: float = 30.0) -> Path:
    """Pictures with a white dot at each of ``dots`` (T, 2), none where it is NaN."""
    import cv2

    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, (160, 120))
    for dot in dots:
        picture = np.zeros((120, 160, 3), np.uint8)
        if np.isfinite(dot).all():
            cv2.circle(picture, tuple(int(v) for v in dot.round()), 3, (255, 255, 255), -1)
        out.write(picture)
    out.release()
    return path
