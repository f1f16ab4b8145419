"""``zero_shot.html`` of a finished experiment: ``python -m skeleton_lab.zero_shot.report results/5_r/ViT-B/32/lb``.

Reads what stages 1 and 4 left in that folder; without stage 4 the parts on the gate are missing. Where the folder holds
the summary of several seeds, the page shows that, and every seed gets a page of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives import class_names
from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.errors import LabError, UsageError, guarded
from skeleton_lab.reporting.html import line_chart, shell
from skeleton_lab.reporting.html.line_chart import Chart
from skeleton_lab.reporting.html.shell import Section, Tile, percent
from skeleton_lab.reporting.run_report import plot_folder, sections
from skeleton_lab.reporting.run_report.summary import Confusion, counted, per_class
from skeleton_lab.utils.atomic import write_atomically
from skeleton_lab.utils.cli import Parser
from skeleton_lab.zero_shot.align import seeds
from skeleton_lab.zero_shot.align.selection import words
from skeleton_lab.zero_shot.align.settings import SEEDS, load_json, results_folder, seed_folder
from skeleton_lab.zero_shot.gate.program import DETAILS
from skeleton_lab.zero_shot.report import figures, tables
from skeleton_lab.zero_shot.report.figures import Plane

NAME = "zero_shot.html"
GATED = (("Seen", "seen_accuracy"), ("Unseen", "unseen_accuracy"), ("Harmonic mean", "h_mean"))
METHODS = {"fsvae": "FS-VAE", "msf": "MSF-GZSSAR"}
STYLES = ("zero_shot/report/resources/zero_shot.css",)
SCRIPTS = ("reporting/html/resources/charts.js", "reporting/html/resources/confusion.js")
CYCLES = ("cycle", "zsl_accuracy", "loss", "last_loss", "seconds", "steps_per_second")  # columns of their table


@dataclass
class Experiment:
    """What a folder tells; ``gated`` and ``gate`` are None before stage 4."""

    folder: Path
    trained: dict[str, Any]
    evaluation: dict[str, np.ndarray]
    gated: dict[str, Any] | None
    gate: dict[str, np.ndarray] | None

    @property
    def names(self) -> list[str]:
        return class_names.published(int(self.trained["ntu"]), ucla=False)


def load(folder: Path) -> Experiment:
    """Read ``<wdir>/<le>/<tm>``.

    Raises:
        UsageError: stage 1 has left nothing there.
        LabError: a file is damaged.
    """
    if not (folder / "evaluation.npz").is_file() or not (folder / "train.json").is_file():
        raise UsageError(f"{folder}: no zero-shot run is there; give <wdir>/<le>/<tm> of train.py --phase train")
    trained = load_json(folder / "train.json")
    gated = seeds.gated(folder, trained) or None
    details = _arrays(folder / DETAILS) if gated is not None and (folder / DETAILS).is_file() else None
    return Experiment(folder, trained, _arrays(folder / "evaluation.npz"), gated, details)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with parsing(path), np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def gate_chart(found: Experiment) -> Chart | None:
    """None without the gate, or where the test has no seen or no unseen sequences."""
    if found.gate is None:
        return None
    labels = found.gate["labels"]
    of_seen = np.isin(labels, found.gate["seen"])
    if of_seen.all() or not of_seen.any():
        return None
    right = (found.gate[f"{kind}_answer"] == labels for kind in ("seen", "unseen"))
    return figures.gate_chart(found.gate["p_seen"], *right, of_seen)


def plane_of(found: Experiment) -> Plane:
    told = found.evaluation
    return figures.plane(told["latents"], np.searchsorted(told["unseen"], told["latent_labels"]), told["anchors"])


def build(found: Experiment, matrix: Confusion, chart: Chart | None, picture: Plane) -> str:
    """The whole page as text."""
    names, told = found.names, found.trained
    name = METHODS.get(told["variant"], told["variant"])
    drawn = line_chart.draw(chart, 0) if chart is not None else None
    parts = [
        tables.of_one(name, told, found.gated or {}),
        sections.per_class(per_class(matrix), names),
        sections.confusion(matrix, names, float(told["zsl_accuracy"])),
        _gate(found, drawn) if drawn is not None else None,
        _space(found, picture),
        _settings(told),
    ]
    data = {
        "charts": [drawn.hover] if drawn is not None else [],
        "confusion": sections.confusion_data(matrix, names),
        "clips": [],
    }
    return shell.render(
        shell.SECTIONS, title=f"{name} · zero-shot report", data=data, styles=STYLES, scripts=SCRIPTS, heading=name,
        about=_about(told), notices=[] if told["finished"] else ["This run has not finished."], tiles=[_tiles(found)],
        sections=[part for part in parts if part is not None], navigation=True,
    )  # fmt: skip


def _gate(found: Experiment, chart: line_chart.Drawn) -> Section:
    return Section("gate", "Gate", f"{tables.TEMPLATES}/gate.html.j2", {
        "chart": chart, "threshold": found.gated["threshold"], "temperature": f"{found.gated['temperature']:g}",
    })  # fmt: skip


def _space(found: Experiment, picture: Plane) -> Section:
    unseen = [found.names[cls] for cls in found.evaluation["unseen"]]
    return Section("space", "Shared space", f"{tables.TEMPLATES}/space.html.j2", {
        "plane": figures.drawn(picture, unseen), "sequences": len(found.evaluation["labels"]),
        "per_class": figures.PER_CLASS, "share": picture.share, "gap": picture.gap,
    })  # fmt: skip


def _tiles(found: Experiment) -> list[Tile]:
    told, gated = found.trained, found.gated or {}
    chance = f"chance is {percent(1 / told['ss'], 1)}"
    saved = told.get("selected_cycle", told.get("best_cycle"))
    tiles = [
        Tile("Unseen classes alone", percent(told["zsl_accuracy"]), [f"cycle {saved}, {chance}", words(told)]),
        Tile("Last cycle", percent(told["last_zsl_accuracy"]), [f"cycle {told['last_cycle']}", "chosen by nothing"]),
    ]
    for title, key in GATED:
        if gated.get(key) is not None:
            cycle = f"test on all classes; cycle {gated.get('selected_cycle', saved)}"
            tiles.append(Tile(f"{title}, with gate", percent(gated[key]), [cycle, words({**told, **gated})]))
    return tiles


def _settings(told: dict[str, Any]) -> Section:
    rows = [(key, value) for key, value in told.items() if not isinstance(value, (list, dict))]
    return Section("configuration", "Settings and cycles", f"{tables.TEMPLATES}/settings.html.j2", {
        "head": [column.replace("_", " ") for column in CYCLES],
        "cycles": [[f"{entry[column]:.4g}" for column in CYCLES] for entry in told["cycles"]],
        "settings": [(key, "–" if value is None else value) for key, value in rows],
    })  # fmt: skip


def write(folder: Path) -> Path:
    """Write ``zero_shot.html`` and, with matplotlib, ``plots/*.png``; returns the page's path.

    Raises:
        UsageError, LabError: as ``load``; or the folder cannot be written to.
    """
    if (folder / SEEDS).is_file():
        return _write_seeds(folder)
    found = load(folder)
    try:
        matrix = counted(found.evaluation["labels"], found.evaluation["pred"])
        chart, picture = gate_chart(found), plane_of(found)
        text = build(found, matrix, chart, picture)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise LabError(f"{folder}: its files are not those of one run of these programs ({error!r})") from error
    try:
        path = write_atomically(folder / NAME, lambda file: file.write(text.encode()))
        _plots(found, matrix, chart, picture)
    except OSError as error:
        raise LabError(f"{folder}: cannot write the report: {error.strerror or error}") from error
    return path


def _write_seeds(folder: Path) -> Path:
    """The page of a summary of several seeds, and the pages of the seeds, in their own folders."""
    told = load_json(folder / SEEDS)
    try:
        work = folder.absolute().parents[len(Path(told["le"]).parts)]
        if results_folder(work, told["le"], told["tm"]) != folder.absolute():  # the file is somebody else's word
            raise ValueError(f"it is of {told['le']}, {told['tm']}")
        pages = {
            str(seed): write(results_folder(seed_folder(work, int(seed)), told["le"], told["tm"]))
            for seed in told["seeds"]
        }
        text = build_seeds(told, pages, folder)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        if isinstance(error, LabError):
            raise
        raise LabError(f"{folder / SEEDS}: is not a summary of these programs ({error!r})") from error
    try:
        return write_atomically(folder / NAME, lambda file: file.write(text.encode()))
    except OSError as error:
        raise LabError(f"{folder}: cannot write the report: {error.strerror or error}") from error


def build_seeds(told: dict[str, Any], pages: dict[str, Path], folder: Path) -> str:
    """The page of a summary as text."""
    name = METHODS.get(told["variant"], told["variant"])
    mean, deviation = told["mean"], told["sd"]
    titles = {"zsl_accuracy": "Unseen classes alone"} | {key: f"{title}, with gate" for title, key in GATED}
    notes = dict.fromkeys(titles, "test on all classes") | {"zsl_accuracy": f"chance is {percent(1 / told['ss'], 1)}"}
    tiles = [
        Tile(
            title, f"{seeds.written(mean[key], deviation[key])} %", [notes.get(key, "test on all classes"), words(told)]
        )
        for key, title in titles.items()
        if mean.get(key) is not None
    ]
    about = f"{_about(told)} · mean ± standard deviation of seeds {', '.join(map(str, told['seeds']))}"
    unfinished = [seed for seed, run in told["runs"].items() if not run.get("finished")]
    parts = [tables.of_seeds(name, told), tables.runs(told, pages, folder)]
    return shell.render(
        shell.SECTIONS, title=f"{name} · zero-shot report", data={}, styles=STYLES, heading=name, about=about,
        notices=[f"Not finished: seed {', '.join(unfinished)}."] if unfinished else [], tiles=[tiles],
        sections=[part for part in parts if part is not None], navigation=False,
    )  # fmt: skip


def _about(told: dict[str, Any]) -> str:
    return (
        f"NTU-{told['ntu']}, {told['ntu'] - told['ss']} seen and {told['ss']} unseen classes · text {told['tm']} of "
        f"{told['le']} · {told['train_samples']:,} training, {told['ztest_samples']:,} unseen test sequences"
    )


def _plots(found: Experiment, matrix: Confusion, chart: Chart | None, picture: Plane) -> None:
    folder = plot_folder(found.folder)
    if folder is None:
        return
    from skeleton_lab.reporting.run_report import plots

    names: Sequence[str] = found.names
    plots.confusion(matrix, names, folder / "confusion.png")
    plots.per_class(per_class(matrix), names, folder / "per_class.png")
    if chart is not None:
        plots.curves([chart], folder / "gate.png")
    figures.save_plane(picture, [names[cls] for cls in found.evaluation["unseen"]], folder / "space.png")


def main() -> int:
    """The command line; returns the exit status."""
    return guarded(_program)


def _program() -> int:
    parser = Parser("python -m skeleton_lab.zero_shot.report", description="Write the report of a zero-shot run.")
    parser.add_argument("folder", type=Path, help="<wdir>/<le>/<tm> of phase train, such as results/5_r/ViT-B/32/lb")
    print(write(parser.parse_args().folder))
    return 0
