"""Every block of docs/python.md, and the cells of docs/quickstart.ipynb, as a reader runs them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from places import ROOT
from tiny_data import make_all

import skeleton_lab as lab


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What both are said to lie beside: an archive, weights, key points, and the demo's work dir."""
    root = make_all(tmp_path_factory.mktemp("documented"))
    (root / "NTU60_CS.npz").symlink_to(root / "data/NTU60_CS.npz")
    torch.manual_seed(0)
    torch.save(lab.create_model("ctrgcn").state_dict(), root / "runs-65-40690.pt")
    points = np.random.default_rng(0).random((70, 1, 17, 3)).tolist()
    (root / "keypoints.json").write_text(json.dumps(points))
    work = root / "demo/ctrgcn"
    work.mkdir(parents=True)
    (root / "docs").mkdir()
    (work / "runs-9-360.pt").symlink_to(root / "runs-65-40690.pt")
    (root / "demo/NTU60_CS.npz").symlink_to(root / "data/NTU60_CS.npz")
    config = (ROOT / "CTR-GCN/config/nturgbd-cross-subject/default.yaml").read_text()
    (work / "config.yaml").write_text(config.replace("window_size: 64", "window_size: 24"))
    return root


def run(code: list[str], folder: Path) -> str:
    """One Python for all pieces, as in a notebook; what it printed."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)], cwd=folder, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_every_block_of_the_page_runs(folder):
    page = (ROOT / "docs/python.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert f"```python\n{blocks[0]}```" in (ROOT / "README.md").read_text()  # the lines that it shows first
    out = run(blocks, folder)
    assert len(blocks) >= 9 and "Did you mean 'ctrgcn'?" in out and "torch.Size([2, 10])" in out
    assert (folder / "work_dir/mine/log.txt").is_file()
    names = re.findall(r"^\| `(\w+)\(", page, re.MULTILINE)
    assert set(names) == set(lab.__all__) - {"Prediction"}


@pytest.mark.slow
def test_the_notebook_runs(folder):
    book = json.loads((ROOT / "docs/quickstart.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]
    out = run(cells, folder / "docs").splitlines()
    assert book["nbformat"] == 4 and 0 <= float(out[0]) <= 1 and out[1].startswith("test_0, frames 0-")
    assert not any(cell.get("outputs") for cell in book["cells"])
