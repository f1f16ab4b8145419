"""A standing figure of any skeleton: places of its joints to draw it by, not to train on.

Joints of the bodies of the field stand where their names say, hands and faces with many points larger than life. What
has another name stands on the trunk, or beside the joint that it hangs on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from skeleton_lab.skeletons.layouts import Layout

Place = tuple[float, float]

# A person who stands before the viewer, x to the viewer's right, in metres: the middle and the left side.
BODY: dict[str, Place] = {
    "spine_base": (0, 0.96), "mid_hip": (0, 0.96), "pelvis": (0, 0.96), "hip": (0, 0.96), "spine": (0, 1.2),
    "spine_mid": (0, 1.2), "spine_navel": (0, 1.12), "spine1": (0, 1.06), "spine2": (0, 1.17), "spine3": (0, 1.3),
    "spine4": (0, 1.37), "spine_chest": (0, 1.3), "spine_shoulder": (0, 1.44), "thorax": (0, 1.44), "neck": (0, 1.44),
    "upper_neck": (0, 1.53), "head_bottom": (0, 1.5), "nose": (0, 1.62), "head": (0, 1.68), "head_top": (0, 1.84),
    "left_eye": (0.045, 1.69), "left_eye_inner": (0.022, 1.665), "left_eye_outer": (0.07, 1.7),
    "left_ear": (0.1, 1.66), "left_mouth": (0.03, 1.56), "left_collar": (0.08, 1.42), "left_clavicle": (0.08, 1.42),
    "left_shoulder": (0.2, 1.43), "left_elbow": (0.36, 1.18),
    "left_wrist": (0.5, 0.97), "left_hand": (0.545, 0.905), "left_hand_tip": (0.6, 0.82), "left_thumb": (0.51, 0.86),
    "left_pinky": (0.585, 0.88), "left_index": (0.555, 0.85), "left_hip": (0.11, 0.94), "left_knee": (0.15, 0.52),
    "left_ankle": (0.18, 0.12), "left_foot": (0.2, 0.03), "left_heel": (0.165, 0.05), "left_big_toe": (0.22, 0.02),
    "left_small_toe": (0.27, 0.03), "left_foot_index": (0.25, 0.02), "left_toe": (0.25, 0.01),
}  # fmt: skip
# A left hand with its back to the viewer, fingers up: the knuckle of each finger, and where its tip is from there.
FINGERS: dict[str, tuple[Place, Place]] = {
    "thumb": ((-0.24, 0.16), (-0.36, 0.42)), "index": ((-0.2, 0.6), (-0.08, 0.42)),
    "middle": ((-0.03, 0.63), (0, 0.48)), "ring": ((0.13, 0.59), (0.07, 0.43)), "pinky": ((0.27, 0.5), (0.14, 0.33)),
}  # fmt: skip
SHARES = (0.0, 0.5, 0.78, 1.0)  # of a finger, its joints from the knuckle to the tip
# Points of a face, iBUG's order: the middle and the left side, a chin's length being one.
FACE: dict[str, Place] = {
    "chin": (0, -1), "nose_bridge_1": (0, 0.42), "nose_bridge_2": (0, 0.3), "nose_bridge_3": (0, 0.18),
    "nose_bridge_4": (0, 0.06), "nose_tip": (0, -0.12), "left_nostril_1": (0.1, -0.11), "left_nostril_2": (0.19, -0.07),
    "lip_outer_top": (0, -0.38), "left_lip_outer_3": (0.13, -0.36), "left_lip_outer_2": (0.25, -0.41),
    "left_lip_outer_1": (0.37, -0.5), "left_lip_outer_4": (0.26, -0.61), "left_lip_outer_5": (0.13, -0.67),
    "lip_outer_bottom": (0, -0.68), "left_lip_inner_1": (0.27, -0.51), "left_lip_inner_2": (0.13, -0.46),
    "lip_inner_top": (0, -0.47), "left_lip_inner_3": (0.13, -0.56), "lip_inner_bottom": (0, -0.57),
}  # fmt: skip
FACE |= {f"left_jaw_{k}": (0.85 * np.sin(k * np.pi / 16), -np.cos(k * np.pi / 16) + 0.03 * k) for k in range(1, 9)}
FACE |= {f"left_brow_{k}": (0.1 + 0.15 * k, 0.55 + 0.05 * (2 - abs(k - 3))) for k in range(1, 6)}
FACE |= {f"left_lid_{k + 1}": (0.43 + 0.17 * np.cos(a), 0.3 + 0.09 * np.sin(a))
         for k, a in enumerate(np.arange(6) * np.pi / 3)}  # fmt: skip
HAND, HEAD = 0.42, 0.33  # a drawn hand and chin in metres
_FINGER = re.compile(r"(left_|right_)?(?:hand_)?(thumb|index|middle|ring|pinky)_?([1-4])")
_WRIST = re.compile(r"(?:(left_|right_)hand_)?(wrist|palm)")
STEP, ENOUGH = 0.24, 0.5  # metres of a bone whose joint has no place; share of joints that have one


def places(layout: Layout) -> np.ndarray:
    """(V, 2) metres, x to the viewer's right and so to the person's left, y up."""
    at = {k: place for k, name in enumerate(layout.joints) if (place := _named(layout, name)) is not None}
    if len(at) < ENOUGH * layout.V:
        at = dict(_trunk(layout))
    _grow(layout, at)
    return np.array([at[joint] for joint in range(layout.V)], float)


def _named(layout: Layout, name: str) -> Place | None:
    """Where a joint of that name stands; None for a name that no body of the field has."""
    left = f"left_{name[6:]}" if name.startswith("right_") else name
    place = _of_hand(layout, left) or _of_face(layout, left) or BODY.get(left)
    if name == "neck" and "spine_shoulder" in layout.joints:
        place = (0, 1.52)  # a third of the way to the head; others have it between the shoulders
    return (-place[0], place[1]) if place and left != name else place


def _of_hand(layout: Layout, name: str) -> Place | None:
    """The finger of a hand that is alone, or at the end of a body's arm."""
    finger, wrist = _FINGER.fullmatch(name), _WRIST.fullmatch(name)
    if finger:
        (x, y), (dx, dy) = FINGERS[finger[2]]
        share = SHARES[int(finger[3]) - 1]
        x, y, side = x + share * dx, y + share * dy, finger[1]
    elif wrist:
        x, y, side = 0.0, {"wrist": 0.0, "palm": 0.34}[wrist[2]], wrist[1]
    else:
        return None
    if "left_elbow" in layout.joints:  # fingers go on as the forearm does
        along = np.subtract(BODY["left_wrist"], BODY["left_elbow"])
        along = along / np.linalg.norm(along) * HAND
        across = np.array([-along[1], along[0]])
        return tuple(np.add(BODY["left_wrist"], across * x + along * y))
    return (x + (0.8 if side else 0.0), y)


