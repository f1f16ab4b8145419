"""From one order of joints to another by explicit rules, kept as tables.

A rule makes one joint of the target from joints of the source: ``{"left_wrist": 1.3, "left_elbow": -0.3}`` is the left
wrist, moved on by 0.3 of the forearm. The weights of a rule add up to 1, so a map moves, turns, scales and mirrors with
the body. Rules name the left side; the right one follows by its mirror image.

Sources: joint names of Kinect v2 and v1 (Shahroudy et al. 2016, Wang et al. 2014), COCO (Lin et al. 2014), OpenPose
(Cao et al. 2019), MediaPipe Pose (Bazarevsky et al. 2020) and Human3.6M (Ionescu et al. 2014). The shares of bones are
those of an average adult: neck a third of the way from the shoulders to the middle of the head, palm, thumb and finger
tips 0.3, 0.4 and 0.6 of the forearm behind the wrist, the foot 0.2 of the shin below the ankle.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from skeleton_lab.errors import UsageError
from skeleton_lab.skeletons.schemes import SCHEMES, Scheme, other_side

Rule = dict[str, float]
TARGETS = ("ntu25", "ucla20")

_HIPS: Rule = {"left_hip": 0.5, "right_hip": 0.5}
_SHOULDERS: Rule = {"left_shoulder": 0.5, "right_shoulder": 0.5}
_EARS: Rule = {"left_ear": 0.5, "right_ear": 0.5}
_LIMBS: dict[str, Rule] = {
    f"left_{name}": {f"left_{name}": 1.0} for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
}
_HAND: dict[str, Rule] = {
    "left_hand": {"left_wrist": 1.3, "left_elbow": -0.3},
    "left_thumb": {"left_wrist": 1.4, "left_elbow": -0.4},
    "left_hand_tip": {"left_wrist": 1.6, "left_elbow": -0.6},
}
_FOOT: dict[str, Rule] = {"left_foot": {"left_ankle": 1.2, "left_knee": -0.2}}


def mean(*parts: tuple[float, Rule]) -> Rule:
    """A weighted sum of rules."""
    made: Rule = {}
    for weight, rule in parts:
        for joint, share in rule.items():
            made[joint] = made.get(joint, 0.0) + weight * share
    return made


def _trunk(base: Rule, top: Rule, head: Rule) -> dict[str, Rule]:
    """Spine and head from the middle of the hips, the middle of the shoulders and the middle of the head."""
    return {
        "spine_base": base,
        "spine_mid": mean((0.5, base), (0.5, top)),
        "spine_shoulder": top,
        "neck": mean((2 / 3, top), (1 / 3, head)),
        "head": head,
    }


# Rules to NTU-25; NW-UCLA-20 follows from it.
TO_NTU: dict[str, dict[str, Rule]] = {
    "coco17": {**_trunk(_HIPS, _SHOULDERS, _EARS), **_LIMBS, **_HAND, **_FOOT},
    "coco18": {**_trunk(_HIPS, {"neck": 1.0}, _EARS), **_LIMBS, **_HAND, **_FOOT},
    "body25": {
        **_trunk({"mid_hip": 1.0}, {"neck": 1.0}, _EARS), **_LIMBS, **_HAND,
        "left_foot": {"left_big_toe": 0.5, "left_small_toe": 0.5},
    },
    "mediapipe33": {
        **_trunk(_HIPS, _SHOULDERS, _EARS), **_LIMBS,
        # index and pinky are knuckles: the palm is half-way to them, the finger tips are as far again
        "left_hand": {"left_wrist": 0.5, "left_index": 0.25, "left_pinky": 0.25},
        "left_thumb": {"left_thumb": 1.0},
        "left_hand_tip": {"left_wrist": -0.8, "left_index": 0.9, "left_pinky": 0.9},
        "left_foot": {"left_foot_index": 1.0},
    },
    "h36m17": {
        "spine_base": {"pelvis": 1.0}, "spine_mid": {"spine": 1.0}, "spine_shoulder": {"thorax": 1.0},
        "neck": {"thorax": 0.5, "nose": 0.5}, "head": {"nose": 0.5, "head_top": 0.5},
        **_LIMBS, **_HAND, **_FOOT,
    },
    "ucla20": {
        **{name: {name: 1.0} for name in SCHEMES["ucla20"].joints if not name.startswith("right_")},
        "neck": {"spine_shoulder": 2 / 3, "head": 1 / 3},
        "left_thumb": {"left_hand": 4 / 3, "left_wrist": -1 / 3},
        "left_hand_tip": {"left_hand": 2.0, "left_wrist": -1.0},
    },
    "ntu25": {name: {name: 1.0} for name in SCHEMES["ntu25"].joints if not name.startswith("right_")},
}  # fmt: skip


def rules(source: str, target: str) -> dict[str, Rule]:
    """The rule of every joint of the target, by name and in its order.

    Raises:
        UsageError: unknown scheme, or one that nothing leads to.
    """
    if source == target and source in SCHEMES:
        return {name: {name: 1.0} for name in SCHEMES[source].joints}
    if source not in TO_NTU or target not in TARGETS:
        raise UsageError(f"there is no map from {source} to {target}; from {', '.join(TO_NTU)} to {', '.join(TARGETS)}")
    table = TO_NTU[source]
    return {name: table[name] if name in table else _mirrored(table, name) for name in SCHEMES[target].joints}


def _mirrored(table: dict[str, Rule], name: str) -> Rule:
    return {other_side(joint): weight for joint, weight in table[other_side(name)].items()}


@cache
def matrix(source: str, target: str) -> np.ndarray:
    """(V of the target, V of the source) float64 weights of ``rules``; every row adds up to 1. Do not write to it."""
    made, scheme = rules(source, target), SCHEMES[source]
    weights = np.zeros((len(made), scheme.V))
    for row, rule in enumerate(made.values()):
        for joint, weight in rule.items():
            weights[row, scheme.at(joint)] = weight
    weights.setflags(write=False)
    return weights


def apply(points: np.ndarray, source: str, target: str) -> np.ndarray:
    """Joints (..., V, C) of one scheme as those of another (..., V', C), float64.

    Raises:
        UsageError: no such map, or another number of joints than the source has.
    """
    expected = SCHEMES[source].V if source in SCHEMES else 0
    if points.ndim < 2 or (expected and points.shape[-2] != expected):
        raise UsageError(f"{source} has {expected} joints, the points are of shape {points.shape}")
    return matrix(source, target) @ np.asarray(points, np.float64)


def described(source: Scheme, target: Scheme) -> Iterator[tuple[str, str]]:
    """Each joint of the target and its rule in words: ``1.3 left_wrist - 0.3 left_elbow``."""
    for name, rule in rules(source.name, target.name).items():
        words = " ".join(f"{'-' if weight < 0 else '+'} {abs(weight):.3g} {joint}" for joint, weight in rule.items())
        yield name, words.removeprefix("+ ").removeprefix("1 ")
