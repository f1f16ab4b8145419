"""The commands of the users' documents that are not trainings: on the host, and in containers of the images."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import raw_helpers
import tiny_data
from containers import BASE, ROOT, call
from documents import NOT_RUN, ROWS
from places import TESTS

from skeleton_lab.zero_shot import synthetic


def test_every_row_is_run_by_a_test():
    """By name: in this file, or in the tests of trainings, images, scripts and downloads."""
    here = {*HOST, *(step.id for steps in SESSIONS.values() for step in steps), *RUNS, *BUILDS, *NOT_RUN}
    elsewhere = "".join(
        next(TESTS.rglob(f"test_{name}.py")).read_text() for name in ("documented", "docker", "get_models")
    )
    missing = [row for row in ROWS if row not in here and not re.search(rf"(?<![\w-]){row}(?![\w-])", elsewhere)]
    assert not missing
    assert here <= set(ROWS)


# ------------------------------------------------------------------------------------------------------------ host

HOST = [
    "data-mkdir-001", "data-cp-001", "data-mkdir-000", "data-cp-000", "data-mkdir-002", "data-cp-002",
    "data-mkdir-003", "data-cp-003", "data-ctr-mkdir-000", "data-ctr-link-000", "data-ctr-convert-002",
    "data-ctr-convert-000",
]  # fmt: skip


@pytest.mark.slow
def test_host_commands_in_their_order(tmp_path):
    """With ``/home`` in a temporary folder; the conversion follows a link and leaves the original alone."""
    home = tmp_path / "home"
    tiny_data.make_all(tmp_path)
    shutil.copy(tmp_path / "data" / "NTU60_CS.npz", tmp_path)
    for name in HOST:
        row = ROWS[name]
        command = row.command.replace("/home/", f"{home}/").replace("python3 ", f"{os.sys.executable} ")
        folder = ROOT if row.folder == "repository root" else tmp_path
        done = subprocess.run(
            command, shell=True, cwd=folder, capture_output=True, text=True,
            env={**os.environ, "HOME": str(home / "you")}, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, (name, done.stdout, done.stderr)
    original = (tmp_path / "NTU60_CS.npz").read_bytes()
    for copy in ("datasets/NTU60/kaggle_raw", "you/Datasets/NTU60/kaggle_raw", "bob/Datasets/NTU60_npz"):
        assert (home / copy / "NTU60_CS.npz").read_bytes() == original
    for root in ("bob", "you"):
        made = home / root / "Datasets/NTU60/ctrgcn/NTU60_CS.npz"
        assert not made.is_symlink() and made.read_bytes() != original


# ------------------------------------------------------------------------------------------------------ containers


class Step(NamedTuple):
    """A command in a container: ``more`` flags that shrink it, words that it prints, a file that it leaves."""

    id: str
    more: str = ""
    prints: str = ""
    writes: str = ""


CTR_NTU = "/workspace/CTR-GCN/data/ntu"
SESSIONS = {
    "ctrgcn": [
        Step("sc-gpu-000", prints="CUDA"),
        Step("sc-gpu-002", prints="PyTorch"),
        Step("sc-inspect-000", prints="x_train"),
        Step("sc-inspect-002", prints="y_test"),
        Step("sc-inspect-default", prints="x_train"),
        Step("sc-mlp-000", "--epochs 1", "Epoch 1"),
        Step("sc-mlp-002", "--epochs 1", "Epoch 1"),
        Step("data-ctr-convert-002c", writes=f"{CTR_NTU}/NTU60_CS_ctrgcn.npz"),
        Step("sc-gcn-002", "--epochs 1", "Epoch 1"),
        Step("data-s5d-convert", writes=f"{CTR_NTU}/skeleton5d/NTU60_CS_skeleton5d.npz"),
        Step("data-s5d-train", "--epochs 1", "Epoch 1"),
        Step("sc-bench-002", "--steps 1 --seq_len 16", "ctrgcn"),
        Step("sc-bench-001", "--steps 1 --seq_len 16", "ctrgcn"),
        Step("sc-bench-cpu", "--steps 1 --seq_len 16", "Benchmark summary"),
        Step("ctr-cd"),
        Step("ctr-extra-short", prints="loss="),
        Step("ctr-extra-full", "--epochs 1", "test_acc="),
    ],
    "baselines": [
        Step("bl-gpu", prints="CUDA"),
        Step("bl-mlp", prints="loss="),
        Step("bl-bench", "--steps 1 --seq-len 16", "Benchmark summary"),
        Step("bl-dataset", prints="25"),
        Step("bl-gcn", "--epochs 1", "Epoch 1"),
        Step("bl-simple", prints="loss="),
    ],
    "msg3d": [
        Step("ms-cd"),
        Step("ms-convert", writes="/workspace/MS-G3D/data/ntu/xsub/val_label.pkl"),
        Step("ms-gendata", writes="/workspace/MS-G3D/data/ntu/xview/train_data_joint.npy"),
        Step("ms-train-raw", "--num-epoch 1 --batch-size 2 --forward-batch-size 2 --test-batch-size 2 --num-worker 0 "
             "--train-feeder-args window_size=16,random_choose=True --test-feeder-args window_size=16",
             "Best", "/workspace/MS-G3D/work_dir/ntu60/xsub/msg3d_joint/config.yaml"),
    ],
    "freqmixformer": [Step("fm-cd")],
    "skateformer": [Step("sk-cd")],
    "hypergcn": [Step("hy-cd"), Step("hy-fast", prints="Smoke test ok - batch_size=2, window=48")],
    "stgcn": [
        Step("st-pip", prints="already satisfied"),
        Step("st-ntu-gen", writes="/workspace/st-gcn/tools/data/NTU-RGB-D/xsub/val_label.pkl"),
        Step("st-kin-gen", writes="/workspace/st-gcn/tools/data/Kinetics/kinetics-skeleton/val_label.pkl"),
    ],
}  # fmt: skip
FEW = "--num_cycles 1 --num_epoch_per_cycle 40"
for room, image, short in (("FS-VAE", "fsvae", "fs"), ("MSF-GZSSAR", "msf-gzssar", "msf")):
    SESSIONS[image] = [
        Step(f"{short}-cd"),
        Step(f"{short}-gen-text", writes=f"/workspace/{room}/text_feats/ViT-B/32/md_60.npy"),
        Step(f"{short}-60", f"--ss 5 --tm lb {FEW}", "H_Mean", f"/workspace/{room}/results/5_r/ViT-B/32/lb/gating.npz"),
        Step(f"{short}-120", f"--ss 10 --tm lb {FEW}", "H_Mean"),
        Step(f"{short}-smoke", prints="Smoke test ok. Loss="),
    ]
SESSIONS["fsvae"] += [
    Step("fs-train", FEW, writes="/workspace/FS-VAE/results/5_r/ViT-B/32/lb_ad_md/train.json"),
    Step("fs-train-120", FEW, writes="/workspace/FS-VAE/results/10_r/ViT-B/32/lb_ad_md/train.json"),
]
RAW = "/workspace/data/nturgbd_raw/nturgb+d_skeletons"
MOUNTS = {  # what the session's container sees besides: source (in the fixture's folder) -> target
    "ctrgcn": {"NTU60_CS.npz": f"{CTR_NTU}/NTU60_CS.npz"},
    "baselines": {"NTU60_CS.npz": "/workspace/data/NTU60/NTU60_CS.npz"},
    "msg3d": {"NTU60_CS.npz": "/workspace/MS-G3D/data/ntu/NTU60_CS.npz", "raw": RAW},
    "hypergcn": {"NTU60_CS.npz": "/workspace/Hyper-GCN/data/NTU60_CS.npz"},
    "stgcn": {
        "raw": "/workspace/st-gcn/tools/path/to/nturgb+d_skeletons",
        "kinetics": "/workspace/st-gcn/tools/data/Kinetics/kinetics-skeleton",
    },
    "fsvae": {name: f"/workspace/FS-VAE/{name}" for name in ("sk_feats", "text_feats")},
    "msf-gzssar": {name: f"/workspace/MSF-GZSSAR/{name}" for name in ("sk_feats", "text_feats")},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder with every source of MOUNTS."""
    folder = tmp_path_factory.mktemp("documents")
    tiny_data.make_all(folder)
    shutil.copy(folder / "data" / "NTU60_CS.npz", folder)
    raw_helpers.lay_out(folder)[0].rename(folder / "raw")
    shutil.copytree(raw_helpers.KINETICS, folder / "kinetics")
    zero_shot(folder)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o644)  # the container's user is another one
    return folder


