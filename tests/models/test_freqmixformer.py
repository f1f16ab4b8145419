"""FreqMixFormer: the published fixture on both forms, the fused form against the plain one, lengths of clips."""

from __future__ import annotations

import argparse
import copy

import numpy as np
import pytest
import replay
import torch
import torch.nn.functional as F
from on_cuda import memory_on_cuda
from parity.protocol import compare, fill
from replay import BATCH, Fixture, step
from torch.autograd import gradcheck

from skeleton_lab import registry
from skeleton_lab.cost import counting
from skeleton_lab.engine.build import make_net
from skeleton_lab.engine.pretrained import load_weights
from skeleton_lab.errors import LabError, UsageError, WeightsError
from skeleton_lab.nn import fuse, unfuse

ROOM, MODEL = "FreqMixFormer", "model.skefreqmixformer.Model"
NTU = {"graph": "graph.ntu_rgb_d.Graph"}
UCLA = {"num_class": 10, "num_point": 20, "num_person": 1, "graph": "graph.ucla.Graph"}
UNSEEN = ("to_joint_embedding", "data_bn")  # stages that the fused network never forms


def build(**kwargs):
    return replay.build(ROOM, MODEL, **{**NTU, "frame_size": 16, **kwargs})


def fused_copy(network):
    with registry.room(ROOM):
        return fuse(copy.deepcopy(network))


@pytest.fixture(scope="module", params=["plain", "fused"])
def fixture(request):
    return Fixture(ROOM, "freqmixformer", fused=request.param == "fused")


@pytest.fixture(scope="module")
def fused_fixture():
    return Fixture(ROOM, "freqmixformer")


def graph(name: str):
    return registry.load(ROOM, f"graph.{name}.Graph")()


# --- the published numbers ---------------------------------------------------------------------------------------


def test_names_shapes_and_order(fixture):
    replay.check_names(fixture)


def test_matrices(fixture):
    for prefix, name, k in (("", "ntu_rgb_d", 8), ("ucla/", "ucla", 6)):
        skeleton = graph(name)
        np.testing.assert_allclose(skeleton.A, fixture.values[prefix + "A"], atol=1e-7)
        np.testing.assert_allclose(skeleton.A_vector(), fixture.values[prefix + "A_vector"], atol=1e-7)
        np.testing.assert_array_equal(skeleton.A_vector(), skeleton.A_vector(k))
    np.testing.assert_array_equal(graph("ntu_rgb_d").A_outward_binary, fixture.values["A_outward_binary"])
    model = fixture.build()
    np.testing.assert_allclose(model.l1.spa_mixf.A_SE, fixture.values["l1.spa_mixf.A_SE"], atol=1e-7)
    assert not any("A_SE" in key or "A_vector" in key for key in model.state_dict())


def test_eval_logits(fixture):
    replay.check_eval(fixture)


def test_eval_logits_without_merging(fused_fixture):
    replay.check_eval(fused_fixture, lambda model: setattr(model, "merge_empty_bodies", False))


def test_training_step(fixture):
    replay.check_step(fixture, floor=2e-5)


def test_training_step_unmerged_and_recomputed(fused_fixture):
    def prepare(model):
        model.merge_empty_bodies, model.activation_checkpointing = False, True

    replay.check_step(fused_fixture, prepare, floor=2e-5)


def test_every_variant(fixture):
    """Windows of 48, 32 and 52 frames, NW-UCLA: training, then inference with the statistics that it left behind."""
    seen = []
    for prefix, kwargs, inputs, _ in fixture.cases():
        model = fill(fixture.build(kwargs)).train()
        with torch.no_grad():
            compare(model(*inputs), fixture.values[prefix + "train_logits"], fixture.tolerance("train_logits"))
            what = "eval_logits_after_one_train_forward"
            compare(model.eval()(*inputs), fixture.values[prefix + what], fixture.tolerance(what))
        seen.append(prefix)
    assert seen == ["", "frame_size_48/", "frame_size_32/", "frame_size_52/", "ucla/"]


def test_stages(fixture):
    compared = replay.check_stages(fixture, prepare=lambda model: setattr(model, "merge_empty_bodies", False))
    unseen = UNSEEN if fixture.fused else ()
    assert compared == len([name for name in fixture.facts["stage_shapes"] if name not in unseen])


def test_initialisation(fixture):
    replay.check_init(fixture)
    model = build(fused=fixture.fused)
    for block in (model.l1, model.l5, model.l10):
        assert torch.equal(block.spa_mixf.A_GEME, block.spa_mixf.A_SE)


