"""FreqMixFormer's ensemble: six streams, weights searched."""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys

import numpy as np
import pytest
from packaging.requirements import Requirement
from places import ROOT
from score_files import K, N, published, write

from skeleton_lab.ensemble.fusion import search
from skeleton_lab.ensemble.program import FITTED

SIX = {
    "joint": "joint", "bone": "bone", "joint-motion": "joint-motion", "bone-motion": "bone-motion",
    "joint-k2": "k2", "joint-motion-k2": "motion-k2",
}  # fmt: skip


@pytest.fixture
def six(lab, monkeypatch):
    """The lab with two more streams, and a search short enough for a test."""
    pytest.importorskip("skopt")
    monkeypatch.setattr("skeleton_lab.ensemble.fusion.EVALUATIONS", 14)
    rng = np.random.default_rng(4)
    for name in ("k2", "motion-k2"):
        logits = rng.normal(size=(N, K)) + np.eye(K)[lab.labels]
        lab.scores[name] = {f"test_{i}": row.astype(np.float32) for i, row in enumerate(logits)}
        (lab.folder / name).mkdir()
        write(lab.folder / name, lab.scores[name])
    return lab


@pytest.mark.slow
def test_the_search_prints_the_published_lines(six):
    code, out, _ = six("--json", str(six.folder / "result.json"), streams=SIX, room="FreqMixFormer")
    assert code == 0
    lines = out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"{FITTED}: the search"))
    tried = [float(line) for line in lines[start + 1 : start + 15]]
    weights = json.loads(re.fullmatch(r"Optimal weights: (\[.*\])", lines[start + 16])[1])
    top1, top5 = published([six.scores[name] for name in SIX.values()], six.labels, weights)
    assert lines[start + 15] == f"Maximum accuracy: {top1:.4f}%"
    assert len(weights) == 6 and all(0.2 <= weight <= 1.2 for weight in weights)
    assert 100 * max(tried) == pytest.approx(top1)
    assert lines[-1] == f"{FITTED}: top-1 {top1:.2f}%, top-5 {top5:.2f}%"
    # Before it, and apart: the plain sum, fitted to nothing.
    equal1, equal5 = published([six.scores[name] for name in SIX.values()], six.labels, [1] * 6)
    assert lines[start - 2 : start] == [f"Top1 Acc: {equal1:.4f}%", f"Top5 Acc: {equal5:.4f}%"]
    result = json.loads((six.folder / "result.json").read_text())
    assert result["ensemble"]["top1"] == pytest.approx(equal1 / 100)
    assert result["fitted"]["note"] == FITTED and list(result["fitted"]["weights"].values()) == weights


@pytest.mark.slow
def test_the_search_is_the_published_one(six, monkeypatch):
    """Same bounds, number of evaluations and seed as in the published call, and two runs give one answer."""
    import skopt

    calls = []
    minimize = skopt.gp_minimize

    def noted(function, space, **settings):
        calls.append((space, settings))
        return minimize(function, space, **settings)

    monkeypatch.setattr(skopt, "gp_minimize", noted)
    first = six(streams=SIX, room="FreqMixFormer")
    assert calls == [([(0.2, 1.2)] * 6, {"n_calls": 14, "random_state": 0})]
    assert six(streams=SIX, room="FreqMixFormer") == first
    monkeypatch.undo()
    from skeleton_lab.ensemble import fusion

    assert fusion.EVALUATIONS == 200


@pytest.mark.slow
def test_the_search_is_tested_with_the_pinned_versions():
    """Equal weights for equal seeds hold within one set of versions; these tests are to run with that set."""
    pytest.importorskip("skopt")
    lines = [line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    wanted = [Requirement(line) for line in lines if line.startswith(("scikit-optimize", "scikit-learn"))]
    assert {each.name for each in wanted} == {"scikit-optimize", "scikit-learn"}
    assert all(str(each.specifier).startswith("==") for each in wanted)
    pins = {e.name: str(e.specifier)[2:] for e in wanted if e.marker is None or e.marker.evaluate()}
    installed = {name: importlib.metadata.version(name) for name in pins}
    if installed != pins:
        pytest.skip(f"not the pinned versions: {installed}")
    scores = np.random.default_rng(0).normal(size=(2, 40, K)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skeleton_lab.ensemble.fusion.EVALUATIONS", 12)
        tried = [[], []]
        assert len({tuple(search(scores, np.arange(40) % K, run.append)) for run in tried}) == 1
    assert tried[0] == tried[1] and len(tried[0]) == 12


@pytest.mark.slow
def test_the_search_takes_two_streams_as_well(six):
    code, out, _ = six(streams=("joint", "bone"), room="FreqMixFormer")
    assert code == 0 and "Maximum accuracy: " in out


@pytest.mark.parametrize("flags", [("--weights", *"123456"), ("--fit",)])
def test_without_scikit_optimize(six, monkeypatch, flags):
    monkeypatch.setitem(sys.modules, "skopt", None)
    code, out, err = six(streams=SIX, room="FreqMixFormer")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "scikit-optimize" in err and "skeleton-lab[search]" in err and all(flag in err for flag in flags[:1])
    code, out, _ = six(*flags, streams=SIX, room="FreqMixFormer")
    weights = range(1, 7) if len(flags) > 1 else [1] * 6
    top1, _ = published([six.scores[name] for name in SIX.values()], six.labels, weights)
    assert code == 0 and f"Top1 Acc: {top1:.4f}%" in out and "Maximum" not in out
    assert (FITTED in out) == (flags == ("--fit",))
