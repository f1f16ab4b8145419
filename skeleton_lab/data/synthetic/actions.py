"""Twenty-two actions of NTU RGB+D 60 as functions of time that move a ``motion.Pose``.

Every action is written for a right-handed actor who starts from an idle stance and changes only what it needs.  Several
come in pairs that look alike in a still picture (clapping and putting the palms together, kicking and jumping, walking
together and apart ...), so that the movement, not the pose, tells the class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skeleton_lab.data.synthetic.body_model import Pose
from skeleton_lab.data.synthetic.motion_curves import Moment, reach, walk


@dataclass(frozen=True)
class Action:
    """``move(actor, partner, moment)`` changes the poses in place; the partner is None for a single person."""

    label: int  # 0-based, as in resources/ntu120_classes.txt
    persons: int
    move: Callable[..., None]


ACTIONS: dict[int, Action] = {}


def _action(label: int, persons: int = 1) -> Callable:
    def register(move: Callable[..., None]) -> Callable[..., None]:
        ACTIONS[label] = Action(label, persons, move)
        return move

    return register


@_action(7)
def sit_down(a: Pose, _: None, m: Moment) -> None:
    _seated(a, m, m.ramp(0.05, 0.6 + 0.35 * m.free[0]), m.bump(0.0, 0.3, 0.4, 0.9))


@_action(8)
def stand_up(a: Pose, _: None, m: Moment) -> None:
    _seated(a, m, 1 - m.ramp(0.4 - 0.35 * m.free[0], 0.95), m.bump(0.1, 0.5, 0.6, 0.95))


def _seated(a: Pose, m: Moment, s: np.ndarray, bent: np.ndarray) -> None:
    """``s``: 0 on the feet, 1 on a chair; ``bent``: how far the trunk comes forward on the way."""
    a["rise"] -= s * (0.40 + 0.08 * m.free[1])
    a["lean"] -= s * 0.36
    a["pitch"] += bent * 0.75 * m.amount
    for side in ("right", "left"):
        reach(a[side], -0.05, -0.62, 0.55, 0.7 * s)


@_action(9)
def clap(a: Pose, _: None, m: Moment) -> None:
    held = m.bump(0, 0.12, 0.88, 1)
    apart = 1 - np.cos(m.swing(1.4, 3, 6))
    _join_hands(a, m, held, 0.32 * m.amount * apart - 0.05, 0.0)
    for side in ("right", "left"):
        a[side][1] += 0.08 * held * (apart - 1)


@_action(38)
def palms_together(a: Pose, _: None, m: Moment) -> None:
    held = m.bump(0, 0.3, 0.7, 1)
    _join_hands(a, m, held, 0.25 * (1 - held), 0.0)
    greeting = m.bump(0.3, 0.48, 0.52, 0.7) * m.amount
    a["pitch"] += 0.30 * greeting
    a["nod"] += 0.35 * greeting


@_action(33)
def rub_hands(a: Pose, _: None, m: Moment) -> None:
    _join_hands(a, m, m.bump(0, 0.12, 0.88, 1), 0.0, 0.15 * m.amount * np.sin(m.swing(1.6, 3, 7)))


def _join_hands(a: Pose, m: Moment, held: np.ndarray, gap, slide) -> None:
    """Both hands before the chest, ``gap`` apart, the right one ``slide`` in front of the other."""
    for side, sign in (("right", 1), ("left", -1)):
        reach(a[side], -0.31 + gap, -0.45 + 0.3 * m.free[0], 0.5 + 0.12 * m.free[1] + sign * slide, held)
        a[f"{side}_elbow"] += 0.4 * held


@_action(22)
def wave(a: Pose, _: None, m: Moment) -> None:
    held = m.bump(0, 0.15, 0.85, 1)
    swing = m.amount * np.sin(m.swing(1.3, 3, 5))
    reach(a["right"], 0.44 * swing, 0.05 + 0.45 * m.free[0] - 0.08 * swing * swing, 0.40, held)
    a["right_elbow"] += 0.5 * held
    a["roll"] += 0.07 * held * swing
    a["sway"] += 0.02 * held * swing


@_action(0)
def drink(a: Pose, _: None, m: Moment) -> None:
    held = m.bump(0, 0.18, 0.85, 1)
    second = 0.45 + 0.1 * m.free[1]
    sip = m.bump(0.12, 0.26, 0.34, second) + m.bump(second, 0.68, 0.76, 0.92)
    reach(a["right"], -0.10, -0.45, 0.52, held)
    reach(a["right"], -0.26, 0.20 + 0.05 * m.free[0], 0.40, held * sip)
    a["right_elbow"] += 0.5 * held * sip
    a["nod"] -= 0.55 * m.amount * sip
    a["pitch"] -= 0.16 * m.amount * sip
    a["lean"] += 0.03 * sip


@_action(6)
def throw(a: Pose, _: None, m: Moment) -> None:
    back, fling, after = m.ramp(0.1, 0.4), m.ramp(0.45, 0.57), m.ramp(0.57, 0.72)
    rest = m.ramp(0.8, 1)
    reach(a["right"], 0.35, 0.35 + 0.2 * m.free[0], -0.25, back)
    reach(a["right"], 0.0, 0.40, 0.92, fling)
    reach(a["right"], -0.35, -0.60, 0.55, after)
    reach(a["right"], 0.12, -0.9, 0.1, rest)
    a["twist"] += m.amount * (-0.5 * back + 1.0 * fling - 0.1 * after - 0.4 * rest)
    a["pitch"] += m.amount * (-0.12 * back + 0.35 * fling + 0.1 * after - 0.33 * rest)
    step = 0.28 * m.ramp(0.3, 0.5)
    a["left_foot"][2] += step
    a["left_foot"][1] += 0.09 * m.bump(0.3, 0.4, 0.4, 0.5)
    a["lean"] += 0.5 * step


@_action(23)
def kick(a: Pose, _: None, m: Moment) -> None:
    _kick(a, m, 0.6)


def _kick(a: Pose, m: Moment, height: float) -> None:
    back, forth, rest = m.ramp(0.05, 0.35), m.ramp(0.48, 0.58), m.ramp(0.62, 0.85)
    foot = a["right_foot"]
    foot[2] += m.amount * (-0.40 * back + 1.07 * forth - 0.67 * rest)
    foot[1] += m.amount * (0.12 * back + (height - 0.12) * forth - height * rest)
    a["sway"] -= 0.04 * (back - rest)
    a["pitch"] += m.amount * (0.1 * back - 0.28 * forth + 0.18 * rest)
    a["twist"] += 0.3 * m.amount * (-back + 2 * forth - rest)
    a["left"][2] += 0.35 * (back - forth)
    a["right"][2] += 0.35 * (-back + 2 * forth - rest)


@_action(26)
def jump(a: Pose, _: None, m: Moment) -> None:
    twice = m.free[0] < 0.5
    v = np.where((m.u > 0) & (m.u < 1) & twice, (2 * m.u) % 1, m.u).astype(np.float32)
    hop = Moment(v, m.seconds, m.tempo, m.amount, m.free)
    low = hop.bump(0.02, 0.28, 0.34, 0.46) + 0.8 * hop.bump(0.68, 0.76, 0.82, 0.98)
    air = np.clip((v - 0.41) / 0.31, 0, 1)
    height = m.amount * 4 * air * (1 - air)
    a["rise"] += -0.21 * low + 0.38 * height
    a["pitch"] += 0.35 * low
    for side in ("right", "left"):
        a[f"{side}_foot"][1] += 0.26 * height
        a[side][2] += -0.35 * low + 0.45 * height
        a[side][1] += 0.30 * height


@_action(37)
def salute(a: Pose, _: None, m: Moment) -> None:
    held = m.ramp(0.12, 0.30) - m.ramp(0.72, 0.9)
    reach(a["right"], -0.05, 0.33 + 0.05 * m.free[0], 0.30, held)
    a["right_elbow"] += 1.6 * held
    reach(a["left"], 0.06, -0.98, 0.0, m.bump(0, 0.2, 0.8, 1))


@_action(5)
def pick_up(a: Pose, _: None, m: Moment) -> None:
    down = m.bump(0.05, 0.42, 0.5, 0.9)
    a["pitch"] += 1.15 * down
    a["rise"] -= (0.16 + 0.1 * m.free[0]) * down
    a["lean"] -= 0.14 * down
    reach(a["right"], -0.05, -0.35, 0.92, m.bump(0.05, 0.4, 0.5, 0.6))
    reach(a["right"], -0.1, -0.45, 0.5, m.bump(0.5, 0.75, 1.2, 1.5))


@_action(34)
def bow(a: Pose, _: None, m: Moment) -> None:
    down = m.bump(0.05, 0.42, 0.58, 0.95) * m.amount
    a["pitch"] += 0.85 * down
    a["nod"] += 0.25 * down
    a["lean"] -= 0.12 * down
    for side in ("right", "left"):
        reach(a[side], 0.02, -0.95, 0.12, m.bump(0, 0.2, 0.8, 1))


@_action(21)
def cheer(a: Pose, _: None, m: Moment) -> None:
    held = m.bump(0, 0.2, 0.82, 1)
    pump = np.sin(m.swing(1.3, 2, 5))
    for side in ("right", "left"):
        reach(a[side], 0.25, 0.55 + 0.27 * m.amount * pump, 0.15, held)
    a["rise"] += 0.012 * held * pump


@_action(25)
def hop(a: Pose, _: None, m: Moment) -> None:
    held = m.bump(0, 0.15, 0.85, 1)
    up = np.maximum(np.sin(m.swing(1.5, 2, 6)), 0) * held
    a["left_foot"][1] += 0.35 * held + 0.10 * up
    a["left_foot"][2] -= 0.32 * held
    a["right_foot"][1] += 0.15 * m.amount * up
    a["rise"] += -0.05 * held + 0.20 * m.amount * up
    a["sway"] += 0.09 * held
    for side in ("right", "left"):
        a[side][0] += 0.25 * held
        a[side][1] += 0.15 * held + 0.2 * up


def _fall_back(b: Pose, m: Moment, hit: float, strength: float) -> None:
    """The partner is struck at a time: the trunk gives way and one foot steps back."""
    give = m.bump(hit, hit + 0.08, hit + 0.16, hit + 0.40) * m.amount * strength
    b["pitch"] -= 0.42 * give
    b["nod"] -= 0.2 * give
    b["lean"] -= 0.2 * give
    b["right_foot"][2] -= 0.38 * give
    for side in ("right", "left"):
        b[side][2] += 0.35 * give
        b[side][1] += 0.25 * give


@_action(49, persons=2)
def punch(a: Pose, b: Pose, m: Moment) -> None:
    guard = m.bump(0.05, 0.3, 0.65, 0.95)
    hit = m.bump(0.36, 0.46, 0.50, 0.62)
    reach(a["right"], 0.1, -0.4, 0.1, guard)
    reach(a["left"], -0.1, -0.35, 0.4, 0.6 * guard)
    reach(a["right"], -0.28, 0.12 + 0.1 * m.free[0], 0.95, hit)
    a["twist"] += -0.3 * guard + 0.85 * hit
    a["lean"] += 0.13 * hit
    a["left_foot"][2] += 0.25 * guard
    _fall_back(b, m, 0.44, 1.0)


@_action(57, persons=2)
def shake_hands(a: Pose, b: Pose, m: Moment) -> None:
    held = m.bump(0.1, 0.3, 0.7, 0.9)
    beat = np.sin(m.swing(1.8, 3, 6)) * m.bump(0.26, 0.34, 0.66, 0.74)
    for person in (a, b):
        reach(person["right"], -0.30, -0.38 + 0.18 * m.amount * beat, 0.70, held)
        person["pitch"] += 0.10 * held
        person["lean"] += 0.06 * held


@_action(58, persons=2)
def walk_together(a: Pose, b: Pose, m: Moment) -> None:
    metres = 0.75 + 0.4 * m.free[0]
    for person in (a, b):
        person["walk"] -= metres
        walk(person, m, 0.02, 0.98, metres)


@_action(59, persons=2)
def walk_apart(a: Pose, b: Pose, m: Moment) -> None:
    metres = 0.75 + 0.4 * m.free[0]
    for person, sign in ((a, 1), (b, np.where(m.free[1] < 0.5, 1, -1).astype(np.float32))):
        person["yaw"] += np.float32(np.pi) * sign * m.ramp(0, 0.35)
        walk(person, m, 0.1, 1, metres, backward=True)


@_action(50, persons=2)
def kick_person(a: Pose, b: Pose, m: Moment) -> None:
    _kick(a, m, 0.75)
    _fall_back(b, m, 0.52, 1.0)


@_action(51, persons=2)
def push(a: Pose, b: Pose, m: Moment) -> None:
    ready, shove = m.bump(0, 0.25, 0.75, 1), m.bump(0.33, 0.45, 0.58, 0.75)
    for side in ("right", "left"):
        reach(a[side], -0.05, -0.2, 0.25, ready)
        reach(a[side], -0.1, -0.02, 0.93, shove)
    a["pitch"] += 0.22 * shove
    a["lean"] += 0.12 * shove
    a["left_foot"][2] += 0.28 * ready
    _fall_back(b, m, 0.40, 1.4)


@_action(54, persons=2)
def hug(a: Pose, b: Pose, m: Moment) -> None:
    near = 0.26 + 0.05 * m.free[0]
    held = m.bump(0.15, 0.42, 0.72, 0.92)
    for person, high in ((a, 0.12), (b, -0.22)):
        walk(person, m, 0.0, 0.35, near)
        walk(person, m, 0.75, 1.0, near, backward=True)
        for side in ("right", "left"):
            reach(person[side], 0.02, high, 0.75, held)
            reach(person[side], -0.32, high, 0.72, held * m.bump(0.3, 0.5, 0.65, 0.8))
        person["pitch"] += 0.14 * held
        person["turn"] += 0.35 * held


# The order in which a smaller set of classes takes them.  Sitting down and standing up come late: as the origin is the
# first frame, the mean height alone tells them apart.
SINGLE = (0, 22, 37, 6, 9, 38, 23, 26, 7, 8, 33, 21, 5, 34, 25)
PAIRS = (58, 59, 49, 57, 54, 51, 50)


def chosen(classes: int, two_person_share: float) -> list[int]:
    """Labels of ``classes`` actions, about ``two_person_share`` of them with two persons."""
    pairs = min(max(round(classes * two_person_share), classes - len(SINGLE)), len(PAIRS), classes)
    return sorted((*SINGLE[: classes - pairs], *PAIRS[:pairs]))