def zero_shot(folder: Path) -> None:
    """Random text features, and skeleton features that belong to them, of one split of each data set."""
    texts = folder / "text_feats" / "ViT-B" / "32"
    texts.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for mode in ("lb", "ad", "md"):
        for n in (60, 120):
            np.save(texts / f"{mode}_{n}.npy", rng.standard_normal((n, 512)).astype(np.float32))
    for n, unseen in ((60, 5), (120, 10)):
        list(synthetic.write(folder, folder / "text_feats", n, unseen, "ViT-B/32", "lb", 0))


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.parametrize("name", SESSIONS)
def test_commands_in_a_container(images, data, name):
    """One container per image, as somebody works in it: command after command, each where the document is."""
    binds = [f"{data / source}:{target}" for source, target in MOUNTS.get(name, {}).items()]
    binds = [f"{bind}:ro" if "kinetics" not in bind else bind for bind in binds]
    started = call(
        "docker", "run", "-d", "--rm", "--network", "none", "--env", "OMP_NUM_THREADS=1",
        *(word for bind in binds for word in ("-v", bind)), f"skeleton-lab:{name}", "sleep", "1000",
    )  # fmt: skip
    assert started.returncode == 0, started.stderr
    container = started.stdout.strip()
    try:
        for step in SESSIONS[name]:
            row = ROWS[step.id]
            folder = row.folder if row.folder.startswith("/") else f"/workspace/{row.folder}"
            line = f"{row.command} {step.more}" + (f" && test -s {step.writes}" if step.writes else "")
            done = call("docker", "exec", "-w", folder, container, "bash", "-c", line, timeout=300)
            assert done.returncode == 0, (step.id, done.stdout[-2000:], done.stderr[-2000:])
            assert step.prints in done.stdout, (step.id, done.stdout[-2000:])
    finally:
        call("docker", "kill", container)


