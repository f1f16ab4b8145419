"""The images of the rooms: built on a small CPU base, and used as the documents say."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tiny_data
from containers import BASE, LAB_UID, ROOT, call, in_container
from parity.kaggle_sample import TEST, make_kaggle_npz

from skeleton_lab import registry


class Use(NamedTuple):
    """A room's image, the folders that people mount, and a documented command of its own."""

    room: str
    mounts: tuple[str, ...]  # below /workspace
    archive: str  # where the command looks for its data, below /workspace
    command: str
    writes: str  # in /workspace/work_dir

    @property
    def image(self) -> str:
        return f"skeleton-lab:{registry.find(self.room).image}"


FEW = "--num-epoch 1 --batch-size 6 --test-batch-size 8 --num-worker 0"
USES = [
    Use("CTR-GCN", ("CTR-GCN/data/ntu", "CTR-GCN/data/ntu120", "CTR-GCN/data/NW-UCLA"), "CTR-GCN/data/ntu/NTU60_CS.npz",
        "python3 main.py --config ./config/nturgbd-cross-subject/default.yaml "
        "--work-dir ../work_dir/ctrgcn_ntu60_xsub_joint_smoke "
        "--num-epoch 1 --batch-size 8 --test-batch-size 8 --num-worker 0",
        "ctrgcn_ntu60_xsub_joint_smoke/runs-1-1.pt"),
    Use("MS-G3D", ("MS-G3D/data/ntu", "data/nturgbd_raw"), "MS-G3D/data/ntu/NTU60_CS.npz",
        "python3 main.py --config config/nturgbd-cross-subject/train_joint_kaggle.yaml "
        "--work-dir /workspace/work_dir/ntu60_xsub_msg3d_joint_smoke --device 0 --num-epoch 1 --batch-size 8 "
        "--forward-batch-size 4 --train-window-size 64 --test-window-size 64 --num-worker 0 --memory-friendly "
        "--eval-interval 1 --save-interval 1 --train-window-size 16 --test-window-size 16",
        "ntu60_xsub_msg3d_joint_smoke/weights/weights-1-1.pt"),
    Use("FreqMixFormer", ("data/NTU60",), "data/NTU60/kaggle_raw/NTU60_CS.npz",
        "python3 main.py --config config/nturgbd-cross-subject/joint_lowmem.yaml "
        f"--work-dir /workspace/work_dir/freqmixformer_ntu60_xsub_joint_lowmem --device 0 {FEW}",
        "freqmixformer_ntu60_xsub_joint_lowmem/runs-1-2.pt"),
    Use("SkateFormer", ("SkateFormer/data/ntu", "SkateFormer/pretrained"), "SkateFormer/data/ntu/NTU60_CS.npz",
        "python3 main.py --config ./config/train/ntu_cs/SkateFormer_j_tiny.yaml "
        "--work-dir /workspace/work_dir/skateformer_ntu60_xsub_joint_tiny_smoke --num-epoch 1 --device 0",
        "skateformer_ntu60_xsub_joint_tiny_smoke/runs-1-1.pt"),
    Use("Hyper-GCN", ("Hyper-GCN/data",), "Hyper-GCN/data/NTU60_CS.npz",
        "python3 main.py --config config/kaggle/nturgbd-cross-subject/hyper_joint_smoke.yaml "
        "--work-dir /workspace/work_dir/hypergcn_ntu60_xsub_joint_smoke --device 0",
        "hypergcn_ntu60_xsub_joint_smoke/runs-1-1.pt"),
    Use("DeGCN", ("DeGCN/data/ntu", "DeGCN/data/ntu120", "DeGCN/data/NW-UCLA"), "DeGCN/data/ntu/NTU60_CS.npz",
        "python3 main.py --config config/nturgbd-cross-subject/default.yaml "
        f"--work-dir /workspace/work_dir/degcn_ntu60_xsub_joint_smoke {FEW}",
        "degcn_ntu60_xsub_joint_smoke/epoch_1_2.pt"),
    Use("ST-GCN", ("ST-GCN/data", "st-gcn/models"), "ST-GCN/data/NTU-RGB-D",
        "cd /workspace/st-gcn && python main.py recognition -c config/st_gcn/ntu-xsub/train.yaml "
        "--work_dir ./work_dir/my_experiment --device 0 1 2 3 --batch_size 6 --num_epoch 1 --base_lr 0.05",
        "my_experiment/epoch1_model.pt"),
]  # fmt: skip

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.fixture(scope="session", params=USES, ids=lambda use: use.room)
def use(images, request) -> Use:
    return request.param


@pytest.fixture(scope="session")
def image(images) -> str:
    """One image that stands for all, where the rooms do not differ."""
    return USES[0].image


@pytest.fixture(scope="session")
def archive(tmp_path_factory) -> Path:
    """A Kaggle file, and beside it what ST-GCN reads."""
    folder = tmp_path_factory.mktemp("docker-data")
    make_kaggle_npz(folder / "NTU60_CS.npz")
    tiny_data.make_all(folder)
    return folder


