"""The tables of a zero-shot report: the baselines beside the method, and the runs of several seeds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from skeleton_lab.reporting.html.shell import Section
from skeleton_lab.zero_shot.align import baselines, seeds
from skeleton_lab.zero_shot.align.seeds import ALIGNED, GATED, TITLES

COLUMNS = ("zsl_accuracy", *GATED)
TEMPLATES = "zero_shot/report/templates"


def compared(method: str, row: dict[str, str], told: dict[str, dict[str, Any]], cells: dict[str, dict]) -> Section:
    """Method and baselines row by row.

    Args:
        row: cells of the method by figure.  told: baselines as their JSON has them.  cells: their cells by figure.
    """
    shown = [key for key in COLUMNS if key in row]
    lines = [(method, row), *((baselines.NAMES.get(name, name), cells[name]) for name in told)]
    source = (told.get("conse") or {}).get("probabilities") or {}
    words = "; ".join(f"{name}: {where}" for name, where in source.items() if isinstance(where, str)) or "see its JSON"
    return Section("baselines", "Beside two baselines, %", f"{TEMPLATES}/comparison.html.j2", {
        "source": words, "head": [TITLES[key] for key in shown],
        "rows": [(name, [figures.get(key, "–") for key in shown]) for name, figures in lines],
    })  # fmt: skip


def of_one(method: str, trained: dict[str, Any], gated: dict[str, Any]) -> Section | None:
    """For the run of one seed; None without baselines (runs of published programs)."""
    told = seeds.joined(trained, gated)
    if not told:
        return None
    row = {"zsl_accuracy": trained.get("zsl_accuracy")} | {key: gated[key] for key in GATED if key in gated}
    cells = {name: {key: seeds.written(entry.get(key), None, 2) for key in COLUMNS} for name, entry in told.items()}
    return compared(method, {key: seeds.written(value, None, 2) for key, value in row.items()}, told, cells)


def of_seeds(method: str, told: dict[str, Any]) -> Section | None:
    """For the summary of several."""
    if not told["baselines"]:
        return None
    cells = {
        name: {key: seeds.written(entry.get(key), entry["sd"].get(key) or None) for key in COLUMNS}
        for name, entry in told["baselines"].items()
    }
    row = {k: seeds.written(told["mean"][k], told["sd"][k]) for k in COLUMNS if told["mean"].get(k) is not None}
    return compared(f"{method}, mean of {len(told['seeds'])} seeds", row, told["baselines"], cells)


def runs(told: dict[str, Any], pages: dict[str, Path], folder: Path) -> Section:
    """A row per seed, with a link to its page, and one of mean and deviation."""
    shown = [key for key in (*ALIGNED, *GATED) if told["mean"].get(key) is not None]

    def row(name: str, values: dict[str, Any], cycle: Any = "", page: str | None = None) -> dict[str, Any]:
        cells = [seeds.written(values.get(key), None, 2) for key in shown]
        return {"name": name, "page": page, "cycle": cycle, "cells": cells}

    rows = []
    for seed, run in told["runs"].items():
        page = Path(os.path.relpath(pages[seed], folder)).as_posix() if seed in pages else None
        cycle = run.get("selected_cycle")
        rows.append(row(seed, run, "" if cycle is None else cycle, page))
    rows += [row("mean", told["mean"]), row("standard deviation", told["sd"])]
    head = ["seed", "cycle", *(TITLES[key] for key in shown)]
    return Section("seeds", "Seeds, %", f"{TEMPLATES}/seeds.html.j2", {"head": head, "runs": rows})
