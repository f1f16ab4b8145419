"""Hyper-GCN's feeders: fixtures, drawn clips, alignment, streams against a slow oracle, NW-UCLA, arguments."""

from __future__ import annotations

import feeder_cases as cases
import numpy as np
import pytest
import torch
from feeder_cases import CASES
from parity.kaggle_sample import TEST, TRAIN, to_ntvm
from scipy import stats
from scipy.spatial.transform import Rotation

from skeleton_lab import registry
from skeleton_lab.data.feeders import frame_sampling, transforms
from skeleton_lab.data.feeders.base import Batch
from skeleton_lab.data.feeders.sample_rng import Draws
from skeleton_lab.errors import FeederArgumentError, LabError, UsageError

Feeder = registry.load("Hyper-GCN", "feeders.feeder_ntu.Feeder")
UCLA = registry.load("Hyper-GCN", "feeders.feeder_ucla.Feeder")
TRAINING = {"split": "train", "window_size": 64, "p_interval": [0.5, 1], "random_rot": True}
CLIPS = {"split": "train", "window_size": 64, "frame_sample": "clips"}
PARENT = np.array([1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 7, 7, 11, 11])


@pytest.mark.parametrize("name", cases.names("hypergcn/test", "hypergcn/align"))
def test_fixture(name, archive):
    cases.verify_item(Feeder(archive, **CASES[name]["args"]), CASES[name])


def test_all_fixtures_are_replayed():
    known = {*cases.names("hypergcn/test", "hypergcn/align", "hypergcn/clips", "hypergcn/ucla")}
    assert known == {
        name for name, case in CASES.items() if name.startswith("hyper") or case.get("family") == "hypergcn"
    }


def clip_draws(n: int, window: int, draws: dict) -> dict:
    """The draws of a fixture under the keys of ``sampling``."""
    if "start" in draws:
        return {"start": draws["start"]}
    if "skips" in draws:
        return {"skips": draws["skips"]}
    size = np.diff(frame_sampling.even(np.array([n]), window)[0])
    return {"offsets": (np.array(draws["offsets"]) + 0.5) / size}


@pytest.mark.parametrize("name", cases.names("hypergcn/clips"))
def test_fixture_clips(name):
    case = CASES[name]
    x, window = cases.case_input(case["input"]), case["args"]["clip_len"]
    n = x.shape[1]
    work = cases.apply(frame_sampling.DrawClip(window), x, clip_draws(n, window, case["draws"]), n=np.array([n]))
    cases.verify(case, cases.clip_of(work.x))


@pytest.mark.parametrize("name", cases.names("hypergcn/ucla"))
def test_fixture_ucla(name):
    case = CASES[name]
    fed = UCLA(**case["args"], root=str(cases.recordings()))
    assert fed.clips.names[case["index"]] == case["file"]
    if "draws" in case:
        work = cases.run(fed, case["index"], cases.ucla_draws(case["draws"]))
        assert fed.label[case["index"]] == case["label"]
        cases.verify(case, cases.clip_of(work.x.float()))
    else:
        cases.verify_item(fed, case)


