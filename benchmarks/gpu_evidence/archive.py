"""An archive of people who never lived, in NTU60's format, and the flags with which a room's program takes it."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from benchmarks.gpu_evidence.schedule import Report
from skeleton_lab import registry
from skeleton_lab.data.synthetic.archive import main as synthetic

NAME = "NTU60_CS.npz"


def archive(report: Report) -> Path:
    """Made when it is first asked for: one batch and a half of every recipe, clips of 300 frames (dry: 16 of 16)."""
    path = report.folder / "data" / NAME
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        size = ["--train", "8", "--test", "8", "--resample", "16"] if report.dry else ["--train", "192", "--test", "64"]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            code = synthetic(["--out", str(path), "--classes", "10", *size])
        if code:
            raise RuntimeError(f"the synthetic archive could not be made (exit code {code})")
    return path


def flags(report: Report, room: str, name: str) -> list[str]:
    """Flags of ``main.py``: the room's own recipe on the archive, and in a dry run on the CPU with small batches."""
    this = registry.find(room)
    words = ["recognition"] if room == "ST-GCN" else []
    words += ["--config", str(this.path / str(this.config)), "--report", "False"]
    words += ["--work-dir", str(report.folder / "runs" / f"{name}-{room}")]
    for split in ("train", "test"):
        one = f",split={split}" if room == "ST-GCN" else ""  # a feeder of whole files, which hold one split
        words += [f"--{split}-feeder-args", f"data_path='{archive(report)}'{one}"]
        words += [f"--{split}-window-size", "16"] if report.dry and not one else []
    small = ["--device", "cpu", "--num-worker", "0", "--batch-size", "8", "--test-batch-size", "8"]
    return words + (small if report.dry else [])
