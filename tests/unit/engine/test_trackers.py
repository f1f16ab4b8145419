"""--track: what a tracker is told, one that fails, and W&B and MLflow themselves, offline, where they are installed."""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import toy_room
from told_tracker import TOLD, Told

from skeleton_lab.engine import trackers


@pytest.fixture(scope="module")
def room(tmp_path_factory) -> Path:
    return toy_room.make_room(tmp_path_factory.mktemp("room"))


@pytest.fixture
def told(monkeypatch):
    """``--track wandb`` is ``Told``; neither package is looked for."""
    TOLD.clear()
    monkeypatch.setitem(trackers.KINDS, "wandb", (Told, "Told"))
    monkeypatch.setitem(sys.modules, "wandb", object())
    return TOLD


def points(work: Path) -> dict[str, list[float]]:
    """The curves' values of every epoch by metrics.jsonl."""
    trained, tested = toy_room.events(work, "epoch"), toy_room.events(work, "eval")
    return {"val/loss": [e["loss"] for e in tested], "val/acc": [e["top1"] for e in tested],
            "train/epoch": [e["epoch"] - 1 for e in trained]}  # fmt: skip


@pytest.mark.parametrize("program", ["C", "T"])
def test_a_tracker_hears_what_tensorboard_hears(room, told, tmp_path, program):
    """Of programs that write no TensorBoard too; a resumed run goes on under its id."""
    work, verb = tmp_path / "mine", ["recognition"] if program == "T" else []
    argv = [*verb, *toy_room.arguments(work, "--track", "wandb", "--eval-interval", "1", "--nesterov", "False")]
    assert toy_room.call(room, argv, program) == 0
    assert told[0] == ("open", "mine", 0.1, None) and [entry[0] for entry in told[-2:]] == ["result", "close"]
    heard = [entry[2] for entry in told if entry[0] == "add"]
    for name, expected in points(work).items():
        assert [values[name] for values in heard if name in values] == expected
    losses = [values["train/loss"] for values in heard if "train/loss" in values]
    means = [event["loss"] for event in toy_room.events(work, "epoch")]
    assert [sum(losses[i : i + 2]) / 2 for i in (0, 2)] == pytest.approx(means)
    result = toy_room.events(work, "result")[0]
    assert told[-2][1]["best/top1"] == result["best"]["top1"] and told[-2][1]["last/loss"] == result["last"]["loss"]
    told.clear()
    assert toy_room.call(room, [*argv, "--resume", "--num-epoch", "3"], program) == 0
    assert told[0][3] == "one" and [entry[2]["val/loss"] for entry in told if "val/loss" in str(entry)] == [
        toy_room.events(work, "eval")[2]["loss"]
    ]


@pytest.mark.parametrize("method", ["open", "add", "close"])
def test_a_tracker_that_fails_ends_alone(room, told, tmp_path, monkeypatch, method):
    monkeypatch.setattr(Told, "fails", method)
    work = tmp_path / "work"
    assert toy_room.call(room, toy_room.arguments(work, "--track", "wandb")) == 0
    said = [line for line in (work / "log.txt").read_text().splitlines() if "--track wandb" in line]
    assert len(said) == 1 and said[0].endswith("ConnectionError: no server; the run goes on without it")
    assert toy_room.events(work, "result")
    assert len([entry for entry in told if entry[0] == "add"]) == {"open": 0, "add": 1, "close": 8}[method]


def test_an_interrupted_run_is_closed_without_a_result(room, told, tmp_path):
    assert toy_room.call(room, toy_room.arguments(tmp_path, "--track", "wandb", "--model-args", "poison=4")) == 1
    assert told[-1] == ("close",) and not [entry for entry in told if entry[0] == "result"]


def test_a_package_that_is_missing_is_one_line(room, tmp_path, monkeypatch, capsys):
    for kind in ("wandb", "mlflow"):
        monkeypatch.setitem(sys.modules, kind, None)
        assert toy_room.call(room, toy_room.arguments(tmp_path / "work", "--track", kind)) == 2
        err = capsys.readouterr().err
        assert f"pip install 'skeleton-lab[{kind}]'" in err and err.count("\n") == 1
    assert not (tmp_path / "work" / "config.yaml").exists()


@pytest.fixture
def alone(monkeypatch):
    """Neither a server nor a login, whatever this machine has."""
    for name in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", os.devnull)


@pytest.mark.slow
def test_mlflow_keeps_the_run_in_a_file(room, tmp_path, alone):
    tracking = pytest.importorskip("mlflow.tracking")
    work = tmp_path / "work"
    argv = toy_room.arguments(work, "--track", "mlflow")
    assert toy_room.call(room, argv) == 0
    client = tracking.MlflowClient(f"sqlite:///{work}/mlflow.db")
    identity = json.loads((work / "tracking.json").read_text())["mlflow"]
    run = client.get_run(identity)
    assert (run.info.run_name, run.info.status, run.data.params["base_lr"]) == ("work", "FINISHED", "0.1")
    assert run.data.metrics["best/top1"] == toy_room.events(work, "result")[0]["best"]["top1"]
    assert toy_room.call(room, [*argv, "--resume", "--num-epoch", "3"]) == 0
    for name, expected in points(work).items():
        assert [point.value for point in client.get_metric_history(identity, name)] == expected, "once each, in one run"
    assert client.get_run(identity).info.status == "FINISHED"


def records(data: bytes) -> Iterator[bytes]:
    """Of a log as LevelDB writes it: behind 7 bytes, pieces of checksum, length, kind; kinds 1 and 4 end a record."""
    at, whole = 7, b""
    while at + 7 <= len(data):
        if (left := 2**15 - at % 2**15) < 7:  # the rest of a block
            at += left
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        whole, at = whole + data[at + 7 : at + 7 + length], at + 7 + length
        if kind in (1, 4):
            yield whole
            whole = b""


@pytest.mark.slow
def test_wandb_writes_files_where_nobody_is_logged_in(room, tmp_path, alone):
    pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    work = tmp_path / "work"
    assert toy_room.call(room, toy_room.arguments(work, "--track", "wandb")) == 0
    assert "--track wandb: no WANDB_API_KEY and no login: offline" in (work / "log.txt").read_text()
    (file,) = work.glob("wandb/offline-run-*/*.wandb")
    record, values, settings = Record(), {}, {}
    for data in records(file.read_bytes()):
        record.ParseFromString(data)
        for item in record.history.item:
            name = item.key or "/".join(item.nested_key)
            values.setdefault(name, []).append(json.loads(item.value_json))
        settings |= {update.key: json.loads(update.value_json) for update in record.run.config.update}
    assert settings["base_lr"] == 0.1
    for name, expected in points(work).items():
        assert values[name] == expected
