"""The joints of every scheme of key points, by name and in order, and the bones to draw between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

Bones = list[tuple[str, str]]
SCORE = 0.3  # of a joint that was found, the custom of the field


@dataclass(frozen=True)
class Scheme:
    """One order of joints.

    Attributes:
        name: as ``--keypoints`` takes it; title: as documents call it.
        joints: V names; those of one side begin with ``left_`` or ``right_``.
        scored: the third value of a joint is a score, not z.
        bones: (joint, parent) names; a tree, except for what has no parent.
        y_up: 3-D coordinates have y upwards already.
    """

    name: str
    title: str
    joints: tuple[str, ...]
    scored: bool
    bones: Bones = field(default_factory=list)
    y_up: bool = False

    @property
    def V(self) -> int:
        return len(self.joints)

    def at(self, name: str) -> int:
        return self.joints.index(name)

    @cached_property
    def edges(self) -> list[tuple[int, int]]:
        """(joint, parent) numbers from 0."""
        return [(self.at(joint), self.at(parent)) for joint, parent in self.bones]

    @cached_property
    def mirror(self) -> np.ndarray:
        """(V,) the joint on the other side of the body; one in the middle is its own."""
        return np.array([self.at(other_side(name)) for name in self.joints])


def other_side(name: str) -> str:
    """``left_knee`` for ``right_knee`` and the reverse."""
    side, _, rest = name.partition("_")
    return f"{ {'left': 'right', 'right': 'left'}[side] }_{rest}" if side in ("left", "right") else name


def _sides(*names: str) -> tuple[str, ...]:
    """Each joint of the left side, followed by that of the right one."""
    return tuple(f"{side}_{name}" for name in names for side in ("left", "right"))


def _limb(side: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{side}_{name}" for name in names)


def _both(*pairs: tuple[str, str]) -> Bones:
    """Bones of the left side, then the same of the right one; ``!`` marks a joint in the middle."""
    return [
        (f"{side}_{joint}", parent[1:] if parent.startswith("!") else f"{side}_{parent}")
        for side in ("left", "right")
        for joint, parent in pairs
    ]


_ARM, _LEG = ("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")
_LIMBS = (("elbow", "shoulder"), ("wrist", "elbow"), ("knee", "hip"), ("ankle", "knee"))
_FACE = (("eye", "!nose"), ("ear", "eye"))
_KINECT_ARM, _KINECT_LEG = (*_ARM, "hand"), (*_LEG, "foot")
_KINECT_LIMBS = (*_LIMBS, ("hand", "wrist"), ("foot", "ankle"), ("hip", "!spine_base"))

NTU25 = Scheme(
    "ntu25", "NTU RGB+D, Kinect v2",
    (
        "spine_base", "spine_mid", "neck", "head", *_limb("left", *_KINECT_ARM), *_limb("right", *_KINECT_ARM),
        *_limb("left", *_KINECT_LEG), *_limb("right", *_KINECT_LEG), "spine_shoulder",
        "left_hand_tip", "left_thumb", "right_hand_tip", "right_thumb",
    ),
    False,
    [
        ("spine_mid", "spine_base"), ("spine_shoulder", "spine_mid"), ("neck", "spine_shoulder"), ("head", "neck"),
        *_both(*_KINECT_LIMBS, ("shoulder", "!spine_shoulder"), ("hand_tip", "hand"), ("thumb", "hand")),
    ],
    y_up=True,
)  # fmt: skip

UCLA20 = Scheme(
    "ucla20", "NW-UCLA, Kinect v1",
    (
        "spine_base", "spine_mid", "spine_shoulder", "head", *_limb("left", *_KINECT_ARM),
        *_limb("right", *_KINECT_ARM), *_limb("left", *_KINECT_LEG), *_limb("right", *_KINECT_LEG),
    ),
    False,
    [
        ("spine_mid", "spine_base"), ("spine_shoulder", "spine_mid"), ("head", "spine_shoulder"),
        *_both(*_KINECT_LIMBS, ("shoulder", "!spine_shoulder")),
    ],
    y_up=True,
)  # fmt: skip

COCO17 = Scheme(
    "coco17", "COCO",
    ("nose", *_sides("eye", "ear", *_ARM, *_LEG)),
    True,
    [
        *_both(*_FACE, *_LIMBS, ("shoulder", "!nose"), ("hip", "shoulder")),
        ("right_shoulder", "left_shoulder"), ("right_hip", "left_hip"),
    ],
)  # fmt: skip

_OPENPOSE_BODY = ("nose", "neck", *_limb("right", *_ARM), *_limb("left", *_ARM))
_OPENPOSE_HEAD = ("right_eye", "left_eye", "right_ear", "left_ear")
_OPENPOSE_BONES = _both(*_FACE, *_LIMBS, ("shoulder", "!neck"))

BODY25 = Scheme(
    "body25", "OpenPose BODY-25",
    (
        *_OPENPOSE_BODY, "mid_hip", *_limb("right", *_LEG), *_limb("left", *_LEG), *_OPENPOSE_HEAD,
        *_limb("left", "big_toe", "small_toe", "heel"), *_limb("right", "big_toe", "small_toe", "heel"),
    ),
    True,
    [
        ("nose", "neck"), ("mid_hip", "neck"), *_OPENPOSE_BONES,
        *_both(("hip", "!mid_hip"), ("big_toe", "ankle"), ("small_toe", "big_toe"), ("heel", "ankle")),
    ],
)  # fmt: skip

COCO18 = Scheme(
    "coco18", "OpenPose COCO",
    (*_OPENPOSE_BODY, *_limb("right", *_LEG), *_limb("left", *_LEG), *_OPENPOSE_HEAD),
    True,
    [("nose", "neck"), *_OPENPOSE_BONES, *_both(("hip", "!neck"))],
)  # fmt: skip

MEDIAPIPE33 = Scheme(
    "mediapipe33", "MediaPipe Pose",
    (
        "nose", *_limb("left", "eye_inner", "eye", "eye_outer"), *_limb("right", "eye_inner", "eye", "eye_outer"),
        *_sides("ear", "mouth", *_ARM, "pinky", "index", "thumb", *_LEG, "heel", "foot_index"),
    ),
    False,
    [
        *_both(
            ("eye_inner", "!nose"), ("eye", "eye_inner"), ("eye_outer", "eye"), ("ear", "eye_outer"),
            ("mouth", "!nose"), ("shoulder", "!nose"), ("hip", "shoulder"), *_LIMBS, ("pinky", "wrist"),
            ("index", "wrist"), ("thumb", "wrist"), ("heel", "ankle"), ("foot_index", "heel"),
        ),
        ("right_shoulder", "left_shoulder"), ("right_hip", "left_hip"),
    ],
)  # fmt: skip

H36M17 = Scheme(
    "h36m17", "Human3.6M",
    (
        "pelvis", *_limb("right", *_LEG), *_limb("left", *_LEG), "spine", "thorax", "nose", "head_top",
        *_limb("left", *_ARM), *_limb("right", *_ARM),
    ),
    False,
    [
        ("spine", "pelvis"), ("thorax", "spine"), ("nose", "thorax"), ("head_top", "nose"),
        *_both(("hip", "!pelvis"), ("shoulder", "!thorax"), *_LIMBS),
    ],
)  # fmt: skip

SCHEMES = {s.name: s for s in (COCO17, BODY25, COCO18, MEDIAPIPE33, H36M17, NTU25, UCLA20)}
