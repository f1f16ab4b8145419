#!/usr/bin/env bash
# Question: a graph network connects each joint with its k nearest by `distances.topk(k, largest=False)`. Where features have
#   died, distances are equal. Does the network, exported to ONNX, connect the same joints in onnxruntime?
# Good guess: yes; the same operation on the same numbers, compared to 1e-6 before.
# What happens: no. ONNX's TopK takes those of lower index; torch.topk leaves it open and takes others, so the logits of a
#   trained network differ by far more than rounding, while one with fresh weights, which has no ties, agrees. A stable
#   sort in PyTorch, of which the first k are taken, agrees with ONNX's rule.
# torch 2.13.0 (CPU), onnxruntime 1.32.0, 2026-11-29.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy onnxruntime==1.32.0 onnx==1.23.2 onnxscript
"$folder/venv/bin/python" - "$folder/nearest.onnx" <<'PYTHON'
import sys
import warnings
from importlib.metadata import version

import onnxruntime
import torch

warnings.simplefilter("ignore")
print("torch", version("torch"), "onnxruntime", version("onnxruntime"))


class Nearest(torch.nn.Module):
    def forward(self, distances):
        return distances.topk(9, largest=False).indices


torch.manual_seed(0)
apart, alike = torch.rand(1, 25, 25), torch.zeros(1, 25, 25)
torch.onnx.export(Nearest(), (apart,), sys.argv[1], opset_version=18, dynamo=False, input_names=["distances"])
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
same = {}
for name, distances in (("all different", apart), ("all equal", alike)):
    theirs = torch.from_numpy(session.run(None, {"distances": distances.numpy()})[0])
    ours = Nearest()(distances)
    sets = ours.sort(-1).values, theirs.sort(-1).values
    same[name] = torch.equal(*sets)
    print(f"{name}: torch {ours[0, 0].tolist()}, onnxruntime {theirs[0, 0].tolist()}")
stable = alike.sort(stable=True).indices[..., :9]
print("stable sort in torch:", stable[0, 0].tolist())
assert same == {"all different": True, "all equal": False}
assert torch.equal(stable, theirs)
print("OK: of equal distances torch.topk and ONNX's TopK take different joints")
PYTHON
