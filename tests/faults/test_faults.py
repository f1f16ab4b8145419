"""Bad input: every kind ends with one line on stderr that names the culprit, exit code 2, and nothing lost."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from parity.kaggle_sample import make_kaggle_arrays
from places import ROOT

from skeleton_lab import registry
from skeleton_lab.engine import run

ROOM = ROOT / "CTR-GCN"
CONFIG = "config/nturgbd-cross-subject/default.yaml"


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return make_kaggle_arrays()


@pytest.fixture(scope="module")
def good(arrays, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("good") / "good.npz"
    np.savez(path, **arrays)
    return path


def data_flags(path: Path | str, **more) -> list[str]:
    """A short training run of CTR-GCN on ``path``."""
    feeder = {"data_path": str(path), "window_size": 16, **more}
    return [
        "--train-feeder-args", str(feeder), "--test-feeder-args", str(feeder),
        "--num-epoch", "1", "--batch-size", "4", "--test-batch-size", "8", "--num-worker", "0", "--device", "cpu",
    ]  # fmt: skip


class Evil:
    def __reduce__(self):
        return (os.system, ("touch pwned",))


# name, (arrays, folder, good file) -> arguments behind --config, what the line must name
FAULTS = {}


def fault(*words: str):
    def register(function):
        FAULTS[function.__name__] = (function, words)
        return function

    return register


def save(folder: Path, arrays: dict[str, np.ndarray], **changed) -> Path:
    path = folder / "bad.npz"
    np.savez(path, **{**arrays, **changed})
    return path


@fault("--bathc-size", "--batch-size")
def unknown_flag(arrays, folder, good):
    return [*data_flags(good), "--bathc-size", "8"]


@fault("extra.yaml", "nun_epoch", "num_epoch")
def unknown_yaml_key(arrays, folder, good):
    (folder / "extra.yaml").write_text("nun_epoch: 3\n")
    return ["--config", str(folder / "extra.yaml")]


@fault("nowhere.yaml")
def missing_config(arrays, folder, good):
    return ["--config", str(folder / "nowhere.yaml")]


@fault("config")
def config_is_a_folder(arrays, folder, good):
    return ["--config", str(folder)]


@fault("broken.yaml")
def broken_yaml(arrays, folder, good):
    (folder / "broken.yaml").write_text("a: [1, 2\nb: }")
    return ["--config", str(folder / "broken.yaml")]


@fault("--base-lr", "abc")
def flag_of_the_wrong_type(arrays, folder, good):
    return [*data_flags(good), "--base-lr", "abc"]


@fault("nesterov", "maybe")
def unclear_boolean(arrays, folder, good):
    return [*data_flags(good), "--nesterov", "maybe"]


@fault("train-feeder-args")
def dict_flag_that_is_code(arrays, folder, good):
    return ["--train-feeder-args", "__import__('os').system('touch pwned')"]


@fault("batch-size")
def batch_size_zero(arrays, folder, good):
    return [*data_flags(good), "--batch-size", "0"]


@fault("optimizer", "SGDD")
def unknown_optimizer(arrays, folder, good):
    return [*data_flags(good), "--optimizer", "SGDD"]


@fault("device", "banana")
def unknown_device(arrays, folder, good):
    return [*data_flags(good), "--device", "banana"]


@fault("model.ctrgnc")
def unknown_model(arrays, folder, good):
    return [*data_flags(good), "--model", "model.ctrgnc.Model"]


@fault("absent.npz")
def missing_archive(arrays, folder, good):
    return data_flags(folder / "absent.npz")


@fault("note.npz")
def archive_that_is_text(arrays, folder, good):
    (folder / "note.npz").write_text("not an archive\n" * 100)
    return data_flags(folder / "note.npz")


@fault("cut.npz")
def truncated_archive(arrays, folder, good):
    (folder / "cut.npz").write_bytes(good.read_bytes()[:1_000_000])
    return data_flags(folder / "cut.npz")


@fault("bad.npz", "y_train")
def archive_without_labels(arrays, folder, good):
    path = folder / "bad.npz"
    np.savez(path, **{k: v for k, v in arrays.items() if k != "y_train"})
    return data_flags(path)


@fault("bad.npz", "149")
def wrong_number_of_columns(arrays, folder, good):
    return data_flags(save(folder, arrays, x_train=arrays["x_train"][..., :149]))


@fault("bad.npz", "y_train")
def lengths_that_differ(arrays, folder, good):
    return data_flags(save(folder, arrays, y_train=arrays["y_train"][:-1]))


@fault("bad.npz", "x_train", "5")
def nan_coordinates(arrays, folder, good):
    x = arrays["x_train"].copy()
    x[5, 7, 3] = np.nan
    return data_flags(save(folder, arrays, x_train=x))


@fault("bad.npz", "y_train", "3")
def two_classes_in_a_row(arrays, folder, good):
    y = arrays["y_train"].copy()
    y[3, :2] = 1
    return data_flags(save(folder, arrays, y_train=y))


@fault("59", "num_class")
def label_beyond_the_model(arrays, folder, good):
    return [*data_flags(good), "--model-args", "num_class=50"]


@fault("bad.npz", "x_train")
def empty_archive(arrays, folder, good):
    return data_flags(save(folder, arrays, x_train=arrays["x_train"][:0], y_train=arrays["y_train"][:0]))


@fault("bad.npz", "x_train")
def pickled_objects_inside(arrays, folder, good):
    return data_flags(save(folder, arrays, x_train=np.array([Evil()] * 12, dtype=object)))


@fault("windowsize", "window_size")
def misspelt_feeder_argument(arrays, folder, good):
    return data_flags(good, windowsize=16)


@fault("window_size")
def window_of_minus_one(arrays, folder, good):
    return data_flags(good, window_size=-1)


@fault("p_interval")
def impossible_crop(arrays, folder, good):
    return data_flags(good, p_interval=[0.5, 1.5])


@fault("batch")
def fewer_samples_than_a_batch(arrays, folder, good):
    return [*data_flags(good), "--batch-size", "64"]


@fault("--weights")
def phase_test_without_weights(arrays, folder, good):
    return [*data_flags(good), "--phase", "test"]


@fault("absent.pt")
def missing_weights(arrays, folder, good):
    return [*data_flags(good), "--phase", "test", "--weights", str(folder / "absent.pt")]


@fault("other.pt", "fc.weight")
def weights_of_another_model(arrays, folder, good):
    with registry.room("CTR-GCN"):
        model = registry.load("CTR-GCN", "model.ctrgcn.Model")(
            num_class=10, graph="graph.ntu_rgb_d.Graph", graph_args={"labeling_mode": "spatial"}
        )
    torch.save(model.state_dict(), folder / "other.pt")
    return [*data_flags(good), "--phase", "test", "--weights", str(folder / "other.pt")]


@fault("evil.pkl")
def weights_that_run_code(arrays, folder, good):
    (folder / "evil.pkl").write_bytes(pickle.dumps({"fc.weight": Evil()}))
    return [*data_flags(good), "--weights", str(folder / "evil.pkl")]


@fault("evil.pt")
def checkpoint_that_runs_code(arrays, folder, good):
    torch.save({"fc.weight": Evil()}, folder / "evil.pt")
    return [*data_flags(good), "--weights", str(folder / "evil.pt")]


@fault("taken")
def work_dir_that_is_a_file(arrays, folder, good):
    (folder / "taken").write_text("")
    return [*data_flags(good), "--work-dir", str(folder / "taken")]


@fault("subjects")
def subjects_that_the_archive_does_not_tell(arrays, folder, good):
    return [*data_flags(good), "--val-split", "subjects"]


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_one_line_and_exit_code_2(name, arrays, good, tmp_path, monkeypatch, capfd):
    function, words = FAULTS[name]
    more = function(arrays, tmp_path, good)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    monkeypatch.chdir(ROOM)
    argv = ["--config", CONFIG, "--work-dir", str(tmp_path / "work"), *more]
    with registry.room("CTR-GCN"):
        code = run(registry.find("C").recipe, str(ROOM / "main.py"), argv)
    err = [line for line in capfd.readouterr().err.splitlines() if line.strip()]
    errors = [line for line in err if line.startswith("error:")]
    assert code == 2, err
    assert len(errors) == 1 and err[-1] == errors[0], err
    assert "Traceback" not in "".join(err)
    for word in words:
        assert word in errors[0], errors[0]
    assert len(errors[0]) < 600
    assert all(path.read_bytes() == content for path, content in before.items())
    assert not list(Path.cwd().glob("pwned")) and not list(tmp_path.rglob("pwned"))


def test_there_are_more_than_twenty_kinds():
    assert len(FAULTS) >= 20


def test_a_real_process_ends_the_same_way(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump({"work_dir": str(tmp_path / "w"), "batch_siez": 3}))
    done = subprocess.run(
        [sys.executable, "main.py", "--config", str(config)], cwd=ROOM, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert "batch_siez" in done.stderr and "batch_size" in done.stderr
