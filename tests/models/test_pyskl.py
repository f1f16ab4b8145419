"""ST-GCN++ and ProtoGCN: the published fixtures on the plain and on the fused form, and the forms side by side."""

from __future__ import annotations

import copy
from collections import Counter
from functools import cache

import numpy as np
import pytest
import replay
import torch
import torch.nn.functional as F
import yaml
from parity.protocol import compare, fill, make_skeleton, stage_summary, values
from replay import Case, step
from torch import Tensor, nn

from skeleton_lab import registry
from skeleton_lab.cost import counting
from skeleton_lab.engine import last_checkpoint
from skeleton_lab.engine.losses import Criterion
from skeleton_lab.engine.pretrained import load_weights
from skeleton_lab.errors import WeightsError

NAMES = ["stgcnpp", "protogcn"]
SMALL = {
    "stgcnpp": {"num_classes": 5, "base_channels": 12, "num_stages": 4, "inflate_stages": [3], "down_stages": [3]},
    "protogcn": {"num_classes": 5, "base_channels": 16, "num_stages": 3, "inflate_stages": [2], "down_stages": [3],
                 "num_prototype": 6},
}  # fmt: skip
AUGMENTATIONS = {"RandomScale", "RandomRot", "Spatial_Flip", "Part_Drop", "Flip"}
MEMORY = "cls_head.csc_loss.avg_f"


def clips(n: int, frames: int, joints: int, people: int, channels: int = 3, seed: int = 0, **_: str) -> Tensor:
    """(N, M, T, V, C), what these networks take."""
    return make_skeleton(n, frames, joints, people, channels, seed).permute(0, 4, 2, 3, 1)


class Fixture(replay.Fixture):
    def cases(self):
        given = [(self.facts["kwargs"], recipe) for recipe in self.facts["inputs"].values()]
        given += [(variant["kwargs"], variant["input"]) for variant in self.facts["variants"].values()]
        for kwargs, recipe in given:
            yield Case(recipe["npz_prefix"], kwargs, (clips(**recipe),))

    def build(self, kwargs=None, **changes):
        model = super().build(kwargs, **changes)
        if hasattr(model.backbone, "prn"):
            model.backbone.prn.dropout.p = 0.0  # as recorded
        return model


def small(name: str, fused: bool = True, **changes) -> nn.Module:
    """A few blocks of the published network."""
    model = replay.build("PYSKL", f"model.{name}.Model", fused, **published(name) | SMALL[name] | changes)
    if name == "protogcn":
        model.backbone.prn.dropout.p = 0.0
    return model


@cache
def published(name: str) -> dict:
    """The arguments of the published network."""
    return Fixture("PYSKL", name).facts["kwargs"]


@pytest.fixture(scope="module", params=NAMES)
def plain(request):
    return Fixture("PYSKL", request.param, fused=False)


@pytest.fixture(scope="module", params=NAMES)
def fused(request):
    return Fixture("PYSKL", request.param)


@pytest.fixture(scope="module", params=["plain", "fused"])
def fixture(request, plain):
    return Fixture("PYSKL", plain.name, fused=request.param == "fused")


# --- the published numbers ---------------------------------------------------------------------------------------


def test_names_shapes_and_order(plain):
    replay.check_names(plain)


def test_graphs():
    Graph = registry.load("PYSKL", "graph.pyskl.Graph")
    checked = 0
    for name in NAMES:
        for key, A in Fixture("PYSKL", name).group("A/").items():
            layout, mode, *more = (*key.split("/"), "")[: max(2, key.count("/") + 1)]
            arguments = {"max_hop": int(more[0][-1])} if mode.startswith("stgcn") and more else {}
            if mode.startswith("seed") or mode == "random":
                np.random.seed(int((more or [mode])[0][4:]))
                layout, mode, arguments = layout.replace("backbone.graph.A", "nturgb+d"), "random", {"num_filter": 8}
            elif layout == "backbone.graph.A" or not mode:
                layout, mode = "nturgb+d", "spatial"
            np.testing.assert_allclose(Graph(layout, mode, **arguments).A, A, atol=1e-12, err_msg=key)
            checked += 1
    assert checked == 25


