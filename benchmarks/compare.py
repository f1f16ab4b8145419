"""What comparing many runs takes: ``python -m benchmarks.compare``, seconds and memory of ``skeleton-lab compare``.

Makes work dirs as finished runs leave them (answers invented: 16,000 test clips of 120 classes, ten networks of ten
seeds) and compares them in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from skeleton_lab.errors import LabError, guarded
from skeleton_lab.utils.cli import Defaults, Parser, check_sizes
from skeleton_lab.utils.progress import clip_bar

SEEDS, EPOCHS = 10, 65
SECONDS, MEMORY = 20, 1 << 30  # of 100 runs, on a machine with nothing else to do
CONFIG = """\
base_lr: 0.1
config: config/nturgbd120-cross-subject/default.yaml
feeder: feeders.feeder_ntu.Feeder
model: model.ctrgcn.Model
model_args: {{num_class: {classes}, num_point: 25, num_person: 2}}
num_epoch: {epochs}
seed: {seed}
step: [35, 55]
test_feeder_args: {{data_path: data/ntu120/NTU120_CSub.npz, split: test, window_size: {window}}}
"""


def names_and_labels(clips: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Names as NTU RGB+D has them, and the classes that these tell."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, clips)
    rows = zip(rng.integers(1, 33, clips), rng.integers(1, 4, clips), rng.integers(1, 107, clips), labels + 1)
    return np.array([f"S{s:03}C{c:03}P{p:03}R001A{a:03}" for s, c, p, a in rows]), labels


def write(folder: Path, network: int, seed: int, names: np.ndarray, labels: np.ndarray, classes: int) -> None:
    """A finished run: right in some 80 % of the clips, the same ones for seeds of one network more often than not."""
    hard = np.random.default_rng(network).normal(size=len(labels))
    rng = np.random.default_rng(1000 * network + seed)
    logits = rng.normal(size=(len(labels), classes)).astype(np.float32)
    logits[np.arange(len(labels)), labels] += 4 + 0.1 * network + 1.5 * hard
    folder.mkdir(parents=True)
    np.savez_compressed(
        folder / "evaluation.npz", logits=logits, labels=labels, index=np.arange(len(labels)), names=names,
        epoch=np.int64(EPOCHS),
    )  # fmt: skip
    top1 = float((logits.argmax(1) == labels).mean())
    tested = {"loss": 1.0, "top1": top1, "top5": top1}
    events = [{"event": "start", "program": "CTR-GCN", "model": "model.ctrgcn.Model", "parameters": 1_460_000}]
    for epoch in range(1, EPOCHS + 1):
        share = 1 - np.exp(-5 * epoch / EPOCHS)
        events.append({"event": "epoch", "epoch": epoch, "step": epoch, "loss": 4.5 - 4 * share, "acc": 0.95 * share,
                       "lr": 0.1, "seconds": 60.0, "samples_per_second": 600.0, "peak_rss_mb": 1500.0})  # fmt: skip
        events.append({"event": "eval", "epoch": epoch, "split": "test", "seconds": 9.0, "loss": 1.0,
                       "top1": top1 if epoch == EPOCHS else top1 * share, "top5": top1})  # fmt: skip
    result = {"epoch": EPOCHS, "step": EPOCHS, **tested}
    events.append({"event": "result", "best": result, "last": result, "seconds": 4500.0, "work_dir": str(folder)})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    text = CONFIG.format(classes=classes, epochs=EPOCHS, seed=seed, window=64 + network)
    (folder / "config.yaml").write_text(text)


def measured(folder: Path) -> tuple[float, float, int]:
    """Seconds on the clock, seconds of processor time, and bytes of a comparison of the runs in the folder.

    Raises:
        LabError: it failed.
    """
    command = [sys.executable, "-m", "skeleton_lab", "compare", f"{folder}/*", "--output", str(folder / "comparison")]
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise LabError(f"{' '.join(command)} ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return time.monotonic() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit


def program(flags: argparse.Namespace) -> int:
    check_sizes(flags, "runs", "clips", "classes")
    with tempfile.TemporaryDirectory(prefix="compare-") as place:
        names, labels = names_and_labels(flags.clips, flags.classes)
        with clip_bar(flags.runs, "Making runs", unit=" runs") as bar:
            for run in range(flags.runs):
                network, seed = divmod(run, SEEDS)
                folder = Path(place) / f"network{network}-joint-seed{seed + 1}"
                write(folder, network, seed + 1, names, labels, flags.classes)
                bar.update()
        seconds, processor, memory = measured(Path(place))
        page = (Path(place) / "comparison" / "comparison.html").stat().st_size
    print(f"{flags.runs} runs of {flags.clips:,} clips and {flags.classes} classes: {seconds:.1f} s, "
          f"{processor:.1f} s of processor time, {memory / 2**20:.0f} MiB, page of {page / 2**20:.1f} MiB")  # fmt: skip
    return int(processor > SECONDS or memory > MEMORY)


def main(argv: list[str] | None = None) -> int:
    """1 where it takes more processor time or memory than it may."""
    parser = Parser(description=__doc__.splitlines()[0], formatter_class=Defaults)
    parser.add_argument("--runs", type=int, default=100, metavar="N", help="work dirs")
    parser.add_argument("--clips", type=int, default=16_000, metavar="N", help="test clips")
    parser.add_argument("--classes", type=int, default=120, metavar="K", help="classes")
    return guarded(lambda: program(parser.parse_args(argv)))


if __name__ == "__main__":
    raise SystemExit(main())
