"""Hyper-GCN, base and large: the published fixtures on the plain and on the fused form, and the forms side by side."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import replay
import torch
import torch.nn.functional as F
from on_cuda import memory_on_cuda
from parity.protocol import compare, fill
from replay import Fixture, step
from torch.autograd import gradcheck

from skeleton_lab import registry
from skeleton_lab.cost import counting

divergence = registry.load("Hyper-GCN", "recipe.divergence")
GRAPH = {"graph": "graph.ntu_rgb_d.Graph", "graph_args": {"labeling_mode": "virtual_ensemble"}}
HYPER = ("alpha", "hyper_joint", "to_V", "to_W")  # their gradients pass through distances and a choice of neighbours


def special(share: float):
    return lambda name: share if any(word in name for word in HYPER) else None


# relative * expected + floor * largest, as the fixtures' ``tolerance.grad_norm`` has it
FLOAT32 = {"relative": 5e-3, "single": 5e-3, "floor": 2e-5, "special": special(2e-2)}
FLOAT64 = {"relative": 1e-6, "single": 1e-6, "floor": 1e-9, "special": special(1e-5)}
GRAPH64 = {"relative": 1e-4, "single": 1e-4, "floor": 1e-7, "special": special(1e-4)}


def build(size: str = "base", **kwargs):
    return replay.build("Hyper-GCN", f"model.hypergcn_{size}.Model", **{**GRAPH, "hyper_joints": 3, **kwargs})


@pytest.fixture(scope="module", params=["plain", "fused"])
def form(request):
    return request.param


@pytest.fixture(scope="module", params=["hypergcn_base", "hypergcn_large"])
def fixture(request, form):
    return Fixture("Hyper-GCN", request.param, fused=form == "fused")


@pytest.fixture(scope="module", params=["hypergcn_base", "hypergcn_large"])
def fused_fixture(request):
    return Fixture("Hyper-GCN", request.param)


def as_graph_variant(model):
    """The filled network with the published graph and a hyper-graph of full weight."""
    fresh = build(hyper_joints=len(model.l1.gcn1.hyper_joint))
    for i in range(1, 10):
        gcn = getattr(model, f"l{i}").gcn1
        gcn.PA.data.copy_(fresh.l1.gcn1.PA)
        gcn.alpha.data.fill_(1.0)
    return model


# --- the published numbers ---------------------------------------------------------------------------------------


def test_names_shapes_and_order(fixture):
    replay.check_names(fixture)
    model = fixture.build()
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert frozen == fixture.facts["frozen_parameters"]
    np.testing.assert_array_equal(model.graph.A, fixture.values["A/graph.A"])


def test_eval_logits(fixture):
    replay.check_eval(fixture)


def test_training_step(fixture):
    replay.check_step(fixture, **FLOAT32)


def test_eval_logits_unmerged(fused_fixture):
    replay.check_eval(fused_fixture, lambda model: setattr(model, "merge_empty_bodies", False))


def test_training_step_unmerged_and_recomputed(fused_fixture):
    def prepare(model):
        model.merge_empty_bodies, model.activation_checkpointing = False, True

    replay.check_step(fused_fixture, prepare, **FLOAT32)


def test_training_step_in_float64(fixture):
    model, tolerance = fill(fixture.build()).double(), fixture.facts["tolerance"]["float64"]
    y = step(model, fixture.main()[0].double())[0]
    compare(y, fixture.values["train_logits"], tolerance)
    replay.check_gradients(model, fixture, **FLOAT64)
    for name, value in fixture.group("buffer_after/").items():
        compare(model.state_dict()[name], value, tolerance)


def test_hypergraph_of_the_first_block(fixture):
    """H, W and G of the first body."""
    model = fill(fixture.build()).eval()
    model.merge_empty_bodies = False
    given, _ = replay.watched(model)
    with torch.no_grad():
        model(*fixture.main())
        x, layer = given["l1"], model.l1.gcn1
        if fixture.fused:
            s = model_part("hypergcn_fused_relations.means")(x, layer.hyper_joint)
            H, W, _ = model_part("hypergcn_fused_relations.incidence")(
                s, model_part("hypergcn_fused_graph.relation_weights")(layer, (layer.alpha, layer.PA))
            )
            H = H.view(len(x), 8, *H.shape[1:])
        else:
            H, W = layer.incidence(x.mean(2))
    G = plain("hypergraph")(H, W, 28)
    for name, value in (("H", H), ("W", W), ("G", G)):
        compare(value[0], fixture.values[f"hyper/l1.gcn1/{name}"], fixture.facts["tolerance"]["hyper"])


def test_loss_of_the_training_program(fixture):
    """Smoothed cross entropy plus divergence, with the engine's own functions."""
    model = fill(fixture.build())

    def loss(output):
        logits, joints = output
        y = replay.labels(logits)
        smoothed = F.cross_entropy(logits, y, label_smoothing=0.1)
        compare(smoothed, fixture.values["train_loss_smoothed"])
        compare(divergence(joints), fixture.values["train_divergence"])
        return smoothed + divergence(joints)

    logits, joints = step(model, *fixture.main(), loss=loss)
    full = F.cross_entropy(logits, replay.labels(logits), label_smoothing=0.1) + divergence(joints)
    compare(full, fixture.values["train_loss_full"])
    replay.check_gradients(model, fixture, **FLOAT32, group="grad_norm_full/")


