"""Containers of the lab's images, for the tests that need a Docker engine (fixture ``images`` in conftest.py)."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from skeleton_lab import registry

ROOT = registry.ROOT
BASE = os.environ.get("BASE_IMAGE", "skeleton-lab-base:cpu")
LAB_UID = 1000  # the images' user


def call(*command, timeout=300, **options) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=ROOT, **options)


def in_container(image, command, *options, timeout=300) -> subprocess.CompletedProcess:
    docker = ["docker", "run", "--rm", "--network", "none", "--env", "OMP_NUM_THREADS=1"]  # other tests run meanwhile
    return call(*docker, *options, image, "bash", "-c", command, timeout=timeout)


def build_all() -> str:
    """What ``build_all_images.sh`` prints; skips the test where containers cannot be run."""
    if shutil.which("docker") is None or call("docker", "info").returncode:
        pytest.skip("no Docker engine answers (sudo bash tools/make_cpu_base.sh starts one)")
    if call("docker", "image", "inspect", BASE).returncode:
        pytest.skip(f"there is no image {BASE} to build on (sudo bash tools/make_cpu_base.sh makes it)")
    with open(Path(tempfile.gettempdir()) / "skeleton-lab-images.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test processes: the second finds everything built
        done = call("bash", "build_all_images.sh", timeout=1500, env=os.environ | {"BASE_IMAGE": BASE})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout
