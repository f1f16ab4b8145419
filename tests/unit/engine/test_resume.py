"""Stopping a training in every way there is, and going on as if nothing had happened."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import toy_room

# Dropout and NumPy noise draw random numbers; 8 batches of at least 60 ms make an epoch, saved after each of them.
FLAGS = ("--batch-size", "4", "--num-epoch", "3", "--checkpoint-minutes", "0")
TAIL = "runs-3-24.pt"


def arguments(work: Path, *more: str) -> list[str]:
    return toy_room.arguments(work, *FLAGS, *more, train="n=34", test="n=5")


@pytest.fixture(scope="module")
def room(tmp_path_factory) -> Path:
    return toy_room.make_room(tmp_path_factory.mktemp("room"))


def finish(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def unbroken(room, tmp_path_factory) -> Path:
    work = tmp_path_factory.mktemp("unbroken")
    assert toy_room.call(room, arguments(work)) == 0
    return work


def place(work: Path) -> tuple[int, int]:
    """Epoch and batch of last.ckpt."""
    state = toy_room.weights(work / "last.ckpt")["state"]
    return state["epoch"], state["iteration"]


def wait_for(work: Path, epoch: int, batch: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if (work / "last.ckpt").exists() and place(work) >= (epoch, batch):
            return
        time.sleep(0.005)
    raise AssertionError("the training does not get on")


@pytest.fixture
def slow_room(tmp_path) -> Path:
    """The same room, fed slowly: the options of the run stay the same."""
    room = toy_room.make_room(tmp_path / "slow")
    feeder = room / "feeders" / "toy_feeder.py"
    feeder.write_text(feeder.read_text().replace("time.sleep(self.delay)", "time.sleep(0.015)"))
    return room


@pytest.mark.slow
def test_kill_at_a_random_moment_changes_nothing(slow_room, room, unbroken, tmp_path, capsys):
    work = tmp_path / "work"
    process = toy_room.start(slow_room, arguments(work))
    wait_for(work, 0, 2)
    time.sleep(random.Random().uniform(0.0, 0.9))
    process.kill()
    assert finish(process)[0] == -signal.SIGKILL
    epoch, batch = place(work)
    assert (0, 2) <= (epoch, batch) < (3, 0)
    assert toy_room.call(room, arguments(work, "--resume")) == 0
    assert f"at epoch {epoch + 1}, batch {batch + 1}" in capsys.readouterr().out
    assert toy_room.same(toy_room.weights(unbroken / TAIL), toy_room.weights(work / TAIL)), (epoch, batch)
    for kind in ("epoch", "eval"):  # what was logged is the same too, once
        a, b = toy_room.events(unbroken, kind), toy_room.events(work, kind)
        assert [(e["epoch"], e["loss"]) for e in a] == [(e["epoch"], e["loss"]) for e in b]
    a, b = (toy_room.events(w, "result")[0] for w in (unbroken, work))
    assert (a["best"], a["last"]) == (b["best"], b["last"])
    assert toy_room.call(room, arguments(work, "--resume")) == 0
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("foreground")
@pytest.mark.parametrize(("signum", "expected", "workers"), [(signal.SIGTERM, 143, "0"), (signal.SIGINT, 130, "1")])
def test_signals_save_and_stop(slow_room, room, unbroken, tmp_path, signum, expected, workers):
    work = tmp_path / "work"
    process = toy_room.start(slow_room, arguments(work, "--num-worker", workers))
    wait_for(work, 1, 3)
    process.send_signal(signum)
    code, _, err = finish(process)
    assert code == expected, err
    assert (
        err.strip().splitlines()[-1].startswith(f"stopped by {signal.Signals(signum).name}") and "Traceback" not in err
    )
    code, _, err = finish(toy_room.start(room, arguments(work, "--resume")))
    assert code == 0, err
    assert toy_room.same(toy_room.weights(unbroken / TAIL), toy_room.weights(work / TAIL))


@pytest.mark.slow
def test_a_signal_during_an_evaluation(tmp_path, unbroken):
    """The trained epoch is kept; resuming starts with its evaluation."""
    room, work = toy_room.make_room(tmp_path / "room"), tmp_path / "work"
    feeder = room / "feeders" / "toy_feeder.py"
    plain = feeder.read_text()
    kill = "if self.sample_name[0] == 'test_0': import os; os.kill(os.getpid(), 15)"
    feeder.write_text(plain.replace("time.sleep(self.delay)", kill))
    assert toy_room.call(room, [*arguments(work), "--checkpoint-minutes", "9"]) == 143
    assert place(work) == (0, 8)
    feeder.write_text(plain)
    assert toy_room.call(room, arguments(work, "--resume")) == 0
    assert toy_room.same(toy_room.weights(unbroken / TAIL), toy_room.weights(work / TAIL))
    losses = [[event["loss"] for event in toy_room.events(w, "epoch")] for w in (unbroken, work)]
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_more_epochs_and_other_options(room, unbroken, tmp_path, capsys):
    """A finished run may go on to a later epoch; what decides the numbers must stay."""
    work = tmp_path / "work"
    assert toy_room.call(room, [*arguments(work), "--num-epoch", "2"]) == 0
    capsys.readouterr()
    assert toy_room.call(room, arguments(work, "--resume", "--base-lr", "0.2")) == 2
    err = capsys.readouterr().err
    assert "base_lr was 0.1 and is 0.2" in err and err.count("\n") == 1
    assert toy_room.call(room, [*arguments(work, "--resume"), "--num-epoch", "1"]) == 2
    assert "--num-epoch 1" in capsys.readouterr().err
    assert toy_room.call(room, [*arguments(work, "--resume"), "--num-epoch", "3"]) == 0
    assert toy_room.same(toy_room.weights(unbroken / TAIL), toy_room.weights(work / TAIL))
    assert len(toy_room.events(work, "result")) == 1


def test_a_damaged_checkpoint_is_named(room, unbroken, tmp_path, capsys):
    work = tmp_path / "work"
    work.mkdir()
    (work / "last.ckpt").write_bytes((unbroken / "last.ckpt").read_bytes()[:5000])
    assert toy_room.call(room, arguments(work, "--resume")) == 2
    err = capsys.readouterr().err
    assert "last.ckpt" in err and err.count("\n") == 1, err
