"""ST-GCN++ and ProtoGCN: graphs, arguments, other skeletons, files of weights, and what the configurations say."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
import yaml
from parity.protocol import fill
from pyskl_networks import NAMES, Fixture, published, small
from replay import step

from skeleton_lab import registry
from skeleton_lab.engine.pretrained import load_weights
from skeleton_lab.errors import WeightsError

AUGMENTATIONS = {"RandomScale", "RandomRot", "Spatial_Flip", "Part_Drop", "Flip"}

# --- graphs --------------------------------------------------------------------------------------------------------


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
