"""Runs read one at a time: what their work dirs tell, and their answers; logits are let go before the next is read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from skeleton_lab.compare.finding import SEED, Place
from skeleton_lab.reporting.run_report import work_dir
from skeleton_lab.reporting.run_report.evaluation import OF_CLIPS
from skeleton_lab.reporting.run_report.summary import Score, scores
from skeleton_lab.reporting.run_report.work_dir import Run, number
from skeleton_lab.utils.progress import clip_bar

# What may differ within a group of seeds: where things lie, how they run, what is printed and kept.
FREE = frozenset((
    "seed", "work_dir", "config", "device", "num_worker", "threads", "resume", "report", "log_interval", "print_log",
    "save_log", "save_interval", "save_epoch", "save_score", "save_result", "checkpoint_minutes", "memory", "use_gpu",
    "model_saved_name", "pavi_log", "compile", "fused", "activation_checkpointing", "eval_interval", "eval_start",
    "test_batch_size", "show_topk", "assume_yes", "trust_code", "optimizer_states", "checkpoint",
))  # fmt: skip


@dataclass
class Result:
    """A run, and what it said to N test clips; N is 0 where it has not been tested.

    Attributes:
        labels, predicted: (N,) int32. names, subjects, frames: (N,) of the clips, as in ``Evaluation``; let go once the
            clips of all runs are put into one order.
        group: name of the runs that differ by their seed alone.
    """

    place: Place
    run: Run
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    predicted: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    names: np.ndarray | None = None
    subjects: np.ndarray | None = None
    frames: np.ndarray | None = None
    top5: float | None = None
    num_class: int = 0
    epoch: int | None = None  # of the weights that were tested
    class_names: list[str] = field(default_factory=list)
    group: str = ""

    @property
    def name(self) -> str:
        return self.place.name

    @property
    def finished(self) -> bool:
        """A training that has come to its end, or a test; with predictions."""
        fewer = (number(self.run.config.get("num_epoch")) or self.place.num_epoch) < self.place.num_epoch
        return len(self.predicted) > 0 and not fewer and bool(self.run.result or not self.run.epochs)

    @property
    def right(self) -> np.ndarray:
        """(N,) bool."""
        return np.equal(self.predicted, self.labels)

    @property
    def best_epoch(self) -> int | None:
        """That the run calls its best; else that of the answers."""
        best = self.scores.get("best")
        return self.epoch if best is None or best.epoch is None else best.epoch

    @property
    def other_epoch(self) -> bool:
        """The answers are not the best epoch's."""
        return self.epoch is not None and self.best_epoch != self.epoch

    @property
    def seed(self) -> int | None:
        told = self.place.seed if self.place.study else number(self.run.config.get("seed"))
        return None if told is None else int(told)

    @property
    def room(self) -> str:
        return str(self.run.start.get("program") or "")

    @property
    def stream(self) -> str:
        return self.place.stream.replace("-motion", " motion") or self.run.stream

    @property
    def scores(self) -> dict[str, Score]:
        """The headline's accuracies by what they are of: "best", "last"; a test of given weights is "best"."""
        found: dict[str, Score] = {}
        for score in scores(self.run):
            found.setdefault("last" if score.title == "Last epoch" else "best", score)
        return found


def read(places: Sequence[Place], show: bool = True) -> tuple[list[Result], list[str]]:
    """Every run, and notices of what could not be read.

    Raises:
        UsageError: a folder holds no run.
    """
    results: list[Result] = []
    notices: list[str] = []
    with clip_bar(len(places), "Reading", show=show, delay=1, unit=" runs") as bar:
        for place in places:
            run = work_dir.load(place.folder, brief=True)
            result = Result(place, run)
            if run.evaluation is not None:
                _take(result)
                _share(results[0] if results else result, result)
            notices += [f"{place.name}: {notice}" for notice in run.notices]
            results.append(result)
            bar.update()
    _name_groups(results)
    return results, notices


def _take(result: Result) -> None:
    """The answers, out of the run."""
    told = result.run.evaluation
    assert told is not None
    result.class_names = work_dir.class_names(result.run)
    result.run.evaluation = None
    result.labels, result.predicted = told.labels.astype(np.int32), told.pred.astype(np.int32)
    result.names, result.subjects, result.frames = told.names, told.subjects, told.frames
    result.top5, result.num_class = told.top5, told.num_class
    result.epoch = told.epoch


def _share(first: Result, other: Result) -> None:
    """Equal names, subjects and frames are kept once: of 100 runs they are the most that is kept."""
    for key in OF_CLIPS:
        mine, theirs = getattr(first, key), getattr(other, key)
        if mine is not None and theirs is not None and np.array_equal(mine, theirs):
            setattr(other, key, mine)


def _name_groups(results: Sequence[Result]) -> None:
    """Runs of one study and family, or with the same settings but the seed, are a group; one alone is its own."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(_key(result), []).append(result)
    taken: set[str] = set()
    for members in groups.values():
        place = members[0].place
        base = place.family if place.study else _common([result.name for result in members])
        name = next(word for n in count(1) if (word := base if n == 1 else f"{base} ({n})") not in taken)
        taken.add(name)
        for result in members:
            result.group = name


def _key(result: Result) -> str:
    place, config = result.place, result.run.config
    if place.study:
        return f"study {place.folder.parent.resolve()} {place.family}"
    if not config or result.run.config.get("seed") is None:
        return f"folder {place.folder.resolve()}"
    kept = _named({key: value for key, value in config.items() if key not in FREE})
    return json.dumps([result.room, kept], sort_keys=True, default=str)


def _named(value: Any) -> Any:
    """Keys as text: those of several kinds have no order."""
    return {str(key): _named(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def _common(names: list[str]) -> str:
    """What to call runs of these names: what they share, without the seed."""
    bare = {SEED.sub("", name) for name in names}
    if len(bare) == 1 and len(names) > 1 and (name := bare.pop()):
        return name
    if len(names) == 1:
        return names[0]
    shared = names[0]
    while shared and not all(name.startswith(shared) for name in names):
        shared = shared[:-1]
    return shared.rstrip("-_./ ") or f"{names[0]} and {len(names) - 1} more"
