"""The top of the page: what was run on what, how well, and at what cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.reporting.html.shell import Tile, percent
from skeleton_lab.reporting.run_report import summary
from skeleton_lab.reporting.run_report.summary import Score, peak, throughput, training_energy, training_seconds
from skeleton_lab.reporting.run_report.work_dir import Run, number
from skeleton_lab.utils import statistics


def build(run: Run) -> dict[str, Any]:
    """What ``sections.html.j2`` shows above the sections."""
    notices = list(run.notices)
    if run.epochs and not run.result:
        last = max(run.epochs)
        notices.insert(0, f"This run has not finished: it was stopped, or is still going, after epoch {last}.")
    return {
        "heading": run.name,
        "about": " · ".join([run.model, *_about(run)]),
        "notices": notices,
        "tiles": [[_score_tile(score) for score in summary.scores(run)], [*_class_tile(run), *_cost_tiles(run)]],
    }


def _about(run: Run) -> list[str]:
    """Data, feeder, stream, classes and sample counts, as far as known."""
    words = []
    source = run.feeder_args.get("data_path")
    if source:
        words += [Path(str(source)).name, f"{run.stream} stream"]
    feeder = run.start.get("feeder") or run.config.get("feeder")
    words += [str(feeder)] if feeder else []
    words += [f"{run.num_class} classes"] if run.num_class else []
    for key, word in (("train_samples", "training"), ("test_samples", "test")):
        if number(run.start.get(key)):
            words.append(f"{int(run.start[key]):,} {word} samples")
    return words


def _score_tile(score: Score) -> Tile:
    more = [f"epoch {score.epoch}"] if score.epoch is not None else []
    more += [f"top-{k} {percent(value)}" for k, value in score.others.items()]
    more += [f"loss {score.loss:.4g}"] if score.loss is not None else []
    interval = score.interval and f"95 % interval {_between(score.interval)}, of {score.samples:,} clips"
    return Tile(f"{score.title} (top-1)", percent(score.top1), [", ".join(more), interval or "", score.note])


def _between(interval: tuple[float, float]) -> str:
    return " to ".join(percent(end) for end in interval)


def _class_tile(run: Run) -> list[Tile]:
    """Means over the classes: what top-1 says where all classes had equally many clips."""
    matrix = summary.confusion(run)
    if matrix is None:
        return []
    means = f"mean of {np.count_nonzero(matrix.totals)} classes; macro F1 {percent(statistics.macro_f1(matrix.counts))}"
    share = percent(statistics.macro_accuracy(matrix.counts))
    return [Tile("Macro accuracy", share, [means, summary.evaluated(run)], minor=True)]


def _cost_tiles(run: Run) -> list[Tile]:
    tiles = []
    seconds = training_seconds(run) or number(run.result.get("seconds"))
    if seconds:
        what = "training and its evaluations" if run.epochs else "evaluation"
        tiles.append(Tile("Time", duration(seconds), [what], minor=True))
    speed = throughput(run)
    if speed:
        text = f"{speed:,.0f} /s" if speed >= 10 else f"{speed:.2f} /s"
        tiles.append(Tile("Throughput", text, ["training samples, median of the epochs"], minor=True))
    for key, title, what in (
        ("peak_rss_mb", "Peak memory", "resident, main process"),
        ("peak_gpu_mb", "Peak GPU memory", "allocated by torch"),
    ):
        used = peak(run, key)
        tiles += [Tile(title, size(used), [what], minor=True)] if used else []
    joules = training_energy(run)
    tiles += [Tile("Energy", energy(joules), ["training, of the whole device"], minor=True)] if joules else []
    parameters = number(run.start.get("parameters"))
    device = ", ".join(str(run.start[key]) for key in ("device", "precision") if run.start.get(key))
    tiles += [Tile("Parameters", f"{parameters:,.0f}", [device], minor=True)] if parameters else []
    return tiles


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def energy(joules: float) -> str:
    return f"{joules / 3.6e6:.3g} kWh" if joules >= 3.6e5 else f"{joules / 3600:.3g} Wh"


def size(mebibytes: float) -> str:
    return f"{mebibytes / 1024:.2f} GiB" if mebibytes >= 1024 else f"{mebibytes:.0f} MiB"