def _of_face(layout: Layout, name: str) -> Place | None:
    """A point of a face with many, and the eyes, ears and nose that belong to it."""
    if "chin" not in layout.joints:
        return None
    x, y = FACE.get(name) or {"nose": (0, -0.2), "left_eye": (0.43, 0.3), "left_ear": (0.95, 0.25)}.get(name, (9, 9))
    return None if x == 9 else (x * HEAD, 1.92 + y * HEAD)


def _trunk(layout: Layout) -> Iterator[tuple[int, Place]]:
    """The trunk upright and the first joints of the limbs: pairs on both sides of it, others in a fan above it."""
    trunk = layout.trunk or (layout.root,)
    height = {joint: 1 + STEP * k for k, joint in enumerate(trunk)}
    yield from ((joint, (0.0, y)) for joint, y in height.items())
    heads = [limb[0] for limb in layout.limbs]
    alone = [joint for joint in heads if joint == layout.mirror[joint]]
    for k, joint in enumerate(alone):
        angle = np.pi * (k + 1) / (len(alone) + 1)
        yield joint, (-STEP * np.cos(angle), 1 + STEP * (len(trunk) - 1 + np.sin(angle)))
    at_one: list[int] = []
    for left, right in (pair for pair in layout.pairs if pair[0] in heads):
        above = int(layout.parent[left])
        y = height.get(above, 1.0) - 0.05 - STEP * at_one.count(above)
        at_one.append(above)
        yield left, (0.15, y)
        yield right, (-0.15, y)


def _grow(layout: Layout, at: dict[int, Place]) -> None:
    """Places for the rest, one bone from a joint that has one: on in its direction, several beside each other."""
    beside: list[list[int]] = [[] for _ in range(layout.V)]
    for child, parent in layout.bones:
        beside[child].append(parent)
        beside[parent].append(child)
    limbs = {joint for limb in layout.limbs for joint in limb[:1] if layout.mirror[joint] != joint}
    waiting = list(at)
    for n, joint in enumerate(waiting):
        new = [near for near in beside[joint] if near not in at]
        before = next((near for near in beside[joint] if near in waiting[:n]), None)
        x, y = at[joint]
        if joint in limbs:
            straight = np.arctan2(-1.0, np.sign(x) * 0.5)  # they hang
        elif before is not None:
            straight = np.arctan2(y - at[before][1], x - at[before][0])
        else:
            straight = np.pi / 2
        for k, near in enumerate(new):
            angle = straight + (k - (len(new) - 1) / 2) * min(0.9, 2.4 / len(new))
            at[near] = (x + STEP * np.cos(angle), y + STEP * np.sin(angle))
        waiting += new
