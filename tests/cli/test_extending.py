"""docs/extending.md does what it says: its files are put where it puts them, its commands run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_data
import torch
from parity.kaggle_sample import make_kaggle_arrays
from places import ROOT

from skeleton_lab import registry
from skeleton_lab.nn.fuse import fuse, is_fused
from skeleton_lab.utils import trust
from skeleton_lab.utils.importing import import_class

TEXT = (ROOT / "docs" / "extending.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.S | re.M)
FILES = {text.partition("\n")[0].removeprefix("# "): text.partition("\n")[2] for kind, text in BLOCKS if kind}
COMMANDS = [line for kind, text in BLOCKS if not kind for line in text.splitlines()]


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Path:
    """CTR-GCN's room with the document's files, an archive where its configuration looks, and the new room."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(registry.find("CTR-GCN").path, folder / "CTR-GCN", ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for package in ("model", "graph", "feeders"):
        (folder / "Tiny-GCN" / package).mkdir()
        shutil.copy(folder / "CTR-GCN/graph/__init__.py", folder / "Tiny-GCN" / package)
    shutil.copy(folder / "CTR-GCN/graph/tools.py", folder / "Tiny-GCN/graph")
    for name in ("model/tiny.py", "model/tiny_fused.py", "graph/rings.py", "feeders/drift.py"):
        shutil.copy(folder / "CTR-GCN" / name, folder / "Tiny-GCN" / name)
    (folder / "CTR-GCN/data/ntu").mkdir(parents=True)
    arrays = make_kaggle_arrays()
    np.savez(folder / "CTR-GCN/data/ntu/NTU60_CS.npz",
             **{k: v[:, : tiny_data.FRAMES] if k[0] == "x" else v for k, v in arrays.items()})  # fmt: skip
    return folder


def call(command: str, folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = command.replace("python ", f"{sys.executable} ").replace("{}", "'{}'") + " --device cpu"
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout + done.stderr


def test_the_document_has_the_files_and_commands_that_are_tested():
    assert set(FILES) == {
        "CTR-GCN/model/tiny.py", "CTR-GCN/model/tiny_fused.py", "CTR-GCN/graph/rings.py", "CTR-GCN/feeders/drift.py",
        "Tiny-GCN/recipe.py", "Tiny-GCN/main.py", "Tiny-GCN/config/default.yaml",
    }  # fmt: skip
    assert [line.partition(" ")[0] for line in COMMANDS] == ["cd", "python", "python", "cd", "python"]


@pytest.mark.slow
def test_commands_in_their_order(lab):
    """A network with the field's import helper, a graph of one's own, a room of one's own: all train and report."""
    here = lab
    for command in COMMANDS:
        if command.startswith("cd "):
            here = (here / command[3:]).resolve()
            assert here.is_dir()
        else:
            call(command, here)
    for name in ("tiny", "rings", "tiny-gcn"):
        work = lab / "work_dir" / name
        events = [json.loads(line) for line in (work / "metrics.jsonl").read_text().splitlines()]
        assert (work / "report.html").is_file() and events[-1]["event"] == "result"
    last = [event for event in events if event["event"] == "eval"][-1]
    assert last["top1"] > 0.5, "three classes, told apart by their axis"


@pytest.fixture
def opened(lab, monkeypatch) -> Iterator[None]:
    """The room's modules can be imported, and nothing of them is left behind."""

    def forget() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("model", "graph", "feeders")]:
            del sys.modules[name]

    monkeypatch.syspath_prepend(str(lab / "CTR-GCN"))
    forget()
    with trust.opened(lab / "CTR-GCN"):
        yield
    forget()


@pytest.mark.slow
def test_the_twin_is_found_and_computes_the_same(opened):
    torch.manual_seed(0)
    net = import_class("model.tiny.Model")(num_class=5, graph="graph.rings.Graph").double()
    x = torch.randn(2, 3, 8, 25, 2, dtype=torch.float64)
    results = []
    for fused in (False, True):
        assert is_fused(net) is fused
        net.zero_grad()
        logits = net(x)
        logits.square().sum().backward()
        results.append([logits.detach(), *(p.grad.clone() for p in net.parameters())])
        fuse(net)
    for plain, fused in zip(*results):
        torch.testing.assert_close(fused, plain, rtol=1e-9, atol=1e-9)
