"""SkateFormer: the published fixtures on both forms, the plain and the fused form side by side, and random draws."""

from __future__ import annotations

import copy
import logging

import pytest
import replay
import torch
import torch.nn.functional as F
from on_cuda import memory_on_cuda
from parity.protocol import fill
from replay import Fixture, step
from torch import nn
from torch.autograd import gradcheck

from skeleton_lab import registry
from skeleton_lab.cost import counting
from skeleton_lab.nn.fused import graph_conv

TYPES = {"type_1_size": [4, 6], "type_2_size": [4, 8], "type_3_size": [4, 6], "type_4_size": [4, 8]}
SMALL = {"num_classes": 5, "num_people": 2, "num_points": 24, "num_heads": 16, "mlp_ratio": 1.5, "index_t": True}
PUBLISHED = {**Fixture("SkateFormer", "skateformer").facts["kwargs"], "drop_path": 0.2}
GRADIENTS = {"relative": 2e-3, "floor": 1e-6}


def build(**changes):
    return replay.build("SkateFormer", "model.SkateFormer.SkateFormer_", **{**SMALL, **TYPES, **changes})


def inputs(N: int = 2, frames: int = 32, dtype=torch.float32):
    torch.manual_seed(1)
    positions = torch.linspace(-1, 1, frames, dtype=dtype).expand(N, -1)
    return torch.randn(N, 3, frames, 24, 2, dtype=dtype), positions


def part(module: str, name: str):
    with registry.room("SkateFormer"):
        return registry.load("SkateFormer", f"model.{module}.{name}")


def forms(**changes):
    """Both forms with the same filled weights."""
    plain, fused = fill(build(fused=False, **changes)), build(**changes)
    fused.load_state_dict(plain.state_dict())
    return plain, fused


@pytest.fixture(scope="module", params=["plain", "fused"])
def form(request):
    return request.param


@pytest.fixture(scope="module", params=["skateformer", "skateformer_tiny"])
def fixture(request, form):
    return Fixture("SkateFormer", request.param, fused=form == "fused")


@pytest.fixture(scope="module", params=["skateformer", "skateformer_tiny"])
def fused_fixture(request):
    return Fixture("SkateFormer", request.param)


# --- the published numbers ---------------------------------------------------------------------------------------


def test_names_shapes_and_order(fixture):
    replay.check_names(fixture)
    name = "stages.0.blocks.0.transformer.attention.0.relative_position_index"
    expected = next((v for k, v in fixture.values.items() if k.endswith("relative_position_index")), None)
    if expected is not None:
        assert fixture.build().get_buffer(name).tolist() == expected.tolist()


def test_eval_logits(fixture):
    replay.check_eval(fixture)


def test_training_step(fixture):
    """All variants, with windows of 32 and 52 frames and the learned embedding among them."""
    replay.check_step(fixture, **GRADIENTS)


def test_training_step_recomputed(fused_fixture):
    replay.check_step(fused_fixture, lambda model: setattr(model, "activation_checkpointing", True), **GRADIENTS)


def test_stages(fixture):
    assert replay.check_stages(fixture, inner_stage) == len(fixture.facts["stage_shapes"])


def inner_stage(model: nn.Module, name: str, given: dict[str, torch.Tensor]) -> torch.Tensor:
    """Output of a layer that the fused form runs merged with its neighbour: norms, and what follows the first one."""
    parent, leaf = name.rsplit(".", 1)
    transformer = model.get_submodule(parent)
    if leaf == "norm_2":
        return transformer.norm_2(given[f"{parent}.mlp"])
    y = transformer.norm_1(given[parent])
    return transformer.mapping(y) if leaf == "mapping" else y


def test_initialisation(fixture):
    replay.check_init(fixture)


