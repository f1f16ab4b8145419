"""The table: what each model is right about, with intervals, and against the skeleton alone on the same clips."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from skeleton_lab.compare.figures import Share
from skeleton_lab.compare.pairs import ClassDifference, class_differences
from skeleton_lab.compare.sections import short_p
from skeleton_lab.multimodal.clips import Task
from skeleton_lab.multimodal.units import MISSING, Runner, Unit, divided, divisions, units
from skeleton_lab.nn.fusion import LateFusion
from skeleton_lab.utils import statistics

ALONE, FUSED, ANEW, TUNED = "S", "F", "S-head", "S-tuned"
TUNED_ROWS = (TUNED, "F-tuned", "K-tuned", "F-tuned-shuffled")
Outputs = dict[int, dict[str, np.ndarray]]  # by seed, what a unit gave


@dataclass(frozen=True)
class Row:
    """A model, tested.

    Attributes:
        key: short and lasting; title: what it is. control: it shows what a gain is not due to.
        seeds: () of a network that is there already; right: (seeds or 1, N) bool, which test clips it has right.
    """

    key: str
    title: str
    seeds: tuple[int, ...]
    right: np.ndarray
    control: bool = False

    @property
    def shares(self) -> list[Share]:
        """For each seed."""
        return [Share(int(each.sum()), len(each)) for each in self.right]

    @property
    def top1(self) -> tuple[float, float | None]:
        """Mean and standard deviation over the seeds, fractions."""
        return statistics.mean_sd([share.value for share in self.shares])

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's at 95 %, of the mean over the seeds: what a test of so many clips leaves open, whatever the seed."""
        return statistics.wilson(round(float(self.right.sum(1).mean())), self.right.shape[1])

    def p_against(self, other: Row) -> float:
        """McNemar's p, of the seed for which it is the largest."""
        pairs = zip(self.right, other.right if len(other.right) > 1 else np.repeat(other.right, len(self.right), 0))
        return max(statistics.mcnemar(mine, theirs)[2] for mine, theirs in pairs)


@dataclass
class Table:
    """All that was measured.

    Attributes:
        rows: models, then controls; classes: F against S, of the first seed. divisions: descriptors alone by published
            divisions of the same clips, whose test clips differ. weights: of late fusion, by seed.
        cost: by model, parameters and seconds of training.
    """

    rows: list[Row]
    classes: list[ClassDifference]
    divisions: list[Row]
    weights: dict[int, float]
    cost: dict[str, dict[str, float]] = field(default_factory=dict)

    def row(self, key: str) -> Row:
        return next(row for row in self.rows if row.key == key)

    def against(self, row: Row) -> list[tuple[float, float] | None]:
        """Points more than S, and than S that was trained as the row was, without descriptors, each with its p.

        A head that is trained anew may be better than the network's own by itself, so a gain is what is left of it
        against the second.
        """
        anew = TUNED if row.key in TUNED_ROWS else ANEW
        return [
            None
            if row.key in (ALONE, other)
            else (100 * (row.top1[0] - self.row(other).top1[0]), row.p_against(self.row(other)))
            for other in (ALONE, anew)
        ]


def titles(several: bool) -> dict[str, str]:
    """What the rows are called; ``several``: descriptors of a clip."""
    over = ", attention over time" if several else ""
    return {
        "S": "S: the skeleton alone, as it was trained",
        "S-head": "S with a new head of F's size, no descriptors",
        "I-linear-mean": "I: descriptors alone, linear" + (", mean over time" if several else ""),
        "I-linear-attention": "I: descriptors alone, linear, attention over time",
        "I-hidden-mean": "I: descriptors alone, a hidden layer, mean over time",
        "I-hidden": f"I: descriptors alone, a hidden layer{over}",
        "L-even": "L: late fusion of S and I, 1:1",
        "L-fitted": "L: late fusion, weight fitted on held-out training subjects",
        "F": "F: gated fusion of features",
        "K": "K: co-learning, the skeleton alone in the test",
        "S-tuned": "S, trained on, no descriptors",
        "F-tuned": "F, the network trained along",
        "K-tuned": "K, the network trained along",
        "F-shuffled": "F, descriptors shuffled over the clips",
        "F-tuned-shuffled": "F, the network trained along, descriptors shuffled",
        **{f"F-missing-{percent}": f"F, missing for {percent} % of the test clips" for percent in MISSING},
        "F-first": "F, the first frame's descriptor alone",
    }


CONTROLS = ("F-shuffled", "F-tuned-shuffled", *(f"F-missing-{percent}" for percent in MISSING), "F-first")


