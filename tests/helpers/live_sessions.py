"""Sessions of ``skeleton-lab live`` for tests: people as JSON lines, a small network, the program called in process."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import own_networks

from skeleton_lab.live import program
from skeleton_lab.skeletons.figure import places as figure
from skeleton_lab.skeletons.schemes import COCO17

NAMES = ("wave", "squat", "kick")
STAND = figure(COCO17)[:, :2] * [100, -100] + [300, 300]  # (17, 2) pixels of somebody who stands


def dancers(frames: int, people: int = 1, seed: int = 0) -> np.ndarray:
    """(T, M, 17, 3) x, y in pixels and score of people who swing, each in their own way; as exact as a file has it."""
    rng = np.random.default_rng(seed)
    phase, size = rng.uniform(0, 6, (people, 17, 2)), rng.uniform(2, 15, (people, 17, 2))
    swing = size * np.sin(np.arange(frames)[:, None, None, None] / 5 + phase)
    points = STAND + np.arange(people)[:, None, None] * [250.0, 0] + swing
    scores = np.where(rng.random((frames, people, 17, 1)) < 0.05, 0.1, rng.uniform(0.5, 1, (frames, people, 17, 1)))
    return np.concatenate([points, scores], -1).round(3)


def line(number: int, people: dict[int, np.ndarray], **more: Any) -> str:
    """One frame as the documented form has it; ``people``: (V, C) by id."""
    listed = [{"id": id, "keypoints": points.tolist()} for id, points in people.items()]
    return json.dumps({"frame": number, "time": number / 30, "people": listed, **more}) + "\n"


def lines(clip: np.ndarray, numbers: Iterable[int] | None = None) -> list[str]:
    """The frames of a clip (T, M, V, C), whose people are called 0, 1 ..."""
    numbers = range(len(clip)) if numbers is None else numbers
    return [line(n, dict(enumerate(frame))) for n, frame in zip(numbers, clip)]


def live(argv: list[Any], capsys) -> tuple[int, list[dict], str]:
    """Exit status, labels and messages of the program."""
    capsys.readouterr()
    status = program.main([str(word) for word in argv])
    said = capsys.readouterr()
    return status, [json.loads(each) for each in said.out.splitlines()], said.err


def network(folder: Path, frames: int = 24) -> Namespace:
    """An untrained ST-GCN for COCO's 17 joints and three classes: its ``config`` and ``weights``."""
    rng = np.random.default_rng(3)
    x = rng.normal(300, 60, (6, 3, frames, 17, 2)).astype(np.float32)
    x[:, 2] = rng.uniform(0.4, 1, x[:, 2].shape)
    x[3:, ..., 1] = 0  # clips of two people, and of one
    y = np.arange(6) % 3
    words = {"skeleton": "coco17", "channels": "xys", "units": "px", "class_names": np.array(NAMES)}
    np.savez(folder / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y, **words)
    own_networks.stgcn(folder, len(NAMES))
    return Namespace(folder=folder, weights=folder / "net.pt", config=folder / "config.yaml")
