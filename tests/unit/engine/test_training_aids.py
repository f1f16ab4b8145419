"""--ema, --early-stopping, --save-best, --scale-lr: off they change nothing, on they do what they say, resumed too."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import toy_room
import yaml
from options_helpers import options

from skeleton_lab.engine import last_checkpoint, scaling
from skeleton_lab.engine.config.options import save
from skeleton_lab.errors import UsageError

# Clips of four subjects, of which some can be held out; ``kill``: a signal comes with the so manieth training clip.
HELD = """
import os
from types import SimpleNamespace

import numpy as np
from feeders.toy_feeder import Feeder as Toy

KILL, SEEN = {kill}, []


class Feeder(Toy):
    def __init__(self, split="train", **more):
        super().__init__(split=split, **more)
        self.clips = SimpleNamespace(data=self.data, subjects=np.arange(len(self.data)) // 4 % 4)
        self.training = split == "train"

    def restrict(self, rows):
        self.data = self.clips.data[rows]
        self.label, self.sample_name = ([values[i] for i in rows] for values in (self.label, self.sample_name))

    def __getitem__(self, i):
        SEEN.append(i) if self.training else None
        if len(SEEN) == KILL:
            os.kill(os.getpid(), 15)
        return super().__getitem__(i)
"""
STEPS, DECAY = 4, 0.6  # one step an epoch; the warm-up of the decay ends with the fifth


@pytest.fixture(scope="module")
def room(tmp_path_factory) -> Path:
    room = toy_room.make_room(tmp_path_factory.mktemp("room"))
    (room / "feeders" / "held.py").write_text(HELD.format(kill=-1))
    return room


def call(room: Path, work: Path, *more: str, program: str = "C", train: str = "n=20") -> int:
    flags = ("--num-epoch", str(STEPS), "--feeder", "feeders.held.Feeder", *more)
    verb = ["recognition"] if program == "T" else []
    return toy_room.call(room, [*verb, *toy_room.arguments(work, *flags, train=train)], program)


def log(work: Path) -> str:
    return (work / "log.txt").read_text()


# ------------------------------------------------------------------------------------------------------------ --ema

EVERY = ("--save-epoch", "0")
EMA = (*EVERY, "--ema", str(DECAY), "--save-best")


@pytest.fixture(scope="module")
def averaged(room, tmp_path_factory) -> Path:
    work = tmp_path_factory.mktemp("averaged")
    assert call(room, work, *EMA, train="n=10") == 0
    return work


@pytest.fixture(scope="module")
def plain(room, tmp_path_factory) -> Path:
    work = tmp_path_factory.mktemp("plain")
    assert call(room, work, *EVERY, train="n=10") == 0
    return work


def test_averages_are_those_of_the_formula(room, averaged, plain, tmp_path):
    """By NumPy, of the weights after every step; the training itself is the same to the bit."""
    still = ("--base-lr", "0", "--weight-decay", "0", "--num-epoch", "1")
    assert call(room, tmp_path / "start", *EVERY, *still, train="n=10") == 0
    average = {k: v.double().numpy() for k, v in toy_room.weights(tmp_path / "start" / "runs-1-1.pt").items()}
    average["norm.running_mean"], average["norm.running_var"] = np.zeros(15), np.ones(15)  # of a new batch norm
    for step in range(STEPS):
        own = toy_room.weights(averaged / f"runs-{step + 1}-{step + 1}.pt")
        assert toy_room.same(own, toy_room.weights(plain / f"runs-{step + 1}-{step + 1}.pt"))
        decay = min(DECAY, (1 + step) / (10 + step))
        found = toy_room.weights(averaged / "ema" / f"runs-{step + 1}-{step + 1}.pt")
        assert list(found) == list(own)
        for name, value in own.items():
            if name.endswith("num_batches_tracked"):
                assert found[name] == value == step + 1
                continue
            average[name] = decay * average[name] + (1 - decay) * value.double().numpy()
            np.testing.assert_allclose(found[name].numpy(), average[name], rtol=1e-5, atol=1e-6)


def test_averages_are_evaluated_and_tested(room, averaged, plain, tmp_path):
    events = {event["epoch"]: event for event in toy_room.events(averaged, "ema")}
    assert sorted(events) == [1, 2, 3, 4] and not toy_room.events(plain, "ema")
    assert [e["loss"] for e in toy_room.events(averaged, "eval")] == [e["loss"] for e in toy_room.events(plain, "eval")]
    result = toy_room.events(averaged, "result")[0]
    best = result["ema"]["best"]
    assert best["top1"] == max(event["top1"] for event in events.values()) and "ema" not in log(plain)
    assert result["ema"]["last"]["loss"] == events[4]["loss"]
    weights = averaged / "ema" / f"runs-{best['epoch']}-{best['step']}.pt"
    assert toy_room.same(toy_room.weights(weights), toy_room.weights(averaged / "ema" / "best.pt"))
    assert call(room, tmp_path / "tested", "--phase", "test", "--weights", str(weights)) == 0
    tested = toy_room.events(tmp_path / "tested", "eval")[0]
    assert (tested["top1"], tested["loss"]) == (best["top1"], pytest.approx(best["loss"], rel=1e-6))
    kept = [np.load(folder / "evaluation.npz") for folder in (averaged / "ema", tmp_path / "tested")]
    np.testing.assert_allclose(kept[0]["logits"], kept[1]["logits"], rtol=1e-5, atol=1e-6)
    assert kept[0]["epoch"] == kept[1]["epoch"] == best["epoch"]


@pytest.mark.slow
def test_a_resumed_average_is_the_same_to_the_bit(room, averaged, plain, tmp_path, capsys):
    """A signal in the middle of the run, between steps of an epoch of three."""
    work, whole = tmp_path / "work", tmp_path / "whole"
    assert call(room, whole, *EMA, train="n=25") == 0
    broken = toy_room.make_room(tmp_path / "broken")
    (broken / "feeders" / "held.py").write_text(HELD.format(kill=35))
    assert call(broken, work, *EMA, "--num-epoch", "4", train="n=25") == 143
    state = toy_room.weights(work / "last.ckpt")
    assert (state["state"]["epoch"], state["state"]["iteration"], state["average"]["updates"]) == (1, 2, 5)
    assert call(room, work, *EMA, "--resume", train="n=25") == 0
    for path in sorted((whole / "ema").glob("*.pt")):
        assert toy_room.same(toy_room.weights(path), toy_room.weights(work / "ema" / path.name)), path.name
    a, b = (toy_room.weights(folder / "last.ckpt")["average"] for folder in (whole, work))
    assert toy_room.same(a["weights"], b["weights"]) and a["updates"] == b["updates"] == 12 and a["last"] == b["last"]
    for other, flags in ((plain, EMA), (averaged, EVERY)):
        capsys.readouterr()
        assert call(room, other, *flags, "--resume", "--num-epoch", "5", train="n=10") == 2
        err = capsys.readouterr().err
        assert "ema was" in err and err.count("\n") == 1


def test_a_damaged_average_is_named(room, averaged, tmp_path, capsys):
    content = toy_room.weights(averaged / "last.ckpt")
    changed = dict(content, average={**content["average"], "updates": -1})
    work = tmp_path / "work"
    work.mkdir()
    last_checkpoint.save_last(work, {k: v for k, v in changed.items() if k not in ("format", "digest")})
    assert call(room, work, *EMA, "--resume", train="n=10") == 2
    err = capsys.readouterr().err
    assert "'average.updates' is not what it should be" in err and err.count("\n") == 1


# ----------------------------------------------------------------------------------- --early-stopping, --save-best

STILL = ("--base-lr", "0", "--model-args", "norm=False", "--num-epoch", "9")  # no epoch is better than the first
HOLD = ("--val-split", "subjects", "--val-share", "0.25")


@pytest.mark.slow
@pytest.mark.parametrize("program", ["C", "G"])
def test_a_training_without_progress_is_stopped(room, tmp_path, capsys, program):
    """The best epoch is measured on test data that chose nothing, in programs that publish no final test too."""
    work = tmp_path / "work"
    flags = (*STILL, *HOLD, "--ema", "0.5", "--forward-batch-size", "4", "--early-stopping")
    assert call(room, work, *flags, "2", program=program) == 0
    assert [event["epoch"] for event in toy_room.events(work, "epoch")] == [1, 2, 3]
    assert "Stopped early after epoch 3 of 9: no better accuracy on the validation split since epoch 1" in log(work)
    assert [path.name for path in work.rglob("*-3-*.pt") if "ema" not in path.parts[-2:]], "its last epoch's weights"
    result, kept = toy_room.events(work, "result")[0], np.load(work / "evaluation.npz")
    assert result["best"]["epoch"] == 1 and kept["names"].tolist() == [f"test_{i}" for i in range(13)]
    accuracy = (kept["logits"].argmax(1) == kept["labels"]).mean()
    assert result["best"]["top1"] == pytest.approx(accuracy) == result["last"]["top1"] == result["ema"]["best"]["top1"]
    capsys.readouterr()
    assert call(room, work, *flags, "2", "--resume", program=program) == 0
    assert "holds a finished run of 3 epochs, stopped early" in capsys.readouterr().out
    assert call(room, work, *flags, "4", "--resume", program=program) == 0
    assert "early_stopping was 2 and is 4 now: the run ends elsewhere" in capsys.readouterr().out
    assert [event["epoch"] for event in toy_room.events(work, "epoch")] == [1, 2, 3, 4, 5]


def test_early_stopping_needs_a_validation_split():
    with pytest.raises(UsageError, match=r"--early-stopping needs a validation split.*--val-split subjects") as error:
        options("C", "--early-stopping", "3")
    assert "\n" not in str(error.value)
    assert options("C", "--early-stopping", "3", "--val-split", "subjects").early_stopping == 3


@pytest.mark.slow
def test_the_best_weights_are_kept(room, tmp_path, capsys):
    """By the split that chooses; where that is the test set, the log says so."""
    chosen_by = "best.pt is chosen on the test set itself"
    for split, work in (("val", tmp_path / "val"), ("test", tmp_path / "test")):
        flags = HOLD if split == "val" else ()
        assert call(room, work, *EVERY, "--save-best", "--base-lr", "0.5", *flags) == 0
        events = toy_room.events(work, "eval")
        best = max(events, key=lambda event: (event["top1"], -event["epoch"]))["epoch"]
        assert {event["split"] for event in events} == {split}
        (weights,) = work.glob(f"runs-{best}-*.pt")
        assert toy_room.same(toy_room.weights(work / "best.pt"), toy_room.weights(weights))
        assert (chosen_by in log(work)) == (split == "test")
    capsys.readouterr()
    argv = toy_room.arguments(tmp_path / "none", "--save-best")
    at = argv.index("--test-feeder-args")
    assert toy_room.call(room, argv[:at] + argv[at + 2 :]) == 2
    assert "--save-best needs --test-feeder-args" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------- --scale-lr


def settled(world: int, *argv: str, earlier: dict | None = None):
    lines: list[str] = []
    given = options("S", "--work-dir", "w", "--batch-size", "8", "--base-lr", "0.1", "--min-lr", "0.01", *argv)
    scaling.settle(given, SimpleNamespace(team=SimpleNamespace(world=world), log=lines.append), earlier)
    return given, lines


def test_the_number_of_processes_changes_nothing_or_batch_and_rates(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given, lines = settled(3)
    assert (given.batch_size, given.base_lr, given.forward_batch_size) == (8, 0.1, None)
    assert re.match(r"Effective batch: 8 clips a step in 3 processes, base learning rate 0\.1: whatever", *lines)
    assert settled(1)[1] == [], "the log of a published run stays as it is"
    given, lines = settled(3, "--scale-lr", "linear", "--forward-batch-size", "4")
    assert (given.batch_size, given.forward_batch_size) == (24, 12)
    assert (given.base_lr, given.min_lr) == (pytest.approx(0.3), pytest.approx(0.03))
    assert "24 clips a step in 3 processes, base learning rate 0.3: --scale-lr linear: 3 times" in lines[0]
    save(given, tmp_path / "config.yaml")
    written = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert (written["batch_size"], written["scale_lr"]) == (24, "none"), "read again it is not applied twice"
    given, lines = settled(3, "--scale-lr", "linear", "--phase", "test", "--weights", "w.pt")
    assert given.batch_size == 8 and not lines


def test_another_number_of_processes_in_the_middle_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    earlier = {"options": {"batch_size": 16}, "circumstances": {"processes": 2}}
    assert settled(2, "--scale-lr", "linear", earlier=earlier)[0].batch_size == 16
    with pytest.raises(UsageError, match=r"had 2 process\(es\) and a batch of 16; .* 3 process\(es\) would make it 24"):
        settled(3, "--scale-lr", "linear", earlier=earlier)
    assert settled(3, earlier=earlier)[0].batch_size == 8, "without the flag the batch decides, not the processes"
