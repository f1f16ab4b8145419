"""Weights of other classes as a start, --freeze backbone and --shots, on the toy room and with its plain network."""

from __future__ import annotations

import re
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_room

from skeleton_lab import registry
from skeleton_lab.engine import freezing, shots
from skeleton_lab.engine.config import options as settings
from skeleton_lab.engine.network import make_net
from skeleton_lab.engine.pretrained import load_weights
from skeleton_lab.engine.skeleton import fit
from skeleton_lab.engine.transfer import Transfer
from skeleton_lab.errors import UsageError
from skeleton_lab.nn import is_fused, unfuse


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """``lab(work, *flags)`` trains the toy room's network for an epoch; the exit code and the work dir."""
    room = toy_room.make_room(tmp_path / "room")
    monkeypatch.chdir(room)

    def call(work: str, *more: str, **data: str) -> tuple[int, Path]:
        argv = toy_room.arguments(tmp_path / work, "--num-epoch", "1", "--save-epoch", "0", *more, **data)
        return toy_room.call(room, argv), tmp_path / work

    return call


@pytest.fixture
def trained(lab) -> Path:
    return lab("first")[1] / "runs-1-2.pt"


STILL = ("--base-lr", "0", "--weight-decay", "0")
SIX = ("--model-args", "num_class=6")


def log(work: Path) -> str:
    return (work / "log.txt").read_text()


def test_the_classifier_of_other_classes_begins_anew_and_the_rest_is_loaded(lab, trained):
    code, work = lab("six", *SIX, *STILL, "--weights", str(trained))
    assert code == 0
    before, after = toy_room.weights(trained), toy_room.weights(work / "runs-1-2.pt")
    assert after["fc.weight"].shape == (6, 16) and after["fc.weight"].std() > 0
    assert all(torch.equal(before[key], after[key]) for key in ("hidden.weight", "hidden.bias"))
    line = next(line for line in log(work).splitlines() if "anew" in line)
    assert f"{trained} is of 4 classes, not 6: the classifier (fc.weight, fc.bias) begins anew" in line
    assert "7 of 9 entries are loaded" in line and "Can not find" not in log(work)


def test_drawing_probes_does_not_change_the_start(lab, trained):
    """The classifier is drawn as it is without --weights: other networks are built in between, from other numbers."""
    with_weights = toy_room.weights(lab("six", *SIX, *STILL, "--weights", str(trained))[1] / "runs-1-2.pt")
    without = toy_room.weights(lab("fresh", *SIX, *STILL)[1] / "runs-1-2.pt")
    assert torch.equal(with_weights["fc.weight"], without["fc.weight"])


def test_weights_of_another_width_are_refused_as_ever(lab, trained, capsys):
    content = toy_room.weights(trained)
    torch.save({**content, "hidden.weight": torch.zeros(32, 15), "fc.weight": torch.zeros(9, 32)}, trained)
    code, work = lab("wide", "--weights", str(trained))
    assert code == 2 and not (work / "last.ckpt").exists()
    assert "wrong shape: hidden.weight (32, 15) instead of (16, 15)" in capsys.readouterr().err


def test_a_test_takes_no_weights_of_other_classes(lab, trained, capsys):
    code, _ = lab("test", *SIX, "--phase", "test", "--weights", str(trained))
    assert code == 2 and "fc.weight (4, 16) instead of (6, 16)" in capsys.readouterr().err


def test_a_frozen_backbone_stays_as_it_is_with_its_statistics(lab, trained):
    code, work = lab("frozen", *SIX, "--weights", str(trained), "--freeze", "backbone", "--num-epoch", "2")
    assert code == 0
    before, after = toy_room.weights(trained), toy_room.weights(work / "runs-2-4.pt")
    assert all(torch.equal(before[key], after[key]) for key in before if not key.startswith("fc."))
    first = toy_room.weights(work / "runs-1-2.pt")
    assert not torch.equal(after["fc.weight"], first["fc.weight"])
    learning, total = 16 * 6 + 6, 2 * 15 + 15 * 16 + 16 + 16 * 6 + 6
    assert f"--freeze backbone: {learning} of {total} parameters learn" in log(work)


