"""The page: models and controls with their intervals, classes, divisions, cost."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from skeleton_lab.compare.sections import short_p
from skeleton_lab.multimodal.clips import Task
from skeleton_lab.multimodal.table import ALONE, ANEW, FUSED, Row, Table
from skeleton_lab.reporting.html import shell
from skeleton_lab.reporting.html.intervals import Scale
from skeleton_lab.reporting.html.shell import Section, Tile, percent

STYLE = "compare/resources/compare.css"
ROWS, TABLES = "multimodal/templates/rows.html.j2", "compare/templates/tables.html.j2"
MOST = 30  # classes that are shown at once
MODELS = (
    "Top-1 of the same test clips. Mean ± standard deviation over the seeds of the heads; dots are the seeds, the line "
    "is the 95 % interval of Wilson 1927 for their mean, which takes the clips as independent. p: exact McNemar test "
    "on the same clips, of the seed for which it is the largest. S with a new head is trained exactly as F is, without "
    "descriptors: what F gains against that is due to them (of networks trained along: against S that was, too)."
)
CONTROLS = (
    "What a gain is not due to. Descriptors that are dealt out anew over the clips of each split, in training and "
    "test, tell nothing: F must fall to S with a new head. F that learned from all descriptors is tested where some "
    "are gone; another learns from the first frame's alone."
)
DIVISIONS = (
    "Descriptors alone by the published divisions of the same clips, without any skeleton. In X-Sub the test clips "
    "were filmed in the same rooms and by the same cameras as the training clips, only with other people, so an image "
    "network may know the background; X-View (another camera) and X-Set (other rooms) leave it less of that. S, L, F "
    "and K of those divisions need weights that were trained on them."
)


def build(
    task: Task, table: Table, spent: dict[str, Any], notices: Sequence[str], names: Sequence[str], options: Namespace
) -> str:
    """The whole page as text."""
    weights = ", ".join(f"{weight:g}" for weight in table.weights.values())
    fitted = f" Late fusion's fitted weight of the descriptors, by seed: {weights}." if weights else ""
    sections = [
        _rows("models", "Models", MODELS + fitted, [row for row in table.rows if not row.control], table),
        _rows("controls", "Controls", CONTROLS, [row for row in table.rows if row.control], table),
        _classes(table, names),
    ]
    if table.divisions:
        head = ("division", "test clips", "top-1, %")
        lines = [(row.title, f"{row.right.shape[1]:,}", _mean(row)) for row in table.divisions]
        sections.append(
            Section("divisions", "Divisions", TABLES, {"about": DIVISIONS, "tables": [("", head, lines, False)]})
        )
    sections.append(_cost(table, spent))
    clips = {split: len(each) for split, each in task.entries.items()}
    return shell.render(
        shell.SECTIONS, title="Skeletons and descriptors", data={}, styles=(STYLE,), sections=sections, navigation=True,
        heading="What descriptors of images add", notices=list(notices), tiles=[_tiles(table)],
        about=f"{options.room}, {options.weights} on {options.data}: {clips['train']:,} training and {clips['test']:,} "
        f"test clips; {len(task.descriptors):,} descriptors of {task.descriptors.D} values",
    )  # fmt: skip


def _mean(row: Row) -> str:
    mean, deviation = row.top1
    return f"{100 * mean:.2f}" + ("" if deviation is None else f" ± {100 * deviation:.2f}")


def _tiles(table: Table) -> list[Tile]:
    alike = [row for row in table.rows if row.key.startswith("I-")]
    best = max(alike, key=lambda row: row.top1[0])
    which = f"the best of {len(alike)}: {best.title.partition(', ')[2]}"
    alone, anew = table.row(ALONE), table.row(ANEW)
    return [
        Tile("S, the skeleton alone", percent(alone.top1[0]), [f"with a new head {percent(anew.top1[0])}"]),
        Tile("I, descriptors alone", percent(best.top1[0]), [which]),
        _against("F, fused", table, table.row(FUSED)),
        _against("F, descriptors shuffled", table, table.row("F-shuffled")),
    ]


def _against(title: str, table: Table, row: Row) -> Tile:
    told = [
        f"{_points(each[0])} points against S{with_what}, p {short_p(each[1])}"
        for each, with_what in zip(table.against(row), ("", " with a new head")) if each is not None
    ]  # fmt: skip
    return Tile(title, percent(row.top1[0]), told)


def _points(value: float) -> str:
    """With the minus of the classes' table."""
    return f"{value:+.2f}".replace("-", "−")


