"""What the synthetic actions are composed of: the time of a clip, reaching, walking (see ``actions``)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skeleton_lab.data.synthetic.body_model import Pose

TAU = np.float32(2 * np.pi)


@dataclass
class Moment:
    """Where each frame is in its clip; arrays are (F,) float32."""

    u: np.ndarray  # time of the action: 0 it begins, 1 it has ended; below 0 and above 1 the actor idles
    seconds: np.ndarray  # length of the action
    tempo: np.ndarray  # about 1; larger is faster
    amount: np.ndarray  # about 1; larger is more
    free: np.ndarray  # (4, F) free choices of the clip in [0, 1)

    def part(self, frames: slice) -> Moment:
        return Moment(
            self.u[frames], self.seconds[frames], self.tempo[frames], self.amount[frames], self.free[:, frames]
        )

    def ramp(self, begin, end) -> np.ndarray:
        """0 before ``begin``, 1 after ``end``, smooth between."""
        x = np.clip((self.u - begin) / (end - begin), 0, 1)
        return x * x * (3 - 2 * x)

    def bump(self, begin, top, fade, end) -> np.ndarray:
        """0, rising to 1 from ``begin`` to ``top``, falling back from ``fade`` to ``end``."""
        return self.ramp(begin, top) - self.ramp(fade, end)

    def swing(self, hertz: float, least: float, most: float) -> np.ndarray:
        """Phase (radians) of something repeated at about ``hertz``, at least and at most so many times per clip."""
        turns = np.clip(hertz * self.tempo * self.seconds, least, most)
        return TAU * (turns * self.u + self.free[3])


def reach(hand: np.ndarray, out, up, forward, weight) -> None:
    """Draw a hand (or foot) toward a place, by a weight per frame."""
    for row, goal in zip(hand, (out, up, forward)):
        row += weight * (np.asarray(goal, np.float32) - row)


def stride(pose: Pose, path: np.ndarray, speed: np.ndarray) -> None:
    """Legs and arms of somebody who has walked ``path`` metres and takes full steps where ``speed`` is 1."""
    phase = TAU * path / np.float32(1.25)
    for side, shift in (("right", 0.0), ("left", np.pi)):
        foot, arm = pose[f"{side}_foot"], pose[side]
        foot[2] += speed * 0.30 * np.sin(phase + shift)
        foot[1] += speed * 0.11 * np.maximum(np.cos(phase + shift), 0)
        foot[0] -= speed * 0.04
        arm[2] -= speed * 0.28 * np.sin(phase + shift)
    pose["rise"] -= speed * 0.02 * (1 - np.cos(2 * phase))
    pose["sway"] -= speed * 0.025 * np.cos(phase)
    pose["twist"] += speed * 0.08 * np.sin(phase)
    pose["pitch"] += speed * 0.05


def walk(pose: Pose, m: Moment, begin, end, metres: np.ndarray, backward: bool = False) -> None:
    """Walk so many metres between two times of the action, away from or toward the place of the stance."""
    share = m.ramp(begin, end)
    speed = np.sqrt(np.clip(4 * share * (1 - share), 0, 1))
    pose["walk"] += metres * share * (-1 if backward else 1)
    stride(pose, metres * share, speed * np.minimum(np.abs(metres) / 0.5, 1))
