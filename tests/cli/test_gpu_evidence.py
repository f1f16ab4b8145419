"""``tools/gpu_evidence.sh``: every part on the CPU, and what becomes of parts that fail, or do not end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from places import ROOT

from benchmarks.gpu_evidence import schedule, table
from benchmarks.gpu_evidence.schedule import PARTS, Part, Report, Skipped

SCRIPT = ROOT / "tools" / "gpu_evidence.sh"


def start(*words: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(["bash", str(SCRIPT), *words], env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_every_part_on_the_cpu(tmp_path):
    done = start("--dry", "--out", str(tmp_path))
    parts = {part.name: json.loads((tmp_path / f"{part.name}.json").read_text()) for part in PARTS}
    allowed = {"done"} | ({"skipped"} if "compiler" in str(parts["compiled"].get("reason")) else set())
    assert done.returncode == 0, done.stdout + done.stderr
    assert {part["status"] for part in parts.values()} <= allowed
    assert all(part["rows"] for name, part in parts.items() if part["status"] == "done"), parts
    assert parts["oom"]["rows"][0]["forward_batches"] == [4, 2]
    assert parts["feeder"]["rows"][0]["clips_per_second"] > 0
    page = (tmp_path / "evidence.md").read_text()
    assert all(part.title in page for part in PARTS) and "a dry run on the CPU" in page
    again = start("--dry", "--out", str(tmp_path))
    assert again.returncode == 0 and again.stdout.count("done before") == len(PARTS)


@pytest.mark.slow
def test_without_a_gpu_a_line_says_so(tmp_path):
    done = start("--out", str(tmp_path))
    assert done.returncode == 2 and done.stderr.startswith("error: PyTorch sees no GPU here")


def failing(report: Report) -> None:
    report.row(room="one", ms=1.0)
    with report.attempt(room="two"):
        raise RuntimeError("a kernel is missing")
    report.row(room="three", ms=3.0)


def broken(report: Report) -> None:
    report.row(room="one", ms=1.0)
    raise RuntimeError("the driver is gone")


def absent(report: Report) -> None:
    raise Skipped("no data here")


@pytest.mark.parametrize(
    ("part", "seconds", "status", "rooms"),
    [
        (failing, 9, "failed", ["one", "two", "three"]),
        (broken, 9, "failed", ["one"]),
        (absent, 9, "skipped", []),
        (lambda report: report.row(room="one", ok=False), 9, "failed", ["one"]),
        (lambda report: report.row(room="one", ok=True), 9, "done", ["one"]),
        (lambda report: report.row(room="one", ok=True), 0, "cut", ["one"]),
    ],
)
def test_what_a_part_leaves(tmp_path, part, seconds, status, rooms):
    report = Report("speed", tmp_path, seconds, dry=True)
    assert schedule.do(report, part) == status
    left = json.loads((tmp_path / "speed.json").read_text())
    assert left["status"] == status and [row["room"] for row in left["rows"]] == rooms
    assert (status == "done") == (not left["reason"] if "reason" in left else False)


def test_a_part_that_does_not_end_is_stopped_and_its_rows_count(tmp_path, monkeypatch):
    """The first part writes a row and hangs; the second has no time left."""
    path = tmp_path / "speed.json"
    content = {"status": "running", "rows": [{"a": 1}]}
    hang = f"import pathlib, time; pathlib.Path({str(path)!r}).write_text({json.dumps(content)!r}); time.sleep(60)"
    real = subprocess.Popen
    monkeypatch.setattr(
        schedule.subprocess, "Popen", lambda command, **more: real([sys.executable, "-c", hang], **more)
    )
    monkeypatch.setattr(schedule, "GRACE", 1)
    begun = time.monotonic()
    statuses = schedule.run([Part("speed", 1, "Speed"), Part("oom", 1, "Memory")], tmp_path, 3, dry=True)
    assert statuses["speed"] == "cut" and time.monotonic() - begun < 30
    left = json.loads(path.read_text())
    assert left["rows"] == [{"a": 1}] and left["reason"] == "stopped when its time was over"
    table.write(tmp_path)
    assert "| 1 |" in (tmp_path / "evidence.md").read_text()
