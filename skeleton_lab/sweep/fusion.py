"""Fusion at the end of a study: the streams of each room and seed, with the room's fixed weights and fitted ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from skeleton_lab import registry
from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.ensemble.fusion import FITTED, combine, fit, probabilities, top1
from skeleton_lab.ensemble.program import Recipe
from skeleton_lab.ensemble.score_files import Scores, own_labels, stack
from skeleton_lab.errors import ArchiveError, LabError, one_line
from skeleton_lab.sweep import state
from skeleton_lab.sweep.runs import Run
from skeleton_lab.sweep.state import State
from skeleton_lab.utils.results import write_json

FILE = "fusion.json"
EVALUATION = "evaluation.npz"


@dataclass(frozen=True)
class Fused:
    """Of one room and seed.

    Attributes:
        weights: stream -> fixed weight; single: stream -> its own accuracy.
        top1, fitted_top1: of the sum, with fixed weights and with those searched for on the same labels.
        why: what kept the fusion from being made; the accuracies are None then.
    """

    name: str
    group: str
    seed: int
    weights: Mapping[str, float]
    single: Mapping[str, float | None]
    top1: float | None = None
    fitted: Mapping[str, float] | None = None
    fitted_top1: float | None = None
    why: str = ""


def of(runs: Sequence[Run], states: Sequence[State]) -> list[Fused]:
    """A fusion for each group and seed that has two finished streams or more."""
    groups: dict[tuple[str, int], list[Run]] = {}
    for run, now in zip(runs, states):
        if now.kind == state.FINISHED:
            groups.setdefault((run.group, run.seed), []).append(run)
    return [_fused(name, seed, found) for (name, seed), found in groups.items() if len(found) > 1]


def _fused(name: str, seed: int, runs: Sequence[Run]) -> Fused:
    title, streams = f"{name}-seed{seed}", [run.stream for run in runs]
    recipe: Recipe = registry.load(runs[0].room, "ensemble.RECIPE")
    weights = fixed(recipe, streams)
    nothing: dict[str, float | None] = dict.fromkeys(streams)
    try:
        files = [read(run.folder) for run in runs]
        scores, _ = stack(files)
        labels = own_labels(files[0])
        if labels is None:
            raise ArchiveError(f"{files[0].path}: its names are not those of its scores")
    except (LabError, OSError) as error:
        return Fused(title, name, seed, dict(zip(streams, weights)), nothing, why=one_line(error))
    scores = probabilities(scores) if recipe.probabilities else scores
    best = fit(scores, labels)
    return Fused(
        title, name, seed, dict(zip(streams, weights)), {s: top1(x, labels) for s, x in zip(streams, scores)},
        top1(combine(scores, weights), labels), dict(zip(streams, best)), top1(combine(scores, best), labels),
    )  # fmt: skip


def fixed(recipe: Recipe, streams: Sequence[str]) -> list[float]:
    """The weights that the room's ensemble gives these streams of NTU RGB+D; 1 each where it gives none."""
    try:
        return [float(weight) for weight in recipe.weights(streams, next(iter(recipe.labels)))]
    except KeyError:
        return [1.0] * len(streams)


def read(folder: Path) -> Scores:
    """The logits of a run's test clips from its ``evaluation.npz``.

    Raises:
        ArchiveError: there is none, or it is damaged.
    """
    path = folder / EVALUATION
    if not path.is_file():
        raise ArchiveError(f"{path}: there is none: the run has no test clips")
    with parsing(path), np.load(path, allow_pickle=False) as content:
        logits, names = np.asarray(content["logits"], np.float32), content["names"].tolist()
    if logits.ndim != 2 or len(names) != len(logits) or not np.isfinite(logits).all():
        raise ArchiveError(f"{path}: logits of shape {logits.shape} for {len(names)} names, or not finite")
    if len(set(names)) < len(names):
        raise ArchiveError(f"{path}: clips have equal names, so streams cannot be joined by them")
    return Scores(path, names, logits)


def write(out: Path, found: Sequence[Fused]) -> Path:
    """``fusion.json``; what was fitted says so."""
    write_json(out / FILE, [asdict(each) | {"fitted_note": FITTED} for each in found])
    return out / FILE
