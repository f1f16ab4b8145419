"""The commands of docs/multimodal.md, word by word, on few clips; and the demo, shortened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from places import ROOT
from sandbox import documented, run_line

from skeleton_lab import registry
from skeleton_lab.data.archives.descriptors.files import open_descriptors
from skeleton_lab.data.synthetic import archive, descriptors

pytestmark = pytest.mark.slow
COMMANDS = documented("multimodal.md")
SHORT = {"multimodal": "--epochs 1 --seeds 1 --tune-epochs 1 --batch-size 4", "synthetic": "--train 6 --test 4"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What the document speaks of; the network's windows are short."""
    here = tmp_path_factory.mktemp("multimodal")
    archive.write(here / "my.npz", train=10, test=5, classes=5, resample=12, two_person_share=0, progress=False)
    found = open_descriptors(descriptors.write(here / "made.npz", here / "my.npz"))
    (here / "clip_vectors").mkdir()
    for entry, name in enumerate(found.names):
        np.save(here / "clip_vectors" / f"{name}.npy", found.read(entry))
    room = registry.find("ctrgcn")
    config = yaml.safe_load((room.path / room.config).read_text())
    for split in ("train", "test"):
        config[f"{split}_feeder_args"] |= {"window_size": 8, "data_path": str(here / "my.npz")}
    (here / "trained").mkdir()
    (here / "trained" / "config.yaml").write_text(yaml.safe_dump(config))
    with registry.room("ctrgcn"):
        net = registry.load("ctrgcn", config["model"])(**config["model_args"])
    torch.save(net.state_dict(), here / "trained" / "runs-65-40690.pt")
    return here


def test_every_command_does_what_the_document_says(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    words = ["convert", "check", "multimodal", "multimodal", "multimodal", "synthetic"]
    assert [command.split()[1] for command in COMMANDS] == words
    for command in COMMANDS:
        assert run_line(command, SHORT.get(command.split()[1], "")) == 0, command
    assert "descriptors: 15 of D=32, 12 to 12 vectors of a clip" in capsys.readouterr().out
    for name in ("multimodal", "half", "tuned"):
        made = Path("work_dir") / name
        files = {"multimodal.html", "multimodal.json", "multimodal.csv", "features.npz", "settings.json", "parts"}
        assert files == {path.name for path in made.iterdir()}
        rows = {row["key"] for row in json.loads((made / "multimodal.json").read_text())["rows"]}
        assert ("F-tuned" in rows) == (name == "tuned") and {"S", "S-head", "L-fitted", "K", "F-first"} <= rows


def test_the_demo(tmp_path):
    archive.write(tmp_path / "objects.npz", train=40, test=10, classes=5, resample=12, progress=False)
    descriptors.write(tmp_path / "descriptors.npz", tmp_path / "objects.npz")
    environment = os.environ | {"DEMO": str(tmp_path), "PYTHON": sys.executable, "EPOCHS": "1", "OMP_NUM_THREADS": "1"}
    command = ["bash", str(ROOT / "tools" / "demo_multimodal.sh"), "--epochs", "1", "--seeds", "1"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    assert f"The page: {tmp_path / 'table' / 'multimodal.html'}" in ran.stdout
    assert json.loads((tmp_path / "table" / "multimodal.json").read_text())["held_out"]["unseen_by_network"]
