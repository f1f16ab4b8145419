"""What the tests of feeders share: the fixtures, draws that a fixture gives, clips of an array, the recordings."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parity.kaggle_sample import check, make_kaggle_arrays, to_ntvm
from parity.protocol import make_skeleton
from places import PARITY, ROOT

from skeleton_lab.data.feeders import padded as whole
from skeleton_lab.data.feeders import transforms
from skeleton_lab.data.feeders.base import Feeder
from skeleton_lab.data.feeders.nw_ucla import find_recordings
from skeleton_lab.data.feeders.pipeline import Step, Work
from skeleton_lab.data.feeders.sample_rng import Draws
from skeleton_lab.errors import ArchiveNotFoundError

CASES: dict[str, dict[str, Any]] = {
    case["id"]: case for case in json.loads((PARITY / "feeders.json").read_text())["cases"]
}
with np.load(PARITY / "feeders.npz") as npz:
    EXPECTED = dict(npz)


def names(*beginnings: str, without: str | None = None) -> list[str]:
    """The fixtures whose names begin so, without those that contain a text."""
    return [name for name in CASES if name.startswith(beginnings) and not (without and without in name)]


def verify(case: dict[str, Any], *outputs: Any) -> None:
    """Compare outputs with those of a fixture, in its order."""
    assert len(outputs) == len(case["outputs"])
    for output, entry in zip(outputs, case["outputs"]):
        check(output, entry, EXPECTED, case.get("tolerance", 1e-5))


def verify_item(fed: Feeder, case: dict[str, Any]) -> None:
    """Compare one item of a feeder, data and what goes with it, with a fixture."""
    item = fed[case["index"]]
    count = len(case["outputs"])
    assert item[count] == case["label"]
    assert item[count + 1 :] in ((case["index"],), ())
    assert fed.sample_name[case["index"]] == case.get("name", fed.sample_name[case["index"]])
    assert all(part.dtype == np.float32 for part in item[:count])
    verify(case, *item[:count])


class Imposed(Draws):
    """One sample whose draws are given by key; those that are not given are drawn."""

    def __init__(self, draws: dict[str, Any], seed: int = 0) -> None:
        super().__init__(seed, 0, np.zeros(1, int))
        self._draws = draws
        self.left = set(draws)

    def _given(self, key: str, k: int) -> np.ndarray:
        self.left.discard(key)
        given = np.asarray(self._draws[key]).reshape(1, -1)
        assert given.shape == (1, k), f"{key}: {given.shape[1]} given, {k} wanted"
        return given

    def uniform(self, key, k=1, low=0.0, high=1.0):
        if key not in self._draws:
            return super().uniform(key, k, low, high)
        given = self._given(key, k)
        assert ((given >= low) & (given <= high)).all(), key
        return given

    def integers(self, key, low, high, k=1):
        if key not in self._draws:
            return super().integers(key, low, high, k)
        given = self._given(key, k)
        assert ((given >= low) & (given < high)).all(), key
        return given

    def chance(self, key, p=0.5):
        return self._given(key, 1)[:, 0].astype(bool) if key in self._draws else super().chance(key, p)

    def normal(self, key, k=1):
        return self._given(key, k) if key in self._draws else super().normal(key, k)

    def ranks(self, key, k):
        """A given set of positions gets the lowest ranks."""
        if key not in self._draws:
            return super().ranks(key, k)
        self.left.discard(key)
        chosen = np.isin(np.arange(k), self._draws[key])
        return (~chosen).argsort(kind="stable").argsort()[None]

    def subset(self, key, k, size):
        return self._given(key, k) if key in self._draws else super().subset(key, k, size)


def run(fed: Feeder, index: int, draws: dict[str, Any]) -> Work:
    """One item with given draws, all of which must be used."""
    work = Work(fed.clips, np.array([index]), Imposed(draws))
    for step in fed.steps:
        step(work)
    assert not work.draws.left
    return work


class ArrayClips:
    """Clips (N, C, T, V, M) in memory, for steps that read."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = np.asarray(x, np.float32)
        _, self.C, self.T, self.V, self.M = self.x.shape
        present = (self.x != 0).any(axis=(1, 3, 4))
        self.n, self.e = present.sum(1), np.where(present.any(1), self.T - present[:, ::-1].argmax(1), 0)

    def __len__(self) -> int:
        return len(self.x)

    def lengths(self, idx):
        return self.n[idx], self.e[idx]

    def gather(self, idx, frames):
        padded = np.concatenate([self.x, np.zeros_like(self.x[:, :, :1])], axis=2)
        frames = np.where((frames < 0) | (frames >= self.T), self.T, frames)
        clips = np.stack([padded[i][:, f] for i, f in zip(idx, frames)])
        return np.ascontiguousarray(clips.transpose(0, 2, 4, 3, 1))


