"""MS-G3D: the published fixture on both forms, the fused form against the plain one, and what the network costs."""

from __future__ import annotations

import contextlib
import copy
import math

import numpy as np
import pytest
import replay
import torch
import torch.nn.functional as F
from on_cuda import memory_on_cuda
from parity.protocol import fill
from replay import BATCH, Fixture, step
from torch.autograd import gradcheck

from skeleton_lab import registry
from skeleton_lab.cost.counting import fits, measure
from skeleton_lab.engine.memory import as_device
from skeleton_lab.nn import fuse, unfuse
from skeleton_lab.nn.fused import graph_conv

KINETICS = {
    "num_class": 7, "num_point": 18, "num_gcn_scales": 8, "num_g3d_scales": 8, "graph": "graph.kinetics.AdjMatrixGraph",
}  # fmt: skip


def build(**kwargs):
    """The network with NTU's arguments, 5 classes and fused, unless told otherwise."""
    arguments = {
        "num_class": 5, "num_point": 25, "num_person": 2, "num_gcn_scales": 13, "num_g3d_scales": 6,
        "graph": "graph.ntu_rgb_d.AdjMatrixGraph",
    }  # fmt: skip
    return replay.build("MS-G3D", "model.msg3d.Model", **{**arguments, **kwargs})


def load(name: str):
    with registry.room("MS-G3D"):
        return registry.load("MS-G3D", f"model.{name}")


def fused_copy(network):
    with registry.room("MS-G3D"):
        return fuse(copy.deepcopy(network))


@pytest.fixture(scope="module", params=["plain", "fused"])
def fixture(request):
    return Fixture("MS-G3D", "msg3d", fused=request.param == "fused")


@pytest.fixture(scope="module")
def fused_fixture():
    return Fixture("MS-G3D", "msg3d")


@contextlib.contextmanager
def on_cuda():
    """The code for CUDA, on the CPU."""
    with as_device.AsCuda(torch.device("cpu")), as_device.StandIns():
        yield


def switches(merge: bool = False, checkpointing: bool = False):
    def prepare(model):
        model.merge_empty_bodies, model.activation_checkpointing = merge, checkpointing

    return prepare


# --- the published numbers ---------------------------------------------------------------------------------------


def test_names_shapes_and_order(fixture):
    replay.check_names(fixture)


def test_graphs(fixture):
    model = fixture.build()
    for name, A in fixture.group("A/").items():
        unit = name.rpartition(".")[0]
        matrix = model.get_submodule(unit).A_scales if unit else model.graph.A_binary
        np.testing.assert_allclose(matrix, A, atol=fixture.facts["tolerance"]["A"])


def test_eval_logits(fixture):
    replay.check_eval(fixture)


def test_eval_logits_without_merging(fused_fixture):
    replay.check_eval(fused_fixture, switches())


def test_training_step(fixture):
    replay.check_step(fixture)


@pytest.mark.parametrize(
    ("merge", "checkpointing"), [(True, True), (False, False), (False, True)],
    ids=["merged-recomputed", "unmerged-kept", "unmerged-recomputed"],
)  # fmt: skip
def test_training_step_with_switches(fused_fixture, merge, checkpointing):
    replay.check_step(fused_fixture, switches(merge, checkpointing))


def test_stages(fixture):
    compared = replay.check_stages(fixture, inner_stage, switches())
    without = {"gcn3d2.gcn3d.0.gcn3d.0"} if fixture.fused else set()  # the unfolded windows, which are never made
    assert compared == 2 * len(fixture.facts["stage_shapes"].keys() - without)