@pytest.mark.parametrize(
    ("frames", "kwargs", "count"),
    [(64, {}, 2_065_048), (48, {}, 2_056_100), (32, {}, 2_049_680), (52, {}, 2_058_100), (52, UCLA, 1_973_700),
     (64, {"num_class": 120}, 2_084_308)],
)  # fmt: skip
def test_parameters(frames, kwargs, count):
    assert sum(p.numel() for p in build(frame_size=frames, **kwargs).parameters()) == count


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
def test_cost(checkpointing):
    model = build(frame_size=64)
    model.activation_checkpointing = checkpointing
    x = torch.randn(8, 3, 64, 25, 2)
    measured = counting.measure(model, x, torch.arange(8))
    assert measured.flops_forward < 5_110_004_512  # as published
    assert measured.saved_bytes < (20e6 if checkpointing else 95e6)
    assert not checkpointing or counting.fits(memory_on_cuda(model, 128, x), 128)


# --- graphs and transforms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sums"), [("ntu_rgb_d", (25, 20, 24)), ("ucla", (20, 19, 15)), ("uav", (17, 11, 15))]
)  # fmt: skip
def test_sums_of_the_subsets(name, sums):
    np.testing.assert_allclose(graph(name).A.sum((1, 2)), sums)


def test_vectors():
    ntu, ucla = graph("ntu_rgb_d"), graph("ucla")
    np.testing.assert_array_equal(ntu.A_vector(8), np.eye(25))  # no joint is eight bones from joint 1
    bones = np.random.default_rng(0).normal(size=25)
    assert (ntu.A_vector(1) @ bones)[7] == pytest.approx(bones[7] - bones[6])
    expected = np.eye(20)
    expected[2, [15, 19]] = -1
    np.testing.assert_array_equal(ucla.A_vector(), expected)
    x, bone = torch.randn(1, 3, 16, 25, 2), torch.tensor(ntu.A_vector(1), dtype=torch.float32)
    model = fill(build(k=1)).eval()
    joints = build(k=8).eval()
    joints.load_state_dict(model.state_dict())
    expected = joints(torch.einsum("vu,nctum->nctvm", bone, x))
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-4)
    assert model.double().A_vector.dtype == torch.float64
    torch.testing.assert_close(unfuse(copy.deepcopy(model))(x.double()), model(x.double()))


@pytest.mark.parametrize("V", [17, 20, 25])
def test_cosine_transform(V):
    """By the spectrum in the plain form, by a matrix in the fused one."""
    fft = pytest.importorskip("scipy.fft")
    dct, idct = (registry.load(ROOM, f"model.skefreqmixformer.{name}") for name in ("dct", "idct"))
    cosines = registry.load(ROOM, "model.skefreqmixformer_fused.cosines")
    (identity, D), E = cosines(V, torch.float64, torch.device("cpu"))
    x = torch.randn(4, V, dtype=torch.float64)
    assert torch.equal(identity, torch.eye(V, dtype=torch.float64))
    expected = torch.from_numpy(fft.dct(x.numpy(), type=2))
    torch.testing.assert_close(x @ D.t(), expected)
    torch.testing.assert_close(dct(x), expected)
    expected = torch.from_numpy(fft.idct(x.numpy(), type=2))
    torch.testing.assert_close(x @ E.t(), expected)
    torch.testing.assert_close(idct(x), expected)
    assert dct(x.to(torch.bfloat16)).dtype == torch.float32


# --- the two forms -----------------------------------------------------------------------------------------------


def pair(**kwargs):
    """The plain and the fused network with the same, filled weights in float64."""
    return [fill(build(**{**kwargs, "num_class": 5, "fused": fused})).double() for fused in (False, True)]


def test_plain_form_costs_what_is_published():
    network = build(frame_size=64, num_class=60, fused=False)
    measured = counting.measure(network, torch.randn(1, 3, 64, 25, 2), torch.arange(1))
    assert measured.flops_forward == 5_110_004_512
    assert 185e6 < measured.saved_bytes < 205e6


