"""Mistakes in folders and flags of the zero-shot programs are one line; foreign gates are read without running them."""

from __future__ import annotations

import os
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from zero_shot_folder import LE, copied, flags, one_error, write

from skeleton_lab.zero_shot.align import program as programs
from skeleton_lab.zero_shot.gate import gate
from skeleton_lab.zero_shot.gate import program as gating


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("zero_shot"))


def damage(folder: Path, fault: str) -> None:
    """One fault in the features of phase train."""
    place = folder / "sk_feats" / "shift_5_r"
    train, labels = np.load(place / "train.npy"), np.load(place / "train_label.npy")
    if fault == "no folder":
        place.rename(place.with_name("elsewhere"))
    elif fault == "no file":
        (place / "z_label.npy").unlink()
    elif fault == "other layout":
        for name in ("gtest", "g_label"):
            (place / f"{name}.npy").rename(place / f"{name.replace('gtest', 'val').replace('g_', 'val_')}.npy")
    elif fault == "rank":
        np.save(place / "train.npy", train[:, None])
    elif fault == "nan":
        train[3, 2] = np.nan
        np.save(place / "train.npy", train)
    elif fault == "rows":
        np.save(place / "train_label.npy", labels[:-1])
    elif fault == "range":
        labels[0] = 60
        np.save(place / "train_label.npy", labels)
    elif fault == "leak":
        labels[0] = 10
        np.save(place / "train_label.npy", labels)
    elif fault == "not unseen":
        np.save(place / "z_label.npy", np.zeros(30, np.int64))
    elif fault == "width":
        np.save(place / "ztest.npy", np.zeros((30, 25), np.float32))
    elif fault == "cut":
        (place / "gtest.npy").write_bytes((place / "gtest.npy").read_bytes()[:-9])
    elif fault == "text rows":
        np.save(folder / "text_feats" / LE / "lb_60.npy", np.ones((59, 32), np.float32))
    elif fault == "text missing":
        (folder / "text_feats" / LE / "lb_60.npy").unlink()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no folder", "mount"), ("no file", "z_label.npy is missing"), ("other layout", "--phase val"),
        ("rank", "train.npy: shape (330, 1, 24)"), ("nan", "row 3"), ("rows", "330 rows, train_label.npy 329"),
        ("range", "label 60, outside 0..59"), ("leak", "--allow-leak"), ("not unseen", "class 0 is not an"),
        ("width", "width 25"), ("cut", "gtest.npy is cut short"), ("text rows", "59 rows instead of 60"),
        ("text missing", "lb_60.npy is missing"),
    ],
)  # fmt: skip
def test_faults_in_folders(fault, said, given, tmp_path, capsys):
    place = copied(given, tmp_path)
    damage(place, fault)
    assert programs.train("msf", flags(place, tmp_path)) == 2
    assert said in one_error(capsys)


@pytest.mark.slow
def test_leak_can_be_allowed(given, tmp_path):
    place = copied(given, tmp_path)
    damage(place, "leak")
    assert programs.train("msf", [*flags(place, tmp_path, num_cycles=1), "--allow-leak"]) == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"ss": 7}, "no label split 'rs53'"), ({"latent_size": 0}, "--latent_size"), ({"tm": "lb__ad"}, "--tm"),
        ({"lmd": 0}, "--lmd"), ({"use_cr_fact": 2}, "--use_cr_fact"), ({"resume": True, "load_epoch": 1}, "--resume"),
        ({"wdir": "/proc/none"}, "--wdir"), ({"load_epoch": 29}, "--load_epoch 29"),
    ],
)  # fmt: skip
def test_faults_in_flags(more, said, given, tmp_path, capsys):
    assert programs.train("fsvae", flags(given, tmp_path, **more)) == 2
    assert said in one_error(capsys)


def test_gate_faults(given, tmp_path, capsys):
    shared = ["--ss", "5", "--le", LE, "--tm", "lb", "--ntu", "60", "--wdir", str(tmp_path / "5_r_val")]
    val = given / "sk_feats" / "shift_val_5_r"
    assert gating.gating_train([*shared, "--dataset", str(val)]) == 2
    assert "stage 2" in one_error(capsys)
    folder = tmp_path / "5_r_val" / LE / "lb"
    folder.mkdir(parents=True)
    np.save(folder / "MSF_5_r_unseen_zs.npy", np.full((30, 5), 0.2, np.float32))
    np.save(folder / "MSF_5_r_seen_zs.npy", np.full((299, 5), 0.2, np.float32))
    assert gating.gating_train([*shared, "--dataset", str(val)]) == 2
    assert "299 rows" in one_error(capsys)
    np.save(folder / "MSF_5_r_seen_zs.npy", np.full((300, 5), 0.2, np.float32))
    assert gating.gating_train([*shared, "--dataset", str(given / "sk_feats" / "shift_5_r")]) == 2
    assert "val_out.npy is missing" in one_error(capsys)
    assert gating.gating_train([*shared, "--dataset", str(val), "--th", "101"]) == 2
    assert "--th" in one_error(capsys)


class LogisticRegression:
    """Pickled under scikit-learn's name below."""


@pytest.mark.parametrize(("kind", "factor"), [("multinomial", 2), ("auto", 1)])
def test_published_gates_are_read(kind, factor, tmp_path, monkeypatch):
    """A pickle of scikit-learn's class, without scikit-learn."""
    module = types.ModuleType("sklearn.linear_model._logistic")
    module.LogisticRegression = LogisticRegression
    for name in ("sklearn", "sklearn.linear_model"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(LogisticRegression, "__module__", module.__name__)
    model = LogisticRegression()
    model.coef_, model.intercept_, model.multi_class = np.arange(10.0)[None], np.array([0.5]), kind
    path = tmp_path / "gating_model.pkl"
    path.write_bytes(pickle.dumps(model))
    monkeypatch.undo()
    found = gate.load(path, 5)
    assert np.array_equal(found.coef, factor * np.arange(10.0)) and found.intercept == 0.5 * factor


def test_hostile_gate_is_not_run(tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    (tmp_path / "gate.pkl").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(Exception, match="plain data"):
        gate.load(tmp_path / "gate.pkl", 5)
    assert not (tmp_path / "made").exists()
