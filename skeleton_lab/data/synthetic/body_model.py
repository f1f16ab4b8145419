"""A 25-joint body (the joints of NTU RGB+D, Kinect v2) that is posed by a few controls per frame.

Trunk, neck and head follow from angles (forward kinematics); arms and legs are two-bone chains that reach for a wrist
and an ankle, so that feet stay on the floor and hands arrive at mouths, while every limb keeps its length.  All arrays
are float32 with frames on the last axis: many clips, packed one after the other, are posed in one call.

Axes are those of a Kinect in front of a person who faces it: x to that person's right, y up, z away from the
camera.  A person looks along -z when the heading is 0.  Lengths are metres, angles radians.
"""

from __future__ import annotations

import numpy as np

JOINTS = 25
SUBJECTS = 40

# The same joint on the other side of the body.
MIRRORED = np.array([0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 16, 17, 18, 19, 12, 13, 14, 15, 20, 23, 24, 21, 22])

# Tree of the bones that have a fixed length: (joint, parent), 0-based.
BONES = (
    (1, 0), (20, 1), (2, 20), (3, 2), (4, 20), (5, 4), (6, 5), (7, 6), (8, 20), (9, 8), (10, 9), (11, 10), (12, 0),
    (13, 12), (14, 13), (15, 14), (16, 0), (17, 16), (18, 17), (19, 18), (21, 7), (22, 7), (23, 11), (24, 11),
)  # fmt: skip

# Metres, for a person of 1.72 m.
LENGTHS = {
    "spine": 0.30, "chest": 0.23, "neck": 0.075, "head": 0.15, "shoulder": 0.165, "shoulder_drop": 0.035,
    "upper_arm": 0.275, "forearm": 0.245, "hand": 0.075, "tip": 0.08, "thumb": 0.055,
    "hip": 0.085, "hip_drop": 0.035, "thigh": 0.41, "shin": 0.385, "foot": 0.12, "ankle": 0.085,
}  # fmt: skip

# One row of a pose per name.  Hands are (out, up, forward) of the shoulder in the frame of the chest, in arm
# lengths; feet (out, up, forward) of their place under the hip, in metres; rise is in leg lengths.
CHANNELS = (
    "walk", "side", "yaw", "rise", "lean", "sway", "pitch", "roll", "twist", "nod", "turn",
    "right_out", "right_up", "right_forward", "left_out", "left_up", "left_forward", "right_elbow", "left_elbow",
    "right_foot_out", "right_foot_up", "right_foot_forward", "left_foot_out", "left_foot_up", "left_foot_forward",
)  # fmt: skip
_ROW = {name: row for row, name in enumerate(CHANNELS)}
_SWAPPED = np.array(
    [_ROW[n.replace("right", "left") if "right" in n else n.replace("left", "right")] for n in CHANNELS]
)
_SIGN = np.array([-1 if n in ("side", "yaw", "sway", "roll", "twist", "turn") else 1 for n in CHANNELS], np.float32)


class Pose(dict):
    """Views of the rows of ``rows (len(CHANNELS), F)`` by name.

    The hands ``right``, ``left`` and the feet ``right_foot``, ``left_foot`` are three rows each, (3, F).
    """

    def __init__(self, rows: np.ndarray) -> None:
        super().__init__({name: rows[row] for name, row in _ROW.items()})
        for limb, first in (("right", "right_out"), ("left", "left_out")):
            self[limb] = rows[_ROW[first] : _ROW[first] + 3]
            self[f"{limb}_foot"] = rows[_ROW[f"{limb}_foot_out"] : _ROW[f"{limb}_foot_out"] + 3]
        self.rows = rows

    def part(self, frames: slice) -> Pose:
        """The same pose for some frames only (views, not copies)."""
        return Pose(self.rows[:, frames])


def mirror(rows: np.ndarray, frames: np.ndarray) -> None:
    """Swap left and right of the pose ``rows (P, F)`` in place, where ``frames (F,)`` says so."""
    rows[:, frames] = rows[_SWAPPED][:, frames] * _SIGN[:, None]


