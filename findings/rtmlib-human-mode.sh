#!/usr/bin/env bash
# Question: rtmlib's YOLOX has det_mode "human" (the default) and "multiclass". It is given a YOLOX file of COCO's 80
#   classes, as YOLOX's own export makes them. Which boxes does it return in the mode "human"?
# Good guess: those of people; the class has the list of COCO's names, with 'person' first.
# What happens: those of all classes. The mode only decides whether the classes are returned beside the boxes; nothing is
#   left out. A chair gets a box, and from RTMPose 17 joints. Files with one class (as rtmlib downloads them) do not show it.
# rtmlib 0.0.16, onnxruntime 1.32.0, 2026-11-29.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rtmlib==0.0.16 onnxruntime==1.32.0 onnx==1.23.2
"$folder/venv/bin/python" - "$folder/yolox.onnx" <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from rtmlib import YOLOX

print("rtmlib", version("rtmlib"), "onnxruntime", version("onnxruntime"))
SIZE = 64
cells = sum((SIZE // stride) ** 2 for stride in (8, 16, 32))
chair = YOLOX.COCO_CLASSES.index("chair")
answer = np.zeros((1, cells, 5 + 80), np.float32)
answer[0, 0] = 0
answer[0, 0, :4] = [3, 3, np.log(4), np.log(4)]  # in strides of 8: a box about (24, 24), 32 wide and high
answer[0, 0, 4], answer[0, 0, 5 + chair] = 0.99, 0.99  # there is something, and it is a chair

node = helper.make_node("Constant", [], ["output"], value=numpy_helper.from_array(answer))
graph = helper.make_graph(
    [node], "yolox",
    [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, SIZE, SIZE))],
    [helper.make_tensor_value_info("output", TensorProto.FLOAT, answer.shape)],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
model.ir_version = 8
onnx.save(model, sys.argv[1])

picture = np.zeros((SIZE, SIZE, 3), np.uint8)
human = YOLOX(sys.argv[1], model_input_size=(SIZE, SIZE))
print("mode:", human.det_mode)
boxes = human(picture)
print("boxes of the mode human:", np.round(boxes, 1).tolist())
both, classes = YOLOX(sys.argv[1], model_input_size=(SIZE, SIZE), det_mode="multiclass")(picture)
print("of the mode multiclass:", np.round(both, 1).tolist(), [YOLOX.COCO_CLASSES[k] for k in classes])
assert human.det_mode == "human" and len(boxes) == 1 and [YOLOX.COCO_CLASSES[k] for k in classes] == ["chair"]
print("OK: a chair is human")
PYTHON