@pytest.mark.parametrize("arguments", [{"layout": "nothing"}, {"mode": "nothing"}, {"nx_node": 2}])
def test_graphs_that_there_are_not(arguments):
    with pytest.raises(ValueError, match=str(next(iter(arguments.values())))):
        registry.load("PYSKL", "graph.pyskl.Graph")(**arguments)


@pytest.mark.parametrize("layout", ["h36m17", "mediapipe33", "hand22", "lcrnet13"])
def test_a_graph_of_any_skeleton(layout):
    """Column sums: a joint has itself, one parent unless it is the root, and as many children as hang on it."""
    graph = registry.load("PYSKL", "graph.pyskl.Graph")(layout, "spatial")
    own, toward, away = graph.A
    assert own.trace() == graph.num_node and toward.sum() == graph.num_node - 1
    assert set(np.round(away.sum(0), 9)) == {0.0, 1.0}


@pytest.mark.slow
def test_eval_logits(fixture):
    replay.check_eval(fixture)


@pytest.mark.slow
def test_training_step(fixture):
    """In single precision alpha and beta, sums of many terms that cancel, agree within a half, as the fixture says."""
    replay.check_step(
        fixture, relative=2e-2, floor=1e-4, special=lambda name: 0.5 if name.endswith((".alpha", ".beta")) else None
    )


@pytest.mark.slow
def test_stages(plain):
    prototypes = plain.values.pop("stage/backbone.prn", None)  # of the first sample of a batch
    assert replay.check_stages(plain) >= len(plain.facts["stage_shapes"]) - (prototypes is not None)
    if prototypes is not None:
        model = fill(plain.build()).eval()
        _, seen = replay.watched(model)
        with torch.no_grad():
            model(*plain.main())
        compare(torch.from_numpy(stage_summary(seen["backbone.prn"][0])), prototypes, 1e-4)


@pytest.mark.slow
def test_calibrated_statistics(fixture):
    """Logits with statistics that fit the data, of those and of other clips."""
    model = fill(fixture.build()).eval()
    stored = fixture.group("calibrated/")
    model.load_state_dict(
        {name[7:]: torch.from_numpy(value) for name, value in stored.items() if name.startswith("buffer/")},
        strict=False,
    )
    recipe = fixture.facts["inputs"]["main"]
    other = {**recipe, "seed": recipe["seed"] + 1}
    with torch.no_grad():
        for given, key in ((recipe, "eval_logits"), (other, "other_eval_logits")):
            compare(model(clips(**given)), stored[key], 1e-4)


def test_initialisation(plain):
    np.random.seed(1)
    replay.check_init(plain)


def test_initialisation_by_law(plain):
    model = plain.build()
    for name, law in plain.facts["init_law"].items():
        parameter = model.get_parameter(name).detach()
        if "copy" in law or "copied" in law:
            np.testing.assert_allclose(parameter, model.backbone.graph.A, atol=1e-7)
        elif law == "zero":
            assert not parameter.any(), name
        else:
            assert parameter.std().item() == pytest.approx(0.01, rel=0.1)


# --- ProtoGCN's loss ---------------------------------------------------------------------------------------------


def with_memory(form: str, dtype: torch.dtype = torch.float64) -> tuple[Fixture, nn.Module]:
    fixture = Fixture("PYSKL", "protogcn", fused=form == "fused")
    model = fill(fixture.build())
    memory = model.get_buffer(MEMORY)
    memory.copy_(torch.from_numpy(values(MEMORY, tuple(memory.shape))))
    return fixture, model.to(dtype)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["plain", "fused"])
def test_whole_loss_and_its_gradients(form):
    fixture, model = with_memory(form)
    stored, case = fixture.group("loss/"), fixture.facts["loss_case"]
    given, labels = fixture.main()[0].double(), torch.tensor(case["labels"])
    logits, graph = model.train()(given)
    compare(logits, stored["train_logits"], 1e-6)
    compare(graph, stored["train_graph"], 1e-6)
    loss = Criterion(net=model)((logits, graph), labels)
    compare(loss, stored["total"], 1e-6)
    compare((loss - F.cross_entropy(logits, labels)) / model.weight, stored["contrast"], 1e-6)
    compare(model.get_buffer(MEMORY)[:, case["memory_columns"]], stored["memory_after"], 1e-6)
    loss.backward()
    norms = {name[10:]: float(value) for name, value in stored.items() if name.startswith("grad_norm/")}
    largest = max(norms.values())
    assert {name for name, _ in model.named_parameters()} == set(norms)
    for name, expected in norms.items():
        found = model.get_parameter(name).grad.norm().item()
        assert abs(found - expected) <= 1e-6 * (expected + 1e-3 * largest), name