@pytest.fixture(scope="session")
def trained(use, archive, tmp_path_factory):
    """The command, run on mounted data into a mounted work dir: (use, result, work dir)."""
    work = tmp_path_factory.mktemp(use.room) / "work"
    work.mkdir()
    user = ()
    if os.geteuid() == 0:
        os.chown(work, LAB_UID, LAB_UID)  # what the folder of an ordinary user is
    else:
        user = ("--user", f"{os.getuid()}:{os.getgid()}")
    source = archive / "NTU60_CS.npz" if use.archive.endswith(".npz") else archive / "data" / Path(use.archive).name
    mounts = (
        *("--mount", f"type=bind,source={source},target=/workspace/{use.archive},readonly"),
        *("--mount", f"type=bind,source={work},target=/workspace/work_dir"),
    )
    return use, in_container(use.image, use.command, "--shm-size=1g", *mounts, *user, timeout=550), work


def test_build_all_images(images):
    """lab-build-all."""
    for use in USES:
        tag = use.image.partition(":")[2]
        assert f"Building {use.image} from {tag}.docker" in images
    assert images.splitlines()[-1] == "All images built."


def test_smoke_test_all(images):
    """lab-smoke-all."""
    done = call(sys.executable, "smoke_test_all.py")
    assert done.returncode == 0, done.stdout + done.stderr
    first, *middle, last = done.stdout.splitlines()
    count = len(list(ROOT.glob("*.docker")))
    assert first == f"Running {count} smoke tests in Docker..."
    assert sum(bool(re.fullmatch(rf"\[\d+/{count}\] \S+ OK \(\d+\.\ds\)", line)) for line in middle) == count
    assert sum(line.startswith("Smoke test ok") for line in middle) == count
    assert last == "All smoke tests passed."


def test_image_is_labelled_and_not_root(use):
    wanted = "{{.Config.User}}|{{.Config.WorkingDir}}|{{json .Config.Labels}}|{{json .Config.Cmd}}"
    user, workdir, labels, command = call("docker", "inspect", "-f", wanted, use.image).stdout.strip().split("|")
    assert user == f"{LAB_UID}:{LAB_UID}"
    assert workdir == f"/workspace/{use.room}"
    assert f'"org.opencontainers.image.title":"{use.image}"' in labels
    assert "org.opencontainers.image.licenses" in labels
    assert command == '["/bin/bash"]'


def test_image_has_what_the_documents_promise(use):
    done = in_container(
        use.image,
        "set -e; test -f main.py; test -f /workspace/smoke_test_all.py; test -f /workspace/scripts/smoke_test_all.py; "
        f"for d in work_dir {' '.join(use.mounts)}; do test -w /workspace/$d; done; "
        "test $(readlink -f work_dir) = /workspace/work_dir; "
        "for x in install.sh tests tools docker; do test ! -e /workspace/$x; done; "
        "which python python3; python -c 'import skeleton_lab, h5py, matplotlib, tensorboard'; id -u",
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3 and done.stdout.splitlines()[-1] == str(LAB_UID)


def test_one_command_in_every_folder(image):
    done = in_container(
        image, "cd /tmp; skeleton-lab; skeleton-lab train ctrgcn --help; skeleton-lab train msg3d; exit 0"
    )
    assert "rooms: CTR-GCN\n" in done.stdout and "--base-lr" in done.stdout
    assert done.stderr.startswith("error: room MS-G3D is not here") and done.stderr.count("\n") == 1


def test_freqmixformer_has_the_packages_of_its_documents(images):
    """And its own torchlight with DictAction."""
    words = "import einops, h5py, skopt, torch_dct; from torchlight import DictAction, IO; print(DictAction.__name__)"
    done = in_container("skeleton-lab:freqmixformer", f"python -c '{words}'")
    assert done.stdout.strip() == "DictAction", done.stderr


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


def test_data_mount_is_read_only(image, archive):
    target = f"/workspace/{USES[0].archive}"
    mount = f"type=bind,source={archive / 'NTU60_CS.npz'},target={target},readonly"
    done = in_container(image, f"echo x >> {target}", "--mount", mount, "--user", "0")
    assert done.returncode != 0 and "Read-only" in done.stderr


def test_documented_command(trained):
    use, done, work = trained
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (work / use.writes).stat().st_size > 0
    run = work / use.writes.split("/")[0]
    for name in ("config.yaml", "log.txt", "metrics.jsonl", "evaluation.npz", "report.html"):
        assert (run / name).stat().st_size > 0, name
    assert np.load(run / "evaluation.npz")["logits"].shape == (len(TEST), 60)
    assert [path.name for path in work.iterdir()] == [run.name]


def test_results_belong_to_the_user(trained):
    _, _, work = trained
    owner = work.stat().st_uid
    files = list(work.rglob("*"))
    assert files and all(path.lstat().st_uid == owner for path in files)
    assert all(path.stat().st_mode & 0o400 for path in files)
