"""The whole table on synthetic clips whose actions look alike in pairs, by a network that is fitted and not trained."""

from __future__ import annotations

import errno
import json
import pickle
import shutil
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

import skeleton_lab
from skeleton_lab import cli, registry
from skeleton_lab.data.archives.both_splits import open_source
from skeleton_lab.data.archives.descriptors.files import open_descriptors
from skeleton_lab.data.synthetic import archive, descriptors
from skeleton_lab.engine import dataloader, shots
from skeleton_lab.inference import opening
from skeleton_lab.multimodal import clips, training, units

ACTIONS = (0, 37, 9, 33, 38, 22, 6, 51)  # drinking and saluting, clapping and rubbing hands, ...
CONFIG = "config/stgcnpp/ntu60_xsub_3dkp/j.yaml"
SMALL = {"base_channels": 16, "num_stages": 3, "inflate_stages": [2], "down_stages": [2]}
FRAMES = 12


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Namespace:
    """An archive with descriptors, and a small ST-GCN++ whose classifier is that of least squares on its features."""
    folder = tmp_path_factory.mktemp("multimodal")
    data = folder / "my.npz"
    archive.write(data, train=320, test=160, actions=ACTIONS, resample=FRAMES, two_person_share=0, progress=False)
    descriptors.write(folder / "d.npz", data)
    config = yaml.safe_load((registry.find("pyskl").path / CONFIG).read_text())
    config |= {"device": "cpu", "val_split": "subjects", "seed": 1, "test_batch_size": 80}
    config["model_args"] |= SMALL
    for split in ("train", "test"):
        told = {"data_path": str(data), "split": split, "times": 1, "window_size": FRAMES, "num_clips": 1}
        config[f"{split}_feeder_args"] |= told
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with registry.room("pyskl"):
        torch.manual_seed(0)
        net = registry.load("pyskl", config["model"])(**config["model_args"]).eval()
    feeder = skeleton_lab.create_dataset("stgcnpp", data, split="train", config=folder / "config.yaml")
    feeder.test_mode = True
    x, labels, _ = feeder.__getitems__(range(len(feeder)))
    fit(net, x, np.eye(60)[labels.numpy()])
    torch.save(net.state_dict(), folder / "net.pt")
    return Namespace(folder=folder, data=data, weights=folder / "net.pt", descriptors=folder / "d.npz")


@torch.no_grad()
def fit(net: torch.nn.Module, x: torch.Tensor, y: np.ndarray) -> None:
    """Weights of the classifier by ridge regression."""
    seen: list[torch.Tensor] = []
    layer = net.cls_head.fc_cls
    handle = layer.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    net(x)
    handle.remove()
    f = seen[0].view(len(x), -1, layer.in_features).mean(1).double().numpy()
    mean, scale = f.mean(0), f.std(0) + 1e-9
    z = np.hstack([(f - mean) / scale, np.ones((len(f), 1))])
    w = np.linalg.solve(z.T @ z + 10 * np.eye(z.shape[1]), z.T @ y) * 8
    layer.weight.copy_(torch.from_numpy((w[:-1] / scale[:, None]).T))
    layer.bias.copy_(torch.from_numpy(w[-1] - (mean / scale) @ w[:-1]))


def words(lab: Namespace, out: Path, *more: object, **changed: object) -> list[str]:
    flags = {"weights": lab.weights, "data": lab.data, "descriptors": lab.descriptors, "work-dir": out} | changed
    given = [word for flag, value in flags.items() for word in (f"--{flag}", str(value))]
    return ["multimodal", "pyskl", *given, *map(str, more)]


def task_of(lab: Namespace, **changed: object) -> tuple:
    """The clips, the descriptors, and the task that is made of them; ``cache``: where features are kept."""
    wishes = {"room": "pyskl", "weights": lab.weights, "config": None, "device": "cpu", "trust_code": False}
    wishes |= {"observe": 1.0, "data": lab.data, "layout": None, "descriptors": lab.descriptors}
    cache = changed.pop("cache", lab.folder / f"{len(list(lab.folder.iterdir()))}_features.npz")
    options = Namespace(**wishes | changed)
    with opening.opened(options) as network:
        parts, found = clips.found_beside(options)
        return parts, found, clips.task_of(network, options, parts, found, cache)


