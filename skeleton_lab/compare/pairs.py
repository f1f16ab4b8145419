"""Two runs on the same clips: who is right where the other is wrong (McNemar 1947), overall and by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from skeleton_lab.compare.figures import Row, right_matrix
from skeleton_lab.utils import statistics


@dataclass(frozen=True)
class Pair:
    """Clips that one of two runs alone has right, the p of the exact test, and Holm's over all pairs."""

    a: str
    b: str
    only_a: int
    only_b: int
    p: float
    adjusted: float


@dataclass(frozen=True)
class ClassDifference:
    """A class of ``clips`` clips: how many either run has right; ``adjusted``: p by Holm over the classes."""

    cls: int
    clips: int
    right_a: int
    right_b: int
    only_a: int
    only_b: int
    p: float
    adjusted: float

    @property
    def change(self) -> float:
        """Accuracy of b less that of a, a fraction."""
        return (self.right_b - self.right_a) / self.clips

    @property
    def points(self) -> str:
        """The change in points, as the page's script writes it: +5.0, −5.0, ±0.0."""
        sign = "+" if self.change > 0 else "−" if self.change < 0 else "±"
        return f"{sign}{abs(100 * self.change):.1f}"


def all_pairs(rows: Sequence[Row]) -> list[Pair]:
    """Every two of R runs, in their order."""
    right = right_matrix(rows).astype(np.float32)
    both = np.rint(right @ right.T).astype(np.int64)  # exact: float32 counts to 16 million
    total = np.diag(both)
    places = list(combinations(range(len(rows)), 2))
    counts = [(int(total[a] - both[a, b]), int(total[b] - both[a, b])) for a, b in places]
    p = [statistics.coin(*count) for count in counts]
    adjusted = statistics.holm(p)
    return [
        Pair(rows[a].name, rows[b].name, *count, one, float(other))
        for (a, b), count, one, other in zip(places, counts, p, adjusted)
    ]


def by_class(a: Row, b: Row) -> list[ClassDifference]:
    """The classes that have clips, the largest difference first."""
    return class_differences(a.result.labels, a.result.right, b.result.right)


def class_differences(labels: np.ndarray, right_a: np.ndarray, right_b: np.ndarray) -> list[ClassDifference]:
    """As ``by_class``, of classes (N,) and of which of these clips either has right, (N,) bool."""
    found = []
    for cls in np.unique(labels).tolist():
        there = labels == cls
        mine, theirs = right_a[there], right_b[there]
        found.append((cls, int(there.sum()), int(mine.sum()), int(theirs.sum()), *statistics.mcnemar(mine, theirs)))
    adjusted = statistics.holm([each[-1] for each in found])
    made = [ClassDifference(*each, float(one)) for each, one in zip(found, adjusted)]
    return sorted(made, key=lambda each: (-abs(each.change), each.cls))


def confusion_difference(a: Row, b: Row, classes: int) -> np.ndarray:
    """(K, K) int64: how many more clips of a row's class b takes for a column's than a does."""
    mine, theirs = (statistics.confusion(each.result.labels, each.result.predicted, classes) for each in (a, b))
    return theirs - mine
