"""Streams that a study has fused, by ``fusion.json`` in its folder; means over the seeds."""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from skeleton_lab.reporting.run_report.work_dir import number
from skeleton_lab.utils import statistics
from skeleton_lab.utils.atomic import refuse_special

FILE = "fusion.json"


@dataclass(frozen=True)
class Fusion:
    """The sum of the streams of a room, over its seeds; accuracies are (mean, standard deviation), fractions.

    Attributes:
        fixed: with the weights that the room gives. fitted: with weights searched for on the test labels, optimistic.
    """

    name: str
    streams: tuple[str, ...]
    seeds: int
    fixed: tuple[float, float | None]
    fitted: tuple[float, float | None] | None


def read(folders: Sequence[Path], groups: Container[str] | None = None) -> tuple[list[Fusion], list[str]]:
    """The fusions of studies, best first, and notices of those that are lacking; a folder need not have any.

    Args:
        groups: of these alone: names of what runs have in common but for stream and seed.
    """
    found: list[Fusion] = []
    notices: list[str] = []
    for path in (folder / FILE for folder in folders):
        refuse_special(path)
        if not path.is_file():
            continue
        try:
            told = [each for each in json.loads(path.read_text("utf-8")) if groups is None or each["group"] in groups]
            notices += [f"{each['name']} was not fused: {each['why']}" for each in told if each["top1"] is None]
            found += _groups([each for each in told if each["top1"] is not None])
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            notices.append(f"{path} cannot be read ({type(error).__name__}): its fusions are left out.")
    return sorted(found, key=lambda each: -each.fixed[0]), notices


def _groups(told: Sequence[dict[str, Any]]) -> list[Fusion]:
    groups: dict[tuple[str, tuple[str, ...]], list[dict[str, Any]]] = {}
    for each in told:
        groups.setdefault((str(each["group"]), tuple(map(str, each["weights"]))), []).append(each)
    made = []
    for (name, streams), members in groups.items():
        fixed, fitted = _told(members, "top1"), _told(members, "fitted_top1")
        if len(fixed) < len(members):
            raise ValueError("no accuracy")
        searched = statistics.mean_sd(fitted) if len(fitted) == len(members) else None
        made.append(Fusion(name, streams, len(members), statistics.mean_sd(fixed), searched))
    return made


def _told(members: Sequence[dict[str, Any]], key: str) -> list[float]:
    return [value for each in members if (value := number(each.get(key))) is not None]


def as_json(found: Sequence[Fusion]) -> list[dict[str, Any]]:
    return [asdict(each) for each in found]