HEADS = ("--epochs", 20, "--lr", 0.01)
QUICK = ("--epochs", 1, "--seeds", 1)


@pytest.fixture(scope="module")
def table(lab) -> Namespace:
    """One run of everything; ``out``: its folder."""
    out = lab.folder / "table"
    assert cli.main(words(lab, out, "--seeds", 1, *HEADS)) == 0
    content = json.loads((out / "multimodal.json").read_text())
    return Namespace(out=out, content=content, rows={row["key"]: row for row in content["rows"]})


def test_fusion_gains_clearly_and_shuffled_descriptors_nothing(table):
    rows = table.rows
    for points, p in (("points", "p"), ("points_head", "p_head")):
        assert rows["F"][points] > 20 and rows["F"][p] < 1e-4
        assert rows["F-shuffled"][points] < 3
    assert rows["F"]["low"] > max(rows[key]["high"] for key in ("S", "S-head"))
    assert rows["S"]["points"] is None is rows["S-head"]["points_head"]
    assert rows["F-shuffled"]["high"] < rows["F"]["low"]
    assert rows["F"]["top1"] > rows["F-missing-25"]["top1"] > rows["F-missing-100"]["top1"]
    assert abs(rows["F-missing-100"]["points"]) < 15  # modality dropout: without descriptors it is as good as S
    assert rows["L-fitted"]["p"] < 0.01 and 0 < table.content["late_weights"]["1"] < 1
    assert rows["F-first"]["top1"] < rows["F"]["top1"] - 0.2  # the object comes into view later


def test_figures_are_those_of_the_answers(lab, table):
    data = skeleton_lab.create_dataset("stgcnpp", lab.data, config=lab.folder / "config.yaml")
    net = skeleton_lab.create_model("stgcnpp", weights=lab.weights, config=lab.folder / "config.yaml")
    alone = skeleton_lab.evaluate(net, data)
    assert table.rows["S"]["top1"] == pytest.approx(alone.top1, abs=0.007)  # a clip may lie on the border
    with np.load(table.out / "parts" / "F-seed1.npz") as file:
        fused = file["test"].argmax(1) == data.label
    skeleton = alone.logits.numpy().argmax(1) == data.label
    assert table.rows["F"]["right"] == [int(fused.sum())]
    told = {each["class"]: each for each in table.content["classes"]}
    drinks = told["drink water"]
    assert drinks["right_b"] == fused[data.label == 0].sum() and drinks["clips"] == (data.label == 0).sum()
    assert sum(each["only_b"] for each in told.values()) == pytest.approx((fused & ~skeleton).sum(), abs=1)
    held = table.content["held_out"]
    assert held["unseen_by_network"] and table.content["trained_on"] + held["clips"] == 320
    assert {row["title"] for row in table.content["divisions"]} == {"xsub", "xview"}
    lines = (table.out / "multimodal.csv").read_text().splitlines()
    assert len(lines) == 1 + len(table.rows) + 2 and lines[1].startswith("S,")
    skeleton, fused = (table.content["cost"][key]["kept_mb"] for key in "SF")
    assert 0 < skeleton < fused < skeleton + 0.1, "of a training step a head adds little"
    page = (table.out / "multimodal.html").read_text()
    assert f"fitted weight of the descriptors, by seed: {table.content['late_weights']['1']:g}." in page
    assert "gated fusion of features" in page and "same rooms and by the same cameras" in page


def without_times(content: dict) -> dict:
    return {key: value for key, value in content.items() if key != "cost"}


