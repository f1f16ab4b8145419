"""``make zero-shot-demo``, small: from recordings to unseen classes, and again on what is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from zero_shot_folder import LE, ROOT, environment

from skeleton_lab.data.archives import class_splits

pytestmark = pytest.mark.slow

SMALL = ("--clips", "200", "--epochs", "1", "--cycles", "1", "--steps", "50", "--method", "msf-gzssar", "--tm", "lb",
         "--seeds", "5", "6")  # fmt: skip


def demo(folder: Path, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "dataset_tools/zero_shot_demo.py", "--out", str(folder), *SMALL, *words]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=500)


def test_chain_from_an_archive_and_again(tmp_path):
    ran = demo(tmp_path)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    told = json.loads((tmp_path / "MSF-GZSSAR.json").read_text())
    page = tmp_path / "MSF-GZSSAR" / "12_r" / LE / "lb" / "zero_shot.html"
    lines = ran.stdout.splitlines()
    assert lines[-1] == f"Its page: {page}" and page.is_file()
    assert told["seeds"] == [5, 6] and told["selected_on"] == "nothing"
    assert told["page"] == str(page.relative_to(tmp_path))
    mean, deviation = (100 * part["zsl_accuracy"] for part in (told, told["sd"]))
    assert any(line.startswith("mean of 2") and f"{mean:.1f} ± {deviation:.1f}" in line for line in lines)
    conse = 100 * told["baselines"]["conse"]["zsl_accuracy"]
    assert any(line.startswith("ConSE") and line.split()[1] == f"{conse:.1f}" for line in lines)
    assert "measured: the last cycle, chosen by nothing (--select last)" in ran.stdout

    # The features are of the right clips: unseen classes in the test of zero-shot only, and of the backbone's width.
    unseen = class_splits.load("r", 12, 60).unseen
    place = tmp_path / "sk_feats" / "hypergcn_12_r"
    assert not np.isin(np.load(place / "train_label.npy"), unseen).any()
    assert np.isin(np.load(place / "z_label.npy"), unseen).all()
    assert np.load(place / "train.npy").shape[1] == np.load(place / "ztest.npy").shape[1] == 256

    # Again: no stage is done a second time, and the end is the same.
    made = {path: path.stat().st_mtime_ns for path in (*tmp_path.rglob("runs-*.pt"), *tmp_path.rglob("*.npy"))}
    stage = tmp_path / "MSF-GZSSAR" / "12_r" / "seed_5" / LE / "lb" / "train.json"
    cycles = json.loads(stage.read_text())["cycles"]
    again = demo(tmp_path)
    assert again.returncode == 0, again.stdout[-3000:] + again.stderr[-3000:]
    assert json.loads((tmp_path / "MSF-GZSSAR.json").read_text()) == told
    assert json.loads(stage.read_text())["cycles"] == cycles
    assert [path for path, then in made.items() if path.stat().st_mtime_ns != then] == []

    other = demo(tmp_path, "--epochs", "2")
    assert other.returncode == 2 and other.stderr.startswith("error: ") and "choose another --out" in other.stderr
