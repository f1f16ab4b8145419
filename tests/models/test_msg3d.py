"""MS-G3D: the published fixture, the plain transcription in ``reference`` as oracle, and what the network costs."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import replay
import torch
import torch.nn.functional as F
from parity.protocol import compare, fill
from reference import msg3d as plain
from replay import Fixture, check_buffers, step

from skeleton_lab import registry
from skeleton_lab.cost.counting import fits, measure

KINETICS = {
    "num_class": 7, "num_point": 18, "num_gcn_scales": 8, "num_g3d_scales": 8, "graph": "graph.kinetics.AdjMatrixGraph",
}  # fmt: skip


def build(**kwargs):
    """The network with NTU's arguments, 5 classes, unless told otherwise."""
    arguments = {
        "num_class": 5, "num_point": 25, "num_person": 2, "num_gcn_scales": 13, "num_g3d_scales": 6,
        "graph": "graph.ntu_rgb_d.AdjMatrixGraph",
    }  # fmt: skip
    return replay.build("MS-G3D", "model.msg3d.Model", **{**arguments, **kwargs})


@pytest.fixture(scope="module")
def fixture():
    return Fixture("MS-G3D", "msg3d")


# --- the published numbers ---------------------------------------------------------------------------------------


def test_names_shapes_and_order(fixture):
    replay.check_names(fixture)


def test_graphs(fixture):
    model = fixture.build()
    for name, A in fixture.group("A/").items():
        unit = name.rpartition(".")[0]
        matrix = model.get_submodule(unit).A_scales if unit else model.graph.A_binary
        np.testing.assert_allclose(matrix, A, atol=fixture.facts["tolerance"]["A"])


@pytest.mark.parametrize("merge", [True, False], ids=["merged", "unmerged"])
def test_eval_logits(fixture, merge):
    replay.check_eval(fixture, lambda model: setattr(model, "merge_empty_bodies", merge))


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("merge", [True, False], ids=["merged", "unmerged"])
def test_training_step(fixture, merge, checkpointing):
    def prepare(model):
        model.merge_empty_bodies, model.activation_checkpointing = merge, checkpointing

    replay.check_step(fixture, prepare)


def test_stages(fixture):
    compared = replay.check_stages(fixture, inner_stage, lambda model: setattr(model, "merge_empty_bodies", False))
    without = {"gcn3d2.gcn3d.0.gcn3d.0"}  # the unfolded windows, which this network never makes
    assert compared == 2 * len(fixture.facts["stage_shapes"].keys() - without)


def inner_stage(model, name: str, given: dict[str, torch.Tensor]) -> torch.Tensor | None:
    """Output of a module that the network runs merged with its neighbours."""
    unit, _, index = name.rpartition(".")
    if "gcn3d" not in name:
        return model.get_submodule(name)(given[unit.rpartition(".")[0]])  # a temporal branch
    window = unit.rpartition(".")[0]
    if index == "0":
        return None
    gcn = model.get_submodule(name)
    h, project = gcn.aggregate(given[window], model.get_submodule(window).stride)
    gamma, beta, mean, var = gcn.norm(h, project, None)
    h = (h if project is None else h @ project).permute(0, 3, 2, 1)
    return F.batch_norm(h, mean, var, gamma, beta).relu()


def test_initialisation(fixture):
    replay.check_init(fixture)
    model = build()
    masks = {name: p for name, p in model.named_parameters() if name.endswith("A_res")}
    assert masks.keys() == fixture.facts["init_law"].keys()
    for name, mask in masks.items():
        assert mask.abs().max() <= 1e-6 and mask.std().item() == pytest.approx(1e-6 / math.sqrt(3), rel=0.1), name


# --- the plain transcription -------------------------------------------------------------------------------------


def test_reference_replays_the_fixture(fixture):
    reference = fill(plain.Model(torch.from_numpy(fixture.values["A/A_binary"]).float())).eval()
    assert [name for name, _ in reference.named_parameters()] == list(fixture.facts["parameters"])
    for prefix, _, inputs in fixture.cases():
        with torch.no_grad():
            compare(reference(*inputs), fixture.values[prefix + "eval_logits"])
    step(reference, *fixture.main())
    check_buffers(reference, fixture)


@pytest.fixture(scope="module", params=[{}, KINETICS, {"in_channels": 2}], ids=["ntu", "kinetics", "two channels"])
def pair(request):
    """The network and the reference with the same, filled weights in float64."""
    network = fill(build(**request.param))
    return network.double(), plain.build(network).double()


@pytest.mark.parametrize("frames", [1, 7, 12])
def test_every_gradient_and_buffer_equals_the_reference(pair, frames):
    network, reference = (copy.deepcopy(model) for model in pair)
    torch.manual_seed(0)
    x = torch.randn(3, network.in_channels, frames, network.graph.num_nodes, 2, dtype=torch.float64)
    x[:2, ..., 1] = 0  # two empty second bodies, run as one
    # Empty bodies do not move, so the max pool meets ties there, which rounding breaks: gradients are compared below.
    torch.testing.assert_close(step(network, x), step(reference, x))
    compare_buffers(network, reference)
    torch.testing.assert_close(network.eval()(x), reference.eval()(x))
    network, reference = (copy.deepcopy(model) for model in pair)
    x = torch.randn_like(x[:2])
    step(network, x), step(reference, x)
    compare_gradients(network, reference)