def test_cost():
    """The published FLOPs; memory with the published dropout, kept and recomputed."""
    x, positions = counting.example(PUBLISHED, 2, 64)
    model = replay.build("SkateFormer", "model.SkateFormer.SkateFormer_", **PUBLISHED)
    kept = counting.measure(model, x, torch.zeros(2, dtype=torch.long), positions)
    assert kept.flops_forward <= Fixture("SkateFormer", "skateformer").facts["flops_one_sample"]
    assert kept.saved_bytes < 75e6
    model.activation_checkpointing = True
    recomputed = counting.measure(model, x, torch.zeros(2, dtype=torch.long), positions)
    assert recomputed.peak_bytes < 30e6 and counting.fits(memory_on_cuda(model, 128, x, positions), 128)


# --- plain and fused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("heads, ratio, checkpointing", [(8, 4.0, False), (16, 1.5, True), (32, 1.0, False)])
def test_every_gradient_and_buffer_equals_the_plain_form(heads, ratio, checkpointing, training):
    """28 frames: the windows of later stages are smaller. Some branches are dropped, the same ones in both forms."""
    plain, fused = forms(num_heads=heads, mlp_ratio=ratio, drop_path=0.4)
    fused.activation_checkpointing = checkpointing
    replay.check_forms(plain, fused, *inputs(3, 28), training=training)


