"""Runs as jobs of submitit: its local executor, with a stand-in for training; real SLURM where there is one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import fake_sweep
import pytest
import slurm_here
import yaml
from places import ROOT, TESTS
from test_pool import HOLDER, epochs_done, starts, told, wait_for

from skeleton_lab.errors import UsageError
from skeleton_lab.sweep import cluster, program, runs, state, study

FAKE = [sys.executable, str(TESTS / "helpers" / "fake_sweep.py"), "study.yaml"]
NAME = "CTR-GCN-joint-seed1"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{TESTS / 'helpers'}:{os.environ.get('PYTHONPATH', '')}")
    content = {"out": "out", "rooms": ["CTR-GCN"], "seeds": [1, 2], "flags": {"num_epoch": 4, "device": "cpu"}}
    content |= {"engine": "submitit", "slurm": {"cluster": "local", "timeout_min": 1}}
    Path("study.yaml").write_text(yaml.safe_dump(content))
    return tmp_path


def test_without_submitit_one_line_says_how_to_get_it(here, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert program.main(["study.yaml"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: study.yaml: engine: submitit needs submitit: pip install 'skeleton-lab[slurm]'"
    )


def test_handlers_of_logging_stay_open(here):
    """What has been set up for logging, as TensorBoard's absl does, is as it was; so is what jobs are told."""
    pytest.importorskip("submitit", reason="the extra slurm is not installed")
    told = (
        "import logging, os, sys; from pathlib import Path; from skeleton_lab.sweep import cluster, study;"
        "closed = []; handler = logging.StreamHandler(); handler.close = lambda: closed.append(1);"
        "cluster.executor(study.read(Path('study.yaml')));"
        "print(closed, 'submitit' in sys.modules, os.environ.get('SUBMITIT_LOG_LEVEL'));"
        "sys.stdout.flush(); os._exit(0)"  # an ordinary end closes all handlers
    )
    for level in (None, "DEBUG"):
        env = {**os.environ, **({"SUBMITIT_LOG_LEVEL": level} if level else {})}
        ran = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, env=env, check=True)
        assert ran.stdout == f"[] True {level}\n", ran.stderr


