"""CTR-GCN run as a user runs it: streams and their fusion, test phase, resume; test_documented.py has every command."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_data
import torch
from places import ROOT
from sandbox import Lab
from scripts import run_script

pytestmark = pytest.mark.slow

ROOM = ROOT / "CTR-GCN"
SHORT = ["--num-epoch", "1", "--batch-size", "4", "--test-batch-size", "4", "--num-worker", "0", "--report", "False"]
WINDOW = ["--train-feeder-args", "window_size=8", "--test-feeder-args", "window_size=8"]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tiny_data.make_all(tmp_path_factory.mktemp("lab"))


@pytest.fixture
def lab(root, monkeypatch):
    """Run CTR-GCN's main.py in this process: (arguments) -> exit code."""
    called = Lab(root, monkeypatch)
    return lambda *arguments: called("CTR-GCN", shlex.join(arguments))


@pytest.fixture
def environment(root) -> dict[str, str]:
    return dict(os.environ, NTU60_ROOT=str(root / "data" / "ntu"), CUDA_VISIBLE_DEVICES="")


def test_streams_test_phase_and_fusion(lab, tmp_path):
    config = ["--config", "config/nturgbd-cross-subject/default.yaml"]
    streams = {"joint": "", "bone": "bone=True", "joint-motion": "vel=True", "bone-motion": "bone=True,vel=True"}
    fuse = []
    for name, words in streams.items():
        flags = ["--train-feeder-args", words, "--test-feeder-args", words] if words else []
        assert lab(*config, "--work-dir", str(tmp_path / name), *SHORT, *WINDOW, *flags) == 0
        fuse += [f"--{name}-dir", str(tmp_path / name)]
    weights = tmp_path / "joint" / "runs-1-3.pt"
    test = ["--work-dir", str(tmp_path / "test"), "--phase", "test", "--weights", str(weights), "--save-score", "True"]
    assert lab(*config, *test, *SHORT, *WINDOW) == 0
    with (
        np.load(tmp_path / "joint" / "evaluation.npz") as trained,
        np.load(tmp_path / "test" / "evaluation.npz") as tested,
    ):
        np.testing.assert_allclose(tested["logits"], trained["logits"], rtol=1e-4, atol=1e-4)
    assert (tmp_path / "joint" / "runs-1-3_wrong.txt").exists()
    done = run_script(ROOM / "ensemble.py", "--dataset", "ntu/xsub", *fuse, cwd=ROOM)
    assert done.returncode == 0, done.stderr
    assert re.search(r"Top1 Acc: \d+\.\d{4}%", done.stdout) and re.search(r"Top5 Acc: \d+\.\d{4}%", done.stdout)


def test_baseline_and_switches(lab, tmp_path):
    config = ["--config", "config/nturgbd-cross-subject/default.yaml", *SHORT, *WINDOW]
    assert lab(*config, "--work-dir", str(tmp_path / "b"), "--model", "model.baseline.Model") == 0
    assert (
        lab(*config, "--work-dir", str(tmp_path / "c"), "--activation-checkpointing", "--forward-batch-size", "2") == 0
    )
    assert lab(*config, "--phase", "model_size") == 0


def test_documented_smoke_command_as_it_stands(lab, environment, tmp_path, capsys):
    """The line of the users' document, with only the work dir moved."""
    line = (
        "main.py --config ./config/nturgbd-cross-subject/default.yaml --work-dir {} --num-epoch 1 --batch-size 8 "
        "--test-batch-size 8 --num-worker 0"
    )
    work = tmp_path / "ctrgcn_ntu60_xsub_joint_smoke"
    done = subprocess.run(
        [sys.executable, *line.format(work).split()], cwd=ROOM, capture_output=True, text=True, timeout=300,
        env=environment, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    for name in ("runs-1-1.pt", "last.ckpt", "log.txt", "config.yaml", "report.html", "epoch1_test_score.pkl"):
        assert (work / name).stat().st_size > 0, name
    assert lab("--config", str(work / "config.yaml"), "--resume") == 0
    assert "nothing to do" in capsys.readouterr().out


def test_kill_and_resume_of_ctrgcn_changes_no_bit(lab, environment, tmp_path):
    """The process is killed as soon as a checkpoint from within an epoch lies there."""
    flags = ["--config", "config/nturgbd-cross-subject/default.yaml", *SHORT, *WINDOW, "--batch-size", "2"]
    flags += ["--num-epoch", "2", "--eval-interval", "2", "--checkpoint-minutes", "0", "--threads", "1"]
    flags += ["--work-dir"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(
        [sys.executable, "main.py", *flags, str(killed)],
        cwd=ROOM, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not (killed / "last.ckpt").exists() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (killed / "runs-2-12.pt").exists()
    assert lab(*flags, str(killed), "--resume") == 0
    assert lab(*flags, str(whole)) == 0
    resumed, unbroken = (torch.load(d / "runs-2-12.pt", weights_only=True) for d in (killed, whole))
    assert all(torch.equal(resumed[name], value) for name, value in unbroken.items())