def test_a_frozen_run_is_resumed_without_the_weights_file_to_the_same_end(lab, trained):
    flags = (*SIX, "--weights", str(trained), "--freeze", "backbone")
    whole = toy_room.weights(lab("whole", *flags, "--num-epoch", "2")[1] / "runs-2-4.pt")
    lab("parts", *flags)
    trained.unlink()
    code, work = lab("parts", *flags, "--num-epoch", "2", "--resume")
    parts = toy_room.weights(work / "runs-2-4.pt")
    assert code == 0 and all(torch.equal(value, parts[key]) for key, value in whole.items())


def test_what_freeze_and_shots_refuse(lab, trained, capsys):
    for flags, told in (
        (("--freeze", "backbone"), "--freeze backbone keeps what --weights brings"),
        (("--freeze", "head", "--weights", str(trained)), "--freeze"),
        (("--shots", "0"), "--shots"),
        (("--shots", "2"), r"--shots: feeders\.toy_feeder\.Feeder has no method restrict"),
    ):
        code, _ = lab("wrong", *flags)
        err = capsys.readouterr().err
        assert code == 2 and len(err.strip().splitlines()) == 1 and re.search(told, err), err


class Rows:
    """A feeder that can be restricted."""

    def __init__(self, labels):
        self.label = np.array(labels)

    def restrict(self, rows):
        self.label = self.label[rows]


def test_shots_are_the_same_for_a_class_whatever_the_others_and_grow_with_their_number():
    labels = np.repeat([3, 0, 7], [5, 9, 2])
    rows = shots.drawn(labels, 3, seed=1)
    assert np.bincount(labels[rows]).tolist() == [3, 0, 0, 3, 0, 0, 0, 2] and (np.diff(rows) > 0).all()
    assert set(rows) < set(shots.drawn(labels, 4, seed=1))
    alone = shots.drawn(labels[:5], 3, seed=1)
    assert set(alone) == {row for row in rows if labels[row] == 3}
    assert any(set(shots.drawn(labels, 3, seed=seed)) != set(rows) for seed in range(2, 6))
    feeder, said = Rows(labels), []
    shots.keep(Namespace(shots=3, seed=1, feeder="x"), feeder, said.append)
    assert said == ["--shots 3: 8 of 16 training clips, of 3 classes; class 7 has only 2."]
    assert len(feeder.label) == 8
    shots.keep(Namespace(shots=None, seed=1, feeder="x"), feeder, said.append)
    assert len(feeder.label) == 8 and len(said) == 1
    with pytest.raises(UsageError, match="restrict"):
        shots.keep(Namespace(shots=3, seed=1, feeder="x"), object(), said.append)


# --- another skeleton ----------------------------------------------------------------------------------------------


class Placed:
    """ST-GCN's options and network for a skeleton and a number of classes, as the engine makes them."""

    def __init__(self, skeleton: str, classes: int, **more: int):
        room = registry.find("ST-GCN")
        with registry.room("ST-GCN"):
            config = str(room.path / "config/st_gcn/ntu-xsub/train.yaml")
            given = {"config": config, "skeleton": skeleton, "model_args": {"num_class": classes, **more}}
            self.options = settings.from_values(room.recipe, given, room.path)
            fit(self.options)
            torch.manual_seed(classes)
            self.net = make_net(self.options)

    def save(self, folder: Path) -> Path:
        folder.mkdir()
        settings.save(self.options, folder / "config.yaml")
        torch.save(self.net.state_dict(), folder / "net.pt")
        return folder / "net.pt"

    def load(self, path: Path) -> tuple[Transfer, list[str]]:
        said: list[str] = []
        transfer = Transfer(self.options, self.net)
        with registry.room("ST-GCN"):
            load_weights(self.net, path, transfer=transfer, say=said.append)
        return transfer, said


@pytest.fixture(scope="module")
def coco(tmp_path_factory) -> Placed:
    made = Placed("coco17", 7)
    made.path = made.save(tmp_path_factory.mktemp("coco") / "run")
    return made


def of_the_joints(name: str) -> bool:
    """What ST-GCN has of the joints: the graph, a weight for each of its edges, and the norm of the coordinates."""
    return name.startswith(("A", "data_bn", "edge_importance")) and not name.endswith("num_batches_tracked")


