"""Logits that fall on unseen classes give away that a network has seen them: the guard of extract_features.py."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.data.archives import class_splits
from skeleton_lab.errors import UsageError
from skeleton_lab.zero_shot.features import extract


def of_unseen(count: int = 60) -> tuple[np.ndarray, np.ndarray, extract.Order]:
    """Logits (N, 60) without a largest one yet, and labels of unseen classes."""
    split = class_splits.load("r", 12, 60)
    labels = split.unseen[np.arange(count) % 12]
    rng = np.random.default_rng(3)
    return rng.normal(size=(count, 60)), labels, extract.Order(Path("x"), split, "train")


def test_logits_that_name_unseen_classes_rightly_are_refused() -> None:
    logits, labels, order = of_unseen()
    logits[np.arange(30), labels[:30]] += 20
    logits[np.arange(30, 60), order.split.seen[5]] += 20
    with pytest.raises(UsageError, match=r"50 % the right one.*--allow-leak"):
        extract.check_logits(logits, labels, order)
    assert extract.check_logits(logits, labels, dataclasses.replace(order, allow_leak=True)).startswith("warning: ")


def test_logits_of_other_networks_pass() -> None:
    """Trained without the unseen classes; not trained at all; one that answers the same class to everything."""
    logits, labels, order = of_unseen()
    trained = logits.copy()
    trained[:, order.split.unseen] -= 50
    assert extract.check_logits(trained, labels, order) is None
    assert "barely trained" in extract.check_logits(logits, labels, order)
    logits[:, order.split.unseen[0]] += 20
    assert "100 % of the clips" in extract.check_logits(logits, labels, order)
