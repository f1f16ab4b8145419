#!/usr/bin/env bash
# Question: sequences (N, L, C) go through BatchNorm2d as x.transpose(1, 2).unsqueeze(-1), one column of L positions. Are
#   the gradients on the CPU those of the same values in contiguous memory?
# Good guess: yes. Strides are PyTorch's business; the output is the same, and no warning is printed.
# What happens: forward is right; backward is silently wrong in training if the gradient arrives in plain contiguous memory.
#   It is right if the gradient arrives channels last (from a convolution after it, say), if the sequence is one row,
#   unsqueeze(2), and if .contiguous() is called before the norm. So it comes and goes with the layer that follows.
# Version: torch 2.13.0 and 2.3.0, CPU. Date: 2026-11-29.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 numpy 2> >(grep -v WARNING >&2)
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch import nn

print("torch", torch.__version__)
torch.manual_seed(0)
sequences, arriving = torch.randn(2, 7, 6), torch.randn(2, 6, 7)


def gradient(view, copy, layout):
    """Of sum(batch_norm(view(x)) * arriving) for x; ``layout`` is that of the gradient that arrives at the norm."""
    x = sequences.clone().requires_grad_()
    image = view(x)
    y = nn.BatchNorm2d(6)(image.contiguous() if copy else image)
    y.backward(arriving.view_as(y).contiguous(memory_format=layout))
    return y.detach(), x.grad


plain, last = torch.contiguous_format, torch.channels_last
for name, view, layout, right in (
    ("one column, gradient contiguous   ", lambda x: x.transpose(1, 2).unsqueeze(-1), plain, False),
    ("one column, gradient channels last", lambda x: x.transpose(1, 2).unsqueeze(-1), last, True),
    ("one row,    gradient contiguous   ", lambda x: x.transpose(1, 2).unsqueeze(2), plain, True),
):
    (y, found), (expected_y, expected) = gradient(view, False, layout), gradient(view, True, plain)
    forward, backward = ((a - b).abs().max().item() for a, b in ((y, expected_y), (found, expected)))
    print(f"{name}: forward differs by {forward:.1e}, gradient by {backward:.1e} (its largest is {expected.abs().max():.1f})")
    assert forward < 1e-5
    assert (backward < 1e-4) == right, "this has changed"
PYTHON
