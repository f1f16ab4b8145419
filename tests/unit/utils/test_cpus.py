"""``skeleton_lab.utils.cpus``: affinity and quotas, with control groups that are folders of the test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from skeleton_lab.utils import cpus

HOST = 64
V2 = "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw,nsdelegate\n"
V1 = (
    "31 23 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n"
    "32 31 0:29 {within} /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
    "33 31 0:30 {within} /sys/fs/cgroup/cpu,cpuacct ro shared:7 master:2 - cgroup cgroup rw,cpu,cpuacct\n"
)


@pytest.fixture(autouse=True)
def large_host(monkeypatch):
    """64 processors, no word of the user's."""
    monkeypatch.setattr(os, "cpu_count", lambda: HOST)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(HOST)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(cpus, "_set_here", None)


def tree(root: Path, mounts: str, groups: str, **files: str) -> Path:
    """A root folder: its mount points, the groups of this process, and files by path below /sys/fs/cgroup."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text(f"23 1 8:1 / / rw - ext4 /dev/sda rw\n{mounts}")
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    return root


def v1(within: str, group: str, folder: str, quota: int, period: int = 100000) -> dict:
    where = f"cpu,cpuacct/{folder}".rstrip("/")
    files = {f"{where}/cpu.cfs_quota_us": str(quota), f"{where}/cpu.cfs_period_us": str(period)}
    return {"mounts": V1.format(within=within), "groups": f"5:cpu,cpuacct:{group}\n4:memory:{group}\n0::/\n", **files}


@pytest.mark.parametrize(
    ("written", "count"),
    [
        ("max 100000", HOST),
        ("150000 100000", 2),
        ("200000 100000", 2),
        ("200001 100000", 3),
        ("10000 100000", 1),
        ("25000 50000", 1),
        ("9900000 100000", HOST),
        ("nonsense", HOST),
        ("", HOST),
    ],
)
def test_version_2(tmp_path, written, count):
    root = tree(tmp_path, V2, "0::/\n", **{"cpu.max": written})
    found = cpus.available(root)
    assert (found.count, found.host) == (count, HOST)
    assert bool(found.why) == (count < HOST)


def test_smallest_along_the_path(tmp_path):
    files = {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000", "a/b/c/cpu.max": "800000 100000"}
    root = tree(tmp_path, V2, "0::/a/b/c\n", **files, **{"other/cpu.max": "100000 100000"})
    assert cpus.cgroup_quota(root) == 3
    assert cpus.available(root) == cpus.Processors(3, HOST, "a control group's quota of 3 CPUs")


def test_version_1(tmp_path):
    assert cpus.cgroup_quota(tree(tmp_path, **v1("/", "/jobs/7", "jobs/7", 250000))) == 2.5
    assert cpus.available(tmp_path).count == 3


def test_version_1_without_a_quota(tmp_path):
    assert cpus.available(tree(tmp_path, **v1("/", "/", "", -1))).count == HOST


def test_version_1_above(tmp_path):
    files = v1("/", "/jobs/7", "jobs/7", -1) | v1("/", "/jobs/7", "jobs", 50000, 25000)
    assert cpus.cgroup_quota(tree(tmp_path, **files)) == 2


def test_in_a_container_the_mount_is_the_group(tmp_path):
    """Docker with control groups of version 1: the path is the host's, the mount point the container's own group."""
    assert cpus.cgroup_quota(tree(tmp_path, **v1("/docker/a1", "/docker/a1", "", 400000))) == 4


def test_a_path_outside_of_the_mount(tmp_path):
    files = v1("/docker/a1", "/../elsewhere", "", 400000)
    assert cpus.cgroup_quota(tree(tmp_path, **files)) == 4


def test_both_versions_mounted(tmp_path):
    files = v1("/", "/jobs", "jobs", 300000)
    files["mounts"] += "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    assert cpus.cgroup_quota(tree(tmp_path, **files)) == 3


def test_no_control_groups(tmp_path):
    assert cpus.available(tmp_path) == cpus.Processors(HOST, HOST)


def test_affinity_and_quota_the_smaller(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    root = tree(tmp_path, V2, "0::/\n", **{"cpu.max": "800000 100000"})
    assert cpus.available(root) == cpus.Processors(3, HOST, "the affinity of this process")
    (root / "sys/fs/cgroup/cpu.max").write_text("150000 100000\n")
    assert cpus.available(root).count == 2


def test_threads_by_quota_and_by_process(tmp_path):
    root = tree(tmp_path, V2, "0::/\n", **{"cpu.max": "750000 100000"})
    assert cpus.threads(HOST, root=root) == (8, "a control group's quota of 7.5 CPUs; the machine has 64 CPUs")
    count, why = cpus.threads(HOST, processes=3, root=root)
    assert count == 2 and "3 processes" in why and "7.5" in why
    assert cpus.threads(HOST, processes=20, root=root)[0] == 1


def test_the_users_word_wins(tmp_path, monkeypatch):
    root = tree(tmp_path, V2, "0::/\n", **{"cpu.max": "750000 100000"})
    assert cpus.threads(HOST, asked=5, root=root) == (5, "--threads; the machine has 64 CPUs")
    monkeypatch.setenv("OMP_NUM_THREADS", "12")
    assert cpus.threads(12, root=root) == (12, "OMP_NUM_THREADS=12; the machine has 64 CPUs")
    assert cpus.threads(12, asked=3, root=root)[0] == 3
    cpus.share_out(2)
    assert os.environ["OMP_NUM_THREADS"] == "12"


def test_all_processors_are_nothing_to_say(tmp_path):
    assert cpus.threads(HOST, root=tmp_path) == (HOST, "")
    assert cpus.threads(4, root=tmp_path) == (4, "set before this run; the machine has 64 CPUs")


def test_shares_reach_the_processes_that_are_started(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    monkeypatch.delenv("OMP_NUM_THREADS")
    cpus.share_out(3)
    cpus.share_out(2)
    assert os.environ["OMP_NUM_THREADS"] == "2"


def started(code: str, **environment: str) -> str:
    """What a new Python prints that has one processor of this machine, and none of the words of the tests' own."""
    clean = {name: value for name, value in os.environ.items() if name not in (*cpus.OWN_WORD, cpus.THREADS)}
    first = min(os.sched_getaffinity(os.getppid()))
    pin = f"import os; os.sched_setaffinity(0, {{{first}}})\n"
    ran = subprocess.run(
        [sys.executable, "-c", pin + code],
        env=clean | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


TOLD = """
import skeleton_lab, torch
from skeleton_lab.utils import cpus
print(torch.get_num_threads(), cpus.available().count, os.environ.get("GOMP_SPINCOUNT"))
"""


def test_a_real_process_with_one_processor(monkeypatch):
    monkeypatch.undo()  # this machine, not the large one
    assert started(TOLD) == "1 1 10000"
    assert started(TOLD, OMP_NUM_THREADS="2", GOMP_SPINCOUNT="77") == "2 1 77"
    assert started(TOLD, OMP_WAIT_POLICY="ACTIVE") == "1 1 None"


def test_torch_is_not_loaded():
    code = "import sys, skeleton_lab; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout == "False\n"