def test_contrast_alone_over_two_steps():
    fixture, model = with_memory("plain")
    case, head = fixture.facts["contrast_case"], model.cls_head.csc_loss
    graph = torch.from_numpy(np.random.RandomState(11).uniform(0, 1, (6, 625)).astype(np.float32)).double()
    logits = torch.from_numpy(np.random.RandomState(12).standard_normal((6, 60)).astype(np.float32)).double()
    logits[0, 7] = logits[1, 7] = logits[2, 11] = 9
    for number in (1, 2):
        stored = fixture.group(f"contrast/{number}/")
        graph.grad = None
        model.zero_grad()
        loss = head(graph.requires_grad_(), torch.tensor(case["labels"]), logits)
        loss.backward()
        compare(loss, stored["loss"], 1e-6)
        compare(graph.grad, stored["graph_grad"], 1e-6)
        compare(head.avg_f[:, case["memory_columns"]], stored["memory"], 1e-6)
        compare(head.cl_fc.weight.grad.norm(), stored["grad_norm/cls_head.csc_loss.cl_fc.weight"], 1e-6)


def test_evaluation_neither_adds_to_the_loss_nor_moves_the_memory():
    model, x = small("protogcn").eval(), clips(3, 8, 25, 2)
    before, labels = model.get_buffer(MEMORY).clone(), torch.tensor([0, 1, 2])
    logits = model(x)
    assert Criterion(net=model)(logits, labels) == F.cross_entropy(logits, labels)
    assert torch.equal(model.get_buffer(MEMORY), before)


def test_the_memory_is_in_the_checkpoint_and_in_no_file_of_weights():
    model, other = small("protogcn"), small("protogcn")
    assert MEMORY not in model.state_dict()
    content = last_checkpoint.beyond(model)
    last_checkpoint.restore_beyond(other, content)
    assert torch.equal(other.get_buffer(MEMORY), model.get_buffer(MEMORY))
    model.get_buffer(MEMORY).zero_()
    assert other.get_buffer(MEMORY).any(), "a copy"
    assert not last_checkpoint.beyond(small("stgcnpp"))


# --- plain and fused ---------------------------------------------------------------------------------------------


def forms(name: str, **changes) -> tuple[nn.Module, nn.Module]:
    np.random.seed(0)
    plain = fill(small(name, fused=False, **changes))
    fused = small(name, **changes)
    fused.load_state_dict(plain.state_dict())
    if name == "protogcn":
        fused.get_buffer(MEMORY).copy_(plain.get_buffer(MEMORY))
    return plain, fused


@pytest.mark.parametrize("frames", [1, 8])
@pytest.mark.parametrize("name", NAMES)
def test_every_gradient_and_buffer_equals_the_plain_form(name, frames):
    plain, fused = forms(name)
    replay.check_forms(plain, fused, torch.randn(3, 2, frames, 25, 3), loss=whole_loss(plain, fused))


@pytest.mark.parametrize(
    "changes",
    [{"gcn_conv_pos": "post"}, {"gcn_with_res": False}, {"gcn_adaptive": "offset"},
     {"data_bn_type": "MVC"}, {"dropout": 0.2}],
    ids=str,
)  # fmt: skip
def test_forms_with_other_arguments(changes):
    replay.check_forms(*forms("stgcnpp", **changes), torch.randn(3, 2, 9, 25, 3))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_in_evaluation_mode(name):
    plain, fused = forms(name)
    if name == "protogcn":  # in evaluation its graphs, and what makes them, have no part in the logits
        for model in (plain, fused):
            for part in (model.backbone.post, model.backbone.bn, model.backbone.prn, model.cls_head.csc_loss):
                part.requires_grad_(False)
    replay.check_forms(plain, fused, torch.randn(3, 2, 9, 25, 3), training=False)


