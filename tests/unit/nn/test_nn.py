"""The layers' own backward passes against numerical differentiation and against torch's textbook layers."""

from __future__ import annotations

import contextlib
import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import gradcheck

from skeleton_lab.cost.as_cuda import AsCuda, StandIns, backward
from skeleton_lab.nn import fuse
from skeleton_lab.nn.fused import graph_conv
from skeleton_lab.nn.fused.batch_norm import NormReLU, WithoutEffect, batch_norm, fold
from skeleton_lab.nn.fused.max_pool import MaxPool3
from skeleton_lab.nn.fused.merge_empty import Bodies, merge_empty
from skeleton_lab.nn.fused.multi_scale_tcn import NormReLUBranches
from skeleton_lab.nn.fused.temporal_conv import Setting, pointwise
from skeleton_lab.nn.layers import MultiScaleTemporalConv, UnitTCN


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def tensor(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("frames", [1, 4, 5])
def test_pointwise(stride, frames):
    x, W, b = tensor(2, 3, frames, 4), tensor(5, 3, 1, 1), tensor(5)
    torch.testing.assert_close(pointwise(x, W, b, stride), F.conv2d(x, W, b, stride=(stride, 1)))
    assert gradcheck(lambda *t: pointwise(*t, stride), (x, W, b))
    assert gradcheck(lambda x, W: pointwise(x, W, None, stride), (x, W))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("frames", [1, 2, 7, 8])
def test_max_pool(stride, frames):
    x = torch.randn(2, 3, 4, frames).round()  # rounding makes ties
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    y = MaxPool3.apply(mine, stride)
    expected = F.max_pool2d(theirs, (1, 3), (1, stride), (0, 1))
    assert torch.equal(y, expected)
    weight = torch.randn_like(y)
    (y * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(mine.grad, theirs.grad)
    assert gradcheck(lambda x: MaxPool3.apply(x, stride), tensor(2, 2, 2, frames))


@pytest.mark.parametrize("weight", [None, [1.0, 3.0, 2.0]])
def test_norm_backward(weight):
    weight = None if weight is None else torch.tensor(weight)
    x, gamma, beta = tensor(3, 2, 2, 3), tensor(2), tensor(2)

    def normed(x, gamma, beta):
        return NormReLU.apply(x, gamma, beta, None, weight, 1e-5, False)[0]

    assert gradcheck(normed, (x, gamma, beta))
    if weight is None:
        return
    # Bodies counted several times against bodies that are there several times, losses summed over all of them.
    copies = weight.long()
    mine = normed(x, gamma, beta)
    theirs = F.batch_norm(x.repeat_interleave(copies, 0), None, None, gamma, beta, True)
    torch.testing.assert_close(mine.repeat_interleave(copies, 0), theirs)
    target = torch.randn_like(theirs)
    a = torch.autograd.grad((mine.repeat_interleave(copies, 0) * target).sum(), (x, gamma, beta))
    b = torch.autograd.grad((theirs * target).sum(), (x, gamma, beta))
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("weight", [None, [1.0, 3.0, 2.0]])
@pytest.mark.parametrize("gpu", [True, False])
def test_norm_residual_and_relu_are_one(relu, residual, weight, gpu):
    """Against torch's, on the CPU's code and on a GPU's; running statistics move alike."""
    x, r = tensor(3, 2, 4, 5), tensor(3, 2, 4, 5) if residual else None
    mine, theirs = nn.BatchNorm2d(2).double(), nn.BatchNorm2d(2).double()
    copies = torch.ones(3, dtype=torch.long) if weight is None else torch.tensor(weight).long()
    with AsCuda(x.device) if gpu else contextlib.nullcontext(), StandIns():
        y = batch_norm([mine], x, None if weight is None else torch.tensor(weight), (), r, relu)
        target = torch.randn(int(copies.sum()), *y.shape[1:], dtype=y.dtype)
        backward((y.repeat_interleave(copies, 0) * target).sum())
    found = [x.grad, mine.weight.grad, mine.bias.grad] + ([r.grad] if residual else [])
    z = theirs(x.repeat_interleave(copies, 0)) + (r.repeat_interleave(copies, 0) if residual else 0)
    z = z.relu() if relu else z
    torch.testing.assert_close(y.repeat_interleave(copies, 0), z)
    expected = torch.autograd.grad((z * target).sum(), [x, *theirs.parameters()] + ([r] if residual else []))
    torch.testing.assert_close(found, list(expected))
    torch.testing.assert_close(mine.state_dict(), theirs.state_dict())


def test_what_the_batch_mean_removes_gets_a_gradient_of_zero():
    x, *idle = tensor(3), tensor(2), tensor(4)
    assert gradcheck(WithoutEffect.apply, (x, *idle))
    WithoutEffect.apply(x, *idle).sum().backward()
    assert all(torch.equal(t.grad, torch.zeros_like(t)) for t in idle)  # not None: weight decay acts on them


@pytest.mark.parametrize("momentum", [0.1, None])
def test_merged_norms_keep_their_own_running_statistics(momentum):
    x, bias = torch.randn(4, 5, 6, 7) * 3 + 100, torch.randn(3)
    mine = [nn.BatchNorm2d(3, momentum=momentum), nn.BatchNorm2d(2, momentum=momentum)]
    theirs = [nn.BatchNorm2d(3, momentum=momentum), nn.BatchNorm2d(2, momentum=momentum)]
    for _ in range(2):
        y = batch_norm(mine, x, None, [bias, None])
        expected = torch.cat([theirs[0](x[:, :3] + bias.view(-1, 1, 1)), theirs[1](x[:, 3:])], 1)
        torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)
    for a, b in zip(mine, theirs):
        torch.testing.assert_close(a.state_dict(), b.state_dict(), rtol=1e-5, atol=1e-5)
    scale, shift = fold(mine, [bias, None])
    folded = x * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)
    expected = torch.cat([theirs[0].eval()(x[:, :3] + bias.view(-1, 1, 1)), theirs[1].eval()(x[:, 3:])], 1)
    torch.testing.assert_close(folded, expected, rtol=1e-3, atol=1e-3)


