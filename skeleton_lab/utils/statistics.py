"""What a number of test clips can tell: intervals, means over classes and seeds, tests of two runs on equal clips."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np


def wilson(right: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Between which the true share lies, at this level, where ``right`` of ``total`` clips are right.

    The score interval of Wilson 1927, without continuity correction: it stays within 0 and 1 and has a width where no
    clip or every clip is right. It takes the clips as independent; those of one subject are less than that.

    Returns:
        (low, high), fractions; (0, 1) without clips.

    Raises:
        ValueError: not 0 <= right <= total, or a level outside of 0 to 1.
    """
    if not 0 <= right <= total:
        raise ValueError(f"{right} of {total} clips")
    if not 0 < level < 1:
        raise ValueError(f"a level of {level}")
    if not total:
        return 0.0, 1.0
    z = statistics.NormalDist().inv_cdf((1 + level) / 2)
    share = right / total
    middle = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    # Rounding must not part the interval from a share at its very end.
    return (0.0 if right == 0 else middle - half), (1.0 if right == total else middle + half)


def mean_sd(values: Sequence[float] | np.ndarray) -> tuple[float, float | None]:
    """Mean and sample standard deviation (n - 1); of a single value there is no deviation.

    Raises:
        ValueError: there is no value.
    """
    found = [float(value) for value in values]
    if not found:
        raise ValueError("the mean of no value")
    return statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else None


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """(K, K) int64: clips of the class of the row that are taken for that of the column.

    Args:
        labels, predicted: (N,) of 0..K-1.
    """
    places = np.asarray(labels, np.int64) * classes + np.asarray(predicted, np.int64)
    return np.bincount(places, minlength=classes * classes).reshape(classes, classes)


def mean_class_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Mean over the classes of the share of their samples that are recognised, a fraction.

    Over all that are true or predicted, as PYSKL counts: a class that is predicted and never true has 0.
    """
    classes = np.union1d(labels, predicted)
    right = [(predicted[labels == k] == k).mean() if (labels == k).any() else 0.0 for k in classes]
    return float(np.mean(right))


def macro_accuracy(confusion: np.ndarray) -> float:
    """Mean over the classes that have clips of the share of them that is right, a fraction ("balanced accuracy").

    Args:
        confusion: (K, K) counts, rows are true classes; at least one clip.
    """
    total = confusion.sum(1)
    there = total > 0
    return float((np.diag(confusion)[there] / total[there]).mean())


def macro_f1(confusion: np.ndarray) -> float:
    """Mean over the classes that have clips of F1, the harmonic mean of precision and recall, a fraction.

    A class that has clips and is never predicted has 0; a clip that is taken for a class without clips counts where it
    is missing.

    Args:
        confusion: (K, K) counts, rows are true classes; at least one clip.
    """
    total, told = confusion.sum(1), confusion.sum(0)
    there = total > 0
    return float((2 * np.diag(confusion)[there] / (total + told)[there]).mean())


def mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> tuple[int, int, float]:
    """Whether one of two networks is right more often than the other on the same clips (McNemar 1947, exact form).

    Only clips that one of them alone has right can tell; were both as good, each of those would be a's or b's by the
    toss of a coin.

    Args:
        right_a, right_b: (N,) bool, the same clips in the same order.

    Returns:
        Clips that a alone and that b alone has right, and the two-sided p of the binomial test; 1 without such clips.

    Raises:
        ValueError: other shapes.
    """
    a, b = np.asarray(right_a, bool), np.asarray(right_b, bool)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"answers of shapes {a.shape} and {b.shape}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return only_a, only_b, coin(only_a, only_b)


def coin(heads: int, tails: int) -> float:
    """Two-sided p of a fair coin that shows so many heads and tails, or a more uneven count; exact."""
    count, fewer = heads + tails, min(heads, tails)
    # log of the chance of 0, 1 ... ``fewer`` of one side: binomial(count, k) / 2^count, each from the one before.
    k = np.arange(1, fewer + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log((count - k + 1) / k))]) - count * math.log(2)
    largest = logs[-1]
    return min(1.0, 2 * math.exp(largest) * float(np.exp(logs - largest).sum()))


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """p of many tests, adjusted so that all together err as seldom as one (Holm 1979), in the order given.

    With them below 0.05 rejected, the chance of any false rejection is 5 % at most, however the tests depend on each
    other.

    Args:
        p: (N,) from 0 to 1; there may be none.
    """
    found = np.asarray(p, np.float64)
    order = np.argsort(found, kind="stable")
    stepped = found[order] * np.arange(len(found), 0, -1)
    adjusted = np.empty_like(found)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(stepped)) if len(found) else stepped
    return adjusted