def slow_frames(n: int, window: int, draws: Draws) -> list[int]:
    if n < window:
        start = draws.integers("start", 0, n)[0, 0]
        return [(start + k) % n for k in range(window)]
    if n < 2 * window:
        skips = np.flatnonzero(draws.ranks("skips", window + 1)[0] < n - window)
        return [k + int((skips <= k).sum()) for k in range(window)]
    bounds = [k * n // window for k in range(window + 1)]
    unit = draws.uniform("offsets", window)[0]
    return [low + int(u * (high - low)) for low, high, u in zip(bounds, bounds[1:], unit)]


def slow_align(x: np.ndarray) -> np.ndarray:
    d = (x[:, 0, 8, 0] - x[:, 0, 4, 0]).astype(np.float64)
    axis = np.cross(d, [1, 0, 0])
    if np.abs(d).sum() < 1e-6 or np.abs(axis).sum() < 1e-6:
        return x
    angle = np.arccos(d[0] / np.linalg.norm(d))
    turn = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix()
    return np.einsum("dc,ctvm->dtvm", turn, x)


def slow_stream(x: np.ndarray, bone: bool, vel: bool) -> np.ndarray:
    y = x.copy()
    for v in range(25):
        if bone and v != 20:
            y[:, :, v] = x[:, :, v] - x[:, :, PARENT[v]]
        elif not bone and not vel and v != 20:
            y[:, :, v] = x[:, :, v] - x[:, :, 20]
    return np.concatenate([np.diff(y, axis=1), np.zeros_like(y[:, :1])], axis=1) if vel else y


@pytest.mark.parametrize(("bone", "vel"), [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("align", [False, True])
def test_drawn_clips_equal_slow_loop(archive, bone, vel, align):
    fed = Feeder(archive, **CLIPS, bone=bone, vel=vel, align=align, random_rot=True)
    fed.seed = 7
    x, y, index = fed.__getitems__(Batch(range(12), epoch=2))
    assert (x.shape, x.dtype, y.dtype, index.tolist()) == ((12, 3, 64, 25, 2), torch.float32, torch.int64, [*range(12)])
    stored = to_ntvm(cases.kaggle()["x_train"])
    for i, (frames, _, label, oddity) in enumerate(TRAIN):
        draws = Draws(7, 2, np.array([i]))
        n = frames - 5 if oddity == "gap" else frames
        want = stored[i][:, slow_frames(n, 64, draws)].astype(np.float64)
        want = slow_align(want) if align else want
        turn = transforms.rotation_matrices(draws.uniform("rotation", 3, -0.3, 0.3))[0]
        want = slow_stream(np.einsum("dc,ctvm->dtvm", turn, want), bone, vel)
        np.testing.assert_allclose(x[i], want, atol=1e-5)
        assert y[i] == label


def test_drawn_clips_of_the_test_are_settled(archive):
    fed = Feeder(archive, **{**CLIPS, "split": "test"})
    first = fed.__getitems__(Batch(range(8), epoch=0))[0]
    fed.seed = 5
    assert torch.equal(fed.__getitems__(Batch(range(8), epoch=3))[0], first)
    training = Feeder(archive, **CLIPS)
    both = [training.__getitems__(Batch([0, 1], epoch))[0] for epoch in (0, 1)]
    assert not torch.equal(*both)


def test_drawn_frames_follow_the_recipe():
    """All frames of a clip of 100 are as likely as the next; of 300, one of each stretch of 4 or 5."""
    draws = Draws(0, 0, np.arange(4000))
    skipped = frame_sampling.drawn(np.full(4000, 100), 64, draws)
    assert (np.diff(skipped, axis=1) >= 1).all()
    assert (skipped.min(), skipped.max()) == (0, 99)
    # with 36 places of 65 skipped, frame 0 is drawn unless place 0 is
    assert abs((skipped[:, 0] == 0).mean() - 29 / 65) < 0.03
    stretches = frame_sampling.drawn(np.full(4000, 300), 64, draws)
    bounds = frame_sampling.even(np.array([300]), 64)[0]
    for k in range(64):
        place = stretches[:, k] - bounds[k]
        assert stats.chisquare(np.bincount(place, minlength=bounds[k + 1] - bounds[k])).pvalue > 1e-5
    starts = draws.integers("start", 0, 20)[:, 0]
    assert stats.chisquare(np.bincount(starts)).pvalue > 1e-4


@pytest.mark.parametrize(
    "extra", [{**TRAINING, "align": True}, {**CLIPS, "bone": True}, {**CLIPS, "window_size": 47}], ids=str
)
def test_an_item_does_not_depend_on_its_batch(archive, extra):
    fed = Feeder(archive, **extra)
    batch = fed.__getitems__(Batch(range(12)))[0]
    for i in range(12):
        np.testing.assert_array_equal(fed[i][0], batch[i].numpy())


@pytest.mark.parametrize(
    "d",
    [(1.0, 2.0, 3.0), (-1.0, 0.5, 0.0), (-1.0, 1e-4, 0.0), (0.0, 0.0, -2.0), (2.0, 0.0, 0.0), (-2.0, 0.0, 0.0),
     (0.0, 0.0, 0.0), (1e-8, 1e-8, 0.0)],
)  # fmt: skip
def test_turning_onto_x(d):
    (turn,) = transforms.turn_to_x(np.array([d]))
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) > 0
    if d[1:] == (0.0, 0.0) or np.abs(d).sum() < 1e-6:
        np.testing.assert_array_equal(turn, np.eye(3))
    else:
        np.testing.assert_allclose(turn @ d, [np.linalg.norm(d), 0, 0], atol=1e-12)


def test_empty_clip_and_one_frame(archive, tmp_path):
    x, y = np.zeros((2, 20, 150), np.float32), np.zeros(2, np.int64)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    for extra in (CLIPS, {**TRAINING, "align": True}):
        assert (Feeder(str(tmp_path / "a.npz"), **extra).__getitems__([0, 1])[0] == 0).all()
    for extra in (CLIPS, TRAINING):
        data = Feeder(archive, **extra)[2][0]
        assert (data == data[:, :1]).all()
        assert (Feeder(archive, **extra, vel=True)[2][0] == 0).all()
    assert Feeder(archive, **{**CLIPS, "window_size": 1})[0][0].shape == (3, 1, 25, 2)


def test_ucla_drops_in_training_only(tmp_path):
    from tiny_data import make_ucla

    make_ucla(tmp_path / "all_sqe")
    fed = UCLA("joint", "train", 100, root=str(tmp_path))
    x = fed.__getitems__(range(len(fed)))[0][..., 0]
    assert x.shape[1:] == (3, 64, 20)
    axis_gone = (x == 0).all(3).all(2)
    assert axis_gone.sum(1).max() == 1
    assert abs(axis_gone.any(1).float().mean() - 0.5) < 0.06
    assert stats.chisquare(axis_gone.sum(0).numpy()).pvalue > 1e-4
    gone = (x == 0).all(1)  # (N, W, V)
    some = gone.any(2).any(1)
    assert abs(some.float().mean() - 0.5) < 0.06
    frames, joints = gone.any(2).sum(1)[some], gone.any(1).sum(1)[some]
    assert torch.equal(gone.sum((1, 2))[some], frames * joints)
    assert (frames.min(), frames.max(), joints.min(), joints.max()) == (16, 32, 4, 12)
    assert not (UCLA("joint", "val", root=str(tmp_path)).__getitems__(range(6))[0] == 0).any()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"frame_sample": "clip"}, UsageError, ["frame_sample", "'resize'", "'clips'", "'clip'"]),
        ({"aligned": True}, FeederArgumentError, ["'aligned'", "'align'"]),
        ({"window_size": -1}, UsageError, ["window_size"]),
        ({"p_interval": [2]}, UsageError, ["p_interval"]),
        ({"data_path": None}, FeederArgumentError, ["data_path"]),
        ({"split": "val"}, LabError, ["val", "train", "test"]),
    ],
    ids=str,
)
def test_bad_arguments(archive, arguments, error, words):
    with pytest.raises(error) as caught:
        Feeder(**{"data_path": archive, **TRAINING, **arguments})
    assert isinstance(caught.value, LabError)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_arguments_without_effect(archive):
    inert = {"num_clips": 3, "spatial_flip": True, "drop_joint": True, "drop_axis": True, "normalization": True}
    arguments = {"split": "test", "window_size": 64, "p_interval": [0.95]}
    np.testing.assert_array_equal(Feeder(archive, **arguments)[4][0], Feeder(archive, **arguments, **inert)[4][0])
    assert len(Feeder(archive, **arguments)) == len(TEST)
