"""DeGCN and its joint-bone fusion: the recorded outputs on both forms, and the forms side by side."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import replay
import torch
import torch.nn.functional as F
import yaml
from parity.protocol import fill
from replay import Fixture, step
from torch.autograd import gradcheck

from skeleton_lab import registry
from skeleton_lab.cost import counting
from skeleton_lab.engine.losses import Criterion

NETWORKS = ["model.degcn.Model", "model.jbf.Model"]
CRITERION = Criterion(0.1)  # of the training program


def build(name: str = NETWORKS[0], **kwargs):
    return replay.build("DeGCN", name, **{"graph": "graph.ntu_rgb_d.Graph", **kwargs})


def part(name: str):
    return registry.load("DeGCN", f"model.{name}")


def loss(output) -> torch.Tensor:
    """The recorded loss: the sum of the heads' cross entropies with smoothed labels."""
    return CRITERION(output, replay.labels(output[0]))


def of_offsets(name: str) -> float | None:
    return 1e-1 if name.endswith(".tr") else None


@pytest.fixture(scope="module", params=["plain", "fused"])
def form(request):
    return request.param


@pytest.fixture(scope="module", params=["degcn", "degcn_jbf"])
def fixture(request, form):
    return Fixture("DeGCN", request.param, fused=form == "fused")


@pytest.fixture(scope="module", params=["degcn", "degcn_jbf"])
def plain_fixture(request):
    return Fixture("DeGCN", request.param, fused=False)


# --- the published numbers ---------------------------------------------------------------------------------------


def test_names_shapes_and_order(fixture):
    replay.check_names(fixture)
    model = fixture.build()
    for name, recorded in fixture.group("A/").items():
        value = model.graph.A if name == "graph.A" else model.get_parameter(name).detach().numpy()
        np.testing.assert_allclose(value, recorded, atol=fixture.facts["tolerance"]["A"])


def test_eval_logits(fixture):
    """Of both heads and of their sum, with offsets near 0 and where they start, and of 32 frames."""
    replay.check_eval(fixture)


@pytest.mark.parametrize(("name", "fused"), [("degcn", False), ("degcn_jbf", True)])
def test_training_step(name, fused):
    """Of every input; where offsets are where they start, their gradients."""
    replay.check_step(Fixture("DeGCN", name, fused), loss=loss, special=of_offsets)


def test_stages(plain_fixture):
    assert replay.check_stages(plain_fixture) >= len(plain_fixture.facts["stage_shapes"])


def test_initialisation(plain_fixture):
    replay.check_init(plain_fixture, sigmas=8)
    model = plain_fixture.build()
    for name, law in plain_fixture.facts["init_law"].items():
        p = model.get_parameter(name).detach()
        if law.startswith("linspace"):
            reach = 2 if "tcn1" in name else 4
            torch.testing.assert_close(p, torch.linspace(-reach, reach, 4))
        elif law in ("one", "zero"):
            assert torch.all(p == (law == "one")), name
        elif "kernel elements" in law:
            std = math.sqrt(2 / (1.01 * len(p) * math.prod(p.shape[2:])))
            assert abs(p.std(correction=0).item() / std - 1) <= 6 / math.sqrt(2 * p.numel()), name


