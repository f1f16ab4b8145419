"""FreqMixFormer's torchlight: the names that programs of ST-GCN's family import, and what they do."""

from __future__ import annotations

import argparse
import os
import pickle
import re
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from skeleton_lab import registry
from skeleton_lab.errors import UsageError, WeightsError

NAMES = {"DictAction", "str2bool", "str2dict", "import_class", "visible_gpu", "ngpu", "occupy_gpu", "IO"}
STAMP = r"\[\d\d\.\d\d\.\d\d\|\d\d:\d\d:\d\d\] "


@pytest.fixture(scope="module")
def torchlight():
    with registry.room("FreqMixFormer"):
        import torchlight
    return torchlight


@pytest.fixture
def io(torchlight, tmp_path):
    return torchlight.IO(tmp_path / "new" / "work", print_log=False)


def test_names(torchlight):
    assert set(torchlight.__all__) == NAMES
    assert all(hasattr(torchlight, name) for name in NAMES)


@pytest.mark.parametrize("way", ["folder", "path"])
def test_importable_in_the_room_and_with_it_on_the_path(way, tmp_path):
    folder = registry.find("FreqMixFormer").path
    environment = dict(os.environ)
    if way == "path":
        environment["PYTHONPATH"] = os.pathsep.join([str(folder), environment.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", "from torchlight import DictAction, IO; print(DictAction.__name__)"],
        cwd=folder if way == "folder" else tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "DictAction\n", done.stderr


def parser(torchlight, default):
    result = argparse.ArgumentParser()
    result.add_argument("--model-args", action=torchlight.DictAction, default=default)
    return result


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["{'k':1,'graph_args':{'a':2}}"], {"base": 0, "k": 1, "graph_args": {"a": 2}}),
        (["k=8,bone=True,path='a b.npz'"], {"base": 0, "k": 8, "bone": True, "path": "a b.npz"}),
        (["{k: 8, rot: false}"], {"base": 0, "k": 8, "rot": False}),
        (["k:8,rot:False"], {"base": 0, "k": 8, "rot": False}),
        (["k=1,l=2", "k=3"], {"base": 0, "k": 3, "l": 2}),
        ([], {"base": 0}),
    ],
)
def test_dict_action_merges(torchlight, texts, expected):
    default = {"base": 0}
    argv = [word for text in texts for word in ("--model-args", text)]
    assert parser(torchlight, default).parse_args(argv).model_args == expected
    assert default == {"base": 0}
    if texts[1:] == []:
        assert all(torchlight.str2dict(text).items() <= expected.items() for text in texts)


@pytest.mark.parametrize("text", ["{x}", "__import__('os').mkdir('x')", "1=2", "k"])
def test_dict_action_refuses_and_runs_nothing(torchlight, capsys, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        parser(torchlight, None).parse_args(["--model-args", text])
    assert ended.value.code == 2 and "--model-args" in capsys.readouterr().err
    with pytest.raises(ValueError):
        torchlight.str2dict(text)
    assert not list(tmp_path.iterdir())


def test_str2bool(torchlight):
    assert all(torchlight.str2bool(text) is True for text in ("yes", "True", "t", "Y", "1"))
    assert all(torchlight.str2bool(text) is False for text in ("no", "FALSE", "f", "n", "0"))
    with pytest.raises(argparse.ArgumentTypeError, match="'maybe'"):
        torchlight.str2bool("maybe")


def test_import_class(torchlight):
    assert torchlight.import_class("collections.OrderedDict").__name__ == "OrderedDict"
    for name in ("no_such_module.Model", "collections.Model", "Model"):
        with pytest.raises(ImportError, match=name):
            torchlight.import_class(name)


def test_gpus(torchlight, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert torchlight.visible_gpu([2, 5]) == [0, 1] and os.environ["CUDA_VISIBLE_DEVICES"] == "2,5"
    assert torchlight.visible_gpu(3) == [0] and os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    assert torchlight.ngpu(4) == 1 and torchlight.ngpu([4, 1, 0]) == 3


def test_occupy_gpu(torchlight, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    torchlight.occupy_gpu([0, 1])  # nothing there, nothing done
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: "X")
    made = []
    monkeypatch.setattr(torch, "zeros", lambda n, device: made.append((n, str(device))))
    torchlight.occupy_gpu([0, 1])
    torchlight.occupy_gpu(1)
    assert made == [(1, "cuda:0"), (1, "cuda:1"), (1, "cuda:1")]
    with pytest.raises(UsageError, match="no GPU 2"):
        torchlight.occupy_gpu([2])


def test_log(torchlight, tmp_path, capsys):
    io = torchlight.IO(tmp_path, save_log=True, print_log=True)
    io.print_log("one")
    io.print_log("two", print_time=False)
    io.log("train", loss=1)
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert re.fullmatch(STAMP + "one", lines[0]) and lines[1:] == ["two"]
    assert capsys.readouterr().out.splitlines() == lines
    torchlight.IO(tmp_path / "silent", save_log=False, print_log=False).print_log("three")
    assert capsys.readouterr().out == "" and not list((tmp_path / "silent").iterdir())


def test_weights_go_out_and_come_back(io, capsys):
    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = nn.Linear(3, 2)

    wrapped = Wrapper()
    io.save_model(wrapped, "epoch1_model.pt")
    path = io.work_dir / "epoch1_model.pt"
    assert list(torch.load(path, weights_only=True)) == ["weight", "bias"]
    net = io.load_model("torch.nn.Linear", in_features=3, out_features=2)
    assert io.load_weights(net, path) is net
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), wrapped.parameters()))
    log = (io.work_dir / "log.txt").read_text()
    assert f"The model has been saved as {path}." in log and f"Load weights from {path}." in log


