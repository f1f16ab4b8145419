"""``make demo ROOM=...``: the recipe of every supervised room, one epoch of it on archives of a few clips."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from skeleton_lab import registry
from skeleton_lab.data.synthetic import archive

pytestmark = pytest.mark.slow

SHORT = {
    "SkateFormer": ["--warm_up_epoch", "0"],
    "MS-G3D": ["--forward-batch-size", "10"],
    "PYSKL": ["--forward-batch-size", "10"],
    "ST-GCN": [],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Archives under the names of the demo's, which are not made when they are there."""
    made = tmp_path_factory.mktemp("a demo")
    for name, resample in (("NTU60_CS", None), ("whole16", 16)):
        archive.write(made / f"{name}.npz", train=10, test=5, classes=5, resample=resample, progress=False)
    return made


def run(room: str, folder: Path, *more: str, skeleton: str = "") -> subprocess.CompletedProcess:
    environment = os.environ | {
        "DEMO": str(folder), "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "SKELETON": skeleton,
    }  # fmt: skip
    command = ["bash", str(ROOT / "tools" / "demo_room.sh"), room, *more]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("room", [room.folder for room in registry.ROOMS if room.program])
def test_one_epoch(room, folder):
    ran = run(
        room,
        folder,
        "--num-epoch",
        "1",
        "--batch-size",
        "10",
        *SHORT.get(room, ["--warm_up_epoch", "0", "--step", "1"]),
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    report = folder / room.replace("-", "").lower() / "report.html"
    assert report.is_file() and f"Report: {report}" in ran.stdout + ran.stderr
    if room in ("CTR-GCN", "ST-GCN"):  # of the others it differs in names alone
        assert_next_command_works(ran.stdout, report.parent)


def assert_next_command_works(out: str, work_dir: Path) -> None:
    """The last line is a command of its own: the page of what the network sees in four clips."""
    *_, said, command = out.rstrip().splitlines()
    assert said.startswith("Next: ") and "predict.py" in command
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    assert (work_dir / "predict" / "predictions.html").is_file()


def test_key_points_of_pictures(folder):
    """``SKELETON=coco17``: the same people, in pixels."""
    archive.write(folder / "NTU60_CS_coco17.npz", train=10, test=5, classes=5, progress=False, skeleton="coco17")
    own = folder / "own"
    short = ("--num-epoch", "1", "--batch-size", "5", "--step", "1", "--work-dir", str(own))
    ran = run("CTR-GCN", folder, *short, skeleton="coco17")
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    assert (own / "report.html").is_file() and "/own/config.yaml" in ran.stdout  # of the command that comes next
    assert "(3, 16, 17, 2) in the training" in ran.stdout + ran.stderr


def test_wrong_room(folder):
    ran = run("CTRGCN", folder)
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1 and "choose CTR-GCN, MS-G3D" in ran.stderr