def whole_loss(*models: nn.Module):
    """Of one model after the other: cross entropy and what the network adds."""
    turn = iter(models)
    return lambda output: Criterion(net=next(turn))(output, torch.tensor([0, 1, 2]))


@pytest.mark.parametrize("name", NAMES)
def test_empty_bodies_run_as_one(name):
    plain, fused = (model.double() for model in forms(name))
    x = torch.randn(4, 2, 12, 25, 3, dtype=torch.float64)
    x[:3, 1] = 0
    # Empty bodies do not move, so the max pool meets ties there, which rounding breaks: gradients are compared above.
    for a, b in zip(output_of(step(fused, x)), output_of(step(plain, x))):
        torch.testing.assert_close(a, b)
    for (name, a), b in zip(fused.named_buffers(), plain.buffers()):
        torch.testing.assert_close(a, b, msg=name)
    torch.testing.assert_close(fused.eval()(x), plain.eval()(x))


def output_of(output: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return output if isinstance(output, tuple) else (output,)


@pytest.mark.parametrize("name", NAMES)
def test_change_of_form(name):
    def build(fused: bool) -> nn.Module:
        np.random.seed(3)
        return small(name, fused)

    replay.check_change_of_form(build, torch.randn(2, 2, 9, 25, 3))


@pytest.mark.parametrize("name", NAMES)
def test_checkpointing_recomputes_the_same_bits(name):
    kept = small(name)
    recomputed = copy.deepcopy(kept)
    recomputed.activation_checkpointing = True
    x = torch.randn(3, 2, 9, 25, 3)
    for a, b in zip(output_of(step(kept, x)), output_of(step(recomputed, x))):
        assert torch.equal(a, b)
    for (key, a), b in zip(kept.named_parameters(), recomputed.parameters()):
        assert (a.grad is None and b.grad is None) or torch.equal(a.grad, b.grad), key
    for (key, a), b in zip(kept.named_buffers(), recomputed.buffers()):
        assert torch.equal(a, b), key


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_autocast(name):
    torch.manual_seed(0)
    np.random.seed(0)
    model, x = fill(small(name)), torch.randn(3, 2, 9, 25, 3)
    expected = model.eval()(x).detach()
    with torch.autocast("cpu", torch.bfloat16):
        assert (model(x) - expected).norm() < 0.1 * expected.norm()
        logits, *graph = output_of(model.train()(x))
    output = (logits.float(), *(each.float() for each in graph))
    Criterion(net=model)(output if graph else output[0], torch.arange(3)).backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.slow
def test_less_is_kept_and_computed(fused):
    """At most half the published activations, and no more FLOPs (64 frames)."""
    published = {"stgcnpp": (106.9e6, 3.744e9), "protogcn": (217.7e6, 10.067e9)}[fused.name]
    cost = counting.measure(fused.build(), torch.randn(2, 2, 64, 25, 3), torch.arange(2))
    assert cost.saved_bytes <= published[0] / 2 and cost.flops_forward <= published[1]


# --- arguments and weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("stgcnpp", {"gcn_nothing": 1}, "gcn_nothing"), ("stgcnpp", {"act": "ReLU"}, "argument act"),
        ("stgcnpp", {"gcn_adaptive": "often"}, "often"), ("stgcnpp", {"tcn_type": "lstm"}, "lstm"),
        ("stgcnpp", {"tcn_type": "mstcn", "tcn_ms_cfg": [[3, 1], "2x2"]}, "2x2"),
        ("protogcn", {"act": "ReLU"}, "argument act"), ("protogcn", {"gcn_ratio": 0.1}, "prototypes need"),
        ("protogcn", {"gcn_inter_act": "swish"}, "swish"),
    ],
)  # fmt: skip
def test_arguments_that_there_are_not(name, changes, said):
    with pytest.raises(ValueError, match=said):
        small(name, **changes)


def test_mvc_is_for_its_number_of_persons():
    model = small("stgcnpp", data_bn_type="MVC")
    with pytest.raises(ValueError, match="2 persons, not for 1"):
        model(torch.randn(2, 1, 8, 25, 3))


def test_a_tuple_gives_one_value_for_each_stage():
    model = small("stgcnpp", gcn_with_res=(True, False, True, False), tcn_dropout=(0.5, 0.1, 0.2, 0.3))
    assert [block.gcn.down is not None for block in model.backbone.gcn] == [True, False, True, False]
    assert [block.tcn.drop.p for block in model.backbone.gcn] == [0.0, 0.1, 0.2, 0.3]


