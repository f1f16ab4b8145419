"""Files of key points for tests: people who walk, and how they are written and read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from skeleton_lab.inference.keypoints import normalise, reading
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.skeletons.figure import places as figure
from skeleton_lab.skeletons.schemes import COCO17, Scheme

COCO = figure(COCO17) * [200, -200] + [300, 500]  # (17, 2) pixels of somebody who stands
T = 12


def walkers(frames: int = T, persons: int = 2, scheme: Scheme = COCO17) -> np.ndarray:
    """(T, M, V, 2) pixels of people who walk to the right, 400 pixels apart."""
    at = figure(scheme)[:, :2] * [200, -200] + [300, 500]
    step = np.arange(frames)[:, None, None, None] * [2.0, 0]
    return at + step + np.arange(persons)[None, :, None, None] * [400.0, 0]


def read(path: Path, name: str | None = "coco17", **wish):
    notices = Notices()
    found, scheme = reading.read(
        path, lambda V, where: normalise.scheme_of(name, V, where), notices=notices, **wish
    )  # fmt: skip
    return found, scheme, notices.lines()


def written(path: Path, content) -> Path:
    path.write_text(json.dumps(content))
    return path


def flat(points: np.ndarray, score: float | np.ndarray = 0.9) -> list[float]:
    """x, y, score, x, y, score ..."""
    scores = np.broadcast_to(np.asarray(score, float), points.shape[:-1])[..., None]
    return np.concatenate([points, scores], -1).reshape(-1).round(3).tolist()
