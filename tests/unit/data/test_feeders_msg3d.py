"""MS-G3D's feeders of whole clips: fixtures, a slow oracle with the same draws, windows of the test, arguments."""

from __future__ import annotations

import feeder_cases as cases
import numpy as np
import pytest
import torch
from feeder_cases import CASES
from parity.kaggle_sample import TEST, make_kaggle_npz, make_npy, to_ntvm
from scipy import stats

from skeleton_lab import registry
from skeleton_lab.data.feeders import padded
from skeleton_lab.data.feeders.base import Batch
from skeleton_lab.data.feeders.sample_rng import Draws
from skeleton_lab.errors import ArchiveError, ArchiveNotFoundError, FeederArgumentError, LabError, UsageError

Feeder = registry.load("MS-G3D", "feeders.feeder.Feeder")
KaggleFeeder = registry.load("MS-G3D", "feeders.kaggle_feeder.KaggleFeeder")
RANDOM = {"random_shift": True, "random_choose": True, "random_move": True}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("msg3d")
    make_npy(folder)
    make_kaggle_npz(folder / "NTU60_CS.npz")
    return folder


def arrays(folder, part: str = "val", **arguments):
    return Feeder(str(folder / f"{part}_data.npy"), str(folder / f"{part}_label.pkl"), **arguments)


@pytest.mark.parametrize("name", cases.names("msg3d/", without="mean_std"))
def test_fixture(name, folder):
    case = dict(CASES[name])
    draws = case.get("draws")
    fed = arrays(folder, **case["args"])
    if draws is None:
        cases.verify_item(fed, case)
        return
    imposed = {"shift": draws["shift_bias"], "choose": draws["choose_begin"], **cases.move_draws(draws)}
    work = cases.run(fed, case["index"], imposed)
    assert fed.label[case["index"]] == case["label"]
    cases.verify(case, cases.clip_of(work.x))


def test_fixture_mean(folder):
    mean, std = padded.mean_map(arrays(folder).clips)
    cases.verify(CASES["msg3d/val/mean_std"], *(t.T[:, None, :, None] for t in (mean, std)))


@pytest.mark.parametrize(
    ("name", "step", "key"),
    [
        ("random_choose/30/4", padded.ReadClip(30, choose=True), "choose"),
        ("random_choose/50/7", padded.ReadClip(50, choose=True), "choose"),
        ("auto_pad/50", padded.ReadClip(50), None),
        ("random_shift/13", padded.ReadClip(shift=True), "shift"),
        ("random_move/(-10.0, 5.0)", padded.random_move, "move"),
    ],
)
def test_fixture_of_one_step(name, step, key):
    case = CASES[name]
    draws = (
        {} if key is None else cases.move_draws(case["draws"]) if key == "move" else {key: [*case["draws"].values()]}
    )
    work = cases.apply(step, cases.case_input(case["input"]), draws)
    cases.verify(case, cases.clip_of(work.x))


def slow_item(clip: np.ndarray, draws: Draws, window: int, normalise) -> np.ndarray:
    """One item as the published tools make it, clip (C, T, V, M)."""
    C, T, V, M = clip.shape
    if normalise is not None:
        mean, std = normalise
        clip = (clip - mean) / std
    recorded = np.flatnonzero((clip != 0).any(axis=(0, 2, 3)))
    first, end = (recorded[0], recorded[-1] + 1) if len(recorded) else (0, T)
    bias = draws.integers("shift", 0, T - (end - first) + 1)[0, 0]
    shifted = np.zeros_like(clip)
    shifted[:, bias : bias + end - first] = clip[:, first:end]
    begin = draws.integers("choose", 0, abs(T - window) + 1)[0, 0]
    if window > T:
        chosen = np.zeros((C, window, V, M))
        chosen[:, begin : begin + T] = shifted
    else:
        chosen = shifted[:, begin : begin + window].copy()
    course = {}
    for name, values in (
        ("angle", padded.ANGLES),
        ("scale", padded.SCALES),
        ("x", padded.SHIFTS),
        ("y", padded.SHIFTS),
    ):
        start, stop = (values[i] for i in draws.integers(f"move {name}", 0, len(values), 2)[0])
        course[name] = np.linspace(start, stop, window)
    for t in range(window):
        a, s = np.deg2rad(course["angle"][t]), course["scale"][t]
        turn = s * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
        shift = np.array([course["x"][t], course["y"][t]])
        chosen[:2, t] = np.einsum("dc,cvm->dvm", turn, chosen[:2, t]) + shift[:, None, None]
    return chosen


