"""Runs of a study started, stopped, killed and resumed: with a stand-in for training that takes milliseconds."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_sweep
import fake_trainer
import pytest
import yaml
from places import ROOT, TESTS

from skeleton_lab.compare import program as compare
from skeleton_lab.data.synthetic import archive
from skeleton_lab.sweep import child, pool, program, runs, state, study
from skeleton_lab.utils import cpus, devices

SWEEP = [sys.executable, str(TESTS / "helpers" / "fake_sweep.py"), "study.yaml"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a study of four runs; ``skeleton-lab sweep`` in this process starts stand-ins."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(child, "command", fake_sweep.command)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{os.environ.get('PYTHONPATH', '')}")
    write()
    return tmp_path


def write(**changes) -> None:
    content = {"out": "out", "rooms": ["CTR-GCN"], "streams": ["joint", "bone"], "seeds": [1, 2]}
    content["flags"] = {"num_epoch": 4, "device": "cpu"}
    Path("study.yaml").write_text(yaml.safe_dump(content | changes))


def sweep(*flags: str) -> int:
    return program.main(["study.yaml", *flags])


def told() -> list[dict]:
    return json.loads(Path("out/study.json").read_text())["runs"]


def starts(name: str) -> list[str]:
    """The epochs that the starts of a run began with."""
    lines = (Path("out/runs") / name / "starts").read_text().splitlines()
    return [line.split()[0] for line in lines]


def wait_for(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.01)


def epochs_done(name: str) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int((Path("out/runs") / name / "last.ckpt").read_text())
    return 0


ALL = [f"CTR-GCN-{stream}-seed{seed}" for stream in ("joint", "bone") for seed in (1, 2)]


@pytest.mark.parametrize("engine", ["serial", "pool"])
def test_a_study_runs_once_and_is_then_skipped(here, capsys, engine):
    write(engine=engine, jobs=2 if engine == "pool" else None)
    assert sweep() == 0
    assert [(run["name"], run["state"], run["epochs"]) for run in told()] == [(name, "finished", 4) for name in ALL]
    assert [run["best"] for run in told()] == [fake_trainer.accuracy(run["seed"], 4) for run in told()]
    first = told()[0]
    assert (first["room"], first["stream"], first["seed"], first["folder"]) == ("CTR-GCN", "joint", 1, f"runs/{ALL[0]}")
    assert "4 runs: 4 finished" in capsys.readouterr().out
    assert sweep() == 0
    assert "4 finished before, 0 to do" in capsys.readouterr().out
    assert [starts(name) for name in ALL] == [["0"]] * 4


def test_what_fails_is_listed_and_does_not_stop_the_rest(here, capsys):
    write(seeds=[13, 2], streams=["joint"])
    assert sweep() == 1
    out, err = capsys.readouterr()
    assert "CTR-GCN-joint-seed13 failed" in out and "data/none.npz: there is no such file" in out
    assert [run["state"] for run in told()] == ["failed", "finished"]
    assert "1 of 2 runs not finished; logs: out/logs" in err
    assert sweep() == 1  # tried again
    assert len(starts("CTR-GCN-joint-seed13")) == 2 and len(starts("CTR-GCN-joint-seed2")) == 1


@pytest.mark.parametrize(("code", "ends"), [(0, 0), (2, 1)])
def test_a_comparison_that_is_refused_is_no_success(here, monkeypatch, code, ends):
    asked = []
    monkeypatch.setattr(compare, "main", lambda words: asked.append(words) or code)
    write(streams=["joint"])
    assert sweep() == 0 and asked == [], "no run has test clips"
    for name in ALL[:2]:
        Path("out/runs", name, "evaluation.npz").write_bytes(b"")
    assert sweep() == ends and [Path(word).resolve() for (word,) in asked] == [here / "out"]


def test_each_run_says_which_archive_it_is_of(here):
    """By the first word for it, as ``compare`` parts runs whose test clips are not the same."""
    for name in ("a.npz", "b.npz"):
        archive.write(Path(name), train=2, test=2, classes=2, resample=8, progress=False)
    write(data={"a": "a.npz", "b": "b.npz", "again": "a.npz"})
    assert sweep() == 0
    assert [run["archive"] for run in told()] == [word for word in "aab" for _ in range(4)]


def test_status_changes_nothing(here, capsys):
    assert sweep("--status") == 0
    assert "4 runs: 4 waiting" in capsys.readouterr().out
    assert not Path("out").exists()


@pytest.mark.usefixtures("here")
def test_who_reads_only_the_first_line_of_a_status_hears_no_complaint():
    process = subprocess.Popen([*SWEEP, "--status"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 1


def test_other_settings_are_not_mixed_and_more_epochs_go_on(here, capsys):
    write(streams=["joint"], seeds=[1])
    assert sweep() == 0
    write(streams=["joint"], seeds=[1], flags={"num_epoch": 4, "base_lr": 0.3, "device": "cpu"})
    assert sweep() == 1
    assert "base_lr was 0.1 and is 0.3 now" in capsys.readouterr().out
    assert starts(ALL[0]) == ["0"]
    write(streams=["joint"], seeds=[1], flags={"num_epoch": 6, "device": "cpu", "num_worker": 1})
    assert sweep() == 0
    assert starts(ALL[0]) == ["0", "4"] and told()[0]["epochs"] == 6


def test_a_folder_that_was_moved_away_is_made_anew(here):
    write(streams=["joint"], seeds=[1])
    assert sweep() == 0
    (Path("out/runs") / ALL[0]).rename("kept")
    write(streams=["joint"], seeds=[1], flags={"num_epoch": 2, "base_lr": 0.3, "device": "cpu"})
    assert sweep() == 0
    assert starts(ALL[0]) == ["0"] and told()[0]["epochs"] == 2


def test_a_note_of_an_earlier_version_is_no_other_study(here, capsys):
    """Flags that came later are off in it."""
    write(streams=["joint"], seeds=[1])
    assert sweep() == 0
    note = Path("out/notes") / f"{ALL[0]}.json"
    content = json.loads(note.read_text())
    del content["settings"]["val_split"]
    note.write_text(json.dumps(content))
    assert sweep() == 0
    assert starts(ALL[0]) == ["0"]
    note.write_text("{ cut sho")  # damaged: the run itself tells
    assert sweep() == 0
    assert starts(ALL[0]) == ["0", "4"]


def test_the_accuracy_of_a_folder_that_is_damaged_is_unknown(here):
    found = runs.of(study.read(Path("study.yaml")))
    found[0].folder.mkdir(parents=True)
    (found[0].folder / "metrics.jsonl").write_text(
        '{"event": "epoch", "epoch": 1}\n{"event": "result", "best": 3}\n{"ev'
    )
    assert state.progress(found[0]) == (1, None, None, None)


@pytest.mark.slow
@pytest.mark.usefixtures("foreground")
def test_killed_twice_it_ends_with_the_same_table(here):
    """kill -9 of the sweep: its children save and end, none is left behind, none runs twice."""
    write(engine="pool", jobs=2, out="unbroken")
    assert sweep() == 0
    unbroken = json.loads(Path("unbroken/study.json").read_text())
    write(engine="pool", jobs=2)
    for kill in (1, 2):
        holding = {**os.environ, "FAKE_HOLD": f"{kill + 1}"}
        process = subprocess.Popen(SWEEP, env=holding, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda kill=kill: epochs_done(ALL[0]) == kill)
        process.kill()
        process.wait()
    assert sweep() == 0  # at once: what still saves is waited for
    now = json.loads(Path("out/study.json").read_text())
    assert now == unbroken
    assert [len((Path("out/runs") / name / "metrics.jsonl").read_text().splitlines()) for name in ALL] == [9] * 4
    assert starts(ALL[0]) == ["0", "1", "2"] and starts(ALL[3]) == ["0"]
    log = Path("out/logs") / f"{ALL[0]}.log"
    assert "another run is at work" not in log.read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("foreground")
def test_a_signal_is_passed_on_once_and_everything_is_saved(here):
    write(engine="pool", jobs=2)
    process = subprocess.Popen(
        SWEEP, env={**os.environ, "FAKE_HOLD": "2"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: min(map(epochs_done, ALL[:2])) >= 1)
    assert program.main(["study.yaml"]) == 2  # one sweep at a time
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert f"SIGTERM: {ALL[0]}, {ALL[1]}: to save and end" in err
    assert process.returncode == 128 + signal.SIGTERM
    assert out.count("interrupted") == 2
    assert [run["state"] for run in told()] == ["interrupted", "interrupted", "waiting", "waiting"]
    for name in ALL[:2]:
        with open(Path("out/runs") / name / ".lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody is at work there


HOLDER = """
import fcntl, os, sys, time
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(file, fcntl.LOCK_EX)
print(flush=True)
while not os.path.exists(sys.argv[2]):
    time.sleep(0.01)
