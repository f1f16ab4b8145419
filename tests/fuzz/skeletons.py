"""Skeletons of one's own: seeds from the registry, and files whose keys and joints are exchanged for others."""

from __future__ import annotations

from pathlib import Path
from random import Random

import yaml

from skeleton_lab.reporting.skeletons import page, words
from skeleton_lab.skeletons import layouts, own, rules
from tests.fuzz.reader import written

VALUES = (None, -1, 0, 1, 99, 1.5, True, "a", "left_x", "0-1", "(0+1)/2", "(0+0)/2", [], {}, [0], [[0]], [[0, 1]],
          [[0, 0]], "", float("nan"), 10**20)  # fmt: skip
NAMES = [each.name for each in layouts.known().values() if each.V < 30]  # the others say no more, and take their time


def seed(name: str) -> bytes:
    return layouts.as_text(layouts.layout(name)).encode()


def strange(draw: Random) -> bytes:
    """A known skeleton with some keys left out, and values, joints and bones exchanged or left out."""
    entry = yaml.safe_load(seed(draw.choice(NAMES)))
    for key in list(entry):
        if key not in ("joints", "bones") and draw.random() < 0.3:
            del entry[key]
    for _ in range(draw.randint(0, 2)):
        key = draw.choice(own.KEYS)
        listed = entry.get(key) if isinstance(entry.get(key), list) else []
        if not listed or draw.random() < 0.4:
            entry[key] = draw.choice(VALUES)
            continue
        at = draw.randrange(len(listed))
        if draw.random() < 0.3:
            del listed[at]
        elif isinstance(listed[at], list) and listed[at]:
            listed[at][draw.randrange(len(listed[at]))] = draw.choice((*VALUES, *range(10)))
        else:
            listed[at] = draw.choice(VALUES)
    return yaml.safe_dump(entry).encode()


def use(folder: Path, data: bytes) -> None:
    """Reads it, stores it as an archive does, tells, draws, and makes graphs of it."""
    found = layouts.layout(written(folder / "own.yaml", data))
    assert layouts.parsed(layouts.as_text(found), "x", "archive") == found
    rules.spatial(found)
    words.of(found)
    page.html([found])