def test_a_table_goes_on_where_it_was_and_ends_the_same_bit_for_bit(lab, table):
    again = lab.folder / "again"
    shutil.copytree(table.out, again)
    gone = ["F-seed1.npz", "I-linear-attention-seed1.npz"]
    for name in gone:
        (again / "parts" / name).unlink()
    (again / "multimodal.json").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in (again / "parts").iterdir()}
    assert cli.main(words(lab, again, "--seeds", 1, *HEADS)) == 0
    for name in gone:
        with np.load(table.out / "parts" / name) as first, np.load(again / "parts" / name) as second:
            for key in set(first.files) - {"seconds"}:
                assert np.array_equal(first[key], second[key]), (name, key)
    assert before.items() <= {path.name: path.stat().st_mtime_ns for path in (again / "parts").iterdir()}.items()
    assert without_times(json.loads((again / "multimodal.json").read_text())) == without_times(table.content)


@pytest.mark.slow
def test_a_network_that_learns_along_is_resumed_within_its_training(lab, monkeypatch):
    few = {"data": lab.folder / "few.npz", "descriptors": lab.folder / "few_d.npz"}
    archive.write(few["data"], train=32, test=16, actions=ACTIONS, resample=FRAMES, two_person_share=0, progress=False)
    descriptors.write(few["descriptors"], few["data"])
    flags = (*QUICK, "--tune", "--tune-epochs", 2, "--batch-size", 8, "--observe", 0.6)
    assert cli.main(words(lab, lab.folder / "whole", *flags, **few)) == 0
    keep, seen = training._keep, []

    def interrupted(*arguments):
        keep(*arguments)
        seen.append(arguments[2])
        if len(seen) == 3:  # the first epoch of the second network
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "_keep", interrupted)
        assert cli.main(words(lab, lab.folder / "broken", *flags, **few)) == 130
    left = {path.name for path in (lab.folder / "broken" / "parts").iterdir()}
    assert "F-tuned-seed1.pt" in left and "F-tuned-seed1.npz" not in left and seen == [1, 2, 1]
    assert cli.main(words(lab, lab.folder / "broken", *flags, **few)) == 0
    for name in ("S-tuned", "F-tuned", "K-tuned", "F-tuned-shuffled"):
        made = [np.load(lab.folder / run / "parts" / f"{name}-seed1.npz")["test"] for run in ("whole", "broken")]
        assert np.array_equal(*made) and np.isfinite(made[0]).all(), name
    content = json.loads((lab.folder / "broken" / "multimodal.json").read_text())
    assert "The first 60 % of every clip are seen" in content["notices"][-1]
    assert {"F-tuned", "F-tuned-shuffled"} <= {row["key"] for row in content["rows"]}


def test_descriptors_that_are_missing_and_of_whole_clips(lab, capsys):
    found = open_descriptors(lab.descriptors)
    folder = lab.folder / "folder"
    folder.mkdir()
    for entry, name in enumerate(found.names[:470]):
        np.save(folder / f"{name}.npy", found.read(entry).mean(0))
    assert cli.main(words(lab, lab.folder / "partly", *QUICK, descriptors=folder)) == 0
    told = capsys.readouterr().out
    assert "10 of 160 test clips have no descriptor" in told and "attention over time" not in told
    assert cli.main(words(lab, lab.folder / "future", *QUICK, "--observe", 0.5, descriptors=folder)) == 2
    assert "has one descriptor of each whole clip, which knows its end" in capsys.readouterr().err


def test_descriptors_follow_the_clips_of_a_feeder_that_reads_them_in_another_order(lab):
    """PYSKL reads a pickle as it is stored, its split lists may name the clips in any order."""
    assert cli.main(["convert", "--input", str(lab.data), "--output", str(lab.folder / "plain.pkl")]) == 0
    content = pickle.loads((lab.folder / "plain.pkl").read_bytes())
    for names in content["split"].values():
        np.random.default_rng(0).shuffle(names)
    (lab.folder / "mixed.pkl").write_bytes(pickle.dumps(content))
    parts, found, task = task_of(lab, data=lab.folder / "mixed.pkl")
    assert parts["train"].names != task.parts["train"].names
    for split, each in task.frozen.items():
        told = [found.descriptors.names[entry] for entry in task.entries[split]]
        assert told == task.names[split] and [int(name[-3:]) - 1 for name in told] == each.labels.tolist()
    names = [unit.name for unit in units.units(task, Namespace(tune=True))]
    assert len(set(names)) == len(names) and {"I-rest", "I-xview", "K-tuned"} <= set(names)
    assert not task.unseen and len(task.train) == 320 and 0 < len(task.held) < 160  # another file than it learned from


