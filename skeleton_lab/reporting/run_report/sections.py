"""The parts of the page below the headline: each a function from figures to what its template shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skeleton_lab.reporting.html.clip_json import Clip
from skeleton_lab.reporting.html.line_chart import Drawn
from skeleton_lab.reporting.html.shell import Section
from skeleton_lab.reporting.run_report.summary import ClassAccuracy, Confusion, Pair, top_k
from skeleton_lab.reporting.run_report.work_dir import Run, number

TEMPLATES = "reporting/run_report/templates"
LEGEND = (0, 0.01, 0.05, 0.25, 0.5, 1.0)  # shares of a row whose colours are shown beside the matrix
LAST = "Last evaluation"
MEASURED = {
    "seconds": "seconds", "samples_per_second": "samples/s", "data_seconds": "waiting for data, s",
    "peak_rss_mb": "peak memory, MiB", "peak_gpu_mb": "peak GPU memory, MiB", "energy_joules": "energy, J",
}  # fmt: skip


def curves(charts: Sequence[Drawn], run: Run) -> Section:
    table = epoch_table(run)
    return Section("curves", "Curves", f"{TEMPLATES}/curves.html.j2", {
        "charts": charts, "head": list(table), "rows": list(zip(*table.values())),
    })  # fmt: skip


def epoch_table(run: Run) -> dict[str, list[str]]:
    """Every figure of the curves by column: for reading out, copying and machines without scripts."""
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
    return columns


def _figure(value: Any, factor: float) -> str:
    told = number(value)
    if told is None:
        return ""
    told *= factor
    return f"{told:.0f}" if told == int(told) or abs(told) >= 1000 else f"{told:.4g}"


def confusion(matrix: Confusion, names: Sequence[str], accuracy: float, what: str = LAST) -> Section:
    return Section("confusion-matrix", "Confusion matrix", f"{TEMPLATES}/confusion.html.j2", {
        "what": what, "samples": int(matrix.counts.sum()), "accuracy": accuracy, "occurring": len(matrix.classes),
        "classes": len(names), "legend": LEGEND,
    })  # fmt: skip


def confusion_data(matrix: Confusion, names: Sequence[str]) -> dict:
    """What ``resources/confusion.js`` draws: class ids, names, and (row, column, count) one after the other."""
    rows, columns = matrix.counts.nonzero()
    cells = [(int(row), int(column), int(matrix.counts[row, column])) for row, column in zip(rows, columns)]
    return {
        "ids": matrix.classes.tolist(),
        "names": [names[cls] for cls in matrix.classes],
        "cells": [value for cell in cells for value in cell],
    }


def per_class(classes: Sequence[ClassAccuracy], names: Sequence[str], what: str = LAST) -> Section:
    return Section("classes", "Accuracy per class", f"{TEMPLATES}/classes.html.j2", {
        "what": what, "classes": classes, "names": names,
    })  # fmt: skip


def pairs(
    found: Sequence[Pair], clips: Sequence[Clip], names: Sequence[str], stream: str, what: str, total: int, wrong: int
) -> Section:
    """``total`` pairs were confused, ``wrong`` samples misclassified; ``clips`` of some of them can be played."""
    return Section("pairs", "Hardest pairs", f"{TEMPLATES}/pairs.html.j2", {
        "what": what, "names": names, "stream": stream, "total": total, "wrong": wrong, "clips": clips,
        "pairs": found, "counted": sum(pair.count is not None for pair in found),
        "played": [pair for pair in found if pair.clips], "others": [pair for pair in found if not pair.clips],
    })  # fmt: skip


def configuration(run: Run) -> Section:
    rows = flat(run.config)
    return _facts("configuration", "Configuration", rows, [name for name, _ in rows])


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
        ("command line", command),
        ("device", start.get("device")),
        ("precision", start.get("precision")),
    ]
    for part in ("hardware", "versions"):
        rows += start[part].items() if isinstance(start.get(part), dict) else []
    return _facts("environment", "Environment", [*rows, ("work dir", str(run.work_dir))], ["command line"])


def _facts(anchor: str, title: str, rows: Sequence[tuple[str, Any]], code: Sequence[str]) -> Section:
    """Names and values, those without one left out; the values of ``code`` are shown as computer text."""
    shown = [(name, value) for name, value in rows if value not in (None, "")]
    return Section(anchor, title, f"{TEMPLATES}/facts.html.j2", {"label": title, "rows": shown, "code": code})
