"""Every supervised room on any skeleton: graphs, sizes, one step of every network, and what is refused.

``SKELETON_LAB_WALK=all`` walks every pair of a room and a skeleton, a minute; else every skeleton meets one room.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from own_archives import CLASSES, save_own
from places import ROOT
from sandbox import FEW

from skeleton_lab import registry
from skeleton_lab.data.feeders.base import Batch
from skeleton_lab.engine import size_checks, skeleton
from skeleton_lab.engine.build import make_feeders
from skeleton_lab.engine.config.options import from_values
from skeleton_lab.engine.dataloader import unpack
from skeleton_lab.engine.losses import Criterion
from skeleton_lab.engine.network import make_net
from skeleton_lab.errors import ArchiveError, UsageError
from skeleton_lab.skeletons import layouts
from skeleton_lab.utils import trust
from skeleton_lab.utils.importing import import_class

CONFIGS = {
    "ST-GCN": "config/st_gcn/ntu-xsub/train.yaml",
    "CTR-GCN": "config/nturgbd-cross-subject/default.yaml",
    "SkateFormer": "config/train/ntu_cs/SkateFormer_j.yaml",
    "Hyper-GCN": "config/base/nturgbd-cross-subject/hyper_joint.yaml",
    "FreqMixFormer": "config/nturgbd-cross-subject/joint.yaml",
    "MS-G3D": "config/nturgbd-cross-subject/train_joint_kaggle.yaml",
    "PYSKL": "config/stgcnpp/ntu60_xsub_3dkp/j.yaml",
    "DeGCN": "config/nturgbd-cross-subject/default.yaml",
}
SKELETONS = [name for name, layout in layouts.known().items() if 13 <= layout.V <= 33]
ALL = os.environ.get("SKELETON_LAB_WALK") == "all"
WALK = [
    (room, name)
    for i, name in enumerate(SKELETONS)
    for j, room in enumerate(CONFIGS)
    if ALL or i % len(CONFIGS) == j
]  # fmt: skip
FRAMES = 8
TRIANGLE = """
name: triangle
title: Triangle
joints: [top, left_end, right_end, middle, tail]
bones: [[1, 0], [2, 0], [3, 0], [4, 3]]
pairs: [[1, 2]]
root: 0
centre: 0
origin: "0"
scale: "0-4"
trunk: [4, 3, 0]
limbs: [[1], [2]]
"""


def chosen(room: registry.Room, data: Path | None, config: str = "", **more):
    """Options of a configuration of a room, on an archive and small, and its feeders."""
    values = {"config": str(room.path / (config or CONFIGS[room.folder])), "batch_size": 2, "forward_batch_size": 2}
    values |= {"seed": 1, "train_window_size": FRAMES, "test_window_size": FRAMES, **more}
    for split in ("train", "test"):
        given = dict(values.get(f"{split}_feeder_args", {}), split=split, label_path=None)
        values[f"{split}_feeder_args"] = given | ({"data_path": str(data)} if data else {})
    if "ucla" in config or data is None:
        values = {key: value for key, value in values.items() if "feeder_args" not in key}
    return from_values(room.recipe, values, room.path)


def stepped(room: registry.Room, options) -> tuple[torch.nn.Module, list[str], tuple[int, ...]]:
    """Feeders, network, forward, loss and backward on two clips; the network, what was said, and the clips' shape."""
    feeders = make_feeders(options)
    said = skeleton.fit(options, feeders)
    torch.manual_seed(0)
    net = make_net(options)
    inputs, labels = unpack(feeders[0].__getitems__(Batch([0, 1])), room.recipe.index_t)
    output = net(*inputs)
    logits = output[0] if isinstance(output, (tuple, list)) else output
    assert logits.shape == (2, len(CLASSES))
    Criterion(0.0, room.recipe.extra_loss)(output, labels).backward()
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    assert gradients and all(torch.isfinite(g).all() for g in gradients) and any(g.any() for g in gradients)
    return net, said, size_checks.clip_shape(feeders[0])