def test_one_value_per_channel_cannot_be_normalised():
    with pytest.raises(ValueError, match="more than one value"):
        batch_norm([nn.BatchNorm2d(3)], torch.ones(1, 3, 1, 1))


@pytest.mark.slow
@pytest.mark.parametrize("stride", [1, 2])
def test_branches_backward(stride):
    h, gamma, beta = tensor(3, 5, 2, 5), tensor(5), tensor(5)
    weights = [tensor(2, 2, 3, 1), tensor(2, 1, 3, 1)]
    bodies = torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64)

    def branches(h, gamma, beta, *weights):
        settings = [Setting(stride, 1, 1, False), Setting(stride, 2, 2, replicate=True)]
        return NormReLUBranches.apply(h, gamma, beta, bodies, 1e-5, settings, *weights)[:-2]

    assert gradcheck(branches, (h, gamma, beta, *weights))


def slow_aggregate(x, W, bias, relate, relate_bias, mix, offset, A):
    """The equations, one sum at a time."""
    K, O, R = mix.shape  # noqa: E741
    p, q = torch.einsum("rc,bcv->brv", relate, x.mean(2)).add(relate_bias[:, None]).unflatten(1, (2, K, R)).unbind(1)
    d = torch.tanh(p[..., :, None] - q[..., None, :])
    S = torch.einsum("kor,bkruv->bokuv", mix, d) + offset.t()[:, :, None, None] + A
    X = (torch.einsum("jc,bctv->bjtv", W, x) + bias[:, None, None]).unflatten(1, (O, K))
    return torch.einsum("bokuv,boktv->botu", S, X)