def body(subject: int) -> np.ndarray:
    """Limb lengths (len(LENGTHS),) float32 of a subject: always the same for the same number."""
    draw = np.random.Generator(np.random.Philox(key=np.array([subject, 0xB0D1], np.uint64)))
    stature, legs = draw.normal(1, 0.055), draw.normal(0, 0.02)
    own = stature * (1 + 0.025 * draw.standard_normal(len(LENGTHS)))
    own *= [1 + legs if name in ("thigh", "shin") else 1 for name in LENGTHS]
    return (np.array(list(LENGTHS.values())) * own).astype(np.float32)


def bodies() -> np.ndarray:
    """Limb lengths (SUBJECTS + 1, len(LENGTHS)) of all subjects; row 0 is unused, as subjects count from 1."""
    return np.stack([body(subject) for subject in range(SUBJECTS + 1)])


def _axes(yaw: np.ndarray, pitch: np.ndarray, roll: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right, up and forward (3, F) of something turned left by yaw, bent forward by pitch, leaning right by roll."""
    sy, cy, sp, cp, sr, cr = np.sin(yaw), np.cos(yaw), np.sin(pitch), np.cos(pitch), np.sin(roll), np.cos(roll)
    up = np.stack([-sp * sy, cp, -sp * cy])
    forward = np.stack([-cp * sy, -sp, -cp * cy])
    across = np.stack([cy, np.zeros_like(cy), -sy])
    return cr * across - sr * up, cr * up + sr * across, forward


def _unit(vector: np.ndarray) -> np.ndarray:
    x, y, z = vector
    return vector / np.sqrt(x * x + y * y + z * z + np.float32(1e-12))


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _chain(start: np.ndarray, target: np.ndarray, pole: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> tuple:
    """Middle joint, end joint, direction of the lower bone and of the bend, all (3, F), of a two-bone limb.

    The end lies at the target, or as near as the lengths allow; the middle joint bends toward ``pole``.
    """
    reach = target - start
    distance = np.sqrt(_dot(reach, reach) + np.float32(1e-12))
    axis = reach / distance
    distance = np.clip(distance, np.abs(upper - lower) + 0.3 * lower, 0.998 * (upper + lower))
    along = (upper * upper - lower * lower + distance * distance) / (2 * distance)
    bend = _unit(pole - _dot(pole, axis) * axis)
    middle = start + along * axis + np.sqrt(np.maximum(upper * upper - along * along, 0)) * bend
    end = start + distance * axis
    return middle, end, (end - middle) / lower, bend


def _arm(
    joints: np.ndarray, first: int, tips: tuple[int, int], pose: Pose, side: str, chest: tuple, size: dict
) -> None:
    """Elbow, wrist, hand, tip and thumb of the arm whose shoulder, ``joints[first]``, is already there."""
    across, up, forward = chest
    out = across if side == "right" else -across
    hand, elbow = pose[side], pose[f"{side}_elbow"]
    length = size["upper_arm"] + size["forearm"]
    target = joints[first] + length * (hand[0] * out + hand[1] * up + hand[2] * forward)
    pole = (0.25 + elbow) * out - up - 0.55 * forward
    middle, end, along, bend = _chain(joints[first], target, pole, size["upper_arm"], size["forearm"])
    inward = _unit(bend - _dot(bend, along) * along)
    joints[first + 1], joints[first + 2] = middle, end
    joints[first + 3] = end + size["hand"] * along
    joints[tips[0]] = joints[first + 3] + size["tip"] * along
    joints[tips[1]] = joints[first + 3] + size["thumb"] * (0.6 * along - 0.8 * inward)


def _leg(joints: np.ndarray, first: int, pose: Pose, side: str, size: dict) -> None:
    """Knee, ankle and foot of the leg whose hip, ``joints[first]``, is already there."""
    foot = pose[f"{side}_foot"]
    out = 1 if side == "right" else -1
    zero = np.zeros_like(foot[0])
    target = np.stack([out * (size["hip"] + foot[0]), size["ankle"] + foot[1], -foot[2]])
    pole = np.stack([zero + np.float32(0.15 * out), zero, zero - 1])
    middle, end, along, _ = _chain(joints[first], target, pole, size["thigh"], size["shin"])
    toes = np.stack([zero + np.float32(0.25 * out), zero - np.float32(0.35), zero - 1])
    joints[first + 1], joints[first + 2] = middle, end
    joints[first + 3] = end + size["foot"] * _unit(toes - np.float32(0.85) * _dot(toes, along) * along)


def pose_body(pose: Pose, lengths: np.ndarray) -> np.ndarray:
    """Joints (25, 3, F) of a person standing at the origin of the floor, facing -z.

    ``lengths (len(LENGTHS), F)``: the limbs of the person of each frame.  The channels walk, side and yaw place the
    person in the world and are not used here (``place``).
    """
    size = dict(zip(LENGTHS, lengths))
    joints = np.empty((JOINTS, 3, lengths.shape[1]), np.float32)
    leg = size["thigh"] + size["shin"]
    pelvis = joints[0]
    pelvis[0], pelvis[2] = pose["sway"], -pose["lean"]
    pelvis[1] = size["ankle"] + size["hip_drop"] + leg * (0.985 + pose["rise"])

    low = _axes(0.3 * pose["twist"], 0.6 * pose["pitch"], 0.6 * pose["roll"])
    chest = _axes(pose["twist"], pose["pitch"], pose["roll"])
    head = _axes(pose["twist"] + pose["turn"], 0.9 * pose["pitch"] + pose["nod"], 0.7 * pose["roll"])
    joints[1] = pelvis + size["spine"] * low[1]
    joints[20] = joints[1] + size["chest"] * chest[1]
    joints[2] = joints[20] + size["neck"] * chest[1]
    joints[3] = joints[2] + size["head"] * _unit(head[1] + np.float32(0.12) * head[2])

    drop = size["shoulder_drop"] * chest[1]
    joints[4], joints[8] = (
        joints[20] - size["shoulder"] * chest[0] - drop,
        joints[20] + size["shoulder"] * chest[0] - drop,
    )
    _arm(joints, 4, (21, 22), pose, "left", chest, size)
    _arm(joints, 8, (23, 24), pose, "right", chest, size)

    drop = size["hip_drop"] * low[1]
    joints[12], joints[16] = pelvis - size["hip"] * low[0] - drop, pelvis + size["hip"] * low[0] - drop
    _leg(joints, 12, pose, "left", size)
    _leg(joints, 16, pose, "right", size)
    return joints


def place(joints: np.ndarray, pose: Pose, heading: np.ndarray, spot: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Put posed people into the world and look at them with a camera; (25, 3, F) -> (25, 3, F).

    ``heading (F,)`` and ``spot (2, F)`` (x, z): where a person stands and looks to when the channels walk, side and yaw
    are 0; ``turn (3, 3, F)``: rotation from the world to the camera.
    """
    yaw = heading + pose["yaw"]
    s, c, sh, ch = np.sin(yaw), np.cos(yaw), np.sin(heading), np.cos(heading)
    spin = np.zeros_like(turn)
    spin[0, 0], spin[0, 2], spin[1, 1], spin[2, 0], spin[2, 2] = c, s, 1, -s, c
    move = np.zeros_like(joints[0])
    move[0] = spot[0] + ch * pose["side"] - sh * pose["walk"]
    move[2] = spot[1] - sh * pose["side"] - ch * pose["walk"]
    both = [[sum(turn[i, k] * spin[k, j] for k in range(3)) for j in range(3)] for i in range(3)]
    moved = [sum(turn[i, k] * move[k] for k in range(3)) for i in range(3)]
    out = np.empty_like(joints)
    for i in range(3):
        out[:, i] = both[i][0] * joints[:, 0] + both[i][1] * joints[:, 1] + both[i][2] * joints[:, 2] + moved[i]
    return out


def camera(yaw: np.ndarray, pitch: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """Rotation (3, 3, F): the scene turned by yaw about y, then the camera tilted by pitch about x and roll about z."""
    sy, cy, sp, cp, sr, cr = np.sin(yaw), np.cos(yaw), np.sin(pitch), np.cos(pitch), np.sin(roll), np.cos(roll)
    zero = np.zeros_like(yaw)
    first = np.stack([np.stack([cy, zero, sy]), np.stack([sp * sy, cp, -sp * cy]), np.stack([-cp * sy, sp, cp * cy])])
    return np.stack([cr * first[0] - sr * first[1], sr * first[0] + cr * first[1], first[2]])
