"""SkateFormer's feeders on clips at the edge: empty, of one frame, short, of one person, of 120 classes."""

from __future__ import annotations

import feeder_cases as cases
import numpy as np
import pytest
import torch
from feeder_cases import CASES
from skate_feeders import EVERYTHING, PUBLISHED, Feeder, Inter, augment

from skeleton_lab.data.feeders.base import Batch
from skeleton_lab.errors import ArchiveError
from skeleton_lab.skeletons import bones as streams


def save(path, x: np.ndarray, labels: np.ndarray | None = None) -> str:
    labels = np.zeros(len(x), np.int64) if labels is None else labels
    np.savez(path, x_train=x, y_train=labels, x_test=x, y_test=labels)
    return str(path)


@pytest.mark.parametrize("uniform", [False, True])
def test_empty_clip(tmp_path, uniform):
    path = save(tmp_path / "a.npz", np.zeros((3, 20, 150), np.float32))
    for split in ("train", "test"):
        args = {**EVERYTHING, "split": split, "intra_p": 1.0, "uniform": uniform}
        x, index_t, _, _ = Feeder(path, **args).__getitems__([0, 1, 2])
        assert x.shape == (3, 3, 64, 24, 2)
        assert (x == 0).all()
        np.testing.assert_allclose(index_t, np.broadcast_to(2 * np.arange(64) / 64 - 1, (3, 64)), atol=1e-6)


@pytest.mark.parametrize("uniform", [False, True])
def test_one_frame(archive, uniform):
    args = {"split": "test", "window_size": 64, "p_interval": [0.95], "uniform": uniform}
    with np.load(archive) as npz:
        stored = {key: npz[key] for key in npz.files}
    stored["x_test"] = stored["x_train"][2:3]
    stored["y_test"] = stored["y_train"][2:3]
    path = archive.replace("NTU60_CS", f"one_{uniform}")
    np.savez(path, **stored)
    data, index_t, *_ = Feeder(path, **args)[0]
    assert (data == data[:, :1]).all()
    assert data.any()
    assert (index_t == -1).all()
    assert (Feeder(path, **args, data_type="jm")[0][0] == 0).all()


def test_frames_beyond_the_array_are_zero(tmp_path):
    """40 frames, all recorded: the crop begins at 1 and is 40 long, so the last output fades toward zero."""
    x = np.ones((1, 40, 150), np.float32)
    path = save(tmp_path / "a.npz", x)
    data = Feeder(path, split="test", window_size=80, p_interval=[0.95], uniform=True)[0][0]
    assert (data[:, :76] == 1).all()
    np.testing.assert_allclose(data[0, -3:, 0, 0], [0.75, 0.25, 0], atol=1e-5)
    lent = save(tmp_path / "b.npz", np.random.default_rng(0).standard_normal((2, 40, 150)).astype(np.float32))
    args = {**PUBLISHED, "intra_p": 0.0, "inter_p": 1.0, "p_interval": [0.95]}
    assert torch.isfinite(Feeder(lent, **args).__getitems__([0, 1])[0]).all()


def test_short_windows(archive):
    fed = Feeder(archive, **{**EVERYTHING, "window_size": 8, "thres": 8, "intra_p": 1.0})
    for epoch in range(4):
        x, index_t, _, _ = fed.__getitems__(Batch(range(12), epoch))
        assert torch.isfinite(x).all()
        assert (x.shape[2], index_t.shape) == (8, (12, 8))


def test_one_person_archive(tmp_path):
    path = save(tmp_path / "a.npz", np.random.default_rng(0).standard_normal((6, 30, 75)).astype(np.float32))
    fed = Feeder(path, **{**EVERYTHING, "aug_method": "ab", "intra_p": 1.0, "num_person": None})
    plain = Feeder(path, **{**EVERYTHING, "aug_method": "", "intra_p": 1.0})
    x = fed.__getitems__(range(6))[0]
    assert x.shape == (6, 3, 64, 24, 1)
    assert torch.equal(x, plain.__getitems__(range(6))[0][..., :1])


def test_reference_without_frames_changes_nothing(tmp_path):
    x = np.zeros((2, 30, 150), np.float32)
    x[0] = np.random.default_rng(0).standard_normal((30, 150))
    args = {**PUBLISHED, "intra_p": 0.0, "inter_p": 1.0}
    path = save(tmp_path / "a.npz", x)
    fed, plain = Feeder(path, **args), Feeder(path, **{**args, "inter_p": 0.0})
    drawn = cases.run(fed, 0, {"reference": 1})
    assert torch.equal(drawn.x, cases.run(plain, 0, {}).x)
    assert not torch.equal(drawn.x, cases.run(fed, 0, {"reference": 0}).x)


@pytest.mark.slow
def test_missing_persons_in_a_transfer():
    """One who is only in x becomes a point; one who is only in the other clip becomes a point at its root."""
    x = cases.batch_of(cases.case_input(CASES["adain/5"]["input"]))
    lent = cases.batch_of(cases.case_input(CASES["adain/5"]["reference"]))  # without a second person
    transfer = augment.BoneLengths(streams.NTU_SKATE)
    alone = transfer.transferred(x, lent * torch.tensor([1.0, 0.0]).view(1, 2, 1, 1, 1))
    assert alone[:, 1].abs().max() < 1e-4
    x[:, 1] = 0
    lent[:, 1] = lent[:, 0]
    point = transfer.transferred(x, lent)[:, 1]
    torch.testing.assert_close(point, lent[:, 1, 1:2].expand_as(point))


def test_labels_of_120_classes(tmp_path):
    labels = np.array([3, 49, 59, 60, 105, 119, 104])
    x = np.random.default_rng(0).standard_normal((7, 5, 150)).astype(np.float32)
    fed = Inter(save(tmp_path / "a.npz", x, np.eye(120)[labels]), window_size=8, split="test")
    assert (fed.label.tolist(), fed.num_class) == ([0, 10, 11, 25], 26)
    np.testing.assert_array_equal(
        fed[2][0][:, 4], Feeder(str(tmp_path / "a.npz"), window_size=8, split="test")[4][0][:, 4]
    )
    assert fed.sample_name == [f"test_{i}" for i in range(4)]
    assert len(Inter(str(tmp_path / "a.npz"), window_size=8, debug=True)) == 4
    with pytest.raises(ArchiveError, match="two-person"):
        Inter(save(tmp_path / "b.npz", x[:1], labels[:1]), window_size=8)


def test_edges_follow_the_order_of_joints(archive):
    fed = Feeder(archive, split="test", window_size=8, partition=True)
    assert len(fed.edges) == 23
    edges = {(int(streams.NTU_PARTS[a]), int(streams.NTU_PARTS[b])) for a, b in fed.edges}
    assert {(2, 1), (4, 1), (8, 1), (24, 11), (0, 1)} < edges
    assert len(Feeder(archive, split="test", window_size=8).edges) == 24