def test_graph_variant_in_float64(fixture):
    """Every hyper-graph at full weight. The published float32 distances limit what the fixture itself can promise."""
    model = as_graph_variant(fill(fixture.build())).double()
    x = fixture.main()[0].double()
    with torch.no_grad():
        compare(model.eval()(x)[0], fixture.values["graph/eval_logits"], 1e-4)
    y = step(model, x)[0]
    compare(y, fixture.values["graph/train_logits"], 1e-4)
    replay.check_gradients(model, fixture, **GRAPH64, group="graph/grad_norm/")


def test_graph_variant_in_float32(fixture):
    model, tolerance = as_graph_variant(fill(fixture.build())), fixture.facts["tolerance"]
    x = fixture.main()[0]
    with torch.no_grad():
        compare(model.eval()(x)[0], fixture.values["graph/eval_logits"], tolerance["graph/eval_logits"])
    compare(step(model, x)[0], fixture.values["graph/train_logits"], tolerance["graph/train_logits"])


def within(model, name: str, given: dict) -> torch.Tensor | None:
    """What the halves of a fused unit compute, which calls no modules for it."""
    unit_name, _, half = name.partition(".")
    if half != "gcn1" or unit_name not in given:
        return None
    unit, x = model.get_submodule(unit_name), given[unit_name].contiguous()
    links = model_part("hypergcn_fused.links")([unit])[0]
    return model_part("hypergcn_fused_graph.folded_graph_unit")(unit.gcn1, x, unit.gcn1.down(x), links)


def test_stages(fixture):
    compared = replay.check_stages(fixture, within, lambda model: setattr(model, "merge_empty_bodies", False))
    assert compared >= 30


def test_initialisation(fixture):
    replay.check_init(fixture, sigmas=8)
    joints = fixture.build().l1.gcn1.hyper_joint
    assert torch.equal(joints[0], joints[1]) and joints.std() > 0.5


# --- the hyper-graph -----------------------------------------------------------------------------------------------


def model_part(name: str):
    return registry.load("Hyper-GCN", f"model.{name}")


def plain(name: str):
    return registry.load("Hyper-GCN", f"model.hypergcn.{name}")


def test_relations_and_their_way_back():
    """As the plain form with autograd has them, also where two vertices lie in one place."""
    torch.manual_seed(0)
    layer = plain("HyperGraphConv")(64, 8, 3, torch.rand(8, 14, 14)).double()
    layer.alpha.data.fill_(0.7)
    for conv in (layer.to_V, layer.to_W[0], layer.to_W[2]):
        torch.nn.init.normal_(conv.weight)
        torch.nn.init.normal_(conv.bias)
    x = torch.randn(2, 64, 5, 11, dtype=torch.float64, requires_grad=True)
    x.data[..., 10] = x.data[..., 9]
    P = torch.rand(8, 11, 14, dtype=torch.float64, requires_grad=True)
    H, W = layer.incidence(x.mean(2))
    expected = P + layer.alpha.relu() * plain("hypergraph")(H, W, 11)
    weight = torch.randn_like(expected)
    weights = model_part("hypergcn_fused_graph.relation_weights")(layer, (layer.alpha, P))
    gradients = torch.autograd.grad((expected * weight).sum(), [x, layer.hyper_joint, *weights])
    with torch.no_grad():
        means = model_part("hypergcn_fused_relations.means")(x, layer.hyper_joint)
        kept = model_part("hypergcn_fused_relations.relate")(means, weights)
        ds, dweights = model_part("hypergcn_fused_relations.relate_backward")(weight, kept, weights)
    torch.testing.assert_close(kept.R, expected)
    ours = [ds[..., :11].transpose(0, 1)[:, :, None].expand_as(x) / 5, ds[..., 11:].sum(1).t(), *dweights]
    for name, found, gradient in zip(("x", "joints", *weights._fields), ours, gradients):
        torch.testing.assert_close(found, gradient, msg=name)


