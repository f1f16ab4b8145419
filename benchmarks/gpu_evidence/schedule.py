"""Which parts there are, how long each may take, and what becomes of one that fails or does not end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skeleton_lab.errors import one_line
from skeleton_lab.utils.atomic import write_atomically

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 530  # of a whole run: under nine minutes
GRACE = 20  # seconds between a part's own end and its being killed
MODULE = "benchmarks.gpu_evidence"


@dataclass(frozen=True)
class Part:
    name: str
    seconds: float  # at most, on a GPU
    title: str


# What is worth most comes first; the training takes what time is left, and goes on in the next run.
PARTS = (
    Part("fixtures", 60, "Published outputs, replayed"),
    Part("memory", 110, "Memory: forecast and measured, 8 GB card"),
    Part("speed", 90, "Training step and inference"),
    Part("oom", 30, "Out of memory"),
    Part("feeder", 35, "Feeders against the step"),
    Part("compiled", 65, "Compiled"),
    Part("training", SECONDS, "Published training, NW-UCLA"),
)


class Skipped(Exception):
    """A part that cannot be had here, and why."""


class Report:
    """The rows of one part on disk, written anew with every row.

    Attributes:
        dry: tiny sizes on the CPU; device: ``cuda`` or ``cpu``; folder: where everything is written.
    """

    def __init__(self, part: str, folder: Path, seconds: float, dry: bool) -> None:
        self.path, self.folder, self.dry = folder / f"{part}.json", folder, dry
        self.device = "cpu" if dry else "cuda"
        self.begun, self.end = time.monotonic(), time.monotonic() + seconds
        self.content: dict[str, Any] = {"part": part, "dry": dry, "status": "running", "rows": []}
        self.save()

    @property
    def left(self) -> float:
        """Seconds that the part still has."""
        return self.end - time.monotonic()

    def row(self, **values: Any) -> None:
        self.content["rows"].append(values)
        self.save()
        print(" ", *(f"{key} {short(value)}" for key, value in values.items()), sep="  ", flush=True)

    @contextlib.contextmanager
    def attempt(self, **names: Any) -> Iterator[None]:
        """One measurement of several: an error becomes a row, and the others go on."""
        try:
            yield
        except Exception as error:
            self.row(**names, error=f"{type(error).__name__}: {one_line(error)[:300]}")

    def save(self, **changes: Any) -> None:
        self.content |= {**changes, "seconds": round(time.monotonic() - self.begun, 1)}
        save(self.path, self.content)


def save(path: Path, content: dict[str, Any]) -> None:
    write_atomically(path, lambda file: file.write(json.dumps(content, indent=1).encode()))


def short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def do(report: Report, part: Callable[[Report], None]) -> str:
    """Run a part to its end in this process; its status, which is in the file as well.

    Returns:
        done; cut: it ran out of time between two rows; skipped; failed: by itself, or one of its rows.
    """
    try:
        part(report)
    except Skipped as why:
        report.save(status="skipped", reason=str(why))
        return "skipped"
    except Exception as error:
        report.save(status="failed", reason=f"{type(error).__name__}: {one_line(error)[:300]}")
        return "failed"
    wrong = [row for row in report.content["rows"] if "error" in row or row.get("ok") is False]
    status = "failed" if wrong else "cut" if report.left <= 0 else "done"
    reason = {"failed": f"{len(wrong)} of its rows", "cut": "its time was over"}.get(status, "")
    report.save(status=status, reason=reason)
    return status


def run(parts: Sequence[Part], folder: Path, seconds: float, dry: bool) -> dict[str, str]:
    """Every part as a process of its own, the later ones as time is left; the status of each.

    What an earlier run into the same folder has done stays as it is.
    """
    end, statuses = time.monotonic() + seconds, {}
    for part in parts:
        path = folder / f"{part.name}.json"
        before = read(path)
        if before.get("status") == "done" and before.get("dry") == dry:
            statuses[part.name] = "done"
            print(f"{part.title}: done before", flush=True)
            continue
        time_left = min(part.seconds, end - time.monotonic() - GRACE)
        if time_left <= 0:
            statuses[part.name] = before.get("status", "cut")
            if not before:
                save(path, {"part": part.name, "dry": dry, "status": "cut", "reason": "no time was left", "rows": []})
            continue
        print(f"{part.title} ({time_left:.0f} s at most)", flush=True)
        words = ["--part", part.name, "--out", str(folder), "--seconds", f"{time_left:.0f}", *["--dry"] * dry]
        command = [sys.executable, "-m", MODULE, *words]
        code = wait(subprocess.Popen(command, cwd=ROOT, start_new_session=True), time_left + GRACE)
        after = read(path)
        if after.get("status", "running") == "running":  # it has not got to writing how it ended
            status = "cut" if code is None else "failed"
            reason = "stopped when its time was over" if code is None else f"ended with exit code {code}"
            save(path, {"part": part.name, "dry": dry, "rows": [], **after, "status": status, "reason": reason})
        statuses[part.name] = read(path)["status"]
    return statuses


def wait(process: subprocess.Popen, seconds: float) -> int | None:
    """The exit code; None of one that had to be stopped with all that it has started."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}