@pytest.mark.parametrize(
    ("kwargs", "empty", "checkpointing"),
    [({"frame_size": 8}, 0, False), ({"frame_size": 8}, 2, False), ({"frame_size": 4, "k": 2}, 2, True),
     ({**UCLA, "frame_size": 12, "freq_split": 5, "freq_high": 2.0}, 0, True)],
    ids=["8 frames", "empty bodies", "k=2, recomputed", "ucla"],
)  # fmt: skip
def test_training_step_of_both_forms(kwargs, empty, checkpointing):
    plain, fused = pair(**kwargs)
    fused.activation_checkpointing = checkpointing
    _, frames, joints, persons = plain.sizes
    torch.manual_seed(0)
    x = torch.randn(3, 3, frames, joints, persons, dtype=torch.float64)
    x[:empty, ..., 1:] = 0  # run as one
    replay.check_forms(plain, fused, x)
    torch.testing.assert_close(fused.eval()(x), plain.eval()(x))


def test_eval_gradients_of_both_forms():
    plain, fused = (model.eval() for model in pair(frame_size=8))
    torch.manual_seed(0)
    x = torch.randn(3, 3, 8, 25, 2, dtype=torch.float64)
    x[:2, ..., 1] = 0
    for model in (plain, fused):
        F.cross_entropy(model(x), torch.tensor([0, 3, 1])).backward()
    for (name, a), b in zip(fused.named_parameters(), plain.parameters()):
        assert (a.grad is None) == (b.grad is None), name
        if b.grad is not None:
            size = max(1.0, b.grad.abs().max())
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-6, atol=1e-8 * size, msg=name)


def test_unfused_network_is_the_plain_one():
    torch.manual_seed(0)
    plain, x = fill(build(fused=False)).eval(), torch.randn(2, 3, 16, 25, 2)
    x[0, ..., 1] = 0
    network = unfuse(fused_copy(plain))
    assert [type(module) for module in network.modules()] == [type(module) for module in plain.modules()]
    state = network.state_dict()
    assert list(state) == list(plain.state_dict())
    assert all(torch.equal(value, state[name]) for name, value in plain.state_dict().items())
    assert torch.equal(network(x), plain(x))


def test_plain_form_is_autograd_alone():
    replay.check_autograd_alone(build(fused=False), torch.randn(2, 3, 16, 25, 2))


def test_plain_form_exports_for_any_batch():
    """Not for any length: the attention between frames has a weight for every pair of them."""
    plain = fill(build(fused=False))
    torch.manual_seed(0)
    replay.check_export(plain, (torch.randn(2, 3, 16, 25, 2),), (torch.randn(3, 3, 16, 25, 2),), [{0: BATCH}])


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("projected", [True, False], ids=["projected before", "projected here"])
def test_backward_of_the_gated_aggregation(projected, keep):
    torch.manual_seed(0)
    aggregate = registry.load(ROOM, "model.skefreqmixformer_fused_aggregation.gated_aggregate")

    def tensor(*shape):
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    B, C, K, V, T = 2, 8, 2, 3, 2
    M, A, taps = tensor(B, K, 4, V, V), tensor(K, 8, V, V), tensor(1, 1, 3)
    if projected:
        inputs = tensor(B, C * K, T, V), M, A, taps
        assert gradcheck(lambda x, *rest: aggregate(x, None, None, *rest, keep), inputs)
    else:
        inputs = tensor(B, 3, T, V), tensor(C * K, 3), tensor(C * K), M, A, taps
        assert gradcheck(lambda *given: aggregate(*given, keep), inputs)


def test_bias_and_position_before_the_norm_have_a_gradient_of_zero():
    model = build(num_class=5)
    step(model, torch.randn(2, 3, 16, 25, 2))
    for parameter in (model.pos_embedding, model.to_joint_embedding.bias):
        assert parameter.grad is not None and not parameter.grad.any()  # zero, so weight decay still acts


# --- modes -------------------------------------------------------------------------------------------------------


def test_checkpointing_recomputes_the_same_bits():
    torch.manual_seed(0)
    kept = build(num_class=5)
    recomputed = copy.deepcopy(kept)
    recomputed.activation_checkpointing = True
    x = torch.randn(2, 3, 16, 25, 2)
    assert torch.equal(step(kept, x), step(recomputed, x))
    for (name, a), b in zip(kept.named_parameters(), recomputed.parameters()):
        assert (a.grad is None and b.grad is None) or torch.equal(a.grad, b.grad), name
    for (name, a), b in zip(kept.named_buffers(), recomputed.buffers()):
        assert torch.equal(a, b), name


def test_one_sample_and_gradient_of_the_input():
    x = torch.randn(1, 3, 16, 25, 2, requires_grad=True)
    build().eval()(x).sum().backward()
    assert x.grad.abs().sum() > 0
    grads = []
    for model in pair():
        x = torch.ones(1, 3, 16, 25, 2, dtype=torch.float64).cumsum(2).sin().add(torch.arange(25.0)[:, None].cos())
        x = (x * torch.arange(1.0, 4)[:, None, None, None] + torch.arange(2)).requires_grad_()
        step(model, x)
        grads.append(x.grad)
    torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-8)