def _pair(each: tuple[float, float] | None) -> tuple[str, str]:
    return ("", "") if each is None else (_points(each[0]), short_p(each[1]))


def _rows(anchor: str, title: str, about: str, rows: Sequence[Row], table: Table) -> Section:
    shares = [share.value for row in table.rows for share in row.shares]
    scale = Scale([*shares, *(end for row in table.rows for end in row.interval)])
    lines = []
    for row in rows:
        low, high = row.interval
        lines.append({
            "title": row.title, "top1": _mean(row), "between": f"{percent(low, 1)} to {percent(high, 1)}",
            "drawn": scale.drawn(row.interval, [share.value for share in row.shares]),
            "against": [_pair(each) for each in table.against(row)],
        })  # fmt: skip
    values = {"about": about, "label": title, "rows": lines, "scale": scale}
    return Section(anchor, title, ROWS, values)


def _classes(table: Table, names: Sequence[str]) -> Section:
    seed = table.row(FUSED).seeds[0]
    head = ("class", "clips", "S, %", "F, %", "points", "S alone right", "F alone right", "p", "p, all classes")
    lines = [
        (names[each.cls], str(each.clips), f"{100 * each.right_a / each.clips:.1f}",
         f"{100 * each.right_b / each.clips:.1f}", each.points, str(each.only_a), str(each.only_b),
         short_p(each.p), short_p(each.adjusted))
        for each in table.classes
    ]  # fmt: skip
    about = (
        f"F (seed {seed}) against S in every class, the largest difference first: exact McNemar tests, and with Holm's "
        "correction for the number of classes."
    )
    tables = [("", head, lines[:MOST], False)]
    tables += [(f"The other {len(lines) - MOST} classes", head, lines[MOST:], True)] if len(lines) > MOST else []
    return Section("classes", "Classes", TABLES, {"about": about, "tables": tables})


def _cost(table: Table, spent: dict[str, Any]) -> Section:
    gpu = spent["S"]["gpu_mb"] is not None
    head = (
        "model",
        "parameters",
        "network, ms a clip",
        "reading, ms a clip",
        "kept for a training step, MB a clip",
        *(["peak of a step, MiB"] if gpu else []),
    )
    lines = [
        (name, f"{each['parameters']:,}", *(f"{each[key]:.2f}" for key in ("network_ms", "reading_ms", "kept_mb")),
         *([f"{each['gpu_mb']:.1f}"] if gpu else []))
        for name, each in ((key, spent[key]) for key in ("S", "F"))
    ]  # fmt: skip
    trained = [(name, f"{each['parameters']:,}", f"{each['seconds']:.1f}") for name, each in table.cost.items()]
    about = (
        f"Least of several turns with {spent['clips']} test clips on {spent['device']}, S and F one after the other. F "
        f"holds {spent['more_mb']:.1f} MB more than S, its parameters and the descriptors of these clips. Kept is what "
        "the backward pass needs where the network is trained along; heads alone keep next to nothing. The whole "
        f"program took {spent['peak_rss_mb']:,.0f} MiB at most."
    )
    tables = [
        ("", head, lines, False),
        ("Training, mean over the seeds", ("unit", "parameters", "seconds"), trained, True),
    ]
    return Section("cost", "Time and memory", TABLES, {"about": about, "tables": tables})
