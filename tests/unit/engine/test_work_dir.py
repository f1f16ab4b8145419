"""The work dir: one run at a time, its names, its loss, another user's, a container's; and what the system refuses."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy_room

from skeleton_lab.engine import container_hints, failures, work_dir
from skeleton_lab.errors import UsageError
from skeleton_lab.utils import locks


@pytest.fixture
def room(tmp_path) -> Path:
    return toy_room.make_room(tmp_path / "room")


def errors(capsys) -> list[str]:
    return capsys.readouterr().err.splitlines()


# ------------------------------------------------------------------------------------------------------- the lock


@pytest.mark.parametrize("phase", ["train", "test"])
def test_a_second_run_in_the_folder_is_refused(room, tmp_path, capsys, phase):
    work, flags = tmp_path / "work", []
    if phase == "test":
        assert toy_room.call(room, toy_room.arguments(work, "--save-epoch", "0")) == 0
        flags = ["--phase", "test", "--weights", str(work / "runs-2-4.pt")]
    work.mkdir(exist_ok=True)
    with work_dir.locked(work):
        before = sorted(work.iterdir())
        assert toy_room.call(room, toy_room.arguments(work, *flags)) == 2
        (line,) = errors(capsys)
        assert f"--work-dir {work}" in line and "another run" in line and str(os.getpid()) in line
        assert sorted(work.iterdir()) == before
    assert not (work / ".lock").exists()
    assert toy_room.call(room, toy_room.arguments(work, *flags)) == 0
    assert not (work / ".lock").exists(), "a run leaves no lock"


@pytest.mark.slow
def test_a_killed_run_with_loader_processes_leaves_no_lock(room, tmp_path, capsys):
    """Its loaders live on for seconds; the lock is not theirs."""
    work = tmp_path / "work"
    feeder = room / "feeders" / "toy_feeder.py"
    feeder.write_text(feeder.read_text().replace("time.sleep(self.delay)", "time.sleep(0.05)"))
    process = toy_room.start(room, toy_room.arguments(work, "--num-worker", "2", "--checkpoint-minutes", "0"))
    end = time.monotonic() + 100
    while not (work / "last.ckpt").exists() and time.monotonic() < end:
        time.sleep(0.01)
    with pytest.raises(UsageError, match=f"process {process.pid} on"), work_dir.locked(work):
        pass
    process.kill()
    process.wait()
    with work_dir.locked(work):
        pass
    process.communicate(timeout=60)


def _hold(folder: Path, queue) -> None:
    try:
        with work_dir.locked(folder, "--folder"):
            queue.put("mine")
            time.sleep(0.2)
    except UsageError as error:
        queue.put(str(error))


@pytest.mark.slow
def test_one_of_many_processes_gets_the_lock(tmp_path):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=_hold, args=(tmp_path, queue)) for _ in range(4)]
    for process in processes:
        process.start()
    answers = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert "mine" in answers and all(answer == "mine" or "--folder" in answer for answer in answers)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.ENOLCK])
def test_file_systems_without_locks_work(tmp_path, monkeypatch, code):
    def flock(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with work_dir.locked(tmp_path), work_dir.locked(tmp_path):
        pass


def test_folders_that_take_no_file_work(tmp_path):
    with work_dir.locked(tmp_path / "absent"):
        pass
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with work_dir.locked(tmp_path):
        assert not (tmp_path / "elsewhere").exists(), "links are not followed"


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({}, True), ({"RANK": "0", "LOCAL_RANK": "0"}, True), ({"RANK": "1", "LOCAL_RANK": "0"}, False),
        ({"LOCAL_RANK": "1"}, False), ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False), ({"SLURM_PROCID": "3"}, False),
    ],
)  # fmt: skip
def test_only_the_first_process_of_a_run_locks(monkeypatch, variables, first):
    from skeleton_lab.engine.distributed import may_be_first

    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert may_be_first() is first


# ----------------------------------------------------------------------------------------------- names and losses


@pytest.mark.parametrize("name", ["w\0x", "w\udc80", "x" * 300, "/".join(["x" * 200] * 30), "/proc/nowhere"])
def test_names_that_no_folder_can_have(room, tmp_path, capsys, name):
    assert toy_room.call(room, toy_room.arguments(tmp_path / "w", "--work-dir", name)) == 2
    (line,) = errors(capsys)
    assert "--work-dir" in line and line.isprintable()


@pytest.mark.parametrize("name", ["w\0x", "x" * 300])
@pytest.mark.parametrize("flag", ["--weights", "--config", "--checkpoint"])
def test_names_that_no_file_can_have(room, tmp_path, capsys, flag, name):
    flags = (flag, name, "--forward-batch-size", "8")
    assert toy_room.call(room, toy_room.arguments(tmp_path / "w", *flags), "G") == 2
    (line,) = errors(capsys)
    assert "Traceback" not in line


@pytest.mark.parametrize("when", ["train", "test"])
def test_a_work_dir_that_vanishes_is_one_line(room, tmp_path, capsys, when):
    work, feeder = tmp_path / "work", room / "feeders" / "toy_feeder.py"
    vanish = f"""import shutil
        if self.sample_name[0] == "{when}_0": shutil.rmtree("{work}", ignore_errors=True)"""
    feeder.write_text(feeder.read_text().replace("time.sleep(self.delay)", vanish))
    assert toy_room.call(room, toy_room.arguments(work)) == 2
    (line,) = errors(capsys)
    assert str(work) in line and "moved or deleted" in line


def test_an_archive_that_vanishes_is_one_line(room, tmp_path, capsys):
    feeder = room / "feeders" / "toy_feeder.py"
    feeder.write_text(feeder.read_text().replace("time.sleep(self.delay)", 'open("gone.npz")'))
    for workers in ("0", "1"):
        assert toy_room.call(room, toy_room.arguments(tmp_path / "work", "--num-worker", workers)) == 2
        (line,) = errors(capsys)
        assert "gone.npz" in line, line


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize(
    "fault",
    [
        'raise MemoryError("Unable to allocate 9 TiB")', "np.empty(2**50)",
        'raise RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can\'t allocate memory")',
        'raise OSError(12, "Cannot allocate memory")',
    ],
)  # fmt: skip
def test_exhausted_memory_is_one_line(room, tmp_path, capsys, fault, workers):
    feeder = room / "feeders" / "toy_feeder.py"
    feeder.write_text(feeder.read_text().replace("time.sleep(self.delay)", fault))
    code = toy_room.call(room, toy_room.arguments(tmp_path / "work", "--num-worker", workers))
    (line,) = errors(capsys)
    assert code in (1, 2) and "memory" in line.lower(), line


# ---------------------------------------------------------------------------------------------- full and small disks


def test_a_full_disk_at_resume_loses_nothing(room, tmp_path, capsys, monkeypatch):
    """config.yaml and metrics.jsonl were once emptied by opening them, before the disk was known to be full."""
    from skeleton_lab.utils import atomic

    work = tmp_path / "work"
    assert toy_room.call(room, toy_room.arguments(work)) == 0
    kept = {p: p.read_bytes() for p in work.rglob("*") if p.is_file()}

    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", fsync)
    assert toy_room.call(room, toy_room.arguments(work, "--resume", "--num-epoch", "3")) == 2
    (line,) = errors(capsys)
    assert "No space left on device" in line
    for path, content in kept.items():
        assert path.read_bytes().startswith(content), path
    assert not list(work.glob(".*.tmp"))


@pytest.mark.slow
def test_a_real_full_disk_at_resume(room, tmp_path):
    """On a file system of 300 kB, filled up between the two calls."""
    script = f"""
