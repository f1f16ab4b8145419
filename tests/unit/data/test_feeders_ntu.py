"""The NTU feeder of CTR-GCN and FreqMixFormer: fixtures, a slow oracle, batches, workers, arguments, edge cases."""

from __future__ import annotations

import importlib.util
import json
import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from own_archives import save_own
from parity.kaggle_sample import TEST, TRAIN, check, make_kaggle_arrays, make_npy, to_ntvm
from places import PARITY, ROOT
from torch.nn import functional
from torch.utils.data import DataLoader

from benchmarks import data_loading
from skeleton_lab.data.feeders import base as feeder
from skeleton_lab.data.feeders.base import Batch
from skeleton_lab.data.feeders.ntu import NTUFeeder, UAVFeeder
from skeleton_lab.data.feeders.nw_ucla import UCLAFeeder
from skeleton_lab.data.feeders.sample_rng import Draws
from skeleton_lab.errors import ArchiveError, ArchiveNotFoundError, FeederArgumentError, LabError, UsageError
from skeleton_lab.skeletons import bones as streams

CASES = [
    case
    for case in json.loads((PARITY / "feeders.json").read_text())["cases"]
    if case.get("family") in ("ctrgcn", "freqmixformer") and case["feeder"] == "feeders.feeder_ntu.Feeder"
]
TRAINING = {"split": "train", "window_size": 64, "p_interval": [0.5, 1], "random_rot": True}


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    with np.load(PARITY / "feeders.npz") as npz:
        return dict(npz)


def save(path: Path, x: np.ndarray, joints: int = 25) -> str:
    """An archive whose train and test clips are ``x`` (N, T, M*V*3), all of class 0."""
    labels = np.eye(60)[np.zeros(len(x), int)]
    np.savez(path, x_train=x, y_train=labels, x_test=x, y_test=labels)
    return str(path)


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_fixture(case, archive, expected):
    fed = NTUFeeder(archive, **case["args"])
    data, label, index = fed[case["index"]]
    assert (label, index) == (case["label"], case["index"])
    assert fed.sample_name[index] == case.get("name", fed.sample_name[index])
    assert data.dtype == np.float32
    check(data, case["outputs"][0], expected, case.get("tolerance", 1e-5))


def test_other_layouts_feed_the_same(archive, tmp_path):
    want = NTUFeeder(archive, p_interval=[0.95], split="test", window_size=64).__getitems__(range(8))
    make_npy(tmp_path)
    arrays = make_kaggle_arrays()
    five = {key: to_ntvm(x) if key[0] == "x" else x.argmax(1) for key, x in arrays.items()}
    np.savez(tmp_path / "five.npz", **five)
    for path, label_path, name in (
        (tmp_path / "five.npz", None, "test_3"),
        (tmp_path / "val_data.npy", tmp_path / "val_label.pkl", "test003.skeleton"),
    ):
        fed = NTUFeeder(str(path), label_path, [0.95], "test", window_size=64)
        assert fed.sample_name[3] == name
        assert all(torch.equal(a, b) for a, b in zip(fed.__getitems__(range(8)), want))


def slow_item(fed: NTUFeeder, x: np.ndarray, index: int, epoch: int, interval: list, bone: bool, vel: bool):
    """One training item as the published code makes it, with this lab's draws; x (300, 150)."""
    clip = x.reshape(300, 2, 25, 3).transpose(3, 0, 2, 1)
    n = int((clip.sum((0, 2, 3)) != 0).sum())
    draws = Draws(fed.seed, epoch, np.array([index]))
    p = draws.uniform("crop share", 1, *interval)[0, 0]
    length = min(max(int(np.floor(n * p)), 64), n)
    start = int(draws.uniform("crop place")[0, 0] * (n - length + 1))
    crop = torch.from_numpy(np.ascontiguousarray(clip[:, start : start + length]))
    flat = crop.permute(0, 2, 3, 1).reshape(1, 150, length)
    out = functional.interpolate(flat, size=64, mode="linear", align_corners=False)
    out = out.view(3, 25, 2, 64).permute(0, 3, 1, 2)
    tx, ty, tz = draws.uniform("rotation", 3, -0.3, 0.3)[0]
    rx = torch.tensor([[1, 0, 0], [0, np.cos(tx), np.sin(tx)], [0, -np.sin(tx), np.cos(tx)]])
    ry = torch.tensor([[np.cos(ty), 0, -np.sin(ty)], [0, 1, 0], [np.sin(ty), 0, np.cos(ty)]])
    rz = torch.tensor([[np.cos(tz), np.sin(tz), 0], [-np.sin(tz), np.cos(tz), 0], [0, 0, 1]])
    out = torch.einsum("dc,ctvm->dtvm", (rz @ ry @ rx).float(), out)
    if bone:
        out = torch.stack([out[:, :, v] - out[:, :, u] for v, u in enumerate(streams.NTU)], dim=2)
    if vel:
        out = torch.cat([out[:, 1:] - out[:, :-1], torch.zeros_like(out[:, :1])], dim=1)
    return out


