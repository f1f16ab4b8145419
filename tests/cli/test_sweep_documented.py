"""The commands of docs/sweep.md in their order, word by word; flags behind them and in the study shorten them."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from places import ROOT
from sandbox import documented, run_line

from skeleton_lab.sweep import forecast, pool, study

pytestmark = pytest.mark.slow
TEXT = (ROOT / "docs" / "sweep.md").read_text("utf-8")
COMMANDS = documented("sweep.md")
*FILES, SEARCH = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.S | re.M)]
SHORT = {"synthetic": "--train 6 --test 6 --classes 3 --resample 8 --quiet"}
SMALL = {"batch_size": 6, "test_batch_size": 6, "train_window_size": 8, "test_window_size": 8, "num_epoch": 1,
         "device": "cpu", "report": False}  # fmt: skip


class Here:
    """A run in this process: to start Python for each would take most of the test's time."""

    def __init__(self, argv, log: Path, more) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            self.code = run_line(shlex.join(argv[2:]))  # behind python -m skeleton_lab

    def poll(self) -> int:
        return self.code


def test_every_command_does_what_the_document_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pool, "Child", Here)
    monkeypatch.setattr(forecast, "_planned", lambda runs: [(forecast.kind(run), (36.0, "plan")) for run in runs])
    written = FILES[0]
    Path("study.yaml").write_text(yaml.safe_dump(written | {"flags": written["flags"] | SMALL}))
    assert [line.split()[1] for line in COMMANDS] == ["synthetic", "sweep", "sweep", "sweep"]
    said = []
    for command in COMMANDS:
        assert run_line(command, SHORT.get(command.split()[1], "")) == 0, command
        said.append(capsys.readouterr().out)
    assert said[1].count("skeleton-lab train CTR-GCN") == 4 and "forecast: 0.04 h of training for 4 runs" in said[1]
    assert "4 runs: 4 finished" in said[2] and "4 runs: 4 finished" in said[3]
    out = Path(written["out"])
    told = json.loads((out / "study.json").read_text())["runs"]
    assert {(each["stream"], each["seed"]) for each in told} == {(s, n) for s in ("joint", "bone") for n in (1, 2)}
    assert all((out / each["folder"] / "evaluation.npz").is_file() for each in told)
    assert [each["top1"] is not None for each in json.loads((out / "fusion.json").read_text())] == [True, True]
    assert f"{out}/runs/CTR-GCN-joint-seed1" in TEXT


def test_the_study_for_a_cluster_is_understood(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("demo").mkdir()
    Path("demo/study.npz").touch()
    Path("study.yaml").write_text(yaml.safe_dump(FILES[0] | FILES[1]))
    assert study.read(Path("study.yaml")).slurm["array_parallelism"] == 16


def test_the_search_is_understood(tmp_path, monkeypatch, capsys):
    """Its runs alone: ``tests/unit/sweep/test_ray.py`` has a search run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(forecast, "of", lambda runs, _: [forecast.Forecast(36.0, "plan") for _ in runs])
    Path("demo").mkdir()
    Path("demo/study.npz").touch()
    Path("search.yaml").write_text(yaml.safe_dump(SEARCH))
    command = next(line for line in re.findall(r"`(skeleton-lab sweep[^`]*)`", TEXT) if "search.yaml" in line)
    assert run_line(command, "--dry-run") == 0
    said = capsys.readouterr().out
    assert said.count("skeleton-lab train CTR-GCN") == 12 and "# at most" in said
    flags = said.splitlines()[0].split()
    for bounds, flag in (([0.003, 0.3], "--base-lr"), ([0.00001, 0.001], "--weight-decay")):
        assert bounds[0] <= float(flags[flags.index(flag) + 1]) <= bounds[1]


def test_the_table_of_keys_is_that_of_the_program():
    table = TEXT.split("## What the file says")[1].split("##")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == list(study.KEYS)
    assert set(
        re.findall(r"`(\w+)`", TEXT.split("put back into the queue")[0].split("array_parallelism: 16")[1])
    ) | set(FILES[1]["slurm"]) | {"cluster"} == set(study.OF_SLURM)
    shares = set(re.findall(r"`(\w+_per_trial)", TEXT))
    assert shares | set(SEARCH["ray"]) == set(study.OF_RAY)
