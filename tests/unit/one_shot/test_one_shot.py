"""NTU RGB+D 120's one-shot protocol and the few-shot baseline, against plain loops over a network's own features."""

from __future__ import annotations

import csv
import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from skeleton_lab import cli, registry
from skeleton_lab.data.archives import ntu_protocol
from skeleton_lab.data.archives.both_splits import open_source
from skeleton_lab.engine import shots
from skeleton_lab.engine.config.class_list import parse
from skeleton_lab.errors import ArchiveError
from skeleton_lab.one_shot import archive, nearest, ntu120

FRAMES = 6
NOVEL = [1, 7, 13, 19, 25, 31, 37, 43, 49, 55, 61, 67, 73, 79, 85, 91, 97, 103, 109, 115]  # A..., as published


def test_the_classes_of_the_protocol():
    assert [label + 1 for label in ntu_protocol.ONE_SHOT_NOVEL] == NOVEL
    assert parse("ntu120_one_shot:novel").tolist() == [action - 1 for action in NOVEL]
    auxiliary = parse("ntu120_one_shot:auxiliary").tolist()
    assert len(auxiliary) == 100 and sorted([*auxiliary, *(action - 1 for action in NOVEL)]) == list(range(120))
    names = set(ntu_protocol.all_names("ntu120"))
    assert all(ntu_protocol.anchor(action - 1) in names for action in NOVEL)
    assert ntu_protocol.anchor(0) == "S001C003P008R001A001" and ntu_protocol.anchor(66) == "S018C003P008R001A067"


def name(action: int, camera: int, performer: int) -> str:
    return f"S{1 if action <= 60 else 18:03d}C{camera:03d}P{performer:03d}R001A{action:03d}"


@pytest.fixture(scope="module")
def clips() -> dict[str, np.ndarray]:
    """Every novel class with its anchor and three more clips in two splits, two auxiliary classes with six each."""
    rng = np.random.default_rng(0)
    rows: dict[str, list[tuple[int, str]]] = {"train": [], "test": []}
    for action in NOVEL:
        rows["test"] += [(action, name(action, 3, 8)), (action, name(action, 1, 8))]
        rows["train"] += [(action, name(action, 2, 8)), (action, name(action, 1, 3))]
    for action in (2, 62):
        rows["train"] += [(action, name(action, camera, 8)) for camera in (1, 2, 3)]
        rows["test"] += [(action, name(action, camera, 7)) for camera in (1, 2, 3)]
    made = {}
    for split, each in rows.items():
        each = [each[at] for at in rng.permutation(len(each))]
        actions = np.array([action for action, _ in each])
        base = np.random.default_rng(5).standard_normal((121, FRAMES, 150))[actions]  # a class has a form of its own
        made[f"x_{split}"] = (base + 0.5 * rng.standard_normal(base.shape)).astype(np.float32)
        made[f"y_{split}"] = np.eye(120)[actions - 1]
        made[f"name_{split}"] = np.array([text for _, text in each])
    return made


@pytest.fixture(scope="module")
def lab(tmp_path_factory, clips) -> Namespace:
    """The archive, and an untrained ST-GCN beside the config.yaml that its training would have left."""
    folder = tmp_path_factory.mktemp("one_shot")
    np.savez(folder / "ntu120.npz", **clips)
    config = yaml.safe_load((registry.find("ST-GCN").path / "config/st_gcn/ntu-xsub/train.yaml").read_text())
    config |= {"device": "cpu", "classes": "ntu120_one_shot:auxiliary"}
    config["model_args"]["num_class"] = 120
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with registry.room("ST-GCN"):
        torch.manual_seed(0)
        net = registry.load("ST-GCN", config["model"])(**config["model_args"]).eval()
        torch.save(net.state_dict(), folder / "net.pt")
    return Namespace(folder=folder, archive=folder / "ntu120.npz", weights=folder / "net.pt", net=net)


def features(lab: Namespace, x: np.ndarray) -> np.ndarray:
    """What goes into the network's classifier, its two people averaged, by a hook of PyTorch's."""
    seen = []
    handle = lab.net.fcn.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    with torch.no_grad():
        lab.net(torch.from_numpy(x).view(len(x), FRAMES, 2, 25, 3).permute(0, 4, 1, 3, 2).contiguous())
    handle.remove()
    return seen[0].flatten(1).view(len(x), -1, seen[0].shape[1]).mean(1).double().numpy()


