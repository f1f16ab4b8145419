"""Descriptors go through the crop and the frames that the skeleton goes through, in every room, and know no future.

The oracle: clips whose coordinates are the number of their frame, and descriptors that are the same number.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import skeleton_lab as lab
from skeleton_lab.data.archives.array_clips import ArrayClips
from skeleton_lab.data.archives.descriptors.files import Rows, open_descriptors
from skeleton_lab.data.feeders.base import Batch
from skeleton_lab.data.feeders.described import NotingMoments, WithDescriptors
from skeleton_lab.engine.dataloader import observed
from skeleton_lab.errors import UsageError

LENGTHS = [40, 25, 90, 64, 13]
T = 100
STEPS = [{"type": "UniformSample", "clip_len": 16}, {"type": "PoseDecode"}, {"type": "FormatGCNInput"}]
ROOMS = {
    "ctrgcn": {"window_size": 16, "p_interval": [0.5, 1], "random_rot": False},
    "hypergcn": {"window_size": 16, "p_interval": [0.5, 1], "random_rot": False},
    "hypergcn-large": {"window_size": 16, "frame_sample": "clips", "random_rot": False},
    "skateformer": {"window_size": 16, "thres": 16, "p_interval": [0.5, 1], "intra_p": 0.5, "aug_method": "5",
                    "inter_p": 0.0, "partition": False},
    "degcn": {"window_size": 16, "p_interval": [0.5, 1], "random_rot": False},
    "msg3d": {},
    "stgcn": {"crop": "random", "window_size": 60, "random_move": False},
    "stgcnpp": {"pipeline": STEPS, "times": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def clock() -> ArrayClips:
    """(N, 3, T, 25, 2): every coordinate of the first person is the frame, counted from 1."""
    x = np.zeros((len(LENGTHS), 3, T, 25, 2), np.float32)
    for clip, n in enumerate(LENGTHS):
        x[clip, :, :n, :, 0] = np.arange(1, n + 1)[:, None]
    return ArrayClips(x, np.arange(len(LENGTHS)))


def numbered(path: Path, every: int = 1) -> Rows:
    """A vector for each ``every``-th of T frames: its frame, counted from 1."""
    frames = np.arange(0, T, every, dtype=np.float32) + 1
    np.save(path, np.tile(frames[None, :, None], (len(LENGTHS), 1, 2)))
    return open_descriptors(path)


class Cut(Rows):
    """As many vectors of each clip as it has frames."""

    def read(self, entry: int) -> np.ndarray:
        return super().read(entry)[: LENGTHS[entry]]


@pytest.fixture(scope="module")
def descriptors(tmp_path_factory) -> Cut:
    path = tmp_path_factory.mktemp("clock") / "rows.npy"
    numbered(path)
    return Cut(path)


def first_joint(x: np.ndarray) -> np.ndarray:
    """(N, W) the x of a joint of the first person that is not relative, of (N, C, T, V, M) or (N, M, T, V, C)."""
    return x[:, 0, :, :, 0].max(-1)


@pytest.mark.parametrize("share", [(1.0,), (0.5,), (0.2, 0.9)])
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", ROOMS)
def test_every_frame_of_the_network_has_the_descriptor_of_that_moment(name, split, share, clock, descriptors):
    feeder = lab.create_dataset(name.removesuffix("-large"), clock, split=split, **ROOMS[name])
    assert len(feeder) == len(LENGTHS)
    feeder = feeder if share == (1.0,) else observed(feeder, share)
    made = WithDescriptors(feeder, descriptors, np.arange(len(LENGTHS)))
    for epoch in (0, 3):
        x, *_, values, there = made.__getitems__(Batch(range(len(LENGTHS)), epoch))
        seen = first_joint(x.numpy())
        assert there.numpy().any(1).all() and np.array_equal(there.numpy(), seen != 0)
        np.testing.assert_allclose(values.numpy()[..., 0], seen, atol=1e-4)
        for clip, n in enumerate(LENGTHS):
            assert values[clip].max() <= np.ceil(share[-1] * n)


def test_nothing_of_the_future_is_in_sparse_descriptors(clock, tmp_path):
    """Every 25th frame: stretches of 25 of 100 frames; a clip of 90 frames of which 45 are seen has two of four."""
    sparse = numbered(tmp_path / "rows.npy", every=25)
    feeder = lab.create_dataset("ctrgcn", clock, split="test", window_size=32)
    for share, last in ((1.0, 76), (0.5, 26), (0.24, 0)):
        cut = observed(feeder, (share,))
        *_, values, there = WithDescriptors(cut, sparse, np.arange(5)).__getitems__(Batch([2]))
        assert values.max() == last and bool(there.any()) == bool(last)
    whole = numbered(tmp_path / "whole.npy", every=T)
    *_, values, there = WithDescriptors(observed(feeder, (0.9,)), whole, np.arange(5)).__getitems__(Batch([2]))
    assert not there.any() and not values.any()


def test_a_clip_without_a_descriptor_and_the_first_frame_alone(clock, descriptors):
    feeder = lab.create_dataset("ctrgcn", clock, split="test", window_size=8)
    entries = np.array([0, -1, 2, 3, 4])
    *_, values, there = WithDescriptors(feeder, descriptors, entries).__getitems__(Batch(range(5)))
    assert not there[1].any() and not values[1].any() and there[[0, 2, 3, 4]].all()
    *_, values, there = WithDescriptors(feeder, descriptors, entries, first=True).__getitems__(Batch(range(5)))
    assert values.shape[1] == 1 and values[[0, 2]].unique().tolist() == [1.0]


def test_moments_are_noted_while_a_network_reads(clock):
    feeder = observed(lab.create_dataset("ctrgcn", clock, split="test", window_size=8), (0.5,))
    noting = NotingMoments(feeder)
    x = np.concatenate([noting.__getitems__(Batch(rows))[0].numpy() for rows in ([0, 1, 2], [3, 4])])
    np.testing.assert_allclose(noting.moments.frames + 1, first_joint(x), atol=1e-4)
    assert noting.moments.total.tolist() == LENGTHS and noting.moments.seen.tolist() == [20, 13, 45, 32, 7]


def test_frames_that_an_archive_counts_and_that_are_empty_at_its_end_are_moments_too(clock, descriptors, tmp_path):
    """PYSKL's pickles say how many frames a clip has; a vector of each belongs to it, whoever is in view."""
    feeder = lab.create_dataset("stgcnpp", clock, split="test", **ROOMS["stgcnpp"])
    feeder.clips.frames = np.array(LENGTHS) + 30

    class Counted(Rows):
        def read(self, entry: int) -> np.ndarray:
            return super().read(entry)[: LENGTHS[entry] + 30]

    numbered(tmp_path / "rows.npy")
    np.save(tmp_path / "rows.npy", np.pad(np.load(tmp_path / "rows.npy"), ((0, 0), (0, 30), (0, 0)), "reflect"))
    made = WithDescriptors(feeder, Counted(tmp_path / "rows.npy"), np.arange(len(LENGTHS)))
    x, *_, values, there = made.__getitems__(Batch(range(len(LENGTHS))))
    seen = first_joint(x.numpy())
    assert there.all() and (seen == 0).any(), "the last frames show nobody"
    np.testing.assert_allclose(values.numpy()[..., 0][seen > 0], seen[seen > 0], atol=1e-4)
    whole = WithDescriptors(feeder, numbered(tmp_path / "whole.npy", every=T), np.arange(len(LENGTHS)))
    assert whole.__getitems__(Batch(range(len(LENGTHS))))[-1].all(), "nothing is cut, so a whole clip's is known"