def test_hyperedges_and_hypergraph_by_hand():
    """Slow loops over heads and rows, as section 3.1 of the model's description has them."""
    rng = np.random.RandomState(0)
    D = np.abs(rng.standard_normal((1, 2, 12, 12)))
    W = rng.uniform(-1, 1, (1, 2, 12))
    H = np.zeros_like(D)
    for k in range(2):
        for i in range(12):
            nearest = np.argsort(D[0, k, i])[:9]
            weights = np.exp(-D[0, k, i, nearest])
            H[0, k, i, nearest] = weights / weights.sum()
    np.testing.assert_allclose(plain("hyperedges")(torch.tensor(D)), H, atol=1e-12)
    for k in range(2):
        h, w = H[0, k], np.diag(W[0, k])
        r = 1 / (np.abs(h @ w).sum(1) + 1e-8)
        G = np.diag(r) @ h @ w @ w @ np.diag(1 / (h.sum(0) + 1e-8)) @ h.T
        actual = plain("hypergraph")(torch.tensor(H), torch.tensor(W), 10)
        np.testing.assert_allclose(actual[0, k], G[:10], atol=1e-12)


@pytest.mark.parametrize(("module", "V", "ones"), [("ntu_rgb_d", 25, 226), ("ucla", 20, 181)])
def test_virtual_graph(module, V, ones):
    build_graph = registry.load("Hyper-GCN", f"graph.{module}.Graph")
    graph = build_graph(hyper_joints=3, labeling_mode="virtual_ensemble")
    assert graph.A.shape == (8, V + 3, V + 3) and graph.A[0].sum() == V + 2 * (V - 1) + 3 + 6 * V == ones
    assert np.array_equal(graph.A[0], graph.A[0].T) and np.array_equal(graph.A[7], graph.A[0])
    with pytest.raises(ValueError, match="labeling_mode 'virtual_spatial' is not known"):
        build_graph(hyper_joints=3, labeling_mode="virtual_spatial")


# --- plain and fused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("size", "h", "frames"), [("base", 3, 16), ("large", 3, 7), ("base", 0, 7), ("base", 3, 1)])
def test_every_gradient_and_buffer_equals_the_plain_form(size, h, frames, training):
    network, fused = forms(size, hyper_joints=h)
    torch.manual_seed(0)
    replay.check_forms(network, fused, torch.randn(3, 3, frames, 25, 2), training=training)


def forms(size: str, **kwargs):
    """Both forms with the same filled weights, all but one block with a hyper-graph."""
    network = as_graph_variant(fill(build(size, fused=False, num_class=5, **kwargs)))
    network.l2.gcn1.alpha.data.fill_(-0.5)
    network.l5.gcn1.alpha.data.fill_(0.0)
    fused = build(size, num_class=5, **kwargs)
    fused.load_state_dict(network.state_dict())
    return network, fused


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
def test_empty_bodies_run_as_one(checkpointing):
    network, fused = forms("base")
    fused.activation_checkpointing = checkpointing
    torch.manual_seed(0)
    x = torch.randn(4, 3, 16, 25, 2)
    x[:3, ..., 1] = 0
    replay.check_forms(network, fused, x)
    torch.testing.assert_close(fused.eval()(x.double())[0], network.eval()(x.double())[0])


@pytest.mark.parametrize("size", ["base", "large"])
def test_a_network_changes_its_form_and_back(size):
    replay.check_change_of_form(lambda fused: build(size, fused=fused), torch.randn(2, 3, 8, 25, 2))


@pytest.mark.parametrize("size", ["base", "large"])
def test_plain_form_exports_and_needs_autograd_alone(size):
    network = as_graph_variant(fill(build(size, fused=False)))
    x = torch.randn(2, 3, 16, 25, 2)
    replay.check_export(network, (x,), (torch.randn(5, 3, 33, 25, 2),), [{0: replay.BATCH, 2: replay.FRAMES}])
    replay.check_autograd_alone(network, x)


