#!/usr/bin/env bash
# Question: rtmlib finds people with a detector and their joints with RTMPose. What comes out of a picture in which the
#   detector finds nobody?
# Good guess: no key points, an array without rows.
# What happens: one person. An empty list of boxes is taken as "no boxes were given", and RTMPose looks at the whole
#   picture; PoseTracker, Body and the like pass the empty list on. Scores are the only hint, and how low they are
#   depends on the picture. Whoever records people coming and going has somebody in every empty frame.
# rtmlib 0.0.16, onnxruntime 1.32.0, 2026-11-29.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rtmlib==0.0.16 onnxruntime==1.32.0 onnx==1.23.2
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from rtmlib import YOLOX, PoseTracker, RTMPose

print("rtmlib", version("rtmlib"), "onnxruntime", version("onnxruntime"))
folder = Path(sys.argv[1])


def constant(path, shape, **values):
    """An ONNX file that answers the same to every picture."""
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value.astype(np.float32)))
        for name, value in values.items()
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in values.items()]
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "made", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return str(path)


random = np.random.default_rng(0)
pose = constant(
    folder / "pose.onnx", (1, 3, 256, 192), simcc_x=random.random((1, 17, 384)), simcc_y=random.random((1, 17, 512))
)
boxes = np.array([[[10, 10, 60, 60, 0.05]]])  # x1, y1, x2, y2, score: far below the threshold
nobody = constant(folder / "nobody.onnx", (1, 3, 640, 640), dets=boxes)


class Solution:
    def __init__(self, to_openpose=False, backend="onnxruntime", device="cpu"):
        self.det_model = YOLOX(nobody, backend=backend, device=device)
        self.pose_model = RTMPose(pose, backend=backend, device=device)


picture = np.zeros((480, 640, 3), np.uint8)
found = Solution().det_model(picture)
print("boxes of the detector:", len(found))
points, scores = Solution().pose_model(picture, bboxes=found)
print("people of RTMPose:", points.shape)
tracked, _ = PoseTracker(Solution)(picture)
print("people of PoseTracker:", np.shape(tracked))
assert len(found) == 0
assert points.shape == (1, 17, 2) and np.shape(tracked) == (1, 17, 2)
print("OK: nobody is found, and there is one person")
PYTHON