def compare_buffers(network, reference):
    expected = dict(reference.named_buffers())
    for name, value in network.named_buffers():
        if not name.endswith("A_scales"):
            torch.testing.assert_close(value, expected[name], msg=name)


def compare_gradients(network, reference):
    for (name, a), b in zip(network.named_parameters(), reference.parameters()):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-6, atol=1e-8 * max(1.0, b.grad.abs().max()), msg=name)


def test_eval_gradients_equal_the_reference(pair):
    """Biases before a norm have one there."""
    network, reference = (copy.deepcopy(model).eval() for model in pair)
    torch.manual_seed(0)
    x = torch.randn(2, network.in_channels, 7, network.graph.num_nodes, 2, dtype=torch.float64)
    for model in (network, reference):
        F.cross_entropy(model(x), torch.tensor([0, 3])).backward()
    compare_gradients(network, reference)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("inner", [2, 5], ids=["project first", "aggregate first"])
def test_window_of_any_length_and_stride(inner, stride):
    with registry.room("MS-G3D"):
        module = registry.load("MS-G3D", "model.msg3d.MSG3D")
    torch.manual_seed(0)
    A = torch.tensor([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]])  # three joints in a row
    for window in (3, 5):
        reference = fill(plain.Window(4, inner, 2, A, 2, window, stride)).double()
        network = module(4, inner, 2, reference.gcn3d[1].A.float(), window, stride).double()
        network.load_state_dict(reference.state_dict())
        for T in (1, 2, 3, 4, 8):
            x = torch.randn(2, 4, T, 3, dtype=torch.float64, requires_grad=True)
            y, expected = network(x), reference(x)
            torch.testing.assert_close(y, expected)
            direction = torch.randn_like(y)
            gradients = [
                torch.autograd.grad(out, [x, *model.parameters()], direction)
                for out, model in ((y, network), (expected, reference))
            ]
            torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-8)
        compare_buffers(network, reference)


def test_checkpointing_recomputes_the_same_bits():
    torch.manual_seed(0)
    kept = build()
    recomputed = copy.deepcopy(kept)
    recomputed.activation_checkpointing = True
    x = torch.randn(2, 3, 16, 25, 2)
    assert torch.equal(step(kept, x), step(recomputed, x))
    for (name, a), b in zip(kept.named_parameters(), recomputed.parameters()):
        assert torch.equal(a.grad, b.grad), name
    for (name, a), b in zip(kept.named_buffers(), recomputed.buffers()):
        assert torch.equal(a, b), name


# --- cost --------------------------------------------------------------------------------------------------------


def test_costs_less_than_published(fixture):
    torch.manual_seed(0)
    network = fixture.build()
    x, y = torch.randn(2, 3, 64, 25, 2), torch.arange(2)
    published = measure(plain.build(network), x, y)
    assert published.flops_forward == fixture.facts["flops_per_sample"]
    assert published.saved_bytes == pytest.approx(199.5 * 2**20, rel=1e-3)
    kept = measure(network, x, y)
    assert kept.flops_forward <= 11.9e9 and kept.saved_bytes <= 67e6  # 63.5e6 in larger batches
    network.activation_checkpointing = True
    recomputed = measure(network, x, y)
    assert recomputed.saved_bytes <= 7e6 and recomputed.peak_bytes <= 30e6
    assert fits(kept, 32) and fits(recomputed, 128)
    x[..., 1] = 0  # two first bodies and one empty second instead of four
    assert measure(network, x, y).flops_forward <= 0.76 * kept.flops_forward


# --- shapes, modes, arguments ------------------------------------------------------------------------------------


def test_one_person():
    assert build(num_person=1).eval()(torch.randn(2, 3, 9, 25, 1)).shape == (2, 5)


def test_skeletons():
    with registry.room("MS-G3D"):
        for name, joints, bones in (("ntu_rgb_d", 25, 24), ("kinetics", 18, 17)):
            graph = registry.load("MS-G3D", f"graph.{name}.AdjMatrixGraph")("anything", labeling_mode="ignored")
            assert graph.num_nodes == joints and len(graph.edges) == 2 * bones and len(graph.self_loops) == joints
            A = graph.A_binary
            assert A.dtype == np.float32 and A.sum() == 2 * bones and (A == A.T).all() and not A.diagonal().any()
            np.testing.assert_array_equal(graph.A_binary_with_I, A + np.eye(joints))
            reach = np.linalg.matrix_power(A + np.eye(joints), joints)
            assert (reach > 0).all(), "every joint can be reached"


def test_disagreeing_arguments_are_refused():
    with pytest.raises(ValueError, match=r"num_point=18, but graph\.ntu_rgb_d\.AdjMatrixGraph has 25 joints"):
        build(num_point=18)
    with pytest.raises(ValueError, match="num_g3d_scales=0: both must be positive"):
        build(num_g3d_scales=0)


def test_all_bodies_empty():
    model = build()
    assert step(model, torch.zeros(3, 3, 8, 25, 2)).isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_gradient_reaches_the_input_in_eval():
    x = torch.randn(1, 3, 8, 25, 2, requires_grad=True)
    build().eval()(x).sum().backward()
    assert x.grad.abs().sum() > 0


def test_bfloat16_autocast():
    torch.manual_seed(0)
    model, x = fill(build()), torch.randn(4, 3, 16, 25, 2)
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
