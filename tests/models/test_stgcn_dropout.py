"""ST-GCN's dropout: what it drops, that a step can be repeated, and what merged bodies draw."""

from __future__ import annotations

import copy

import pytest
import replay
import torch
import torch.nn.functional as F
from parity.protocol import fill
from replay import step
from stgcn_networks import as_graph_variant, build
from torch.autograd import gradcheck

from skeleton_lab import registry
from skeleton_lab.engine.memory import as_device
from skeleton_lab.nn.fused.merge_empty import Bodies

with registry.room("ST-GCN"):
    from net.st_gcn_fused import Dropout, dropout, packed, unpacked
    from net.st_gcn_gpu import BlockSetting, drop_and_add


def test_own_backward_of_dropout():
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)

    def same_draw(x):
        torch.manual_seed(0)
        return Dropout.apply(x, 0.5)

    assert gradcheck(same_draw, x)


def test_dropout_acts_in_training_only_and_not_in_the_first_block():
    torch.manual_seed(0)
    model, x = build(dropout=0.5), torch.randn(2, 3, 8, 25, 2)
    assert not torch.equal(model(x), model(x))
    assert torch.equal(model.eval()(x), model(x))
    assert [block.tcn[4].p for block in model.st_gcn_networks] == [0] + [0.5] * 9


@pytest.mark.parametrize("shape", [(3, 5, 4, 25), (1, 1, 1, 3)])
def test_dropout_passes_back_what_it_let_through(shape):
    torch.manual_seed(0)
    x = torch.ones(shape).transpose(2, 3).requires_grad_()
    y = dropout(x, 0.25, training=True)
    (y * 3).sum().backward()
    torch.testing.assert_close(x.grad, 3 * y.detach())
    torch.testing.assert_close(y, (y > 0) * (4 / 3))
    assert dropout(x, 0.25, training=False) is x and not dropout(x, 1, training=True).any()


@pytest.mark.parametrize("drop", [build(dropout=0.3, fused=False).st_gcn_networks[1].tcn[4],
                                  lambda x: dropout(x, 0.3, training=True)], ids=["plain", "fused"])  # fmt: skip
def test_dropout_drops_its_share(drop):
    torch.manual_seed(0)
    y = drop(torch.ones(1000, 1000))
    assert (y == 0).double().mean().item() == pytest.approx(0.3, abs=0.003)  # 6 standard deviations
    torch.testing.assert_close(y[y != 0].unique(), torch.tensor([1 / 0.7]), rtol=1e-4, atol=0)


@pytest.mark.parametrize("size", [1, 7, 8, 1000])
def test_a_bit_for_every_value(size):
    torch.manual_seed(0)
    keep = torch.rand(size) < 0.5
    bits = packed(keep)
    assert (bits.dtype, len(bits)) == (torch.uint8, -(-size // 8))
    assert torch.equal(unpacked(bits)[:size], keep)


def test_checkpointing_repeats_the_dropout():
    torch.manual_seed(0)
    kept = build(num_class=5, dropout=0.5)
    recomputed = copy.deepcopy(kept)
    recomputed.activation_checkpointing = True
    x, gradients = torch.randn(2, 3, 16, 25, 2), []
    for model in (kept, recomputed):
        torch.manual_seed(3)
        step(model, x)
        gradients.append([p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients))


def test_empty_bodies_have_draws_of_their_own():
    """Computed once up to the first dropout: the same draws give the same step as when each body is computed."""
    torch.manual_seed(0)
    merged, x, results = as_graph_variant(fill(build(num_class=5, dropout=0.5))), torch.randn(4, 3, 16, 25, 2), []
    x[1:, ..., 1] = 0
    unmerged, rows = copy.deepcopy(merged), []
    unmerged.merge_empty_bodies = False
    for model in (merged, unmerged):
        for block in model.st_gcn_networks[:3]:
            block.register_forward_hook(lambda block, args, y: rows.append((len(args[0]), len(y[0]))))
        torch.manual_seed(3)
        logits = step(model, x)
        results.append([logits, *(p.grad for p in model.parameters()), *model.buffers()])
    assert rows == [(6, 6), (6, 8), (8, 8), (8, 8), (8, 8), (8, 8)]
    for a, b in zip(*results):
        a, b = a.float(), b.float()  # as a whole: a value beside 0 may be cut by one's relu alone; PyTorch 2.3 has such
        assert (a - b).norm() <= 5e-3 * b.norm() + 1e-4
    rows.clear()
    merged.merge_under_dropout = True  # one draw for all
    step(merged, x)
    assert rows == [(6, 6)] * 3


@pytest.mark.parametrize("under_dropout", [False, True])
def test_a_gpu_draws_alike_for_merged_bodies(under_dropout):
    """What a GPU runs, here: its draws are of all bodies, or, if that is wished for, of those that are computed."""
    torch.manual_seed(0)
    merged = as_graph_variant(fill(build(num_class=5, dropout=0.5))).double()
    x, results = torch.randn(4, 3, 16, 25, 2, dtype=torch.float64), []
    x[1:, ..., 1] = 0
    merged.merge_under_dropout = under_dropout
    other, rows = copy.deepcopy(merged), []
    other.merge_empty_bodies = False
    for model in (merged, other):
        for block in model.st_gcn_networks[:3]:
            block.register_forward_hook(lambda block, args, y: rows.append((len(args[0]), len(y[0]))))
        torch.manual_seed(3)
        with as_device.AsCuda(torch.device("cpu")), as_device.StandIns():
            y = model.train()(x)
            as_device.backward(F.cross_entropy(y, replay.labels(y)))
        results.append([y, *(p.grad for p in model.parameters()), *model.buffers()])
    if under_dropout:
        assert rows == [(6, 6)] * 3 + [(8, 8)] * 3
        return
    assert rows == [(6, 6), (6, 8), (8, 8)] + [(8, 8)] * 3
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


def test_a_gpu_drops_its_share():
    torch.manual_seed(0)
    model = build(dropout=0.3).train()
    with as_device.AsCuda(torch.device("cpu")):
        *masks, last = model.drawn(torch.empty(4, 64, 30, 25), Bodies())
    assert [tuple(m.shape) for m in masks[2:6]] == [
        (4, 64, 25, 30),
        (4, 128, 25, 15),
        (4, 128, 25, 15),
        (4, 128, 25, 15),
    ]
    assert len(masks) == 8 and last.shape == (4, 256, 25, 8)
    assert (~masks[0]).double().mean().item() == pytest.approx(0.3, abs=0.006)  # 6 standard deviations
    x = torch.ones(2, 4, 5, 6, dtype=torch.float64)
    how = BlockSetting((0.0, 0.0), None, 0.3, None, False, None, None)
    y, keep = drop_and_add(x.clone(), None, how)
    torch.testing.assert_close(y, keep.double() / 0.7, rtol=1e-12, atol=0)
    y, keep = drop_and_add(x.clone(), x, how._replace(dropout=1.0))
    assert torch.equal(y, x) and not keep.any()
