"""What people do with containers beside training: stop them, edit in them, close them off; and what is inside."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import time

import pytest
from containers import BASE, ROOT, call, in_container
from parity.kaggle_sample import make_kaggle_npz

NAMES = sorted(path.stem for path in ROOT.glob("*.docker"))
OTHERS = ("--user", "4321:4321")  # somebody whom the image does not know

pytestmark = [pytest.mark.docker, pytest.mark.slow]


# ------------------------------------------------------------------------------------------------------------ stopping

LINE = (
    "python main.py --config config/nturgbd-cross-subject/default.yaml --work-dir ../work_dir/run --device cpu "
    "--num-worker 1 --batch-size 4 --report False --train-feeder-args window_size=16 --test-feeder-args window_size=16"
)


@pytest.fixture
def mounted(images, tmp_path) -> list[str]:
    """Options of a container with an archive and a work dir, ``tmp_path/work``."""
    make_kaggle_npz(tmp_path / "NTU60_CS.npz")
    (tmp_path / "work").mkdir()
    (tmp_path / "work").chmod(0o777)
    data = f"{tmp_path}/NTU60_CS.npz:/workspace/CTR-GCN/data/ntu/NTU60_CS.npz:ro"
    return ["--network", "none", "--shm-size=1g", "-e", "OMP_NUM_THREADS=1", "-v", data,
            "-v", f"{tmp_path}/work:/workspace/work_dir"]  # fmt: skip


def begin(way: str, options: list[str], name: str) -> None:
    """A training in a container called ``name``, started in one of the ways that the documents show."""
    run = ["docker", "run", "--name", name, *options]
    if way == "in the shell":
        ours, theirs = os.openpty()
        subprocess.Popen([*run, "-it", "skeleton-lab:ctrgcn"], stdin=theirs, stdout=theirs, stderr=theirs)
        time.sleep(3)
        os.write(ours, f"{LINE}\n".encode())
    elif way == "by docker exec":
        assert call(*run, "-d", "skeleton-lab:ctrgcn", "sleep", "1000").returncode == 0
        assert call("docker", "exec", "-d", name, *LINE.split()).returncode == 0
    else:
        init = ["--init"] if "--init" in way else []
        assert call(*run, "-d", *init, "skeleton-lab:ctrgcn", *LINE.split()).returncode == 0


@pytest.mark.parametrize("way", ["behind the image's name", "with --init", "in the shell", "by docker exec"])
def test_docker_stop_ends_a_training_saved(mounted, tmp_path, way):
    name, run = f"skeleton-lab-stop-{time.time_ns()}", tmp_path / "work" / "run"
    begin(way, mounted, name)
    try:
        for _ in range(300):
            if (run / "log.txt").exists() and "Training epoch" in (run / "log.txt").read_text():
                break
            time.sleep(0.2)
        started = time.monotonic()
        assert call("docker", "stop", "-t", "60", name).returncode == 0
        assert time.monotonic() - started < 55, "it was killed at the end of the grace time"
        code = call("docker", "inspect", "-f", "{{.State.ExitCode}}", name).stdout.strip()
        assert code in {"in the shell": ("129", "143")}.get(way, ("143",))
        assert (run / "last.ckpt").stat().st_size > 0
    finally:
        call("docker", "rm", "-f", name)


def test_a_failing_command_is_told_and_its_code_kept(images):
    done = in_container("skeleton-lab:ctrgcn", "exit 5")
    assert done.returncode == 5
    done = call("docker", "run", "--rm", "skeleton-lab:ctrgcn", "pyton", "main.py")
    assert done.returncode == 127 and done.stderr.strip() == "error: pyton: No such file or directory"


# ------------------------------------------------------------------------------------------------------------- editing


def test_configurations_can_be_edited_by_anybody(images):
    """In place, as nano does, and anew, as sed and vim do; the code of a network as well; nothing else."""
    done = in_container(
        "skeleton-lab:freqmixformer",
        "set -e; which nano; cd config/nturgbd-cross-subject; "
        "sed -i 's#data_path: .*#data_path: /data/x.npz#' joint.yaml; "
        "grep -c 'data_path: /data/x.npz' joint.yaml; echo '# mine' >> motion.yaml; mkdir ../mine; cd ../..; "
        "echo 'x = 1' >> model/skefreqmixformer.py; echo > feeders/mine.py; rm graph/uav.py; touch notes; "
        "python smoke_test.py; ! touch main.py; ! touch /workspace/skeleton_lab/__init__.py; ! rm main.py",
        *OTHERS,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[1] == "2" and "Smoke test ok" in done.stdout  # both entries


def test_scripts_run_from_where_the_documents_start_them(images):
    done = in_container(
        "skeleton-lab:ctrgcn",
        "set -e; for d in $PWD /workspace /workspace/scripts; do cd $d; python3 check_gpu.py | head -1; "
        "python3 dataset_tools/inspect_npz.py --help | head -1; done; bash -lc 'which python'",
        *OTHERS,
    )
    assert done.returncode == 0, done.stderr
    *lines, python = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["CUDA available", "usage"] * 3
    assert python == "/opt/lab/bin/python", "of a login shell"


@pytest.mark.parametrize("name", NAMES)
def test_every_image_has_scripts_and_documents(images, name):
    done = in_container(
        f"skeleton-lab:{name}",
        "set -e; for d in . /workspace /workspace/scripts; do head -qn1 $d/check_gpu.py $d/dataset_tools/view.py; done;"
        " cd /workspace; head -qn1 README.md LICENSE docs/containers.md; ls docs/images | grep -c png; which nano",
        *OTHERS,
    )
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 11, done.stderr


def test_a_closed_container_works(images):
    """As docs/containers.md writes it: nothing may be written but /tmp, and there is no network."""
    flags = ("--read-only", "--tmpfs", "/tmp", "-e", "MPLCONFIGDIR=/tmp/matplotlib", *OTHERS)
    done = in_container("skeleton-lab:ctrgcn", "python -c 'import matplotlib.pyplot' && python smoke_test.py", *flags)
    assert done.returncode == 0 and "Smoke test ok" in done.stdout, done.stderr
    assert "not a writable" not in done.stderr


# ------------------------------------------------------------------------------------------------------------ packages


@functools.cache
def packages(image: str) -> dict[str, str]:
    words = "import importlib.metadata as m; print(*(d.metadata['Name'] + '==' + d.version for d in m.distributions()))"
    said = call("docker", "run", "--rm", image, "python", "-c", words).stdout.split()
    found = (word.split("==") for word in said)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


@pytest.mark.parametrize("name", NAMES)
def test_every_package_is_the_bases_or_pinned(images, name):
    base = packages(BASE)
    pins: dict[str, set[str]] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        package, _, version = line.partition(" ;")[0].partition("==")
        pins.setdefault(package, set()).add(version)
    for package, version in packages(f"skeleton-lab:{name}").items():
        known = pins.get(package, set()) | {base.get(package)}
        assert package == "skeleton-lab" or version in known, f"{package} {version}"


def test_clips_merges_are_in_the_zero_shot_images(images):
    words = "from skeleton_lab.zero_shot.text.tokens import find_merges; print(find_merges())"
    for name in ("fsvae", "msf-gzssar"):
        done = in_container(f"skeleton-lab:{name}", f'python -c "{words}"')
        assert done.stdout.strip().endswith("bpe_simple_vocab_16e6.txt.gz"), done.stderr


def test_history_names_no_package_index(images):
    for name in NAMES:
        history = call("docker", "history", "--no-trunc", f"skeleton-lab:{name}").stdout
        assert "PIP_" not in history and "init.py" in history


def test_a_base_named_by_its_digest(images):
    """The registry's digest where the base has one, else the image's own; everything is cached."""
    told = call("docker", "inspect", "-f", "{{json .RepoDigests}} {{.Id}}", BASE).stdout
    digest = re.search(r"[\w./:-]*@?sha256:[0-9a-f]{64}", told)[0]
    done = call("bash", "build_all_images.sh", "ctrgcn", env=os.environ | {"BASE_IMAGE": digest}, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]


# ------------------------------------------------------------------------------------------------------------- context

KEPT_OUT = (
    "CTR-GCN/my_experiment/config.yaml", "CTR-GCN/my_experiment/log.txt", "CTR-GCN/runs-65-40690.pt",
    "CTR-GCN/data/ntu/NTU60_CS.npz", "SkateFormer/pretrained/x.pt", "FS-VAE/results/5_r/se_1.pth.tar",
    "FS-VAE/sk_feats/train.npy", "FS-VAE/text_extractor/mine.pt", "MSF-GZSSAR/log/ntu60.txt", "work_dir/a/report.html",
    "ST-GCN/models/st_gcn.ntu-xsub.pt", "ST-GCN/tools/data/a.npy", "CTR-GCN/model/weights.safetensors",
    "CTR-GCN/ViT-B-32.pt", "demo/NTU60_CS.npz", ".env", ".venv/bin/python", "tests/test_docker.py",
)  # fmt: skip
LET_IN = (
    "FS-VAE/text_extractor/ViT-B-32.pt", "MSF-GZSSAR/text_extractor/ViT-B-16.pt", "CTR-GCN/model/mine.py",
    "ST-GCN/config/custom/train.yaml", "README.md", "LICENSE", "docs/rooms.md", "constraints.txt",
    "skeleton_lab/zero_shot/resources/text_feats_vit_b_32.npz", "FreqMixFormer/torchlight/io.py",
)  # fmt: skip


def test_data_weights_and_results_stay_out_of_the_build(images, tmp_path):
    """Somebody has worked in the folder, under names of their own; what the builder takes of it."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    code = {
        name
        for name in listed
        if not name.startswith(("tests/", "tools/", "benchmarks/", "findings/", ".")) and "/" in name
    }
    folder = tmp_path / "lab"
    for name in {*listed, *KEPT_OUT, *LET_IN}:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    shutil.copy(ROOT / ".dockerignore", folder)
    (folder / "list.docker").write_text(f"FROM {BASE}\nCOPY . /lab\nRUN cd /lab && find . -type f > /list\n")
    done = call("docker", "build", "-q", "-f", str(folder / "list.docker"), str(folder))
    assert done.returncode == 0, done.stderr
    image = done.stdout.strip()
    try:
        taken = {line[2:] for line in call("docker", "run", "--rm", image, "cat", "/list").stdout.split()}
    finally:
        call("docker", "rmi", image)
    assert not taken & set(KEPT_OUT)
    assert not (code | set(LET_IN)) - taken, "a file of the repository is missing from the build"


def test_no_gpu_is_one_line(images):
    if "nvidia" in call("docker", "info").stdout:
        pytest.skip("there is an NVIDIA runtime")
    done = call(sys.executable, "smoke_test_all.py", "--use-gpus", "--only", "ctrgcn")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: --use-gpus: Docker has no NVIDIA runtime here")