def test_other_factors_in_the_frequency_domain():
    x = torch.randn(1, 3, 16, 25, 2)
    torch.manual_seed(0)
    model = build().eval()
    other = build(freq_split=5, freq_low=0.1, freq_high=2.0).eval()
    other.load_state_dict(model.state_dict())
    assert not torch.allclose(model(x), other(x))


@pytest.mark.parametrize("form", ["kept", "recomputed", "plain"])
def test_bfloat16_autocast(form):
    torch.manual_seed(0)
    model, x = fill(build(num_class=5, fused=form != "plain")), torch.randn(4, 3, 16, 25, 2)
    x[:3, ..., 1] = 0
    model.activation_checkpointing = form == "recomputed"
    expected = step(copy.deepcopy(model), x).detach()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model.train()(x).float()
        loss = F.cross_entropy(logits, torch.arange(4))
    assert (logits - expected).norm() < 0.2 * expected.norm()
    loss.backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(g.dtype == torch.float32 and g.isfinite().all() for g in grads)
    assert model.data_bn.running_var.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert model.eval()(x).isfinite().all()


# --- lengths of clips --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("frames", "advice"), [(50, "48 or 52"), (2, "4"), (0, "4")])
def test_frame_size_is_a_multiple_of_four(frames, advice):
    with pytest.raises(UsageError) as caught:
        build(frame_size=frames)
    assert str(caught.value) == f"FreqMixFormer: frame_size {frames} is not a multiple of 4 (try {advice})"


def options(train, test, **model_args):
    windows = {split: {} if frames is None else {"window_size": frames} for split, frames in zip("ab", (train, test))}
    return argparse.Namespace(
        model=MODEL, model_args={**NTU, **model_args}, activation_checkpointing=False, fused=True,
        train_feeder_args=windows["a"], test_feeder_args=windows["b"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("train", "test", "named", "expected"),
    [(48, 48, None, 48), (52, None, None, 52), (None, 32, None, 32), (None, None, None, 64), (48, 48, 48, 48),
     (-1, None, 32, 32),
     (48, 48, 64, "FreqMixFormer: window_size 48 but frame_size 64; set model_args.frame_size=48"),
     (48, 64, None, "FreqMixFormer: test window_size 64 but frame_size 48; set test_feeder_args.window_size=48"),
     (50, 50, None, "FreqMixFormer: frame_size 50 is not a multiple of 4 (try 48 or 52)")],
)  # fmt: skip
def test_window_decides_the_frame_size(train, test, named, expected):
    given = options(train, test, **({} if named is None else {"frame_size": named}))
    with registry.room(ROOM):
        if isinstance(expected, str):
            with pytest.raises(UsageError) as caught:
                make_net(given)
            assert str(caught.value) == expected
        else:
            assert make_net(given).sizes[1] == expected


def test_weights_of_another_length(tmp_path):
    torch.save({f"module.{k}": v for k, v in build(frame_size=64).state_dict().items()}, tmp_path / "runs-1-5.pt")
    assert load_weights(build(frame_size=64), tmp_path / "runs-1-5.pt", strict=True) == 5
    model = build(frame_size=48)
    before = copy.deepcopy(model.state_dict())
    for strict in (False, True):
        with pytest.raises(WeightsError, match=r"pt: weights were trained with 64 frames, this model has 48$"):
            load_weights(model, tmp_path / "runs-1-5.pt", strict=strict)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_wrong_inputs_and_arguments():
    model = build()
    with pytest.raises(LabError, match=r"frame_size 16 but the input has 20; set model_args\.frame_size=20$"):
        model(torch.zeros(1, 3, 20, 25, 2))
    with pytest.raises(LabError, match=r"num_person 2 but the input has 1; set model_args\.num_person=1$"):
        model(torch.zeros(1, 3, 16, 25, 1))
    with pytest.raises(LabError, match=r"expected \(N, C, T, V, M\)"):
        model(torch.zeros(1, 16, 75))
    with pytest.raises(ValueError, match="needs graph="):
        build(graph=None)
    with pytest.raises(LabError, match=r"num_point 25, but graph\.ucla\.Graph has 20 joints"):
        build(graph="graph.ucla.Graph")
    with pytest.raises(ValueError, match="labeling_mode"):
        build(graph_args={"labeling_mode": "distance"})