@pytest.mark.parametrize("stride", [1, 2])
def test_own_backward_passes(stride):
    """Of both units, with a projection on the way around the first and bodies that stand for several."""
    torch.manual_seed(0)
    unit = plain("Unit")(32, 16, stride, 2, torch.rand(8, 10, 10)).double()
    for p in unit.parameters():
        torch.nn.init.normal_(p)
    x, P = torch.randn(2, 32, 5, 8, dtype=torch.float64), torch.rand(8, 8, 10, dtype=torch.float64)
    residual = torch.randn(2, 16, -(-5 // stride), 8, dtype=torch.float64)
    bodies, alpha = torch.tensor([1.0, 3.0]), torch.rand(1, dtype=torch.float64)
    graph_unit = model_part("hypergcn_fused_graph.graph_unit")
    temporal_unit = model_part("hypergcn_fused_temporal.temporal_unit")
    a = torch.randn(2, 16, 5, 8, dtype=torch.float64)
    inputs = [t.requires_grad_() for t in (x, a, residual, P)]
    assert gradcheck(lambda x, a, residual, P: graph_unit(unit.gcn1, x, a, bodies, (alpha, P)), inputs, fast_mode=True)
    assert gradcheck(lambda a, residual: temporal_unit(unit.tcn1, a, residual, bodies), inputs[1:3], fast_mode=True)


# --- use -----------------------------------------------------------------------------------------------------------


def test_checkpointing_recomputes_the_same_bits():
    torch.manual_seed(0)
    kept = build(num_class=5)
    recomputed = copy.deepcopy(kept)
    recomputed.activation_checkpointing = True
    x = torch.randn(2, 3, 16, 25, 2)
    assert torch.equal(step(kept, x)[0], step(recomputed, x)[0])
    for (name, a), b in zip(kept.named_parameters(), recomputed.parameters()):
        assert not a.requires_grad or torch.equal(a.grad, b.grad), name


def test_ucla_and_wrong_input():
    model = build(num_class=10, num_point=20, num_person=1, graph="graph.ucla.Graph")
    logits, joints = model(torch.randn(2, 3, 8, 20, 1))
    assert logits.shape == (2, 10) and [len(j) for j in joints] == [3] * 9
    with pytest.raises(ValueError, match="3 channels, 25 joints, 2 people; this network was built for 3, 20, 1"):
        model(torch.randn(2, 3, 8, 25, 2))
    with pytest.raises(ValueError, match=r"num_point is 25, but graph\.ucla\.Graph has 20"):
        build(graph="graph.ucla.Graph")
    with pytest.raises(ValueError, match="needs graph="):
        build(graph=None)
    for mode in ("spatial", "spatial_ensemble"):
        with pytest.raises(ValueError, match="labeling_mode: virtual_ensemble"):
            build(graph_args={"labeling_mode": mode})
    with pytest.raises(ValueError, match="hyper_joints must be 0 or more, not -1"):
        build(hyper_joints=-1)
    build(graph_args={"labeling_mode": "spatial_ensemble"}, hyper_joints=0)


def test_divergence_without_virtual_joints():
    """The published cross-set motion files have none: the loss must stay finite."""
    model = build(hyper_joints=0)
    logits, joints = model(torch.randn(2, 3, 8, 25, 2))
    assert divergence(joints) == 0 and logits.isfinite().all()


def test_bfloat16_autocast():
    torch.manual_seed(0)
    model, x = as_graph_variant(fill(build(num_class=5))), torch.randn(4, 3, 16, 25, 2)
    with torch.autocast("cpu", torch.bfloat16):
        F.cross_entropy(model.train()(x)[0].float(), torch.arange(4)).backward()
    grads = [p.grad for p in model.parameters() if p.requires_grad]
    assert all(g.dtype == torch.float32 and g.isfinite().all() for g in grads)


@pytest.mark.parametrize(("size", "flops", "kept", "recomputed"), [
    ("base", 3_147_000_000, 110e6, 30e6), ("large", 5_612_222_464, 135e6, 35e6),
])  # fmt: skip
def test_costs_less_than_published(size, flops, kept, recomputed):
    torch.manual_seed(0)
    model, x, y = build(size), torch.randn(2, 3, 64, 25, 2), torch.arange(2)
    plain = counting.measure(model, x, y)
    assert plain.flops_forward <= flops and plain.saved_bytes <= kept
    model.activation_checkpointing = True
    checkpointed = counting.measure(model, x, y)
    assert checkpointed.saved_bytes <= recomputed and counting.fits(memory_on_cuda(model, 64, x), 64)


def test_of_equally_near_vertices_the_first_count():
    """``topk`` takes others, and others again on another device."""
    with registry.room("Hyper-GCN"):
        from model.hypergcn import neighbours
    nearest, place = neighbours(torch.zeros(2, 27, 27))
    assert not nearest.any() and torch.equal(place, torch.arange(9).expand(2, 27, 9))
