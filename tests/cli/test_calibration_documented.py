"""The commands of docs/calibration.md, in their order and word by word; flags behind them shorten trainings."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sandbox import documented, run_line

pytestmark = pytest.mark.slow
COMMANDS = documented("calibration.md")
SHORT = "--device cpu --num-worker 0 --num-epoch 5 --step 9 --batch-size 6 --base-lr 0.01 --report False"


def test_every_command_does_what_the_document_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    forms = rng.normal(0, 0.5, (5, 3, 1, 17, 1))  # of the classes' bodies
    arrays = {}
    for split, count in (("train", 45), ("test", 20)):
        labels = np.arange(count) % 5
        x = forms[labels] + rng.normal(0, 0.2, (count, 3, 4, 17, 1))
        arrays |= {f"x_{split}": x.astype(np.float32), f"y_{split}": labels,
                   f"subject_{split}": np.array([f"{split}{k // 5}" for k in range(count)])}  # fmt: skip
    np.savez("my.npz", skeleton="h36m17", channels="xyz", units="m", class_names=np.array([*"abcde"]), **arrays)
    assert [command.split()[1] for command in COMMANDS] == ["train", "calibrate", "predict", "train", "calibrate"]
    for command in COMMANDS:
        assert run_line(command, SHORT if command.split()[1] == "train" else "") == 0, command
        for made in tmp_path.glob("runs/*/epoch5_model.pt"):  # the document's name of the last epoch's weights
            made.rename(made.with_name("epoch40_model.pt"))
    whole, some = (json.loads((tmp_path / "runs" / name / "calibration.json").read_text()) for name in ("all", "some"))
    assert whole["unknown"] is None and whole["classes"] is None and whole["subjects"] == {"held_out": 2, "of": 9}
    assert some["classes"] == [0, 1, 2, 3] and some["unknown"]["unknown"] == 4
    for name in ("report.html", "plots/reliability.png", "plots/unknown.png"):
        assert (tmp_path / "runs" / "some" / name).exists(), name
    predicted = json.loads((tmp_path / "predicted" / "predictions.json").read_text())
    assert predicted["calibration"]["temperature"] == whole["temperature"]
