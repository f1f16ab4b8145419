"""A search with Ray Tune, stopped, killed and restored, with a stand-in for training. Skipped where there is no Ray."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path

import fake_trainer
import psutil
import pytest
import yaml
from places import ROOT, TESTS
from test_pool import epochs_done, starts, wait_for
from test_search import leave

from skeleton_lab.sweep import runs, state, study, tuning
from skeleton_lab.utils import cpus

pytest.importorskip("ray.tune", reason="the extra tune is not installed")
FAKE = [sys.executable, str(TESTS / "helpers" / "fake_sweep.py"), "study.yaml"]
EPOCHS = 4  # comparisons after 1 and 2; the first is with the median of those before


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{TESTS / 'helpers'}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("FAKE_SECONDS", "0.5")  # an epoch: long enough for a trial to be stopped in the next
    content = {
        "out": "out", "rooms": ["CTR-GCN"], "engine": "ray",
        "flags": {"num_epoch": EPOCHS, "val_split": "subjects", "device": "cpu"},
        "search": {"base_lr": [0.1, 0.2, 0.3, 0.4, 13]},
        "ray": {"trials": 6, "seed": 41, "reduction": 2, "cpus_per_trial": cpus.available().count},  # one at once
    }  # fmt: skip
    Path("study.yaml").write_text(yaml.safe_dump(content))
    return tmp_path


def halved(rates: dict[str, float]) -> dict[str, tuple[str, str]]:
    """States of trials, one after the other, by asynchronous successive halving written down here."""
    rungs: dict[int, list[float]] = {1: [], 2: []}
    found = {}
    for name, rate in rates.items():
        found[name] = ("failed", "error: data/none.npz: there is no such file") if rate == 13 else ("finished", "")
        for epoch, before in rungs.items() if rate != 13 else ():
            accuracy = fake_trainer.accuracy(1, epoch, rate)
            good = not before or accuracy >= statistics.median(before)
            before.append(accuracy)
            if not good:
                found[name] = ("stopped", f"by ASHA after epoch {epoch}, validation {100 * accuracy:.2f}")
                break
    return found


def test_what_was_left_undecided_is_decided_first(here):
    """Of a search that was killed between an evaluation and ASHA's word on it; others' decisions stay."""
    told_of = study.read(Path("study.yaml"))
    found = runs.of(told_of)
    leave(found[0], told_of, [0.5, 0.6, 0.7, 0.8], 0)
    leave(found[1], told_of, [0.3], None)
    leave(found[2], told_of, [0.9, 0.5], None)
    leave(found[3], told_of, [0.1, 0.7, 0.1], None)  # it went on after the first epoch, and is past all comparisons
    leave(found[4], told_of, [0.2], None, "by ASHA after epoch 1, validation 20.00")
    tuning._asha(tuning.Search(told_of, found), [found[k] for k in (1, 2, 3, 5)])
    now = [state.of(told_of, run) for run in found]
    assert [each.kind for each in now] == ["finished", "stopped", "stopped", "interrupted", "stopped", "waiting"]
    assert [each.why for each in now[1:3]] == [
        "by ASHA after epoch 1, validation 30.00", "by ASHA after epoch 2, validation 50.00",
    ]  # fmt: skip


def below(process: subprocess.Popen) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def sweep() -> subprocess.Popen:
    return subprocess.Popen(FAKE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.usefixtures("foreground")
def test_stopped_and_killed_it_goes_on_where_it_was(here):
    """Each trial ends as in a search that nothing has happened to, and no epoch is trained twice."""
    found = runs.of(study.read(Path("study.yaml")))
    names = [run.name for run in found]
    expected = halved({run.name: run.tried["base_lr"] for run in found})
    assert {kind for kind, _ in expected.values()} == {"finished", "stopped", "failed"}

    first = sweep()
    wait_for(lambda: epochs_done(names[0]) == 2)
    processes = below(first)
    first.send_signal(signal.SIGINT)
    out, err = first.communicate(timeout=60)
    assert first.returncode == 128 + signal.SIGINT, err
    lines = [f"{names[0]}: begins", f"{names[0]}: interrupted"]
    assert [line.strip() for line in out.splitlines()] == ["study.yaml: 6 runs, 0 finished before, 6 to do", *lines]
    assert err.endswith("stopped by SIGINT; the same command goes on\n") and "WARNING" not in err, err
    assert not psutil.wait_procs(processes, timeout=1)[1]  # Ray's are among them

    second = sweep()
    wait_for(lambda: epochs_done(names[2]) == 1)
    second.kill()
    second.communicate()

    third = sweep()  # at once: what still saves is waited for
    out, err = third.communicate(timeout=120)
    assert third.returncode == 1 and "1 of 6 runs not finished" in err, err
    told = {row["trial"]: (row["state"], row["why"]) for row in json.loads(Path("out/search.json").read_text())}
    assert told == expected
    for name in (name for name in names if expected[name][0] != "failed"):
        events = map(json.loads, (Path("out/runs") / name / "metrics.jsonl").read_text().splitlines())
        trained = [event["epoch"] for event in events if event["event"] == "epoch"]
        assert trained == list(range(1, len(trained) + 1)), name
        assert (len(trained) == EPOCHS) == (expected[name][0] == "finished")
    assert starts(names[0])[:2] == ["0", "2"] and len(starts(names[0])) == 2
