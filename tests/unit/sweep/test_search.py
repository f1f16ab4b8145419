"""A search without Ray: what it draws, what it refuses, what it says of its trials."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import studies
import yaml

from skeleton_lab.compare import finding
from skeleton_lab.sweep import forecast, program, ranking, runs, search, state, study, table, tuning
from skeleton_lab.sweep.search import Space
from skeleton_lab.utils import cpus, devices

STUDY = {
    "out": "out", "rooms": ["CTR-GCN"], "engine": "ray", "ray": {"trials": 3},
    "flags": {"num_epoch": 9, "val_split": "subjects", "device": "cpu"},
    "search": {"base_lr": {"log": [0.003, 0.3]}, "window": [16, 24, 32]},
}  # fmt: skip


@pytest.fixture
def write(tmp_path, monkeypatch):
    to_file = studies.writer(tmp_path, monkeypatch, STUDY)
    return lambda **changes: study.read(to_file(**changes))


def test_ranges_are_even_and_keep_their_bounds():
    """Quantiles of many draws against those of the distribution; a range of whole numbers has both its ends."""
    spaces = {"log": Space(low=0.001, high=10.0, log=True), "even": Space(low=-1.0, high=3.0),
              "whole": Space(low=1, high=4, whole=True), "doubling": Space(low=1, high=63, log=True, whole=True),
              "choice": Space(choices=("a", "b"))}  # fmt: skip
    drawn = [search.drawn(spaces, 1, number) for number in range(1, 4001)]
    columns = {name: np.array([values[name] for values in drawn]) for name in spaces}
    quarters = [0.25, 0.5, 0.75]
    assert np.quantile(np.log10(columns["log"]), quarters) == pytest.approx([-2, -1, 0], abs=0.15)
    assert np.quantile(columns["even"], quarters) == pytest.approx([0, 1, 2], abs=0.15)
    assert np.unique(columns["whole"], return_counts=True)[1] / 4000 == pytest.approx([0.25] * 4, abs=0.03)
    assert np.log2(np.quantile(columns["doubling"], quarters)) == pytest.approx([1.5, 3, 4.5], abs=0.5)
    assert (columns["choice"] == "a").mean() == pytest.approx(0.5, abs=0.03)
    for name, column in list(columns.items())[:4]:
        assert spaces[name].low <= column.min() and column.max() <= spaces[name].high
    assert np.corrcoef(np.log(columns["log"]), columns["even"])[0, 1] == pytest.approx(0, abs=0.05)


def test_trials_are_runs_with_names_and_stay_when_more_are_asked_for(write):
    few = runs.of(write())
    assert [run.name for run in few] == [f"CTR-GCN-joint-trial{n}-seed1" for n in (1, 2, 3)]
    for run in few:
        rate, window = run.tried["base_lr"], run.tried["window"]
        assert run.options.base_lr == rate and run.words.count("--base-lr") == 1
        assert run.options.train_feeder_args["window_size"] == run.options.test_feeder_args["window_size"] == window
    more = runs.of(write(ray={"trials": 5}, search={**STUDY["search"], "weight_decay": [0, 0.1]}))
    assert [run.tried["base_lr"] for run in more[:3]] == [run.tried["base_lr"] for run in few]
    assert len({run.tried["base_lr"] for run in more}) == 5
    other = runs.of(write(ray={"trials": 3, "seed": 2}))
    assert {run.tried["base_lr"] for run in other}.isdisjoint(run.tried["base_lr"] for run in few)


SEARCH, FLAGS = STUDY["search"], STUDY["flags"]
WRONG = [
    ({"search": None}, "search: is missing", "{log: [0.003, 0.3]}"),
    ({"ray": None}, "ray: is missing", "{trials: 12}"),
    ({"engine": "pool"}, "ray: has no effect with engine: pool"),
    ({"engine": "pool", "ray": None}, "search: has no effect with engine: pool"),
    ({"flags": {"num_epoch": 9}}, "val_split: subjects is missing", "would flatter"),
    ({"rooms": ["CTR-GCN", "ST-GCN"]}, "rooms: a search is of one"),
    ({"seeds": [1, 2]}, "seeds: a search is of one"),
    ({"data": ["a.npz", "b.npz"]}, "data: a search is of one"),
    ({"grid": {"nesterov": [True, False]}}, "grid: is not for a search"),
    ({"search": {"base_rl": [1]}}, "there is no flag 'base_rl'", "Did you mean 'base_lr'?"),
    ({"search": {"num_epoch": [4, 9]}}, "search: num_epoch: not here", "equal epochs"),
    ({"search": {"base_lr": 0.1}}, "base_lr: 0.1: give {log: [low, high]}"),
    ({"search": {"base_lr": {"log": [0.3, 0.003]}}}, "[0.3, 0.003] are not two numbers, the smaller one first"),
    ({"search": {"base_lr": {"log": [0, 0.3]}}}, "must be above 0"),
    ({"search": {"window": {"uniform": [8, 16.5]}}}, "are not two whole numbers"),
    ({"search": {"optimizer": {"uniform": [1, 2]}}}, "optimizer: is no number"),
    ({"search": {"base_lr": {"log": [-1, 0.3]}}}, "must be above 0"),
    ({"search": {"base_lr": ["fast"]}}, "trial1-seed1", "--base-lr: 'fast' is not a finite number"),
    ({"flags": {**FLAGS, "base_lr": 0.1}}, "search: base_lr is given twice"),
    ({"search": {**SEARCH, "train_window_size": [8]}}, "train_window_size is given twice"),
    ({"ray": {"trials": 0}}, "trials: 0 is too small"),
    ({"ray": {"trials": 2, "reduction": 1}}, "reduction: 1"),
    ({"ray": {"trials": 2, "reduction": float("nan")}}, "reduction: nan"),
    ({"search": {"base_lr": {"uniform": [0.1, float("inf")]}}}, "are not two numbers"),
    ({"ray": {"trials": 2, "gpus_per_trial": 1.5}}, "neither a share of a GPU nor a whole number"),
    ({"ray": {"trials": 2, "grace_epochs": 10}}, "grace_epochs: 10 is more than the 9 epochs"),
    ({"rooms": ["SkateFormer"], "search": {"base_lr": [0.1]}}, "SkateFormer does not evaluate after that epoch"),
    ({"ray": {"trials": 2, "cpus_per_trial": 4000}}, "cpus_per_trial: 4000: this machine has"),
    ({"ray": {"trials": 2, "gpus_per_trial": 1}}, "gpus_per_trial: 1: the flags say device: cpu"),
    ({"flags": {**FLAGS, "device": [0, 1]}}, "Ray gives each trial its GPU"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), [(first, words) for first, *words in WRONG], ids=lambda x: str(x)[:50])
def test_a_mistake_is_one_line_that_names_the_file(write, capsys, monkeypatch, changes, words):
    monkeypatch.setattr(forecast, "of", lambda *_: [])
    Path("study.yaml").write_text(yaml.safe_dump({k: v for k, v in (STUDY | changes).items() if v is not None}))
    assert program.main(["study.yaml", "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("error: study.yaml: ")
    assert all(word in error for word in words), error


def test_without_ray_one_line_says_how_to_get_it(write, monkeypatch, capsys):
    write()
    for name in ("ray", "ray.tune"):  # other tests may have imported both
        monkeypatch.setitem(sys.modules, name, None)
    assert program.main(["study.yaml"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: study.yaml: engine: ray needs Ray Tune: pip install 'skeleton-lab[tune]'"
    )


def test_processors_and_gpus_are_shared_out(write, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(cpus, "available", lambda: cpus.Processors(16, 16))
    monkeypatch.setattr(devices, "gpus", lambda: 2)

    def shares(trials=9, **wishes):
        told = write(ray={"trials": trials, **wishes}, flags={"num_epoch": 9, "val_split": "subjects"})
        found = tuning.shares(told, runs.of(told))
        assert (found.all_cpus, found.all_gpus) == (16, 2)
        return found.cpus, found.gpus, found.at_once, found.threads

    assert shares() == (8, 1, 2, 8)
    assert shares(gpus_per_trial=0.5) == (4, 0.5, 4, 4)
    assert shares(gpus_per_trial=0.4) == (4, 0.4, 4, 4)  # a trial does not get parts of two
    assert shares(gpus_per_trial=2, cpus_per_trial=3) == (3, 2, 1, 3)
    assert shares(trials=1) == (8, 1, 1, 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    told = write()  # device: cpu
    assert tuning.shares(told, runs.of(told)) == tuning.Shares(1, 0, 3, 1, 16, 0)


def leave(run: runs.Run, told_of: study.Study, accuracies: list[float], code: int | None, stopped: str = "") -> None:
    """What a trial of these accuracies on the validation split leaves; a finished one has 0.5 on the test set."""
    events = [{"event": "epoch", "epoch": n, "seconds": 2.0} for n, _ in enumerate(accuracies, 1)]
    events += [{"event": "eval", "split": "val", "epoch": n, "top1": x} for n, x in enumerate(accuracies, 1)]
    events += [{"event": "result", "best": {"top1": 0.5}, "last": {"top1": 0.4}}] * (code == 0)
    run.folder.mkdir(parents=True)
    (run.folder / state.METRICS).write_text("".join(json.dumps(event) + "\n" for event in events))
    state.note(state.note_file(told_of, run), run.settings, code, stopped)


def test_the_best_trial_is_that_of_the_validation_split(write, capsys):
    """Not that of the test set, nor one that was stopped; a stopped one counts as done and is not compared."""
    told_of = write(ray={"trials": 4})
    found = runs.of(told_of)
    leave(found[0], told_of, [0.3, 0.6, 0.5], 0)
    leave(found[1], told_of, [0.3, 0.7], None, "by ASHA after epoch 2, validation 70.00")
    leave(found[2], told_of, [0.2, 0.65, 0.65], 0)
    leave(found[3], told_of, [0.1], None, "by ASHA after epoch 1, validation 10.00")
    assert program.main(["study.yaml"]) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line.startswith("CTR-GCN-joint-trial")]
    assert [(row[0].split("-")[3], *row[1:5]) for row in rows[:4]] == [
        ("trial2", "stopped", "2/9", "70.00", "2"), ("trial3", "finished", "3/9", "65.00", "2"),
        ("trial1", "finished", "3/9", "60.00", "2"), ("trial4", "stopped", "1/9", "10.00", "1"),
    ]  # fmt: skip
    assert [row[5] for row in rows[1:3]] == ["50.00"] * 2 and "4 runs: 2 finished, 2 stopped" in out
    values = ", ".join(f"{name} {value}" for name, value in found[2].tried.items())
    assert f"best on the validation split: {found[2].name}: {values}; on test 50.00 %" in out
    assert f"skeleton-lab train CTR-GCN --config {found[2].options.config}" in out
    told = json.loads(Path("out/search.json").read_text())
    assert [row["trial"] for row in told] == [found[k].name for k in (1, 2, 0, 3)]
    assert told[0]["history"] == [[1, 0.3], [2, 0.7]] and told[0]["test"] is None and told[1]["test"] == 0.5
    with open("out/search.csv", newline="") as file:
        assert [float(row["base_lr"]) for row in csv.DictReader(file)] == [row["values"]["base_lr"] for row in told]
    assert Path("out/search.png").read_bytes().startswith(b"\x89PNG")
    listed = {
        run["name"]: (run["state"], run["best"]) for run in json.loads(Path("out/study.json").read_text())["runs"]
    }
    assert listed[found[1].name] == ("stopped", None) and listed[found[2].name] == ("finished", 0.5)
    places, notices = finding.find(["out"])
    assert [place.name for place in places] == [found[0].name, found[2].name]
    assert any("2 of the study's runs were stopped by its search" in notice for notice in notices)


def test_epochs_that_do_not_come_are_not_waited_for(write):
    """The bar ends where the epochs do."""
    told_of = write(ray={"trials": 2})
    found = runs.of(told_of)
    leave(found[0], told_of, [0.1], None, "by ASHA")
    live = table.Live(found, [state.of(told_of, run) for run in found])
    assert (live._bar.n, live._bar.total) == (1, 10)
    leave(found[1], told_of, [0.1, 0.2, 0.3], None, "by ASHA")
    live.told(found[1], state.of(told_of, found[1]))
    assert (live._bar.n, live._bar.total) == (4, 4)
    live.close()


def test_no_trial_is_the_best_before_one_has_ended(write):
    told_of = write()
    found = runs.of(told_of)
    leave(found[0], told_of, [0.3], None)
    states = [state.of(told_of, run) for run in found]
    assert [now.kind for now in states] == ["interrupted", "waiting", "waiting"]
    assert ranking.winner(ranking.ranked(found, states)) is None
    assert ranking.write(told_of.out, found, states) == ["", "out/search.json holds all trials."]
    assert not Path("out/search.png").exists()
