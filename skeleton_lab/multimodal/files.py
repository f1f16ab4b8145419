"""``multimodal.json``, ``multimodal.csv`` and the page."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from skeleton_lab.data.archives import class_names
from skeleton_lab.data.archives.descriptors.beside import NONE
from skeleton_lab.errors import UsageError
from skeleton_lab.multimodal import page
from skeleton_lab.multimodal.clips import Task
from skeleton_lab.multimodal.table import Table, facts
from skeleton_lab.utils import results
from skeleton_lab.utils.atomic import write_atomically

NAME = "multimodal"
COLUMNS = ("key", "title", "control", "seed", "clips", "right", "top1", "low", "high")


def notices(task: Task, table: Table, options: Namespace) -> list[str]:
    """What a reader must know."""
    told = []
    if task.known_before:
        told.append(
            f"The network was trained on {task.known_before} of {len(task.entries['test'])} test clips, so S, L, F and "
            "K have seen the answers: take weights of this division's training."
        )
    for split in ("train", "test"):
        missing = int((task.entries[split] == NONE).sum())
        if missing:
            told.append(
                f"{missing} of {len(task.entries[split])} {split} clips have no descriptor; models that see the "
                "skeleton take them by it alone."
            )
        late = int(((task.entries[split] != NONE) & ~task.known(split)).sum())
        if late:
            told.append(
                f"Of {late} of {len(task.entries[split])} {split} clips no descriptor is known by the time that is "
                "observed; models that see the skeleton take them by it alone."
            )
    if not table.weights:
        told.append(
            "Late fusion with a fitted weight is left out: nothing tells the subjects of the training clips, or all "
            "are of one."
        )
    elif not task.unseen:
        told.append(
            "The network was trained on the subjects by whom the weight of late fusion is fitted, so the weight trusts "
            "the skeleton too much; train it with --val-split subjects."
        )
    if options.observe < 1:
        told.append(
            f"The first {100 * options.observe:g} % of every clip are seen, of skeletons and descriptors alike."
        )
    return told


def write(
    folder: Path, task: Task, table: Table, spent: dict[str, Any], said: Sequence[str], options: Namespace
) -> None:
    """Raises UsageError where a file cannot be written."""
    names = list(task.parts["test"].class_names or class_names.published(task.classes, False))
    content = {
        "room": options.room, "weights": str(options.weights), "data": str(options.data),
        "descriptors": str(options.descriptors), "observe": options.observe, "seeds": list(options.seeds),
        "clips": {split: len(each) for split, each in task.entries.items()}, "trained_on": len(task.train),
        "known_before": task.known_before,
        "held_out": {"clips": len(task.held), "unseen_by_network": task.unseen},
        "rows": [facts(table, row) for row in table.rows],
        "classes": [{"class": names[each.cls], **asdict(each), "change": each.change} for each in table.classes],
        "divisions": [facts(table, row) for row in table.divisions],
        "late_weights": {str(seed): weight for seed, weight in table.weights.items()},
        "cost": {"heads": table.cost, **spent}, "notices": list(said),
    }  # fmt: skip
    results.write_json(folder / f"{NAME}.json", content)
    results.write_csv(folder / f"{NAME}.csv", COLUMNS, _lines(table))
    text = page.build(task, table, spent, said, names, options)
    try:
        write_atomically(folder / f"{NAME}.html", lambda file: file.write(text.encode()))
    except OSError as error:
        raise UsageError(f"{folder / NAME}.html: cannot be written ({error.strerror or error})") from None


def _lines(table: Table) -> list[list[Any]]:
    """A line for every row and seed."""
    made: list[list[Any]] = []
    for row in (*table.rows, *table.divisions):
        for seed, share in zip(row.seeds or ("",), row.shares):
            made.append([row.key, row.title, row.control, seed, share.total, share.right, share.value, *share.interval])
    return made
