"""The commands of docs/explain.md and the one of folders in docs/predict.md, word by word, on few clips."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import predict_bench
import pytest
import torch
import yaml
from places import ROOT
from sandbox import run_line

from skeleton_lab import registry
from skeleton_lab.data.synthetic import archive

pytestmark = pytest.mark.slow
COMMANDS = [
    line
    for name in ("explain", "predict")
    for line in (ROOT / "docs" / f"{name}.md").read_text("utf-8").splitlines()
    if line.startswith("skeleton-lab explain") or "--batch recordings" in line
]
SHORT = {"explain": "--parts limbs --pieces 1 --steps 2 --clips 1", "predict": "--window 0 --together"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What the documents speak of; the network's windows are short."""
    here = tmp_path_factory.mktemp("explained")
    archive.write(here / "my.npz", train=4, test=30, classes=5, resample=12, two_person_share=0, progress=False)
    config = yaml.safe_load((registry.find("ctrgcn").path / registry.find("ctrgcn").config).read_text())
    config["test_feeder_args"] |= {"window_size": 8, "data_path": str(here / "my.npz")}
    (here / "trained").mkdir()
    (here / "trained" / "config.yaml").write_text(yaml.safe_dump(config))
    with registry.room("ctrgcn"):
        net = registry.load("ctrgcn", config["model"])(**config["model_args"])
    for place in ("trained/runs-65-40690.pt", "runs-65-40690.pt"):
        torch.save(net.state_dict(), here / place)
    (here / "recordings").mkdir()
    for path in ("keypoints.npy", "recordings/one.npy"):
        np.save(here / path, predict_bench.walkers(30, 1))
    return here


def test_every_command_does_what_the_document_says(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert len(COMMANDS) == 5
    for command in COMMANDS:
        assert run_line(command, SHORT[command.split()[1]]) == 0, command
    for name in ("explain", "waving", "sanity", "own"):
        made = Path("work_dir") / name
        assert {"explanations.json", "explanations.html"} <= {path.name for path in made.iterdir()}
    waving = json.loads(Path("work_dir/waving/explanations.json").read_text())
    assert {clip["class_name"] for clip in waving["clips"]} == {"hand waving"}
    assert Path("work_dir/sanity/sanity.png").is_file()
    assert "one.npy,one," in Path("work_dir/batch/predictions.csv").read_text()
