"""Intervals, means and paired tests, against SciPy, exact fractions and plain loops over the clips."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from scipy import stats

from skeleton_lab.utils import statistics


@pytest.mark.parametrize("right, total", [(0, 7), (7, 7), (1, 3), (50, 100), (15923, 16487)])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_wilson_is_that_of_scipy(right, total, level):
    expected = stats.binomtest(right, total).proportion_ci(level, method="wilson")
    assert statistics.wilson(right, total, level) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_holds_the_share_and_knows_nothing_of_no_clip():
    for total in (1, 3, 49, 1000):
        for right in (0, 1, total):
            low, high = statistics.wilson(right, total)
            assert 0 <= low <= right / total <= high <= 1 and low < high
    assert statistics.wilson(0, 0) == (0, 1)
    for right, total, level in ((-1, 3, 0.95), (4, 3, 0.95), (1, 3, 1.0)):
        with pytest.raises(ValueError):
            statistics.wilson(right, total, level)


def test_mean_and_deviation():
    values = [0.71, 0.74, 0.9]
    assert statistics.mean_sd(values) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert statistics.mean_sd(np.array([0.5], np.float32)) == (0.5, None)
    with pytest.raises(ValueError):
        statistics.mean_sd([])


def answers(seed: int, classes: int = 6, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Labels without the last class, which is predicted, and with the first, which never is."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes - 1, count)
    predicted = np.where(rng.random(count) < 0.6, labels, rng.integers(0, classes, count))
    predicted[predicted == 0] = 1
    return labels, predicted


def test_means_over_classes_are_those_of_plain_loops():
    labels, predicted = answers(0)
    matrix = statistics.confusion(labels, predicted, 6)
    recalls, scores = [], []
    for k in range(6):
        true, told, both = (labels == k).sum(), (predicted == k).sum(), ((labels == k) & (predicted == k)).sum()
        assert [matrix[k].sum(), matrix[:, k].sum(), matrix[k, k]] == [true, told, both]
        if true:
            recalls.append(both / true)
            precision = both / told if told else 0
            scores.append(2 * precision * recalls[-1] / (precision + recalls[-1]) if both else 0)
    assert len(recalls) == 5 and scores[0] == 0
    assert statistics.macro_accuracy(matrix) == pytest.approx(np.mean(recalls))
    assert statistics.macro_f1(matrix) == pytest.approx(np.mean(scores))
    assert statistics.macro_accuracy(np.diag([3, 0, 5])) == statistics.macro_f1(np.diag([3, 0, 5])) == 1


@pytest.mark.parametrize("heads, tails", [(0, 0), (0, 1), (3, 3), (1, 9), (40, 61), (500, 700), (6000, 6200)])
def test_the_coin_is_the_binomial_test(heads, tails):
    expected = stats.binomtest(heads, heads + tails).pvalue if heads + tails else 1
    assert statistics.coin(heads, tails) == statistics.coin(tails, heads) == pytest.approx(expected, rel=1e-9)


def test_the_coin_is_exact_where_p_is_tiny():
    tail = sum(comb(900, k) for k in range(11))
    assert statistics.coin(10, 890) == pytest.approx(float(Fraction(2 * tail, 2**900)), rel=1e-9) and tail
    assert statistics.coin(0, 20_000) == 0  # below any float


def test_mcnemar_counts_what_one_of_two_has_right():
    rng = np.random.default_rng(1)
    a, b = rng.random(400) < 0.8, rng.random(400) < 0.7
    only_a, only_b, p = statistics.mcnemar(a, b)
    assert only_a == sum(x and not y for x, y in zip(a, b)) and only_b == sum(y and not x for x, y in zip(a, b))
    assert p == pytest.approx(stats.binomtest(only_a, only_a + only_b).pvalue)
    assert statistics.mcnemar(a, a) == (0, 0, 1)
    with pytest.raises(ValueError):
        statistics.mcnemar(a, b[:-1])


def test_holm_rejects_what_the_steps_of_its_definition_reject():
    rng = np.random.default_rng(2)
    for count in (1, 5, 60):
        p = np.round(rng.random(count) ** 4, 3)  # some are equal
        adjusted = statistics.holm(p)
        assert (adjusted >= p).all() and (adjusted <= 1).all()
        for level in (0.01, 0.05, 0.3, 0.9):
            rejected, left = np.zeros(count, bool), count
            for row in np.argsort(p, kind="stable"):  # the smallest against level / N, the next / (N - 1) ...
                if p[row] > level / left:
                    break
                rejected[row], left = True, left - 1
            assert (adjusted <= level).tolist() == rejected.tolist()
    assert len(statistics.holm([])) == 0


def test_holm_keeps_its_promise_on_tests_without_an_effect():
    """Of 120 classes that do not differ, none may be called different in 95 of 100 comparisons; unadjusted p fail."""
    rng = np.random.default_rng(3)
    p = rng.random((400, 120))
    assert np.mean([statistics.holm(row).min() < 0.05 for row in p]) < 0.09 < (p.min(1) < 0.05).mean()
