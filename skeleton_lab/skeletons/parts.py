"""The parts of a body, found by walking its tree of bones: trunk, limbs, the rest, and two points of the trunk.

Names help where they are there: arms begin at the shoulders (or at the collar bones before them), legs at the hips, and
arms come before legs.  Without such names the sides of the body tell: a limb begins where joints in pairs hang on one
that has no pair.  Without sides, as in a hand, it begins where the tree branches first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from skeleton_lab.skeletons.tree import Edges, children, distances, longest_path

SHORTEST = 3  # joints of a limb, where there are any so long: eyes with ears are none
COLLARS, SHOULDERS, HIPS = ("collar", "clavicle"), "shoulder", "hip"
LEGS, FRONT = ("hip", "leg", "knee", "thigh", "ankle", "foot", "toe"), ("front", "fore")


class Parts(NamedTuple):
    """What a layout is given of its body where the user gives nothing; a point is the mean of its joints."""

    trunk: list[int]
    limbs: list[list[int]]
    origin: list[int]
    scale: tuple[list[int], list[int]]


def of(joints: list[str], bones: Edges, root: int, pairs: Edges) -> Parts:
    """The parts of a tree of bones, (child, parent), that ends in ``root``."""
    V, below = len(joints), children(bones, len(joints))
    shoulders, hips = _both(joints, pairs, SHOULDERS), _both(joints, pairs, HIPS)
    heads = _named(joints, bones, shoulders, hips) or _paired(root, below, pairs) or _branches(root, below)
    limbs = [_hanging(head, below, heads) for head in heads]
    long = [limb for limb in limbs if len(limb) >= SHORTEST] or limbs
    limbs = sorted(long, key=lambda limb: _is_leg(joints[limb[0]]))  # arms first
    elsewhere = {joint for limb in limbs for joint in limb} | {joint for pair in pairs for joint in pair}
    middle = [joint for joint in range(V) if joint not in elsewhere]
    trunk = longest_path(bones, middle, V) if middle else []
    pelvis = _pelvis(bones, hips) or [root]
    hops = distances(bones, V)[pelvis].sum(0)
    if trunk and hops[trunk[0]] > hops[trunk[-1]]:
        trunk.reverse()
    return Parts(trunk, limbs, pelvis, _scale(shoulders if hips else [], pelvis, trunk, heads))


def _is_leg(name: str) -> bool:
    return any(word in name for word in LEGS) and not any(word in name for word in FRONT)


def _both(joints: list[str], pairs: Edges, word: str) -> list[int]:
    """The left and the right joint of that name."""
    return next(([left, right] for left, right in pairs if joints[left] == f"left_{word}"), [])


def _named(joints: list[str], bones: Edges, shoulders: list[int], hips: list[int]) -> list[int]:
    """Shoulders, or the collar bones that they hang on, and hips, left before right; none unless all are there."""
    above = dict(bones)
    collars = [above.get(joint, joint) for joint in shoulders]
    if all(any(word in joints[joint] for word in COLLARS) for joint in collars):
        shoulders = collars
    return [*shoulders, *hips] if shoulders and hips else []


def _paired(root: int, below: list[list[int]], pairs: Edges) -> list[int]:
    """The joints of a side that hang on joints of none, each left one before its right one."""
    sided = {joint for pair in pairs for joint in pair}
    heads = [joint for above in _hanging(root, below) if above not in sided for joint in below[above] if joint in sided]
    first = {joint: min(heads.index(other) for other in pair if other in heads) for pair in pairs for joint in pair
             if joint in heads}  # fmt: skip
    lefts = {left for left, _ in pairs}
    return sorted(heads, key=lambda joint: (first[joint], joint not in lefts))


def _branches(root: int, below: list[list[int]]) -> list[int]:
    joint = root
    while len(below[joint]) == 1:
        joint = below[joint][0]
    return below[joint]


def _hanging(head: int, below: list[list[int]], but: Sequence[int] = ()) -> list[int]:
    """A joint and all that hangs on it, outward along the first branch, then the next; not what another limb takes."""
    found, waiting = [], [head]
    while waiting:
        joint = waiting.pop()
        found.append(joint)
        waiting += [child for child in reversed(below[joint]) if child not in but]
    return found


def _pelvis(bones: Edges, hips: list[int]) -> list[int]:
    """The joint that both hips hang on, else the hips."""
    above = {parent for child, parent in bones if child in hips}
    return list(above) if len(above) == 1 else hips


def _scale(shoulders: list[int], pelvis: list[int], trunk: list[int], heads: list[int]) -> tuple[list[int], list[int]]:
    """Shoulders to pelvis, or the trunk from end to end, or the root to where the limb in the middle begins."""
    if shoulders:
        return shoulders, pelvis
    return ([trunk[0]], [trunk[-1]]) if len(trunk) > 1 else (pelvis, [heads[len(heads) // 2]])
