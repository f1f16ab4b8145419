"""What SkateFormer's feeder does in training: a slow oracle, distributions of its draws."""

from __future__ import annotations

import pickle

import feeder_cases as cases
import numpy as np
import pytest
import torch
from feeder_cases import CASES
from parity.kaggle_sample import TRAIN, to_ntvm
from scipy import stats
from skate_feeders import EVERYTHING, PUBLISHED, Feeder, augment

from skeleton_lab import registry
from skeleton_lab.data.feeders import augmentation
from skeleton_lab.data.feeders.base import Batch
from skeleton_lab.data.feeders.pipeline import Work
from skeleton_lab.data.feeders.sample_rng import Draws
from skeleton_lab.skeletons import bones as streams

FLIP = {**{v: v + 4 for v in (4, 5, 6, 7, 12, 13, 14, 15)}, 21: 23, 22: 24}


# --- a slow oracle ----------------------------------------------------------------------------------------------------


def resized(x: np.ndarray, window: int) -> np.ndarray:
    """Axis 1 of x (K, L, ...) by half-pixel interpolation, float64."""
    length = x.shape[1]
    s = np.maximum((np.arange(window) + 0.5) * (length / window) - 0.5, 0)
    i0 = np.minimum(np.floor(s).astype(int), length - 1)
    i1, a = np.minimum(i0 + 1, length - 1), (s - i0).reshape(1, -1, *[1] * (x.ndim - 2))
    return (1 - a) * x[:, i0] + a * x[:, i1]


