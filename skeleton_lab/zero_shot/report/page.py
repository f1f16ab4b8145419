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
from skeleton_lab.reporting.html.markup import Markup, join, tag
from skeleton_lab.reporting.run_report import plot_folder, sections
from skeleton_lab.reporting.run_report.curves import Chart
from skeleton_lab.reporting.run_report.headline import tile
from skeleton_lab.reporting.run_report.sections import Section
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
SCRIPTS = ("common.js", "charts.js", "confusion.js")
STYLE = """
.one { max-width: 640px; }
svg.plane { display: block; width: 100%; height: auto; }
.texts { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; margin-top: .6rem; }
.texts b {
  display: inline-block; min-width: 1.6em; margin-right: .4em; border-radius: 3px; text-align: center; color: #fff;
}
"""


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
    unseen = [names[cls] for cls in found.evaluation["unseen"]]
    drawn = [line_chart.draw(chart, 0)] if chart is not None else []
    text = (
        f"Dots are sequences of unseen classes, squares the texts of these classes, both as latent means: where "
        f"the space is shared, a square lies among the dots of its colour. {_drawn(picture, found)}The two directions "
        f"hold {100 * picture.share:.0f} % of the variance between classes. Each modality is drawn around its mean; "
        f"the means are {picture.gap:.1f} times as far apart as a class is from the mean."
    )
    card = tag("div", figures.drawn(picture, unseen), class_="card")
    parts = [
        tables.of_one(METHODS.get(told["variant"], told["variant"]), told, found.gated or {}),
        sections.per_class(per_class(matrix), names),
        sections.confusion(matrix, names, float(told["zsl_accuracy"])),
        *(
            [
                Section(
                    "gate",
                    "Gate",
                    [tag("p", _gate_note(found), class_="muted"), tag("div", [p for p, _ in drawn], class_="one")],
                )
            ]
            if drawn
            else []
        ),
        Section("space", "Shared space", [tag("p", text, class_="muted"), card]),
        Section("configuration", "Settings and cycles", _settings(told)),
    ]
    parts = [part for part in parts if part is not None]
    data = {"charts": [values for _, values in drawn], "confusion": sections.confusion_data(matrix, names), "clips": []}
    links = [tag("a", part.title, href=f"#{part.anchor}") for part in parts]
    title = f"{METHODS.get(told['variant'], told['variant'])} · zero-shot report"
    header = tag("header", _headline(found), tag("nav", links, aria_label="Sections"))
    body = join(header, tag("main", [part.markup() for part in parts]))
    return shell.assembled(title, body, data, shell.resource("style.css") + STYLE, map(shell.resource, SCRIPTS))


def _gate_note(found: Experiment) -> str:
    at = 100 * found.gated["threshold"]
    return (
        f"A sequence is called seen if P(seen) is above the threshold; the figures above are at {at:.0f} %, "
        f"temperature {found.gated['temperature']:g}."
    )


def _headline(found: Experiment) -> list[Markup]:
    told, gated = found.trained, found.gated or {}
    chance = f"chance is {100 / told['ss']:.1f} %"
    saved = told.get("selected_cycle", told.get("best_cycle"))
    tiles = [
        tile("Unseen classes alone", _percent(told["zsl_accuracy"]), f"cycle {saved}, {chance}", words(told)),
        tile("Last cycle", _percent(told["last_zsl_accuracy"]), f"cycle {told['last_cycle']}", "chosen by nothing"),
    ]
    for title, key in GATED:
        if gated.get(key) is not None:
            cycle = f"test on all classes; cycle {gated.get('selected_cycle', saved)}"
            tiles.append(tile(f"{title}, with gate", _percent(gated[key]), cycle, words({**told, **gated})))
    about = _about(told)
    notice = None if told["finished"] else tag("p", "This run has not finished.", class_="notice", role="note")
    name = METHODS.get(told["variant"], told["variant"])
    return [tag("h1", name), tag("p", about, class_="muted"), notice, tag("div", tiles, class_="tiles")]


def _drawn(picture: Plane, found: Experiment) -> str:
    """How many of the sequences are in the picture, where not all are."""
    everything = len(found.evaluation["labels"])
    if len(picture.points) == everything:
        return ""
    return f"Drawn are {len(picture.points):,} of the {everything:,}, at most {figures.PER_CLASS} of a class. "


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"


def _settings(told: dict[str, Any]) -> list[Markup]:
    rows = [(key, value) for key, value in told.items() if not isinstance(value, (list, dict))]
    rows = [(key, "–" if value is None else value) for key, value in rows]
    lines = [tag("tr", tag("th", key, scope="row"), tag("td", tag("code", value))) for key, value in rows]
    columns = ("cycle", "zsl_accuracy", "loss", "last_loss", "seconds", "steps_per_second")
    head = tag("thead", tag("tr", [tag("th", column.replace("_", " "), scope="col") for column in columns]))
    cells = [tag("tr", [tag("td", f"{entry[column]:.4g}") for column in columns]) for entry in told["cycles"]]
    return [
        tag("div", tag("table", head, tag("tbody", cells), class_="numbers"), class_="card scroll"),
        tag("div", tag("table", tag("tbody", lines), class_="facts"), class_="card scroll"),
    ]


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
    notes = {"zsl_accuracy": f"chance is {100 / told['ss']:.1f} %"}
    tiles = [
        tile(title, f"{seeds.written(mean[key], deviation[key])} %", notes.get(key, "test on all classes"), words(told))
        for key, title in titles.items()
        if mean.get(key) is not None
    ]
    about = f"{_about(told)} · mean ± standard deviation of seeds {', '.join(map(str, told['seeds']))}"
    unfinished = [seed for seed, run in told["runs"].items() if not run.get("finished")]
    notice = f"Not finished: seed {', '.join(unfinished)}." if unfinished else None
    notice = None if notice is None else tag("p", notice, class_="notice", role="note")
    parts = [tables.of_seeds(name, told), tables.runs(told, pages, folder)]
    header = tag("header", tag("h1", name), tag("p", about, class_="muted"), notice, tag("div", tiles, class_="tiles"))
    body = join(header, tag("main", [part.markup() for part in parts if part is not None]))
    style = shell.resource("style.css") + STYLE
    return shell.assembled(f"{name} · zero-shot report", body, {}, style, ())


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
