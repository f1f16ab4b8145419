"""What a map is made of: parts of the body times pieces of the recorded time, for each person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from skeleton_lab.errors import UsageError
from skeleton_lab.skeletons.layouts import Layout

JOINTS, LIMBS = "joints", "limbs"
HEAD = ("nose", "head", "head_top")  # joints above the neck that layouts count to the trunk
WRIST = ("wrist", "palm")  # joints that layouts of hands count to the trunk
ARMS_AND_LEGS = ("arm", "arm", "leg", "leg")  # the order of ``Layout.limbs`` of a whole body
BEGINS = {"shoulder": "arm", "collar": "arm", "clavicle": "arm", "hip": "leg"}  # what limbs begin with


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
    return [Part(_words(layout, k), (k,), name) for name, joints in limbs.items() for k in joints]


def limbs_of(layout: Layout) -> dict[str, list[int]]:
    """The joints of each limb, of the trunk and of the head by their names; every joint is in one of them.

    A layout's trunk ends with the head, of COCO's skeleton it is the nose alone, and of hands the wrist.
    """
    found: dict[str, list[int]] = {}
    for number, limb in enumerate(layout.limbs):
        name = _limb_name(layout, limb, number)
        found[f"{_words(layout, limb[0])} and on" if name in ("", *found) else name] = list(limb)
    used = {joint for limb in found.values() for joint in limb}
    above = [joint for joint in layout.trunk if layout.joints[joint] in HEAD]
    middle = "wrist" if all(_last_word(layout, joint) in WRIST for joint in layout.trunk) else "trunk"
    for name, joints in (("head", (*above, *layout.face)), (middle, layout.trunk), ("rest", range(layout.V))):
        left = [joint for joint in joints if joint not in used]
        used |= set(left)
        if left:
            found[name] = left
    return found


def _limb_name(layout: Layout, limb: Sequence[int], number: int) -> str:
    """An arm, a leg, a finger; empty where it is none of them."""
    names = [layout.joints[joint] for joint in limb]
    stem = names[0].rpartition("_")[0]
    if all(name.rpartition("_")[0] == stem and _last_word(layout, k).isdigit() for name, k in zip(names, limb)):
        return stem.replace("_", " ")  # a finger
    side = next((word for word in ("left", "right") if names[0].startswith(f"{word}_")), None)
    usual = ARMS_AND_LEGS[number] if len(layout.limbs) == len(ARMS_AND_LEGS) else None
    kind = BEGINS.get(_last_word(layout, limb[0]), usual)
    return "" if side is None or kind is None else f"{side} {kind}"


def _words(layout: Layout, joint: int) -> str:
    return layout.joints[joint].replace("_", " ")


def _last_word(layout: Layout, joint: int) -> str:
    return layout.joints[joint].rpartition("_")[2]


def shares(values: np.ndarray, parts: Sequence[Part]) -> dict[str, float]:
    """Of what speaks for the class, the positive cells of (M, P, W), how much lies on each limb: fractions."""
    positive = np.maximum(values, 0).sum((0, 2))
    total = float(positive.sum()) or 1.0
    made: dict[str, float] = {}
    for part, value in zip(parts, positive):
        made[part.limb] = made.get(part.limb, 0.0) + float(value) / total
    return made
