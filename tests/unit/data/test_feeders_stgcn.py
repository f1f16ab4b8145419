"""ST-GCN's feeders: whole clips of arrays, and OpenPose clips with their persons ranked and matched."""

from __future__ import annotations

import json

import feeder_cases as cases
import numpy as np
import pytest
import torch
from feeder_cases import CASES
from parity.kaggle_sample import make_kinetics, make_npy

from skeleton_lab import registry
from skeleton_lab.data.feeders.base import Batch
from skeleton_lab.errors import ArchiveError, ArchiveNotFoundError, FeederArgumentError, LabError, UsageError

openpose_match = registry.load("ST-GCN", "feeder.openpose_match")
Feeder = registry.load("ST-GCN", "feeder.feeder.Feeder")
Kinetics = registry.load("ST-GCN", "feeder.feeder_kinetics.Feeder_kinetics")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stgcn")
    make_npy(folder)
    make_kinetics(folder)
    return folder


def arrays(folder, part: str = "val", **arguments):
    return Feeder(str(folder / f"{part}_data.npy"), str(folder / f"{part}_label.pkl"), **arguments)


def clips(folder, **arguments):
    return Kinetics(str(folder / "clips"), str(folder / "labels.json"), **arguments)


@pytest.mark.parametrize("name", cases.names("stgcn/"))
def test_fixture(name, folder):
    case = CASES[name]
    fed = arrays(folder, **case["args"])
    if "draws" not in case:
        cases.verify_item(fed, case)
        assert len(fed[case["index"]]) == 2
        return
    work = cases.run(fed, case["index"], {"choose": case["draws"]["choose_begin"], **cases.move_draws(case["draws"])})
    cases.verify(case, cases.clip_of(work.x))


@pytest.mark.parametrize("name", cases.names("kinetics/"))
def test_fixture_kinetics(name, folder):
    case = CASES[name]
    fed = clips(folder, **case["args"])
    data, label = fed[list(fed.sample_name).index(case["file"])]
    assert label == case["label"]
    cases.verify(case, data)


@pytest.mark.parametrize("name", cases.names("openpose_match/"))
def test_fixture_matching(name):
    case = CASES[name]
    y = openpose_match.openpose_match(cases.batch_of(cases.case_input(case["input"])))
    cases.verify(case, cases.clip_of(y))


def slow_match(x: np.ndarray) -> np.ndarray:
    """The matching of one clip (3, T, V, M), frame by frame."""
    _, T, _, M = x.shape
    score = x[2].sum(axis=1)
    follow = np.zeros((T, M), int)
    follow[0] = np.arange(M)
    for t in range(T - 1):
        rank = np.argsort(-score[t], kind="stable")
        distance = np.array([[((x[:2, t + 1, :, j] - x[:2, t, :, i]) ** 2).sum() for j in range(M)] for i in range(M)])
        for m in range(M):
            r = list(rank).index(m)
            follow[t + 1, r] = np.argmin(distance[r])
            distance[:, follow[t + 1, r]] = np.inf
    for t in range(T - 1):
        follow[t + 1] = follow[t + 1][follow[t]]
    y = np.stack([x[:, t][:, :, follow[t]] for t in range(T)], axis=1)
    return y[..., np.argsort(-y[2].sum((0, 1)), kind="stable")]


