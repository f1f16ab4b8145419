"""``--memory`` in a room as a user runs it: what it adds, what the files keep, going on, and testing."""

from __future__ import annotations

import re

import pytest
import tiny_data
import yaml
from sandbox import Lab

from skeleton_lab.engine.memory import budget

pytestmark = pytest.mark.slow

LINE = (
    "--config config/nturgbd-cross-subject/default.yaml --batch-size 4 --test-batch-size 4 --num-worker 0 "
    "--report False --device cpu --train-feeder-args window_size=8 --test-feeder-args window_size=8 --num-epoch"
)


def test_what_does_not_fit_is_made_to_fit_and_stays_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(budget, "around", lambda device: 0.0)  # this process holds what other tests have left
    lab = Lab(tiny_data.make_all(tmp_path), monkeypatch)
    work = tmp_path / "work"

    def run(epochs: int, more: str) -> str:
        code = lab("CTR-GCN", f"{LINE} {epochs} --work-dir {work} {more}")
        told = capsys.readouterr()
        return told.out if code == 0 else told.err

    first = run(1, "--memory auto")
    need = float(re.search(r"--memory auto: nothing added: forecast (\S+) GiB, to spend", first)[1])
    some = run(1, f"--memory {0.9 * need:.6f}")
    assert re.search(r"--memory \S+: --activation-checkpointing added: forecast \S+ GiB, to spend", some), some
    saved = yaml.safe_load((work / "config.yaml").read_text())
    assert saved["activation_checkpointing"] and saved["memory"] is None and saved["forward_batch_size"] == 4
    more = run(2, f"--memory {0.9 * need:.6f} --resume")
    assert "the settings of the earlier run: --activation-checkpointing;" in more and "at epoch 2" in more
    assert yaml.safe_load((work / "config.yaml").read_text())["activation_checkpointing"]
    (weights,) = work.glob("runs-2-*.pt")
    tested = run(1, f"--phase test --weights {weights} --memory auto")
    assert "--memory auto: evaluation takes 4 clips at a time" in tested
    refused = run(1, "--memory 0.001")
    assert refused.startswith("error: --memory 0.001: does not fit: the least, with --activation-checkpointing "
                              "--forward-batch-size 1, needs") and refused.count("\n") == 1  # fmt: skip
