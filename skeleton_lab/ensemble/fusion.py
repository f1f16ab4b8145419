"""Weighted sums of several streams' scores, their accuracy, and two searches for the weights.

Weights that are searched for on the very labels they are judged by flatter: whatever shows them says ``FITTED``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np

from skeleton_lab.utils.importing import optional

FITTED = "fitted on test (optimistic)"
GRID = np.arange(0.2, 1.2001, 0.05)  # the weights that ``fit`` tries
RANGE, EVALUATIONS, SEED = (0.2, 1.2), 200, 0  # of ``search``, as FreqMixFormer publishes it


def probabilities(scores: np.ndarray) -> np.ndarray:
    """Softmax of logits (S, N, K), along the classes; logarithms of probabilities give these again."""
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def combine(scores: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    """(S, N, K) and S weights -> (N, K)."""
    return np.tensordot(np.asarray(weights, dtype=scores.dtype), scores, axes=1)


def accuracy(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Top-1 (first maximum) and top-5 (among the last five of the ascending order), as fractions."""
    five = np.argsort(logits, axis=1, kind="stable")[:, -5:]
    return top1(logits, labels), float((five == labels[:, None]).any(1).mean())


def top1(logits: np.ndarray, labels: np.ndarray) -> float:
    return float((logits.argmax(1) == labels).mean())


def fit(scores: np.ndarray, labels: np.ndarray) -> list[float]:
    """Weights from GRID with the best top-1 on these labels: one stream after the other, until none of them gains.

    Deterministic.  Starts with 0.6 for every stream.
    """
    weights = [0.6] * len(scores)
    best, gained = top1(combine(scores, weights), labels), True
    while gained:
        gained = False
        for s in range(len(scores)):
            others = combine(scores, [0.0 if i == s else w for i, w in enumerate(weights)])
            hits = [top1(others + w * scores[s], labels) for w in GRID.astype(scores.dtype)]
            if max(hits) > best:
                best, gained = max(hits), True
                weights[s] = round(float(GRID[int(np.argmax(hits))]), 2)
    return weights


def optimiser() -> Callable:
    """scikit-optimize's ``gp_minimize``; UsageError if the package is not installed."""
    return optional(
        "skopt", "scikit-optimize", "search", "searching for weights (unlike --fit and --weights)"
    ).gp_minimize


def search(scores: np.ndarray, labels: np.ndarray, say: Callable[[float], None] = print) -> list[float]:
    """Weights from RANGE with the best top-1 on these labels by a Gaussian process, as FreqMixFormer's ensemble has it.

    Seeded, and on one thread, since sums in another order lead the process elsewhere. Equal seeds give equal weights
    within one set of versions only: another scikit-optimize, scikit-learn, SciPy or NumPy (and another processor) may
    try other points. constraints.txt has the versions that this is tested with. ``gp_minimize`` and nothing else of the
    package is used: beside scikit-learn 1.9, its ``gbrt_minimize`` and ``dummy_minimize`` raise.

    Args:
        scores: (S, N, K).
        labels: (N,).
        say: is told the accuracy of each of the EVALUATIONS.
    """
    gp_minimize = optimiser()
    from threadpoolctl import threadpool_limits  # scikit-optimize needs it, by way of scikit-learn

    def error(weights: list[float]) -> float:
        share = top1(combine(scores, weights), labels)
        say(share)
        return -share

    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # that it tries a point twice: accuracy is a step function
        found = gp_minimize(error, [RANGE] * len(scores), n_calls=EVALUATIONS, random_state=SEED)
    return [float(weight) for weight in found.x]
