"""ST-GCN, one stream and two: the published fixtures, and the plain transcription in ``reference`` as oracle."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import replay
import torch
import torch.nn.functional as F
from parity.protocol import compare, fill, make_skeleton
from reference.stgcn import Model as Reference
from replay import Fixture, step

from skeleton_lab import registry
from skeleton_lab.cost import counting
from skeleton_lab.engine.pretrained import load_weights

with registry.room("ST-GCN"):
    from net.dropout import dropout, packed, unpacked

initialise = registry.load("ST-GCN", "recipe.initialise")
GRADIENTS = {"relative": 5e-3, "floor": 5e-6, "single": 5e-3}
NTU = {"layout": "ntu-rgb+d", "strategy": "spatial"}


def build(name: str = "net.st_gcn.Model", **kwargs):
    usual = {"in_channels": 3, "num_class": 60, "graph_args": NTU, "edge_importance_weighting": True}
    return replay.build("ST-GCN", name, **{**usual, **kwargs})


def graph(**kwargs):
    return replay.build("ST-GCN", "net.utils.graph.Graph", **kwargs)


@pytest.fixture(scope="module", params=["stgcn", "stgcn_twostream"])
def fixture(request):
    return Fixture("ST-GCN", request.param)


def streams(model):
    return [model.origin_stream, model.motion_stream] if hasattr(model, "origin_stream") else [model]


def as_graph_variant(model):
    """The filled network with the published partition instead of a dense random one, importances around 1."""
    for stream in streams(model):
        stream.A.copy_(torch.tensor(stream.graph.A, dtype=torch.float32))
        for importance in stream.edge_importance:
            importance.data += 1
    return model


# --- the published numbers ---------------------------------------------------------------------------------------


def test_names_shapes_and_order(fixture):
    replay.check_names(fixture)
    model = fixture.build()
    for name, A in fixture.group("A/").items():
        actual = model.get_buffer(name) if name.endswith("A") and not name.endswith("graph.A") else None
        if actual is None:
            actual = (model.get_submodule(name[: -len(".graph.A")]) if "." in name[:-8] else streams(model)[0]).graph.A
        np.testing.assert_allclose(actual, A, atol=1e-6)


@pytest.mark.parametrize("merge", [True, False], ids=["merged", "unmerged"])
def test_eval_logits(fixture, merge):
    replay.check_eval(fixture, lambda model: setattr(model, "merge_empty_bodies", merge))


@pytest.mark.parametrize(("merge", "checkpointing"), [(True, False), (False, True)], ids=["merged", "recomputed"])
def test_training_step(fixture, merge, checkpointing):
    def prepare(model):
        model.merge_empty_bodies, model.activation_checkpointing = merge, checkpointing

    replay.check_step(fixture, prepare, **GRADIENTS)


def test_graph_variant(fixture):
    model = as_graph_variant(fill(fixture.build()))
    x = fixture.main()[0]
    with torch.no_grad():
        compare(model.eval()(x), fixture.values["graph/eval_logits"])
    y = step(model, x)
    compare(y, fixture.values["graph/train_logits"])
    compare(F.cross_entropy(y, replay.labels(y)), fixture.values["graph/train_loss"])
    replay.check_gradients(model, fixture, **GRADIENTS, group="graph/grad_norm/")


def test_stages(fixture):
    compared = replay.check_stages(fixture, prepare=lambda model: setattr(model, "merge_empty_bodies", False))
    assert compared >= 40  # tcn and fcn run merged with their neighbours and are not seen


@pytest.mark.parametrize("variant", ["calibrated/", "graph/calibrated/"])
def test_running_statistics_that_fit(fixture, variant):
    """Eval with statistics that equal those of the input: of all eval cases the one that proves most."""
    model = fill(fixture.build())
    if variant.startswith("graph"):
        as_graph_variant(model)
    for name, value in fixture.group(variant + "buffer/").items():
        model.get_buffer(name).copy_(torch.from_numpy(value))
    x = fixture.main()[0]
    other = make_skeleton(4, 64, 25, 2, seed=1)
    with torch.no_grad():
        compare(model.eval()(x), fixture.values[variant + "eval_logits"])
        compare(model(other), fixture.values[variant + "other_eval_logits"])
        if variant + "extract_feature/output_mean" not in fixture.values:
            return
        expected = fixture.group(variant + "extract_feature/")
        for name, t in zip(("output", "feature"), model.extract_feature(x)):
            assert list(t.shape) == expected[f"{name}_shape"].tolist()
            compare(t.mean((2, 3, 4)), expected[f"{name}_mean"])
            compare(t[0, :8, :4], expected[f"{name}_sample"])


def test_initialisation(fixture):
    """Torch's own in the class, the recognition program's after it."""
    replay.check_init(fixture, sigmas=8)
    torch.manual_seed(1)
    model = fixture.build()
    initialise(model)
    replay.check_init(fixture, sigmas=8, group="init_recognition/", model=model)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_released_files(tmp_path, prefix):
    """Plain ordered dictionaries without the batch counts that later versions of torch write."""
    source = fill(build())
    state = {prefix + k: v for k, v in source.state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "st_gcn.ntu-xsub.pt")
    model = build()
    load_weights(model, tmp_path / "st_gcn.ntu-xsub.pt", strict=True)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), source.parameters()))
    assert torch.equal(model.A, source.A)


# --- the graph -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "counts"),
    [("ntu-rgb+d", [25, 40, 8]), ("openpose", [18, 25, 9]), ("ntu_edge", [24, 41, 5])],
)
def test_spatial_partition(layout, counts):
    A = graph(layout=layout, strategy="spatial").A
    assert (A > 0).sum((1, 2)).tolist() == counts
    np.testing.assert_allclose(A.sum((0, 1)), 1)  # every column of the whole
    if layout == "openpose":
        nearer = {(0, 14), (0, 15), (1, 0), (1, 2), (1, 5), (2, 3), (2, 8), (5, 6), (5, 11)}
        assert set(zip(*map(list, np.nonzero(A[2])))) == nearer


@pytest.mark.parametrize(
    ("arguments", "sums"),
    [
        ({"strategy": "uniform"}, [25]),
        ({"strategy": "distance"}, [8.95, 16.05]),
        ({"strategy": "spatial"}, [8.95, 13.3, 2.75]),
        ({"strategy": "distance", "max_hop": 2}, [5.4313, 9.5611, 10.0075]),
        ({"strategy": "spatial", "max_hop": 2}, [5.4313, 7.3742, 2.1869, 7.598, 2.4095]),
        ({"strategy": "spatial", "max_hop": 2, "dilation": 2}, [8.9333, 12.15, 3.9167]),
    ],
)
def test_sums_of_the_subsets(arguments, sums):
    np.testing.assert_allclose(graph(layout="ntu-rgb+d", **arguments).A.sum((1, 2)), sums, atol=1e-4)


def test_graph_says_what_it_is_and_what_it_does_not_know():
    assert str(graph(**NTU)) == "ntu-rgb+d graph of 25 joints, spatial partition, 3 subsets"
    with pytest.raises(ValueError, match=r"layout 'ntu_egde' is not one of .* Did you mean 'ntu_edge'"):
        graph(layout="ntu_egde")
    with pytest.raises(ValueError, match="strategy 'spatal'"):
        graph(strategy="spatal")


# --- the plain transcription -------------------------------------------------------------------------------------


def test_reference_replays_the_fixture():
    fixture = Fixture("ST-GCN", "stgcn")
    reference = fill(Reference(torch.from_numpy(fixture.values["A/A"]).float()))
    assert [name for name, _ in reference.named_parameters()] == list(fixture.facts["parameters"])
    compare(step(reference, *fixture.main()), fixture.values["train_logits"])


@pytest.mark.parametrize("frames", [1, 7, 16])
def test_every_gradient_and_buffer_equals_the_reference(frames):
    network = as_graph_variant(fill(build(num_class=5))).double()
    reference = Reference(network.A, num_class=5).double()
    reference.load_state_dict(network.state_dict())
    torch.manual_seed(0)
    x = torch.randn(4, 3, frames, 25, 2, dtype=torch.float64)
    x[:3, ..., 1] = 0  # three empty second bodies, run as one
    torch.testing.assert_close(step(network, x), step(reference, x))
    for (name, a), b in zip(network.named_parameters(), reference.parameters()):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-6, atol=1e-8, msg=name)
    for (name, a), b in zip(network.named_buffers(), reference.buffers()):
        torch.testing.assert_close(a, b, msg=name)
    torch.testing.assert_close(network.eval()(x), reference.eval()(x))


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


# --- use -----------------------------------------------------------------------------------------------------------


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


def test_dropout_drops_its_share():
    torch.manual_seed(0)
    share = (dropout(torch.ones(1000, 1000), 0.3, training=True) == 0).double().mean().item()
    assert share == pytest.approx(0.3, abs=0.003)  # 6 standard deviations


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


def test_without_importances_and_with_kinetics():
    model = build(edge_importance_weighting=False)
    assert not any("importance" in key for key in model.state_dict())
    assert sum(p.numel() for p in model.parameters()) == 3_080_082
    kinetics = build(num_class=400, graph_args={"layout": "openpose", "strategy": "spatial"})
    assert sum(p.numel() for p in kinetics.parameters()) == 3_177_140
    assert kinetics(torch.randn(1, 3, 8, 18, 2)).shape == (1, 400)


def test_motion_of_short_clips():
    motion = registry.load("ST-GCN", "net.st_gcn_twostream.motion")
    x = torch.randn(2, 3, 5, 25, 2)
    m = motion(x)
    assert not m[:, :, 0].any() and not m[:, :, -1].any()
    torch.testing.assert_close(m[:, :, 2], x[:, :, 2] - (x[:, :, 1] + x[:, :, 3]) / 2)
    assert motion(x[:, :, :2]).shape == (2, 3, 2, 25, 2) and not motion(x[:, :, :1]).any()


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
    assert recomputed.peak_bytes <= 15e6 and counting.fits(recomputed, 64)