@pytest.mark.parametrize("room, name", WALK)
def test_every_network_takes_a_step_on_every_skeleton(room, name, tmp_path):
    layout, bones = layouts.layout(name), len(name) % 2 == 0
    data = save_own(tmp_path / "own.npz", name)
    with registry.room(room) as here:
        by_letter = room in ("SkateFormer", "PYSKL")
        stream = {"data_type": "b" if bones else "jm"} if by_letter else {"bone": bones, "vel": not bones}
        options = chosen(here, data, train_feeder_args=stream)
        _, said, shape = stepped(here, options)
    C, T, V, _ = shape
    assert (3 if layout.dimensions == 3 or layout.scored else 2) == C and T == FRAMES
    assert options.model_args.get("num_points", layout.V) == V >= layout.V - 1
    if name == "ntu25":
        assert options.skeleton is None and len(said) == 1  # classes alone
    else:
        assert options.skeleton == name and f"Skeleton: {name}, {layout.V} joints" in said[1]


@pytest.mark.parametrize("stream", ["twostream", "hyper-large", "xy"])
def test_networks_of_other_configurations(stream, tmp_path):
    room, config = {
        "twostream": ("ST-GCN", "config/st_gcn.twostream/ntu-xsub/train.yaml"),
        "hyper-large": ("Hyper-GCN", "config/large/nturgbd-cross-subject/hyper_bone_motion.yaml"),
        "xy": ("CTR-GCN", ""),
    }[stream]
    data = save_own(tmp_path / "own.npz", "coco17", "xy")
    with registry.room(room) as here:
        options = chosen(here, data, config)
        _, _, shape = stepped(here, options)
    assert shape[0] == 2 and options.model_args["in_channels"] == 2


# --- the published graphs are those of the rules ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "room, published, args, name",
    [
        ("CTR-GCN", "graph.ntu_rgb_d.Graph", {}, "ntu25"),
        ("CTR-GCN", "graph.ucla.Graph", {}, "ucla20"),
        ("ST-GCN", "graph.ntu_rgb_d.Graph", {}, "ntu25"),
        ("SkateFormer", "graph.ntu_rgb_d.Graph", {}, "ntu25"),
        ("Hyper-GCN", "graph.ntu_rgb_d.Graph", {"hyper_joints": 3, "labeling_mode": "virtual_ensemble"}, "ntu25"),
        ("Hyper-GCN", "graph.ucla.Graph", {"hyper_joints": 3, "labeling_mode": "virtual_ensemble"}, "ucla20"),
        ("FreqMixFormer", "graph.ntu_rgb_d.Graph", {}, "ntu25"),
        ("FreqMixFormer", "graph.ucla.Graph", {}, "ucla20"),
        ("MS-G3D", "graph.ntu_rgb_d.AdjMatrixGraph", {}, "ntu25"),
        ("MS-G3D", "graph.kinetics.AdjMatrixGraph", {}, "coco18"),
    ],
)
def test_published_graphs_follow_from_the_skeleton(room, published, args, name):
    with registry.room(room):
        theirs = import_class(published, "graph")(**args)
        ours = import_class("graph.skeleton.Graph", "graph")(skeleton=name, **args)
    assert type(theirs).skeleton == name
    np.testing.assert_array_equal(ours.A, theirs.A)
    if room == "FreqMixFormer":
        np.testing.assert_array_equal(ours.A_outward_binary, theirs.A_outward_binary)
        for k in (None, 1, 2):
            np.testing.assert_array_equal(ours.A_vector(k), theirs.A_vector(k))
    if room == "MS-G3D":
        np.testing.assert_array_equal(ours.A_binary, theirs.A_binary)


