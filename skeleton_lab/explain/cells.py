"""What a map is made of: parts of the body times pieces of the recorded time, for each person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from skeleton_lab.errors import UsageError
from skeleton_lab.skeletons.layouts import Layout

JOINTS, LIMBS = "joints", "limbs"
HEAD = ("nose", "head", "head_top")  # joints above the neck that layouts count to the trunk
ARMS_AND_LEGS = ("arm", "arm", "leg", "leg")  # the order of ``Layout.limbs`` of a whole body


@dataclass(frozen=True)
class Part:
    """Some joints that are looked at together; ``limb``: the name of the limb that they belong to."""

    name: str
    joints: tuple[int, ...]
    limb: str


@dataclass(frozen=True)
class Cells:
    """The cells of one clip's maps, arrays (M, P, W): persons, parts, pieces.

    Attributes:
        persons: those of the clip that are there in some frame; the maps have zeros for the others.
        parts: P of them.
        bounds: (W + 1,) frames: piece w is bounds[w] .. bounds[w + 1] - 1.
        shape: (T, M, V) of the recorded frames.
    """

    persons: tuple[int, ...]
    parts: tuple[Part, ...]
    bounds: np.ndarray
    shape: tuple[int, int, int]

    @property
    def map_shape(self) -> tuple[int, int, int]:
        return self.shape[1], len(self.parts), len(self.bounds) - 1

    def __len__(self) -> int:
        return len(self.persons) * len(self.parts) * (len(self.bounds) - 1)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """Places in the maps, in order."""
        for person in self.persons:
            for part in range(len(self.parts)):
                for piece in range(len(self.bounds) - 1):
                    yield person, part, piece

    def mask(self, place: tuple[int, int, int]) -> np.ndarray:
        """(T, M, V) bool: the joints and frames of a cell."""
        person, part, piece = place
        made = np.zeros(self.shape, bool)
        made[self.bounds[piece] : self.bounds[piece + 1], person, list(self.parts[part].joints)] = True
        return made


def cells(points: np.ndarray, parts: Sequence[Part], pieces: int) -> Cells:
    """Of a clip (T, M, V, C): as many pieces of equal length as it has frames, and not more than ``pieces``."""
    T, M, V, _ = points.shape
    bounds = np.unique(np.linspace(0, T, min(pieces, T) + 1).round().astype(int))
    persons = np.flatnonzero(points.any((0, 2, 3)))
    return Cells(tuple(persons.tolist()), tuple(parts), bounds, (T, M, V))


def parts_of(layout: Layout | None, V: int, kind: str) -> list[Part]:
    """The parts of a body of V joints: each joint, limb by limb, or each limb; and what else there is of the body.

    Args:
        layout: its skeleton; None where nothing tells it. kind: ``JOINTS`` or ``LIMBS``.

    Raises:
        UsageError: limbs of a skeleton that nothing tells.
    """
    limbs = {} if layout is None else limbs_of(layout)
    if kind == LIMBS:
        if layout is None:
            raise UsageError(f"--parts limbs: nothing tells which {V} joints these are; take --parts joints")
        return [Part(name, tuple(joints), name) for name, joints in limbs.items()]
    if layout is None:
        return [Part(f"joint {k + 1}", (k,), "body") for k in range(V)]
    return [Part(layout.joints[k].replace("_", " "), (k,), name) for name, joints in limbs.items() for k in joints]


def limbs_of(layout: Layout) -> dict[str, list[int]]:
    """The joints of each limb, of the trunk and of the head by their names; every joint is in one of them.

    A layout's trunk ends with the head, and of COCO's skeleton it is the nose alone.
    """
    names = [_limb_name(layout, limb, k) for k, limb in enumerate(layout.limbs)]
    found = {name: list(limb) for name, limb in zip(names, layout.limbs)}
    used = {joint for limb in found.values() for joint in limb}
    above = [joint for joint in layout.trunk if layout.joints[joint] in HEAD]
    for name, joints in (("head", (*above, *layout.face)), ("trunk", layout.trunk), ("rest", range(layout.V))):
        left = [joint for joint in joints if joint not in used]
        used |= set(left)
        if left:
            found[name] = left
    return found


def _limb_name(layout: Layout, limb: Sequence[int], number: int) -> str:
    first = layout.joints[limb[0]]
    side = next((word for word in ("left", "right") if first.startswith(f"{word}_")), None)
    if side is not None and len(layout.limbs) == len(ARMS_AND_LEGS):
        return f"{side} {ARMS_AND_LEGS[number]}"
    return f"{first.replace('_', ' ')} and on"


def shares(values: np.ndarray, parts: Sequence[Part]) -> dict[str, float]:
    """Of what speaks for the class, the positive cells of (M, P, W), how much lies on each limb: fractions."""
    positive = np.maximum(values, 0).sum((0, 2))
    total = float(positive.sum()) or 1.0
    made: dict[str, float] = {}
    for part, value in zip(parts, positive):
        made[part.limb] = made.get(part.limb, 0.0) + float(value) / total
    return made