def case_input(given: dict[str, Any]) -> np.ndarray:
    """The input of a fixture of one operation, (C, T, V, M)."""
    if "make_skeleton" in given:
        x = make_skeleton(*given["make_skeleton"], seed=given["seed"])[given["index"]].numpy()
        before, after = given.get("zero_pad", (0, 0))
        return np.pad(x, ((0, 0), (before, after), (0, 0), (0, 0)))
    if "uniform" in given:
        return np.random.RandomState(given["seed"]).uniform(0, 1, given["uniform"]).astype(np.float32)
    clip = to_ntvm(kaggle()[f"x_{given['split']}"][given["index"]][None])[0]
    return clip[:, : given.get("first_frames")]


@cache
def kaggle() -> dict[str, np.ndarray]:
    return make_kaggle_arrays()


def batch_of(x: np.ndarray) -> torch.Tensor:
    """One clip (C, T, V, M) as a batch for ``transforms``."""
    return transforms.from_ctvm(torch.from_numpy(np.ascontiguousarray(x, np.float32))[None])


def clip_of(x: torch.Tensor) -> np.ndarray:
    """The only clip of a batch, (C, T, V, M)."""
    (clip,) = transforms.to_ctvm(x).numpy()
    return clip


def apply(step: Step, x: np.ndarray, draws: dict[str, Any] | None = None, **known: Any) -> Work:
    """A step on one clip (C, T, V, M), which it may read or find in ``work.x``."""
    work = Work(ArrayClips(x[None]), np.zeros(1, int), Imposed(draws or {}), x=batch_of(x))
    for name, value in known.items():
        setattr(work, name, value)
    step(work)
    assert not work.draws.left
    return work


def move_draws(draws: dict) -> dict:
    """The places of a fixture's values among those that ``random_move`` picks from."""
    given = {
        "move angle": (whole.ANGLES, draws["angle_degrees"]), "move scale": (whole.SCALES, draws["scale"]),
        "move x": (whole.SHIFTS, draws["shift_x"]), "move y": (whole.SHIFTS, draws["shift_y"]),
    }  # fmt: skip
    return {key: [values.index(value) for value in wanted] for key, (values, wanted) in given.items()}


def recordings() -> Path:
    """The NW-UCLA recordings, which are not part of the repository; without them the test is skipped."""
    variable = os.environ.get("NW_UCLA_ROOT")
    for root in ([Path(variable)] if variable else []) + [ROOT / "data" / "NW-UCLA"]:
        try:
            return find_recordings("joint", root=str(root))
        except ArchiveNotFoundError:
            continue
    pytest.skip("the NW-UCLA recordings are not here: set NW_UCLA_ROOT or unpack them to data/NW-UCLA/all_sqe")


def ucla_draws(draws: dict[str, Any], drops: bool = True) -> dict[str, Any]:
    """A fixture's draws of an NW-UCLA training item under the keys of the steps; ``drops``: of a recipe that drops."""
    frames = np.array(draws["frames"])
    imposed = {
        "view": [draws["agx"], draws["agy"]],
        "frames": frames[::-1] * 100 + np.arange(len(frames)) % 100,
    }
    if "drop_axis" in draws:
        joints, grid = draws["drop_joints"], draws["drop_frames"]
        imposed.update({"drop axis": True, "axis": draws["drop_axis"], "drop joints": True})
        imposed.update({"joint count": len(joints), "frame count": len(grid)})
        imposed.update({"joints": joints, "frames of the grid": grid})
    elif drops:
        imposed.update({"drop axis": False, "drop joints": False})
    return imposed