def words(lab: Namespace, verb: str, out: Path, *more: object) -> list[str]:
    return [verb, "stgcn", "--weights", str(lab.weights), "--archive", str(lab.archive), "--output", str(out),
            *map(str, more)]  # fmt: skip


def test_one_shot_accuracy_is_that_of_a_loop_over_the_features(lab, clips, tmp_path, capsys):
    assert cli.main(words(lab, "one-shot", tmp_path)) == 0
    labels = np.concatenate([clips["y_train"].argmax(1), clips["y_test"].argmax(1)])
    names = [*clips["name_train"], *clips["name_test"]]
    made = features(lab, np.concatenate([clips["x_train"], clips["x_test"]]))
    anchors = {action - 1: made[names.index(name(action, 3, 8))] for action in NOVEL}
    right, told = {"cosine": [], "euclidean": []}, {}
    for feature, label, clip in zip(made, labels, names):
        if label + 1 not in NOVEL or clip == name(label + 1, 3, 8):
            continue
        cosine = {k: feature @ a / np.linalg.norm(feature) / np.linalg.norm(a) for k, a in anchors.items()}
        euclid = {k: np.linalg.norm(feature - a) for k, a in anchors.items()}
        told[clip] = max(cosine, key=cosine.get)
        right["cosine"].append(told[clip] == label)
        right["euclidean"].append(min(euclid, key=euclid.get) == label)
    content = json.loads((tmp_path / "one_shot.json").read_text())
    assert content["clips"] == 60 and content["accuracy"] == pytest.approx({k: np.mean(v) for k, v in right.items()})
    assert 0.1 < content["accuracy"]["cosine"] < 1 and np.sum(content["confusion"]) == 60
    with open(tmp_path / "one_shot.csv", newline="") as file:
        answers = {row["clip"]: int(row["answer"]) for row in csv.DictReader(file)}
    assert answers == told
    assert "A007 throw" in capsys.readouterr().out


def test_few_shot_prototypes_are_the_means_of_the_drawn_clips(lab, clips, tmp_path):
    flags = ("--shots", 1, 2, "--draws", 3, "--seed", 4, "--distance", "euclidean")
    assert cli.main(words(lab, "few-shot", tmp_path, *flags)) == 0
    train, test = features(lab, clips["x_train"]), features(lab, clips["x_test"])
    y, truth = clips["y_train"].argmax(1), clips["y_test"].argmax(1)
    content = json.loads((tmp_path / "few_shot.json").read_text())
    for count in (1, 2):
        accuracies = []
        for seed in (4, 5, 6):
            rows = shots.drawn(y, count, seed)
            means = {k: np.mean([train[row] for row in rows if y[row] == k], 0) for k in set(y)}
            answers = [min(means, key=lambda k: np.linalg.norm(feature - means[k])) for feature in test]
            accuracies.append(np.mean(np.array(answers) == truth))
        told = content["shots"][str(count)]
        assert told["each"] == pytest.approx(accuracies) and told["first"] == pytest.approx(accuracies[0])
        assert told["interval"] == pytest.approx(1.96 * np.std(accuracies, ddof=1) / 3**0.5)


def test_an_archive_for_the_protocol_trains_on_both_splits(lab, clips, tmp_path, capsys):
    out = tmp_path / "one_shot.npz"
    flags = ["one-shot", "archive", "--input", str(lab.archive), "--output", str(out), "--every", "3", "--quiet"]
    assert cli.main(flags) == 0
    with np.load(out) as made:
        train, test = (made[f"name_{split}"].tolist() for split in ("train", "test"))
        rows = {**dict(zip(train, made["x_train"])), **dict(zip(test, made["x_test"]))}
        labels = {**dict(zip(train, made["y_train"].argmax(1))), **dict(zip(test, made["y_test"].argmax(1)))}
    every = [*clips["name_train"], *clips["name_test"]]
    assert sorted([*train, *test]) == sorted(every)
    assert {int(text[-3:]) for text in train} == {2, 62} and len(train) == 8  # each third of six clips is watched
    for text, x in zip(every, np.concatenate([clips["x_train"], clips["x_test"]])):
        np.testing.assert_array_equal(rows[text], x)
        assert labels[text] == int(text[-3:]) - 1
    changed = Namespace(**{**vars(lab), "archive": out})
    assert cli.main(words(changed, "one-shot", tmp_path / "b")) == 0
    assert cli.main(words(lab, "one-shot", tmp_path / "a")) == 0
    results = [json.loads((tmp_path / each / "one_shot.json").read_text()) for each in "ab"]
    assert results[0]["accuracy"] == pytest.approx(results[1]["accuracy"])


