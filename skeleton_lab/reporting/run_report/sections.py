"""The parts of the page below the headline, each a function from figures to a section."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skeleton_lab.reporting.html.clip_json import Clip
from skeleton_lab.reporting.html.markup import Markup, join, tag
from skeleton_lab.reporting.run_report.summary import ClassAccuracy, Confusion, Pair, top_k
from skeleton_lab.reporting.run_report.work_dir import Run, number

LEGEND = (0, 0.01, 0.05, 0.25, 0.5, 1.0)
STREAMS = {
    "joint": "The clips are drawn as the network got them (joint stream).",
    "bone": "The network got the bone stream: bodies are rebuilt from bones; where a person stands is not known.",
}
MEASURED = {
    "seconds": "seconds", "samples_per_second": "samples/s", "data_seconds": "waiting for data, s",
    "peak_rss_mb": "peak memory, MiB", "peak_gpu_mb": "peak GPU memory, MiB",
}  # fmt: skip


@dataclass
class Section:
    anchor: str
    title: str
    content: Any

    def markup(self) -> Markup:
        return tag("section", tag("h2", self.title), self.content, id=self.anchor)


def _note(text: str) -> Markup:
    return tag("p", text, class_="muted")


def _scrolling(label: str, *content: Any) -> Markup:
    return tag("div", *content, class_="card scroll", tabindex=0, role="region", aria_label=label)


def curves(pictures: Sequence[Markup], run: Run) -> Section:
    return Section("curves", "Curves", [tag("div", pictures, class_="charts"), _epoch_table(run)])


def _epoch_table(run: Run) -> Markup:
    """Every figure of the curves in a table: for reading out, copying and machines without scripts."""
    epochs = sorted({*run.epochs, *(epoch for split in run.evals.values() for epoch in split)})
    columns: dict[str, list[str]] = {"epoch": [str(epoch) for epoch in epochs]}

    def add(title: str, events: dict[int, dict], key: str, factor: float = 1) -> None:
        cells = [_figure(events.get(epoch, {}).get(key), factor) for epoch in epochs]
        if any(cells):
            columns[title] = cells

    add("learning rate", run.epochs, "lr")
    add("training loss", run.epochs, "loss")
    add("training accuracy, %", run.epochs, "acc", 100)
    for split, events in run.evals.items():
        add(f"{split} loss", events, "loss")
        for k in sorted({k for event in events.values() for k in top_k(event)}):
            add(f"{split} top-{k}, %", events, f"top{k}", 100)
    for key, title in MEASURED.items():
        add(title, run.epochs, key)
    head = tag("thead", tag("tr", [tag("th", title, scope="col") for title in columns]))
    body = tag("tbody", [tag("tr", [tag("td", cell) for cell in row]) for row in zip(*columns.values())])
    table = _scrolling("Figures of every epoch", tag("table", head, body, class_="numbers"))
    return tag("details", tag("summary", "All epochs as a table"), table)


def _figure(value: Any, factor: float) -> str:
    told = number(value)
    if told is None:
        return ""
    told *= factor
    return f"{told:.0f}" if told == int(told) or abs(told) >= 1000 else f"{told:.4g}"


def confusion(matrix: Confusion, names: Sequence[str], accuracy: float, what: str = "Last evaluation") -> Section:
    shades = [f"color-mix(in srgb, var(--full) {100 * share**0.5:.0f}%, var(--empty))" for share in LEGEND]
    keys = [tag("i", style=f"background: {shade}") for shade in shades]
    scale = [tag("span", key, f"{100 * share:.0f} %") for key, share in zip(keys, LEGEND)]
    label = f"Confusion matrix of {len(matrix.classes)} classes. Arrow keys read single cells."
    canvas = tag("canvas", id="confusion", tabindex=0, role="img", aria_label=label)
    text = (
        f"{what}: {matrix.counts.sum():,} samples, top-1 {100 * accuracy:.2f} %. Rows are true classes, "
        "columns predictions, numbers class ids; colour is the share of the row. Point at a cell or use the arrow "
        "keys. A search keeps the classes that match, and what they are taken for."
    )
    if len(matrix.classes) < len(names):
        text += f" Only the {len(matrix.classes)} of {len(names)} classes that occur are shown."
    orders = _choice("Order of the classes", id="confusion-order", by={"id": "by id", "accuracy": "worst first",
                     "name": "by name"})  # fmt: skip
    zoom = [tag("button", word, type="button", id=f"confusion-{name}", class_="small", aria_label=told)
            for name, word, told in (("out", "−", "Smaller"), ("in", "+", "Larger"))]  # fmt: skip
    tools = tag("div", _search("confusion-search"), orders, tag("span", zoom, class_="zoom"), class_="controls tools")
    card = tag(
        "div", tools, tag("div", canvas, class_="matrix"), tag("div", scale, class_="scale muted"), class_="card"
    )
    return Section("confusion-matrix", "Confusion matrix", [_note(text), card])


def _search(anchor: str) -> Markup:
    return tag("input", type="search", id=anchor, placeholder="find a class", aria_label="Find a class by name or id")


def _choice(label: str, id: str, by: dict[str, str]) -> Markup:
    return tag("select", [tag("option", text, value=key) for key, text in by.items()], id=id, aria_label=label)


def confusion_data(matrix: Confusion, names: Sequence[str]) -> dict:
    """What ``resources/confusion.js`` draws: class ids, names, and (row, column, count) one after the other."""
    rows, columns = matrix.counts.nonzero()
    cells = [(int(row), int(column), int(matrix.counts[row, column])) for row, column in zip(rows, columns)]
    return {
        "ids": matrix.classes.tolist(),
        "names": [names[cls] for cls in matrix.classes],
        "cells": [value for cell in cells for value in cell],
    }


def per_class(classes: Sequence[ClassAccuracy], names: Sequence[str], what: str = "Last evaluation") -> Section:
    rows = []
    for entry in classes:
        bar = tag("span", tag("span", style=f"width: {100 * entry.share:.1f}%"), class_="bar", aria_hidden="true")
        accuracy = tag("span", f"{100 * entry.share:.1f} %", class_="number")
        counts = tag("span", f"{entry.correct}/{entry.total}", class_="number muted", title="recognised / samples")
        taken = None
        if entry.mistaken is not None:
            taken = tag("span", f"most often taken for {names[entry.mistaken]} ({entry.mistakes})", class_="sub")
        values = {"data_id": entry.cls, "data_share": round(entry.share, 6), "data_total": entry.total}
        rows.append(tag("li", tag("span", names[entry.cls]), bar, accuracy, counts, taken, **values))
    text = f"{what}: accuracy, and samples recognised out of those there are. Classes without samples are left out."
    orders = _choice("Order of the classes", id="classes-order", by={"worst": "worst first", "best": "best first",
                     "id": "by id", "name": "by name", "samples": "most samples first"})  # fmt: skip
    found = tag("output", class_="muted", id="classes-found")
    tools = tag("div", _search("classes-search"), orders, found, class_="controls tools")
    card = tag("div", tools, tag("ol", rows, class_="classes"), class_="card")
    return Section("classes", "Accuracy per class", [_note(text), card])


def pairs(
    found: Sequence[Pair], clips: Sequence[Clip], names: Sequence[str], stream: str, what: str, total: int, wrong: int
) -> Section:
    counted = sum(pair.count is not None for pair in found)
    text = f"{what}: true class → predicted class, most frequent first." if found else "No sample was misclassified."
    if counted < total:
        text += f" {counted} of {total} confused pairs are shown; the confusion matrix has all of them."
    content = [_note(text)]
    if clips:
        keys = "Drag or use the arrow keys to turn the view, space to play, comma and full stop to step."
        if wrong:
            keys = f"{len(clips)} of {wrong:,} misclassified samples can be played. {keys}"
        moving = f"The clips are drawn as the network got them: {stream}, displacements between frames and no bodies."
        content.append(_note(f"{keys} {STREAMS.get(stream, moving)}"))
        content.append(tag("div", [_card(pair, clips, names) for pair in found if pair.clips], class_="pairs"))
    rest = [tag("li", *_pair(pair, names)) for pair in found if not pair.clips]
    if rest:
        content += [tag("h3", "Others", class_="later") if clips else None, tag("ul", rest)]
    return Section("pairs", "Hardest pairs", content)


def _pair(pair: Pair, names: Sequence[str]) -> tuple[Markup, Markup | None]:
    title = join(names[pair.true], tag("span", " → ", class_="arrow"), names[pair.pred])
    if pair.count is None:
        return tag("strong", title), None
    share = f" {pair.count} of {pair.total} samples ({100 * pair.count / pair.total:.1f} %)"
    return tag("strong", title), tag("span", share, class_="muted")


def _card(pair: Pair, clips: Sequence[Clip], names: Sequence[str]) -> Markup:
    """A pair with the player of its clips; ``resources/player.js`` brings it to life."""
    title, share = _pair(pair, names)
    what = f"{names[pair.true]} taken for {names[pair.pred]}"
    if len(pair.clips) > 1:
        options = [tag("option", f"sample {clips[place].name}", value=place) for place in pair.clips]
        which = tag("select", options, aria_label=f"Clip: {what}")
    else:
        which = tag("span", f"sample {clips[pair.clips[0]].name}", class_="sub")
    told = f"Skeleton of {what}. Arrow keys turn, space plays, comma and full stop step."
    stage = tag("canvas", class_="stage", tabindex=0, role="img", aria_label=told)
    play = tag("button", "Play", type="button")
    slider = tag("input", type="range", min=0, max=0, value=0, aria_label=f"Frame: {what}")
    controls = tag("div", play, slider, tag("output", class_="muted"), class_="controls")
    content = [tag("h3", title), tag("p", share), which, stage, controls]
    return tag("article", content, class_="pair", data_clip=pair.clips[0])


def _facts(label: str, rows: Sequence[tuple[str, Any]]) -> Markup:
    shown = [(name, value) for name, value in rows if value not in (None, "")]
    if not shown:
        return _note("Not known.")
    lines = [tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in shown]
    return _scrolling(label, tag("table", tag("tbody", lines), class_="facts"))


def configuration(run: Run) -> Section:
    rows = [(key, tag("code", value)) for key, value in flat(run.config)]
    return Section("configuration", "Configuration", _facts("Configuration", rows))


def flat(value: dict, before: str = "") -> list[tuple[str, str]]:
    """Nested mappings as dotted names."""
    rows = []
    for key, entry in value.items():
        if isinstance(entry, dict) and entry:
            rows += flat(entry, f"{before}{key}.")
        else:
            rows.append((f"{before}{key}", str(entry)))
    return rows


def environment(run: Run) -> Section:
    start = run.start
    argv = start.get("argv")
    command = run.command or (" ".join(map(str, argv)) if isinstance(argv, list) else argv)
    rows = [
        ("started", start.get("time")),
        ("resumed", f"{run.resumed} time(s)" if run.resumed else None),
        ("command line", tag("code", command) if command else None),
        ("device", start.get("device")),
        ("precision", start.get("precision")),
    ]
    for part in ("hardware", "versions"):
        rows += start[part].items() if isinstance(start.get(part), dict) else []
    return Section("environment", "Environment", _facts("Environment", [*rows, ("work dir", str(run.work_dir))]))
