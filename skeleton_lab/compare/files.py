"""``comparison.csv``, a line for each run, and ``comparison.json``, which holds everything that the page shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.compare import fusions
from skeleton_lab.compare.comparison import Comparison
from skeleton_lab.compare.figures import Group, facts
from skeleton_lab.compare.published import Published
from skeleton_lab.utils import results

CSV, JSON = "comparison.csv", "comparison.json"


def write(comparison: Comparison, folder: Path) -> None:
    """Both files; UsageError where they cannot be written."""
    beside = {group.name: comparison.beside(group) for group in comparison.groups}
    lines = [facts(row) | _published(beside[row.result.group]) for row in comparison.rows]
    results.write_csv(folder / CSV, list(lines[0]), [list(map(_cell, line.values())) for line in lines])
    results.write_json(folder / JSON, content(comparison, lines))


def _cell(value: Any) -> Any:
    return "" if value is None else value


def _published(found: Published | None) -> dict[str, Any]:
    """Of the same test set."""
    return {"published": found and found.top1, "published_source": found and found.source}


def content(comparison: Comparison, lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the JSON file holds; accuracies are fractions."""
    rows, chosen = comparison.rows, comparison.chosen
    return {
        "clips": len(comparison.clips),
        "interval": "Wilson 1927, 95 %",
        "notices": comparison.notices,
        "groups": [_group(comparison, group) for group in comparison.groups],
        "runs": list(lines),
        "unfinished": [{"run": each.name, "folder": str(each.place.folder)} for each in comparison.unfinished],
        "fusions": fusions.as_json(comparison.fusions),
        "pairs": [asdict(pair) for pair in comparison.pairs],
        "classes": _classes(comparison),
        "chosen_pair": chosen and {
            "a": chosen[0].name, "b": chosen[1].name,
            "classes": [asdict(each) | {"name": comparison.class_names[each.cls]} for each in comparison.differences],
        },
        "parts": [
            {"kind": part.kind, "values": part.values, "clips": part.clips.tolist(),
             "right": {row.name: right.tolist() for row, right in zip(rows, part.right)}}
            for part in comparison.parts
        ],
    }  # fmt: skip


def _group(comparison: Comparison, group: Group) -> dict[str, Any]:
    measures = {
        "top1": lambda row: row.best.value, "last_top1": lambda row: row.last and row.last.value,
        "macro_accuracy": lambda row: row.macro, "macro_f1": lambda row: row.f1, "seconds": lambda row: row.seconds,
    }  # fmt: skip
    told: dict[str, Any] = {"group": group.name, "runs": [row.name for row in group.rows]}
    for name, value in measures.items():
        mean = group.over_seeds(value)
        told |= {name: mean and mean[0], f"{name}_sd": mean and mean[1]}
    found = comparison.published.get(group.name)
    return told | {"published": found and asdict(found)}


def _classes(comparison: Comparison) -> list[dict[str, Any]]:
    """Clips of each class, and how many of them each run has right."""
    labels, count = comparison.clips.labels, comparison.clips.classes
    clips = np.bincount(labels, minlength=count)
    right = {row.name: np.bincount(labels[row.result.right], minlength=count) for row in comparison.rows}
    return [
        {"class": k, "name": comparison.class_names[k], "clips": int(clips[k]),
         "right": {name: int(counts[k]) for name, counts in right.items()}}
        for k in np.flatnonzero(clips).tolist()
    ]  # fmt: skip
