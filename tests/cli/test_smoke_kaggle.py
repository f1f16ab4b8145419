"""Hyper-GCN's smoke test on a Kaggle file."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import tiny_data
import torch

from skeleton_lab import registry

OK = r"Smoke test ok - batch_size={}, window={}, loss=\d+\.\d{{4}}, acc=\d+\.\d\d%"


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Call it in an empty folder, on a machine without archives; the module is ``program.module``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NTU60_ROOT", raising=False)
    with registry.room("Hyper-GCN") as room:
        import smoke_test_kaggle

        monkeypatch.setattr(smoke_test_kaggle, "__file__", str(tmp_path / "smoke_test_kaggle.py"))

        def call(*argv):
            return smoke_test_kaggle.main(argv)

        call.module, call.folder = smoke_test_kaggle, room.path
        yield call


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return tiny_data.make_all(tmp_path_factory.mktemp("lab")) / "data" / "NTU60_CS.npz"


@pytest.mark.slow
def test_without_the_file_it_warns_and_takes_random_input(program, capsys):
    assert program("--batch-size", "2", "--window-size", "16") == 0
    first, warning, last = capsys.readouterr().out.splitlines()
    assert first == "Running Hyper-GCN smoke test on cpu"
    assert warning == "Warning: ./data/NTU60_CS.npz not found, running synthetic smoke test instead."
    assert re.fullmatch(OK.format(2, 16), last)


@pytest.mark.slow
def test_with_the_file_it_takes_its_clips(program, archive, capsys, monkeypatch):
    seen = []
    step = program.module.sgd_step
    monkeypatch.setattr(program.module, "sgd_step", lambda net, x, y: seen.append((net, x, y)) or step(net, x, y))
    flags = ("--batch-size", "3", "--window-size", "16", "--hyper-joints", "2")
    assert program("--data-path", str(archive), *flags) == 0
    assert re.fullmatch(OK.format(3, 16), capsys.readouterr().out.splitlines()[-1])
    net, x, y = seen[0]
    assert x.shape == (3, 3, 16, 25, 2) and x.abs().sum() > 0
    with np.load(archive) as file:
        assert y.tolist() == file["y_train"][:3].argmax(1).tolist()
    assert any(p.shape[-2] == 2 or p.shape[0] == 2 for name, p in net.named_parameters() if "hyper_joint" in name)


@pytest.mark.slow
def test_synthetic_on_request(program, archive, capsys, monkeypatch):
    monkeypatch.setattr(program.module, "first_clips", None)
    assert program("--data-path", str(archive), "--use-synthetic", "--batch-size", "1", "--window-size", "8") == 0
    assert "Warning" not in capsys.readouterr().out


@pytest.mark.slow
def test_more_clips_than_the_file_has(program, archive, capsys):
    with np.load(archive) as file:
        count = min(100, len(file["x_train"]))
    assert program("--data-path", str(archive), "--batch-size", "500", "--window-size", "4") == 0
    assert re.fullmatch(OK.format(count, 4), capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("--batch-size", "0"), "--batch-size"),
        (("--window-size", "-1"), "--window-size"),
        (("--hyper-joints", "-1"), "--hyper-joints"),
    ],
)
def test_bad_flags_are_one_line(program, capsys, flags, word):
    assert program(*flags) == 2
    err = capsys.readouterr().err
    assert word in err and len(err.splitlines()) == 1


def test_a_file_that_cannot_be_used_is_one_line(program, tmp_path, capsys):
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04")
    assert program("--data-path", "bad.npz") == 2
    err = capsys.readouterr().err
    assert "bad.npz" in err and len(err.splitlines()) == 1
    x, y = np.ones((2, 8, 150), dtype=np.float32), np.eye(120)[[3, 99]]
    np.savez("NTU120.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    assert program("--data-path", "NTU120.npz", "--window-size", "8") == 2
    assert "99" in capsys.readouterr().err


@pytest.mark.slow
def test_the_documented_line(program, archive):
    """As it stands, but for the device that this machine may lack; the file is found below NTU60_ROOT."""
    line = "smoke_test_kaggle.py --device cuda:0 --batch-size 2 --window-size 48"
    done = subprocess.run(
        [sys.executable, *line.split()],
        cwd=program.folder, env=dict(os.environ, NTU60_ROOT=str(archive.parent)), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(OK.format(2, 48), done.stdout.splitlines()[-1]) and "Warning" not in done.stdout
    assert torch.cuda.is_available() or "using the CPU" in done.stderr