@pytest.mark.parametrize("skeleton, line", [
    ("mediapipe33", "is of 7 classes, not 5, and of the skeleton coco17, not mediapipe33: the classifier (fcn.weight"),
    ("h36m17", "is of 7 classes, not 5, and of the skeleton coco17, not h36m17: the classifier"),  # as many joints
])  # fmt: skip
def test_what_depends_on_the_joints_of_another_skeleton_begins_anew(coco, skeleton, line):
    other = Placed(skeleton, 5)
    fresh = {key: value.clone() for key, value in other.net.state_dict().items()}
    transfer, said = other.load(coco.path)
    assert len(said) == 1 and line in said[0] and "what depends on the joints (A, data_bn" in said[0], said
    theirs = coco.net.state_dict()
    for key, value in other.net.state_dict().items():
        kept = of_the_joints(key) or key.startswith("fcn.")
        assert kept == (key in transfer.anew)
        assert torch.equal(value, fresh[key] if kept else theirs[key]), key


def test_the_skeleton_is_told_by_its_joints_where_there_is_no_configuration(coco, tmp_path):
    (tmp_path / "net.pt").write_bytes(coco.path.read_bytes())
    transfer, said = Placed("mediapipe33", 7).load(tmp_path / "net.pt")
    assert len(said) == 1 and "is of another skeleton: what depends on the joints" in said[0]
    assert all(map(of_the_joints, transfer.anew))
    _, said = Placed("coco17", 7).load(tmp_path / "net.pt")
    assert said == []


def test_weights_of_another_skeleton_and_other_coordinates(coco, tmp_path):
    """With the configuration beside the weights, without it, and with one that cannot be read."""
    for config in ("", "model: [", None):
        path = coco.path
        if config is not None:
            path = tmp_path / "net.pt"
            path.write_bytes(coco.path.read_bytes())
            (tmp_path / "config.yaml").write_text(config)
        transfer, said = Placed("mediapipe33", 7, in_channels=2).load(path)
        assert len(said) == 1 and "what reads the coordinates (st_gcn_networks.0.gcn.conv.weight) begin anew" in said[0]
        assert {key for key in transfer.anew if not of_the_joints(key)} == {"st_gcn_networks.0.gcn.conv.weight"}


def test_a_frozen_backbone_of_another_skeleton_learns_its_joints(coco):
    other = Placed("mediapipe33", 5)
    transfer, _ = other.load(coco.path)
    names = freezing.backbone(other.net, transfer, "ST-GCN")
    still = freezing.freeze(other.net, names)
    learning = {name for name, parameter in other.net.named_parameters() if parameter.requires_grad}
    expected = {name for name, _ in other.net.named_parameters() if of_the_joints(name) or name.startswith("fcn.")}
    assert learning == expected and other.net.data_bn not in still and other.net.st_gcn_networks[3] in still
    freezing.train(other.net, still)
    before = {key: value.clone() for key, value in other.net.state_dict().items()}
    other.net(torch.randn(2, 3, 8, 33, 2)).square().sum().backward()
    moved = {key for key, value in other.net.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == {f"data_bn.{key}" for key in ("running_mean", "running_var", "num_batches_tracked")}


@pytest.mark.parametrize("mixed", [False, True])
def test_a_frozen_network_is_fused_only_where_nothing_inside_its_layers_learns(mixed):
    """Fused layers of CTR-GCN take their mode for that of the norms inside: with a graph that learns they are plain."""
    room = registry.find("CTR-GCN")
    with registry.room("CTR-GCN"):
        options = settings.from_values(room.recipe, {"config": str(room.path / str(room.config))}, room.path)
        torch.manual_seed(0)
        net = make_net(options)
    names = [name for name, _ in net.named_parameters() if name[:3] != "fc." and not (mixed and name.endswith("PA"))]
    still = freezing.freeze(net, names)
    freezing.train(net, still)
    assert is_fused(net) is not mixed
    x = torch.randn(2, 3, 8, 25, 2)
    logits = net(x)
    logits.sum().backward()
    with torch.no_grad():
        for module in unfuse(net).modules():
            module.training = False  # of the same numbers: no dropout here, and every norm is still
        torch.testing.assert_close(net(x), logits.detach(), rtol=1e-4, atol=1e-4 * float(logits.detach().abs().max()))
    assert {name for name, parameter in net.named_parameters() if parameter.grad is not None} == {
        name for name, _ in net.named_parameters() if name not in names
    }