@pytest.mark.parametrize("strategy", ["uniform", "distance", "spatial"])
@pytest.mark.parametrize("layout, name", [("openpose", "coco18"), ("ntu-rgb+d", "ntu25")])
def test_layouts_of_stgcn_follow_from_the_skeleton(strategy, layout, name):
    with registry.room("ST-GCN"):
        graph = import_class("net.utils.graph.Graph", "graph")
        ours, theirs = (graph(word, strategy, max_hop=2) for word in (name, layout))
    assert ours.center == theirs.center
    np.testing.assert_array_equal(ours.A, theirs.A)


@pytest.mark.parametrize(
    "room, config, name",
    [
        ("SkateFormer", "config/train/ntu_cs/SkateFormer_j.yaml", "ntu25"),
        ("SkateFormer", "config/train/nw_ucla/SkateFormer_j.yaml", "ucla20"),
        ("MS-G3D", "config/nturgbd-cross-subject/train_joint_kaggle.yaml", "ntu25"),
        ("MS-G3D", "config/kinetics-skeleton/train_joint.yaml", "coco18"),
        ("FreqMixFormer", "config/nturgbd-cross-subject/joint.yaml", "ntu25"),
        ("Hyper-GCN", "config/base/nturgbd-cross-subject/hyper_joint.yaml", "ntu25"),
    ],
)
def test_published_sizes_follow_from_the_skeleton(room, config, name):
    """With --skeleton of its own skeleton a published configuration keeps every size."""
    with registry.room(room) as here:
        options = chosen(here, None, config, skeleton=name)
        before = dict(options.model_args)
        skeleton.fit(options)
        changed = {key for key in options.model_args if options.model_args[key] != before.get(key)}
        assert changed <= {"graph", "graph_args", "freq_split"} and options.model_args.get("freq_split", 13) == 13


# --- runs -------------------------------------------------------------------------------------------------------------


def documented(heading: str) -> str:
    """The arguments of the first ``python main.py`` of a section of docs/rooms.md."""
    section = (ROOT / "docs" / "rooms.md").read_text().split(f"## {heading}")[1]
    return section.split("python main.py ")[1].split("\n")[0]


def test_a_run_keeps_its_skeleton_and_is_tested_from_its_own_configuration(lab, tmp_path, capsys):
    """The documented command on an archive of a skeleton of one's own, which travels in config.yaml."""
    (tmp_path / "triangle.yaml").write_text(TRIANGLE)
    lab.enter("CTR-GCN")
    save_own(Path("my.npz"), str(tmp_path / "triangle.yaml"), "xyz")
    work = Path("../work_dir/mine")
    assert lab("CTR-GCN", f"{documented('Any skeleton')} {FEW} --save-epoch 0") == 0
    trained = capsys.readouterr().out
    assert "Skeleton: triangle, 5 joints, 3 coordinates, placed about the body" in trained
    kept = yaml.safe_load((work / "config.yaml").read_text())
    assert layouts.layout(kept["skeleton"]).joints[4] == "tail" and kept["model_args"]["num_class"] == len(CLASSES)
    weights = next(work.glob("runs-1-*.pt"))
    again = f"--config {work}/config.yaml --phase test --weights {weights} --work-dir {tmp_path}/test"
    assert lab("CTR-GCN", again) == 0
    losses = [re.findall(r"Mean test loss of 1 batches: (\S+)", out)[-1] for out in (trained, capsys.readouterr().out)]
    assert losses[0] == losses[1]


def test_a_file_of_ones_own_is_kept_as_a_whole(tmp_path):
    (tmp_path / "triangle.yaml").write_text(TRIANGLE)
    data = save_own(tmp_path / "own.npz", str(tmp_path / "triangle.yaml"), "xyz")
    with registry.room("ST-GCN") as here:
        options = chosen(here, data, skeleton=str(tmp_path / "triangle.yaml"))
        skeleton.fit(options, make_feeders(options))
        (tmp_path / "triangle.yaml").unlink()
        assert make_net(options).graph.num_node == 5 and make_feeders(options)[0].skeleton.name == "triangle"


class Rings:
    num_node = 17

    def __init__(self, labeling_mode="rings"):
        self.A = np.stack([np.eye(17)] * 3)


