"""``plan.html``: the plan as a page."""

from __future__ import annotations

from collections.abc import Sequence

from skeleton_lab.plan import words
from skeleton_lab.plan.data import Data
from skeleton_lab.plan.machine import Machine
from skeleton_lab.plan.planning import Row
from skeleton_lab.reporting.html import shell
from skeleton_lab.reporting.html.shell import Section, Tile

TEMPLATES = "plan/templates"
STYLES = ("plan/resources/plan.css",)


def html(where: Machine, data: Data, rows: Sequence[Row]) -> str:
    """The page as text."""
    memory, times = words.origin(rows)
    told = {"with": "with settings", "yes": "yes", "no": "no"}
    shown = [
        (row.room, words.preset(row), told[words.verdict(row)], *words.cells(row)[3:7], words.settings(row))
        for row in rows
    ]
    table = {
        "head": words.TITLES, "rows": shown, "memory": memory, "times": times, "same": words.SAME, "other": words.OTHER,
        "helped": any(words.verdict(row) == "with" for row in rows),
    }  # fmt: skip
    return shell.render(
        shell.SECTIONS,
        title=f"Plan for {where.name}",
        data={},
        styles=STYLES,
        heading="Can it train these networks?",
        about=f"For {where.name}, on {data.name}",
        notices=[],
        tiles=[_tiles(where, data, rows)],
        navigation=False,
        sections=[
            Section("plan", "Rooms and their presets", f"{TEMPLATES}/rooms.html.j2", table),
            Section("data", "Disk and memory beside the card", f"{TEMPLATES}/host.html.j2", _host(data, rows)),
            Section("sources", "Measured or forecast", f"{TEMPLATES}/sources.html.j2", {"lines": words.sources(where)}),
        ],
    )


def _tiles(where: Machine, data: Data, rows: Sequence[Row]) -> list[Tile]:
    verdicts = [words.verdict(row) for row in rows]
    memory = f"{where.memory:.1f} GiB"
    return [
        Tile("Memory to spend", f"{where.budget:.1f} GiB", [f"of {memory}"]),
        Tile("Fit as published", f"{verdicts.count('yes')} of {len(rows)}", ["rooms and presets"]),
        Tile("Fit with settings", f"{verdicts.count('with')} of {len(rows)}", ["settings are in the table"]),
        Tile("Training clips", f"{data.clips:,}", [words.alone(data).lstrip(", ")]),
    ]


def _host(data: Data, rows: Sequence[Row]) -> dict[str, object]:
    most = max(row.host for row in rows)
    return {"facts": [
        ("Archive on the disk", f"{data.bytes / words.GIGABYTE:.1f} GB"),
        ("Memory of the machine", f"up to {most:.1f} GiB for the training process and its loaders; the archive is "
         "mapped and not loaded, but trains faster the more of it the system can keep in free memory"),
    ]}  # fmt: skip