def inner_stage(model, name: str, given: dict[str, torch.Tensor]) -> torch.Tensor | None:
    """Output of a module that the fused network runs merged with its neighbours."""
    unit, _, index = name.rpartition(".")
    if "gcn3d" not in name:
        return model.get_submodule(name)(given[unit.rpartition(".")[0]])  # a temporal branch
    if index == "0":
        return None
    window = model.get_submodule(unit.rpartition(".")[0])
    h, project = window.aggregate(given[unit.rpartition(".")[0]])
    gamma, beta, mean, var = window.norm(h, project, None)
    h = (h if project is None else h @ project).permute(0, 3, 1, 2)
    h = h.unflatten(3, (-1, window.gcn3d[0].window)).transpose(3, 4).flatten(3)
    return F.batch_norm(h, mean, var, gamma, beta).relu()


def test_initialisation(fixture):
    replay.check_init(fixture)
    model = build(fused=fixture.fused)
    masks = {name: p for name, p in model.named_parameters() if name.endswith("A_res")}
    assert masks.keys() == fixture.facts["init_law"].keys()
    for name, mask in masks.items():
        assert mask.abs().max() <= 1e-6 and mask.std().item() == pytest.approx(1e-6 / math.sqrt(3), rel=0.1), name


# --- the two forms -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[{}, KINETICS, {"in_channels": 2}], ids=["ntu", "kinetics", "two channels"])
def pair(request):
    """The plain and the fused network with the same, filled weights in float64."""
    return tuple(fill(build(fused=fused, **request.param)).double() for fused in (False, True))


@pytest.mark.parametrize(
    ("frames", "empty", "checkpointing"), [(1, 2, False), (7, 2, True), (12, 2, False), (12, 0, True)],
    ids=["one frame", "7 frames, recomputed", "12 frames", "no empty body, recomputed"],
)  # fmt: skip
def test_training_step_of_both_forms(pair, frames, empty, checkpointing):
    plain, fused = (copy.deepcopy(model) for model in pair)
    fused.activation_checkpointing = checkpointing
    torch.manual_seed(0)
    x = torch.randn(3, plain.in_channels, frames, plain.graph.num_nodes, 2, dtype=torch.float64)
    x[:empty, ..., 1] = 0  # run as one
    assert replay.check_forms(plain, fused, x) < 1e-9
    expected = plain.eval()(x)
    torch.testing.assert_close(fused.eval()(x), expected)
    with torch.no_grad():  # norms folded
        torch.testing.assert_close(fused(x), expected.detach())


@pytest.mark.parametrize("empty", [0, 2])
def test_eval_gradients_of_both_forms(pair, empty):
    """Biases before a norm have one there."""
    plain, fused = (copy.deepcopy(model).eval() for model in pair)
    torch.manual_seed(0)
    x = torch.randn(3, plain.in_channels, 7, plain.graph.num_nodes, 2, dtype=torch.float64)
    x[:empty, ..., 1] = 0
    for model in (plain, fused):
        F.cross_entropy(model(x), torch.tensor([0, 3, 1])).backward()
    for (name, a), b in zip(fused.named_parameters(), plain.parameters()):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-6, atol=1e-8 * max(1.0, b.grad.abs().max()), msg=name)


def window_units(inner: int, stride: int):
    """Units over windows of three frames and of five, of two scales of three joints, plain and fused."""
    torch.manual_seed(0)
    for window in (3, 5):
        plain = fill(load("msg3d.MSG3D")(4, inner, 2, torch.rand(2 * window * 3, window * 3), window, stride)).double()
        yield plain, fused_copy(plain)


def short_clips():
    return (torch.randn(2, 4, T, 3, dtype=torch.float64, requires_grad=True) for T in (1, 2, 3, 4, 8))


@pytest.mark.usefixtures("slicing")
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("inner", [2, 5], ids=["project first", "aggregate first"])
def test_window_of_any_length_and_stride(inner, stride):
    for plain, fused in window_units(inner, stride):
        for x in short_clips():
            y, expected = fused(x), plain(x)
            torch.testing.assert_close(y, expected)
            direction = torch.randn_like(y)
            gradients = [
                torch.autograd.grad(out, [x, *model.parameters()], direction)
                for out, model in ((y, fused), (expected, plain))
            ]
            torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-8)
        for (name, value), expected in zip(fused.named_buffers(), plain.buffers()):
            torch.testing.assert_close(value, expected, msg=name)


