"""What the doctor found: facts per split, findings, and both as text and JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from skeleton_lab.errors import one_line
from skeleton_lab.skeletons.layouts import Layout

ERROR, WARNING, NOTE = "error", "warning", "note"
LEVELS = (ERROR, WARNING, NOTE)
SHOWN = 6  # classes in a line of text
UNITS = {"m": "metres", "cm": "centimetres", "mm": "millimetres", "px": "pixels", "image": "shares of the picture"}


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
        skeleton, units, scored: what the archive or its format says, "" where nothing does.
        found: share of the bodies in which each joint was found; torso: median length of the skeleton's ``scale``.
        pictures: the most frequent sizes (height, width) of the clips' pictures, of so many ``sizes``.
        class_names: of the archive.
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
    skeleton: str = ""
    units: str = ""
    scored: bool = False
    found: list[float] = field(default_factory=list)
    torso: float = 0.0
    pictures: list[list[int]] = field(default_factory=list)
    sizes: int = 0
    class_names: list[str] = field(default_factory=list)


@dataclass
class Diagnosis:
    """All about one archive. ``example`` (T, M, V, C) is a clip to draw, with ``skeleton`` and ``scored``; none of the
    three is part of the JSON.
    """

    path: str
    layout: str
    members: list[Member] = field(default_factory=list)
    splits: dict[str, Facts] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    archive: str | None = None  # the published one that this is, row by row
    descriptors: dict[str, Any] | None = None  # beside it, where they were asked for
    example: np.ndarray | None = None
    skeleton: Layout | None = None  # of the example
    scored: bool = False

    def add(self, level: str, code: str, message: str, advice: str = "") -> None:
        self.findings.append(Finding(level, code, message, advice))

    def codes(self, *levels: str) -> set[str]:
        return {f.code for f in self.findings if f.level in (levels or LEVELS)}

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong; odd things may be there."""
        return not self.codes(ERROR)

    def as_json(self) -> dict[str, Any]:
        content = {key: value for key, value in vars(self).items() if key not in ("example", "skeleton", "scored")}
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
        if self.descriptors is not None:
            lines += _beside(self.descriptors)
        lines.append("")
        for f in self.ordered():
            lines.append(f"{f.level.upper():7} {f.code}: {one_line(f.message)}")
            if f.advice:
                lines.append(f"        -> {one_line(f.advice)}")
        counts = [(level, sum(f.level == level for f in self.findings)) for level in LEVELS]
        told = ", ".join(f"{count} {level}{'s' * (count != 1)}" for level, count in counts)
        lines.append(f"{'SOUND' if self.sound else 'NOT SOUND'}: {told}")
        return "\n".join(lines)


def _beside(facts: dict[str, Any]) -> list[str]:
    low, middle, high = facts["vectors"]
    per = f"{low} to {high} vectors of a clip, median {middle}" if high > 1 else "one vector of each clip"
    missing = ", ".join(f"{count} of {split}" for split, count in facts["missing"].items())
    return [
        "", f"descriptors: {facts['clips']} of D={facts['D']}, {per}",
        f"  clips    without one: {missing}; descriptors of no clip: {facts['surplus']}",
        "  norms    {:.4g} to {:.4g}, median {:.4g}".format(*(facts["norm"][k] for k in (0, 2, 1))),
    ]  # fmt: skip


def _facts(split: str, facts: Facts) -> list[str]:
    shape = f"T={facts.frames}, V={facts.joints}, M={facts.persons_stored}, C={facts.coordinates}"
    lines = ["", f"{split}: {facts.clips} clips of {shape}"]
    if facts.length:
        low, q1, middle, q3, high = facts.length
        lines.append(f"  frames   {low} to {high}, median {middle}, half of the clips {q1} to {q3}")
        told = ", ".join(f"{what} {count}" for what, count in facts.persons.items() if count)
        lines.append(f"  persons  {told or '-'}; largest coordinate {facts.extent:.2f}")
    if facts.skeleton:
        lines.append(f"  joints   {_joints(facts)}")
    counts = np.array(facts.histogram)
    if counts.any():
        there = np.flatnonzero(counts)
        lines.append(
            f"  labels   {len(there)} of {len(counts)} classes, {counts[there].min()} to {counts.max()} clips each; "
            f"most: {_most(counts, facts.class_names)}"
        )
    return lines


def _joints(facts: Facts) -> str:
    told = [f"of the skeleton {one_line(facts.skeleton)}, {UNITS.get(facts.units, facts.units) or 'no unit'}"]
    told += ["with scores"] if facts.scored else []
    if facts.pictures:
        sizes = ", ".join(f"{width}x{height}" for height, width in facts.pictures)
        more = f" and {facts.sizes - len(facts.pictures)} more" if facts.sizes > len(facts.pictures) else ""
        told.append(f"pictures of {sizes}{more}")
    told.append(f"{100 * np.mean(facts.found or [0]):.0f} % found")
    return ", ".join(told) + (f"; torso {facts.torso:.4g}" if facts.torso else "")


def _most(counts: np.ndarray, names: list[str]) -> str:
    order = np.argsort(-counts, kind="stable")[:SHOWN]
    more = int((counts > 0).sum()) - SHOWN
    return ", ".join(f"{one_line(names[k]) if names else k} ({counts[k]})" for k in order if counts[k]) + (
        f" and {more} more" if more > 0 else ""
    )
