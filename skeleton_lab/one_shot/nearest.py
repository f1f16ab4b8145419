"""The nearest example or prototype in feature space, and how often it is of the right class."""

from __future__ import annotations

import math

import numpy as np

from skeleton_lab.utils import statistics

DISTANCES = ("cosine", "euclidean")
CONFIDENCE = 1.96  # standard errors around a mean that hold 95 % of a normal distribution


def distances(queries: np.ndarray, examples: np.ndarray, distance: str) -> np.ndarray:
    """(N, E) float64 of queries (N, F) to examples (E, F): Euclidean, or 1 - cosine of the angle.

    A feature vector of length 0 has no direction; its cosine with any other counts as 0.
    """
    x, y = np.asarray(queries, np.float64), np.asarray(examples, np.float64)
    if distance == "cosine":
        return 1 - _unit(x) @ _unit(y).T
    squares = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
    return np.sqrt(np.maximum(squares, 0))


def classified(queries: np.ndarray, examples: np.ndarray, labels: np.ndarray, distance: str) -> np.ndarray:
    """(N,) the label of the nearest example of each query; of equally near ones the first."""
    return np.asarray(labels)[distances(queries, examples, distance).argmin(1)]


def prototypes(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Classes (K,) ascending, and the mean feature (K, F) of each (Snell et al. 2017, equation 1)."""
    classes = np.unique(labels)
    return classes, np.stack([features[labels == each].mean(0, dtype=np.float64) for each in classes])


def confusion(labels: np.ndarray, answers: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(K, K) int64: clips of the class of the row that were taken for that of the column."""
    return statistics.confusion(np.searchsorted(classes, labels), np.searchsorted(classes, answers), len(classes))


def mean_and_interval(values: np.ndarray) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval over the draws; 0 of a single one."""
    mean, deviation = statistics.mean_sd(values)
    return mean, CONFIDENCE * (deviation or 0.0) / math.sqrt(len(values))


def _unit(x: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1)
