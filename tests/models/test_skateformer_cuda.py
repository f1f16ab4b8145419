"""SkateFormer's code for CUDA, with what its attention kernel computes computed on the CPU.

``tools/gpu_evidence.sh`` is for the kernel itself.
"""

from __future__ import annotations

import copy

import pytest
import replay
import torch
import torch.nn.functional as F
from on_cuda import step_as_on_cuda
from parity.protocol import fill
from test_skateformer import build, forms, inputs, part
from torch.autograd import gradcheck

from skeleton_lab.cost import kernels
from skeleton_lab.engine.memory import as_device
from skeleton_lab.nn.fused import graph_conv

KERNEL = "_scaled_dot_product_efficient_attention"


@pytest.mark.parametrize(
    "changes", [{"num_heads": 32}, {"num_heads": 8, "rel": False}, {"type_4_size": [2, 8], "drop_path": 0.4}]
)
def test_a_step_equals_the_plain_form(changes):
    """12 frames: windows are smaller in later stages, down to tokens that the kernel's units do not divide."""
    plain, fused = forms(**changes)
    x = inputs(2, 12)
    torch.manual_seed(5)
    expected = replay.step(plain, *x)
    torch.manual_seed(5)
    found = step_as_on_cuda(fused, x)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-4)
    largest = max(p.grad.abs().max() for p in plain.parameters())
    for (name, p), q in zip(plain.named_parameters(), fused.parameters()):
        error = (q.grad - p.grad).norm()
        assert error < 2e-3 * p.grad.norm() + 1e-6 * largest * p.numel() ** 0.5, name
    for (name, a), b in zip(plain.named_buffers(), fused.buffers()):
        torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-5, msg=name)


def test_the_kernel_is_asked_for_in_every_type_but_double():
    def found(dtype):
        model = build().to(dtype)
        x = tuple(t.to(dtype).to("meta") for t in inputs(2, 16))
        names = [k.name for k in kernels.of_inference(model.to("meta"), x)]
        return names.count(KERNEL), names.count("_softmax")

    assert found(torch.float32) == found(torch.bfloat16) == (2 * 8, 0)  # windows of two kinds in each of 8 blocks
    assert found(torch.float64)[0] == 0 and found(torch.float64)[1] > 0