def test_without_slurm_one_line_says_so(here, monkeypatch, capsys):
    pytest.importorskip("submitit", reason="the extra slurm is not installed")
    monkeypatch.setenv("PATH", "")
    content = yaml.safe_load(Path("study.yaml").read_text()) | {"slurm": {"partition": "main"}}
    Path("study.yaml").write_text(yaml.safe_dump(content))
    assert program.main(["study.yaml"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "engine: submitit: " in error and "slurm" in error and "{cluster: local}" in error


def test_what_the_study_says_of_the_cluster_reaches_submitit(here, monkeypatch):
    """By submitit's own names; a job counts its GPUs from 0, whatever the configuration names."""
    asked = {}

    class AutoExecutor:
        def __init__(self, **given):
            asked.update(given)

        def update_parameters(self, **given):
            asked.update(given)

    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace(AutoExecutor=AutoExecutor))
    wishes = {"partition": "main", "timeout_min": 9, "gpus_per_node": 2, "mem_gb": 3.5, "requeues": 5, "qos": "low",
              "array_parallelism": 4, "setup": ["module load x"], "signal_delay_s": 30}  # fmt: skip
    content = yaml.safe_load(Path("study.yaml").read_text()) | {"slurm": wishes, "flags": {"num_epoch": 4}}
    Path("study.yaml").write_text(yaml.safe_dump(content))
    told_of = study.read(Path("study.yaml"))
    cluster.executor(told_of)
    assert asked == {
        "folder": here / "out" / "jobs", "cluster": "slurm", "slurm_max_num_timeout": 5, "name": "skeleton-lab",
        "timeout_min": 9, "gpus_per_node": 2, "mem_gb": 3.5, "slurm_partition": "main", "slurm_qos": "low",
        "slurm_array_parallelism": 4, "slurm_setup": ["module load x"], "slurm_signal_delay_s": 30,
    }  # fmt: skip
    assert cluster._words(told_of, runs.of(told_of)[0])[-3:] == ["--device", "0", "1"]


def test_what_the_cluster_refuses_is_one_line(here):
    class Refused:
        @contextlib.contextmanager
        def batch(self):
            yield
            raise RuntimeError("sbatch: error: invalid partition specified: mian\n")

        def submit(self, job):
            return None

    told_of = study.read(Path("study.yaml"))
    with pytest.raises(UsageError, match=r"study.yaml: slurm: the jobs were not taken: .*partition specified: mian"):
        cluster._submit(told_of, Refused(), runs.of(told_of))


def test_a_job_saves_at_the_signal_and_goes_on_when_it_is_put_back(here, monkeypatch):
    """What submitit does at its signal: it calls ``checkpoint`` and later runs what that returns."""
    pytest.importorskip("submitit", reason="the extra slurm is not installed")
    monkeypatch.setenv("FAKE_HOLD", "3")
    told_of = study.read(Path("study.yaml"))
    run = runs.of(told_of)[0]
    job = cluster.Job(
        fake_sweep.command(run.command), state.log_file(told_of, run), state.note_file(told_of, run), run.settings
    )
    before = signal.getsignal(signal.SIGUSR2)
    again = []

    def limit(*_) -> None:
        again.append(job.checkpoint())

    signal.signal(signal.SIGUSR2, limit)
    try:
        watch = subprocess.Popen(  # the cluster: a signal when two epochs are done
            [sys.executable, "-S", "-c", "import os, pathlib, sys, time\n"
             "while not os.path.exists(sys.argv[1]) or pathlib.Path(sys.argv[1]).read_text() != '2': time.sleep(0.01)\n"
             "os.kill(int(sys.argv[2]), 12)", str(run.folder / "last.ckpt"), str(os.getpid())]
        )  # fmt: skip
        assert job() == 128 + signal.SIGUSR1
        watch.wait()
    finally:
        signal.signal(signal.SIGUSR2, before)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert state.of(told_of, run).kind == state.INTERRUPTED
    monkeypatch.delenv("FAKE_HOLD")
    assert again[0].function() == 0
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert state.of(told_of, run).kind == state.FINISHED and starts(NAME) == ["0", "2"]


@pytest.mark.slow
@pytest.mark.usefixtures("foreground")
def test_local_jobs_outlive_the_sweep_and_are_not_submitted_twice(here, capsys):
    pytest.importorskip("submitit", reason="the extra slurm is not installed")
    process = subprocess.Popen(FAKE, env={**os.environ, "FAKE_HOLD": "2"}, stdout=subprocess.DEVNULL)
    wait_for(lambda: epochs_done(NAME) == epochs_done("CTR-GCN-joint-seed2") == 1)
    process.kill()
    process.wait()
    numbers = json.loads(Path("out/jobs.json").read_text())
    assert set(numbers) == {NAME, "CTR-GCN-joint-seed2"}
    again = subprocess.Popen(FAKE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    said = [again.stdout.readline() for _ in range(3)]  # it watches them
    assert said[1:] == [f"{name}: goes on after epoch 1: in the queue\n" for name in numbers]
    assert json.loads(Path("out/jobs.json").read_text()) == numbers
    assert program.main(["study.yaml", "--status"]) == 0
    assert "2 runs: 2 running" in capsys.readouterr().out
    for number in numbers.values():  # as a cluster that takes a job away: they save, and the jobs end
        os.kill(int(number), signal.SIGTERM)
    out = again.communicate(timeout=120)[0]
    assert again.returncode == 1 and out.count(": interrupted") == 2, out
    done = subprocess.run(FAKE, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert [run["state"] for run in told()] == ["finished"] * 2
    assert starts(NAME) == ["0", "1"]


@pytest.mark.slow
def test_what_a_killed_job_left_at_work_is_waited_for(here):
    """Else its new job would only say that another run is at work there."""
    pytest.importorskip("submitit", reason="the extra slurm is not installed")
    folder, begun = Path("out/runs") / NAME, Path("out/runs/CTR-GCN-joint-seed2/last.ckpt")
    folder.mkdir(parents=True)
    command = [sys.executable, "-S", "-c", HOLDER, str(folder / ".lock"), str(begun)]
    other = subprocess.Popen(command, stdout=subprocess.PIPE)
    other.stdout.readline()
    done = subprocess.run(FAKE, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert other.wait() == 0
    assert starts(NAME) == ["0"] and [run["state"] for run in told()] == ["finished"] * 2


@pytest.mark.slow
@pytest.mark.skipif(bool(slurm_here.lacks()), reason=slurm_here.lacks())
def test_jobs_of_a_real_slurm_go_on_where_they_had_saved(capfd):
    """An array; one of its jobs is put back, the other runs into its time limit. Four minutes, mostly of waiting."""
    assert slurm_here.main([]) == 0, capfd.readouterr().out
