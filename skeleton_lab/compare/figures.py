"""The figures of a run, and of the runs that differ by their seed alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skeleton_lab.compare.reading import Result
from skeleton_lab.reporting.run_report.summary import peak, throughput, training_energy, training_seconds
from skeleton_lab.reporting.run_report.work_dir import number
from skeleton_lab.utils import statistics


@dataclass(frozen=True)
class Share:
    """So many of so many clips, with the interval of Wilson 1927 at 95 %; fractions."""

    right: int
    total: int

    @property
    def value(self) -> float:
        return self.right / self.total

    @property
    def interval(self) -> tuple[float, float]:
        return statistics.wilson(self.right, self.total)


@dataclass
class Row:
    """One run.

    Attributes:
        answers: top-1 of what ``evaluation.npz`` holds, on the clips that are compared: of the best epoch, or of the
            last where the room's program keeps that.
        best: top-1 of the best epoch's weights, or of the weights that were given; chosen: how that epoch was chosen.
        last: of the last epoch; None where the run does not tell.
        macro, f1: means over the classes of ``answers``.
        seconds: of training and its evaluations. rate: training clips a second. joules: of the training.
        rss, gpu: peaks in MiB.
        flops: of a forward pass of one clip, where they were counted.
    """

    result: Result
    answers: Share
    best: Share
    chosen: str
    last: Share | None
    last_epoch: int | None
    macro: float
    f1: float
    seconds: float | None
    rate: float | None
    joules: float | None
    rss: float | None
    gpu: float | None
    parameters: float | None
    flops: float | None = None

    @property
    def name(self) -> str:
        return self.result.name


@dataclass
class Group:
    """Runs that differ by their seed alone; often one."""

    name: str
    rows: list[Row]

    def over_seeds(self, value: Callable[[Row], float | None]) -> tuple[float, float | None] | None:
        """Mean and sample standard deviation over the runs; None where a run does not tell."""
        told = [value(row) for row in self.rows]
        known = [each for each in told if each is not None]
        return statistics.mean_sd(known) if known and len(known) == len(told) else None

    @property
    def top1(self) -> float:
        return statistics.mean_sd([row.best.value for row in self.rows])[0]

    @property
    def first(self) -> Row:
        return self.rows[0]

    @property
    def span(self) -> tuple[float, float]:
        """Mean ± standard deviation of top-1 over the runs; of one run its interval."""
        mean, deviation = statistics.mean_sd([row.best.value for row in self.rows])
        return self.first.best.interval if deviation is None else (mean - deviation, mean + deviation)


def row(result: Result, classes: int, whole: bool) -> Row:
    """The figures of a run with answers.

    Args:
        classes: K of all runs. whole: the clips compared are all that the run was tested on, so that what it has
            written of its last epoch is of the same.
    """
    run, scores = result.run, result.scores
    answers = Share(int(result.right.sum()), len(result.labels))
    best = answers
    if whole and result.other_epoch and (told := scores["best"].top1) is not None:
        best = Share(round(told * answers.total), answers.total)
    confusion = statistics.confusion(result.labels, result.predicted, classes)
    last, last_epoch = None, None
    if whole and (ended := scores.get("last")) is not None and ended.top1 is not None:
        last, last_epoch = Share(round(ended.top1 * answers.total), answers.total), ended.epoch
    return Row(
        result, answers, best, scores["best"].title if "best" in scores else "Test", last, last_epoch,
        statistics.macro_accuracy(confusion), statistics.macro_f1(confusion),
        training_seconds(run) or number(run.result.get("seconds")), throughput(run), training_energy(run),
        peak(run, "peak_rss_mb"), peak(run, "peak_gpu_mb"), number(run.start.get("parameters")),
    )  # fmt: skip


def grouped(rows: Sequence[Row]) -> list[Group]:
    """The groups, best mean accuracy first."""
    groups: dict[str, Group] = {}
    for each in rows:
        groups.setdefault(each.result.group, Group(each.result.group, [])).rows.append(each)
    for group in groups.values():
        group.rows.sort(key=lambda each: (each.result.seed is None, each.result.seed or 0, each.name))
    return sorted(groups.values(), key=lambda group: -group.top1)


def facts(each: Row) -> dict[str, Any]:
    """The columns of a run in ``comparison.csv`` and ``comparison.json``; accuracies are fractions."""
    result, run = each.result, each.result.run
    low, high = each.best.interval
    last = each.last
    return {
        "run": each.name, "group": result.group, "room": result.room, "model": run.model, "stream": result.stream,
        "seed": result.seed, "clips": each.best.total, "right": each.best.right, "top1": each.best.value, "low": low,
        "high": high, "chosen": each.chosen, "epoch": result.best_epoch,
        "answers_right": each.answers.right, "answers_epoch": result.epoch, "top5": result.top5,
        "macro_accuracy": each.macro, "macro_f1": each.f1, "last_top1": last and last.value,
        "last_low": last and last.interval[0], "last_high": last and last.interval[1], "last_epoch": each.last_epoch,
        "parameters": each.parameters, "flops_forward": each.flops, "seconds": each.seconds,
        "samples_per_second": each.rate, "energy_joules": each.joules, "peak_rss_mb": each.rss, "peak_gpu_mb": each.gpu,
        "device": run.start.get("device"), "precision": run.start.get("precision"), "folder": str(result.place.folder),
    }  # fmt: skip


def shown(mean: tuple[float, float | None] | None) -> str:
    """``91.20 ± 0.15``, in %; without a deviation where there is one seed."""
    if mean is None:
        return "–"
    return f"{100 * mean[0]:.2f}" + ("" if mean[1] is None else f" ± {100 * mean[1]:.2f}")


def best_rows(groups: Sequence[Group]) -> list[Row]:
    """All runs, in the order of their groups."""
    return [each for group in groups for each in group.rows]


def right_matrix(rows: Sequence[Row]) -> np.ndarray:
    """(R, N) bool: which clips each run has right."""
    return np.stack([each.result.right for each in rows])
