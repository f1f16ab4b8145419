"""What the doctor found: facts per split, findings, and both as text and JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from skeleton_lab.errors import one_line

ERROR, WARNING, NOTE = "error", "warning", "note"
LEVELS = (ERROR, WARNING, NOTE)
SHOWN = 6  # classes in a line of text


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, odd, or worth knowing.

    ``code`` is one word for programs; ``advice`` says what to do about it.
    """

    level: str
    code: str
    message: str
    advice: str = ""


@dataclass
class Member:
    """One array of the file, by its header."""

    key: str
    shape: tuple[int, ...]
    dtype: str
    compressed: bool = False


@dataclass
class Facts:
    """Numbers of one split.

    Attributes:
        frames: padded length T; joints V, persons M, coordinates C.
        length: least, lower quartile, median, upper quartile, most of the clips' frames.
        persons: clips with nobody, one person, two different persons, the same person twice.
        histogram: clips per class, from class 0.
        pairs: share of the clips of each class that show two different persons.
        lengths: counts of clips per length, in ``length_edges``.
        extent: largest coordinate.
    """

    clips: int
    frames: int
    joints: int
    persons_stored: int
    coordinates: int
    length: list[int] = field(default_factory=list)
    persons: dict[str, int] = field(default_factory=dict)
    histogram: list[int] = field(default_factory=list)
    pairs: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    length_edges: list[float] = field(default_factory=list)
    extent: float = 0.0


@dataclass
class Diagnosis:
    """All about one archive. ``example`` (T, M, V, C) is a clip to draw; it is not part of the JSON."""

    path: str
    layout: str
    members: list[Member] = field(default_factory=list)
    splits: dict[str, Facts] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    archive: str | None = None  # the published one that this is, row by row
    example: np.ndarray | None = None

    def add(self, level: str, code: str, message: str, advice: str = "") -> None:
        self.findings.append(Finding(level, code, message, advice))

    def codes(self, *levels: str) -> set[str]:
        return {f.code for f in self.findings if f.level in (levels or LEVELS)}

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong; odd things may be there."""
        return not self.codes(ERROR)

    def as_json(self) -> dict[str, Any]:
        content = {key: value for key, value in vars(self).items() if key != "example"}
        content["members"] = [asdict(m) for m in self.members]
        content["splits"] = {split: asdict(facts) for split, facts in self.splits.items()}
        content["findings"] = [asdict(f) for f in self.ordered()]
        return {"sound": self.sound, **content}

    def ordered(self) -> list[Finding]:
        return sorted(self.findings, key=lambda f: LEVELS.index(f.level))

    def text(self) -> str:
        lines = [f"{one_line(self.path)}: {self.layout}"]
        lines += [
            f"  {one_line(m.key)}: shape={m.shape}, dtype={m.dtype}{', compressed' if m.compressed else ''}"
            for m in self.members
        ]
        for split, facts in self.splits.items():
            lines += _facts(split, facts)
        lines.append("")
        for f in self.ordered():
            lines.append(f"{f.level.upper():7} {f.code}: {one_line(f.message)}")
            if f.advice:
                lines.append(f"        -> {one_line(f.advice)}")
        counts = [(level, sum(f.level == level for f in self.findings)) for level in LEVELS]
        told = ", ".join(f"{count} {level}{'s' * (count != 1)}" for level, count in counts)
        lines.append(f"{'SOUND' if self.sound else 'NOT SOUND'}: {told}")
        return "\n".join(lines)


def _facts(split: str, facts: Facts) -> list[str]:
    shape = f"T={facts.frames}, V={facts.joints}, M={facts.persons_stored}, C={facts.coordinates}"
    lines = ["", f"{split}: {facts.clips} clips of {shape}"]
    if facts.length:
        low, q1, middle, q3, high = facts.length
        lines.append(f"  frames   {low} to {high}, median {middle}, half of the clips {q1} to {q3}")
        told = ", ".join(f"{what} {count}" for what, count in facts.persons.items() if count)
        lines.append(f"  persons  {told or '-'}; largest coordinate {facts.extent:.2f}")
    counts = np.array(facts.histogram)
    if counts.any():
        there = np.flatnonzero(counts)
        lines.append(
            f"  labels   {len(there)} of {len(counts)} classes, {counts[there].min()} to {counts.max()} clips each; "
            f"most: {_most(counts)}"
        )
    return lines


def _most(counts: np.ndarray) -> str:
    order = np.argsort(-counts, kind="stable")[:SHOWN]
    more = int((counts > 0).sum()) - SHOWN
    return ", ".join(f"{k} ({counts[k]})" for k in order if counts[k]) + (f" and {more} more" if more > 0 else "")
