"""Clips in memory against the same clips in a file: one interface, one behaviour."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from parity.kaggle_sample import make_kaggle_arrays, to_ntvm

from skeleton_lab.data.archives import array_clips
from skeleton_lab.data.archives.array_clips import ArrayClips
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.errors import ArchiveError, UsageError


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Clips of a file: with gaps, late persons, a single frame."""
    path = tmp_path_factory.mktemp("arrays") / "NTU60_CS.npz"
    np.savez(path, **make_kaggle_arrays())
    return path


@pytest.mark.parametrize("split", ["train", "test"])
def test_answers_are_those_of_the_file(stored, split):
    clips = open_archive(stored, split)
    x = to_ntvm(make_kaggle_arrays()[f"x_{split}"])
    arrays = ArrayClips(x, make_kaggle_arrays()[f"y_{split}"])
    sizes = [(each.C, each.T, each.V, each.M, len(each)) for each in (arrays, clips)]
    assert sizes[0] == sizes[1]
    assert arrays.labels.tolist() == clips.labels.tolist() and arrays.num_class == clips.num_class
    idx = np.arange(len(clips))
    for one, other in zip(arrays.lengths(idx), clips.lengths(idx)):
        np.testing.assert_array_equal(one, other)
    frames = np.random.default_rng(0).integers(-5, clips.T + 5, (len(clips), 40))
    np.testing.assert_array_equal(arrays.gather(idx, frames), clips.gather(idx, frames))
    np.testing.assert_array_equal(arrays.subset([3, 1]).clips([0, 1]), x[[3, 1]])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(arrays)).gather(idx, frames), clips.gather(idx, frames))
    assert arrays.first_people(1).gather(idx, frames).shape[2] == 1


def test_clips_of_different_lengths_are_padded():
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal((3, T, 20, M)) for T, M in ((5, 1), (9, 2), (2, 1))]
    clips = ArrayClips(parts, length=12, persons=2, names=["a", "b", "c"])
    assert (clips.T, clips.M) == (12, 2) and clips.subset([2]).names == ["c"]
    whole = clips.clips([0, 1, 2])
    for row, part in zip(whole, parts):
        _, T, _, M = part.shape
        np.testing.assert_array_equal(row[:, :T, :, :M], part.astype(np.float32))
        assert not row[:, T:].any() and not row[..., M:].any()
    assert [each.tolist() for each in clips.lengths(np.arange(3))] == [[5, 9, 2], [5, 9, 2]]
    assert ArrayClips(parts).T == 9


def test_a_scrambling_is_that_of_the_file(stored):
    """It belongs to weights that were trained on wrongly read columns, whatever their clips come from."""
    x = to_ntvm(make_kaggle_arrays()["x_test"])
    for layout in ("scrambled-vcm", "scrambled-cvm"):
        clips = open_archive(stored, "test", layout=layout)
        arrays = array_clips.given(ArrayClips(x), layout)
        assert arrays is not None
        np.testing.assert_array_equal(arrays.clips([0, 4]), clips.clips([0, 4]))
        assert not np.array_equal(arrays.clips([0, 4]), x[[0, 4]])
    assert array_clips.given("a path") is None
    with pytest.raises(UsageError, match="have been opened already"):
        array_clips.given(open_archive(stored, "test"), "scrambled-vcm")
    with pytest.raises(UsageError, match="it is for files"):
        array_clips.given(ArrayClips(x), "repair-vcm")


GOOD = np.ones((3, 4, 25, 1))


@pytest.mark.parametrize(
    "arguments, words",
    [
        (([],), "there is no clip"),
        (([GOOD, GOOD[:2]],), "clip 1 is an array of float64, shape (2, 4, 25, 1)"),
        (([GOOD[:, :0]],), "coordinates, frames, joints, persons"),
        (([GOOD.astype(str)],), "expected are numbers"),
        (([GOOD * 1e300],), "sample 0 holds NaN or Inf (or a value beyond float32), first in frame 0"),
        (([GOOD, np.where(np.arange(4)[:, None, None] == 2, np.nan, GOOD)],), "sample 1 holds NaN or Inf"),
        (([GOOD], [0, 1]), "there are 1 clips and 2 labels"),
        (([GOOD], [-1]), "is class -1"),
        (([GOOD], [0.5]), "labels"),
    ],
)
def test_what_is_no_clip_is_one_line(arguments, words):
    with pytest.raises(ArchiveError) as told:
        ArrayClips(*arguments)
    assert words in str(told.value) and "\n" not in str(told.value)
