"""CTR-GCN and its baseline: the published fixtures on the plain and on the fused form, and the forms side by side."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import replay
import torch
import torch.nn.functional as F
from parity.protocol import fill
from replay import Fixture, step

NETWORKS = ["model.ctrgcn.Model", "model.baseline.Model"]


def build(name: str = NETWORKS[0], **kwargs):
    return replay.build("CTR-GCN", name, **{"graph": "graph.ntu_rgb_d.Graph", **kwargs})


@pytest.fixture(scope="module", params=["plain", "fused"])
def form(request):
    return request.param


@pytest.fixture(scope="module", params=["ctrgcn", "ctrgcn_baseline"])
def fixture(request, form):
    return Fixture("CTR-GCN", request.param, fused=form == "fused")


@pytest.fixture(scope="module", params=["ctrgcn", "ctrgcn_baseline"])
def fused_fixture(request):
    return Fixture("CTR-GCN", request.param)


@pytest.fixture(scope="module", params=["ctrgcn", "ctrgcn_baseline"])
def plain_fixture(request):
    return Fixture("CTR-GCN", request.param, fused=False)


# --- the published numbers ---------------------------------------------------------------------------------------


def test_names_shapes_and_order(fixture):
    replay.check_names(fixture)
    model = fixture.build()
    for name, A in fixture.group("A/").items():
        matrix = model.graph.A if name == "graph.A" else model.get_parameter(name).detach().numpy()
        np.testing.assert_allclose(matrix, A, atol=fixture.facts["tolerance"]["A"])


def test_eval_logits(fixture):
    replay.check_eval(fixture)


def test_training_step(fixture):
    replay.check_step(fixture)


def test_eval_logits_unmerged(fused_fixture):
    replay.check_eval(fused_fixture, lambda model: setattr(model, "merge_empty_bodies", False))


@pytest.mark.parametrize(("merge", "checkpointing"), [(True, True), (False, False), (False, True)])
def test_training_step_with_switches(fused_fixture, merge, checkpointing):
    def prepare(model):
        model.merge_empty_bodies, model.activation_checkpointing = merge, checkpointing

    replay.check_step(fused_fixture, prepare)


def test_stages(fixture):
    def unmerged(model):
        model.merge_empty_bodies = False  # of the fused form, whose stages have fewer bodies with it

    compared = replay.check_stages(fixture, inner_stage, unmerged)
    assert compared == 2 * len(fixture.facts["stage_shapes"])


@torch.no_grad()
def inner_stage(model, name: str, given: dict[str, torch.Tensor]) -> torch.Tensor:
    """Output of a module that the network runs merged with its neighbours (a subset, a temporal branch)."""
    unit, index = name.rsplit(".", 1)
    x = given[unit.rsplit(".", 1)[0]]
    if unit.endswith("convs"):
        gcn = model.get_submodule(unit.rsplit(".", 1)[0])
        return model.get_submodule(name)(x, gcn.PA[int(index)], gcn.alpha)
    return model.get_submodule(name)(x)


def test_initialisation(plain_fixture):
    torch.manual_seed(1)
    model = plain_fixture.build()
    for name, law in plain_fixture.facts["init_law"].items():
        parameter = model.get_parameter(name).detach().double()
        expected_mean, expected_std = law_moments(law, parameter, plain_fixture, name)
        mean, std = parameter.mean().item(), parameter.std(correction=0).item()
        if expected_std == 0:
            assert std == 0 and mean == pytest.approx(expected_mean, abs=1e-12), f"{name}: {law}"
            continue
        n = parameter.numel()
        assert abs(mean - expected_mean) <= 6 * expected_std / math.sqrt(n), f"{name}: mean {mean}, {law}"
        assert abs(std - expected_std) <= 6 * expected_std / math.sqrt(2 * n), f"{name}: std {std}, {law}"


def law_moments(law: str, p: torch.Tensor, fixture: Fixture, name: str) -> tuple[float, float]:
    """Mean and standard deviation that a law of the fixture gives a parameter."""
    if law in ("copy of graph A", "identity per subset"):
        A = fixture.build().graph.A if law == "copy of graph A" else np.eye(p.shape[1])
        np.testing.assert_allclose(p, np.broadcast_to(A, p.shape), atol=1e-7)
        return p.mean().item(), p.std(correction=0).item()
    fan_out = p.shape[0] * math.prod(p.shape[2:])
    return {
        "zero": (0.0, 0.0),
        "constant 1e-6": (float(np.float32(1e-6)), 0.0),
        "normal(1, 0.02)": (1.0, 0.02),
        "normal(0, sqrt(2/(out*kh*kw)))": (0.0, math.sqrt(2 / fan_out)),
        "normal(0, sqrt(2/num_class))": (0.0, math.sqrt(2 / fan_out)),
        "normal(0, sqrt(2/(out*in*num_subset)))": (0.0, math.sqrt(2 / (p.numel() * 3))),
    }[law]


def test_initialisation_of_what_keeps_the_default(plain_fixture):
    torch.manual_seed(1)
    model = plain_fixture.build()
    for name, (mean, std) in plain_fixture.group("init/").items():
        parameter = model.get_parameter(name)
        if std == 0:
            assert torch.all(parameter == float(mean)), name
        elif name == "fc.bias":
            assert parameter.abs().max() <= 1 / 16 and abs(parameter.std() - 1 / 16 / math.sqrt(3)) < 0.01


# --- plain and fused ---------------------------------------------------------------------------------------------


def forms(name: str):
    """The plain and the fused network with the same, filled weights in float64."""
    plain = fill(build(name, fused=False, num_class=5)).double()
    fused = build(name, num_class=5).double()
    fused.load_state_dict(plain.state_dict())
    return plain, fused


@pytest.mark.parametrize("frames", [1, 7, 16])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_gradient_and_buffer_equals_the_plain_form(name, frames):
    torch.manual_seed(0)
    replay.check_forms(*forms(name), torch.randn(2, 3, frames, 25, 2))


@pytest.mark.parametrize("name", NETWORKS)
def test_empty_bodies_run_as_one(name):
    plain, fused = forms(name)
    torch.manual_seed(0)
    x = torch.randn(4, 3, 16, 25, 2, dtype=torch.float64)
    x[:3, ..., 1] = 0
    # Empty bodies do not move, so the max pool meets ties there, which rounding breaks: gradients are compared above.
    torch.testing.assert_close(step(fused, x), step(plain, x))
    for (name, a), b in zip(fused.named_buffers(), plain.buffers()):
        torch.testing.assert_close(a, b, msg=name)
    torch.testing.assert_close(fused.eval()(x), plain.eval()(x))


@pytest.mark.parametrize("name", NETWORKS)
def test_same_names_and_same_draws(name):
    networks = []
    for fused in (False, True):
        torch.manual_seed(3)
        networks.append(build(name, fused=fused).state_dict())
    assert list(networks[0]) == list(networks[1])
    assert all(torch.equal(a, b) for a, b in zip(*(state.values() for state in networks)))


@pytest.mark.parametrize("name", NETWORKS)
def test_plain_form_exports_and_needs_autograd_alone(name):
    torch.manual_seed(0)
    plain = fill(build(name, fused=False))
    x = torch.randn(2, 3, 16, 25, 2)
    replay.check_export(plain, (x,), (torch.randn(5, 3, 33, 25, 2),), [{0: replay.BATCH, 2: replay.FRAMES}])
    replay.check_autograd_alone(plain, x)


def test_checkpointing_recomputes_the_same_bits():
    torch.manual_seed(0)
    kept = build(num_class=5)
    recomputed = copy.deepcopy(kept)
    recomputed.activation_checkpointing = True
    x = torch.randn(2, 3, 16, 25, 2)
    assert torch.equal(step(kept, x), step(recomputed, x))
    for (name, a), b in zip(kept.named_parameters(), recomputed.parameters()):
        assert torch.equal(a.grad, b.grad), name
    for (name, a), b in zip(kept.named_buffers(), recomputed.buffers()):
        assert torch.equal(a, b), name


# --- shapes, modes, arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
class TestUse:
    def test_one_person_20_joints_and_flat_input(self, name):
        model = build(name, num_class=10, num_point=20, num_person=1, graph="graph.ucla.Graph").eval()
        x = torch.randn(2, 3, 9, 20, 1)
        flat = x[..., 0].permute(0, 2, 3, 1).reshape(2, 9, 60)  # (N, T, V*C), joint-major
        torch.testing.assert_close(model(flat), model(x))
        assert model(x).shape == (2, 10)

    def test_two_channels(self, name):
        inputs = {"model.ctrgcn.Model": 9, "model.baseline.Model": 2}[name]
        assert build(name, in_channels=inputs)(torch.randn(2, inputs, 8, 25, 2)).shape == (2, 60)

    def test_constant_graph_has_no_key_and_follows_to(self, name):
        model = build(name, adaptive=False)
        adaptive = build(name)
        assert set(adaptive.state_dict()) - set(model.state_dict()) == {f"l{i}.gcn1.PA" for i in range(1, 11)}
        model.load_state_dict({k: v for k, v in adaptive.state_dict().items() if "PA" not in k})
        x = torch.randn(2, 3, 8, 25, 2)
        if name == "model.ctrgcn.Model":  # the baseline normalises only what it learns
            torch.testing.assert_close(model.eval()(x), adaptive.eval()(x))
        assert model.double().l1.gcn1.A.dtype == torch.float64
        assert model(x.double()).dtype == torch.float64

    def test_graph_is_required(self, name):
        with pytest.raises(ValueError, match="needs graph="):
            build(name, graph=None)

    def test_drop_out_only_in_training(self, name):
        torch.manual_seed(0)
        model, x = build(name, drop_out=0.5), torch.randn(2, 3, 8, 25, 2)
        assert not any("drop" in key for key in model.state_dict())
        assert not torch.equal(model(x), model(x))
        assert torch.equal(model.eval()(x), model(x))

    def test_all_bodies_empty(self, name):
        model = build(name)
        assert step(model, torch.zeros(3, 3, 8, 25, 2)).isfinite().all()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())

    def test_gradient_reaches_the_input_in_eval(self, name):
        x = torch.randn(1, 3, 8, 25, 2, requires_grad=True)
        build(name).eval()(x).sum().backward()
        assert x.grad.abs().sum() > 0

    def test_bfloat16_autocast(self, name):
        torch.manual_seed(0)
        model, x = fill(build(name, num_class=5)), torch.randn(4, 3, 16, 25, 2)
        x[:3, ..., 1] = 0
        expected = model.eval()(x).detach()
        with torch.autocast("cpu", torch.bfloat16):
            assert (model(x) - expected).norm() < 0.1 * expected.norm()
        for checkpointing in (False, True):
            model.activation_checkpointing = checkpointing
            with torch.autocast("cpu", torch.bfloat16):
                loss = F.cross_entropy(model.train()(x).float(), torch.arange(4))
            model.zero_grad()
            loss.backward()
            assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters())
        assert model.data_bn.running_var.dtype == torch.float32
