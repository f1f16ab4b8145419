"""The parts of the page below the headline: each from figures to what its template shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from skeleton_lab.compare.comparison import SHOWN, Comparison, occurring
from skeleton_lab.compare.figures import Group, Row, shown
from skeleton_lab.reporting.html.intervals import Scale
from skeleton_lab.reporting.html.line_chart import Drawn
from skeleton_lab.reporting.html.shell import Section, percent
from skeleton_lab.reporting.run_report.headline import duration, energy, size

TEMPLATES = "compare/templates"
LISTED = 500  # pairs of runs that the page lists; comparison.json has all
KINDS = {"subject": "Subjects", "camera": "Cameras", "setup": "Setups", "length": "Length of the recording"}


def seeds(group: Group) -> str:
    """``seeds 1, 2, 3``; of one run its seed and stream."""
    told = [row.result.seed for row in group.rows]
    count = len(told)
    if None in told:
        return f"{count} runs" if count > 1 else ""
    return f"{'seed' if count == 1 else 'seeds'} {', '.join(map(str, told))}"


def short_p(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def accuracy(found: Comparison) -> Section:
    spans = [group.span for group in found.groups]
    scale = Scale([*(end for span in spans for end in span), *(row.best.value for row in found.rows)])
    rows = []
    for group, span in zip(found.groups, spans):
        published, alone = found.beside(group), len(group.rows) == 1
        first = group.first
        about = filter(None, [first.result.room, first.result.stream, seeds(group)])
        rows.append({
            "name": group.name, "about": " · ".join(about),
            "best": shown(group.over_seeds(lambda row: row.best.value)),
            "between": _between(first.best) if alone else "", "last": shown(group.over_seeds(_last)),
            "last_between": _between(first.last) if alone and first.last else "",
            "top5": shown(group.over_seeds(lambda row: row.result.top5)),
            "macro": shown(group.over_seeds(lambda row: row.macro)), "f1": shown(group.over_seeds(lambda row: row.f1)),
            "published": "" if published is None else f"{100 * published.top1:.2f}",
            "drawn": scale.drawn(span, [row.best.value for row in group.rows]),
        })  # fmt: skip
    single = [len(group.rows) == 1 for group in found.groups]
    return Section("accuracy", "Accuracy", f"{TEMPLATES}/accuracy.html.j2", {
        "clips": len(found.clips), "rows": rows, "scale": scale,
        "published": any(map(found.beside, found.groups)),
        "seeds": not all(single), "single": any(single),
    })  # fmt: skip


def _last(row: Row) -> float | None:
    return None if row.last is None else row.last.value


def _between(share) -> str:
    low, high = share.interval
    return f"{100 * low:.2f} to {100 * high:.2f}"


def fused(found: Comparison) -> Section | None:
    """Streams added up, which a study does at its end."""
    if not found.fusions:
        return None
    lines = [
        (each.name, " + ".join(each.streams), str(each.seeds), shown(each.fixed), shown(each.fitted))
        for each in found.fusions
    ]
    head = ("room", "streams", "seeds", "fixed weights", "fitted weights")
    about = (
        "Top-1 in % of the streams' scores added up, for each seed; mean ± standard deviation over the seeds. Fitted "
        "weights were searched for on the test labels themselves, which flatters."
    )
    return Section("fusions", "Fused streams", f"{TEMPLATES}/tables.html.j2",
                   {"about": about, "tables": [("", head, lines, False)]})  # fmt: skip


def pair(found: Comparison, embedded: Sequence[Row]) -> Section:
    assert found.chosen is not None
    a, b = found.chosen
    rows = [
        (found.class_names[each.cls], str(each.clips), percent(each.right_a / each.clips, 1),
         percent(each.right_b / each.clips, 1), each.points, str(each.only_a), str(each.only_b),
         short_p(each.p), short_p(each.adjusted))
        for each in found.differences
    ]  # fmt: skip
    head = ("class", "clips", "A", "B", "B − A, points", "A alone", "B alone", "p", "corrected")
    pairs = [(each.a, each.b, str(each.only_a), str(each.only_b), short_p(each.p), short_p(each.adjusted))
             for each in found.pairs[:LISTED]]  # fmt: skip
    return Section("pair", "Two runs", f"{TEMPLATES}/pair.html.j2", {
        "runs": [row.name for row in embedded], "a": a.name, "b": b.name, "rows": rows, "head": head, "pairs": pairs,
        "left_out": len(found.rows) - len(embedded), "occurring": len(occurring(found)),
    })  # fmt: skip


def _only_shown(found: Comparison) -> str:
    rest = len(found.groups) - SHOWN
    return f" The best {SHOWN}; comparison.json has the other {rest}." if rest > 0 else ""


def parts(found: Comparison) -> Section | None:
    """Accuracy of the shown groups by subject, camera ...; the mean over their runs."""
    if not found.parts:
        return None
    place = {row.name: k for k, row in enumerate(found.rows)}
    tables = []
    for part in found.parts:
        head = (part.kind, "clips", *(group.name for group in found.shown))
        columns = [
            np.mean([part.right[place[row.name]] for row in group.rows], 0) / part.clips for group in found.shown
        ]
        lines = [
            (value, f"{part.clips[k]:,}", *(f"{100 * column[k]:.2f}" for column in columns))
            for k, value in enumerate(part.values)
        ]
        tables.append((KINDS[part.kind], head, lines, len(lines) > 12))
    about = f"Top-1 in %, mean over the seeds.{_only_shown(found)}"
    return Section("parts", "Parts of the test set", f"{TEMPLATES}/tables.html.j2", {"about": about, "tables": tables})


def classes(found: Comparison) -> Section:
    labels = found.clips.labels
    clips = np.bincount(labels, minlength=found.clips.classes)
    columns = [
        np.mean([np.bincount(labels[row.result.right], minlength=len(clips)) for row in group.rows], 0)
        for group in found.shown
    ]
    lines = [
        (found.class_names[k], f"{clips[k]:,}", *(f"{100 * column[k] / clips[k]:.1f}" for column in columns))
        for k in np.flatnonzero(clips).tolist()
    ]
    head = ("class", "clips", *(group.name for group in found.shown))
    about = f"Accuracy of every class in %, mean over the seeds.{_only_shown(found)}"
    table = ("Every class", head, lines, True)
    return Section("classes", "Classes", f"{TEMPLATES}/tables.html.j2", {"about": about, "tables": [table]})


def curves(found: Comparison, drawn: Sequence[Drawn]) -> Section | None:
    if not drawn:
        return None
    about = f"By epoch, the mean over the seeds where all of them have got so far.{_only_shown(found)}"
    return Section("curves", "Curves", f"{TEMPLATES}/curves.html.j2", {"about": about, "charts": drawn})


def published(found: Comparison) -> Section | None:
    """Published figures beside ours, and in what the recipes differ."""
    if not found.published:
        return None
    lines, unlike = [], []
    for group in found.groups:
        if theirs := found.published.get(group.name):
            best, last = (group.over_seeds(value) for value in (lambda row: row.best.value, _last))
            figure = f"{100 * theirs.top1:.2f}{'' if theirs.same_clips else ', other clips'}"
            lines.append((group.name, theirs.benchmark, figure, shown(best), shown(last),
                          str(len(theirs.differences)), theirs.source))  # fmt: skip
            if theirs.differences:
                title = f"{group.name} and {theirs.config}"
                unlike.append((title, ("setting", "published", "here"), theirs.differences, True))
    head = ("runs", "benchmark", "published", "best epoch", "last epoch", "differences", "source")
    about = (
        "Top-1 in %. A figure is of its recipe: what the run sets otherwise, as far as it decides the numbers, is "
        "listed below the table. Other clips: the run was tested on another number of clips than the benchmark has; "
        "the two cannot be compared. Settings of runs without a published figure are in their config.yaml."
    )
    return Section("published", "Published figures", f"{TEMPLATES}/tables.html.j2",
                   {"about": about, "tables": [("", head, lines, False), *unlike]})  # fmt: skip


def _mean(group: Group, value: Callable[[Row], float | None], text: Callable[[float], str]) -> str:
    mean = group.over_seeds(value)
    return "–" if mean is None else text(mean[0])


def cost(found: Comparison) -> Section:
    measures: list[tuple[str, Callable[[Row], float | None], Callable[[float], str]]] = [
        ("training", lambda row: row.seconds, duration),
        ("clips a second", lambda row: row.rate, lambda value: f"{value:,.1f}"),
        ("energy", lambda row: row.joules, energy),
        ("peak memory", lambda row: row.rss, size),
        ("peak GPU memory", lambda row: row.gpu, size),
        ("parameters", lambda row: row.parameters, lambda value: f"{value:,.0f}"),
        ("GFLOP, forward", lambda row: row.flops, lambda value: f"{value / 1e9:.3g}"),
    ]
    told = [each for each in measures if any(each[1](row) is not None for row in found.rows)]
    lines = [
        (group.name, *(_mean(group, value, text) for _, value, text in told),
         str(group.first.result.run.start.get("device") or "–"))
        for group in found.groups
    ]  # fmt: skip
    about = (
        "As the runs measured it, mean over the seeds. Times compare only where the machine was the same and had "
        "nothing else to do. Memory is the main process's, energy the whole device's."
    )
    table = ("", ("runs", *(name for name, _, _ in told), "device"), lines, False)
    return Section("cost", "Cost", f"{TEMPLATES}/tables.html.j2", {"about": about, "tables": [table]})


def runs(found: Comparison) -> Section:
    """Every run by itself."""
    lines = []
    for row in found.rows:
        last: Any = row.last
        lines.append((
            row.name, "–" if row.result.seed is None else str(row.result.seed), percent(row.best.value),
            _between(row.best), row.chosen, "–" if row.result.best_epoch is None else str(row.result.best_epoch),
            percent(last and last.value), "–" if last is None else _between(last), str(row.result.place.folder),
        ))  # fmt: skip
    head = ("run", "seed", "best epoch", "95 %", "chosen", "epoch", "last epoch", "95 %", "folder")
    about = (
        "Every run by itself, with the 95 % interval of Wilson 1927. comparison.csv has these lines with all figures."
    )
    return Section("runs", "All runs", f"{TEMPLATES}/tables.html.j2",
                   {"about": about, "tables": [("All runs", head, lines, len(lines) > 12)]})  # fmt: skip