def test_other_settings_do_not_mix_with_a_table(lab, table, capsys):
    assert cli.main(words(lab, table.out, "--seeds", 1, "--epochs", 20, "--lr", 0.02)) == 2
    assert "holds a table of other settings (lr: 0.01 there, 0.02 here)" in capsys.readouterr().err
    again = descriptors.write(lab.folder / "moved" / "d.npz", lab.data, seed=7)
    kept = lab.descriptors.read_bytes()
    try:
        lab.descriptors.write_bytes(again.read_bytes())  # made anew under the same name
        assert cli.main(words(lab, table.out, "--seeds", 1, *HEADS)) == 2
    finally:
        lab.descriptors.write_bytes(kept)
    assert "(--descriptors: another content there than here)" in capsys.readouterr().err


def test_an_archive_is_known_by_its_content(lab, table, tmp_path, capsys):
    other = tmp_path / "another_name.npz"
    shutil.copy(lab.data, other)
    told = words(lab, table.out, "--seeds", 1, *HEADS, data=other)
    assert cli.main(told) == 0
    gone = lab.data.rename(lab.data.with_name("gone.npz"))
    try:  # nothing tells any more that the network held out subjects of it, so heads would learn from others
        assert cli.main(told) == 2
    finally:
        gone.rename(lab.data)
    assert "(heads learned from other clips: what the network was trained on is gone" in capsys.readouterr().err
    with np.load(lab.data) as file:
        np.savez(other, **{**file, "x_train": file["x_train"] * np.float32(1.01)})
    assert not task_of(lab, data=other)[2].unseen
    assert cli.main(words(lab, table.out, "--seeds", 1, *HEADS, data=other)) == 2
    assert "(--data: another content there than here)" in capsys.readouterr().err


def test_labels_and_names_count_wherever_they_lie_in_a_large_file(lab):
    def digest() -> str:
        return clips.digest_of(lab.data, parts)

    parts = open_source(lab.data)
    before, seen = digest(), set()
    for change in (lambda part: part.labels.__setitem__(7, 1), lambda part: part.names.__setitem__(7, "another")):
        change(parts["test"])
        seen.add(digest())
    assert len(seen | {before}) == 3


def test_a_table_that_lost_its_settings_or_features_takes_no_others(lab, table, tmp_path, capsys):
    for name, line in (("features.npz", "(lr: 0.01 there, 0.02 here)"), ("settings.json", "and no settings.json")):
        out = tmp_path / name
        shutil.copytree(table.out, out)
        (out / name).unlink()
        assert cli.main(words(lab, out, "--seeds", 1, "--epochs", 20, "--lr", 0.02)) == 2
        assert line in capsys.readouterr().err


@pytest.mark.parametrize(
    ("learned", "tested", "known"),
    [(["walk/001", "run/001"], ["sit/001", "walk/002"], 0),  # names of their folder each
     (["walk/001", "run/001"], ["walk/001", "walk/002"], 1),
     (["a/S1.npy", "b/S2.npy"], ["S2.skeleton", "S3.skeleton"], 1)],
)  # fmt: skip
def test_test_clips_that_the_network_knows_are_those_of_the_same_name(learned, tested, known):
    assert clips._known_before(SimpleNamespace(names=learned), tested) == known


def test_weights_of_another_room_are_told_by_its_name(lab, tmp_path, capsys):
    told = words(lab, tmp_path / "out", *QUICK)
    for room in ("ctrgcn", "stgcn"):
        assert cli.main([told[0], room, *told[2:]]) == 2
        line = capsys.readouterr().err.splitlines()
        assert len(line) == 1 and line[0].startswith(f"error: --config {lab.folder / 'config.yaml'}: its network ")
        assert f"model.stgcnpp.Model is in PYSKL, not in {registry.find(room).folder}" in line[0]


