"""Features of a supervised room in the layout of the zero-shot methods."""

from __future__ import annotations

import io
import pickle
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from skeleton_lab import registry
from skeleton_lab.data.archives import class_splits, convert
from skeleton_lab.data.synthetic import archive as synthetic
from skeleton_lab.inference.network import Network
from skeleton_lab.zero_shot.features import extract as features
from skeleton_lab.zero_shot.features import program


def test_unseen_columns_are_below_all_others() -> None:
    logits = np.array([[1.0, 5, -2, 9], [0, 0, 3, 4]], np.float32)
    found = features.masked(logits, np.array([0, 2]))
    assert found.dtype == np.float32
    assert found.tolist() == [[1, -3, -2, -3], [0, -1, 3, -1]]


def test_held_out_clips_are_some_of_each_class() -> None:
    labels = np.repeat([3, 5, 8, 9], [100, 10, 2, 1])
    order = features.Order(Path("x"), class_splits.load("r", 5, 60), "val", held_out=4)
    mask = features._some_of_each(labels, order)
    assert [int(mask[labels == k].sum()) for k in (3, 5, 8, 9)] == [4, 2, 1, 0]
    np.testing.assert_array_equal(mask, features._some_of_each(labels, order))


@pytest.fixture(scope="module")
def stgcn(tmp_path_factory: pytest.TempPathFactory) -> Namespace:
    """A synthetic archive and an untrained ST-GCN with its configuration."""
    folder = tmp_path_factory.mktemp("stgcn")
    archive = folder / "clips.npz"
    synthetic.write(archive, train=66, test=44, classes=22, resample=4, progress=False)
    config = yaml.safe_load((registry.find("ST-GCN").path / "config/st_gcn/ntu-xsub/train.yaml").read_text())
    for part in ("train", "test"):
        config[f"{part}_feeder_args"] = {"data_path": str(archive), "split": part}
    config |= {"device": "cpu", "seed": 1, "classes": "ntu60_48_12:seen"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    for name, chosen in (("val", "ntu60_48_12:val_seen"), ("all", None), ("alone", None)):
        (folder / name).mkdir()
        (folder / name / f"{'own' if name == 'alone' else 'config'}.yaml").write_text(
            yaml.safe_dump(config | {"classes": chosen})
        )
    with registry.room("ST-GCN"):
        torch.manual_seed(0)
        net = registry.load("ST-GCN", config["model"])(**config["model_args"])
        for place in ("", "val", "all", "alone"):
            torch.save(net.state_dict(), folder / place / "net.pt")
    return Namespace(folder=folder, archive=archive, config=folder / "config.yaml", weights=folder / "net.pt", net=net)


def command(stgcn: Namespace, out: Path, *more: str, config: str = "config.yaml") -> list[str]:
    path = stgcn.folder / config
    return [
        "--room", "ST-GCN", "--config", str(path), "--weights", str(path.with_name("net.pt")),
        "--archive", str(stgcn.archive), "--ss", "12", "--ve", "shift", "--out", str(out), *more,
    ]  # fmt: skip


def arrays(folder: Path) -> dict[str, np.ndarray]:
    return {path.stem: np.load(path) for path in folder.glob("*.npy")}


@pytest.mark.slow
def test_folder_of_the_training_phase(stgcn: Namespace, tmp_path: Path) -> None:
    assert program.main(command(stgcn, tmp_path)) == 0
    made = arrays(tmp_path / "shift_12_r")
    names = {"train", "train_label", "ztest", "z_label", "gtest", "g_label", "gtest_out", "ztest_out"}
    assert made.keys() == names
    with np.load(stgcn.archive) as archive:
        train, test = archive["y_train"].argmax(1), archive["y_test"].argmax(1)
        clips = archive["x_test"]
    unseen = class_splits.load("r", 12, 60).unseen
    np.testing.assert_array_equal(made["train_label"], train[~np.isin(train, unseen)])
    np.testing.assert_array_equal(made["z_label"], test[np.isin(test, unseen)])
    np.testing.assert_array_equal(made["g_label"], test)
    np.testing.assert_array_equal(made["ztest"], made["gtest"][np.isin(test, unseen)])
    for name in ("train", "ztest", "gtest"):
        assert made[name].dtype == np.float32
        assert made[name].shape[1] == 256
    assert all(made[name].dtype == np.int64 for name in ("train_label", "z_label", "g_label"))

    # the classifier on the features is the network on the clips
    head = next(m for m in reversed(list(stgcn.net.modules())) if isinstance(m, nn.Conv2d))
    with torch.no_grad():
        x = torch.from_numpy(clips).view(len(clips), -1, 2, 25, 3).permute(0, 4, 1, 3, 2)
        expected = stgcn.net.eval()(x).numpy()
        again = torch.from_numpy(made["gtest"]) @ head.weight[:, :, 0, 0].T + head.bias
    np.testing.assert_allclose(again.numpy(), expected, atol=1e-4)
    seen = np.setdiff1d(np.arange(60), unseen)
    np.testing.assert_allclose(made["gtest_out"][:, seen], expected[:, seen], atol=1e-4)
    lowest = made["gtest_out"][:, seen].min(1, keepdims=True)
    np.testing.assert_allclose(made["gtest_out"][:, unseen], np.repeat(lowest - 1, 12, 1), atol=1e-5)


@pytest.mark.slow
def test_layout_picks_the_division_of_a_pickle(stgcn: Namespace, tmp_path: Path, capsys) -> None:
    pickled = tmp_path / "ntu.pkl"
    assert convert.main(["--input", str(stgcn.archive), "--output", str(pickled), "--quiet"]) == 0
    content = pickle.loads(pickled.read_bytes())
    train, test = content["split"]["xsub_train"], content["split"]["xsub_val"]
    content["split"] |= {"xview_train": train, "xview_val": test[::-1]}
    pickled.write_bytes(pickle.dumps(content))
    given = Namespace(**(vars(stgcn) | {"archive": pickled}))
    assert program.main(command(given, tmp_path / "none")) == 2
    assert "--layout" in capsys.readouterr().err
    made = {}
    for name in ("xsub", "xview"):
        assert program.main(command(given, tmp_path / name, "--layout", f"pyskl:{name}")) == 0
        made[name] = arrays(tmp_path / name / "shift_12_r")
    np.testing.assert_array_equal(made["xsub"]["g_label"], made["xview"]["g_label"][::-1])
    np.testing.assert_allclose(made["xsub"]["gtest"], made["xview"]["gtest"][::-1], atol=1e-5)


@pytest.mark.slow
def test_folder_of_the_validation_phase(stgcn: Namespace, tmp_path: Path) -> None:
    assert program.main(command(stgcn, tmp_path, "--phase", "val", "--held-out", "1", config="val/config.yaml")) == 0
    made = arrays(tmp_path / "shift_val_12_r")
    names = {"train", "train_label", "ztest", "z_label", "val", "val_label", "ztest_out", "val_out"}
    assert made.keys() == names
    split = class_splits.load("r", 12, 60, "val")
    assert np.isin(made["z_label"], split.unseen).all()
    assert np.isin(made["train_label"], split.seen).all()
    assert np.bincount(made["val_label"]).max() == 1
    assert np.isin(np.unique(made["train_label"]), made["val_label"]).all()
    with np.load(stgcn.archive) as archive:
        train = archive["y_train"].argmax(1)
    both = np.concatenate([made["train_label"], made["val_label"]])
    np.testing.assert_array_equal(np.sort(both), np.sort(train[np.isin(train, split.seen)]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "weights", "told"),
    [
        ("all/config.yaml", "all", "--config: the network was trained on all classes"),
        ("alone/own.yaml", "alone", "--config: the network was trained on all classes"),
        ("val/config.yaml", "val", "other classes are seen here"),
        ("config.yaml", "all", "all/config.yaml: the network was trained on all classes"),
    ],
)
def test_weights_that_have_seen_unseen_classes_are_refused(config, weights, told, stgcn, tmp_path, capsys) -> None:
    words = [*command(stgcn, tmp_path, config=config), "--weights", str(stgcn.folder / weights / "net.pt")]
    assert program.main(words) == 2
    error = capsys.readouterr().err.splitlines()
    assert error[-1].startswith("error: ") and told in error[-1] and "--classes ntu60_48_12:seen" in error[-1]
    assert program.main([*words, "--allow-leak"]) == 0


@pytest.mark.slow
def test_a_stopped_extraction_goes_on_and_a_finished_one_is_kept(
    stgcn: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    assert program.main(command(stgcn, tmp_path / "whole")) == 0
    monkeypatch.setattr(features, "BLOCK", 20)
    logits, calls = Network.logits, []

    def counted(self, feeder, title="predicting"):
        calls.append(len(feeder))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return logits(self, feeder, title)

    monkeypatch.setattr(Network, "logits", counted)
    argv = command(stgcn, tmp_path / "parts")
    assert program.main(argv) == 130
    assert program.main(argv) == 0
    total = sum(len(np.load(tmp_path / f"whole/shift_12_r/{name}.npy")) for name in ("train", "ztest", "gtest"))
    assert sum(calls) - calls[3] == total  # no block twice, but for the one that was broken off
    whole, parts = (arrays(tmp_path / name / "shift_12_r") for name in ("whole", "parts"))
    for name, array in whole.items():
        np.testing.assert_allclose(parts[name], array, atol=1e-5)
    done = len(calls)
    assert program.main(argv) == 0
    assert len(calls) == done
    assert not (tmp_path / "parts" / "shift_12_r" / ".parts").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--phase", "val"), "class 4 is unseen here"),
        (("--ss", "7"), "rs53"),
        (("--ntu", "120", "--ss", "10"), "the network has 60 outputs and --ntu says 120"),
        (("--room", "FS-VAE"), "trains no backbone"),
        (("--archive", "none.npz"), "--archive none.npz: there is no such file"),
        (("--held-out", "0"), "--held-out 0"),
    ],
)
def test_what_does_not_go_together_is_one_line(stgcn: Namespace, tmp_path: Path, capsys, more, words) -> None:
    assert program.main(command(stgcn, tmp_path, *more)) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.strip().count("\n") == 0
    assert not list(tmp_path.iterdir())


