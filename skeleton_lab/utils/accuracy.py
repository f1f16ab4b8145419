"""Accuracies of predicted classes."""

from __future__ import annotations

import numpy as np


def mean_class_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Mean over the classes of the share of their samples that are recognised, a fraction.

    Over all that are true or predicted, as PYSKL counts: a class that is predicted and never true has 0.
    """
    classes = np.union1d(labels, predicted)
    right = [(predicted[labels == k] == k).mean() if (labels == k).any() else 0.0 for k in classes]
    return float(np.mean(right))
