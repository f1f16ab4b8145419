"""The commands of docs/training.md, in their order and word by word; flags behind them shorten trainings.

Those of two machines are run by ``tests/unit/engine/test_two_nodes.py``.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from sandbox import documented, run_line
from told_tracker import TOLD, Told

from skeleton_lab.engine import trackers

pytestmark = pytest.mark.slow
COMMANDS = documented("training.md")
SHORT = "--device cpu --num-worker 0 --report False"
FEW = "--num-epoch 2 --step 1 --batch-size 12 --base-lr 0.01"


def test_every_command_does_what_the_document_says(tmp_path, monkeypatch):
    """The tracker's package needs a server or a database: what it is told is looked at, not what it makes of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(trackers.KINDS, "mlflow", (Told, "MLflow"))
    monkeypatch.setitem(sys.modules, "mlflow", object())
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 30), ("test", 10)):
        x = rng.normal(0, 0.4, (count, 3, 4, 17, 1))
        arrays |= {f"x_{split}": x.astype(np.float32), f"y_{split}": np.arange(count) % 5,
                   f"subject_{split}": np.array([f"{split}{k // 5}" for k in range(count)])}  # fmt: skip
    np.savez("my.npz", skeleton="h36m17", channels="xyz", units="m", class_names=np.array([*"abcde"]), **arrays)
    aided, averaged, tracked = COMMANDS
    assert run_line(aided, f"{SHORT} {FEW}") == 0
    assert run_line(averaged, SHORT) == 0
    events = [json.loads(line) for line in (tmp_path / "runs/aided/metrics.jsonl").read_text().splitlines()]
    best = next(event for event in events if event["event"] == "result")["ema"]["best"]
    kept = np.load(tmp_path / "runs/averaged/evaluation.npz")
    assert (kept["logits"].argmax(1) == kept["labels"]).mean() == pytest.approx(best["top1"]) and len(
        kept["labels"]
    ) == 10
    assert (tmp_path / "runs/aided/best.pt").exists()
    TOLD.clear()
    assert run_line(tracked, f"{SHORT} {FEW}") == 0
    assert TOLD[0][1] == "tracked" and [entry[0] for entry in TOLD[-2:]] == ["result", "close"]
