"""ST-GCN, one stream and two: the published fixtures on the plain and on the fused form, the graph, and use."""

from __future__ import annotations

import numpy as np
import pytest
import replay
import torch
import torch.nn.functional as F
from parity.protocol import compare, fill, make_skeleton
from replay import Fixture, step
from stgcn_networks import NTU, as_graph_variant, build, graph, streams

from skeleton_lab import registry
from skeleton_lab.engine.pretrained import load_weights

initialise = registry.load("ST-GCN", "recipe.initialise")
GRADIENTS = {"relative": 5e-3, "floor": 5e-6, "single": 5e-3}


@pytest.fixture(scope="module", params=["plain", "fused"])
def form(request):
    return request.param


@pytest.fixture(scope="module", params=["stgcn", "stgcn_twostream"])
def fixture(request, form):
    return Fixture("ST-GCN", request.param, fused=form == "fused")


@pytest.fixture(scope="module", params=["stgcn", "stgcn_twostream"])
def fused_fixture(request):
    return Fixture("ST-GCN", request.param)


# --- the published numbers ---------------------------------------------------------------------------------------


def test_names_shapes_and_order(fixture):
    replay.check_names(fixture)
    model = fixture.build()
    for name, A in fixture.group("A/").items():
        actual = model.get_buffer(name) if name.endswith("A") and not name.endswith("graph.A") else None
        if actual is None:
            actual = (model.get_submodule(name[: -len(".graph.A")]) if "." in name[:-8] else streams(model)[0]).graph.A
        np.testing.assert_allclose(actual, A, atol=1e-6)


def test_eval_logits(fixture):
    replay.check_eval(fixture)


def test_training_step(fixture):
    replay.check_step(fixture, **GRADIENTS)


def test_eval_logits_unmerged(fused_fixture):
    replay.check_eval(fused_fixture, lambda model: setattr(model, "merge_empty_bodies", False))


def test_training_step_unmerged_and_recomputed(fused_fixture):
    def prepare(model):
        model.merge_empty_bodies, model.activation_checkpointing = False, True

    replay.check_step(fused_fixture, prepare, **GRADIENTS)


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
    def unmerged(model):
        if fixture.fused:  # with it its stages would have fewer bodies
            model.merge_empty_bodies = False

    compared = replay.check_stages(fixture, prepare=unmerged)
    assert compared >= 40  # tcn and fcn of the fused form run merged with their neighbours and are not seen


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


# --- use -----------------------------------------------------------------------------------------------------------


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
