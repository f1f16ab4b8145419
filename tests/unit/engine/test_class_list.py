"""``--classes`` of the programs: training and evaluation on some of the classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from toy_room import arguments, call, make_room

from skeleton_lab.engine.config import class_list
from skeleton_lab.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", [3]),
        ("0-3,7", [0, 1, 2, 3, 7]),
        ("7 0-1", [0, 1, 7]),
        ("ntu60_55_5:unseen", [10, 11, 19, 26, 56]),
        ("ru5,0", [0, 10, 11, 19, 26, 56]),
        ("ntu60_55_5:val_unseen", [16, 21, 25, 31, 48]),
        ("rv10_0", [5, 10, 32, 61, 72, 74, 76, 77, 83, 96]),
    ],
)
def test_classes_of_a_text(text: str, expected: list[int]) -> None:
    found = class_list.parse(text)
    assert found.dtype == np.int64
    assert found.tolist() == expected


@pytest.mark.parametrize(("n", "s"), [(60, 5), (60, 12), (120, 10), (120, 24)])
def test_named_splits_are_those_of_the_zero_shot_programs(n: int, s: int) -> None:
    name = f"ntu{n}_{n - s}_{s}"
    seen, unseen = (class_list.parse(f"{name}:{side}").tolist() for side in ("seen", "unseen"))
    assert sorted(seen + unseen) == list(range(n))
    val_seen, val_unseen = (class_list.parse(f"{name}:{side}").tolist() for side in ("val_seen", "val_unseen"))
    assert sorted(val_seen + val_unseen) == seen
    assert class_list.parse(f"rs{n - s}").tolist() == seen


@pytest.mark.parametrize("text", ["", "3-1", "one", "-2", "ntu60_55_5", "ntu60_54_6:seen", "1.5", "0-99999999"])
def test_wrong_classes_are_one_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"--classes: '.*' names no classes"):
        class_list.parse(text)


RESTRICT = """
    def restrict(self, rows):
        self.label = [self.label[i] for i in rows]
        self.data = self.data[rows]
        self.sample_name = [self.sample_name[i] for i in rows]
"""


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    room = make_room(tmp_path / "room")
    feeder = room / "feeders" / "toy_feeder.py"
    feeder.write_text(feeder.read_text().replace("    def __len__", RESTRICT + "\n    def __len__"))
    return room


def test_training_and_evaluation_see_these_classes_alone(toy: Path, tmp_path: Path) -> None:
    work = tmp_path / "run"
    assert call(toy, arguments(work, "--classes", "1-2", train="n=44", test="n=13")) == 0
    made = np.load(work / "evaluation.npz")
    assert set(made["labels"]) == {1, 2}
    assert made["logits"].shape == (6, 4)  # all outputs stay
    config = yaml.safe_load((work / "config.yaml").read_text())
    assert config["classes"] == "1-2"

    (tmp_path / "own.yaml").write_text("classes: [1, 2]\n")
    other = tmp_path / "again"
    assert call(toy, arguments(other, "--config", str(tmp_path / "own.yaml"), train="n=44", test="n=13")) == 0
    np.testing.assert_array_equal(np.load(other / "evaluation.npz")["logits"], made["logits"])


@pytest.mark.slow
def test_resuming_with_other_classes_is_refused(toy: Path, tmp_path: Path, capsys) -> None:
    work = tmp_path / "run"
    assert call(toy, arguments(work, "--classes", "1-2", train="n=44")) == 0
    capsys.readouterr()
    argv = arguments(work, "--classes", "0-2", "--num-epoch", "3", "--resume", train="n=44")
    assert call(toy, argv) == 2
    assert "classes was '1-2' and is '0-2' now" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("chosen", "words"),
    [("0-4", "class 4 is not among the network's 0..3"), ("some", "'some' names no classes")],
)
def test_impossible_classes_are_one_line(toy: Path, tmp_path: Path, capsys, chosen: str, words: str) -> None:
    assert call(toy, arguments(tmp_path / "run", "--classes", chosen)) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.strip().count("\n") == 0


def test_a_feeder_that_cannot_be_restricted_is_told(tmp_path: Path, capsys) -> None:
    room = make_room(tmp_path / "room")
    assert call(room, arguments(tmp_path / "run", "--classes", "1")) == 2
    assert "has no method restrict(indices)" in capsys.readouterr().err