@pytest.mark.parametrize(("bone", "vel"), [(False, False), (True, False), (False, True), (True, True)])
def test_training_batch_equals_slow_loop(archive, bone, vel):
    fed = NTUFeeder(archive, **TRAINING, bone=bone, vel=vel)
    fed.seed = 5
    x, y, index = fed.__getitems__(Batch(range(len(TRAIN)), epoch=3))
    assert (x.shape, x.dtype, y.dtype) == ((12, 3, 64, 25, 2), torch.float32, torch.int64)
    assert index.tolist() == list(range(12))
    assert y.tolist() == [label for _, _, label, _ in TRAIN]
    stored = make_kaggle_arrays()["x_train"]
    for i in range(len(TRAIN)):
        torch.testing.assert_close(x[i], slow_item(fed, stored[i], i, 3, [0.5, 1], bone, vel), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("extra", [{}, {"bone": True}, {"vel": True}, {"window_size": 47}], ids=str)
def test_an_item_does_not_depend_on_its_batch(archive, extra):
    fed = NTUFeeder(archive, **{**TRAINING, **extra})
    whole = fed.__getitems__(Batch(range(12), epoch=0))[0]
    shuffled = fed.__getitems__(Batch([7, 3, 7, 11, 0], epoch=0))[0]
    assert torch.equal(shuffled, whole[[7, 3, 7, 11, 0]])
    for i in range(12):
        np.testing.assert_array_equal(fed[i][0], whole[i].numpy())
    np.testing.assert_array_equal(fed[-1][0], whole[11].numpy())
    assert fed[-1][2] == -1


def test_epochs_and_seeds_differ_and_repeat(archive):
    fed = NTUFeeder(archive, **TRAINING)
    first, again, later = (fed.__getitems__(Batch([0, 1], epoch))[0] for epoch in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    fed.epoch = 1
    assert torch.equal(fed.__getitems__([0, 1])[0], later)
    fed.seed = 1
    assert not torch.equal(fed.__getitems__([0, 1])[0], later)


class Epochs:
    """A batch sampler that tells the epoch, as the engine's does."""

    def __iter__(self):
        for epoch in range(2):
            yield Batch([3, 1, 2], epoch)
            yield Batch([0, 11, 9, 8], epoch)

    def __len__(self):
        return 4


def identity(batch):
    return batch


def test_workers_change_nothing(archive):
    fed = NTUFeeder(archive, **TRAINING, bone=True)
    options = {"batch_sampler": Epochs(), "collate_fn": identity}
    alone = list(DataLoader(fed, **options))
    helped = list(DataLoader(fed, num_workers=2, **options))
    assert len(alone) == len(helped) == 4
    for one, other in zip(alone, helped):
        assert all(torch.equal(a, b) for a, b in zip(one, other))
    assert not torch.equal(alone[0][0], alone[2][0])


def test_a_pickled_feeder_opens_the_archive_again(archive):
    fed = NTUFeeder(archive, **TRAINING)
    want = fed.__getitems__(Batch([3, 0, 11], 2))
    packed = pickle.dumps(fed)
    assert len(packed) < 100_000
    assert all(torch.equal(a, b) for a, b in zip(pickle.loads(packed).__getitems__(Batch([3, 0, 11], 2)), want))


def test_batch_keeps_its_epoch_through_pickle():
    batch = pickle.loads(pickle.dumps(Batch([4, 2], epoch=7)))
    assert (batch, batch.epoch) == ([4, 2], 7)
    assert Batch([1]).epoch == 0


def test_layout_needs_no_copy_for_the_first_batch_norm(archive):
    x, _, _ = NTUFeeder(archive, **TRAINING).__getitems__([0, 1, 2])
    assert x.permute(0, 4, 3, 1, 2).is_contiguous()


def test_draws_follow_the_recipe(archive):
    """Crop shares and angles over many epochs of the 300-frame clip 0."""
    fed = NTUFeeder(archive, **TRAINING)
    works = [fed.work(Batch([0] * 8, epoch)) for epoch in range(40)]
    length = np.concatenate([work.length for work in works])
    start = np.concatenate([work.start for work in works])
    assert 150 <= length.min() < 165
    assert 285 < length.max() <= 300
    assert (start + length <= 300).all()
    assert len(np.unique(length)) > 30


def test_restrict_and_debug(archive, tmp_path):
    fed = NTUFeeder(archive, **{**TRAINING, "split": "test"})
    full = fed.__getitems__(range(8))
    fed.restrict([5, 2])
    assert len(fed) == 2
    assert fed.sample_name == ["test_5", "test_2"]
    assert fed.label.tolist() == [TEST[5][2], TEST[2][2]]
    _, y, index = fed.__getitems__([0, 1])
    assert y.tolist() == full[1][[5, 2]].tolist()
    assert index.tolist() == [0, 1]
    many = save(tmp_path / "many.npz", np.ones((120, 4, 150), np.float32))
    assert len(NTUFeeder(many, window_size=4)) == 120
    debug = NTUFeeder(many, window_size=4, debug=True)
    assert (len(debug), len(debug.label), debug.sample_name[-1]) == (100, 100, "train_99")
    assert len(NTUFeeder(archive, **TRAINING, debug=True)) == 12


def test_edges_and_classes(archive):
    fed = NTUFeeder(archive, **TRAINING)
    assert fed.num_class == 60
    assert (0, 1) in fed.edges
    assert (3, 2) in fed.edges
    assert len(fed.edges) == 24


def test_top_k(archive):
    fed = NTUFeeder(archive, **{**TRAINING, "split": "test"})
    score = np.random.default_rng(0).standard_normal((8, 60))
    want = [fed.label[i] in sorted(range(60), key=lambda c: score[i, c])[-5:] for i in range(8)]
    assert fed.top_k(score, 5) == np.mean(want)
    assert fed.top_k(np.eye(60)[fed.label], 1) == 1.0


# --- edge cases -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [{}, TRAINING, {"bone": True}, {"vel": True}], ids=str)
def test_empty_clip_is_zero(tmp_path, extra):
    path = save(tmp_path / "empty.npz", np.zeros((3, 20, 150), np.float32))
    fed = NTUFeeder(path, **{"window_size": 64, "p_interval": [0.95], **extra})
    x = fed.__getitems__([0, 1, 2])[0]
    assert x.shape == (3, 3, 64, 25, 2)
    assert (x == 0).all()


def test_one_frame_is_copied_and_does_not_move(archive):
    data = NTUFeeder(archive, window_size=64, p_interval=[0.95])[2][0]
    assert (data == data[:, :1]).all()
    assert (NTUFeeder(archive, window_size=64, p_interval=[0.95], vel=True)[2][0] == 0).all()


def test_gap_counts_out_but_stays_in(archive):
    """Clip 8 has 129 frames, 5 of them empty: n = 124, and the first 124 rows are used."""
    fed = NTUFeeder(archive, window_size=124, p_interval=[1])
    stored = make_kaggle_arrays()["x_train"][8, :124].reshape(124, 2, 25, 3).transpose(3, 0, 2, 1)
    np.testing.assert_array_equal(fed[8][0], stored)


def test_short_clips_are_used_whole(archive):
    fed = NTUFeeder(archive, window_size=40, p_interval=[0.5, 1])
    stored = make_kaggle_arrays()["x_train"][5, :40].reshape(40, 2, 25, 3).transpose(3, 0, 2, 1)
    np.testing.assert_array_equal(fed[5][0], stored)


def test_window_of_one_frame(archive):
    data = NTUFeeder(archive, **{**TRAINING, "window_size": 1})[0][0]
    assert data.shape == (3, 1, 25, 2)
    assert (NTUFeeder(archive, **{**TRAINING, "window_size": 1}, vel=True)[0][0] == 0).all()


def test_one_person_archive(tmp_path):
    x = np.random.default_rng(0).standard_normal((4, 30, 75)).astype(np.float32)
    path = save(tmp_path / "single.npz", x)
    padded = NTUFeeder(path, window_size=16, p_interval=1)[1][0]
    assert padded.shape == (3, 16, 25, 2)
    assert (padded[..., 1] == 0).all()
    for count in (None, 1):
        alone = NTUFeeder(path, window_size=16, p_interval=1, num_person=count)[1][0]
        np.testing.assert_array_equal(alone, padded[..., :1])


def test_clips_of_an_own_archive_keep_their_names(tmp_path):
    """Reports and score files name the recordings; names that do not tell clips apart are counted, as ever."""
    path = save_own(tmp_path / "own.npz", "coco17")
    with np.load(path) as file:
        members = dict(file)
    count = len(members["y_test"])
    members["name_test"] = np.array([f"walk_{n}.json" for n in range(count)])
    np.savez(path, **members)
    assert NTUFeeder(str(path), split="test", window_size=8).sample_name == [f"walk_{n}.json" for n in range(count)]
    members["name_test"][-1] = "walk_0.json"
    np.savez(path, **members)
    assert NTUFeeder(str(path), split="test", window_size=8).sample_name == [f"test_{n}" for n in range(count)]


def test_uav_skeleton(tmp_path):
    x = np.random.default_rng(0).standard_normal((4, 30, 102)).astype(np.float32)
    path = save(tmp_path / "uav.npz", x)
    bones = UAVFeeder(path, window_size=30, p_interval=[1.0], bone=True)[2][0]
    clip = x[2].reshape(30, 2, 17, 3).transpose(3, 0, 2, 1)
    want = np.zeros_like(clip)
    for joint, parent in ((2, 8), (3, 4), (5, 11), (6, 7), (8, 11), (9, 10), (11, 12), (12, 13), (14, 16), (15, 17)):
        want[:, :, joint - 1] = clip[:, :, joint - 1] - clip[:, :, parent - 1]
    np.testing.assert_allclose(bones, want, atol=1e-6)
    with pytest.raises(ArchiveError):
        NTUFeeder(path, window_size=30)


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.fixture
def log(caplog):
    feeder.log_once.cache_clear()
    caplog.set_level(logging.INFO, logger="skeleton_lab")
    return caplog


def test_a_window_that_no_memory_holds(archive):
    with pytest.raises(UsageError, match="window_size must be at most 100000"):
        NTUFeeder(archive, window_size=10**20)


def test_arguments_without_effect_are_said_once(archive, log):
    inert = {"random_choose": True, "random_shift": True, "random_move": True, "normalization": True, "use_mmap": True}
    plain = NTUFeeder(archive, **TRAINING)
    assert "no effect" not in log.text
    for _ in range(2):
        same = NTUFeeder(archive, **TRAINING, **inert)
    lines = [line for line in log.messages if "no effect" in line]
    assert len(lines) == 1
    assert all(f"{name}=True" in lines[0] for name in inert)
    np.testing.assert_array_equal(plain[3][0], same[3][0])


def test_published_order_of_arguments(archive):
    fed = NTUFeeder(archive, None, [0.95], "test", False, False, False, False, 64, False, False, True, True, False)
    want = NTUFeeder(archive, p_interval=[0.95], split="test", window_size=64, bone=True)
    np.testing.assert_array_equal(fed[3][0], want[3][0])


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"windowsize": 64}, FeederArgumentError, ["'windowsize'", "Did you mean 'window_size'?", "p_interval"]),
        ({"window_size": -1}, UsageError, ["window_size", "-1"]),
        ({"window_size": 0}, UsageError, ["window_size"]),
        ({"window_size": "64"}, UsageError, ["window_size", "'64'"]),
        ({"window_size": True}, UsageError, ["window_size"]),
        ({"window_size": 6.5}, UsageError, ["window_size"]),
        ({"p_interval": [0]}, UsageError, ["p_interval", "[0]"]),
        ({"p_interval": 1.5}, UsageError, ["p_interval"]),
        ({"p_interval": [0.9, 0.5]}, UsageError, ["p_interval", "lower"]),
        ({"p_interval": []}, UsageError, ["p_interval"]),
        ({"p_interval": [0.1, 0.2, 0.3]}, UsageError, ["p_interval"]),
        ({"p_interval": "half"}, UsageError, ["p_interval"]),
        ({"p_interval": [float("nan")]}, UsageError, ["p_interval"]),
        ({"p_interval": None}, UsageError, ["p_interval"]),
        ({"num_person": 0}, UsageError, ["num_person"]),
        ({"split": "val"}, LabError, ["val", "train", "test"]),
        ({"data_path": None}, FeederArgumentError, ["data_path"]),
        ({"data_path": "/nowhere/x.npz"}, ArchiveNotFoundError, ["/nowhere/x.npz"]),
    ],
    ids=str,
)
def test_bad_arguments(archive, arguments, error, words):
    with pytest.raises(error) as caught:
        NTUFeeder(**{"data_path": archive, **TRAINING, **arguments})
    assert isinstance(caught.value, LabError)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_index_out_of_range(archive):
    fed = NTUFeeder(archive, **TRAINING)
    for index in (12, -13):
        with pytest.raises(IndexError, match=str(index)):
            fed[index]
    assert len(list(fed)) == 12  # iteration ends by IndexError


def test_benchmark(archive, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["benchmark", "--data-path", archive, "--batch-size", "4", "--bone"])
    threads = torch.get_num_threads()
    data_loading.main()
    torch.set_num_threads(threads)
    out = capsys.readouterr().out
    assert "per sample at first touch" in out
    assert "first batch" in out
    assert "MiB" in out


@pytest.mark.parametrize(("name", "base"), [("feeder_ntu", NTUFeeder), ("feeder_ucla", UCLAFeeder)])
def test_the_room_has_the_published_names(name, base):
    path = ROOT / "CTR-GCN" / "feeders" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert issubclass(module.Feeder, base)
