"""predict.py --batch: folders of recordings in one table, which an interrupted batch goes on with."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from predict_bench import Bench, walkers
from sandbox import Lab
from tiny_data import make_all

from skeleton_lab import inference, registry
from skeleton_lab.errors import UsageError
from skeleton_lab.inference import batch, calibrated
from skeleton_lab.utils import locks

pytestmark = pytest.mark.slow
FLAGS = ("--keypoints", "coco17", "--window", "24", "--together", "--fps", "25")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_all(tmp_path_factory.mktemp("batch"))


@pytest.fixture
def bench(data, tmp_path, monkeypatch) -> Bench:
    return Bench(Lab(data, monkeypatch), "CTR-GCN", tmp_path)


def predict(bench: Bench, folder: Path, *more: str, flags: tuple[str, ...] = FLAGS) -> int:
    argv = ["--config", str(bench.config), "--weights", str(bench.weights), "--batch", str(folder), "--output",
            str(bench.output), *flags, *more]  # fmt: skip
    with registry.room(bench.room.folder):
        return inference.run(bench.room.recipe, str(bench.room.path / "predict.py"), argv)


def table(bench: Bench) -> list[dict[str, str]]:
    with open(bench.output / batch.TABLE, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_folder_becomes_one_table_and_is_gone_on_with(bench, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "films"
    (folder / "monday").mkdir(parents=True)
    np.save(folder / "a.npy", walkers(50, 1))
    np.save(folder / "monday" / "b.npy", walkers(30, 1))
    (folder / "torn.jsonl").write_text('{"frames": [')
    (folder / "notes.txt").write_text("no recording")
    asked: list[str] = []
    whole = batch.predict

    def stopped(network, given, wishes, config):
        asked.append(given.name)
        if given.name == "b.npy":
            raise KeyboardInterrupt
        return whole(network, given, wishes, config)

    monkeypatch.setattr(batch, "predict", stopped)
    assert predict(bench, folder) == 130
    assert asked == ["a.npy", "torn.jsonl", "b.npy"]
    first = [row for row in table(bench) if row["file"] == "a.npy"]
    assert [(row["first_frame"], row["last_frame"], row["end_s"]) for row in first][:1] == [("0", "23", "0.96")]
    with open(bench.output / batch.JOURNAL, "a") as file:
        file.write('{"name": "monday/b.npy", "state"')  # a crash

    monkeypatch.setattr(batch, "predict", lambda *given: asked.append(given[1].name) or whole(*given))
    asked.clear()
    capsys.readouterr()
    assert predict(bench, folder) == 0
    said = capsys.readouterr().out
    assert asked == ["torn.jsonl", "b.npy"], "what is done is not asked again, what could not be read is"
    assert "2 of 3 recordings are done, 1 of them earlier" in said and "not read: torn.jsonl" in said
    rows = table(bench)
    assert [row for row in rows if row["file"] == "a.npy"] == first
    [torn] = [row for row in rows if row["error"]]
    assert torn["file"] == "torn.jsonl" and not torn["class1"]
    assert {row["file"] for row in rows} == {"a.npy", "torn.jsonl", "monday/b.npy"}

    assert bench(" ".join(FLAGS), folder / "a.npy") == 0, "the same words as of that file alone"
    [clip] = bench.result()["clips"]
    alone = [[each["name"] for each in window["top"]] for window in clip["windows"]]
    assert alone == [[row[f"class{k}"] for k in range(1, 6)] for row in first]

    asked.clear()
    np.save(folder / "a.npy", walkers(26, 1))
    (folder / "torn.jsonl").unlink()
    assert predict(bench, folder) == 0 and asked == ["a.npy"], "a file that has changed is asked again"
    assert [row["last_frame"] for row in table(bench) if row["file"] == "a.npy"] == ["25"]

    capsys.readouterr()
    for more, told in (
        (("--fps", "30"), "holds a batch with another fps"),
        (("--index", "0"), "--index is for one archive"),
        (("--input", "x.npy"), "not allowed with argument"),
    ):
        assert predict(bench, folder, *more) == 2
        error = capsys.readouterr().err
        assert told in error and error.count("\n") == 1, error
    assert len(table(bench)) == len({tuple(row.values()) for row in table(bench)}) == 3, "windows of two files"


def test_probabilities_of_one_table_are_all_calibrated_or_none(bench, tmp_path, capsys):
    folder, plain = tmp_path / "films", bench.output
    folder.mkdir()
    np.save(folder / "a.npy", walkers(24, 1))
    assert predict(bench, folder) == 0
    [before] = table(bench)
    told = {"temperature": 1e4, "classes": None, "reject": {"score": "energy", "threshold": 1e6}}
    told |= {"digest": calibrated.digest(bench.weights), "weights": bench.weights.name}
    (bench.weights.parent / calibrated.FILE).write_text(json.dumps(told))
    np.save(folder / "b.npy", walkers(24, 1))
    capsys.readouterr()
    assert predict(bench, folder) == 2 and "a batch with another calibration" in capsys.readouterr().err
    bench.output = tmp_path / "calibrated"
    assert predict(bench, folder) == 0
    first, second = table(bench)
    assert {before["known"], first["known"], second["known"]} == {"", "perhaps not"} and not before["known"]
    assert first["class1"] == before["class1"] and float(first["p1"]) < float(before["p1"])
    assert plain != bench.output and first["p1"] == second["p1"]


def test_what_cannot_be_is_said(bench, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert predict(bench, tmp_path / "empty") == 2
    assert "there is no recording in it" in capsys.readouterr().err
    (tmp_path / "empty" / "x.npy").write_bytes(b"")
    assert predict(bench, tmp_path / "empty") == 2
    assert "none of its 1 recordings can be read; " in capsys.readouterr().err
    with locks.locked(bench.output / f".{batch.JOURNAL}.lock", lambda who: UsageError(who)):
        assert predict(bench, tmp_path / "empty") == 2
    assert "another process (process " in capsys.readouterr().err, "two at once would mix their rows"
    assert predict(bench, tmp_path / "nowhere") == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_journal_of_another_kind_is_not_written_over(tmp_path):
    path = tmp_path / batch.JOURNAL
    path.write_text(json.dumps({"settings": {"weights": "a"}}) + "\n")
    with pytest.raises(UsageError, match="another weights"):
        batch.Journal(path, {"weights": "b"})
    assert json.loads(path.read_text()) == {"settings": {"weights": "a"}}
