"""Calibration of probabilities and scores for unknown classes, against SciPy and plain loops over the clips."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import mannwhitneyu

from skeleton_lab.errors import UsageError
from skeleton_lab.utils import unknown
from skeleton_lab.utils.reliability import Reliability, fitted_temperature, measured, probabilities


def clips(count: int = 500, classes: int = 7, scale: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits times ``scale``, and labels drawn from the softmax of the logits before: calibrated where it is 1."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, classes))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(1)  # a draw of the softmax
    return (scale * logits).astype(np.float32), labels


def ece(p: np.ndarray, labels: np.ndarray, bins: int) -> float:
    """Guo et al. 2017, equation 3, clip by clip."""
    total = 0.0
    for m in range(1, bins + 1):
        inside = [n for n in range(len(p)) if (m - 1) / bins < max(p[n]) <= m / bins]
        if inside:
            accuracy = sum(p[n].argmax() == labels[n] for n in inside) / len(inside)
            total += len(inside) * abs(accuracy - sum(max(p[n]) for n in inside) / len(inside))
    return total / len(p)


@pytest.mark.parametrize("temperature", [1.0, 0.3, 4.0])
@pytest.mark.parametrize("bins", [15, 4])
def test_the_figures_are_those_of_the_definitions(temperature, bins):
    logits, labels = clips()
    p = softmax(logits.astype(float) / temperature, 1)
    found = measured(logits, labels, temperature, bins)
    assert found.ece == pytest.approx(ece(p, labels, bins), rel=1e-9)
    assert found.nll == pytest.approx(-log_softmax(logits.astype(float) / temperature, 1)[range(500), labels].mean())
    assert found.brier == pytest.approx(np.mean([((row - np.eye(7)[y]) ** 2).sum() for row, y in zip(p, labels)]))
    assert found.top1 == (p.argmax(1) == labels).mean() and found.mean_confidence == pytest.approx(p.max(1).mean())
    assert sum(found.count) == found.samples == 500
    np.testing.assert_allclose(probabilities(logits, temperature), p, rtol=1e-12)
    assert Reliability.of_json(found.as_json()) == found


def test_one_right_clip_of_two_equal_chances():
    found = measured(np.zeros((1, 2), np.float32), np.array([0]))
    assert (found.top1, found.mean_confidence, found.ece) == (1, 0.5, 0.5)
    assert found.brier == 0.5 and found.nll == pytest.approx(np.log(2))


def test_certain_and_wrong_is_finite():
    found = measured(np.array([[1e4, 0.0]]), np.array([1]))
    assert found.nll == pytest.approx(1e4) and found.brier == pytest.approx(2) and found.ece == 1


def test_chance_alone_is_told_from_miscalibration():
    """The bars of a calibrated network hold its accuracies, and its ECE is what chance makes; not so of another."""
    for scale, calibrated in ((1, True), (4, False)):
        found = [measured(*clips(1000, scale=scale, seed=seed)) for seed in range(5)]
        inside = [low <= accuracy <= high for each in found for low, accuracy, high, count in
                  zip(each.low, each.accuracy, each.high, each.count) if count > 15]  # fmt: skip
        assert bool(np.mean(inside) > 0.9) is calibrated
        ratio = np.mean([each.ece for each in found]) / np.mean([each.ece_calibrated for each in found])
        assert 0.8 < ratio < 1.25 if calibrated else ratio > 4


@pytest.mark.parametrize("scale", [0.2, 1.0, 3.0, 1e-4, 1e4])
def test_the_temperature_is_that_of_an_optimiser(scale):
    logits, labels = clips(scale=scale)
    z = logits.astype(float)

    def nll(log: float) -> float:
        return -log_softmax(z / np.exp(log), 1)[range(len(z)), labels].mean()

    best = minimize_scalar(nll, bracket=(np.log(scale), np.log(scale) + 0.5), tol=1e-10)
    found = fitted_temperature(logits, labels)
    assert found == pytest.approx(np.exp(best.x), rel=1e-5)
    assert found == pytest.approx(scale, rel=0.15)  # the labels were drawn at 1
    assert measured(logits, labels, found).nll <= measured(logits, labels).nll


def test_overconfidence_is_mended_on_other_clips():
    temperature = fitted_temperature(*clips(scale=3, seed=1))
    others = clips(3000, scale=3, seed=2)
    before, after = measured(*others), measured(*others, temperature)
    assert before.top1 == after.top1 and after.ece < 0.2 * before.ece and after.brier < before.brier


def test_clips_that_are_all_right_have_no_temperature():
    logits, _ = clips()
    assert fitted_temperature(logits, logits.argmax(1)) is None
    one_wrong = logits.argmax(1)
    one_wrong[0] = logits[0].argsort()[-2]
    assert 0 < fitted_temperature(logits, one_wrong) < 1


@pytest.mark.parametrize("logits", [clips()[0], np.zeros((500, 7))])
def test_a_network_that_knows_nothing_is_refused(logits):
    with pytest.raises(UsageError, match="not better than chance on the 500 clips"):
        fitted_temperature(logits, logits.argmin(1) if logits.any() else np.arange(500) % 7)


@pytest.mark.parametrize("decimals", [8, 0])  # 0: many equal scores
def test_auroc_is_that_of_the_rank_test(decimals):
    rng = np.random.default_rng(3)
    known, others = rng.normal(1, 1, 60).round(decimals), rng.normal(0, 2, 41).round(decimals)
    statistic = mannwhitneyu(known, others).statistic
    assert unknown.auroc(known, others) == pytest.approx(statistic / (60 * 41))
    assert unknown.auroc(others, known) == pytest.approx(1 - statistic / (60 * 41))


def test_the_threshold_accepts_what_it_says():
    rng = np.random.default_rng(4)
    known, others = rng.normal(1, 1, 61).round(1), rng.normal(0, 1, 200).round(1)
    found = unknown.separation(known, others)
    # the lowest false positive rate of all thresholds that accept 95 % of the known clips
    rates = [(others >= t).mean() for t in known if (known >= t).mean() >= 0.95]
    assert found.fpr == min(rates) and found.roc[95] == found.fpr
    assert found.roc[0] == 0 and found.roc[100] == (others >= known.min()).mean()
    at = unknown.threshold(known)
    assert (known >= at).mean() >= 0.95 > (known > at).mean()
    assert unknown.threshold(np.array([3.0])) == 3


def test_scores_of_logits():
    logits = np.array([[2.0, 1.0, 9.0], [0.0, 0.0, -5.0]], np.float32)
    assert unknown.score("max logit", logits).tolist() == [9, 0]
    assert unknown.score("max logit", logits, [0, 1]).tolist() == [2, 0]
    expected = np.log(np.exp(logits.astype(float)).sum(1))
    np.testing.assert_allclose(unknown.score("energy", logits), expected)
    np.testing.assert_allclose(unknown.score("max probability", logits, [0, 1]), [np.e / (1 + np.e), 0.5])
    assert unknown.score("energy", np.float32([1e30, 0])) == np.float32(1e30)
    assert unknown.flat(unknown.score("energy", log_softmax(clips()[0].astype(float), 1)))
    assert not unknown.flat(unknown.score("energy", logits))
    with pytest.raises(ValueError, match="no score 'entropy'"):
        unknown.score("entropy", logits)
