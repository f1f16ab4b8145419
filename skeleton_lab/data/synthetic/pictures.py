"""What a pose estimator makes of the synthetic people: COCO's 17 key points in pixels, with its errors and scores.

The camera is that of the Kinect's pictures, somewhere before the people.  The estimator trembles, the more the farther
out a joint is; for some frames it guesses a joint, far off and with a low score, or does not report it at all (zero);
now and then it overlooks a whole person.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from skeleton_lab.data.synthetic.recorder import Plan

SKELETON, UNITS, CHANNELS = "coco17", "px", "xys"
HEIGHT, WIDTH, FOCAL = 1080, 1920, 1055.0  # pixels
DISTANCE, ASIDE = (2.3, 4.5), 0.25  # metres to the camera; of that to either side
NEAREST = 1.0  # metres: what comes nearer is not drawn larger
KINECT = np.array([4, 8, 5, 9, 6, 10, 12, 16, 13, 17, 14, 18])  # COCO's joints behind the face
HEAD, NECK, LEFT, RIGHT = 3, 2, 4, 8  # the face is put before the head: a Kinect sees none
# Nose, eyes, ears: metres to the left of the head's middle, up, and to the front.
FACE = np.array([(0, -0.02, 0.10), (0.03, 0.02, 0.08), (-0.03, 0.02, 0.08), (0.07, 0, 0), (-0.07, 0, 0)])
JOINTS, PERSONS = 17, 2
WORSE = np.array([1] * 5 + [1.0, 1.0, 1.5, 1.5, 2.0, 2.0, 1.2, 1.2, 1.5, 1.5, 2.0, 2.0])
TREMBLE, GUESS = 0.02, 0.35  # of the torso: the error of a joint that was found, and of one that was guessed
LOST, LONGEST = 0.2, 0.25  # chance that a joint is lost in a clip (times ``WORSE``), for at most that share of it
OVERLOOKED, BLINK = 0.3, 5  # chance that a person is, for at most so many frames
FAINT = (0.02, 0.28)  # scores of what was guessed


class Records(Protocol):
    """``recorder.Recorder`` or ``Resampled``."""

    frames: int
    plan: Callable[[np.ndarray], Plan]

    def record(self, index: np.ndarray, out: np.ndarray) -> None: ...


class Pictures:
    """The clips of ``recorder`` as key points; ``random`` makes the generator of a clip from its number."""

    def __init__(self, recorder: Records, random: Callable[[int], np.random.Generator]) -> None:
        self._recorder, self._random = recorder, random
        self.frames, self.plan = recorder.frames, recorder.plan
        self.shape = (3, recorder.frames, JOINTS, PERSONS)

    def record(self, index: np.ndarray, out: np.ndarray) -> None:
        """Fill ``out (B, 3, frames, 17, 2)`` float32 with the clips ``index (B,)``: x, y in pixels, score."""
        whole = np.empty((len(index), self.frames, 150), np.float32)
        self._recorder.record(index, whole)
        for k, number in enumerate(index):
            joints = whole[k].reshape(self.frames, PERSONS, 25, 3)
            out[k] = seen(joints, self._random(int(number))).transpose(3, 0, 2, 1)


def seen(joints: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Joints (T, M, 25, 3) in metres to key points (T, M, 17, 3); who is not there stays zero."""
    there = joints.any(axis=(2, 3))
    distance = random.uniform(*DISTANCE)
    camera = np.array([random.uniform(-ASIDE, ASIDE) * distance, random.uniform(-0.2, 0.2), distance])
    x, y, z = np.moveaxis(key_points(joints.astype(np.float64)) + camera, -1, 0)
    z = np.maximum(z, NEAREST)
    # A Kinect's x axis points to its left; columns of a picture are counted to the right, rows downwards.
    points = np.stack([WIDTH / 2 - FOCAL * x / z, HEIGHT / 2 - FOCAL * y / z], -1)
    torso = 0.5 * FOCAL / distance
    made = np.zeros((*points.shape[:3], 3), np.float32)
    for m in range(points.shape[1]):
        made[:, m] = _estimated(points[:, m], torso, random)
        there[:, m] &= ~_span(random, len(there), int(there[:, m].sum()), OVERLOOKED, BLINK)
    return made * there[..., None, None]


def key_points(joints: np.ndarray) -> np.ndarray:
    """(..., 25, 3) of NTU RGB+D to COCO's (..., 17, 3), in the same space."""
    left = _unit(joints[..., LEFT, :] - joints[..., RIGHT, :])
    up = _unit(joints[..., HEAD, :] - joints[..., NECK, :])
    axes = np.stack([left, up, np.cross(left, up)], -2)
    face = joints[..., HEAD, None, :] + FACE @ axes
    return np.concatenate([face, joints[..., KINECT, :]], -2)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _estimated(points: np.ndarray, torso: float, random: np.random.Generator) -> np.ndarray:
    """One person (T, 17, 2) as the estimator reports them: (T, 17, 3)."""
    T = len(points)
    away = random.normal(0, 1, points.shape) * WORSE[:, None] * torso
    score = np.clip(random.normal(0.88, 0.06, points.shape[:2]) - 0.05 * (WORSE - 1), 0.35, 1)
    made = np.concatenate([points + TREMBLE * away, score[..., None]], -1)
    for joint in range(JOINTS):
        lost = _span(random, T, T, LOST * WORSE[joint], LONGEST * T)
        faint = random.uniform(*FAINT, T)
        guess = np.concatenate([points[:, joint] + GUESS * away[:, joint], faint[:, None]], -1)
        made[lost, joint] = guess[lost] if random.random() < 0.5 else 0
    return made.astype(np.float32)


def _span(random: np.random.Generator, frames: int, within: int, chance: float, longest: float) -> np.ndarray:
    """(frames,) bool: with that chance some frames in a row, before frame ``within``."""
    happens, begin, length = random.random(3)
    first = begin * within
    t = np.arange(frames)
    return (happens < chance) & (t >= first) & (t < first + 1 + length * (longest - 1))
