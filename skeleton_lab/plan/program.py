"""``skeleton-lab plan``: the table on the screen, the page and the JSON file."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from skeleton_lab.errors import UsageError, guarded
from skeleton_lab.plan import calibration, cards, data, machine, page, planning, words
from skeleton_lab.plan.data import Data
from skeleton_lab.plan.flags import parser
from skeleton_lab.plan.machine import Machine
from skeleton_lab.plan.planning import Row
from skeleton_lab.registry import ROOMS, Room, find
from skeleton_lab.utils.atomic import write_atomically

PAGE, JSON = "plan.html", "plan.json"


def rows(rooms: Sequence[Room], where: Machine, trained_on: Data) -> Iterator[Row]:
    for this in rooms:
        if this.variant:
            yield planning.zero_shot(this, where)
            continue
        for config in (str(this.config), *this.presets):
            yield planning.row(this, config, where, trained_on)


def chosen(name: str | None) -> list[Room]:
    """The rooms that are here, or the one named; UsageError if it is not here."""
    if name is None:
        return [room for room in ROOMS if room.path.is_dir()]
    this = find(name)
    if not this.path.is_dir():
        raise UsageError(f"room {this.folder} is not here: there is no folder {this.path}")
    return [this]


def as_json(where: Machine, trained_on: Data, found: Sequence[Row]) -> bytes:
    """What was planned for, on what data, and a row for each configuration; times that nothing has are null."""

    def plain(value: object) -> object:
        return None if isinstance(value, float) and not math.isfinite(value) else value

    told = {
        "machine": {
            "name": where.name, "memory_gib": where.memory, "budget_gib": where.budget, "half": where.half,
            "card": None if where.card is None else dataclasses.asdict(where.card),
            "rates": None if where.rates is None else dataclasses.asdict(where.rates),
        },
        "data": dataclasses.asdict(trained_on),
        "rows": [{key: plain(value) for key, value in dataclasses.asdict(row).items()} for row in found],
    }  # fmt: skip
    return (json.dumps(told, indent=2, allow_nan=False) + "\n").encode()


def check(options: argparse.Namespace) -> None:
    """UsageError for flags that cannot be."""
    if options.memory is not None and not 0 < options.memory <= cards.MOST:
        raise UsageError(f"--memory {options.memory:g}: GiB above 0 and at most {cards.MOST:,.0f}")
    if options.card is not None and options.device != "auto":
        raise UsageError("--card plans for a card that is not here, --device for one that is; give one of them")


def prepare(out: Path) -> None:
    """Make the folder for what is written; UsageError if it cannot be: told before minutes of work, not after."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out}: no folder can be there: {error.strerror}") from error
    try:
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UsageError(f"--out {out}: nothing may be written there: {error.strerror}") from error
    for name in (PAGE, JSON):
        if (out / name).is_dir():
            raise UsageError(f"--out {out}: {name}, which is to be written, is a folder")


def program(argv: Sequence[str] | None = None) -> None:
    """Raises ``LabError`` for what the user can put right."""
    options = parser().parse_args(argv)
    check(options)
    rooms = chosen(options.room)
    where = machine.find(options.card, options.device, options.memory)
    trained_on = data.published() if options.data is None else data.read(options.data)
    out: Path = options.out
    prepare(out)
    print("\n".join(words.heading(where, trained_on)), flush=True)
    if where.card is None and where.device.type == "cpu" and any(not this.variant for this in rooms):
        where = dataclasses.replace(where, rates=calibration.calibrate(where.device))
    print(words.HEADER, flush=True)
    found = []
    for row in rows(rooms, where, trained_on):
        found.append(row)
        print(words.line(row), flush=True)
    print("\n".join(words.notes(where, found)))
    write_atomically(out / JSON, lambda file: file.write(as_json(where, trained_on, found)))
    write_atomically(out / PAGE, lambda file: file.write(page.html(where, trained_on, found).encode()))
    print(f"{out / PAGE} shows this, {out / JSON} holds it.", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return guarded(lambda: program(argv))