@pytest.mark.parametrize("layout", ["mediapipe33", "lcrnet13"])
@pytest.mark.parametrize("name", NAMES)
def test_other_skeletons(name, layout):
    graph = {**published(name)["graph_cfg"], "layout": layout}
    joints = int(layout[-2:])
    model = small(name, graph_cfg=graph)
    assert step(model, torch.randn(2, 2, 8, joints, 3))[0].isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_published_files_load(name, tmp_path):
    """The wrapper dictionary, DataParallel's prefix, a bare state dict; the bare backbone without its head."""
    model, said = small(name), []
    state = fill(small(name)).state_dict()
    files = {
        "wrapper": {"meta": {"epoch": 16, "iter": 7}, "state_dict": state, "optimizer": {"state": {}}},
        "module": {"state_dict": {f"module.{key}": value for key, value in state.items()}},
        "bare": state,
    }
    for file, content in files.items():
        torch.save(content, tmp_path / f"{file}.pth")
        other = small(name)
        load_weights(other, tmp_path / f"{file}.pth", strict=True)
        assert all(torch.equal(a, b) for a, b in zip(other.state_dict().values(), state.values())), file
    backbone = {key[9:]: value for key, value in state.items() if key.startswith("backbone.")}
    torch.save(backbone, tmp_path / "backbone.pth")
    with pytest.raises(WeightsError, match=r"missing in the file: cls_head"):
        load_weights(model, tmp_path / "backbone.pth", strict=True)
    load_weights(model, tmp_path / "backbone.pth", say=said.append)
    assert "  cls_head.fc_cls.weight" in said
    assert torch.equal(model.backbone.gcn[1].gcn.A, state["backbone.gcn.1.gcn.A"])


# --- the configurations ------------------------------------------------------------------------------------------

CONFIGS = sorted((registry.find("PYSKL").path / "config").rglob("*.yaml"))
PROTOTYPES = {"j": (400, 0.2), "b": (100, 0.3), "k": (100, 0.1)}  # and the weight of the contrast, by stream


def test_configurations_are_all_there():
    """32 of ST-GCN++, 16 with strong augmentation, six streams of six data sets of ProtoGCN."""
    counts = Counter(path.parts[path.parts.index("config") + 1] for path in CONFIGS)
    assert counts == {"stgcnpp": 32, "stgcnpp_strong_aug": 16, "protogcn": 36}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: "-".join(path.with_suffix("").parts[-3:]))
def test_a_configuration_is_what_its_name_says(path):
    config = yaml.safe_load(path.read_text())
    family, data, stream = path.with_suffix("").parts[-3:]
    train, test, model = config["train_feeder_args"], config["test_feeder_args"], config["model_args"]
    name, *split = data.split("_")
    assert model["num_classes"] == {"ntu60": 60, "ntu120": 120, "gym": 99, "k400": 400}[name]
    assert (train["split"], test["split"]) == tuple("_".join([*split[:1], part]) for part in ("train", "val"))
    for given in (train, test):
        steps = {step["type"]: step for step in given["pipeline"]}
        assert steps["GenSkeFeat"]["feats"] == [stream] and given["window_size"] == 100
        assert steps["GenSkeFeat"]["dataset"] == model["graph_cfg"]["layout"]
    flat = data.endswith("hrnet") or not split
    assert model["graph_cfg"]["layout"] == (("coco" if split else "coco_new") if flat else "nturgb+d")
    kept = [step for step in train["pipeline"] if step["type"] not in AUGMENTATIONS]
    assert kept == test["pipeline"]
    if family == "protogcn":
        assert (model["num_prototype"], model["weight"]) == PROTOTYPES[stream[0]]
        assert config["num_epoch"] == 150 and (config["batch_size"], config["base_lr"]) == (
            (64, 0.1) if name == "k400" else (16, 0.025)
        )
    else:
        strong = family.endswith("aug")
        assert (config["num_epoch"], train["times"], config["batch_size"]) == (24 if strong else 16, 5, 128)
        assert len(train["pipeline"]) - len(kept) == 2 * strong
