"""One order of test clips for all runs, by names and labels: the same clips, or those that all were tested on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skeleton_lab.compare import finding
from skeleton_lab.compare.reading import Result
from skeleton_lab.data.archives import sample_names
from skeleton_lab.errors import UsageError
from skeleton_lab.reporting.run_report.evaluation import OF_CLIPS


@dataclass
class Clips:
    """The N clips that are compared: their classes, (N,), and what the first run knows of them, as ``Evaluation``."""

    labels: np.ndarray
    classes: int
    names: np.ndarray | None = None
    subjects: np.ndarray | None = None
    frames: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)


def align(results: Sequence[Result], common: bool) -> tuple[Clips, list[str]]:
    """Bring the answers of all results into the order of the first's clips, in place.

    Args:
        results: with answers, one at least.
        common: compare the clips that all have, where they are not the same.

    Returns:
        The clips, and notices.

    Raises:
        UsageError: other clips, and ``common`` is not asked for, or there are none; a clip with two classes.
    """
    first = results[0]
    unlike: list[str] = []
    rows = [_rows(first, other, common, unlike) for other in results]
    kept = np.logical_and.reduce([each >= 0 for each in rows])
    if not kept.any():
        raise UsageError("--common: no clip was tested by every run; compare fewer of them")
    left = int(kept.sum())
    for other, each in zip(results, rows):
        if other is first:
            continue
        mine, theirs = first.labels[kept], other.labels[each[kept]]
        if (mine != theirs).any():
            raise UsageError(_two_classes(first, other, kept, mine, theirs))
    notices = [*_by_position(first, unlike), *_left_out(results, left)]
    for other, each in zip(results, rows):
        if len(other.labels) != left or (each[kept] != np.arange(left)).any():
            other.top5 = other.top5 if len(other.labels) == left else None  # it is of all its clips
            other.labels, other.predicted = other.labels[each[kept]], other.predicted[each[kept]]
    told = {key: None if (values := getattr(first, key)) is None else values[kept] for key in OF_CLIPS}
    for other in results:
        other.names = other.subjects = other.frames = None
    return Clips(first.labels, max(other.num_class for other in results), **told), notices


def _by_position(first: Result, unlike: Sequence[str]) -> list[str]:
    """What is said of runs whose names only count the rows, or name what the first's count: one line for all."""
    if not unlike:
        return []
    name = "names its" if len(unlike) == 1 else "name their"
    return [f"{finding.some(unlike)} {name} clips unlike {first.name}: matched by position, as all classes agree."]


def _left_out(results: Sequence[Result], left: int) -> list[str]:
    """What is said where not all clips are compared."""
    lost = [f"{len(other.labels) - left:,} of {other.name}" for other in results if len(other.labels) > left]
    if not lost:
        return []
    more = f" and some of {len(lost) - 5} other runs" if len(lost) > 5 else ""
    return [f"Compared are the {left:,} clips that all runs were tested on; left out are {', '.join(lost[:5])}{more}."]


def _rows(first: Result, other: Result, common: bool, unlike: list[str]) -> np.ndarray:
    """(N,) the row of ``other`` that each clip of ``first`` is, -1 where it has none; ``unlike``: by position."""
    count = len(first.labels)
    same = np.array_equal(first.labels, other.labels)
    if other is first or (same and _equal(first.names, other.names)):
        return np.arange(count)
    if first.names is None or other.names is None:
        if same:
            return np.arange(count)
        raise UsageError(f"{_two(first, other)}: other test clips, and without names nothing tells which are the same")
    rows = _by_name(first.names, other.names)
    shared = int((rows >= 0).sum())
    if (
        not shared
        and same
        and (sample_names.numbered(first.names.tolist()) or sample_names.numbered(other.names.tolist()))
    ):
        unlike.append(other.name)
        return np.arange(count)
    if shared == count == len(other.labels) or (common and shared):
        return rows
    told = (
        f"{_two(first, other)}: they were tested on other clips ({shared:,} of {count:,} and {len(other.labels):,} are "
    )
    for each in (first, other):
        if not shared and _repeats(each.names):
            raise UsageError(
                f"{_two(first, other)}: other test clips or another order, and clips of {each.name} have equal names, "
                "so nothing tells which are the same"
            )
    if not shared:
        raise UsageError(f"{told}the same by name, '{first.names[0]}' and '{other.names[0]}' say); compare them apart")
    lacking = first.names[rows < 0]
    example = f"; the first that {other.name} lacks is '{lacking[0]}'" if len(lacking) else ""
    raise UsageError(f"{told}the same{example}); --common compares those that all have")


def _repeats(names: np.ndarray | None) -> bool:
    return names is not None and len(np.unique(names)) < len(names)


def _equal(names: np.ndarray | None, others: np.ndarray | None) -> bool:
    if names is others or names is None or others is None:
        return names is others
    return np.array_equal(names, others)


def _by_name(names: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Rows of ``others``, -1 where there is none; by the form of the names that finds most, if it keeps them apart."""
    best = np.full(len(names), -1)
    for form in sample_names.FORMS:
        mine, place = [form(name) for name in names.tolist()], {form(name): k for k, name in enumerate(others.tolist())}
        if len(set(mine)) < len(mine) or len(place) < len(others):
            continue
        rows = np.array([place.get(name, -1) for name in mine])
        if (rows >= 0).sum() > (best >= 0).sum():
            best = rows
    return best


def _two(first: Result, other: Result) -> str:
    return f"{first.place.folder} and {other.place.folder}"


def _two_classes(first: Result, other: Result, kept: np.ndarray, mine: np.ndarray, theirs: np.ndarray) -> str:
    row = int((mine != theirs).argmax())
    name = "" if first.names is None else f" ('{first.names[kept][row]}')"
    return (
        f"{_two(first, other)}: clip {np.flatnonzero(kept)[row]}{name} is class {mine[row]} in the first and "
        f"{theirs[row]} in the second ({int((mine != theirs).sum()):,} of {len(mine):,} differ): these are other "
        "clips; compare them apart"
    )
