"""How soon a program begins to work: ``python -m benchmarks.startup``, processor time of three commands.

``--help`` of a room's training, ``predict`` of one clip with CTR-GCN, and a training that ends after its first step.
The least of several runs counts: a busy machine only adds to it.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from skeleton_lab import registry
from skeleton_lab.errors import LabError, guarded
from skeleton_lab.utils.cli import Parser, check_sizes

ROOM = "CTR-GCN"
LIMITS = {"--help": 0.4, "predict of one clip": 1.8, "first training step": 2.5}  # seconds, on two idle cores
FIRST_STEP = """
import os
from torch.optim.optimizer import register_optimizer_step_post_hook
from skeleton_lab.cli import main
register_optimizer_step_post_hook(lambda *_: os._exit(0))
raise SystemExit(main())
"""
PREPARE = """
import sys
import numpy as np, torch
from skeleton_lab import create_model
folder = sys.argv[1]
torch.save(create_model("ctrgcn").state_dict(), f"{folder}/weights.pt")
x = np.random.default_rng(0).standard_normal((2, 20, 150)).astype(np.float32)
y = np.eye(60)[:2]
np.savez(f"{folder}/clips.npz", x_train=x, y_train=y, x_test=x[:1], y_test=y[:1])
"""


def processor_seconds(command: list[str], folder: Path, runs: int) -> float:
    """User and system time of a command and what it starts, the least of ``runs``.

    Raises:
        LabError: the command failed.
    """
    found = []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise LabError(f"{' '.join(command)}: {done.stderr.strip()[-300:]}")
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def commands(folder: Path) -> dict[str, list[str]]:
    """The three command lines, and PyTorch alone for comparison."""
    lab = [sys.executable, "-m", "skeleton_lab"]
    own = ["--device", "cpu", "--num-worker", "0", "--work-dir", "run", "--batch-size", "2", "--num-epoch", "1"]
    clips = f"{{'data_path': '{folder / 'clips.npz'}', 'window_size': 16}}"
    data = ["--train-feeder-args", clips, "--test-feeder-args", clips]
    return {
        "import torch": [sys.executable, "-c", "import torch"],
        "--help": [*lab, "train", ROOM, "--help"],
        "predict of one clip": [*lab, "predict", ROOM, "--weights", "weights.pt", "--input", "clips.npz"],
        "first training step": [sys.executable, "-c", FIRST_STEP, "train", ROOM, *own, *data],
    }


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="of each command (default: %(default)s)")
    given = parser.parse_args()
    check_sizes(given, "runs")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-c", PREPARE, name], cwd=registry.ROOT, check=True)
        for what, command in commands(folder).items():
            limit = f" (at most {LIMITS[what]:g} wanted)" if what in LIMITS else ""
            print(f"{what}: {processor_seconds(command, folder, given.runs):.2f} s{limit}", flush=True)


if __name__ == "__main__":
    raise SystemExit(guarded(main))