def test_nw_ucla_stretches_coordinates_and_keeps_the_moments(descriptors):
    x = np.zeros((len(LENGTHS), 3, T, 20, 1), np.float32)
    for clip, n in enumerate(LENGTHS):
        x[clip, :, :n] = np.arange(1, n + 1)[:, None, None]
    clips = ArrayClips(x, np.arange(len(LENGTHS)))
    feeder = lab.create_dataset("ctrgcn", clips, split="test", config=Path("CTR-GCN/config/ucla/default.yaml"))
    *inputs, _, _, values, there = WithDescriptors(feeder, descriptors, np.arange(5)).__getitems__(Batch(range(5)))
    for clip, n in enumerate(LENGTHS):
        expected = 2 * (values[clip, :, 0].numpy() - 1) / (n - 1) - 1
        np.testing.assert_allclose(inputs[0][clip, 0, :, 3, 0].numpy(), expected, atol=1e-5)
    assert there.all()


def test_a_feeder_that_does_not_tell_its_frames_is_one_line(clock, descriptors):
    feeder = lab.create_dataset("ctrgcn", clock, split="test", window_size=8)
    feeder.steps = [feeder.steps[0], lambda work: vars(work).update(x=torch.zeros(len(work.sample), 2, 25, 3, 8))]
    with pytest.raises(UsageError, match="none of its steps tells which frames it shows"):
        WithDescriptors(feeder, descriptors, np.arange(5)).__getitems__(Batch([0]))