def test_clips_that_a_feeder_leaves_out_are_left_out_of_everything(lab, monkeypatch, tmp_path):
    whole, left = clips.feeder_of, {"train": 3, "test": 5}

    def fewer(network, options, split):
        feeder = whole(network, options, split)
        feeder.restrict(np.delete(np.arange(len(feeder)), left[split]))
        return feeder

    monkeypatch.setattr(clips, "feeder_of", fewer)
    tasks = [task_of(lab, cache=tmp_path / "features.npz")[2] for _ in range(2)]  # the second one reads what is kept
    for split, names in {split: part.names for split, part in open_source(lab.data).items()}.items():
        del names[left[split]]
        for task in tasks:
            assert [task.descriptors.names[entry] for entry in task.entries[split]] == names == task.names[split]
            assert [int(name[-3:]) - 1 for name in names] == task.frozen[split].labels.tolist()
    assert np.array_equal(tasks[0].frozen["test"].features, tasks[1].frozen["test"].features)


def test_test_clips_that_the_network_was_trained_on_are_told(lab, tmp_path, capsys):
    with np.load(lab.data) as file:
        pairs = {key: (file[f"{key}_train"][:30], file[f"{key}_test"][:20]) for key in ("x", "y", "name")}
    whole = {key: np.concatenate(pair) for key, pair in pairs.items()}
    rows = np.random.default_rng(0).permutation(50)
    parts = {"train": rows[:30], "test": rows[30:]}
    other = tmp_path / "another_division.npz"
    np.savez(other, **{f"{key}_{split}": whole[key][r] for key in whole for split, r in parts.items()})
    known = int((parts["test"] < 30).sum())
    assert cli.main(words(lab, tmp_path / "out", *QUICK, data=other)) == 0
    line = f"The network was trained on {known} of 20 test clips"
    assert 0 < known < 20 and line in capsys.readouterr().out
    assert line in (tmp_path / "out" / "multimodal.html").read_text()


def test_heads_learn_from_the_clips_that_the_network_learned_from(lab, tmp_path):
    config = yaml.safe_load((lab.folder / "config.yaml").read_text()) | {"shots": 3, "val_share": 0.3}
    (tmp_path / "few.yaml").write_text(yaml.safe_dump(config))
    task = task_of(lab, config=tmp_path / "few.yaml")[2]
    options = Namespace(**config)
    feeder = skeleton_lab.create_dataset("stgcnpp", lab.data, split="train", config=lab.folder / "config.yaml")
    held = dataloader.subjects_apart(feeder.clips.subjects, options.val_share, options.seed)
    feeder.restrict(np.flatnonzero(~held))
    shots.keep(options, feeder, print)
    assert [task.names["train"][row] for row in task.train] == feeder.sample_name
    assert np.bincount(task.frozen["train"].labels[task.train]).max() == 3 and len(task.held) == held.sum()


def test_a_test_feeder_that_sees_less_than_is_said_is_refused(lab, tmp_path, capsys):
    config = yaml.safe_load((lab.folder / "config.yaml").read_text())
    config["test_feeder_args"]["observe"] = 0.5
    (tmp_path / "half.yaml").write_text(yaml.safe_dump(config))
    assert cli.main(words(lab, tmp_path / "out", *QUICK, config=tmp_path / "half.yaml")) == 2
    assert "its test feeder has observe=0.5; give --observe the share" in capsys.readouterr().err


def test_a_training_that_diverges_is_told_and_leaves_nothing(lab, table, monkeypatch, capsys):
    out = lab.folder / "diverged"
    shutil.copytree(table.out, out)
    monkeypatch.setattr(units, "answers", lambda head, examples, *_: np.full((len(examples), 60), np.nan, np.float32))
    assert cli.main(words(lab, out, "--seeds", 2, *HEADS)) == 2
    assert "S-head, seed 2: what it says of the clips is not finite" in capsys.readouterr().err
    assert not list((out / "parts").glob("*seed2*"))


