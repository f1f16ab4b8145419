"""ST-GCN++ and ProtoGCN, plain and fused side by side, and what the fused form saves."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import replay
import torch
from parity.protocol import fill
from pyskl_networks import NAMES, Fixture, forms, output_of, small
from replay import step
from torch import nn

from skeleton_lab.cost import counting
from skeleton_lab.engine.losses import Criterion


@pytest.mark.parametrize("frames", [1, 8])
@pytest.mark.parametrize("name", NAMES)
def test_every_gradient_and_buffer_equals_the_plain_form(name, frames):
    plain, fused = forms(name)
    replay.check_forms(plain, fused, torch.randn(3, 2, frames, 25, 3), loss=whole_loss(plain, fused))


@pytest.mark.parametrize(
    "changes",
    [{"gcn_conv_pos": "post"}, {"gcn_with_res": False}, {"gcn_adaptive": "offset"},
     {"data_bn_type": "MVC"}, {"dropout": 0.2}],
    ids=str,
)  # fmt: skip
def test_forms_with_other_arguments(changes):
    replay.check_forms(*forms("stgcnpp", **changes), torch.randn(3, 2, 9, 25, 3))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_in_evaluation_mode(name):
    plain, fused = forms(name)
    if name == "protogcn":  # in evaluation its graphs, and what makes them, have no part in the logits
        for model in (plain, fused):
            for part in (model.backbone.post, model.backbone.bn, model.backbone.prn, model.cls_head.csc_loss):
                part.requires_grad_(False)
    replay.check_forms(plain, fused, torch.randn(3, 2, 9, 25, 3), training=False)


def whole_loss(*models: nn.Module):
    """Of one model after the other: cross entropy and what the network adds."""
    turn = iter(models)
    return lambda output: Criterion(net=next(turn))(output, torch.tensor([0, 1, 2]))


@pytest.mark.parametrize("name", NAMES)
def test_empty_bodies_run_as_one(name):
    plain, fused = (model.double() for model in forms(name))
    x = torch.randn(4, 2, 12, 25, 3, dtype=torch.float64)
    x[:3, 1] = 0
    # Empty bodies do not move, so the max pool meets ties there, which rounding breaks: gradients are compared above.
    for a, b in zip(output_of(step(fused, x)), output_of(step(plain, x))):
        torch.testing.assert_close(a, b)
    for (name, a), b in zip(fused.named_buffers(), plain.buffers()):
        torch.testing.assert_close(a, b, msg=name)
    torch.testing.assert_close(fused.eval()(x), plain.eval()(x))


@pytest.mark.parametrize("name", NAMES)
def test_change_of_form(name):
    def build(fused: bool) -> nn.Module:
        np.random.seed(3)
        return small(name, fused)

    replay.check_change_of_form(build, torch.randn(2, 2, 9, 25, 3))


@pytest.mark.parametrize("name", NAMES)
def test_checkpointing_recomputes_the_same_bits(name):
    kept = small(name)
    recomputed = copy.deepcopy(kept)
    recomputed.activation_checkpointing = True
    x = torch.randn(3, 2, 9, 25, 3)
    for a, b in zip(output_of(step(kept, x)), output_of(step(recomputed, x))):
        assert torch.equal(a, b)
    for (key, a), b in zip(kept.named_parameters(), recomputed.parameters()):
        assert (a.grad is None and b.grad is None) or torch.equal(a.grad, b.grad), key
    for (key, a), b in zip(kept.named_buffers(), recomputed.buffers()):
        assert torch.equal(a, b), key


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_autocast(name):
    torch.manual_seed(0)
    np.random.seed(0)
    model, x = fill(small(name)), torch.randn(3, 2, 9, 25, 3)
    expected = model.eval()(x).detach()
    with torch.autocast("cpu", torch.bfloat16):
        assert (model(x) - expected).norm() < 0.1 * expected.norm()
        logits, *graph = output_of(model.train()(x))
    output = (logits.float(), *(each.float() for each in graph))
    Criterion(net=model)(output if graph else output[0], torch.arange(3)).backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_less_is_kept_and_computed(name):
    """At most half the published activations, and no more FLOPs (64 frames)."""
    published = {"stgcnpp": (106.9e6, 3.744e9), "protogcn": (217.7e6, 10.067e9)}[name]
    cost = counting.measure(Fixture("PYSKL", name).build(), torch.randn(1, 2, 64, 25, 3), torch.arange(1))
    assert cost.saved_bytes <= published[0] / 2 and cost.flops_forward <= published[1]
