"""What the fused networks compute where tensors are a GPU's: another slicing, the same numbers.

No GPU is needed: ``AsCuda`` makes CPU tensors say that they lie on one.  ``tools/gpu_evidence.sh`` is for real ones.
"""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import yaml
from networks import FRAMES, NETWORKS
from on_cuda import step_as_on_cuda
from replay import logits, step

from skeleton_lab import registry
from skeleton_lab.cost import counting
from skeleton_lab.engine.memory import as_device
from skeleton_lab.nn import fuse
from skeleton_lab.utils.importing import import_class

NO_DRAWS = {"drop_out": 0.0, "dropout": 0.0, "attn_drop": 0.0, "drop_path": 0.0}  # a GPU draws other masks


@pytest.mark.parametrize(
    ("room", "config", "changes"),
    [row[:3] for row in NETWORKS],
    ids=[f"{row[0]}-{Path(row[1]).parent.name}-{row[3]}" for row in NETWORKS],
)
@pytest.mark.parametrize("single_person", [0.0, 0.5])
def test_cuda_path_computes_the_same(room, config, changes, single_person):
    """Logits, gradients and running statistics of a step in float64."""
    settings = yaml.safe_load((registry.find(room).path / config).read_text())
    arguments = {**settings["model_args"], **changes}
    arguments |= {name: value for name, value in NO_DRAWS.items() if name in arguments}
    torch.manual_seed(0)
    with registry.room(room):
        here = fuse(import_class(settings["model"])(**arguments)).double()
    for module in here.modules():  # some rates are no arguments
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    there = copy.deepcopy(here)
    inputs = tuple(t.double() for t in counting.example(arguments, 2, FRAMES, single_person))
    expected = logits(step(here, *inputs)).detach()
    found = step_as_on_cuda(there, inputs)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    largest = max(p.grad.abs().max().item() for p in here.parameters() if p.grad is not None)
    for (name, p), q in zip(here.named_parameters(), there.parameters()):
        assert (p.grad is None) == (q.grad is None), name
        if p.grad is not None:
            torch.testing.assert_close(q.grad, p.grad, rtol=1e-6, atol=1e-9 * largest, msg=name)
    for (name, a), b in zip(here.named_buffers(), there.buffers()):
        torch.testing.assert_close(b, a, rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize(
    ("room", "config", "changes"),
    [row[:3] for row in NETWORKS],
    ids=[f"{row[0]}-{Path(row[1]).parent.name}-{row[3]}" for row in NETWORKS],
)
def test_gradients_in_evaluation_mode(room, config, changes):
    """What explanations of a prediction ask for: with respect to the clips."""
    settings = yaml.safe_load((registry.find(room).path / config).read_text())
    arguments = {**settings["model_args"], **changes}
    torch.manual_seed(0)
    with registry.room(room):
        net = fuse(import_class(settings["model"])(**arguments)).double().eval()
    first, *others = (t.double() for t in counting.example(arguments, 2, FRAMES, 0.0))
    here, there = first.clone().requires_grad_(), first.clone().requires_grad_()
    logits(net(here, *others)).square().sum().backward()
    with as_device.AsCuda(torch.device("cpu")), as_device.StandIns():
        as_device.backward(logits(net(there, *others)).square().sum())
    torch.testing.assert_close(there.grad, here.grad, rtol=1e-6, atol=1e-9 * here.grad.abs().max().item())