# --- sampling ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("offsets", [[-2.0, 0.5, 1.0], [-0.25, 9.75, -30.5]])
def test_sampling_by_hand(stride, offsets):
    """Frame by frame: linear interpolation, edge frames repeated; both ways of computing it, and their gradients."""
    torch.manual_seed(0)
    sampling = part("degcn.DeformableSampling")(2, 3, stride, 1).double().eval()
    torch.nn.init.normal_(sampling.conv_out[0].weight)
    sampling.tr.data = torch.tensor(offsets, dtype=torch.float64)
    x = torch.randn(2, 2, 5, 3, dtype=torch.float64)
    W, bias = (p.detach() for p in sampling.conv_out[0].parameters())
    out = -(-5 // stride)
    expected = bias.view(-1, 1, 1).expand(2, 2, out, 3).clone()
    for j in range(out):
        for e, offset in enumerate(offsets):
            p = stride * j + offset
            i = math.floor(p)
            first, second = (x[:, :, min(max(t, 0), 4)] for t in (i, i + 1))
            z = (i + 1 - p) * first + (p - i) * second
            expected[:, :, j] += torch.einsum("oc,bcv->bov", W[:, :, e, 0, 0], z)
    torch.testing.assert_close(sampling(x), expected / math.sqrt(1 + 1e-5))
    sampled, taps = part("degcn_fused_temporal.sampled"), W.flatten(1)
    turned = x.transpose(2, 3).contiguous()
    ours = sampled(turned, sampling.tr.detach(), taps, stride) + bias.view(-1, 1, 1)
    torch.testing.assert_close(ours.transpose(2, 3), expected)
    matrix = part("degcn_fused_temporal.Sampling").of(sampling.tr.detach(), 5, stride, torch.float64)
    taken = part("degcn_fused_temporal.Taps").of(sampling.tr, 5, stride)
    z = part("degcn_fused_temporal.interpolated")(turned, taken)
    torch.testing.assert_close(matrix.interpolated(turned), z)
    dz = torch.randn_like(z)
    dx, dtr = part("degcn_fused_temporal.interpolated_backward")(dz, turned, taken)
    torch.testing.assert_close(matrix.backward(dz, turned), (dx, torch.stack(dtr)))


def test_offsets_that_are_no_numbers_make_logits_that_are_none():
    """Of a run that diverged: the engine, which looks at the loss, says so; nothing breaks before."""
    x, tr, W = torch.randn(1, 2, 3, 5), torch.tensor([math.nan, math.inf]), torch.randn(2, 4)
    assert part("degcn_fused_temporal.sampled")(x, tr, W, 1).isnan().all()


@pytest.mark.parametrize("stride", [1, 2])
def test_own_backward_passes(stride):
    torch.manual_seed(0)
    a = torch.randn(2, 6, 3, 5, dtype=torch.float64)
    taps = [torch.tensor([-1.3, 0.4]), torch.tensor([2.6, -7.2]), torch.randn(2, 4), torch.randn(2, 4)]
    inputs = [t.double().requires_grad_() for t in (a, *taps)]
    branches = part("degcn_fused_temporal.Branches")
    assert gradcheck(lambda a, *taps: branches.apply(a, stride, *taps), inputs)
    norms = torch.rand(6, dtype=torch.float64, requires_grad=True), torch.randn(6, dtype=torch.float64)
    bodies = torch.tensor([1.0, 3.0], dtype=torch.float64)
    normed = part("degcn_fused_temporal.NormBranches")

    def norm_branches(a, gamma, *taps):
        return normed.apply(a, gamma, norms[1], None, 1e-5, 0.1, stride, *taps)[:3]

    assert gradcheck(norm_branches, [inputs[0], norms[0], *inputs[1:]])
    found = normed.apply(inputs[0], *norms, bodies, 1e-5, 0.1, stride, *inputs[1:])[:3]
    repeated = inputs[0][[0, 1, 1, 1]]
    for y, expected in zip(found, normed.apply(repeated, *norms, None, 1e-5, 0.1, stride, *inputs[1:])):
        torch.testing.assert_close(y, expected[:2])


def test_backward_of_the_grouped_unit():
    torch.manual_seed(0)
    unit = fill(part("degcn.GroupedGCN")(32, 16, torch.rand(3, 4, 4))).double()
    unit.alpha.data.fill_(0.7)
    weights = part("degcn_fused.FusedGroupedGCN").weights(unit)
    leaves = [t.detach().requires_grad_() for t in (torch.randn(2, 32, 4, 3, dtype=torch.float64), *weights)]
    assert gradcheck(part("degcn_fused_graph.GroupedAggregate").apply, leaves, fast_mode=True)


# --- plain and fused ---------------------------------------------------------------------------------------------


def forms(name: str):
    """Both forms, of one trunk where that can be had, with the same weights; some offsets reach nine frames."""
    kwargs = {"num_class": 5, "num_stream": 1, "num_point": 20, "graph": "graph.ucla.Graph"}
    plain = fill(build(name, fused=False, **kwargs))
    for key, p in plain.named_parameters():
        if key.endswith(".tr"):
            p.data *= 30
    fused = build(name, **kwargs)
    fused.load_state_dict(plain.state_dict())
    return plain, fused


@pytest.mark.parametrize(("name", "frames", "training"), [
    (NETWORKS[0], 7, True), (NETWORKS[0], 16, False), (NETWORKS[0], 1, True), (NETWORKS[1], 4, True),
    (NETWORKS[1], 4, False),
])  # fmt: skip
def test_every_gradient_and_buffer_equals_the_plain_form(name, frames, training):
    torch.manual_seed(0)
    x = torch.randn(3, 3, frames, 20, 2)
    x[:2, ..., 1] = 0
    replay.check_forms(*forms(name), x, loss=loss, training=training)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_changes_its_form_and_back(name):
    replay.check_change_of_form(lambda fused: build(name, fused=fused, num_stream=1), torch.randn(2, 3, 8, 25, 2))


def test_checkpointing_recomputes_the_same_bits():
    torch.manual_seed(0)
    kept = build(num_class=5, num_stream=1)
    recomputed = copy.deepcopy(kept)
    recomputed.activation_checkpointing = True
    x = torch.randn(2, 3, 16, 25, 2)
    for a, b in zip(step(kept, x, loss=loss), step(recomputed, x, loss=loss)):
        assert torch.equal(a, b)
    for (name, a), b in zip(kept.named_parameters(), recomputed.parameters()):
        assert torch.equal(a.grad, b.grad), name


def test_costs_less_than_published():
    """3,936 MFLOP and 413 MB a sample."""
    torch.manual_seed(0)
    cost = counting.measure(build(), torch.randn(1, 3, 64, 25, 2), torch.arange(1))
    assert cost.flops_forward <= 3_760_000_000 and cost.saved_bytes <= 103e6


# --- use -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fused", [False, True])
def test_other_sizes(fused):
    """Other joints, coordinates, trunks and samples; flat input; UsageError without a graph."""
    model = build(
        num_class=10, num_point=20, num_person=1, graph="graph.ucla.Graph", in_channels=2, num_stream=3, eta=1,
        fused=fused,
    ).eval()  # fmt: skip
    x = torch.randn(2, 2, 9, 20, 1)
    flat = x[..., 0].permute(0, 2, 3, 1).reshape(2, 9, 40)  # (N, T, V*C), joint-major
    heads = model(x)
    assert [head.shape for head in heads] == [(2, 10)] * 3
    for head, other in zip(heads, model(flat)):
        torch.testing.assert_close(head, other)
    fusion = build(NETWORKS[1], num_point=20, num_person=1, graph="graph.ucla.Graph", in_channels=2, fused=fused)
    assert len(fusion(x)) == 2
    with pytest.raises(ValueError, match="needs graph="):
        build(graph=None)


def test_bones_follow_the_graph():
    """By name: every joint of the graphs leads to the joint that its pair names; the hub to itself."""
    for module, hub in (("ntu_rgb_d", 20), ("ucla", 2)):
        graph = registry.load("DeGCN", f"graph.{module}.Graph")()
        found = part("jbf.parents")(graph.A)
        assert found.tolist() == [dict(graph.inward).get(joint, hub) for joint in range(graph.num_node)]


def test_drop_out_is_in_training_alone_and_without_a_key():
    torch.manual_seed(0)
    model, x = build(drop_out=0.5, num_stream=1), torch.randn(2, 3, 8, 25, 2)
    assert not any("drop" in key for key in model.state_dict())
    assert not torch.equal(model(x)[0], model(x)[0])
    assert torch.equal(model.eval()(x)[0], model(x)[0])


def test_bfloat16_autocast():
    torch.manual_seed(0)
    model, x = fill(build(num_class=5, num_stream=1)), torch.randn(4, 3, 8, 25, 2)
    x[:3, ..., 1] = 0
    expected = sum(model.eval()(x)).detach()
    with torch.autocast("cpu", torch.bfloat16):
        assert (sum(model(x)) - expected).norm() < 0.1 * expected.norm()
        value = sum(F.cross_entropy(head.float(), torch.arange(4)) for head in model.train()(x))
    value.backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters())


