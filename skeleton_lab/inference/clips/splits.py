"""Which clips are trained on and which tested: as the list says, or so that nobody, or no recording, is in both.

Where groups (people, recordings) are divided, every class should have its share of test clips. The groups are drawn in
many random orders and the best division is kept (the seed chooses among equals); of groups of one clip each the shares
are exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skeleton_lab.errors import UsageError, listing
from skeleton_lab.inference.clips.labels import Labels, Row

BY = ("column", "subject", "files")
TRIES = 1000  # orders of the groups that are looked at


def way(labels: Labels, wish: str | None) -> str:
    """How to divide: as asked, else by the column ``split``, by ``subject``, by files, whichever the list has first.

    Raises:
        UsageError: the list lacks the column.
    """
    column = {"column": "split", "subject": "subject"}
    if wish is not None:
        if wish in column and column[wish] not in labels.columns:
            raise UsageError(f"--split {wish}: {labels.path} has no column '{column[wish]}'")
        return wish
    return next((by for by, name in column.items() if name in labels.columns), "files")


def divided(labels: Labels, rows: Sequence[Row], by: str, share: float, seed: int) -> np.ndarray:
    """(N,) bool: which of the clips ``rows`` are tested.

    Args:
        by: of ``BY``. share: of test clips. seed: of the draw; the same for the same list.

    Raises:
        UsageError: a class with one clip, or none to train on; somebody in both splits; a clip of no split.
    """
    _refuse_single_clips(labels, rows)
    if by == "column":
        test = _by_column(labels, rows)
    else:
        names = [row.subject if by == "subject" else row.file for row in rows]
        if by == "subject":
            unnamed = [row.shown for row in rows if not row.subject]
            if unnamed:
                raise UsageError(f"{labels.path}: subject is empty at {_some(unnamed)}; or divide with --split files")
        test = _by_groups([row.label for row in rows], names, share, np.random.default_rng(seed))
    _refuse_untrained(labels, rows, test, by)
    return test


def _some(items: Sequence[str], most: int = 3) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return f"{listing(items[:most])}{more}"


def _refuse_single_clips(labels: Labels, rows: Sequence[Row]) -> None:
    at: dict[str, list[Row]] = {}
    for row in rows:
        at.setdefault(row.label, []).append(row)
    if len(at) < 2:
        raise UsageError(f"{labels.path}: all clips that can be used are '{rows[0].label}'; two classes are needed")
    single = [f"{name}: {clips[0].shown}" for name, clips in at.items() if len(clips) == 1]
    if single:
        raise UsageError(
            f"{labels.path}: a class with one clip cannot be trained and tested ({_some(single)}); record more of it, "
            "or take its line away"
        )


def _by_column(labels: Labels, rows: Sequence[Row]) -> np.ndarray:
    unsaid = [row.shown for row in rows if not row.split]
    if unsaid:
        raise UsageError(f"{labels.path}: split is empty at {_some(unsaid)}; write train or test")
    first: dict[str, Row] = {}
    for row in rows:
        other = first.setdefault(row.subject, row) if row.subject else row
        if other.split != row.split:
            raise UsageError(
                f"{labels.path}: subject {row.subject} is in both splits ({other.split} in line {other.line}, "
                f"{row.split} in line {row.line}): tests on people who were trained on flatter; if it is meant, give "
                "the column subject another name"
            )  # fmt: skip
    return np.array([row.split == "test" for row in rows])


def _refuse_untrained(labels: Labels, rows: Sequence[Row], test: np.ndarray, by: str) -> None:
    of = {part: {row.label for row, tested in zip(rows, test) if tested == part} for part in (False, True)}
    only = f"there is one {by.removesuffix('s')} only" if by != "column" else "write both into the column split"
    if not of[True] or not of[False]:
        raise UsageError(f"{labels.path}: no clip is left to {'train on' if of[True] else 'test'}: {only}")
    if untrained := sorted(of[True] - of[False]):
        why = "put a clip of it into train" if by == "column" else f"one {by.removesuffix('s')} has all of its clips"
        raise UsageError(f"{labels.path}: class {_some(untrained)} is in the test split only: {why}")


def _by_groups(labels: Sequence[str], names: Sequence[str], share: float, random: np.random.Generator) -> np.ndarray:
    """(N,) bool, groups of equal ``names`` in one split."""
    classes, y = np.unique(labels, return_inverse=True)
    groups, g = np.unique(names, return_inverse=True)
    if len(groups) == len(names):
        return _by_clips(y, share, random)
    counts = np.zeros((len(groups), len(classes)), int)  # clips of each class in each group
    np.add.at(counts, (g, y), 1)
    total = counts.sum(0)
    best, chosen = np.inf, np.zeros(len(groups), bool)
    for _ in range(TRIES):
        order = random.permutation(len(groups))
        sums = counts[order].cumsum(0)[:-1]  # of tests that take the first 1, 2, ... of this order; never all
        if not len(sums):
            break
        missing = (sums == 0).sum(1) + 2 * (sums == total).sum(1)  # worse than any share: nothing to test, to train on
        costs = np.abs(sums / total - share).mean(1) + missing
        k = int(costs.argmin())
        if costs[k] < best - 1e-12:
            best, chosen = float(costs[k]), np.zeros(len(groups), bool)
            chosen[order[: k + 1]] = True
    return chosen[g]


def _by_clips(y: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """The share of each class's clips, at least one and not all."""
    test = np.zeros(len(y), bool)
    for label in np.unique(y):
        at = np.flatnonzero(y == label)
        count = min(max(1, round(share * len(at))), len(at) - 1)
        test[random.permutation(at)[:count]] = True
    return test
