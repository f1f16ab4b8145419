"""The image of CTR-GCN: built on a small CPU base, and used as the documents say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from parity.kaggle_sample import TEST, make_kaggle_npz

ROOT = Path(__file__).resolve().parent.parent
BASE = os.environ.get("BASE_IMAGE", "skeleton-lab-base:cpu")
IMAGE = "skeleton-lab:ctrgcn"
ARCHIVE = "/workspace/CTR-GCN/data/ntu/NTU60_CS.npz"
SMOKE = (
    "python3 main.py --config ./config/nturgbd-cross-subject/default.yaml "
    "--work-dir ../work_dir/ctrgcn_ntu60_xsub_joint_smoke "
    "--num-epoch 1 --batch-size 8 --test-batch-size 8 --num-worker 0"
)
LAB_UID = 1000  # the image's user

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def call(*command, timeout=300, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=ROOT, **options)


@pytest.fixture(scope="session")
def image():
    """The name of the image, just built; skips where containers cannot be run."""
    if shutil.which("docker") is None or call("docker", "info").returncode:
        pytest.skip("no Docker engine answers (sudo bash tools/make_cpu_base.sh starts one)")
    if call("docker", "image", "inspect", BASE).returncode:
        pytest.skip(f"there is no image {BASE} to build on (sudo bash tools/make_cpu_base.sh makes it)")
    build = ["bash", "build_all_images.sh", "--only", "ctrgcn"]
    done = call(*build, timeout=550, env=os.environ | {"BASE_IMAGE": BASE})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Building skeleton-lab:ctrgcn from ctrgcn.docker" in done.stdout
    assert done.stdout.splitlines()[-1] == "All images built."
    return IMAGE


def in_container(image, command, *options, timeout=300):
    docker = ["docker", "run", "--rm", "--network", "none", "--env", "OMP_NUM_THREADS=1"]  # other tests run meanwhile
    return call(*docker, *options, image, "bash", "-c", command, timeout=timeout)


@pytest.fixture(scope="session")
def trained(image, tmp_path_factory):
    """The documented smoke command, run on a mounted archive into a mounted work dir: (result, work dir)."""
    folder = tmp_path_factory.mktemp("docker")
    make_kaggle_npz(folder / "NTU60_CS.npz")
    work = folder / "work"
    work.mkdir()
    user = ()
    if os.geteuid() == 0:
        os.chown(work, LAB_UID, LAB_UID)  # what the folder of an ordinary user is
    else:
        user = ("--user", f"{os.getuid()}:{os.getgid()}")
    mounts = (
        *("--mount", f"type=bind,source={folder / 'NTU60_CS.npz'},target={ARCHIVE},readonly"),
        *("--mount", f"type=bind,source={work},target=/workspace/work_dir"),
    )
    return in_container(image, SMOKE, "--shm-size=1g", *mounts, *user, timeout=550), work


def test_smoke_test_all(image):
    done = call(sys.executable, "smoke_test_all.py", "--only", "ctrgcn")
    assert done.returncode == 0, done.stdout + done.stderr
    first, second, third, fourth, last = done.stdout.splitlines()
    assert first == "Running 1 smoke test in Docker..."
    assert re.fullmatch(r"\[1/1\] CTR-GCN OK \(\d+\.\ds\)", second)
    assert third == "Running CTR-GCN smoke test on cpu"
    assert re.fullmatch(r"Smoke test ok - frames=24, loss=\d+\.\d+, acc=\d+\.\d+%", fourth)
    assert last == "All smoke tests passed."


def test_image_is_labelled_and_not_root(image):
    wanted = "{{.Config.User}}|{{.Config.WorkingDir}}|{{json .Config.Labels}}|{{json .Config.Cmd}}"
    user, workdir, labels, command = call("docker", "inspect", "-f", wanted, image).stdout.strip().split("|")
    assert user == "lab"
    assert workdir == "/workspace/CTR-GCN"
    assert "org.opencontainers.image.title" in labels and "org.opencontainers.image.licenses" in labels
    assert command == '["/bin/bash"]'
    assert in_container(image, "id -u").stdout.strip() == str(LAB_UID)


def test_image_has_what_the_documents_promise(image):
    done = in_container(
        image,
        "set -e; test -f main.py; test -f /workspace/smoke_test_all.py; test -f /workspace/scripts/smoke_test_all.py; "
        "for d in data/ntu data/ntu120 data/NW-UCLA work_dir /workspace/work_dir; do test -w $d; done; "
        "test $(readlink -f work_dir) = /workspace/work_dir; "
        "for x in install.sh tests docs; do test ! -e /workspace/$x; done; "
        "which python python3; python -c 'import skeleton_lab, h5py, matplotlib, tensorboard'",
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2


def test_image_keeps_the_torch_of_its_base(image):
    versions = "import torch, numpy; print(torch.__version__, numpy.__version__)"
    before = call("docker", "run", "--rm", BASE, "python", "-c", versions).stdout
    assert before and in_container(image, f'python -c "{versions}"').stdout == before


def test_any_user_can_write_where_runs_write(image):
    done = in_container(
        image,
        "set -e; touch /workspace/work_dir/a data/ntu/a $SKELETON_LAB_CACHE/a $HOME/a; mkdir -p work_dir/mine; "
        "python -c 'import getpass, matplotlib.pyplot; print(getpass.getuser())'; stat -c %u /workspace/work_dir/mine",
        "--user",
        "4321:4321",
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert done.stdout.split() == ["lab", "4321"]


def test_data_mount_is_read_only(image, tmp_path):
    make_kaggle_npz(tmp_path / "NTU60_CS.npz")
    mount = f"type=bind,source={tmp_path / 'NTU60_CS.npz'},target={ARCHIVE},readonly"
    done = in_container(image, f"echo x >> {ARCHIVE}", "--mount", mount, "--user", "0")
    assert done.returncode != 0 and "Read-only" in done.stderr


def test_documented_training_command(trained):
    done, work = trained
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    run = work / "ctrgcn_ntu60_xsub_joint_smoke"
    for name in ("config.yaml", "log.txt", "metrics.jsonl", "epoch1_test_score.pkl", "evaluation.npz", "report.html"):
        assert (run / name).stat().st_size > 0, name
    assert len(list(run.glob("runs-1-*.pt"))) == 1
    assert np.load(run / "evaluation.npz")["logits"].shape == (len(TEST), 60)
    assert sorted(path.name for path in work.iterdir()) == ["ctrgcn_ntu60_xsub_joint_smoke"]


def test_results_belong_to_the_user(trained):
    _, work = trained
    owner = work.stat().st_uid
    files = list(work.rglob("*"))
    assert files and all(path.lstat().st_uid == owner for path in files)
    assert all(path.stat().st_mode & 0o400 for path in files)