# one folder, one network


def other_weights(stgcn: Namespace, folder: Path) -> list[str]:
    """Flags that name another network of the same training."""
    torch.save({key: value * 1.5 for key, value in stgcn.net.state_dict().items()}, folder / "other.pt")
    return ["--weights", str(folder / "other.pt")]


@pytest.mark.slow
def test_a_folder_belongs_to_one_network(stgcn: Namespace, tmp_path: Path, monkeypatch, capsys) -> None:
    """Made by A; B is refused, also where A was only begun, and A finds its own files, none of B's."""
    argv, other = command(stgcn, tmp_path / "out"), other_weights(stgcn, tmp_path)
    folder = tmp_path / "out" / "shift_12_r"
    logits = Network.logits
    monkeypatch.setattr(Network, "logits", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    assert program.main(argv) == 130
    monkeypatch.setattr(Network, "logits", logits)
    assert program.main([*argv, *other]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and "begun from another network" in error and "net.pt" in error
    assert program.main(argv) == 0
    made = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert program.main([*argv, *other]) == 2
    assert "was made from another network" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == made

    # A file of another network, under the same name and of the same shape, is no file of this one.
    assert program.main([*command(stgcn, tmp_path / "b"), *other]) == 0
    for name in ("ztest", "gtest_out"):
        (folder / f"{name}.npy").write_bytes((tmp_path / "b" / "shift_12_r" / f"{name}.npy").read_bytes())
    capsys.readouterr()
    assert program.main(argv) == 0
    assert "previous/1" in capsys.readouterr().out
    for name in ("ztest", "gtest_out"):
        np.testing.assert_allclose(np.load(folder / f"{name}.npy"), _array(made[f"{name}.npy"]), atol=1e-5)


def _array(data: bytes) -> np.ndarray:
    return np.load(io.BytesIO(data))


@pytest.mark.slow
def test_published_features_are_kept(stgcn: Namespace, tmp_path: Path, capsys) -> None:
    """Files that no network of the lab made, where its own are to go."""
    folder = tmp_path / "shift_12_r"
    folder.mkdir()
    np.save(folder / "train.npy", np.arange(6.0))
    published = (folder / "train.npy").read_bytes()
    assert program.main(command(stgcn, tmp_path)) == 0
    assert (folder / "previous" / "1" / "train.npy").read_bytes() == published
    assert "previous/1" in capsys.readouterr().out
    assert np.load(folder / "train.npy").shape[1] == 256


@pytest.mark.slow
def test_another_place_of_the_archive_is_the_same_archive(stgcn: Namespace, tmp_path: Path, monkeypatch) -> None:
    assert program.main(command(stgcn, tmp_path)) == 0
    (tmp_path / "copy.npz").write_bytes(stgcn.archive.read_bytes())
    monkeypatch.setattr(Network, "logits", lambda *_: (_ for _ in ()).throw(AssertionError("computed again")))
    assert program.main([*command(stgcn, tmp_path), "--archive", str(tmp_path / "copy.npz")]) == 0


@pytest.mark.slow
def test_weights_that_saw_everything_under_an_innocent_configuration(stgcn, tmp_path, monkeypatch, capsys) -> None:
    """The configuration says seen classes; the logits tell otherwise, before the long part is computed."""
    real, calls = Network.logits, []

    def knowing(self, feeder, title="predicting"):
        calls.append(title.split()[0])
        found = real(self, feeder, title)
        with np.load(stgcn.archive) as archive:
            labels = archive["y_test"].argmax(1)
        if calls[-1] == "ztest":
            labels = labels[np.isin(labels, class_splits.load("r", 12, 60).unseen)]
            found[np.arange(len(labels)), labels] += 1000
        return found

    monkeypatch.setattr(Network, "logits", knowing)
    assert program.main(command(stgcn, tmp_path)) == 2
    assert "was trained on these classes" in capsys.readouterr().err
    assert calls == ["ztest"] and not list((tmp_path / "shift_12_r").glob("*.npy"))
