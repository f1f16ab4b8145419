"""Whole runs: several workers, interruptions, damaged recordings, full disks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from places import ROOT
from raw_helpers import KINETICS, contents, lay_out, prepare, run

from benchmarks import preprocessing
from skeleton_lab.data.preprocessing import spool
from skeleton_lab.data.preprocessing.pipelines import PIPELINES
from skeleton_lab.data.synthetic import skeleton_files
from skeleton_lab.errors import LabError
from skeleton_lab.utils import atomic

COMMAND = [sys.executable, str(ROOT / "dataset_tools" / "prepare.py")]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    """Seven parts of recordings."""
    folder = tmp_path_factory.mktemp("generated") / "raw"
    skeleton_files.write(folder, 400, distinct=20, show=False)
    return folder


@pytest.fixture(scope="module")
def complete(raw, tmp_path_factory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("complete")
    assert run("ntu60", "--raw", raw, "--out", out, "--n_cores", "1", "--side-files") == 0
    return contents(out)


def flags(raw: Path, out: Path) -> list[str]:
    return ["ntu60", "--raw", str(raw), "--out", str(out), "--side-files"]


@pytest.mark.slow
def test_workers_change_nothing(raw, complete, tmp_path):
    assert run(*flags(raw, tmp_path), "--n_cores", "3") == 0
    assert contents(tmp_path) == complete


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_pipeline_with_workers(raw, tmp_path, pipeline):
    for cores in (1, 2):
        out = tmp_path / str(cores)
        assert run("ntu60", "--pipeline", pipeline, "--raw", raw, "--out", out, "--n_cores", cores) == 0
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def _started(raw: Path, out: Path, parts: int) -> subprocess.Popen:
    """A run that has some parts done."""
    child = subprocess.Popen(
        [*COMMAND, *flags(raw, out), "--n_cores", "2"], env=ENVIRONMENT, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until = time.monotonic() + 120
    while len(list(out.glob(".raw-*/part-*.json"))) < parts and child.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.005)
    return child


@pytest.mark.slow
def test_killed_run_goes_on_to_the_same_files(raw, complete, tmp_path):
    child = _started(raw, tmp_path, 2)
    workers = psutil.Process(child.pid).children(recursive=True)
    child.send_signal(signal.SIGKILL)
    child.wait()
    psutil.wait_procs(workers, timeout=20)
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob(".raw-*/part-*.json")}
    assert 2 <= len(done) < 7
    assert not list(tmp_path.glob("*.npz"))
    kept = {}
    original = spool.write_part

    def write_part(folder, part, results):
        kept[part] = len(results)
        return original(folder, part, results)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skeleton_lab.data.preprocessing.process_pool.write_part", write_part)
        assert run(*flags(raw, tmp_path), "--n_cores", "1") == 0
    assert not {int(path.stem.removeprefix("part-")) for path in done} & set(kept)
    assert contents(tmp_path) == complete


@pytest.mark.slow
def test_killed_while_writing(raw, complete, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def fail(file, rows):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("skeleton_lab.data.archives.writers.streaming.Rows.write", fail)
        with pytest.raises(Killed):
            run(*flags(raw, tmp_path), "--n_cores", "1")
    assert not list(tmp_path.glob("*.npz"))
    monkeypatch.setattr("skeleton_lab.data.preprocessing.process_pool._chunk", fail)  # nothing is read again
    assert run(*flags(raw, tmp_path), "--n_cores", "1") == 0
    assert contents(tmp_path) == complete


@pytest.mark.slow
@pytest.mark.usefixtures("foreground")
def test_interrupted_by_the_keyboard(raw, tmp_path):
    for attempt in range(5):  # on a busy machine the run may be over before the signal
        out = tmp_path / str(attempt)
        child = _started(raw, out, 1)
        child.send_signal(signal.SIGINT)
        if child.wait(60) != 0:
            break
    assert child.returncode == 130
    assert list(out.glob(".raw-*/part-*.json"))
    assert not list(out.glob("*.npz"))


@pytest.mark.slow
def test_damaged_part_is_made_again(raw, complete, tmp_path):
    child = _started(raw, tmp_path, 3)
    child.kill()
    child.wait()
    parts = sorted(tmp_path.glob(".raw-*/part-*.json"))
    parts[0].write_text("[{")
    parts[1].with_suffix(".f32").write_bytes(b"")
    assert run(*flags(raw, tmp_path), "--n_cores", "1") == 0
    assert contents(tmp_path) == complete


@pytest.mark.slow
def test_another_run_in_the_folder(raw, complete, tmp_path, capsys):
    child = _started(raw, tmp_path, 1)
    child.kill()
    child.wait()
    assert run(*flags(raw, tmp_path), "--frames", "300") == 2
    assert "half-finished run" in capsys.readouterr().err
    with spool.locked(tmp_path / ".raw-ctrgcn-ntu60"):
        assert run(*flags(raw, tmp_path)) == 2
    assert "another run is at work" in capsys.readouterr().err
    assert run(*flags(raw, tmp_path), "--overwrite", "--frames", "300", "--n_cores", "1") == 0
    with np.load(tmp_path / "NTU60_CS.npz") as file:
        assert file["x_train"].shape[1:] == (300, 150)


def test_bad_recordings_are_listed_and_left_out(tmp_path, capsys):
    folder, _ = lay_out(tmp_path / "raw")
    cut = folder / "S002C003P008R001A050.skeleton"
    cut.write_bytes(cut.read_bytes()[:9999])
    (folder / "S001C001P004R001A001.skeleton").write_bytes(b"2\r\n0\r\n0\r\n")
    (folder / "S001C001P004R001A002.skeleton").mkdir()
    for pipeline, bad in (("ctrgcn", 3), ("msg3d", 2), ("stgcn", 2), ("pyskl", 3)):
        out = tmp_path / pipeline
        command = ["ntu60", "--pipeline", pipeline, "--raw", folder, "--out", out, "--n_cores", "1"]
        assert run(*command) == 0
        said = capsys.readouterr().err
        assert f"{bad} of 12 recordings cannot be used" in said
        assert f"skipped {cut.stem}: {cut}, line " in said
        listed = (out / f"skipped-{pipeline}-ntu60.txt").read_text().splitlines()
        assert len(listed) == bad and f"{cut.stem}\t{cut}, line " in "\n".join(listed)
        assert run(*command, "--on-error", "raise") == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {bad} of 12")
    with np.load(tmp_path / "ctrgcn" / "NTU60_CS.npz") as file:
        assert (len(file["x_train"]), len(file["y_train"]), len(file["x_test"])) == (5, 5, 4)
    assert np.load(tmp_path / "msg3d" / "xsub" / "train_data_joint.npy").shape[0] == 6  # the empty clip is kept


def test_recordings_of_other_names_are_counted(tmp_path, capsys):
    folder, _ = lay_out(tmp_path / "raw")
    first = next(folder.glob("*.skeleton"))
    (folder / "walk.skeleton").write_bytes(first.read_bytes())
    arguments = ["ntu60", "--raw", str(folder), "--out", str(tmp_path / "out"), "--n_cores", "1"]
    assert prepare(arguments) == 0
    assert "1 recordings left out: not called SsssCcccPpppRrrrAaaa" in capsys.readouterr().out


def test_nothing_but_bad_recordings(tmp_path, capsys):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "S001C001P001R001A001.skeleton").write_text("?")
    assert run("ntu60", "--raw", tmp_path / "raw", "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert said.startswith("error: 1 of 1 recordings") and said.count("\n") == 1


def test_bad_clips_of_kinetics(tmp_path, capsys):
    root = tmp_path / "raw"
    shutil.copytree(KINETICS, root)
    clip = json.loads((root / "kinetics_train" / "Ab1syntheticA.json").read_text())
    table = json.loads((root / "kinetics_train_label.json").read_text())
    for name, change in (("late", {"frame_index": 300}), ("wrong", None), ("unlisted", None), ("broken", None)):
        content = json.loads(json.dumps(clip))
        if change:
            content["data"][0].update(change)
        if name == "wrong":
            content["label_index"] += 1
        if name != "unlisted":
            table[name] = {"has_skeleton": True, "label": "x", "label_index": clip["label_index"]}
        text = json.dumps(content)
        (root / "kinetics_train" / f"{name}.json").write_text(text[:500] if name == "broken" else text)
    (root / "kinetics_train_label.json").write_text(json.dumps(table))
    assert run("kinetics", "--pipeline", "stgcn", "--raw", root, "--out", tmp_path, "--n_cores", "1") == 0
    said = capsys.readouterr().err
    assert "warning: late: 1 frames beyond 0..299 ignored" in said
    for name in ("wrong", "unlisted", "broken"):
        assert f"skipped {name}: " in said
    assert np.load(tmp_path / "train_data.npy").shape[0] == 2


@pytest.mark.slow
def test_disk_without_room(raw, tmp_path, monkeypatch, capsys):
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda path: usage._replace(free=10**6))
        assert run(*flags(raw, tmp_path)) == 2
    assert "GB are free there" in capsys.readouterr().err

    def full(path, write):
        raise OSError(28, "No space left on device")

    for place in ("preprocessing.spool", "archives.writers.streaming"):
        with monkeypatch.context() as patch:
            patch.setattr(f"skeleton_lab.data.{place}.write_atomically", full)
            assert run(*flags(raw, tmp_path), "--n_cores", "1") == 2
        assert "No space left on device" in capsys.readouterr().err
    assert atomic.write_atomically is not full
    (tmp_path / "file").touch()
    assert run(*flags(raw, tmp_path / "file" / "out")) == 2


@pytest.mark.slow
def test_benchmark(capsys, tmp_path):
    assert preprocessing.main(["--files", "8", "--n-cores", "1", "--folder", str(tmp_path)]) == 0
    assert "files/s" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    (tmp_path / "empty").mkdir()
    with pytest.raises(LabError, match="exit code 2"):
        preprocessing.measure(tmp_path / "empty", tmp_path / "out", "ctrgcn", 1)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_folder(raw, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(raw.iterdir())[:130]:
        (few / path.name).symlink_to(path)
    small = preprocessing.measure(few, tmp_path / "a", "msg3d", 2)
    large = preprocessing.measure(raw, tmp_path / "b", "msg3d", 2)
    assert large.resident < 1.3 * small.resident + 20
    assert large.resident < 1000
