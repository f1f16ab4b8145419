"""Published recipes on NW-UCLA, whole: CTR-GCN's joint stream first, then its other streams and other rooms.

A training that time cuts off goes on in the next run of the script (``--resume``).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.gpu_evidence.archive import archive, flags
from benchmarks.gpu_evidence.schedule import Report, Skipped
from skeleton_lab import registry
from skeleton_lab.data.feeders.nw_ucla import ROOT_VARIABLE

SAVING = 20  # seconds that a stopped run has for its last checkpoint


class Training(NamedTuple):
    name: str
    room: str
    config: str
    stream: str = "joint"
    published: float | None = None  # top-1 in percent, by users of the published code


TRAININGS = (
    Training("CTR-GCN joint", "CTR-GCN", "config/ucla/default.yaml", published=93.5),
    Training("CTR-GCN bone", "CTR-GCN", "config/ucla/default.yaml", "bone"),
    Training("CTR-GCN joint motion", "CTR-GCN", "config/ucla/default.yaml", "motion"),
    Training("CTR-GCN bone motion", "CTR-GCN", "config/ucla/default.yaml", "bone_motion"),
    Training("Hyper-GCN joint", "Hyper-GCN", "config/ucla/hyper_joint.yaml"),
    Training("FreqMixFormer joint", "FreqMixFormer", "config/ucla/joint.yaml"),
    Training("SkateFormer joint", "SkateFormer", "config/train/nw_ucla/SkateFormer_j.yaml"),
)


def part(report: Report) -> None:
    if report.dry:
        words = [*flags(report, "CTR-GCN", "training"), "--num-epoch", "1", "--resume"]
        report.row(name="CTR-GCN, synthetic clips", **trained(report, "CTR-GCN", words, None))
        return
    if not os.environ.get(ROOT_VARIABLE):
        raise Skipped(f"{ROOT_VARIABLE} is not set: it names the folder all_sqe of NW-UCLA")
    for training in TRAININGS:
        if report.left <= SAVING:
            report.save(status="cut")
            return
        work_dir = report.folder / "runs" / training.name.replace(" ", "-")
        words = ["--config", training.config, "--work-dir", str(work_dir), "--resume", "--device", "0"]
        if training.stream != "joint":
            words += [f"--{split}-feeder-args={{'data_path': '{training.stream}'}}" for split in ("train", "test")]
        with report.attempt(name=training.name):
            report.row(name=training.name, **trained(report, training.room, words, training.published))


def trained(report: Report, room: str, words: list[str], published: float | None) -> dict[str, Any]:
    """A run of the room's program, stopped in time; how far it has got, and its accuracies."""
    environment = {**os.environ}
    if report.dry:
        environment["NTU60_ROOT"] = str(archive(report).parent)
    log = report.folder / "runs" / "training-output.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "main.py", *words], cwd=registry.find(room).path, env=environment,
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        stopped = not ended(process, report.left - SAVING)
        if stopped:
            process.send_signal(signal.SIGTERM)  # the engine saves last.ckpt
            stopped = ended(process, SAVING)
    found = accuracies(Path(words[words.index("--work-dir") + 1]))
    ok = process.poll() in (0, 128 + signal.SIGTERM)
    why = {} if ok else {"said": (log.read_text().strip().splitlines() or ["nothing"])[-1][:300]}
    return {**found, "published": published, "finished": process.poll() == 0, "ok": ok, **why}


def ended(process: subprocess.Popen, seconds: float) -> bool:
    try:
        process.wait(max(seconds, 0.1))
    except subprocess.TimeoutExpired:
        return False
    return True


def accuracies(work_dir: Path) -> dict[str, Any]:
    """Epochs evaluated, and top-1 in percent: of the best epoch and of the last, from metrics.jsonl."""
    path = work_dir / "metrics.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    told = {event["epoch"]: 100 * event["top1"] for event in events if event["event"] == "eval"}
    seconds = {event["epoch"]: event["seconds"] for event in events if event["event"] == "epoch"}
    if not told:
        return {"epochs": len(seconds)}
    best = max(told, key=lambda epoch: told[epoch])
    return {
        "epochs": max(told), "best_top1": told[best], "best_epoch": best, "last_top1": told[max(told)],
        "seconds_per_epoch": sorted(seconds.values())[len(seconds) // 2] if seconds else None,
    }  # fmt: skip