@pytest.mark.parametrize(("window", "normalization"), [(64, False), (320, False), (64, True)])
def test_training_batch_equals_slow_loop(folder, window, normalization):
    fed = arrays(folder, "train", **RANDOM, window_size=window, normalization=normalization)
    fed.seed = 3
    x, y, index = fed.__getitems__(Batch(range(12), epoch=2))
    assert (x.shape, x.dtype, y.dtype) == ((12, 3, window, 25, 2), torch.float32, torch.int64)
    stored = to_ntvm(cases.kaggle()["x_train"]).astype(np.float64)
    normalise = None
    if normalization:
        normalise = stored.mean((0, 2, 4))[:, None, :, None], stored.std((0, 2, 4))[:, None, :, None]
    for i in range(12):
        want = slow_item(stored[i], Draws(3, 2, np.array([i])), window, normalise)
        np.testing.assert_allclose(x[i], want, atol=2e-5 if normalise is None else 5e-4)
    assert index.tolist() == list(range(12))


def test_an_item_does_not_depend_on_its_batch(folder):
    fed = arrays(folder, "train", **RANDOM, window_size=50)
    batch = fed.__getitems__(Batch(range(12)))[0]
    for i in range(12):
        np.testing.assert_array_equal(fed[i][0], batch[i].numpy())


def test_test_windows_take_the_middle_of_what_is_recorded(folder):
    fed = KaggleFeeder(str(folder / "NTU60_CS.npz"), "test", window_size=64)
    stored = to_ntvm(cases.kaggle()["x_test"])
    x = fed.__getitems__(range(8))[0].numpy()
    for i, (frames, *_) in enumerate(TEST):
        first = max(frames - 64, 0) // 2
        np.testing.assert_array_equal(x[i], stored[i][:, first : first + 64])
    whole_clips = KaggleFeeder(str(folder / "NTU60_CS.npz"), "test").__getitems__(range(8))[0]
    np.testing.assert_array_equal(whole_clips, stored)
    untouched = KaggleFeeder(str(folder / "NTU60_CS.npz"), "train", window_size=64).__getitems__([0])[0]
    assert untouched.shape[2] == 300  # as published, without random_choose


def test_both_feeders_read_the_same(folder):
    kaggle = KaggleFeeder(str(folder / "NTU60_CS.npz"), "test", window_size=48)
    fed = arrays(folder, window_size=48)
    assert all(torch.equal(a, b) for a, b in zip(kaggle.__getitems__(range(8)), fed.__getitems__(range(8))))
    assert (kaggle.sample_name[3], fed.sample_name[3]) == ("test_000003", "test003.skeleton")
    assert KaggleFeeder(str(folder / "NTU60_CS.npz")).sample_name[0] == "train_000000"


def test_scrambled_columns_only_on_demand(folder):
    path = str(folder / "NTU60_CS.npz")
    stored = cases.kaggle()["x_test"][1]
    wrong = stored.reshape(300, 25, 3, 2).transpose(2, 0, 1, 3)
    np.testing.assert_array_equal(KaggleFeeder(path, "test", layout="scrambled-vcm")[1][0], wrong)
    assert not np.array_equal(KaggleFeeder(path, "test")[1][0], wrong)