BUILDS = [name for name, row in ROWS.items() if row.command.startswith("docker build ")]
RUNS = [name for name, row in ROWS.items() if row.command.startswith("docker run ")]


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.parametrize("name", BUILDS)
def test_build_command(images, name):
    """As written, on the base that this machine has; everything is cached after ``images``."""
    words = ROWS[name].command.replace("docker build", f"docker build --build-arg BASE_IMAGE={BASE}").split()
    done = call(*words, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_run_command(images, data, tmp_path, name):
    """As written, without a terminal and a GPU, and with the host's folders below a temporary one."""
    command = ROWS[name].command
    sources = re.findall(r'source="?([^,"]+)"?,target', command) + re.findall(r"-v (\S+?):/", command)
    for source in sources:
        place = tmp_path / source.replace("$HOME", "you").lstrip("/")
        if place.suffix == ".npz":
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(data / "NTU60_CS.npz", place)
        elif place.suffix == ".txt":
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("S001C002P005R002A008\n")
        else:
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(0o777)
        command = command.replace(source, str(place))
    image = command.split()[-1]
    targets = re.findall(r"target=([^, ]+)", command) + re.findall(r"-v \S+?:(/\S+?)(?::ro)?(?= )", command)
    writable = [t for t in targets if f"{t},readonly" not in command and f"{t}:ro" not in command]
    check = "; ".join([*(f"test -e {t}" for t in targets), *(f"touch {t}/written" for t in writable), "pwd"])
    line = command.replace(" -it", "").replace(" --gpus all", "") + f" bash -c 'set -e; {check}'"
    done = call("bash", "-c", line)
    assert done.returncode == 0, done.stderr
    folder = call("docker", "inspect", "-f", "{{.Config.WorkingDir}}", image).stdout
    assert done.stdout == folder and folder.startswith("/workspace/")
