"""build_all_images.sh, smoke_test_all.py and make_cpu_base.sh against a docker command that only takes notes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from places import ROOT

FAKE = """#!/bin/bash
printf '%s\\n' "$*" >> "$NOTES"
case "$*" in
  info*) exit ${NO_ENGINE:-0} ;;
  "image inspect"*) [[ " $MISSING " != *" ${@: -1} "* ]] ;;
  build*) [[ -z "$BROKEN" || "$*" != *"$BROKEN"* ]] ;;
  run*)
    [[ -z "$NO_GPU" ]] || { echo 'docker: could not select device driver "" with capabilities: [[gpu]]' >&2; exit 125; }
    [[ -z "$SLOW" || "$*" != *"$SLOW"* ]] || exec sleep 30
    [[ -z "$BROKEN" || "$*" != *"$BROKEN"* ]] || { echo half; echo "it broke" >&2; exit 3; }
    echo "Smoke test ok" ;;
esac
"""
FOLDERS = {"ctrgcn": "CTR-GCN", "hypergcn": "Hyper-GCN", "baselines": "baselines"}


@pytest.fixture
def lab(tmp_path):
    """A folder with the two scripts and three images, and a docker that is none; call it to run something there."""
    for script in ("build_all_images.sh", "smoke_test_all.py"):
        shutil.copy(ROOT / script, tmp_path)
    for name, folder in FOLDERS.items():
        (tmp_path / f"{name}.docker").write_text(f"FROM x\nWORKDIR /workspace\nWORKDIR /workspace/{folder}\n")
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(FAKE)
    docker.chmod(0o755)

    def run(*command, path=f"{docker.parent}:/usr/bin:/bin", **env):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "BASE_IMAGE"))}
        notes = {"NOTES": str(tmp_path / "notes"), "PATH": path}
        done = subprocess.run(command, cwd="/", env=clean | notes | env, capture_output=True, text=True, timeout=60)
        run.notes = (tmp_path / "notes").read_text().splitlines() if (tmp_path / "notes").exists() else []
        return done

    run.build = lambda *a, **env: run("/bin/bash", str(tmp_path / "build_all_images.sh"), *a, **env)
    run.smoke = lambda *a, **env: run(sys.executable, str(tmp_path / "smoke_test_all.py"), *a, **env)
    run.folder = tmp_path
    return run


def one_line(done, code, *words):
    assert done.returncode == code
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1
    assert all(word in done.stderr for word in words), done.stderr


def test_builds_every_image_it_finds(lab):
    done = lab.build()
    assert done.returncode == 0, done.stderr
    assert [note for note in lab.notes if note.startswith("build")] == [
        f"build -t skeleton-lab:{name} -f {name}.docker ." for name in ("baselines", "ctrgcn", "hypergcn")
    ]
    assert "Building skeleton-lab:ctrgcn from ctrgcn.docker" in done.stdout
    assert done.stdout.splitlines()[-1] == "All images built."


@pytest.mark.parametrize("names", [("--only", "ctrgcn"), ("ctrgcn",), ("--only=ctrgcn",)])
def test_builds_the_images_named_on_the_base_asked_for(lab, names):
    assert lab.build(*names, BASE_IMAGE="mine:1", PIP_INDEX_URL="https://mirror/simple").returncode == 0
    assert lab.notes[-1] == (
        "build --build-arg BASE_IMAGE=mine:1 --build-arg PIP_INDEX_URL -t skeleton-lab:ctrgcn -f ctrgcn.docker ."
    )
    assert sum(note.startswith("build") for note in lab.notes) == 1


def test_building_stops_at_the_first_failure(lab):
    done = lab.build(BROKEN="ctrgcn")
    assert done.returncode != 0
    assert "All images built." not in done.stdout
    assert "hypergcn" not in lab.notes[-1]


def test_building_says_what_is_wrong(lab):
    one_line(lab.build("ctrgnc"), 2, "ctrgnc", "baselines ctrgcn hypergcn")
    one_line(lab.build("--all"), 2, "--all")
    one_line(lab.build(NO_ENGINE="1"), 2, "no Docker engine answers")
    (lab.folder / "bin" / "docker").unlink()
    (lab.folder / "bin" / "dirname").symlink_to("/usr/bin/dirname")
    one_line(lab.build(path=str(lab.folder / "bin")), 2, "docker is not installed")
    for file in lab.folder.glob("*.docker"):
        file.unlink()
    one_line(lab.build(), 2, "no *.docker file")


def test_smoke_runs_every_image(lab):
    done = lab.smoke()
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "Running 3 smoke tests in Docker..."
    names = [" ".join(line.split()[:3]) for line in lines if line.startswith("[")]
    assert names == ["[1/3] Baselines OK", "[2/3] CTR-GCN OK", "[3/3] Hyper-GCN OK"]
    assert lines[-1] == "All smoke tests passed."
    runs = [note for note in lab.notes if note.startswith("run")]
    assert runs[1].startswith("run --name skeleton-lab-smoke-ctrgcn-")
    assert runs[1].endswith(
        "--rm --shm-size=8g --workdir /workspace/CTR-GCN skeleton-lab:ctrgcn python smoke_test.py --device cpu"
    )
    assert runs[2].endswith("python smoke_test_kaggle.py --device cpu --window-size 32 --use-synthetic")


def test_smoke_on_gpus_with_a_file(lab, tmp_path):
    (tmp_path / "NTU60_CS.npz").touch()
    flags = ("--use-gpus", "--hyper-data", str(tmp_path / "NTU60_CS.npz"), "--hyper-window", "48", "--only", "hypergcn")
    assert lab.smoke(*flags).returncode == 0
    inside = "/workspace/Hyper-GCN/data/NTU60_CS.npz"
    assert lab.notes[-1].endswith(
        "--workdir /workspace/Hyper-GCN --gpus all "
        f"--mount type=bind,source={tmp_path}/NTU60_CS.npz,target={inside},readonly "
        f"skeleton-lab:hypergcn python smoke_test_kaggle.py --device cuda:0 --window-size 48 --data-path {inside}"
    )


def test_smoke_names_the_failures_and_shows_why(lab):
    done = lab.smoke(BROKEN="skeleton-lab:ctrgcn", MISSING="skeleton-lab:hypergcn")
    assert done.returncode == 1
    assert "[2/3] CTR-GCN FAIL" in done.stdout and "half\nit broke\n" in done.stdout
    assert "The image skeleton-lab:hypergcn is missing: bash build_all_images.sh --only hypergcn" in done.stdout
    assert "Failed: CTR-GCN, Hyper-GCN" in done.stdout
    assert "[3/3]" not in lab.smoke("--fail-fast", BROKEN="skeleton-lab:ctrgcn").stdout


def test_smoke_says_that_there_is_no_nvidia_runtime(lab):
    """And does not repeat it for every image."""
    done = lab.smoke("--use-gpus", NO_GPU="1")
    one_line(done, 1, "--use-gpus", "NVIDIA Container Toolkit", "could not select device driver")
    assert sum(note.startswith("run") for note in lab.notes) == 1
    assert "capabilities" in lab.smoke(NO_GPU="1").stdout  # without the flag it is a failure like any other


@pytest.mark.slow
def test_smoke_ends_a_container_that_hangs(lab):
    done = lab.smoke("--timeout", "1", "--only", "ctrgcn", SLOW="skeleton-lab:ctrgcn")
    assert done.returncode == 1
    assert "No end after 1 seconds." in done.stdout
    assert lab.notes[-1].startswith("kill skeleton-lab-smoke-ctrgcn-")


def test_smoke_says_what_is_wrong(lab):
    one_line(lab.smoke("--only", "ctrgnc"), 2, "ctrgnc", "baselines, ctrgcn, hypergcn")
    one_line(lab.smoke(NO_ENGINE="1"), 1, "no Docker engine answers")
    one_line(lab.smoke(path="/nowhere"), 1, "docker is not installed")
    assert "--hyper-data /nowhere" in lab.smoke("--hyper-data", "/nowhere").stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="takes the place of a plain user, which only root may")
def test_base_image_needs_an_engine_or_root(lab):
    with tempfile.TemporaryDirectory() as folder:  # unlike tmp_path, open to others once it is told so
        Path(folder).chmod(0o777)
        shutil.copy(lab.folder / "bin" / "docker", folder)
        shutil.copy(ROOT / "tools" / "make_cpu_base.sh", folder)

        def run(**env):
            clean = {"PATH": f"{folder}:/usr/bin:/bin", "XDG_CACHE_HOME": f"{folder}/cache", "NOTES": "/dev/null"}
            command = ["setpriv", "--reuid=65534", "--clear-groups", "bash", f"{folder}/make_cpu_base.sh"]
            return subprocess.run(command, cwd="/", env=clean | env, capture_output=True, text=True)

        one_line(run(NO_ENGINE="1"), 2, "no Docker engine answers", "root")
        one_line(run(MISSING="skeleton-lab-base:cpu"), 2, "needs root")
        assert run().stdout == "skeleton-lab-base:cpu is ready\n"


def test_demo_needs_the_environment(tmp_path):
    script = ["bash", str(ROOT / "tools" / "demo_room.sh"), "CTR-GCN"]
    env = {"PATH": "/usr/bin:/bin", "PYTHON": str(tmp_path / "python"), "DEMO": str(tmp_path)}
    one_line(subprocess.run(script, env=env, capture_output=True, text=True), 2, "make setup")
    assert not list(tmp_path.iterdir())