def test_draws_follow_the_recipe(folder):
    """Clip 1 has 20 of 300 frames: it starts anywhere in 0..280, a window of 64 anywhere in 0..236."""
    fed = arrays(folder, "train", random_shift=True)
    draws = Draws(0, 0, np.arange(20_000))
    shift = draws.integers("shift", 0, np.full(20_000, 281))[:, 0]
    assert stats.chisquare(np.bincount(shift, minlength=281)).pvalue > 1e-4
    seen = set()
    for epoch in range(60):
        x = fed.work(Batch([1], epoch)).x[0].any(0).any(0).any(0)
        at = np.flatnonzero(x)
        assert at[-1] - at[0] == 19
        seen.add(at[0])
    assert (len(seen) > 40, min(seen) < 40, max(seen) > 240) == (True, True, True)
    picked = draws.integers("move angle", 0, 5, 2)
    assert stats.chisquare(np.bincount(picked.ravel(), minlength=5)).pvalue > 1e-4


def test_empty_clip(tmp_path):
    np.savez(tmp_path / "a.npz", **{f"{k}_{s}": v for s in ("train", "test") for k, v in
                                    (("x", np.zeros((2, 30, 150), np.float32)), ("y", np.eye(2)))})  # fmt: skip
    for split in ("train", "test"):
        fed = KaggleFeeder(str(tmp_path / "a.npz"), split, random_shift=True, window_size=12, normalization=True)
        assert (fed.__getitems__([0, 1])[0] == 0).all()


def test_debug_normalises_by_what_is_used(tmp_path):
    x = np.random.default_rng(0).standard_normal((120, 4, 75)).astype(np.float32)
    x[100:] += 50
    y = np.zeros(120, np.int64)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    fed = KaggleFeeder(str(tmp_path / "a.npz"), debug=True, normalization=True, num_person=None)
    assert (len(fed), fed.sample_name[-1]) == (100, "train_000099")
    data = fed.__getitems__(range(100))[0]
    assert data.shape == (100, 3, 4, 25, 1)
    np.testing.assert_allclose(data.mean((0, 2, 4)), 0, atol=1e-5)
    np.testing.assert_allclose(data.std((0, 2, 4), correction=0), 1, atol=1e-4)
    assert KaggleFeeder(str(tmp_path / "a.npz"))[0][0].shape == (3, 4, 25, 2)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"window": 3}, FeederArgumentError, ["'window'", "window_size"]),
        ({"random_choose": True}, UsageError, ["random_choose", "window_size", "-1"]),
        ({"window_size": "64"}, UsageError, ["window_size", "'64'"]),
        ({"window_size": True}, UsageError, ["window_size"]),
        ({"num_person": 0}, UsageError, ["num_person"]),
        ({"data_path": None}, FeederArgumentError, ["data_path"]),
        ({"data_path": "/nowhere/val_data.npy"}, ArchiveNotFoundError, ["/nowhere/val_data.npy"]),
        ({"label_path": None}, ArchiveError, ["label_path"]),
        ({"split": "val"}, LabError, ["val", "train", "test"]),
    ],
    ids=str,
)
def test_bad_arguments(folder, arguments, error, words):
    paths = {"data_path": str(folder / "val_data.npy"), "label_path": str(folder / "val_label.pkl")}
    with pytest.raises(error) as caught:
        Feeder(**{**paths, **arguments})
    assert isinstance(caught.value, LabError)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


def test_published_order_of_arguments(folder):
    path = str(folder / "NTU60_CS.npz")
    fed = KaggleFeeder(path, "test", False, False, False, 32, False, True, False)
    want = Feeder(path, None, False, False, False, 32, False, True, True, "test")
    np.testing.assert_array_equal(fed[3][0], want[3][0])


def test_an_archive_of_both_splits_needs_to_be_told_which(folder, tmp_path):
    with pytest.raises(UsageError, match="split='train'"):
        Feeder(str(folder / "NTU60_CS.npz"))
    np.save(tmp_path / "clips.npy", np.ones((2, 3, 30, 25, 2), np.float32))
    np.save(tmp_path / "ids.npy", np.arange(2))
    fed = Feeder(str(tmp_path / "clips.npy"), str(tmp_path / "ids.npy"), window_size=20)
    assert fed[0][0].shape == (3, 30, 25, 2)  # nothing says that it is a test
    assert (
        Feeder(str(tmp_path / "clips.npy"), str(tmp_path / "ids.npy"), window_size=20, split="test")[0][0].shape[1]
        == 20
    )
