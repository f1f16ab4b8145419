"""What a run says while it works: no long dictionaries, nothing twice, the end of the whole run."""

from __future__ import annotations

import re
import warnings
from argparse import Namespace
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import toy_room
from sandbox import Lab
from tiny_data import make_all

from skeleton_lab import registry
from skeleton_lab.engine import logging as logs
from skeleton_lab.engine.dataloader import BatchPlan, make_loader
from skeleton_lab.engine.train import still_to_do


@pytest.fixture
def room(tmp_path) -> Path:
    return toy_room.make_room(tmp_path / "room")


@pytest.mark.parametrize("program", "CHGT")
def test_no_dictionary_and_no_line_twice(room, tmp_path, capsys, program):
    """Epochs have their own lines, so apart from the evaluations' no line comes twice."""
    feeder = room / "feeders" / "toy_feeder.py"
    notice = 'import logging; logging.getLogger("skeleton_lab").info("clips: data/x.npz does not exist, taking y")'
    feeder.write_text(feeder.read_text().replace("        rng =", f"        {notice}\n        rng =", 1))
    verb = ["recognition"] * (program == "T")
    more = ["--forward-batch-size", "4"] * (program == "G")
    line = toy_room.arguments(tmp_path / "work", *more, feeder="Pairs" if program == "T" else "Feeder")
    assert toy_room.call(room, [*verb, *line], program) == 0
    for text in (capsys.readouterr().out, (tmp_path / "work" / "log.txt").read_text()):
        lines = [re.sub(r"^\[.*?\] ", "", line) for line in text.splitlines()]
        assert max(map(len, lines)) < 250 and len(text) < 4000 and "{'" not in text
        again = [line for line, count in Counter(lines).items() if count > 1 and line.strip()]
        assert not [line for line in again if not re.match(r"\t|Time consumption|Done\.|Accuracy", line)], again
        assert sum("taking y" in line for line in lines) == 1
        assert str(tmp_path / "work" / "config.yaml") in text


def test_an_evaluation_beside_a_training_names_its_command_line(room, tmp_path, capsys):
    work = tmp_path / "work"
    assert toy_room.call(room, toy_room.arguments(work, "--save-epoch", "0")) == 0
    capsys.readouterr()
    flags = ("--phase", "test", "--weights", str(work / "runs-2-4.pt"))
    assert toy_room.call(room, toy_room.arguments(work, *flags)) == 0
    assert re.search(r"Parameters: --work-dir .* --phase test", capsys.readouterr().out)


@pytest.mark.parametrize("room", ["CTR-GCN", "ST-GCN"])
def test_a_missing_archive_is_refused_before_the_network_is_built(tmp_path, monkeypatch, capsys, room):
    lab = Lab(make_all(tmp_path), monkeypatch)
    built = []
    monkeypatch.setattr("skeleton_lab.engine.build.make_net", lambda *_: built.append(1))
    config, verb = {
        "CTR-GCN": ("config/nturgbd-cross-subject/default.yaml", ""),
        "ST-GCN": ("config/st_gcn/ntu-xsub/train.yaml", "recognition "),
    }[room]
    for split in ("train", "test"):
        flags = f"--config {config} --work-dir {tmp_path}/w --device cpu --{split}-feeder-args data_path=absent.npz"
        assert lab(room, verb + flags) == 2
        printed = capsys.readouterr()
        assert "absent.npz" in printed.err and printed.err.count("\n") == 1
        assert not built and "Parameters" not in printed.out


# ------------------------------------------------------------------------------------------------- the end of the run


def run_at(epoch: int, program: str = "C", **options) -> SimpleNamespace:
    """A run of 10 epochs of 100 batches in epoch ``epoch`` (0-based); one evaluation took 30 s."""
    settings = {"num_epoch": 10, "eval_start": 1, "eval_interval": 1} | options
    recipe = registry.find(program).recipe
    return SimpleNamespace(
        options=Namespace(**settings), state=SimpleNamespace(epoch=epoch, losses=torch.zeros(100)),
        loaders=SimpleNamespace(choose=object()), recipe=recipe, tests_best=recipe.final_test,
        clock=SimpleNamespace(evaluated=(2, 60.0)),
    )  # fmt: skip


def test_more_workers_than_cores_are_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_loader([0] * 4, BatchPlan(4, 2, shuffle=False), 512, torch.device("cpu"), 1)


def test_time_left_is_that_of_the_whole_run():
    """By hand: epochs behind this one x 100 batches x 0.5 s, and 30 s for each evaluation and the final test."""
    assert still_to_do(run_at(0), 0.5, 0) == 9 * 50 + 10 * 30 + 30
    assert still_to_do(run_at(9), 0.5, 9) == 30 + 30
    assert still_to_do(run_at(9), 0.5, 10) == 30, "in the last evaluation only the final test is left"
    assert still_to_do(run_at(4, eval_interval=5), 0.5, 4) == 5 * 50 + 2 * 30 + 30
    assert still_to_do(run_at(4, "G"), 0.5, 4) == 5 * 50 + 6 * 30, "MS-G3D has no final test"


def test_lines_and_bar_show_it(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: now[0])
    progress = logs.Progress("epoch 1/80", 100, 0, torch.device("cpu"), True, lambda each: 79 * 100 * each)
    for _ in range(31):
        now[0] += 1.0
        progress.advance(lambda: 1.5)
    assert "epoch 1/80: 30/100, 1.00 batches/s, 2 h 13 min left of the run, loss 1.5" in capsys.readouterr().err
    monkeypatch.setattr(logs.sys.stderr, "isatty", lambda: True, raising=False)
    progress = logs.Progress("epoch 1/80", 100, 0, torch.device("cpu"), True, lambda each: 79 * 100 * each)
    now[0] += 2.0
    progress.advance(None)
    assert "4 h 27 min left of the run" in str(progress.bar.postfix)
    assert "<" not in progress.form, "tqdm's own guess, of the epoch alone, is not shown"
    progress.close()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (89, "89 s"), (600, "10 min"), (7999, "2 h 13 min"), (200_000, "2 d 7 h")]
)
def test_durations(seconds, text):
    assert logs.duration(seconds) == text
