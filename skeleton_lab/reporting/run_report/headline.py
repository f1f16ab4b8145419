"""The top of the page: what was run on what, how well, and at what cost."""

from __future__ import annotations

from pathlib import Path

from skeleton_lab.reporting.html.markup import Markup, tag
from skeleton_lab.reporting.run_report.summary import Score, peak, scores, throughput, training_seconds
from skeleton_lab.reporting.run_report.work_dir import Run, number


def build(run: Run) -> list[Markup]:
    notices = list(run.notices)
    if run.epochs and not run.result:
        last = max(run.epochs)
        notices.insert(0, f"This run has not finished: it was stopped, or is still going, after epoch {last}.")
    return [
        tag("h1", run.name),
        tag("p", " · ".join([run.model, *_about(run)]), class_="muted"),
        *(tag("p", notice, class_="notice", role="note") for notice in notices),
        tag("div", [_score_tile(score) for score in scores(run)], class_="tiles"),
        tag("div", _cost_tiles(run), class_="tiles"),
    ]


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


def tile(title: str, value: str, *notes: str, minor: bool = False) -> Markup:
    """A figure with what it is above and notes below."""
    below = [tag("span", note, class_="sub") for note in notes if note]
    return tag("div", tag("span", title), tag("b", value), below, class_="tile minor" if minor else "tile")


def _score_tile(score: Score) -> Markup:
    more = [f"epoch {score.epoch}"] if score.epoch is not None else []
    more += [f"top-{k} {100 * value:.2f} %" for k, value in score.others.items()]
    more += [f"loss {score.loss:.4g}"] if score.loss is not None else []
    value = "–" if score.top1 is None else f"{100 * score.top1:.2f} %"
    return tile(f"{score.title} (top-1)", value, ", ".join(more), score.note)


def _cost_tiles(run: Run) -> list[Markup]:
    tiles = []
    seconds = training_seconds(run) or number(run.result.get("seconds"))
    if seconds:
        what = "training and its evaluations" if run.epochs else "evaluation"
        tiles.append(tile("Time", duration(seconds), what, minor=True))
    speed = throughput(run)
    if speed:
        text = f"{speed:,.0f} /s" if speed >= 10 else f"{speed:.2f} /s"
        tiles.append(tile("Throughput", text, "training samples, median of the epochs", minor=True))
    for key, title, what in (
        ("peak_rss_mb", "Peak memory", "resident, main process"),
        ("peak_gpu_mb", "Peak GPU memory", "allocated by torch"),
    ):
        used = peak(run, key)
        tiles += [tile(title, size(used), what, minor=True)] if used else []
    parameters = number(run.start.get("parameters"))
    device = ", ".join(str(run.start[key]) for key in ("device", "precision") if run.start.get(key))
    tiles += [tile("Parameters", f"{parameters:,.0f}", device, minor=True)] if parameters else []
    return tiles


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def size(mebibytes: float) -> str:
    return f"{mebibytes / 1024:.2f} GiB" if mebibytes >= 1024 else f"{mebibytes:.0f} MiB"