def slow_frames(n: int, window: int, args: dict, draws: Draws) -> np.ndarray:
    p = draws.uniform("crop share", 1, *args["p_interval"])[0, 0]
    length = min(max(int(np.floor(n * p)), args["thres"]), n)
    bias = int(draws.uniform("crop place")[0, 0] * (n - length + 1))
    if not args["uniform"] or length < window:
        return bias + np.arange(length)
    if length < 2 * window:
        skips = np.flatnonzero(draws.ranks("skips", window + 1)[0] < length - window)
        return bias + np.array([k + (skips <= k).sum() for k in range(window)])
    bounds = [k * length // window for k in range(window + 1)]
    unit = draws.uniform("offsets", window)[0]
    return bias + np.array([low + int(u * (high - low)) for low, high, u in zip(bounds, bounds[1:], unit)])


def slow_within(y: np.ndarray, t: np.ndarray, clip: np.ndarray, methods: str, draws: Draws):
    """The augmentations within a clip, y (3, W, 25, 2), one after the other."""
    gates = {c: c in methods and draws.chance(f"gate {c}")[0] for c in "ab123456789"}
    W = y.shape[1]
    if gates["a"]:
        y = y[..., ::-1].copy()
    if gates["b"] and all(clip[..., m].any() for m in (0, 1)):
        y[..., 0] = 0
    if gates["1"]:
        (a, b, c), (d, e, f) = draws.uniform("s1", 3, -0.5, 0.5)[0], draws.uniform("s2", 3, -0.5, 0.5)[0]
        y = np.einsum("dc,ctvm->dtvm", [[1, a, d], [b, 1, e], [c, f, 1]], y)
    if gates["2"]:
        angle = np.deg2rad(draws.uniform("degrees", 1, -30.0, 30.0)[0, 0])
        c, s = np.cos(angle), np.sin(angle)
        turn = (
            [[1, 0, 0], [0, c, s], [0, -s, c]],
            [[c, 0, -s], [0, 1, 0], [s, 0, c]],
            [[c, s, 0], [-s, c, 0], [0, 0, 1]],
        )
        y = np.einsum("dc,ctvm->dtvm", turn[draws.integers("turn axis", 0, 3)[0, 0]], y)
    if gates["3"]:
        y = y * (1 + 0.2 * draws.uniform("scale", 3, -1.0, 1.0)[0])[:, None, None, None]
    if gates["4"]:
        both = FLIP | {b: a for a, b in FLIP.items()}
        y = np.stack([y[:, :, both.get(v, v)] for v in range(25)], axis=2)
    if gates["5"]:
        y, t = y[:, ::-1], -t
    if gates["6"]:
        y = y + 0.05 * draws.normal("noise", y.size).reshape(2, 25, 3, W).transpose(2, 3, 1, 0)
    if gates["7"]:
        sigma = draws.uniform("sigma", 1, 0.1, 2.0)[0, 0]
        weights = {k: np.exp(-(k**2) / (2 * sigma**2)) for k in range(-7, 8)}
        y = np.stack([sum(w * y[:, t + k] for k, w in weights.items() if 0 <= t + k < W) for t in range(W)], axis=1)
    if gates["8"]:
        y = y.copy()
        y[draws.integers("axis", 0, 3)[0, 0]] = 0
    if gates["9"]:
        joints = np.flatnonzero(draws.ranks("joints", 25)[0] < draws.integers("joint count", 5, 16)[0, 0])
        count = draws.integers("frame count", min(16, W), min(32, W) + 1)[0, 0]
        frames = np.flatnonzero(draws.ranks("frames of the grid", W)[0] < count)
        y = y.copy()
        y[:, frames[:, None], joints] = 0
    return y, t


def bones_of(x: np.ndarray) -> np.ndarray:
    return np.stack([x[:, :, v] - x[:, :, u] for v, u in enumerate(streams.NTU_SKATE)], axis=2)


def slow_between(y: np.ndarray, t: np.ndarray, index: int, stored: np.ndarray, labels: list[int], draws: Draws):
    same = [i for i, label in enumerate(labels) if label == labels[index]]
    clip = stored[same[int(draws.uniform("reference")[0, 0] * len(same))]]
    f = int((clip != 0).any((0, 2, 3)).sum())
    frames = np.round((t + 1) * np.float32(f) / 2).astype(int)
    lent = np.concatenate([clip, np.zeros_like(clip[:, :1])], axis=1)[:, np.minimum(frames, clip.shape[1])]
    bones = bones_of(y)
    lengths = [np.sqrt((b**2).sum(0)) + 1e-5 for b in (bones_of(lent), bones)]
    bones = bones * (lengths[0] / lengths[1])

    def place(v: int) -> np.ndarray:
        return lent[:, :, 1] if v == 1 else bones[:, :, v] + place(streams.NTU_SKATE[v])

    return np.stack([place(v) for v in range(25)], axis=2)


def slow_item(stored: np.ndarray, labels: list[int], index: int, args: dict, draws: Draws):
    """One training item as the published code makes it: (3, W, V, 2) and (W,)."""
    clip, window = stored[index], args["window_size"]
    n = int((clip != 0).any((0, 2, 3)).sum())
    frames = slow_frames(n, window, args, draws)
    y, q = clip[:, frames].astype(np.float64), frames[None].astype(np.float64)
    if len(frames) != window:
        y, q = resized(y, window), resized(q, window)
    if not args["uniform"]:
        q = np.minimum(q, frames[-1])
    t = (2 * q[0] / n - 1).astype(np.float32)
    branch = draws.uniform("branch")[0, 0]
    if branch < args["intra_p"]:
        y, t = slow_within(y, t, clip, args["aug_method"], draws)
    elif branch < args["intra_p"] + args["inter_p"]:
        y = slow_between(y, t, index, stored, labels, draws)
    if "b" in args["data_type"]:
        y = bones_of(y)
    if "m" in args["data_type"]:
        y = np.concatenate([np.diff(y, axis=1), np.zeros_like(y[:, :1])], axis=1)
    return y[:, :, streams.NTU_PARTS] if args["partition"] else y, t


@pytest.mark.slow
@pytest.mark.parametrize(
    "extra",
    [{}, {"data_type": "b", "uniform": False}, {"data_type": "jm", "window_size": 48, "thres": 48},
     {"data_type": "bm", "partition": False, "window_size": 100}, {"inter_p": 0.5}, {"window_size": 24}],
    ids=str,
)  # fmt: skip
def test_training_batch_equals_slow_loop(archive, extra):
    args = {**EVERYTHING, "data_type": "j", **extra}
    fed = Feeder(archive, **args)
    fed.seed = 3
    stored, labels = to_ntvm(cases.kaggle()["x_train"]), [label for _, _, label, _ in TRAIN]
    for epoch in range(6):
        x, index_t, y, index = fed.__getitems__(Batch(range(12), epoch))
        assert (x.dtype, index_t.dtype, index_t.shape) == (torch.float32, torch.float32, (12, args["window_size"]))
        assert (y.tolist(), index.tolist()) == (labels, list(range(12)))
        for i in range(12):
            want, want_t = slow_item(stored, labels, i, args, Draws(3, epoch, np.array([i])))
            np.testing.assert_allclose(x[i], want, atol=1e-4)
            np.testing.assert_allclose(index_t[i], want_t, atol=1e-6)


@pytest.mark.parametrize("extra", [{}, {"data_type": "bm"}, {"uniform": False, "window_size": 50}], ids=str)
def test_an_item_does_not_depend_on_its_batch(archive, extra):
    fed = Feeder(archive, **{**EVERYTHING, **extra})
    for fed.epoch in range(3):
        x, t, y, _ = fed.__getitems__(Batch(range(12), fed.epoch))
        for i in range(12):
            data, index_t, label, index = fed[i]
            np.testing.assert_array_equal(data, x[i].numpy())
            np.testing.assert_array_equal(index_t, t[i].numpy())
            assert (label, index) == (y[i], i)


def test_a_pickled_feeder_feeds_the_same(archive):
    fed = Feeder(archive, **{**PUBLISHED, "intra_p": 0.0, "inter_p": 1.0})
    want = fed.__getitems__(range(12))
    with registry.room("SkateFormer"):
        packed = pickle.dumps(fed)
        again = pickle.loads(packed).__getitems__(range(12))
    assert len(packed) < 100_000
    assert all(torch.equal(a, b) for a, b in zip(again, want))


# --- distributions ----------------------------------------------------------------------------------------------------


def many(clip: np.ndarray, count: int) -> Work:
    """``count`` samples, all of them the clip (3, T, V, M), each with its own draws."""
    x = cases.batch_of(clip).repeat(count, 1, 1, 1, 1)
    same = np.zeros(count, np.int64)
    work = Work(cases.ArrayClips(clip[None]), same, Draws(0, 0, np.arange(count)), x=x)
    work.n, work.stored = work.clips.lengths(same)
    work.index_t = np.zeros((count, clip.shape[1]), np.float32)
    return work


@pytest.mark.slow
def test_each_augmentation_happens_to_half_of_the_clips():
    clip = cases.case_input(CASES["shear/5"]["input"])
    for character in "ab123456789":
        work = many(clip, 800)
        before = work.x.clone()
        augment.Augment(character, 0.5, 0.0)(work)
        changed = (work.x != before).flatten(1).any(1)
        assert abs(changed.float().mean() - 0.25) < 0.06, character
        branch = work.draws.uniform("branch")[:, 0]
        assert (branch[changed.numpy()] < 0.5).all()
    work = many(clip, 100)
    before = work.x.clone()
    augment.Augment("z", 1.0, 0.0)(work)
    assert torch.equal(work.x, before)


@pytest.mark.slow
def test_draws_follow_the_recipe(archive):
    draws, count = Draws(0, 0, np.arange(5000)), 5000
    for key, k, low, high in (("s1", 3, -0.5, 0.5), ("degrees", 1, -30.0, 30.0), ("scale", 3, -1.0, 1.0),
                              ("sigma", 1, 0.1, 2.0)):  # fmt: skip
        values = draws.uniform(key, k, low, high)
        assert stats.kstest(values.ravel(), stats.uniform(low, high - low).cdf).pvalue > 1e-4
    assert stats.kstest(draws.normal("noise", 2).ravel(), "norm").pvalue > 1e-4
    work = many(np.ones((3, 64, 25, 1), np.float32), count)
    augmentation.drop_joints(work, np.arange(count), work.draws)
    gone = (work.x[:, 0, :, 0] == 0).numpy()  # (N, V, W)
    joints, frames = gone.any(2).sum(1), gone.any(1).sum(1)
    assert stats.chisquare(np.bincount(joints)[5:]).pvalue > 1e-4
    assert stats.chisquare(np.bincount(frames)[16:]).pvalue > 1e-4
    assert (joints.max(), frames.max()) == (15, 32)
    np.testing.assert_allclose(gone.any(2).mean(0), 10 / 25, atol=0.03)
    np.testing.assert_allclose(gone.any(1).mean(0), 24 / 64, atol=0.03)
    fed = Feeder(archive, **PUBLISHED)
    other = augment.BoneLengths(streams.NTU_SKATE).reference(fed.clips, np.zeros(count, int), draws)  # of class 3
    assert sorted(set(other)) == [0, 3, 7]
    assert stats.chisquare(np.bincount(other)[[0, 3, 7]]).pvalue > 1e-4
