"""The tables of a zero-shot report: the baselines beside the method, and the runs of several seeds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from skeleton_lab.reporting.html.markup import Markup, tag
from skeleton_lab.reporting.run_report.sections import Section
from skeleton_lab.zero_shot.align import baselines, seeds
from skeleton_lab.zero_shot.align.seeds import ALIGNED, GATED, TITLES

COLUMNS = ("zsl_accuracy", *GATED)
ABOUT = (
    "The same features and texts without alignment by a network. ConSE: the mean of the seen classes' texts, weighted "
    "by the ten largest of their probabilities ({source}); nothing is trained. Ridge regression: a linear map from "
    "features to texts; its penalty is chosen on seen classes held out in groups, never on unseen ones. With the gate: "
    "the method's own gate decides what is seen, the baseline answers the rest. Neither depends on a seed; the gate "
    "does."
)


def compared(method: str, row: dict[str, str], told: dict[str, dict[str, Any]], cells: dict[str, dict]) -> Section:
    """Method and baselines row by row.

    Args:
        row: cells of the method by figure.  told: baselines as their JSON has them.  cells: their cells by figure.
    """
    shown = [key for key in COLUMNS if key in row]
    head = [tag("th", title, scope="col") for title in ("", *(TITLES[key] for key in shown))]
    lines = [(method, row), *((baselines.NAMES.get(name, name), cells[name]) for name in told)]
    body = [
        tag("tr", tag("th", name, scope="row"), [tag("td", figures.get(key, "–")) for key in shown])
        for name, figures in lines
    ]
    source = (told.get("conse") or {}).get("probabilities") or {}
    words = "; ".join(f"{name}: {where}" for name, where in source.items() if isinstance(where, str)) or "see its JSON"
    grid = tag("table", tag("thead", tag("tr", head)), tag("tbody", body), class_="numbers")
    content = [tag("p", ABOUT.format(source=words), class_="muted"), tag("div", grid, class_="card scroll")]
    return Section("baselines", "Beside two baselines, %", content)


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
    titles = ("seed", "cycle", *(TITLES[key] for key in shown))
    body = []
    for seed, run in told["runs"].items():
        link = tag("a", seed, href=Path(os.path.relpath(pages[seed], folder)).as_posix()) if seed in pages else seed
        cells = [tag("td", seeds.written(run.get(key), None, 2)) for key in shown]
        body.append(tag("tr", tag("th", link, scope="row"), tag("td", run.get("selected_cycle")), cells))
    for title, values in (("mean", told["mean"]), ("standard deviation", told["sd"])):
        cells = [tag("td", seeds.written(values.get(key), None, 2)) for key in shown]
        body.append(tag("tr", tag("th", title, scope="row"), tag("td", ""), cells))
    head = tag("thead", tag("tr", [tag("th", title, scope="col") for title in titles]))
    note = (
        "A seed decides first weights, batches, noise and the classifier; the features are the same, so the spread "
        "does not hold that of other trainings of the backbone. Standard deviation of a sample (n - 1)."
    )
    grid: Markup = tag("table", head, tag("tbody", body), class_="numbers")
    return Section("seeds", "Seeds, %", [tag("p", note, class_="muted"), tag("div", grid, class_="card scroll")])