def test_networks_that_saw_the_novel_classes_are_refused(lab, tmp_path, capsys):
    config = yaml.safe_load((lab.folder / "config.yaml").read_text())
    for classes, told in ((None, "tells of no --classes"), ("0-99", r"class 0 (A001) is novel")):
        path = tmp_path / "leak.yaml"
        path.write_text(yaml.safe_dump(config | {"classes": classes}))
        flags = words(lab, "one-shot", tmp_path / "out", "--config", path)
        assert cli.main(flags) == 2
        said = capsys.readouterr().err
        assert told in said and "--allow-leak" in said and said.count("\n") == 1
    assert cli.main([*flags, "--allow-leak"]) == 0


def test_mistakes_are_one_line(lab, clips, tmp_path, capsys):
    short = {key: value for key, value in clips.items() if not key.startswith("name_")}
    np.savez(tmp_path / "unnamed.npz", **short)
    lone = {**clips, "name_test": np.where(clips["name_test"] == name(67, 3, 8), name(67, 2, 9), clips["name_test"])}
    np.savez(tmp_path / "lone.npz", **lone)
    cases = [
        (words(lab, "one-shot", tmp_path, "--archive", tmp_path / "unnamed.npz"), "no names of its clips"),
        (words(lab, "one-shot", tmp_path, "--archive", tmp_path / "lone.npz"), "S018C003P008R001A067"),
        (words(lab, "one-shot", lab.weights), "is a file"),
        (words(lab, "few-shot", tmp_path, "--shots", 0), "--shots"),
        (["few-shot", "fsvae", *words(lab, "few-shot", tmp_path)[2:]], "supervised rooms"),
        (["few-shot", "strange", *words(lab, "few-shot", tmp_path)[2:]], "no room 'strange'"),
        (words(lab, "few-shot", tmp_path, "--config", "none.yaml"), "none.yaml"),
        (["one-shot", "archive", "--input", str(lab.archive), "--output", str(lab.archive)], "is the input itself"),
        (["one-shot", "archive", "--input", str(tmp_path / "unnamed.npz"), "--output", str(tmp_path / "o.npz")],
         "no names of its clips"),
    ]  # fmt: skip
    for argv, told in cases:
        assert cli.main(argv) == 2, argv
        said = capsys.readouterr().err
        assert told in said and said.count("\n") == 1, said


def test_distances_and_equal_ones():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((5, 7)), rng.standard_normal((3, 7))
    euclid = nearest.distances(x, y, "euclidean")
    np.testing.assert_allclose(euclid, [[np.linalg.norm(a - b) for b in y] for a in x], atol=1e-12)
    assert nearest.distances(x[:1], 3 * x[:1], "cosine") == pytest.approx(0, abs=1e-12)
    assert np.isfinite(nearest.distances(np.zeros((1, 7)), y, "cosine")).all()
    assert nearest.classified(x[:1], np.stack([x[0], x[0]]), [8, 2], "euclidean").tolist() == [8]


def test_a_class_with_its_anchor_alone_is_told(clips, tmp_path):
    kept = {}
    for split in ("train", "test"):
        of_13 = clips[f"y_{split}"].argmax(1) == 12
        stays = ~of_13 | (clips[f"name_{split}"] == name(13, 3, 8))
        kept |= {f"{key}_{split}": clips[f"{key}_{split}"][stays] for key in ("x", "y", "name")}
    np.savez(tmp_path / "a.npz", **kept)
    with pytest.raises(ArchiveError, match="A013 there is no clip but its anchor"):
        ntu120.novel(open_source(tmp_path / "a.npz"), tmp_path / "a.npz")


def test_joined_splits_give_the_clips_of_both(lab, clips):
    parts = open_source(lab.archive)
    whole = archive.Joined(list(parts.values()), [part.names for part in parts.values()])
    at = np.array([50, 0, 44, 3])
    frames = np.array([[0, 5, 9]] * 4)
    made = whole.gather(at, frames)
    for row, got in zip(at, made):
        part, place = (parts["train"], row) if row < len(parts["train"]) else (parts["test"], row - len(parts["train"]))
        np.testing.assert_array_equal(got, part.gather(np.array([place]), frames[:1])[0])
    assert not made[:, 2].any()
    np.testing.assert_array_equal(whole.lengths(at)[0], FRAMES)