# --- the recipe ----------------------------------------------------------------------------------------------------


def test_rates_of_the_published_schedule():
    """Warm-up, cosine, and the steps from where the cosine falls to 0.01 on; numbers of the published program."""
    room = registry.find("DeGCN")
    given = yaml.safe_load((room.path / room.config).read_text())
    options = type("Options", (), given)
    rate = room.recipe.schedule(options, 100)
    expected = {0: 0.02, 3: 0.08, 4: 0.1, 5: 0.1, 6: 0.099931, 35: 0.05, 52: 0.011143, 53: 0.01, 60: 0.001, 75: 0.0001}
    assert {epoch: round(rate(epoch, 0), 6) for epoch in expected} == expected
    options.cosine_epoch = 0
    assert [rate(epoch, 0) for epoch in (0, 5, 34, 35)] == pytest.approx([0.02, 0.1, 0.1, 0.01])
    evaluated = [epoch for epoch in range(1, 81) if room.recipe.evaluates_after(epoch, _evaluations)]
    assert evaluated == [*range(5, 61, 5), *range(62, 81)]


class _evaluations:
    num_epoch, eval_interval, eval_start = 80, 5, 1


def test_published_configurations():
    """What the four files say, apart from the data, the classes and the folder."""
    folder = registry.find("DeGCN").path / "config"
    common = {
        "feeder": "feeders.feeder_ntu.Feeder", "model": "model.degcn.Model", "weight_decay": 0.0004, "base_lr": 0.1,
        "step": [35, 60, 75], "warm_up_epoch": 5, "cosine_epoch": 60, "device": [0], "batch_size": 64,
        "test_batch_size": 64, "num_epoch": 80, "nesterov": True,
    }  # fmt: skip
    rest = {"work_dir", "train_feeder_args", "test_feeder_args", "model_args"}
    for split, data, classes in (
        ("nturgbd-cross-subject", "ntu/NTU60_CS", 60), ("nturgbd-cross-view", "ntu/NTU60_CV", 60),
        ("nturgbd120-cross-subject", "ntu120/NTU120_CSub", 120), ("nturgbd120-cross-set", "ntu120/NTU120_CSet", 120),
    ):  # fmt: skip
        found = yaml.safe_load((folder / split / "default.yaml").read_text())
        assert {key: value for key, value in found.items() if key not in rest} == common
        fed = {"data_path": f"data/{data}.npz", "window_size": 64, "vel": False, "bone": False, "debug": False}
        assert found["test_feeder_args"] == {**fed, "split": "test", "p_interval": [0.95]}
        assert found["train_feeder_args"] == {
            **fed, "split": "train", "p_interval": [0.5, 1], "random_choose": False, "random_move": False,
            "random_shift": "cross-view" not in split, "normalization": False, "random_rot": True,
        }  # fmt: skip
        assert found["model_args"] == {
            "num_class": classes, "num_point": 25, "num_person": 2, "k": 8, "eta": 4, "num_stream": 2,
            "graph": "graph.ntu_rgb_d.Graph", "graph_args": {"labeling_mode": "spatial"},
        }  # fmt: skip
    assert len(list(Path(folder).rglob("*.yaml"))) == 6