@pytest.mark.parametrize("slice_values", [1, 2**25], ids=["one body at a time", "all bodies at once"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("inner", [2, 5], ids=["project first", "aggregate first"])
def test_window_of_any_length_and_stride_on_a_gpu(monkeypatch, inner, stride, slice_values):
    """The second body stands for two."""
    monkeypatch.setitem(graph_conv.SLICE_VALUES, "cuda", slice_values)
    for plain, fused in window_units(inner, stride):
        for x in short_clips():
            expected = plain(x[[0, 1, 1]])
            direction = torch.randn_like(expected)
            (expected * direction).sum().backward()
            dx, x.grad = x.grad, None
            with on_cuda():
                y = fused(x, torch.tensor([1.0, 2.0]))[[0, 1, 1]]
                as_device.backward((y * direction).sum())
            torch.testing.assert_close(y, expected)
            torch.testing.assert_close(x.grad, dx, rtol=1e-6, atol=1e-8)
            for (name, p), q in zip(fused.named_parameters(), plain.parameters()):
                if p.grad is None:  # the network gives those of the biases
                    assert name.endswith("bias") and q.grad.abs().max() < 1e-8 * (1 + direction.abs().max()), name
                else:
                    torch.testing.assert_close(p.grad, q.grad, rtol=1e-6, atol=1e-8, msg=name)
            plain.zero_grad()
            fused.zero_grad()
        for (name, value), expected in zip(fused.named_buffers(), plain.buffers()):
            torch.testing.assert_close(value, expected, msg=name)


def test_gpu_keeps_as_little_as_the_cpu(fused_fixture):
    """And its highest moment is little higher; what is made of the weights once for a step does not grow with it."""
    torch.manual_seed(0)
    network, prepared = fused_fixture.build(), 3.3e6
    x, y = torch.randn(2, 3, 64, 25, 2), torch.arange(2)
    here = measure(network, x, y)
    with on_cuda():
        there = measure(network, x, y)
    assert len(x) * there.saved_bytes <= len(x) * here.saved_bytes + prepared
    assert len(x) * there.peak_bytes <= 1.1 * len(x) * here.peak_bytes + prepared


def test_unfused_network_is_the_plain_one():
    torch.manual_seed(0)
    plain, x = fill(build(fused=False)).eval(), torch.randn(2, 3, 9, 25, 2)
    x[0, ..., 1] = 0
    network = unfuse(fused_copy(plain))
    assert [type(module) for module in network.modules()] == [type(module) for module in plain.modules()]
    state = network.state_dict()
    assert list(state) == list(plain.state_dict())
    assert all(torch.equal(value, state[name]) for name, value in plain.state_dict().items())
    assert torch.equal(network(x), plain(x))


def test_plain_form_is_autograd_alone():
    replay.check_autograd_alone(build(fused=False), torch.randn(2, 3, 8, 25, 2))


@pytest.mark.skipif(not hasattr(torch.export.Dim, "DYNAMIC"), reason="older versions of torch know named sizes alone")
def test_plain_form_exports_for_any_batch_and_length():
    plain = fill(build(fused=False))
    torch.manual_seed(0)
    inputs, other = torch.randn(2, 3, 16, 25, 2), torch.randn(3, 3, 21, 25, 2)
    # not a named size: torch cannot prove of all lengths what it asks about the windows' strides
    frames = torch.export.Dim.DYNAMIC(min=8, max=4096)
    replay.check_export(plain, (inputs,), (other,), [{0: BATCH, 2: frames}])


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


# --- hand-written backwards --------------------------------------------------------------------------------------


def tensor(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.fixture(params=["one body at a time", "all bodies at once"])
def slicing(request, monkeypatch):
    """As on a CPU, and as on a GPU."""
    if request.param == "all bodies at once":
        module = load("msg3d_fused_windows.by_body").__globals__
        monkeypatch.setitem(module, "by_body", lambda x, values: [slice(0, len(x))])
        monkeypatch.setitem(module, "sums_in_place", lambda device: False)


@pytest.mark.usefixtures("slicing")
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("window", [3, 5])
@pytest.mark.parametrize("frames", [1, 5])
def test_backward_of_the_windows(stride, window, frames):
    torch.manual_seed(0)
    aggregate = load("msg3d_fused_windows.WindowAggregate").apply
    x, P = tensor(2, 2, 2, frames), tensor(3, 2, 2)  # two joints, two scales
    assert gradcheck(lambda x, A, P: aggregate(x, A, P, window, stride), (x, tensor(4, window * 4), P))


@pytest.mark.parametrize("batch", [True, False], ids=["batch's moments", "constant moments"])
@pytest.mark.parametrize("projected", [True, False])
def test_backward_of_norm_and_collapse(projected, batch):
    torch.manual_seed(0)
    collapse, moments = load("msg3d_fused_windows.NormReLUCollapse").apply, load("msg3d_fused_windows.moments")
    h, project = tensor(2, 3, 6, 4), tensor(4, 3) if projected else None
    E = 3 if projected else 4
    constant = torch.randn(E, dtype=torch.float64), torch.rand(E, dtype=torch.float64) + 0.5

    def collapsed(h, gamma, beta, O, project=None):  # noqa: E741
        mean, var = moments(h.detach(), None if project is None else project.detach(), None)[:2] if batch else constant
        return collapse(h, project, gamma, beta, mean, var, None, 1e-5, batch, O)

    inputs = [h, tensor(E), tensor(E), tensor(3, E, 2), *([project] if projected else [])]
    assert gradcheck(collapsed, inputs)


@pytest.mark.parametrize("projected", [True, False])
def test_norm_and_collapse_of_bodies_that_count_several_times(projected):
    """Against bodies that are there several times, losses summed over all of them."""
    torch.manual_seed(0)
    collapse, moments = load("msg3d_fused_windows.NormReLUCollapse").apply, load("msg3d_fused_windows.moments")
    h, project = tensor(3, 2, 6, 4), tensor(4, 3) if projected else None
    E = 3 if projected else 4
    gamma, beta, O = tensor(E), tensor(E), tensor(3, E, 2)  # noqa: E741
    copies = torch.tensor([1, 3, 2])
    target = torch.randn(6, 3, 2, 3, dtype=torch.float64)
    gradients = []
    for bodies, h_all in ((copies.float(), h), (None, h.repeat_interleave(copies, 0))):
        mean, var, n = moments(h_all, project, bodies)
        assert n == 6 * 6 * 2
        y = collapse(h_all, project, gamma, beta, mean, var, bodies, 1e-5, True, O)
        y = y if bodies is None else y.repeat_interleave(copies, 0)
        inputs = [h, gamma, beta, O, *([project] if projected else [])]
        gradients.append(torch.autograd.grad((y * target).sum(), inputs))
    torch.testing.assert_close(*gradients)


# --- cost --------------------------------------------------------------------------------------------------------


def test_costs_less_than_published(fused_fixture):
    torch.manual_seed(0)
    network = fused_fixture.build()
    x, y = torch.randn(2, 3, 64, 25, 2), torch.arange(2)
    published = measure(unfuse(copy.deepcopy(network)), x, y)
    assert published.flops_forward == fused_fixture.facts["flops_per_sample"]
    assert published.saved_bytes == pytest.approx(199.5 * 2**20, rel=1e-3)
    kept = measure(network, x, y)
    assert kept.flops_forward <= 11.9e9 and kept.saved_bytes <= 67e6  # 63.5e6 in larger batches
    assert fits(memory_on_cuda(network, 32, x), 32)
    network.activation_checkpointing = True
    recomputed = measure(network, x, y)
    assert recomputed.saved_bytes <= 7e6 and recomputed.peak_bytes <= 30e6
    assert fits(memory_on_cuda(network, 128, x), 128)
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
