"""Accuracy by subject, camera, setup and clip length, with what chance leaves open and what the classes explain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skeleton_lab.data.archives import clip_groups
from skeleton_lab.reporting.html.shell import Section
from skeleton_lab.reporting.run_report.evaluation import Evaluation
from skeleton_lab.utils import statistics

TEMPLATE = "reporting/run_report/templates/groups.html.j2"
LENGTH = "clip length"
MOST = 200  # rows of a table
WIDTH, HEIGHT = 110, 14  # of the picture of an interval
TITLES = {"subject": "Subjects", "camera": "Cameras", "setup": "Setups", LENGTH: "Clip lengths"}


@dataclass(frozen=True)
class Group:
    """The test clips of one subject, camera, setup or range of lengths; shares are fractions.

    Attributes:
        low, high: the 95 % interval of ``share`` (Wilson), as if the clips were independent.
        expected: what ``share`` would be if each clip had the accuracy of its class over all clips: groups show
            different actions, and one of hard actions is no hard group for that (indirect standardisation).
    """

    name: str
    right: int
    total: int
    low: float
    high: float
    expected: float

    @property
    def share(self) -> float:
        return self.right / self.total


def of_codes(right: np.ndarray, labels: np.ndarray, codes: np.ndarray, names: Sequence[str]) -> list[Group]:
    """The groups that have clips, in the order of ``names``.

    Args:
        right: (N,) bool; labels: (N,) classes; codes: (N,) place of each clip's group in ``names``, below 0 for none.
    """
    classes = np.unique(labels, return_inverse=True)[1].reshape(-1)
    of_class = (np.bincount(classes, right) / np.bincount(classes))[classes]
    found = []
    for code, name in enumerate(names):
        mine = codes == code
        if mine.any():
            hits, total = int(right[mine].sum()), int(mine.sum())
            found.append(Group(name, hits, total, *statistics.wilson(hits, total), float(of_class[mine].mean())))
    return found


def by_kind(evaluation: Evaluation) -> dict[str, list[Group]]:
    """The groups of each kind that is told, in the order of ``KINDS``, then by length; those of one kind by number."""
    told = clip_groups.of_clips(evaluation.names, evaluation.labels, evaluation.subjects)
    coded = {kind: told[kind] for kind in clip_groups.KINDS if kind in told}
    if evaluation.frames is not None:
        coded[LENGTH] = clip_groups.by_length(evaluation.frames)
    right = evaluation.labels == evaluation.pred
    return {kind: of_codes(right, evaluation.labels, codes, names) for kind, (codes, names) in coded.items()}


def section(evaluation: Evaluation, what: str) -> Section | None:
    """The part of the page; None where nothing is told, or all that is told is that of all clips."""
    kinds = by_kind(evaluation)
    several = {kind: groups for kind, groups in kinds.items() if len(groups) > 1}
    if not several:
        return None
    overall, clips = float((evaluation.labels == evaluation.pred).mean()), len(evaluation.labels)
    tables = [_table(kind, groups, overall, clips) for kind, groups in several.items()]
    alone = [f"{kind} {groups[0].name}" for kind, groups in kinds.items()
             if len(groups) == 1 and groups[0].total == clips and kind != LENGTH]  # fmt: skip
    title = ", ".join(TITLES[kind] for kind in several)
    return Section("groups", title[0] + title[1:].lower(), TEMPLATE, {
        "what": what, "overall": overall, "clips": clips, "tables": tables, "alone": alone, "width": WIDTH,
        "height": HEIGHT,
    })  # fmt: skip


def _table(kind: str, groups: Sequence[Group], overall: float, clips: int) -> dict[str, Any]:
    """Rows, the worst first but lengths as they grow, on a scale from the lowest end of an interval to 100 %."""
    lowest = min(overall, *(group.low for group in groups))

    def x(share: float) -> float:
        return round(3 + (WIDTH - 6) * (share - lowest) / (1 - lowest), 1)

    def told(share: float, form: str = ".1f") -> str:
        return f"{round(100 * share, 1) + 0.0:{form}}".replace("-", "−")  # no -0.0

    shown = groups if kind == LENGTH else sorted(groups, key=lambda group: group.share)[:MOST]
    rows = [
        {
            "name": group.name, "clips": group.total, "share": told(group.share), "low": told(group.low),
            "high": told(group.high), "apart": told(group.share - group.expected, "+.1f"),
            "line": (x(group.low), x(group.high)), "dot": x(group.share),
        }
        for group in shown
    ]  # fmt: skip
    title = TITLES[kind] if kind == LENGTH else f"{len(groups):,} {TITLES[kind].lower()}"
    return {
        "kind": kind, "head": "frames" if kind == LENGTH else kind,
        "title": title + (f", the worst {MOST}" if len(shown) < len(groups) else ""), "rows": rows,
        "mark": x(overall), "from": f"{100 * lowest:.0f}",
        "untold": clips - sum(group.total for group in groups),
    }  # fmt: skip
