"""A room for the engine's tests: a small network and plain per-item data sets, as a user would write their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from places import ROOT

from skeleton_lab import registry
from skeleton_lab.engine import run

MODEL = '''
import torch
from torch import nn


class Model(nn.Module):
    """Dropout and (if asked) batch norm; ``limit``: more clips at once than that do not "fit the GPU"."""

    def __init__(self, num_class=4, channels=3, drop=0.3, norm=True, limit=0, extra=False, poison=-1):
        super().__init__()
        self.norm = nn.BatchNorm1d(channels * 5) if norm else nn.Identity()
        self.hidden = nn.Linear(channels * 5, 16)
        self.drop = nn.Dropout(drop)
        self.fc = nn.Linear(16, num_class)
        self.limit, self.extra, self.poison, self.calls = limit, extra, poison, 0

    def forward(self, x, index_t=None):
        h = self.drop(torch.relu(self.hidden(self.norm(x.mean(2).flatten(1)))))
        if self.limit and len(x) > self.limit:
            raise torch.cuda.OutOfMemoryError("toy memory is full")
        self.calls += self.training
        logits = self.fc(h)
        if self.calls == self.poison:
            logits = logits * float("nan")
        return (logits, [self.hidden.weight[:5]]) if self.extra else logits
'''

FEEDER = '''
import time

import numpy as np
from torch.utils.data import Dataset


class Feeder(Dataset):
    """Plain items with default collation; ``noise`` draws from NumPy's global generator."""

    def __init__(self, split="train", n=22, classes=4, noise=0.1, delay=0.0, wrong=None, timed=False, named=None):
        rng = np.random.default_rng(0 if split == "train" else 1)
        self.label = [int(i) % classes for i in range(n)]
        if wrong is not None:
            self.label[3] = wrong
        self.data = rng.standard_normal((n, 3, 4, 5, 1)).astype(np.float32)
        for i, y in enumerate(self.label):
            self.data[i, 0, :, y % 5] += 2
        self.sample_name = [f"{split}_{i % (named or n)}" for i in range(n)]
        self.noise, self.delay, self.timed = noise, delay, timed

    def __len__(self):
        return len(self.label)

    def __getitem__(self, i):
        time.sleep(self.delay)
        x = self.data[i] + self.noise * np.random.standard_normal(self.data[i].shape).astype(np.float32)
        if self.timed:
            return x, np.linspace(0, 1, 4, dtype=np.float32), self.label[i], i
        return x, self.label[i], i


class Pairs(Feeder):
    """(data, label), as ST-GCN has it."""

    def __getitem__(self, i):
        return super().__getitem__(i)[:2]
'''

MAIN = """
from recipe import RECIPE

from skeleton_lab.engine import run

if __name__ == "__main__":
    raise SystemExit(run(RECIPE, __file__))
"""


def make_room(folder: Path, program: str = "C") -> Path:
    """Write the room, with the recipe of another one (its letter), and return its folder."""
    recipe = (registry.find(program).path / "recipe.py").read_text()
    files = {"model/toy_net.py": MODEL, "feeders/toy_feeder.py": FEEDER, "main.py": MAIN, "recipe.py": recipe}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def arguments(work_dir: Path, *more: str, feeder: str = "Feeder", train: str = "n=22", test: str = "n=13") -> list[str]:
    return [
        "--work-dir", str(work_dir), "--model", "model.toy_net.Model", "--feeder", f"feeders.toy_feeder.{feeder}",
        "--train-feeder-args", f"split='train',{train}", "--test-feeder-args", f"split='test',noise=0.0,{test}",
        "--batch-size", "8", "--test-batch-size", "5", "--num-epoch", "2", "--num-worker", "0", "--base-lr", "0.1",
        "--device", "cpu", "--show-topk", "1", "2", "--report", "False", *more,
    ]  # fmt: skip


def environment() -> dict[str, str]:
    root = str(ROOT)
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}


def call(room: Path, argv: list[str], program: str = "C") -> int:
    """The room's program in this process, leaving no trace in it; the exit code."""
    path, folder = list(sys.path), Path.cwd()
    os.chdir(room)
    forget_rooms()
    try:
        return run(registry.find(program).recipe, str(room / "main.py"), argv)
    finally:
        os.chdir(folder)
        sys.path[:] = path
        forget_rooms()


def forget_rooms() -> None:
    """As in a process of its own, where no other room's modules have these names."""
    for name in [n for n in sys.modules if n.partition(".")[0] in ("model", "feeders", "graph")]:
        del sys.modules[name]


def start(room: Path, argv: list[str]) -> subprocess.Popen:
    """The room's program as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "main.py", *argv], cwd=room, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def events(work_dir: Path, kind: str) -> list[dict]:
    lines = (work_dir / "metrics.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def torchrun(room: Path, argv: list[str]) -> subprocess.CompletedProcess:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0",
        "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "main.py", *argv,
    ]  # fmt: skip
    return subprocess.run(
        command, cwd=room, env=environment(), capture_output=True, text=True, timeout=180, check=False
    )