def test_switched_off_the_maps_are_made(monkeypatch):
    monkeypatch.setattr(torch.backends.cuda, "mem_efficient_sdp_enabled", lambda: False)
    model, x = fill(build()), inputs(2, 16)
    expected = replay.step(copy.deepcopy(model), *x).detach()
    torch.testing.assert_close(step_as_on_cuda(model, x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("p", [0.0, 0.5])
@pytest.mark.parametrize("values", [1, 2**25], ids=["a sample at a time", "all"])
def test_own_backward(monkeypatch, p, values):
    """Two attentions share a call, two have their own; the same values are dropped in backward."""
    Mixture, Mixing, alike, Windows = (part(module, name) for module, name in (
        ("mixture_fused", "Mixture"), ("mixture_fused", "Mixing"), ("mixture_fused", "alike"),
        ("attention_fused", "Windows"),
    ))  # fmt: skip
    monkeypatch.setitem(graph_conv.SLICE_VALUES, "cpu", values)
    cuts = [(2, 2, False, False), (2, 1, False, True), (2, 2, True, False), (1, 4, True, True)]
    together = alike([Windows(*cut, heads=2) for cut in cuts], [cut[0] for cut in cuts])
    assert [attentions.members for attentions in together] == [(0, 2), (1,), (3,)]
    torch.manual_seed(0)
    C, J = 16, 4
    shapes = (2, 4, J, 2 * C), (2, J, J), (C // 4, C // 8, 3, 1), (C // 4,), (4, 4, 4), (2, 2, 2), (2, 4, 4)
    tensors = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]

    def same_draw(f, gconv, weight, shift, *biases):
        torch.manual_seed(7)
        return Mixture.apply(f, gconv, weight, shift, Mixing(together, p, 2), *biases)

    with as_device.StandIns():
        assert gradcheck(same_draw, tensors, fast_mode=True)


def test_dropout_drops_the_right_share_and_keeps_no_mask():
    model, x = build(attn_drop=0.5), inputs(2, 16)
    shapes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: shapes.append(tuple(t.shape)) or t, lambda t: t):
        first, second = step_as_on_cuda(model, x), step_as_on_cuda(model, x)
    assert not torch.equal(first, second)
    L = max(a * b for a, b in model.types)
    assert not any(shape[-2:] == (L, L) and shape[0] > 16 for shape in shapes)


def test_recomputed_it_drops_the_same():
    kept = build(attn_drop=0.5)
    recomputed = copy.deepcopy(kept)
    recomputed.activation_checkpointing = True
    for model in (kept, recomputed):
        torch.manual_seed(5)
        step_as_on_cuda(model, inputs(2, 16))
    for (name, p), q in zip(kept.named_parameters(), recomputed.parameters()):
        torch.testing.assert_close(q.grad, p.grad, msg=name)


def test_bfloat16_autocast():
    model, x = fill(build(attn_drop=0.5, drop_path=0.2)), inputs(4, 16)
    expected = model.eval()(*x).detach()
    with as_device.AsCuda(torch.device("cpu")), as_device.StandIns():
        with torch.autocast("cpu", torch.bfloat16):
            assert (model.eval()(*x) - expected).norm() < 0.1 * expected.norm()
            loss = F.cross_entropy(model.train()(*x).float(), torch.arange(4))
        as_device.backward(loss)
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("masked", [False, True])
def test_the_stand_in_is_the_attention_of_the_library(masked):
    torch.manual_seed(0)
    q, k, v, weight = (torch.randn(3, 2, 5, 4, dtype=torch.float64, requires_grad=True) for _ in range(4))
    bias = torch.randn(3, 2, 5, 5, dtype=torch.float64, requires_grad=True) if masked else None
    expected = F.scaled_dot_product_attention(q, k, v, bias, scale=0.3)
    wanted = [t for t in (q, k, v, bias) if t is not None]
    gradients = torch.autograd.grad((expected * weight).sum(), wanted)
    with as_device.StandIns(), torch.no_grad():
        o, *kept = getattr(torch.ops.aten, KERNEL)(q, k, v, bias, True, scale=0.3)
        backward = getattr(torch.ops.aten, f"{KERNEL}_backward")
        found = backward(weight, q, k, v, bias, o, *kept, 0.0, [True, True, True, masked], scale=0.3)
    torch.testing.assert_close(o, expected)
    for a, b in zip(found, gradients):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_of_a_bias_are_aligned_after_a_cast_too(dtype):
    bias = torch.randn(2, 15, 15)
    found = part("mixture_fused", "laid_out")(bias, torch.zeros(3, 2, 15, 8, dtype=dtype))
    torch.testing.assert_close(found, bias.to(dtype).expand(3, -1, -1, -1))
    assert found.dtype == dtype and found.stride(2) * dtype.itemsize % 16 == 0


def test_a_call_has_no_more_windows_than_a_grid_of_cuda():
    """8 tokens, one of a frame: 600 samples of 8,192 windows each would be 4,915,200."""
    cut = part("attention_fused", "Windows")(8, 1, False, False, heads=1)
    (attentions,) = part("mixture_fused", "alike")([cut], [8])
    f = torch.empty(600, 2048, 32, 3, device="meta")
    portions = attentions.portions(f)
    covered = [n for s in portions for n in range(*s.indices(600))]
    assert covered == list(range(600))
    assert max(s.stop - s.start for s in portions) * 2048 * 32 // 8 <= 2**16 - 1


def test_bfloat16_needs_a_card_that_takes_it(monkeypatch):
    has_kernel, x = part("mixture_fused", "has_kernel"), torch.zeros(1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    with as_device.AsCuda(torch.device("cpu")):
        assert has_kernel(x) and has_kernel(x.half()) and not has_kernel(x.bfloat16())
