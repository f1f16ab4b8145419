"""What was found out about clips: numbers for a file, lines for the screen, and the mean of several maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skeleton_lab.errors import one_line
from skeleton_lab.explain.attribution import GRADIENTS, METHODS, OCCLUSION, Maps
from skeleton_lab.explain.cells import Cells, Part, shares
from skeleton_lab.explain.choice import Asked
from skeleton_lab.explain.sanity import agreement
from skeleton_lab.reporting.html.shell import percent

WORDS = {OCCLUSION: "occlusion", GRADIENTS: "integrated gradients"}
FAR = 0.1  # share of the difference by which the sum of a map may miss it before that is said


@dataclass
class Explained:
    """A clip and its maps."""

    asked: Asked
    cells: Cells
    maps: Maps

    @property
    def agreement(self) -> float | None:
        """Rank correlation of the two methods."""
        return agreement(self.maps.of[OCCLUSION], self.maps.of[GRADIENTS], self.cells.persons)

    def as_json(self, classes: Sequence[str]) -> dict[str, Any]:
        asked, maps, row = self.asked, self.maps, self.asked.row
        label = {} if asked.label is None else {"label": int(asked.label)}
        return {
            "name": asked.name, "who": row.who, "first_frame": row.first, "last_frame": row.last - 1, **label,
            "class": maps.target, "class_name": classes[maps.target], "probability": round(asked.p, 6),
            "log_odds": rounded(maps.odds), "log_odds_still": rounded(maps.still),
            "sum_of_gradients": rounded(maps.sum), "integral": rounded(maps.integral), "agreement": self.agreement,
            "shares": {method: shares(maps.of[method], self.cells.parts) for method in METHODS},
            "bounds": (row.first + self.cells.bounds).tolist(), "persons": list(self.cells.persons),
            **{method: np.round(maps.of[method], 5).tolist() for method in METHODS},
        }  # fmt: skip

    def line(self, classes: Sequence[str]) -> str:
        """What the screen says."""
        maps = self.maps
        told = "" if self.asked.label is None else f" (label: {_name(classes, self.asked.label)})"
        parts = "; ".join(f"{WORDS[method]}: {best(maps.of[method], self.cells.parts)}" for method in METHODS)
        return (
            f"{one_line(self.asked.name)}{told}: {classes[maps.target]} {percent(self.asked.p, 1)}, log-odds "
            f"{maps.odds:.2f}, without motion {maps.still:.2f}; {parts}; agreement {told_number(self.agreement)}; "
            f"gradients add up to {maps.sum:.2f} of {maps.difference:.2f}"
        )


def best(values: np.ndarray, parts: Sequence[Part], count: int = 3) -> str:
    """The limbs on which most of what speaks for the class lies."""
    found = sorted(shares(values, parts).items(), key=lambda each: -each[1])[:count]
    return ", ".join(f"{name} {percent(share, 0)}" for name, share in found)


def incomplete(explained: Sequence[Explained]) -> list[str]:
    """Where the sum of a map misses the difference of the log-odds, in words: what is to blame."""
    lines = []
    for each in explained:
        maps, room = each.maps, FAR * max(abs(each.maps.difference), 1e-3)
        if abs(maps.integral - maps.difference) > room:
            lines.append(f"{one_line(each.asked.name)}: the integral is not exact; take more --steps")
        elif abs(maps.sum - maps.difference) > room:
            lines.append(
                f"{one_line(each.asked.name)}: the feeder centres or scales clips by their own joints, so gradients of "
                "single cells do not add up"
            )
    return lines


def seen_from(explained: Explained) -> list[str]:
    """A line where the feeder sees all joints from one of them, whose cells then tell of the others as well."""
    joint = explained.asked.clip.from_joint
    name = next((part.name for part in explained.cells.parts if joint in part.joints), None)
    if name is None:
        return []
    return [
        f"the feeder sees all joints from the {name}, so one that stands still moves all others: what lies there also "
        "speaks of where they are"
    ]


def mean_map(explained: Sequence[Explained], method: str) -> np.ndarray:
    """(M, P, W) of clips of different lengths: piece by piece of their time, people who are not there count as 0."""
    M, W = (max(each.maps.of[method].shape[axis] for each in explained) for axis in (0, 2))
    total = np.zeros((M, len(explained[0].cells.parts), W))
    for each in explained:
        values = each.maps.of[method]
        short = values.shape[2]  # of very short clips: a frame is spread over several pieces
        total[: len(values)] += values[:, :, np.arange(W) * short // W] * (short / W)
    return total / len(explained)


def mean_agreement(explained: Sequence[Explained]) -> float | None:
    """Of the clips of which it is defined."""
    known = [value for each in explained if (value := each.agreement) is not None]
    return float(np.mean(known)) if known else None


def told_number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def rounded(value: float) -> float:
    return round(value, 5)


def _name(classes: Sequence[str], label: int) -> str:
    return classes[label] if 0 <= label < len(classes) else str(label)
