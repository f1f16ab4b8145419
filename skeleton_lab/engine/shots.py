"""``--shots K``: few-shot training, on K clips of each class."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import numpy as np

from skeleton_lab.errors import UsageError


def drawn(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Rows of ``count`` clips of each class, ascending; all of them of a class that has no more.

    Which ones depends on the class's own rows and the seed alone: another class more or less changes nothing, and the
    rows of a smaller count are among those of a larger one.

    Args:
        labels: (N,) classes.
    """
    labels = np.asarray(labels)
    rows = [
        np.random.default_rng([seed, label]).permutation(np.flatnonzero(labels == label))[:count]
        for label in np.unique(labels).tolist()
    ]
    return np.sort(np.concatenate(rows)) if rows else np.empty(0, np.int64)


def keep(options: Namespace, feeder: Any, log: Callable[[str], None]) -> None:
    """Restrict the training feeder to the clips of ``--shots``, where that is given, and say what is kept.

    Raises:
        UsageError: the feeder cannot be restricted.
    """
    if options.shots is None:
        return
    if not hasattr(feeder, "restrict"):
        raise UsageError(f"--shots: {options.feeder} has no method restrict(indices) to choose clips with")
    labels = np.asarray(feeder.label)
    rows = drawn(labels, options.shots, options.seed)
    classes, counts = np.unique(labels[rows], return_counts=True)
    fewer = classes[counts < options.shots]
    short = f"; class {fewer[0]} has only {counts.min()}" if len(fewer) == 1 else ""
    short = f"; {len(fewer)} classes have fewer" if len(fewer) > 1 else short
    log(f"--shots {options.shots}: {len(rows)} of {len(labels)} training clips, of {len(classes)} classes{short}.")
    feeder.restrict(rows)
