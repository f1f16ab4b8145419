"""The NW-UCLA feeder of CTR-GCN and FreqMixFormer: fixtures on the real recordings, the rest on made-up ones.

The recordings are not part of the repository: they are read from the environment's NW_UCLA_ROOT or from data/NW-UCLA.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import feeder_cases as cases
import numpy as np
import pytest
import torch
from scipy import stats

from skeleton_lab.data.feeders.base import Batch
from skeleton_lab.data.feeders.nw_ucla import UCLAFeeder
from skeleton_lab.data.feeders.sample_rng import Draws
from skeleton_lab.errors import ArchiveNotFoundError, FeederArgumentError, LabError, UsageError
from skeleton_lab.skeletons import bones

CASES = [
    case
    for case in cases.CASES.values()
    if case.get("family") in ("ctrgcn", "freqmixformer") and case["feeder"] == "feeders.feeder_ucla.Feeder"
]
MADE_UP = {  # name: frames
    "a01_s01_e00_v01": 30, "a02_s01_e00_v01": 1, "a08_s02_e00_v02": 201, "a12_s10_e04_v02": 52,
    "a03_s03_e01_v03": 47, "a11_s05_e02_v03": 2,
}  # fmt: skip
LABELS = {1: 0, 2: 1, 3: 2, 4: 3, 5: 4, 6: 5, 8: 6, 9: 7, 11: 8, 12: 9}


@pytest.fixture(scope="module")
def recordings() -> Path:
    return cases.recordings()


def clip(name: str) -> np.ndarray:
    rng = np.random.default_rng(sum(name.encode()))
    return np.cumsum(rng.standard_normal((MADE_UP[name], 20, 3)) * 0.05, axis=0) + rng.standard_normal((1, 20, 3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """data/NW-UCLA/all_sqe under a working directory, with the made-up clips."""
    folder = tmp_path_factory.mktemp("work") / "data" / "NW-UCLA" / "all_sqe"
    folder.mkdir(parents=True)
    for name in MADE_UP:
        content = {"file_name": name, "skeletons": clip(name).tolist(), "label": LABELS[int(name[1:3])] + 1}
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def inside(folder, monkeypatch) -> Path:
    """The working directory is the one that holds data/NW-UCLA."""
    monkeypatch.chdir(folder.parents[2])
    monkeypatch.delenv("NW_UCLA_ROOT", raising=False)
    return folder


@pytest.fixture(scope="module", autouse=True)
def cache_of_its_own(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKELETON_LAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_fixture(case, recordings):
    fed = UCLAFeeder(**case["args"], root=str(recordings))
    assert fed.clips.names[case["index"]] == case["file"]
    assert fed.label[case["index"]] == case["label"]
    if "draws" in case:
        data = cases.clip_of(cases.run(fed, case["index"], cases.ucla_draws(case["draws"], drops=False)).x.float())
    else:
        data, label, index = fed[case["index"]]
        assert (label, index) == (case["label"], case["index"])
        assert data.dtype == np.float32
    cases.verify(case, data)


def test_recordings_are_complete(recordings):
    train, test = (UCLAFeeder("joint", part, root=str(recordings)) for part in ("train", "val"))
    assert (len(train), len(test), train.num_class) == (1020, 464, 10)


def slow_item(name: str, frames: np.ndarray, turned: np.ndarray, scale: float, bone: bool, vel: bool) -> np.ndarray:
    """One item as the published code makes it, centring and scale included: (3, S, 20, 1)."""
    x = clip(name).astype(np.float32).astype(np.float64)
    x = x - x[0, 1]
    (cx, cy), (sx, sy) = np.cos(np.deg2rad(turned)), np.sin(np.deg2rad(turned))
    rx = np.array([[1, 0, 0], [0, cx, sx], [0, -sx, cx]])
    ry = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    x = x @ (ry @ rx) * scale
    flat = x.reshape(-1, 3)
    x = 2 * (x - flat.min(0)) / (flat.max(0) - flat.min(0)) - 1
    x = x[frames]
    if bone:
        x = np.stack([x[:, v] - x[:, u] for v, u in enumerate(bones.UCLA)], axis=1)
    if vel:
        x = np.concatenate([np.diff(x, axis=0), np.zeros_like(x[:1])])
    return x.transpose(2, 0, 1)[..., None]


@pytest.mark.parametrize("word", ["joint", "bone", "motion", "bone_motion"])
def test_test_clips_equal_slow_loop(inside, word):
    fed = UCLAFeeder(word, "val")
    x, y, index = fed.__getitems__([0, 1])
    assert (x.shape, x.dtype) == ((2, 3, 52, 20, 1), torch.float32)
    assert index.tolist() == [0, 1]
    for i, name in enumerate(fed.clips.names):
        frames = np.linspace(0, MADE_UP[name] - 1, 52).astype(int)
        want = slow_item(name, frames, np.zeros(2), 1.0, "bone" in word, "motion" in word)
        np.testing.assert_allclose(x[i], want, atol=2e-6)
        assert y[i] == LABELS[int(name[1:3])]


def test_training_clips_equal_slow_loop(inside):
    fed = UCLAFeeder("bone", "train", repeat=3)
    fed.seed = 2
    x, y, index = fed.__getitems__(Batch(range(12), epoch=4))
    assert index.tolist() == list(range(12))
    for i in range(12):
        name = fed.clips.names[i % 4]
        draws = Draws(2, 4, np.array([i]))
        turned = draws.integers("view", -60, 61, 2)[0]
        frames = np.sort(draws.subset("frames", 52, 100 * MADE_UP[name])[0] // 100)
        np.testing.assert_allclose(x[i], slow_item(name, frames, turned, 0.7, True, False), atol=2e-6)
        assert y[i] == LABELS[int(name[1:3])]
    assert not torch.equal(x[2], x[6])  # repetitions of a clip are drawn anew


def test_an_item_does_not_depend_on_its_batch(inside):
    fed = UCLAFeeder("motion", "train", repeat=2)
    whole = fed.__getitems__(Batch(range(8)))[0]
    for i in range(8):
        np.testing.assert_array_equal(fed[i][0], whole[i].numpy())


def test_repeat(inside):
    fed = UCLAFeeder("joint", "val", repeat=5)
    assert (len(fed), len(fed.label)) == (10, 2)
    assert fed[7][1:] == (fed.label[1], 7)
    with pytest.raises(IndexError):
        fed[10]


def test_draws_follow_the_recipe(inside):
    """201-frame clip over many repetitions: whole degrees up to 60, every frame equally likely."""
    fed = UCLAFeeder("joint", "train", repeat=3000)
    at = fed.clips.names.index("a08_s02_e00_v02")
    draws = Draws(0, 0, at + 4 * np.arange(3000))
    turned = draws.integers("view", -60, 61, 2)
    assert (turned.min(), turned.max()) == (-60, 60)
    drawn = draws.subset("frames", 52, 100 * 201) // 100
    assert stats.chisquare(np.bincount(drawn.ravel(), minlength=201)).pvalue > 1e-4
    assert all(len(set(row)) < 52 for row in drawn[:20])  # a frame may come twice


def test_scores_go_under_integers(inside):
    assert list(UCLAFeeder("joint", "val").sample_name) == [0, 1]
    assert UCLAFeeder("joint", "val").clips.names is not None


def test_debug_and_restrict(inside):
    assert len(UCLAFeeder("joint", "train", debug=True)) == 4
    fed = UCLAFeeder("joint", "train", repeat=2)
    last = fed.label[3]
    fed.restrict([3, 0])
    assert (len(fed), fed[2][1]) == (4, last)


def test_constant_coordinate_becomes_zero(tmp_path):
    skeletons = np.random.default_rng(0).standard_normal((9, 20, 3))
    skeletons[..., 2] = 3.0
    content = {"file_name": "a01_s01_e00_v03", "skeletons": skeletons.tolist(), "label": 1}
    (tmp_path / "a01_s01_e00_v03.json").write_text(json.dumps(content))
    data = UCLAFeeder(str(tmp_path), "val")[0][0]
    assert (data[2] == 0).all()
    assert np.isfinite(data).all()


def test_where_the_recordings_are(inside, tmp_path, monkeypatch):
    want = UCLAFeeder("bone", "val")[0][0]
    np.testing.assert_array_equal(UCLAFeeder(str(inside), "val", bone=True)[0][0], want)
    tar = tmp_path / "NW-UCLA" / "all_sqe.tar.xz"
    tar.parent.mkdir()
    with tarfile.open(tar, "w:xz") as packed:
        packed.add(inside, "all_sqe")
    np.testing.assert_array_equal(UCLAFeeder(str(tar), "val", bone=True)[0][0], want)
    np.testing.assert_array_equal(UCLAFeeder("bone", "val", root=str(tar.parent))[0][0], want)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NW_UCLA_ROOT", str(inside.parent))
    np.testing.assert_array_equal(UCLAFeeder("bone", "val")[0][0], want)
    monkeypatch.delenv("NW_UCLA_ROOT")
    with pytest.raises(ArchiveNotFoundError, match=r"all_sqe.*NW_UCLA_ROOT"):
        UCLAFeeder("bone", "val")
    with pytest.raises(ArchiveNotFoundError, match="/typo/all_sqe"):
        UCLAFeeder("/typo/all_sqe", "val")
    (tmp_path / "bone").mkdir()  # a work dir of that name is not the data
    with pytest.raises(ArchiveNotFoundError):
        UCLAFeeder("bone", "val")
    (tmp_path / "data").mkdir()
    tar.parent.rename(tmp_path / "data" / "NW-UCLA")
    np.testing.assert_array_equal(UCLAFeeder("bone", "val")[0][0], want)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"repeats": 5}, FeederArgumentError, ["'repeats'", "'repeat'"]),
        ({"repeat": 0}, UsageError, ["repeat", "0"]),
        ({"repeat": 2.5}, UsageError, ["repeat"]),
        ({"label_path": None}, FeederArgumentError, ["label_path"]),
        ({"data_path": None}, FeederArgumentError, ["data_path"]),
        ({"root": "/nowhere"}, ArchiveNotFoundError, ["/nowhere"]),
        ({"root": str(cases.PARITY / "feeders.npz")}, LabError, ["feeders.npz"]),
    ],
    ids=str,
)
def test_bad_arguments(inside, arguments, error, words):
    with pytest.raises(error) as caught:
        UCLAFeeder(**{"data_path": "joint", "label_path": "train", **arguments})
    assert isinstance(caught.value, LabError)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_published_order_of_arguments(inside):
    fed = UCLAFeeder("joint", "train", 2, False, True, False, 52, False, False, False)
    assert len(fed) == 8