def made(task: Task, options: Namespace, runner: Runner) -> Table:
    """Train what is missing, and judge."""
    chosen = units(task, options)
    found = {unit.name: {seed: runner.outputs(unit, seed) for seed in options.seeds} for unit in chosen}
    labels = task.frozen["test"].labels
    logits: dict[str, list[np.ndarray]] = {ALONE: [task.frozen["test"].logits]}
    for unit in chosen:
        if unit.benchmark is None and not unit.rest:
            logits[unit.name] = [found[unit.name][seed]["test"] for seed in options.seeds]
    for percent in MISSING:
        logits[f"F-missing-{percent}"] = [found["F"][seed][f"missing {percent}"] for seed in options.seeds]
    weights = late(task, found, logits, options.seeds)
    known = titles(task.descriptors.per_frame)
    rows = [
        Row(key, title, () if key == ALONE else tuple(options.seeds), right_of(logits[key], labels), key in CONTROLS)
        for key, title in known.items() if key in logits
    ]  # fmt: skip
    rows.sort(key=lambda row: row.control)
    table = Table(rows, [], by_division(task, chosen, found, options.seeds), weights, cost(chosen, found))
    table.classes = class_differences(labels, table.row(ALONE).right[0], table.row(FUSED).right[0])
    return table


def right_of(logits: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
    return np.stack([each.argmax(1) == labels for each in logits])


def late(
    task: Task, found: dict[str, Outputs], logits: dict[str, list[np.ndarray]], seeds: Sequence[int]
) -> dict[int, float]:
    """Add late fusion to the logits; returns the fitted weight of the descriptors, by seed."""
    tested, held = task.frozen["test"], task.frozen["train"].of(task.held)
    known = {"test": task.known("test"), "held": task.known("train")[task.held]}
    weights: dict[int, float] = {}
    for seed in seeds:
        alone = torch.from_numpy(found["I-hidden"][seed]["test"])
        skeleton = torch.from_numpy(tested.logits)
        here = torch.from_numpy(known["test"])
        logits.setdefault("L-even", []).append(LateFusion()(skeleton, alone, here).numpy())
        if not len(task.held):
            continue
        unit = "I-hidden" if task.unseen else "I-rest"
        fusion = LateFusion.fitted(
            torch.from_numpy(held.logits), torch.from_numpy(found[unit][seed]["held"]), torch.from_numpy(known["held"]),
            torch.from_numpy(held.labels),
        )  # fmt: skip
        weights[seed] = fusion.weight
        logits.setdefault("L-fitted", []).append(fusion(skeleton, alone, here).numpy())
    return weights


def by_division(task: Task, chosen: Sequence[Unit], found: dict[str, Outputs], seeds: Sequence[int]) -> list[Row]:
    rows = []
    for benchmark in divisions(task):
        unit = next(unit for unit in chosen if unit.benchmark == benchmark)
        labels = divided(task, benchmark).frozen["test"].labels
        right = right_of([found[unit.name][seed]["test"] for seed in seeds], labels)
        rows.append(Row(unit.name, benchmark.folder, tuple(seeds), right))
    return rows


def cost(chosen: Sequence[Unit], found: dict[str, Outputs]) -> dict[str, dict[str, float]]:
    """Parameters, and mean seconds of training over the seeds."""
    return {
        unit.name: {
            "parameters": int(next(iter(found[unit.name].values()))["parameters"]),
            "seconds": float(np.mean([each["seconds"] for each in found[unit.name].values()])),
        }
        for unit in chosen
    }


def facts(table: Table, row: Row) -> dict[str, Any]:
    """A row of ``multimodal.json``; accuracies are fractions."""
    mean, deviation = row.top1
    low, high = row.interval
    content: dict[str, Any] = {
        "key": row.key, "title": row.title, "control": row.control, "clips": row.right.shape[1], "top1": mean,
        "sd": deviation, "low": low, "high": high, "right": [share.right for share in row.shares],
        "seeds": list(row.seeds),
    }  # fmt: skip
    if row.key in {each.key for each in table.rows}:
        for words, other in zip((("points", "p"), ("points_head", "p_head")), table.against(row)):
            content |= dict(zip(words, other or (None, None)))
    return content


def lines(table: Table) -> list[str]:
    """What a terminal is told; % of the test clips."""
    width = max(len(row.title) for row in table.rows)
    told = [f"{'':{width}}   top-1  ± seeds   95 %             against S           against S, new head"]
    for row in table.rows:
        mean, deviation = row.top1
        low, high = row.interval
        against = "".join(f"  {'':18}" if each is None else f"  {each[0]:+6.2f}  p {short_p(each[1]):8}"
                          for each in table.against(row))  # fmt: skip
        spread = "" if deviation is None else f"{100 * deviation:.2f}"
        interval = f"{100 * low:5.1f} to {100 * high:5.1f}"
        told.append(f"{row.title:{width}}  {100 * mean:6.2f}  {spread:>6}   {interval}  {against}".rstrip())
    return told
