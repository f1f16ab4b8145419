"""The commands that the documents show, run as a user runs them and shrunk by their own flags."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from parity.kaggle_sample import make_kaggle_arrays

from skeleton_lab import rooms
from skeleton_lab.engine import run

ROOT = Path(__file__).parents[1]
ROOM = ROOT / "CTR-GCN"
CONFIGS = sorted(p.relative_to(ROOM).as_posix() for p in (ROOM / "config").rglob("*.yaml"))
SHORT = ["--num-epoch", "1", "--batch-size", "4", "--test-batch-size", "4", "--num-worker", "0"]
WINDOW = ["--train-feeder-args", "window_size=16", "--test-feeder-args", "window_size=16"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Every archive that a configuration of the room names, at the paths below one folder, tiny."""
    root = tmp_path_factory.mktemp("data")
    arrays = make_kaggle_arrays()
    wide = {k: np.pad(v, ((0, 0), (0, 60))) if k.startswith("y_") else v for k, v in arrays.items()}
    for name, content in (("ntu/NTU60_CS", arrays), ("ntu/NTU60_CV", arrays), ("ntu120/NTU120_CSub", wide),
                          ("ntu120/NTU120_CSet", wide)):  # fmt: skip
        path = root / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **content)
    rng = np.random.RandomState(0)
    clips = root / "NW-UCLA" / "all_sqe"
    clips.mkdir(parents=True)
    for action in (1, 2, 12):
        for view in (1, 2, 3):
            for episode in range(2):
                name = f"a{action:02d}_s01_e{episode:02d}_v{view:02d}"
                skeletons = rng.standard_normal((10 + episode, 20, 3)).round(4).tolist()
                label = {1: 1, 2: 2, 12: 10}[action]
                (clips / f"{name}.json").write_text(
                    json.dumps({"file_name": name, "skeletons": skeletons, "label": label})
                )
    return root


def archive_flags(config: str, data: Path) -> list[str]:
    """Flags that point ``config`` to the tiny archives."""
    if "ucla" in config:
        return ["--train-feeder-args", "repeat=1"]
    name = re.search(r"data_path: data/(\S+)", (ROOM / config).read_text())[1]
    return [word for split in ("train", "test") for word in (f"--{split}-feeder-args", f"data_path='{data / name}'")]


@pytest.fixture
def lab(data, tmp_path, monkeypatch):
    """Run CTR-GCN's main.py in this process: (arguments) -> exit code; the work dir is tmp_path/work."""
    monkeypatch.chdir(ROOM)
    monkeypatch.setenv("NTU60_ROOT", str(data / "ntu"))
    monkeypatch.setenv("NW_UCLA_ROOT", str(data / "NW-UCLA"))

    def call(*arguments: str) -> int:
        with rooms.room("CTR-GCN"):
            return run("C", str(ROOM / "main.py"), list(arguments))

    return call


@pytest.mark.parametrize("config", CONFIGS)
def test_every_configuration_takes_two_steps(config, lab, data, tmp_path):
    batch = ["--batch-size", "6"]  # 12 clips
    window = [] if "ucla" in config else WINDOW
    assert (
        lab("--config", config, "--work-dir", str(tmp_path), *SHORT, *batch, *archive_flags(config, data), *window) == 0
    )
    events = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert next(e for e in events if e["event"] == "epoch")["step"] == 2
    assert np.isfinite(next(e for e in events if e["event"] == "eval")["loss"])


def test_streams_test_phase_and_fusion(lab, tmp_path, capsys):
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
    done = subprocess.run(
        [sys.executable, "ensemble.py", "--dataset", "ntu/xsub", *fuse], cwd=ROOM, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"Top1 Acc: \d+\.\d{4}%", done.stdout) and re.search(r"Top5 Acc: \d+\.\d{4}%", done.stdout)


def test_baseline_and_switches(lab, tmp_path):
    config = ["--config", "config/nturgbd-cross-subject/default.yaml", *SHORT, *WINDOW]
    assert lab(*config, "--work-dir", str(tmp_path / "b"), "--model", "model.baseline.Model") == 0
    assert (
        lab(*config, "--work-dir", str(tmp_path / "c"), "--activation-checkpointing", "--forward-batch-size", "2") == 0
    )
    assert lab(*config, "--phase", "model_size") == 0


@pytest.mark.slow
def test_documented_smoke_command_as_it_stands(data, tmp_path):
    """The line of the users' document, with only the work dir moved."""
    line = (
        "main.py --config ./config/nturgbd-cross-subject/default.yaml --work-dir {} --num-epoch 1 --batch-size 8 "
        "--test-batch-size 8 --num-worker 0"
    )
    work = tmp_path / "ctrgcn_ntu60_xsub_joint_smoke"
    done = subprocess.run(
        [sys.executable, *line.format(work).split()], cwd=ROOM, capture_output=True, text=True, timeout=300,
        env=dict(os.environ, NTU60_ROOT=str(data / "ntu"), CUDA_VISIBLE_DEVICES=""), stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    for name in ("runs-1-1.pt", "last.ckpt", "log.txt", "config.yaml", "report.html", "epoch1_test_score.pkl"):
        assert (work / name).stat().st_size > 0, name
    env = dict(os.environ, NTU60_ROOT=str(data / "ntu"), CUDA_VISIBLE_DEVICES="")
    again = [sys.executable, "main.py", "--config", str(work / "config.yaml"), "--resume"]
    done = subprocess.run(again, cwd=ROOM, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "nothing to do" in done.stdout + done.stderr


@pytest.mark.slow
def test_kill_and_resume_of_ctrgcn_changes_no_bit(lab, data, tmp_path):
    """The process is killed as soon as a checkpoint from within an epoch lies there."""
    flags = ["--config", "config/nturgbd-cross-subject/default.yaml", *SHORT, *WINDOW, "--batch-size", "2"]
    flags += ["--num-epoch", "2", "--eval-interval", "2", "--checkpoint-minutes", "0", "--threads", "1"]
    flags += ["--report", "False", "--work-dir"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(
        [sys.executable, "main.py", *flags, str(killed)], cwd=ROOM, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not (killed / "last.ckpt").exists() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (killed / "runs-2-12.pt").exists()
    assert lab(*flags, str(killed), "--resume") == 0
    assert lab(*flags, str(whole)) == 0
    resumed, unbroken = (torch.load(d / "runs-2-12.pt", weights_only=True) for d in (killed, whole))
    assert all(torch.equal(resumed[name], value) for name, value in unbroken.items())