@pytest.mark.parametrize("changes", [{}, {"rel": False, "act_layer": nn.ReLU}])
@torch.no_grad()
def test_inference_equals_the_plain_form(monkeypatch, changes):
    """A sample at a time, few tokens at a time; what is given stays, and a hook sees the whole batch."""
    monkeypatch.setitem(graph_conv.SLICE_VALUES, "cpu", 5000)
    plain, fused = (model.eval() for model in forms(**changes))
    x = inputs(3, 16)
    expected, found = plain(*x), fused(*x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    transformer, tokens = fused.stages[0].blocks[0].transformer, torch.randn(3, 16, 48, 96)
    before, y = tokens.clone(), transformer(tokens)
    assert torch.equal(tokens, before)
    seen = []
    transformer.mlp.register_forward_hook(lambda mlp, args, output: seen.append(len(output)))
    torch.testing.assert_close(transformer(tokens), y)
    assert seen == [3]


def test_a_network_changes_its_form_and_back():
    replay.check_change_of_form(lambda fused: build(fused=fused), *inputs(2, 16))


def test_plain_form_exports_and_needs_autograd_alone():
    """Frames are fixed in an exported network: the windows' sizes follow from the divisors of their number."""
    plain, _ = forms(attn_drop=0.5, drop_path=0.2)
    replay.check_export(plain, inputs(2, 32), inputs(5, 32), [{0: replay.BATCH}, {0: replay.BATCH}])
    replay.check_autograd_alone(plain, *inputs(2, 32))


def test_own_backward_passes():
    torch.manual_seed(0)
    x, gamma, beta, W1, b1, W2, b2 = (
        torch.randn(shape, dtype=torch.float64, requires_grad=True)
        for shape in ((2, 3, 2, 4), (4,), (4,), (6, 4), (6,), (4, 6), (4,))
    )
    NormLinear, NormMLP = part("SkateFormer_fused", "NormLinear"), part("SkateFormer_fused", "NormMLP")
    assert gradcheck(lambda *t: NormLinear.apply(*t, 1e-5, False), (x, gamma, beta, W1, b1))
    assert gradcheck(lambda *t: NormLinear.apply(*t, 1e-5, True), (x, gamma, beta, W1, b1))
    assert gradcheck(lambda *t: NormMLP.apply(*t, 1e-5), (x, gamma, beta, W1, b1, W2, b2))


@pytest.mark.parametrize("p", [0.0, 0.5, 0.3])
def test_own_backward_of_attention(p):
    attention, Windows = part("attention_fused", "Attention"), part("attention_fused", "Windows")
    torch.manual_seed(0)
    f = torch.randn(1, 4, 4, 3 * 2 * 2, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(2, 4, 4, dtype=torch.float64, requires_grad=True)

    def same_draw(f, bias):
        torch.manual_seed(7)
        return attention.apply(f, bias, Windows(2, 2, True, False, 2), p)

    assert gradcheck(same_draw, (f, bias))


# --- random draws ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.5, 0.2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dropped_values(p, dtype):
    """The right share, independent of neighbours in every direction, and the same ones for every type of values."""
    draw, unpack, drop_ = (part("attention_fused", name) for name in ("draw", "unpack", "drop_"))
    torch.manual_seed(0)
    drawn = draw(300, 1000, p, torch.device("cpu"))
    kept = torch.ones(300, 1000, dtype=dtype)
    drop_(kept, unpack(drawn, kept))
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    kept = kept.double() - (1 - p)
    error = 5 * (p * (1 - p) / kept.numel()) ** 0.5
    assert abs(kept.mean()) < error
    assert kept.mean(0).abs().max() < error * 1000**0.5 and kept.mean(1).abs().max() < error * 300**0.5
    for shift in (1, 8, 16, 32, 64):
        for dim in (0, 1):
            assert abs((kept * kept.roll(shift, dim)).mean()) < p * (1 - p) * 5 / kept.numel() ** 0.5


@pytest.mark.parametrize("p", [0.5, 0.3])
def test_attention_with_dropout_equals_autograd_on_the_same_mask(p):
    attention, Windows = part("attention_fused", "Attention"), part("attention_fused", "Windows")
    draw, unpack, drop_ = (part("attention_fused", name) for name in ("draw", "unpack", "drop_"))
    windows, W, h, L = Windows(4, 3, True, False, 2), 2 * 2 * 4, 2, 12
    torch.manual_seed(0)
    f = torch.randn(2, 8, 12, 3 * h * 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(h, L, L, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(7)
    o = attention.apply(f, bias, windows, p)
    torch.manual_seed(7)
    kept = torch.ones(W, h, L, L, dtype=torch.float64)
    drop_(kept, unpack(draw(W, h * L * L, p, f.device), kept))
    q, k, v = windows.split(f, 3)
    P = (q.transpose(2, 3) @ k * h**-0.5 + bias).softmax(-1) * kept / (1 - p)
    expected = (P @ v.transpose(2, 3)).transpose(2, 3)
    torch.testing.assert_close(o, expected)
    weight = torch.randn_like(o)
    for a, b in zip(*(torch.autograd.grad((y * weight).sum(), (f, bias)) for y in (o, expected))):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("p", [0.5, 0.25])
def test_both_forms_drop_alike(p):
    """Over many draws the outputs with dropped maps have the mean of those without, and equal variances."""
    copies, draws = 4000, []
    plain, fused = (build(attn_drop=p, fused=fused).stages[0].blocks[0].transformer.attention[0] for fused in (0, 1))
    fused.load_state_dict(plain.state_dict())
    torch.manual_seed(0)
    f = torch.randn(1, 4, 6, 36)
    expected = plain.eval()(f)[0]
    for attention in (plain, fused):
        o = attention.train()(f.expand(copies, -1, -1, -1))
        draws.append(o)
        assert o.shape == (copies, 24, 12)
        assert ((o.mean(0) - expected).abs() < 6 * o.std(0) / copies**0.5).all()
    variances = [o.var(0).mean() for o in draws]
    torch.testing.assert_close(variances[0], variances[1], rtol=0.02, atol=0)


def test_checkpointing_draws_the_same():
    kept = build(attn_drop=0.5, drop_path=0.4, drop=0.1, head_drop=0.1)
    recomputed = copy.deepcopy(kept)
    recomputed.activation_checkpointing = True
    x, outputs = inputs(3), []
    for model in (kept, recomputed):
        torch.manual_seed(5)
        outputs.append(step(model, *x))
        outputs.append(torch.rand(3))  # and the generator goes on alike
    assert torch.equal(outputs[0], outputs[2]) and torch.equal(outputs[1], outputs[3])
    for (name, a), b in zip(kept.named_parameters(), recomputed.parameters()):
        assert torch.equal(a.grad, b.grad), name
    for (name, a), b in zip(kept.named_buffers(), recomputed.buffers()):
        assert torch.equal(a, b), name


def test_draws_come_from_the_global_generator():
    model, x = build(attn_drop=0.5, drop_path=0.4), inputs(3)
    model.train()
    torch.manual_seed(3)
    model(*x)
    state = torch.get_rng_state()
    expected = model(*x)
    assert not torch.equal(model(*x), expected)
    torch.set_rng_state(state)
    assert torch.equal(model(*x), expected)
    assert torch.equal(model.eval()(*x), model(*x))


def test_stochastic_depth():
    """Rates grow linearly; a branch is dropped for whole samples, and what stays is scaled."""
    model = build(drop_path=0.7)
    blocks = [block.transformer for stage in model.stages for block in stage.blocks]
    assert [block.drop_path for block in blocks] == pytest.approx([0.1 * k for k in range(8)])
    torch.manual_seed(0)
    x, branch = torch.zeros(4000, 1, 2, 3), torch.ones(4000, 1, 2, 3)
    y = blocks[-1].train().add(x, branch)
    assert torch.equal(y, y[:, :1, :1, :1].expand_as(y))
    torch.testing.assert_close(y.unique(), torch.tensor([0, 1 / 0.3]))
    assert abs(y.mean() - 1) < 6 * (0.7 / 0.3 / 4000) ** 0.5
    assert torch.equal(blocks[-1].eval().add(x, branch), branch)


# --- sizes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [64, 48, 47, 52, 32, 24, 7, 1])
@pytest.mark.parametrize("a", [8, 4])
def test_any_window_runs(frames, a, caplog):
    types = {f"type_{k}_size": [a, 6] for k in (1, 2, 3, 4)}
    model = build(num_heads=8, mlp_ratio=0.5, **types).train()
    with caplog.at_level(logging.INFO, "skeleton_lab"):
        assert model(*inputs(2, frames)).isfinite().all()
        model(*inputs(2, frames))
    fits = all(-(-frames // 2**s) % a == 0 for s in range(4))
    assert len(caplog.messages) == (not fits)  # said once
    if (frames, a) == (48, 8):
        assert caplog.messages == [
            "SkateFormer: window 48 gives stages of 48, 24, 12, 6 frames; partition length 8 is reduced to 8, 8, 6, 6"
        ]


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_windows_are_the_published_partitions(kind):
    Windows = part("attention_fused", "Windows")
    windows = Windows(4, 3, kind > 2, kind in (2, 4), 2)
    x = torch.randn(2, 8, 12, 3 * 2 * 5)
    y = windows.split(x, 3)  # (parts, W, h, d, L)
    how = 4, 3, kind > 2, kind in (2, 4)
    expected = part("SkateFormer", "partition")(x, *how)
    assert torch.equal(y.permute(1, 4, 0, 2, 3).flatten(2), expected)
    assert torch.equal(part("SkateFormer", "reverse")(expected, *how, 2, 8, 12), x)
    assert torch.equal(windows.join(y, 2, 8, 12), x)
    n, i, u, m, (_, T, J, _), a, b = 1, 1, 2, 2, x.shape, 4, 3
    t = n * (T // a) + i if kind > 2 else i * a + n
    j = m * (J // b) + u if kind in (2, 4) else u * b + m
    assert torch.equal(expected[(1 * (T // a) + i) * (J // b) + u, n * b + m], x[1, t, j])


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"num_points": 20, "type_1_size": [8, 8], "type_2_size": [8, 12]},
            r"type_2_size\[1\]=12 does not divide the 40 tokens of a frame \(num_points 20 x num_people 2\); "
            "divisors: 1 2 4 5 8 10 20 40",
        ),
        ({"num_heads": 4}, "num_heads=4 is too small: each attention gets num_heads // 8 heads"),
        (
            {"num_heads": 40},
            "num_heads=40 does not fit 96 channels; multiples of 8 that fit all stages: 8 16 24 32 48 96",
        ),
        ({"kernel_size": 6}, "kernel_size=6 must be odd"),
        ({"global_pool": "sum"}, "global_pool='sum' must be 'avg' or 'max'"),
        ({"attn_drop": 1.5}, "attn_drop=1.5 must be at least 0 and below 1"),
        ({"type_3_size": [8]}, "type_3_size=.* must be two positive integers"),
    ],
)
def test_sizes_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message) as error:
        build(**changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({}, r"embed_dim=64 must equal channels\[0\]=96"),
        ({"depths": (2, 2)}, "depths has 2 entries and channels 4"),
        ({"channels": (60, 60, 60, 60), "embed_dim": 60}, "60 is not divisible by 8"),
    ],
)
def test_stages_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        replay.build("SkateFormer", "model.SkateFormer.SkateFormer", **changes)


def test_published_widths_are_fixed():
    for name in ("depths", "channels", "embed_dim"):
        with pytest.raises(TypeError, match=name):
            build(**{name: 96})


def test_heads_that_are_no_multiple_of_8():
    plain, fused = forms(num_heads=12)
    assert plain.stages[0].blocks[0].transformer.gconv.shape == (3, 48, 48)
    replay.check_forms(plain, fused, *inputs(1, 32), training=False)


def test_inputs_that_do_not_fit():
    model, (x, positions) = build(), inputs(2, 32)
    with pytest.raises(ValueError, match=r"expected \(N, 3, T, 24, 2\)"):
        model(x[..., :1], positions)
    with pytest.raises(ValueError, match=r"index_t of shape \(2, 16\); expected \(2, 32\)"):
        model(x, positions[:, :16])
    with pytest.raises(ValueError, match="index_t=True needs the frames' positions"):
        model(x)
    with pytest.raises(ValueError, match="num_frames=64 but the window has 32 frames"):
        build(index_t=False, num_frames=64)(x, positions)


# --- use ---------------------------------------------------------------------------------------------------------


def test_one_person_20_joints():
    types = {"type_1_size": [8, 4], "type_2_size": [8, 5], "type_3_size": [8, 4], "type_4_size": [8, 5]}
    model = build(num_people=1, num_points=20, num_heads=32, num_classes=10, mlp_ratio=1.0, **types)
    assert sum(p.numel() for p in model.parameters()) == 1_925_921
    assert model(torch.randn(1, 3, 64, 20, 1), torch.linspace(-1, 1, 64)[None]).shape == (1, 10)


def test_options():
    class OtherNorm(nn.LayerNorm):
        pass

    x = inputs(2, 16)
    plain_model = fill(build()).eval()
    other = build(act_layer=nn.ReLU, norm_layer_transformer=OtherNorm)
    other.load_state_dict(plain_model.state_dict())
    assert not torch.allclose(other.eval()(*x), plain_model(*x))
    for block in other.modules():
        if hasattr(block, "act"):
            block.act = nn.GELU()
    torch.testing.assert_close(other(*x), plain_model(*x))
    without = build(rel=False)
    assert not any("relative" in name for name in without.state_dict())
    assert step(without, *x).isfinite().all()
    assert build(global_pool="max")(*x).shape == (2, 5)


def test_new_classifier():
    model = build()
    model.reset_classifier(7, "max")
    assert model(*inputs(2, 16)).shape == (2, 7) and model.global_pool == "max"
    assert len(model.no_weight_decay()) == 32


def test_gradient_reaches_the_input_in_eval():
    x, positions = inputs(1, 16)
    build().eval()(x.requires_grad_(), positions).sum().backward()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
def test_bfloat16_autocast(checkpointing):
    model, x = fill(build(attn_drop=0.5, drop_path=0.2)), inputs(4, 16)
    expected = model.eval()(*x).detach()
    with torch.autocast("cpu", torch.bfloat16):
        assert (model(*x) - expected).norm() < 0.1 * expected.norm()
    model.activation_checkpointing = checkpointing
    with torch.autocast("cpu", torch.bfloat16):
        loss = F.cross_entropy(model.train()(*x).float(), torch.arange(4))
    loss.backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters())
    assert model.stages[1].blocks[0].downsample.bn.running_var.dtype == torch.float32