def test_a_graph_of_ones_own_stays(tmp_path):
    data = save_own(tmp_path / "own.npz", "coco17")
    own = {"graph": f"{__name__}.Rings", "graph_args": {}, "num_point": 17}
    with registry.room("CTR-GCN") as here, trust.trusting(True):
        options = chosen(here, data, model_args=own)
        net, _, _ = stepped(here, options)
    assert options.model_args["graph"] == own["graph"] and options.model_args["graph_args"] == {}
    assert options.skeleton == "coco17" and isinstance(net.graph, Rings)


def test_ones_own_by_the_name_of_a_known_one_is_not_taken_for_it(tmp_path):
    chain = "name: ntu25\njoints: 25\nbones: [" + ", ".join(f"[{j + 1}, {j}]" for j in range(24)) + "]\n"
    data = save_own(tmp_path / "own.npz", chain)
    with registry.room("CTR-GCN") as here:
        options = chosen(here, data)
        net, _, _ = stepped(here, options)
    assert net.graph.A[1][0, 1] == 1 and not net.graph.A[:, 0, 12].any()  # of NTU the hip hangs on joint 0


def test_what_is_typed_stays(tmp_path):
    data = save_own(tmp_path / "own.npz", "coco17")
    with registry.room("ST-GCN") as here:
        typed = {"graph_args": {"layout": "openpose"}, "num_class": 9}
        options = chosen(here, data, model_args=typed)
        skeleton.fit(options, make_feeders(options))
        assert options.model_args["graph_args"]["layout"] == "openpose" and options.model_args["num_class"] == 9
        options = chosen(here, data, model_args={"graph_args": {"strategy": "uniform"}})
        skeleton.fit(options, make_feeders(options))
        assert options.model_args["graph_args"] == {"layout": "coco17", "strategy": "uniform"}


# --- what is refused --------------------------------------------------------------------------------------------------


def test_wrong_skeletons_are_one_line(tmp_path):
    data = save_own(tmp_path / "own.npz", "coco17")
    other = save_own(tmp_path / "other.npz", "h36m17")
    plain = tmp_path / "plain.npz"
    with np.load(data) as arrays:
        np.savez(plain, **{key: arrays[key] for key in arrays if key[:2] in ("x_", "y_")})
    with registry.room("CTR-GCN") as here:
        with pytest.raises(UsageError, match=r"--skeleton coco71: there is no such skeleton\. Did you mean 'coco1"):
            chosen(here, data, skeleton="coco71")
        with pytest.raises(ArchiveError, match="is of the skeleton coco17, which has 17 joints; asked for are 26"):
            make_feeders(chosen(here, data, skeleton="halpe26"))
        mixed = chosen(here, data)
        mixed.test_feeder_args["data_path"] = str(other)
        with pytest.raises(UsageError, match="training clips are of the skeleton coco17, test clips of h36m17"):
            skeleton.fit(mixed, make_feeders(mixed))
        mixed.skeleton = "h36m17"  # told what both are
        said = skeleton.fit(mixed, make_feeders(mixed))
        assert "h36m17, 17 joints (the archive says coco17)" in said[-1]
        with pytest.raises(ArchiveError, match=r"17 joints of 3 coordinates and does not say which.*--skeleton"):
            make_feeders(chosen(here, plain))
        named = make_feeders(chosen(here, plain, skeleton="coco17"))[0]
        told = make_feeders(chosen(here, data))[0]
        np.testing.assert_array_equal(named[0][0], told[0][0])  # its third channel is taken for the score that it is
        with pytest.raises(UsageError, match="reads archives of ucla20 only"):
            make_feeders(chosen(here, data, "config/ucla/default.yaml", skeleton="coco17"))


def test_wholebody_asks_for_a_subset(tmp_path):
    data = save_own(tmp_path / "own.npz", "wholebody133")
    with registry.room("SkateFormer") as here, pytest.raises(UsageError, match="no limb, trunk or face"):
        make_feeders(chosen(here, data))
