"""ST-GCN, one stream and two: the published fixtures on the plain and on the fused form, and the forms side by side."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import replay
import torch
import torch.nn.functional as F
from on_cuda import memory_on_cuda
from parity.protocol import compare, fill, make_skeleton
from replay import Fixture, step
from torch.autograd import gradcheck

from skeleton_lab import registry
from skeleton_lab.cost import counting
from skeleton_lab.engine.memory import as_device
from skeleton_lab.engine.pretrained import load_weights
from skeleton_lab.nn.fused import graph_conv
from skeleton_lab.nn.fused.batch_norm import batch_statistics
from skeleton_lab.nn.fused.merge_empty import Bodies
from skeleton_lab.nn.fused.temporal_conv import setting

with registry.room("ST-GCN"):
    from net.st_gcn_fused import Dropout, NormReLUConv, dropout, packed, unpacked
    from net.st_gcn_gpu import Block, BlockSetting, drop_and_add

initialise = registry.load("ST-GCN", "recipe.initialise")
GRADIENTS = {"relative": 5e-3, "floor": 5e-6, "single": 5e-3}
NETWORKS = ["net.st_gcn.Model", "net.st_gcn_twostream.Model"]
NTU = {"layout": "ntu-rgb+d", "strategy": "spatial"}


def build(name: str = NETWORKS[0], **kwargs):
    usual = {"in_channels": 3, "num_class": 60, "graph_args": NTU, "edge_importance_weighting": True}
    return replay.build("ST-GCN", name, **{**usual, **kwargs})


def graph(**kwargs):
    return registry.load("ST-GCN", "net.utils.graph.Graph")(**kwargs)


@pytest.fixture(scope="module", params=["plain", "fused"])
def form(request):
    return request.param


@pytest.fixture(scope="module", params=["stgcn", "stgcn_twostream"])
def fixture(request, form):
    return Fixture("ST-GCN", request.param, fused=form == "fused")


@pytest.fixture(scope="module", params=["stgcn", "stgcn_twostream"])
def fused_fixture(request):
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


# --- plain and fused ---------------------------------------------------------------------------------------------


def forms(name: str, **kwargs):
    """Both forms with the same filled weights and the published partition."""
    plain = as_graph_variant(fill(build(name, fused=False, num_class=5, **kwargs)))
    fused = build(name, num_class=5, **kwargs)
    fused.load_state_dict(plain.state_dict())
    return plain, fused


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("name", "frames"), [*((NETWORKS[0], frames) for frames in (1, 7, 16)), (NETWORKS[1], 7)])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
def test_every_gradient_and_buffer_equals_the_plain_form(name, frames, training, checkpointing):
    plain, fused = forms(name)
    fused.activation_checkpointing = checkpointing
    torch.manual_seed(0)
    x = torch.randn(4, 3, frames, 25, 2)
    x[:3, ..., 1] = 0  # three empty second bodies, run as one
    replay.check_forms(plain, fused, x, training=training)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_changes_its_form_and_back(name):
    replay.check_change_of_form(lambda fused: build(name, fused=fused), torch.randn(2, 3, 8, 25, 2))


@pytest.mark.parametrize("name", NETWORKS)
def test_plain_form_exports_and_needs_autograd_alone(name):
    plain, _ = forms(name, dropout=0.5)
    x = torch.randn(2, 3, 16, 25, 2)
    replay.check_export(plain, (x,), (torch.randn(5, 3, 33, 25, 2),), [{0: replay.BATCH, 2: replay.FRAMES}])
    replay.check_autograd_alone(plain, x)


@pytest.mark.parametrize("stride", [1, 2])
def test_own_backward_of_norm_relu_conv(stride):
    torch.manual_seed(0)
    shapes = (2, 3, 7, 4), (3,), (3,), (5, 3, 3, 1)  # h, gamma, beta, W
    h, gamma, beta, W = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    how = setting(torch.nn.Conv2d(3, 5, (3, 1), (stride, 1), (1, 0)))
    norm = torch.nn.BatchNorm2d(3).double()

    def function(h, gamma, beta, W):
        mean, var = batch_statistics([norm], h)
        return NormReLUConv.apply(h, gamma, beta, mean, var, None, norm.eps, how, W)

    assert gradcheck(function, (h, gamma, beta, W))


@pytest.mark.parametrize("owner", [None, [0, 1, 2, 1, 1]], ids=["all", "merged"])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize(
    ("identity", "stride", "replicate"), [(True, 1, False), (False, 2, False), (None, 2, True)],
    ids=["identity", "residual", "alone"],
)  # fmt: skip
def test_own_backward_of_a_block_on_a_gpu(monkeypatch, identity, stride, replicate, dropout, owner):
    """Two bodies at a time; ``merged``: the second body stands for three."""
    torch.manual_seed(0)
    monkeypatch.setitem(graph_conv.SLICE_VALUES, "cpu", 2 * 3 * 2 * 4 * 5)
    bodies = None if owner is None else torch.tensor([1.0, 3.0, 1.0])
    owner = None if owner is None else torch.tensor(owner)
    frames, rows = -(-5 // stride), 3 if owner is None else 5
    shapes = {
        "x": (3, 3, 4, 5), "targets": (8, 4), "W": (3, 6), "offset": (3, 4), "gamma1": (3,), "beta1": (3,),
        "Wt": (3, 3, 3, 1), "gamma2": (3,), "beta2": (3,), "residual": (rows, 3, 4, frames),
    }  # fmt: skip
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes.values()]
    if identity is not False:
        inputs.pop()
    mode = "replicate" if replicate else "zeros"
    conv = setting(torch.nn.Conv2d(3, 3, (3, 1), (stride, 1), (1, 0), padding_mode=mode))
    how = BlockSetting((1e-5, 1e-5), conv, dropout, None, identity is True, bodies, owner)

    def same_draw(*inputs):
        torch.manual_seed(1)
        return Block.apply(*inputs, *([] if identity is False else [None]), how)[0]

    assert gradcheck(same_draw, inputs, fast_mode=True)


def test_own_backward_of_dropout():
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)

    def same_draw(x):
        torch.manual_seed(0)
        return Dropout.apply(x, 0.5)

    assert gradcheck(same_draw, x)


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


@pytest.mark.parametrize("drop", [build(dropout=0.3, fused=False).st_gcn_networks[1].tcn[4],
                                  lambda x: dropout(x, 0.3, training=True)], ids=["plain", "fused"])  # fmt: skip
def test_dropout_drops_its_share(drop):
    torch.manual_seed(0)
    y = drop(torch.ones(1000, 1000))
    assert (y == 0).double().mean().item() == pytest.approx(0.3, abs=0.003)  # 6 standard deviations
    torch.testing.assert_close(y[y != 0].unique(), torch.tensor([1 / 0.7]), rtol=1e-4, atol=0)


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


def test_empty_bodies_have_draws_of_their_own():
    """Computed once up to the first dropout: the same draws give the same step as when each body is computed."""
    torch.manual_seed(0)
    merged, x, results = as_graph_variant(fill(build(num_class=5, dropout=0.5))), torch.randn(4, 3, 16, 25, 2), []
    x[1:, ..., 1] = 0
    unmerged, rows = copy.deepcopy(merged), []
    unmerged.merge_empty_bodies = False
    for model in (merged, unmerged):
        for block in model.st_gcn_networks[:3]:
            block.register_forward_hook(lambda block, args, y: rows.append((len(args[0]), len(y[0]))))
        torch.manual_seed(3)
        logits = step(model, x)
        results.append([logits, *(p.grad for p in model.parameters()), *model.buffers()])
    assert rows == [(6, 6), (6, 8), (8, 8), (8, 8), (8, 8), (8, 8)]
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=2e-3, atol=2e-4)
    rows.clear()
    merged.merge_under_dropout = True  # one draw for all
    step(merged, x)
    assert rows == [(6, 6)] * 3


@pytest.mark.parametrize("under_dropout", [False, True])
def test_a_gpu_draws_alike_for_merged_bodies(under_dropout):
    """What a GPU runs, here: its draws are of all bodies, or, if that is wished for, of those that are computed."""
    torch.manual_seed(0)
    merged = as_graph_variant(fill(build(num_class=5, dropout=0.5))).double()
    x, results = torch.randn(4, 3, 16, 25, 2, dtype=torch.float64), []
    x[1:, ..., 1] = 0
    merged.merge_under_dropout = under_dropout
    other, rows = copy.deepcopy(merged), []
    other.merge_empty_bodies = False
    for model in (merged, other):
        for block in model.st_gcn_networks[:3]:
            block.register_forward_hook(lambda block, args, y: rows.append((len(args[0]), len(y[0]))))
        torch.manual_seed(3)
        with as_device.AsCuda(torch.device("cpu")), as_device.StandIns():
            y = model.train()(x)
            as_device.backward(F.cross_entropy(y, replay.labels(y)))
        results.append([y, *(p.grad for p in model.parameters()), *model.buffers()])
    if under_dropout:
        assert rows == [(6, 6)] * 3 + [(8, 8)] * 3
        return
    assert rows == [(6, 6), (6, 8), (8, 8)] + [(8, 8)] * 3
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


def test_eval_on_a_gpu_equals_the_plain_form():
    plain, fused = (model.double().eval() for model in forms(NETWORKS[0]))
    torch.manual_seed(0)
    x = torch.randn(3, 3, 16, 25, 2, dtype=torch.float64)
    with torch.no_grad():
        expected = plain(x)
        with as_device.AsCuda(torch.device("cpu")), as_device.StandIns():
            found = fused(x)
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_a_gpu_drops_its_share():
    torch.manual_seed(0)
    model = build(dropout=0.3).train()
    with as_device.AsCuda(torch.device("cpu")):
        *masks, last = model.drawn(torch.empty(4, 64, 30, 25), Bodies())
    assert [tuple(m.shape) for m in masks[2:6]] == [
        (4, 64, 25, 30),
        (4, 128, 25, 15),
        (4, 128, 25, 15),
        (4, 128, 25, 15),
    ]
    assert len(masks) == 8 and last.shape == (4, 256, 25, 8)
    assert (~masks[0]).double().mean().item() == pytest.approx(0.3, abs=0.006)  # 6 standard deviations
    x = torch.ones(2, 4, 5, 6, dtype=torch.float64)
    how = BlockSetting((0.0, 0.0), None, 0.3, None, False, None, None)
    y, keep = drop_and_add(x.clone(), None, how)
    torch.testing.assert_close(y, keep.double() / 0.7, rtol=1e-12, atol=0)
    y, keep = drop_and_add(x.clone(), x, how._replace(dropout=1.0))
    assert torch.equal(y, x) and not keep.any()


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
    assert recomputed.peak_bytes <= 15e6 and counting.fits(memory_on_cuda(model, 64, x), 64)