mount -t tmpfs -o size=300k tmpfs {tmp_path}/small || exit 77
cd {room}
run() {{ {sys.executable} main.py "$@" >{tmp_path}/out 2>{tmp_path}/err; echo $?; }}
run "$@"
cp -r {tmp_path}/small {tmp_path}/before
cat /dev/zero > {tmp_path}/small/filler
run "$@" --resume --num-epoch 3
cp -r {tmp_path}/small {tmp_path}/after
"""
    (tmp_path / "small").mkdir()
    line = [*toy_room.arguments(tmp_path / "small" / "work"), "--show-topk", "1"]
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", script, "bash", *line], env=toy_room.environment(), capture_output=True,
        text=True, timeout=200,
    )  # fmt: skip
    if done.returncode == 77 or not done.stdout:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
    assert done.stdout.split() == ["0", "2"], (tmp_path / "err").read_text()
    assert (tmp_path / "err").read_text().count("\n") == 1
    for name in ("config.yaml", "metrics.jsonl", "last.ckpt"):
        before, after = ((tmp_path / when / "work" / name).read_bytes() for when in ("before", "after"))
        assert before and (before == after or (name == "metrics.jsonl" and len(after) > 100)), name


@pytest.mark.slow
def test_a_tiny_shared_memory_is_one_line(room, tmp_path):
    """PyTorch's workers failed in a thread that nobody listens to; the run waited for ever."""
    feeder = room / "feeders" / "whole.py"  # batches that are made as one, as the lab's own feeders do
    feeder.write_text(
        "import torch\nfrom feeders.toy_feeder import Feeder as Toy\n\n\nclass Feeder(Toy):\n"
        "    def __getitems__(self, batch):\n"
        "        y = torch.tensor([self.label[i] for i in batch])\n"
        "        return torch.zeros(len(y), 3, 40000, 5, 1), y, torch.tensor(list(batch))\n"
    )
    line = toy_room.arguments(tmp_path / "work", "--feeder", "feeders.whole.Feeder", "--num-worker", "1")
    script = f'mount -t tmpfs -o size=1m tmpfs /dev/shm || exit 77; cd {room}; exec {sys.executable} main.py "$@"'
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", script, "bash", *line], env=toy_room.environment(), capture_output=True,
        text=True, timeout=150,
    )  # fmt: skip
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
    *others, said = done.stderr.splitlines()
    assert done.returncode == 1 and said.lstrip("\0").startswith("error: ") and "--shm-size" in said, done.stderr
    # A worker of torch 2.3 that the system has ended says so itself, before the program does.
    assert all(line.startswith("ERROR: Unexpected bus error") for line in others), done.stderr


