"""Streams of a study fused: against sums written out here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from skeleton_lab.ensemble.fusion import FITTED
from skeleton_lab.sweep import fusion, runs, state, study, table

NAMES = np.array([f"S001C001P{p:03d}R001A{a:03d}" for p in range(1, 11) for a in range(1, 4)])
LABELS = np.arange(30) % 3


def evaluation(folder: Path, logits: np.ndarray, order: np.ndarray) -> None:
    folder.mkdir(parents=True)
    np.savez(folder / "evaluation.npz", logits=logits[order], labels=LABELS[order], names=NAMES[order])


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """Three streams of one seed; the clips of each in an order of its own."""
    monkeypatch.chdir(tmp_path)
    content = {"out": "out", "rooms": ["PYSKL"], "streams": ["joint", "bone", "joint-motion"], "seeds": [1, 2]}
    Path("study.yaml").write_text(yaml.safe_dump(content))
    found, rng = runs.of(study.read(Path("study.yaml"))), np.random.default_rng(0)
    scores = [rng.standard_normal((30, 3)).astype(np.float32) + np.eye(3, dtype=np.float32)[LABELS] for _ in found]
    for run, logits in zip(found, scores):
        if run.seed == 1:
            evaluation(run.folder, logits, rng.permutation(30))
    return found, scores


def test_fixed_and_fitted_weights_stand_apart(finished):
    found, scores = finished
    states = [state.State(state.FINISHED if run.seed == 1 else state.WAITING) for run in found]
    (made,) = fusion.of(found, states)
    shares = [np.exp(x) / np.exp(x).sum(1, keepdims=True) for x, run in zip(scores, found) if run.seed == 1]
    assert made.name == "PYSKL-seed1" and made.weights == {"joint": 2.0, "bone": 2.0, "joint-motion": 1.0}
    total = 2 * shares[0] + 2 * shares[1] + shares[2]
    assert made.top1 == (total.argmax(1) == LABELS).mean()
    assert list(made.single.values()) == [(x.argmax(1) == LABELS).mean() for x in shares]
    again = sum(w * x for w, x in zip(made.fitted.values(), shares))
    assert made.fitted_top1 == (again.argmax(1) == LABELS).mean() >= made.top1
    text = fusion.write(Path("out"), [made]).read_text()
    assert FITTED in text
    assert "optimistic" in "\n".join(table.fused([made], Path("out/fusion.json")))


def test_a_stream_that_cannot_be_joined_is_said(finished):
    found, _ = finished
    states = [state.State(state.FINISHED)] * len(found)  # those of seed 2 have left nothing
    first, second = fusion.of(found, states)
    assert first.top1 is not None and second.top1 is None
    assert "there is none: the run has no test clips" in second.why
    assert any(second.why in line for line in table.fused([first, second], Path("f")))


def test_the_mean_over_seeds_has_a_deviation():
    made = [
        fusion.Fused(f"A-seed{n}", "A", n, {"joint": 1.0}, {"joint": 0.5}, top1, {"joint": 1.0}, 0.9)
        for n, top1 in enumerate((0.5, 0.6, 0.7))
    ]
    line = next(line for line in table.fused(made, Path("f")) if line.startswith("A, 3 seeds"))
    assert line.split()[-6:] == ["60.00", "±", "10.00", "90.00", "±", "0.00"]


def test_two_streams_and_those_without_weights_weigh_the_same():
    from skeleton_lab import registry

    recipe = registry.load("CTR-GCN", "ensemble.RECIPE")
    assert fusion.fixed(recipe, ["joint", "bone"]) == [1.0, 1.0]
    assert fusion.fixed(recipe, ["joint", "bone", "joint-motion"]) == [0.6, 0.6, 0.4]
    assert fusion.fixed(recipe, ["joint", "bone", "own"]) == [1.0, 1.0, 1.0]