@pytest.mark.slow
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("bodies_at_once", [1, 2, 9])
def test_topology_aggregation(keep, bodies_at_once, monkeypatch):
    B, C, T, V, K, O, R = 3, 2, 4, 3, 2, 2, 2  # noqa: E741
    monkeypatch.setitem(graph_conv.SLICE_VALUES, "cpu", bodies_at_once * O * K * V * T)
    inputs = (
        tensor(B, C, T, V), tensor(O * K, C), tensor(O * K), tensor(2 * K * R, C), tensor(2 * K * R),
        tensor(K, O, R), tensor(K, O), tensor(K, V, V),
    )  # fmt: skip
    torch.testing.assert_close(graph_conv.aggregate(*inputs, keep), slow_aggregate(*inputs))
    assert gradcheck(lambda *t: graph_conv.aggregate(*t, keep), inputs)


def test_shared_aggregation():
    x, W, A = tensor(2, 3, 4, 5), tensor(4, 6), tensor(2, 5, 5)
    expected = torch.einsum("ock,bctv,kvw->botw", W.unflatten(1, (3, 2)), x, A)
    torch.testing.assert_close(graph_conv.shared_aggregate(x, W, A), expected)
    assert gradcheck(graph_conv.shared_aggregate, (x, W, A))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("padding_mode", ["zeros", "replicate"])
@pytest.mark.parametrize(("stride", "channels", "residual"), [(1, 8, False), (2, 8, True), (1, 12, True), (1, 8, True)])
def test_multi_scale_unit_equals_its_branches(training, padding_mode, stride, channels, residual):
    plain = MultiScaleTemporalConv(8, channels, [3, 5], stride, (1, 3), residual, padding_mode=padding_mode)
    plain.double().train(training)
    fused = fuse(copy.deepcopy(plain))
    assert type(fused) is not type(plain)
    x = tensor(3, 8, 7, 4)
    y, expected = fused(x), plain(x)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(fused.state_dict(), plain.state_dict())  # running statistics moved alike
    target = torch.randn_like(y)
    mine, theirs = (torch.autograd.grad((t * target).sum(), [x, *net.parameters()])
                    for t, net in ((y, fused), (expected, plain)))  # fmt: skip
    torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("kernel_size", [1, 5])
@pytest.mark.parametrize("training", [True, False])
def test_temporal_unit_knows_multiplicities(training, kernel_size):
    """Bodies counted several times against bodies that are there several times."""
    plain = UnitTCN(3, 4, kernel_size, 2).double().train(training)
    fused = fuse(copy.deepcopy(plain))
    x, bodies = tensor(3, 3, 7, 4), torch.tensor([1, 3, 2])
    torch.testing.assert_close(
        fused(x, bodies.float()).repeat_interleave(bodies, 0), plain(x.repeat_interleave(bodies, 0))
    )
    torch.testing.assert_close(fused.state_dict(), plain.state_dict())


def test_multi_scale_unit_refuses_uneven_branches():
    with pytest.raises(ValueError, match="10 channels for 4 branches"):
        MultiScaleTemporalConv(8, 10, dilations=(1, 2))
    with pytest.raises(ValueError, match="3 kernel sizes"):
        MultiScaleTemporalConv(8, 8, [3, 3, 3], dilations=(1, 2))


def test_merging_empty_bodies():
    x = torch.randn(4, 3, 5, 6, 2)
    assert merge_empty(x) == Bodies()
    assert Bodies().take(x) is x and Bodies().give(x) is x
    x[1, ..., 1] = x[3, ..., 1] = x[3, ..., 0] = 0
    merged = merge_empty(x)  # bodies 3 and 7 are empty seconds, body 6 the only empty first
    assert merged.kept.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert merged.owner.tolist() == [0, 1, 2, 3, 4, 5, 6, 3]
    assert merged.count.tolist() == [1, 1, 1, 2, 1, 1, 1]
    bodies = x.permute(0, 4, 1, 2, 3).flatten(0, 1)
    assert torch.equal(merged.give(merged.take(bodies)), bodies)