@pytest.mark.parametrize(("frames", "people"), [(1, 2), (2, 3), (9, 2), (40, 5), (17, 1)])
def test_matching_equals_slow_loop(frames, people):
    rng = np.random.default_rng(frames)
    x = rng.uniform(size=(4, 3, frames, 6, people)).astype(np.float32)
    x[1, :, frames // 2 :] = 0
    x[2, ..., -1] = 0
    y = openpose_match.openpose_match(torch.from_numpy(x).permute(0, 4, 3, 1, 2)).permute(0, 3, 4, 2, 1)
    for got, clip in zip(y.numpy(), x):
        np.testing.assert_array_equal(got, slow_match(clip))


def test_two_people_who_change_places_keep_their_slots():
    path = np.linspace(0, 1, 12)
    x = np.zeros((3, 12, 18, 2), np.float32)
    x[0, ..., 0], x[0, ..., 1], x[2] = path[:, None], 5 - path[:, None], 0.5
    x[2, ..., 0] += 0.1
    shuffled = x.copy()
    shuffled[:, ::2] = x[:, ::2, :, ::-1]
    y = cases.clip_of(openpose_match.openpose_match(cases.batch_of(shuffled)))
    np.testing.assert_array_equal(y, x)


def test_best_persons_of_every_frame(folder):
    everybody = clips(folder, num_person_out=5)[0][0]
    best = clips(folder)[0][0]
    score = everybody[2].sum(1)
    assert (np.diff(score, axis=1) <= 1e-5).all()
    np.testing.assert_array_equal(best, everybody[..., :2])
    first = clips(folder, num_person_in=2)[0][0]
    assert first.shape[-1] == 2
    assert not np.array_equal(first, best)
    assert clips(folder, num_person_in=1, num_person_out=4)[0][0].shape[-1] == 1


def test_a_batch_is_data_and_label(folder):
    fed = arrays(folder, "train", random_choose=True, random_move=True, window_size=40)
    assert len(fed[3]) == 2
    batch = fed.__getitems__(Batch(range(12), 1))
    fed.epoch = 1
    for i in range(12):
        np.testing.assert_array_equal(fed[i][0], batch[0][i].numpy())
    shaken = clips(folder, random_shift=True, random_choose=True, random_move=True, pose_matching=True, window_size=150)
    batch = shaken.__getitems__([0, 1])
    assert batch[0].shape == (2, 3, 150, 18, 2)
    for i in range(2):
        np.testing.assert_array_equal(shaken[i][0], batch[0][i].numpy())


def test_empty_and_first_files(folder):
    assert clips(folder).sample_name == ["clip0.json", "clip1.json"]
    assert clips(folder, ignore_empty_sample=False).sample_name == ["clip0.json", "clip1.json", "clip2.json"]
    assert (clips(folder, ignore_empty_sample=False, pose_matching=True)[2][0] == 0).all()
    assert clips(folder, ignore_empty_sample=False, debug=True).sample_name == ["clip0.json", "clip1.json"]


def test_frames_and_labels_that_do_not_fit(tmp_path):
    make_kinetics(tmp_path)
    file = tmp_path / "clips" / "clip1.json"
    clip = json.loads(file.read_text())
    clip["data"][3]["frame_index"] = 300
    file.write_text(json.dumps(clip))
    data = clips(tmp_path)[1][0]
    assert (data[:, 4] == 0).all()
    file.write_text(json.dumps({**clip, "label_index": 5}))
    with pytest.raises(ArchiveError, match="label_index 5"):
        clips(tmp_path)


def test_rates_of_classes(folder):
    fed = clips(folder, ignore_empty_sample=False)
    fed.label = np.array([0, 0, 2])
    score = np.array([[3.0, 2, 1, 0], [0, 1, 3, 2], [1, 2, 4, 3]])
    assert fed.top_k_by_category(score, 1) == [0.5, 0.0, 1.0, 0.0]
    assert fed.top_k_by_category(score, 4) == [1.0, 0.0, 1.0, 0.0]
    assert fed.calculate_recall_precision(score) == ([1.0, 0.0, 0.5, 0.0], [0.5, 0.0, 1.0, 0.0])


def test_other_arrays(folder, tmp_path):
    """What the guide has a user make: float64, labels of any number, no persons added."""
    x = np.random.default_rng(0).random((5, 3, 30, 18, 1))
    np.save(tmp_path / "train_data.npy", x)
    np.save(tmp_path / "train_label.npy", np.arange(5))
    fed = Feeder(str(tmp_path / "train_data.npy"), str(tmp_path / "train_label.npy"), window_size=50)
    data, label = fed[4]
    assert (data.shape, data.dtype, label) == ((3, 50, 18, 1), np.float32, 4)
    np.testing.assert_array_equal(data[:, :30], x[4].astype(np.float32))
    assert (data[:, 30:] == 0).all()
    assert fed.sample_name[4] == "train_4"
    assert Feeder(str(tmp_path / "train_data.npy"), str(tmp_path / "train_label.npy"), num_person=2)[0][0].shape[3] == 2


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"persons": 3}, FeederArgumentError, ["'persons'", "num_person_in"]),
        ({"num_person_in": 6}, UsageError, ["num_person_in", "5", "6"]),
        ({"num_person_out": 0}, UsageError, ["num_person_out"]),
        ({"random_choose": True}, UsageError, ["window_size"]),
        ({"window_size": 10**20}, UsageError, ["window_size", "100000"]),
        ({"label_path": None}, FeederArgumentError, ["label_path"]),
        ({"data_path": "/nowhere"}, ArchiveNotFoundError, ["/nowhere"]),
        ({"data_path": "val_data.npy", "label_path": "val_label.pkl"}, ArchiveError, ["Kinetics"]),
    ],
    ids=str,
)
def test_bad_arguments(folder, arguments, error, words, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(error) as caught:
        Kinetics(**{"data_path": "clips", "label_path": "labels.json", **arguments})
    assert isinstance(caught.value, LabError)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    with pytest.raises(FeederArgumentError, match="random_choose"):
        Feeder("val_data.npy", "val_label.pkl", randomchoose=True)
