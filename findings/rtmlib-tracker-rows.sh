#!/usr/bin/env bash
# Question: rtmlib's PoseTracker follows three people who stand still. The detector lists them in another order in the
#   second frame, as detectors do that sort by confidence. Which row of the returned key points is whom?
# Good guess: row k stays the person of row k (rows follow the tracks), or rows simply keep the detector's order.
# What happens: neither. Rows are picked by the number of the track where the place in the detector's order is meant,
#   which is the inverse permutation: of two people it is right by luck, of three a rotated order is rotated once more.
#   And where somebody has left, so that a track's number is not below the count of people, the rows stay as the detector
#   gave them, without a word. Numbers of tracks are not returned; they are in track_ids_last_frame.
# rtmlib 0.0.16, onnxruntime 1.32.0, 2026-11-29.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rtmlib==0.0.16 onnxruntime==1.32.0 onnx==1.23.2
"$folder/venv/bin/python" - "$folder/pose.onnx" <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from rtmlib import PoseTracker, RTMPose

print("rtmlib", version("rtmlib"), "onnxruntime", version("onnxruntime"))

# A pose model of RTMPose's shapes that sees the same body in the middle of every box.
random = np.random.default_rng(0)
values = {"simcc_x": random.random((1, 17, 384)), "simcc_y": random.random((1, 17, 512))}
nodes = [
    helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value.astype(np.float32)))
    for name, value in values.items()
]
outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in values.items()]
inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, (1, 3, 256, 192))]
model = helper.make_model(helper.make_graph(nodes, "pose", inputs, outputs), opset_imports=[helper.make_opsetid("", 17)])
model.ir_version = 8
onnx.save(model, sys.argv[1])

PEOPLE = {"A": [0, 0, 150, 200], "B": [250, 0, 400, 200], "C": [500, 0, 650, 200]}  # boxes in the picture


class Detector:
    det_mode = "human"
    frames = iter(())

    def __call__(self, image):
        return [PEOPLE[name] for name in next(self.frames)]


class Solution:
    def __init__(self, to_openpose=False, backend="onnxruntime", device="cpu"):
        self.det_model = Detector()
        self.pose_model = RTMPose(sys.argv[1], backend=backend, device=device)


def rows(*frames):
    """Who is in each row, frame by frame, and the numbers of the tracks."""
    tracker = PoseTracker(Solution)
    tracker.det_model.frames = iter(frames)
    found = []
    for _ in frames:
        points, _ = tracker(np.zeros((200, 650, 3), np.uint8))
        middles = points.mean(1)[:, 0]
        who = "".join(min(PEOPLE, key=lambda n: abs(np.mean(PEOPLE[n][::2]) - x)) for x in middles)
        found.append(who)
        print(f"  detector {frames[len(found) - 1]}: rows {who}, tracks {tracker.track_ids_last_frame}")
    return found


print("three people, detected in another order:")
three = rows("ABC", "ABC", "CAB")
print("two people, detected in another order:")
two = rows("AB", "AB", "BA")
print("the first leaves:")
left = rows("AB", "AB", "B")
assert three == ["ABC", "ABC", "BCA"], three
assert two == ["AB", "AB", "AB"], two
assert left == ["AB", "AB", "B"], left
print("OK: of three people in the order C, A, B the rows are B, C, A")
PYTHON