def test_a_file_that_may_not_grow_is_one_line(lab, tmp_path, monkeypatch, capsys):
    def full(file, **_):
        raise OSError(errno.EFBIG, "File too large")  # a write tells no name

    monkeypatch.setattr(np, "savez", full)
    assert cli.main(words(lab, tmp_path / "out", *QUICK)) == 2
    assert f"error: {tmp_path / 'out' / 'features.npz'}: File too large" in capsys.readouterr().err


def test_damaged_files_of_an_earlier_start_are_told_and_not_believed(lab, table, capsys):
    out = lab.folder / "damaged"
    shutil.copytree(table.out, out)

    def told(change) -> str:
        file, content = out / change[0], (out / change[0]).read_bytes()
        change[1](file)
        assert cli.main(words(lab, out, "--seeds", 1, *HEADS)) == 2
        file.write_bytes(content)
        lines = capsys.readouterr().err.strip().splitlines()
        assert lines[-1].startswith("error: ")
        return lines[-1]

    def fewer(file: Path) -> None:
        with np.load(file) as old:
            arrays = {key: value[:9] if value.ndim else value for key, value in old.items()}
        np.savez(file, **arrays)

    for name in ("features.npz", "parts/F-seed1.npz"):
        for change in (fewer, lambda file: np.savez(file, other=1), lambda file: file.write_bytes(b"PK")):
            assert f"{name} is damaged" in told((name, change)), (name, change)
    assert "settings.json: is damaged" in told(("settings.json", lambda file: file.write_text("[1]")))
    state = out / "parts" / "S-tuned-seed1.pt"
    state.write_bytes(b"of another program")
    assert cli.main(words(lab, out, "--seeds", 1, *HEADS, "--tune", "--tune-epochs", 1)) == 2
    assert "S-tuned-seed1.pt is damaged" in capsys.readouterr().err


def test_a_start_that_fails_early_leaves_its_settings_to_nobody(lab, capsys):
    out = lab.folder / "early"
    kept = lab.weights.read_bytes()
    try:
        content = torch.load(lab.weights, weights_only=True)
        torch.save({**content, next(iter(content)): torch.zeros(3)}, lab.weights)
        assert cli.main(words(lab, out, *QUICK)) == 2
    finally:
        lab.weights.write_bytes(kept)
    assert cli.main(words(lab, out, *QUICK, "--lr", 0.02)) == 0


def test_what_is_over_by_the_time_that_is_observed(lab, capsys):
    found = open_descriptors(lab.descriptors)
    folder = lab.folder / "halves"
    folder.mkdir()
    for entry, name in enumerate(found.names):
        np.save(folder / f"{name}.npy", found.read(entry)[: 1 if entry % 3 == 0 else 2])  # of all of it, of its halves
    assert cli.main(words(lab, lab.folder / "early_half", *QUICK, "--observe", 0.5, descriptors=folder)) == 0
    told = capsys.readouterr().out
    assert "Of 53 of 160 test clips no descriptor is known by the time that is observed" in told
    assert cli.main(words(lab, lab.folder / "early_tenth", *QUICK, "--observe", 0.1, descriptors=folder)) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith("error: --observe 0.1: of train clips no stretch that a descriptor is of is over by then")


@pytest.mark.parametrize(("flags", "line"), [
    ({"descriptors": "nothing.npz"}, "nothing.npz: there is no such file or folder"),
    ({"weights": "nothing.pt"}, "nothing.pt: there is no such file"),
    ({"observe": 0}, "--observe 0 must be above 0"),
    ({"seeds": -1}, "--seeds: different whole numbers"),
    ({"lr": 0}, "--lr 0 must be above 0"),
    ({"drop": 2}, "--drop 2 must lie between"),
])  # fmt: skip
def test_what_cannot_be_is_one_line(lab, flags, line, capsys, tmp_path):
    assert cli.main(words(lab, tmp_path / "out", **flags)) == 2
    told = capsys.readouterr().err
    assert line in told and told.count("\n") == 1