def test_no_room_for_semaphores_is_the_same_line(monkeypatch, capsys):
    monkeypatch.setattr(failures, "_little_shared", lambda: True)

    def program() -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    assert failures.explained(program) == 1
    assert "--shm-size" in capsys.readouterr().err


def test_a_reader_that_has_gone_is_not_taken_for_a_folder(capsys):
    """As behind ``| head``: the first line that cannot be printed ends the training."""

    def program() -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    assert failures.explained(program) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "nobody reads" in told and "work dir" not in told


def test_no_folder_for_temporary_files_is_one_line(room, tmp_path, capsys, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/nowhere"])
    feeder = room / "feeders" / "toy_feeder.py"
    feeder.write_text(feeder.read_text().replace("time.sleep(self.delay)", "import tempfile; tempfile.mkdtemp()"))
    assert toy_room.call(room, toy_room.arguments(tmp_path / "work")) == 2
    (line,) = errors(capsys)
    assert "--tmpfs /tmp" in line


# --------------------------------------------------------------------------------------------------------- signals


@pytest.mark.usefixtures("foreground")
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGHUP, 129), (signal.SIGQUIT, 131)])
def test_a_lost_terminal_saves_and_stops(room, tmp_path, capsys, signum, code):
    work, feeder = tmp_path / "work", room / "feeders" / "toy_feeder.py"
    once = f"import os; self.delay or os.kill(os.getpid(), {int(signum)}); self.delay = 1"
    feeder.write_text(feeder.read_text().replace("time.sleep(self.delay)", once))
    assert toy_room.call(room, toy_room.arguments(work)) == code
    assert f"stopped by {signal.Signals(signum).name}" in capsys.readouterr().err
    state = toy_room.weights(work / "last.ckpt")["state"]
    assert (state["epoch"], state["iteration"]) == (0, 1)


def test_nohup_outlives_its_terminal(room, tmp_path):
    work, feeder = tmp_path / "work", room / "feeders" / "toy_feeder.py"
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGHUP)"
    feeder.write_text(feeder.read_text().replace("time.sleep(self.delay)", kill))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert toy_room.call(room, toy_room.arguments(work)) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


# ------------------------------------------------------------------------------------------------------ containers

MOUNTINFO = """\
1 0 0:1 / / rw - overlay overlay rw
2 1 0:2 / /proc rw - proc proc rw
3 1 0:3 / /tmp rw - tmpfs tmpfs rw
4 1 8:1 /home/me/results /workspace/work\\040dir rw - ext4 /dev/sda1 rw
"""


@pytest.fixture
def container(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(container_hints.VARIABLE, "1")
    monkeypatch.setattr(container_hints, "MOUNTS", str(tmp_path / "mountinfo"))
    (tmp_path / "mountinfo").write_text(MOUNTINFO)
    return tmp_path


def test_results_that_go_with_the_container_are_warned_of(container, room, monkeypatch, capsys):
    for folder, lost in (("/workspace/work dir/ctrgcn", False), ("/workspace/work", True), ("/tmp/x", True)):
        assert bool(container_hints.lost(Path(folder))) is lost, folder
    assert toy_room.call(room, toy_room.arguments(container / "work", "--num-epoch", "1")) == 0
    out = capsys.readouterr().out
    assert out.count("lies inside the container") == 1 and f":{container / 'work'}" in out
    monkeypatch.setenv(container_hints.VARIABLE, "0")
    assert container_hints.lost(Path("/workspace/work")) == []


@pytest.mark.parametrize("name", ["log.txt", "metrics.jsonl"])
def test_a_pipe_in_the_place_of_a_log_is_refused(name, room, tmp_path, capsys):
    (tmp_path / "work").mkdir()
    os.mkfifo(tmp_path / "work" / name)
    assert toy_room.call(room, toy_room.arguments(tmp_path / "work")) == 2
    (line,) = errors(capsys)
    assert name in line and "named pipe" in line


def test_a_folder_of_another_user_names_the_flag(container, room, monkeypatch, capsys):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(work_dir.tempfile, "NamedTemporaryFile", refuse)
    for inside, expected in (("1", True), ("0", False)):
        monkeypatch.setenv(container_hints.VARIABLE, inside)
        assert toy_room.call(room, toy_room.arguments(container / "work")) == 2
        (line,) = errors(capsys)
        assert ('--user "$(id -u):$(id -g)"' in line) is expected
