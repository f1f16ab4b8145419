"""``zero_shot.html`` of a finished experiment: ``python -m skeleton_lab.zero_shot.report results/5_r/ViT-B/32/lb``.

Reads what stages 1 and 4 left in that folder; without stage 4 the parts on the gate are missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.npy import parsing
from skeleton_lab.errors import LabError, UsageError, guarded
from skeleton_lab.files import write_atomically
from skeleton_lab.flags import Parser
from skeleton_lab.report import page, plot_folder, sections, svg
from skeleton_lab.report.curves import Chart
from skeleton_lab.report.headline import tile
from skeleton_lab.report.markup import Markup, join, tag
from skeleton_lab.report.run import published_names
from skeleton_lab.report.sections import Section
from skeleton_lab.report.summary import Confusion, counted, per_class
from skeleton_lab.zero_shot import pictures
from skeleton_lab.zero_shot.gating import DETAILS, EVAL_METRICS
from skeleton_lab.zero_shot.pictures import Plane
from skeleton_lab.zero_shot.settings import load_json

NAME = "zero_shot.html"
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
        return published_names(int(self.trained["ntu"]), ucla=False)


def load(folder: Path) -> Experiment:
    """Read ``<wdir>/<le>/<tm>``.

    Raises:
        UsageError: stage 1 has left nothing there.
        LabError: a file is damaged.
    """
    if not (folder / "evaluation.npz").is_file() or not (folder / "train.json").is_file():
        raise UsageError(f"{folder}: no zero-shot run is there; give <wdir>/<le>/<tm> of train.py --phase train")
    gated = load_json(folder / EVAL_METRICS) if (folder / EVAL_METRICS).is_file() else None
    details = _arrays(folder / DETAILS) if gated is not None and (folder / DETAILS).is_file() else None
    return Experiment(folder, load_json(folder / "train.json"), _arrays(folder / "evaluation.npz"), gated, details)


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
    return pictures.gate_chart(found.gate["p_seen"], *right, of_seen)


def plane_of(found: Experiment) -> Plane:
    told = found.evaluation
    return pictures.plane(told["latents"], np.searchsorted(told["unseen"], told["latent_labels"]), told["anchors"])


def build(found: Experiment, matrix: Confusion, chart: Chart | None, picture: Plane) -> str:
    """The whole page as text."""
    names, told = found.names, found.trained
    unseen = [names[cls] for cls in found.evaluation["unseen"]]
    drawn = [svg.draw(chart, 0)] if chart is not None else []
    text = (
        f"Dots are sequences of unseen classes, squares the texts of these classes, both as means of the latent: where "
        f"the space is shared, a square lies among the dots of its colour. The two directions hold "
        f"{100 * picture.share:.0f} % of the variance between classes. Each modality is drawn around its own mean; the "
        f"means are {picture.gap:.1f} times as far apart as a class is from the mean."
    )
    card = tag("div", pictures.drawn(picture, unseen), class_="card")
    parts = [
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
    data = {"charts": [values for _, values in drawn], "confusion": sections.confusion_data(matrix, names), "clips": []}
    links = [tag("a", part.title, href=f"#{part.anchor}") for part in parts]
    title = f"{METHODS.get(told['variant'], told['variant'])} · zero-shot report"
    header = tag("header", _headline(found), tag("nav", links, aria_label="Sections"))
    body = join(header, tag("main", [part.markup() for part in parts]))
    return page.assembled(title, body, data, page.resource("style.css") + STYLE, map(page.resource, SCRIPTS))


def _gate_note(found: Experiment) -> str:
    at = 100 * found.gated["threshold"]
    return (
        f"A sequence is called seen if P(seen) is above the threshold; the figures above are at {at:.0f} %, "
        f"temperature {found.gated['temperature']:g}."
    )


def _headline(found: Experiment) -> list[Markup]:
    told, gated = found.trained, found.gated or {}
    chance = f"chance is {100 / told['ss']:.1f} %"
    tiles = [
        tile("Unseen classes alone", _percent(told["zsl_accuracy"]), f"cycle {told['best_cycle']}, {chance}",
             "cycle picked by the test set itself, which flatters"),
        tile("Last cycle", _percent(told["last_zsl_accuracy"]), f"cycle {told['last_cycle']}", "picked by nothing"),
    ]  # fmt: skip
    for title, key in (("Seen", "seen_accuracy"), ("Unseen", "unseen_accuracy"), ("Harmonic mean", "h_mean")):
        if gated.get(key) is not None:
            tiles.append(tile(f"{title}, with gate", _percent(gated[key]), "test on all classes"))
    about = (
        f"NTU-{told['ntu']}, {told['ntu'] - told['ss']} seen and {told['ss']} unseen classes · text {told['tm']} of "
        f"{told['le']} · {told['train_samples']:,} training, {told['ztest_samples']:,} unseen test sequences"
    )
    notice = None if told["finished"] else tag("p", "This run has not finished.", class_="notice", role="note")
    name = METHODS.get(told["variant"], told["variant"])
    return [tag("h1", name), tag("p", about, class_="muted"), notice, tag("div", tiles, class_="tiles")]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"


def _settings(told: dict[str, Any]) -> list[Markup]:
    rows = [(key, value) for key, value in told.items() if not isinstance(value, (list, dict))]
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
    found = load(folder)
    try:
        matrix = counted(found.evaluation["labels"], found.evaluation["pred"])
        chart, picture = gate_chart(found), plane_of(found)
        text = build(found, matrix, chart, picture)
    except (KeyError, ValueError, TypeError) as error:
        raise LabError(f"{folder}: its files are not those of one run of these programs ({error!r})") from error
    try:
        path = write_atomically(folder / NAME, lambda file: file.write(text.encode()))
        _plots(found, matrix, chart, picture)
    except OSError as error:
        raise LabError(f"{folder}: cannot write the report: {error.strerror or error}") from error
    return path


def _plots(found: Experiment, matrix: Confusion, chart: Chart | None, picture: Plane) -> None:
    folder = plot_folder(found.folder)
    if folder is None:
        return
    from skeleton_lab.report import plots

    names: Sequence[str] = found.names
    plots.confusion(matrix, names, folder / "confusion.png")
    plots.per_class(per_class(matrix), names, folder / "per_class.png")
    if chart is not None:
        plots.curves([chart], folder / "gate.png")
    pictures.save_plane(picture, [names[cls] for cls in found.evaluation["unseen"]], folder / "space.png")


def main() -> int:
    parser = Parser("python -m skeleton_lab.zero_shot.report", description="Write the report of a zero-shot run.")
    parser.add_argument("folder", type=Path, help="<wdir>/<le>/<tm> of phase train, such as results/5_r/ViT-B/32/lb")
    print(write(parser.parse_args().folder))
    return 0


if __name__ == "__main__":
    raise SystemExit(guarded(main))