def test_ignored_weights_stay_and_loaded_ones_can_be_fixed(io):
    saved = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    io.save_model(saved, "w.pt")
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    before = net[1].weight.clone()
    io.load_weights(net, str(io.work_dir / "w.pt"), ignore_weights="1.", fix_weights=True)
    assert torch.equal(net[0].weight, saved[0].weight) and torch.equal(net[1].weight, before)
    assert [p.requires_grad for p in net.parameters()] == [False, False, True, True]
    log = (io.work_dir / "log.txt").read_text()
    assert "Successfully removed weights: 1.weight." in log and "Can not find these weights:" in log
    with pytest.raises(WeightsError, match="wrong shape"):
        io.load_weights(nn.Sequential(nn.Linear(3, 4)), io.work_dir / "w.pt", ignore_weights=["1."])


def test_files(io, monkeypatch):
    h5py = pytest.importorskip("h5py")
    io.save_pkl({"a": [1, 2]}, "r.pkl")
    assert pickle.loads((io.work_dir / "r.pkl").read_bytes()) == {"a": [1, 2]}
    io.save_h5({"x": np.arange(3)}, "r.h5")
    io.save_h5({"y": np.ones((2, 2))}, "r.h5", append=True)
    with h5py.File(io.work_dir / "r.h5") as file:
        assert sorted(file) == ["x", "y"] and file["x"][:].tolist() == [0, 1, 2]
    io.save_h5({"z": np.zeros(1)}, "r.h5")
    with h5py.File(io.work_dir / "r.h5") as file:
        assert list(file) == ["z"]
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UsageError, match="h5py"):
        io.save_h5({}, "s.h5")


def test_config(io, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["main.py", "--work-dir", "a b"])
    options = {"model_args": {"k": 8, "graph_args": {"labeling_mode": "spatial"}}, "base_lr": 0.1, "step": [1, 2]}
    io.save_arg(argparse.Namespace(**options))
    text = (io.work_dir / "config.yaml").read_text()
    assert text.startswith("# command line: main.py --work-dir 'a b'\n\n")
    assert yaml.safe_load(text) == options and "\n    graph_args:\n        labeling_mode" in text


def test_timer(io, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    io.init_timer("dataloader", "model")
    for name, seconds in (("dataloader", 1), ("model", 2), ("model", 1)):
        now[0] += seconds
        io.check_time(name)
    now[0] += 5
    assert io.split_time() == 5 and io.split_time() == 0 and io.record_time() == now[0]
    io.print_timer()
    lines = [re.sub(STAMP, "", line) for line in (io.work_dir / "log.txt").read_text().splitlines()]
    assert lines == ["Time consumption:", "\t[dataloader][25%]: 1.0000", "\t[model][75%]: 3.0000"]


def test_timer_that_never_started_has_a_heading_alone(io):
    io.print_timer()
    assert re.fullmatch(STAMP + "Time consumption:\n", (io.work_dir / "log.txt").read_text())


def test_a_work_dir_that_cannot_be_is_one_line(torchlight, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written to"):
        torchlight.IO(tmp_path / "file")
