"""ST-GCN, plain and fused side by side: every gradient, the backward passes of its own, and what it saves."""

from __future__ import annotations

import pytest
import replay
import torch
import torch.nn.functional as F
from on_cuda import memory_on_cuda
from parity.protocol import fill
from stgcn_networks import NETWORKS, as_graph_variant, build, forms
from torch.autograd import gradcheck

from skeleton_lab import registry
from skeleton_lab.cost import counting
from skeleton_lab.engine.memory import as_device
from skeleton_lab.nn.fused import graph_conv
from skeleton_lab.nn.fused.batch_norm import batch_statistics
from skeleton_lab.nn.fused.temporal_conv import setting

with registry.room("ST-GCN"):
    from net.st_gcn_fused import NormReLUConv
    from net.st_gcn_gpu import Block, BlockSetting


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("name", "frames"), [*((NETWORKS[0], frames) for frames in (1, 7, 16)), (NETWORKS[1], 7)])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
def test_every_gradient_and_buffer_equals_the_plain_form(name, frames, training, checkpointing):
    plain, fused = forms(name)
    fused.activation_checkpointing = checkpointing
    torch.manual_seed(0)
    x = torch.randn(4, 3, frames, 25, 2)
    x[:3, ..., 1] = 0  # three empty second bodies, run as one
    replay.check_forms(plain, fused, x, training=training)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_changes_its_form_and_back(name):
    replay.check_change_of_form(lambda fused: build(name, fused=fused), torch.randn(2, 3, 8, 25, 2))


@pytest.mark.parametrize("name", NETWORKS)
def test_plain_form_exports_and_needs_autograd_alone(name):
    plain, _ = forms(name, dropout=0.5)
    x = torch.randn(2, 3, 16, 25, 2)
    replay.check_export(plain, (x,), (torch.randn(5, 3, 33, 25, 2),), [{0: replay.BATCH, 2: replay.FRAMES}])
    replay.check_autograd_alone(plain, x)


@pytest.mark.parametrize("stride", [1, 2])
def test_own_backward_of_norm_relu_conv(stride):
    torch.manual_seed(0)
    shapes = (2, 3, 7, 4), (3,), (3,), (5, 3, 3, 1)  # h, gamma, beta, W
    h, gamma, beta, W = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    how = setting(torch.nn.Conv2d(3, 5, (3, 1), (stride, 1), (1, 0)))
    norm = torch.nn.BatchNorm2d(3).double()

    def function(h, gamma, beta, W):
        mean, var = batch_statistics([norm], h)
        return NormReLUConv.apply(h, gamma, beta, mean, var, None, norm.eps, how, W)

    assert gradcheck(function, (h, gamma, beta, W))


@pytest.mark.parametrize("owner", [None, [0, 1, 2, 1, 1]], ids=["all", "merged"])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize(
    ("identity", "stride", "replicate"), [(True, 1, False), (False, 2, False), (None, 2, True)],
    ids=["identity", "residual", "alone"],
)  # fmt: skip
def test_own_backward_of_a_block_on_a_gpu(monkeypatch, identity, stride, replicate, dropout, owner):
    """Two bodies at a time; ``merged``: the second body stands for three."""
    torch.manual_seed(0)
    monkeypatch.setitem(graph_conv.SLICE_VALUES, "cpu", 2 * 3 * 2 * 4 * 5)
    bodies = None if owner is None else torch.tensor([1.0, 3.0, 1.0])
    owner = None if owner is None else torch.tensor(owner)
    frames, rows = -(-5 // stride), 3 if owner is None else 5
    shapes = {
        "x": (3, 3, 4, 5), "targets": (8, 4), "W": (3, 6), "offset": (3, 4), "gamma1": (3,), "beta1": (3,),
        "Wt": (3, 3, 3, 1), "gamma2": (3,), "beta2": (3,), "residual": (rows, 3, 4, frames),
    }  # fmt: skip
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes.values()]
    if identity is not False:
        inputs.pop()
    mode = "replicate" if replicate else "zeros"
    conv = setting(torch.nn.Conv2d(3, 3, (3, 1), (stride, 1), (1, 0), padding_mode=mode))
    how = BlockSetting((1e-5, 1e-5), conv, dropout, None, identity is True, bodies, owner)

    def same_draw(*inputs):
        torch.manual_seed(1)
        return Block.apply(*inputs, *([] if identity is False else [None]), how)[0]

    assert gradcheck(same_draw, inputs, fast_mode=True)


def test_general_graph_convolution():
    """A kernel over frames, a stride, no bias: the module's own published form."""
    torch.manual_seed(0)
    unit = replay.build("ST-GCN", "net.utils.tgcn.ConvTemporalGraphical", in_channels=4, out_channels=6, kernel_size=3,
                        t_kernel_size=3, t_stride=2, t_padding=1, bias=False)  # fmt: skip
    x, A = torch.randn(2, 4, 9, 25), torch.rand(3, 25, 25)
    y, same = unit(x, A)
    z = unit.conv(x).view(2, 3, 6, 5, 25)
    expected = sum(z[:, k] @ A[k] for k in range(3))
    torch.testing.assert_close(y, expected)
    assert same is A
    with pytest.raises(ValueError, match="kernel_size is 3, but A has 2"):
        unit(x, A[:2])


def test_eval_on_a_gpu_equals_the_plain_form():
    plain, fused = (model.double().eval() for model in forms(NETWORKS[0]))
    torch.manual_seed(0)
    x = torch.randn(3, 3, 16, 25, 2, dtype=torch.float64)
    with torch.no_grad():
        expected = plain(x)
        with as_device.AsCuda(torch.device("cpu")), as_device.StandIns():
            found = fused(x)
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_bfloat16_autocast():
    torch.manual_seed(0)
    model, x = as_graph_variant(fill(build(num_class=5, dropout=0.5))), torch.randn(4, 3, 16, 25, 2)
    with torch.autocast("cpu", torch.bfloat16):
        F.cross_entropy(model.train()(x).float(), torch.arange(4)).backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters())


def test_costs_less_than_published():
    torch.manual_seed(0)
    x, y = torch.randn(4, 3, 64, 25, 2), torch.arange(4)
    model = build(dropout=0.5)
    kept = counting.measure(model, x, y)
    assert kept.flops_forward <= 7_292_958_720 and kept.saved_bytes <= 30e6
    model.activation_checkpointing = True
    recomputed = counting.measure(model, x, y)
    assert recomputed.peak_bytes <= 15e6 and counting.fits(memory_on_cuda(model, 64, x), 64)