"""


def test_a_run_of_another_process_is_waited_for(here):
    """It is passed over until that has ended, here as soon as the next run has begun."""
    write(streams=["joint"], seeds=[1, 2])
    folder, begun = Path("out/runs") / ALL[0], Path("out/runs") / ALL[1] / "starts"
    folder.mkdir(parents=True)
    command = [sys.executable, "-S", "-c", HOLDER, str(folder / ".lock"), str(begun)]
    other = subprocess.Popen(command, stdout=subprocess.PIPE)
    other.stdout.readline()
    told_of = study.read(Path("study.yaml"))
    assert state.of(told_of, runs.of(told_of)[0]).kind == state.RUNNING
    assert sweep() == 0
    assert other.wait() == 0
    assert [run["state"] for run in told()] == ["finished"] * 2 and starts(ALL[0]) == ["0"]


def places(**changes) -> list:
    write(**changes)
    told = study.read(Path("study.yaml"))
    return pool.places(told, runs.of(told))


def test_places_are_gpus_or_shares_of_the_cores(here, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(cpus, "available", lambda: cpus.Processors(8, 8))
    monkeypatch.setattr(devices, "gpus", lambda: 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,7")
    assert places() == [{}]  # serial: the machine as it is
    threads = "OMP_NUM_THREADS"
    assert places(engine="pool") == [{threads: "2"}] * 4  # device: cpu; four runs
    assert places(engine="pool", jobs=2) == [{threads: "4"}] * 2
    free = {"num_epoch": 4}
    seen = [place["CUDA_VISIBLE_DEVICES"] for place in places(engine="pool", flags=free)]
    assert seen == ["4", "5", "7"]
    seen = [place["CUDA_VISIBLE_DEVICES"] for place in places(engine="pool", flags=free, jobs=4)]
    assert seen == ["4", "5", "7", "4"]
    monkeypatch.setattr(pool.forecast, "fitting", lambda *_: 2)
    seen = [place["CUDA_VISIBLE_DEVICES"] for place in places(engine="pool", flags=free, jobs="plan", seeds=[1, 2, 3])]
    assert seen == ["4", "5", "7", "4", "5", "7"]
    assert places(engine="pool", flags=free | {"device": [0, 1]}, jobs=1) == [{}]
    with pytest.raises(ValueError, match="leave device out"):
        places(engine="pool", flags=free | {"device": [0, 1]})


def test_a_run_of_a_pool_takes_the_gpu_that_it_sees(here):
    (run, *_) = runs.of(study.read(Path("study.yaml")))
    assert pool._words(run, {"CUDA_VISIBLE_DEVICES": "5"})[-2:] == ["--device", "0"]
    assert pool._words(run, {}) == list(run.command)


NOTE = Path("out/notes/CTR-GCN-joint-seed1.json")
METRICS = Path("out/runs/CTR-GCN-joint-seed1/metrics.jsonl")


@pytest.mark.parametrize(
    "line",
    ["[" * 10**5, '{"event": "epoch", "epoch": Infinity}', f'{{"event": "epoch", "epoch": 4, "seconds": {10**400}}}',
     '{"event": "epoch", "epoch": 4, "seconds": Infinity}', f'{{"event": "result", "last": {{"top1": {10**400}}}}}',
     '{"event": "result", "best": {"top1": NaN}}'],
    ids=lambda line: line[:50],
)  # fmt: skip
def test_a_hostile_line_of_a_run_does_not_end_the_status(here, capsys, line):
    METRICS.parent.mkdir(parents=True)
    METRICS.write_text(f'{{"event": "epoch", "epoch": 3, "seconds": 1}}\n{line}\n')
    assert sweep("--status") == 0
    shown = capsys.readouterr().out
    assert re.search(r"CTR-GCN-joint-seed1 +interrupted [34]/4", shown) and "inf" not in shown and "nan" not in shown


@pytest.mark.parametrize("content", ["[" * 10**5, '{"code": [1], "settings": {}}', '{"code": {}, "settings": {}}'])
def test_a_damaged_note_is_none(here, capsys, content):
    NOTE.parent.mkdir(parents=True)
    NOTE.write_text(content)
    assert sweep("--status") == 0
    assert "4 runs: 4 waiting" in capsys.readouterr().out


def test_fusions_of_an_earlier_sweep_are_not_kept(here):
    Path("out").mkdir()
    Path("out/fusion.json").write_text('[{"name": "CTR-GCN-seed1"}]')
    write(streams=["joint"])
    assert sweep() == 0
    assert json.loads(Path("out/fusion.json").read_text()) == []


def test_a_run_that_begins_or_ends_is_looked_at_alone(here, monkeypatch):
    looked = []
    monkeypatch.setattr(state, "progress", lambda run, of=state.progress: (looked.append(run.name), of(run))[1])
    monkeypatch.setattr(
        pool,
        "run_all",
        lambda asked, to_do, places, told, tick: [told(run, state.of(asked, run)) for run in to_do] and 0,
    )
    write(seeds=list(range(20, 60)))
    assert sweep() == 1
    assert len(looked) <= 10 * 2 * 40  # of each, a few times
