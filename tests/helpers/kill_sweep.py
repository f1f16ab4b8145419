"""A study of real trainings, killed with -9 while it runs: its table and weights must be those of an unbroken one.

    python tests/helpers/kill_sweep.py --rooms ST-GCN CTR-GCN PYSKL --seeds 3 --kills 2
    python tests/helpers/kill_sweep.py --study study.yaml --keep FOLDER

Two streams of each room on a synthetic archive, on the CPU, or the study of a file; serially and in a pool. Not
collected by pytest: it takes minutes. Exit code 1 and the folders where something differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import yaml
from kill_many import outcome, same

from skeleton_lab.data.synthetic import archive
from skeleton_lab.utils.cli import Parser

FLAGS = {"num_epoch": 2, "batch_size": 8, "test_batch_size": 16, "num_worker": 0, "device": "cpu", "report": False,
         "checkpoint_minutes": 0, "train_window_size": 8, "test_window_size": 8}  # fmt: skip


def start(out: Path, engine: str, options: argparse.Namespace) -> subprocess.Popen:
    study = {"rooms": options.rooms, "streams": ["joint", "bone"], "data": str(out.parent / "tiny.npz"),
             "seeds": list(range(1, options.seeds + 1)), "flags": FLAGS}  # fmt: skip
    if options.study:
        study = yaml.safe_load(options.study.read_text())
    study |= {"out": str(out), "engine": engine} | ({"jobs": 2} if engine == "pool" else {})
    path = out.parent / f"{out.name}.yaml"
    path.write_text(yaml.safe_dump(study))
    command = [sys.executable, "-m", "skeleton_lab", "sweep", str(path)]
    with open(out.parent / f"{out.name}.log", "a") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen, out: Path) -> None:
    if process.wait():
        raise SystemExit(f"{out}: the sweep ended with {process.returncode}: see {out}.log")


def events(out: Path) -> int:
    """That the runs have written so far: starts, epochs, evaluations."""
    return sum(len(path.read_text().splitlines()) for path in out.glob("runs/*/metrics.jsonl"))


def kill(out: Path, engine: str, options: argparse.Namespace, rng: random.Random) -> None:
    """Kill a sweep some seconds after one of its runs has written something; the next one starts at once."""
    before, process = events(out), start(out, engine, options)
    while events(out) <= before and process.poll() is None:
        time.sleep(0.05)
    time.sleep(rng.uniform(0, options.seconds))
    if process.poll() is not None:
        raise SystemExit(f"{out}: it was done before it could be killed: --seconds less, or more seeds")
    process.kill()
    process.wait()
    print(f"{out.name}: killed after {events(out)} events", flush=True)


def table(out: Path) -> dict:
    """What must be equal: the table, the fusions, everything that the runs have learned."""
    told = json.loads((out / "study.json").read_text())["runs"]
    fused = json.loads((out / "fusion.json").read_text())
    return {"runs": told, "fused": fused, "learned": {run["name"]: outcome(out / run["folder"]) for run in told}}


def main(argv: list[str] | None = None) -> int:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, help="a study's file, whose out: and engine: do not count")
    parser.add_argument("--keep", type=Path, help="folder for the studies, which stay there (default: a temporary one)")
    parser.add_argument("--rooms", nargs="+", default=["ST-GCN"], help="rooms (default: ST-GCN)")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of each (default: 1)")
    parser.add_argument("--kills", type=int, default=2, help="of each study (default: 2)")
    parser.add_argument("--seconds", type=float, default=5.0, help="at most, from a run's start on (default: 5)")
    parser.add_argument("--engines", nargs="+", default=["serial", "pool"], choices=["serial", "pool"])
    options = parser.parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="kill_sweep_"))
    folder.mkdir(exist_ok=True)
    archive.write(folder / "tiny.npz", train=24, test=16, classes=3, resample=12, progress=False)
    begun, rng = time.monotonic(), random.Random(1)
    finish(start(folder / "unbroken", "serial", options), folder / "unbroken")
    print(f"unbroken in {time.monotonic() - begun:.0f} s", flush=True)
    expected, different = table(folder / "unbroken"), 0
    for engine in options.engines:
        out = folder / f"killed-{engine}"
        for _ in range(options.kills):
            kill(out, engine, options, rng)
        finish(start(out, engine, options), out)
        equal = same(table(out), expected)
        different += not equal
        print(f"{engine}: {options.kills} kills, {len(expected['runs'])} runs: {'equal' if equal else 'DIFFERENT'}")
    if different:
        print(f"see {folder}")
    elif not options.keep:
        shutil.rmtree(folder)
    return 1 if different else 0


if __name__ == "__main__":
    raise SystemExit(main())
