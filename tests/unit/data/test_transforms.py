"""Batched transforms: against the fixtures, against a slow loop and torch's interpolate, and by their invariants."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from parity.kaggle_sample import check, make_kaggle_arrays, to_ntvm
from parity.protocol import make_skeleton
from places import PARITY
from scipy import stats
from scipy.spatial.transform import Rotation
from torch.nn import functional

from skeleton_lab.data.feeders import transforms
from skeleton_lab.skeletons import bones

PATIENT = settings(deadline=None)  # first calls are slow, and so are busy machines
CASES = {case["id"]: case for case in json.loads((PARITY / "feeders.json").read_text())["cases"]}
with np.load(PARITY / "feeders.npz") as npz:
    EXPECTED = dict(npz)

# SkateFormer's pairs, 0-based: an independent table for the bone operation
SKATE_PAIRS = (
    (0, 1), (1, 1), (2, 20), (3, 2), (4, 20), (5, 4), (6, 5), (7, 6), (8, 20), (9, 8), (10, 9), (11, 10), (12, 0),
    (13, 12), (14, 13), (15, 14), (16, 0), (17, 16), (18, 17), (19, 18), (20, 1), (21, 7), (22, 7), (23, 11), (24, 11),
)  # fmt: skip


def skeletons(case: dict) -> torch.Tensor:
    given_input = case["input"]
    n, frames, joints, people = given_input["make_skeleton"]
    x = make_skeleton(n, frames, joints, people, seed=given_input["seed"])[given_input["index"]]
    return transforms.from_ctvm(x[None])


def verify(case: dict, y: torch.Tensor) -> None:
    check(transforms.to_ctvm(y)[0], case["outputs"][0], EXPECTED)


def cut_and_resized(clips: np.ndarray, start: np.ndarray, length: np.ndarray, window: int) -> torch.Tensor:
    """What the recipe does with stored clips (B, C, T, V, M), with a gather by plain indexing."""
    i0, i1, a = transforms.resize_positions(length, window)
    rows = clips.transpose(0, 2, 4, 3, 1)
    sample = np.arange(len(clips))[:, None]
    first, second = (np.ascontiguousarray(rows[sample, start[:, None] + i]) for i in (i0, i1))
    return transforms.frames_last(transforms.blend(first, second, a))


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("crop/")])
def test_fixture_random_crop(name):
    case = CASES[name]
    n, bias = np.array([case["args"]["valid"]]), case["draws"]["bias"]
    places = n[0] - case["cropped_length"] + 1
    start, length = transforms.random_crop(n, np.array([case["draws"]["p"]]), np.array([(bias + 0.5) / places]))
    assert (start[0], length[0]) == (bias, case["cropped_length"])
    split, index = case["input"]["split"], case["input"]["index"]
    clip = to_ntvm(make_kaggle_arrays()[f"x_{split}"][index : index + 1])
    verify(case, cut_and_resized(clip, start, length, case["args"]["window"]))


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("random_rot/")])
def test_fixture_rotation(name):
    case = CASES[name]
    matrices = transforms.rotation_matrices(np.array([case["draws"]["angles"]]))
    np.testing.assert_allclose(matrices[0], case["matrix"], atol=1e-7)
    verify(case, transforms.linear(skeletons(case), matrices))


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("rotate/")])
def test_fixture_rotation_about_one_axis(name):
    case = CASES[name]
    angles = np.zeros((1, 3))
    angles[0, case["draws"]["axis"]] = np.deg2rad(case["draws"]["degrees"])
    verify(case, transforms.linear(skeletons(case), transforms.rotation_matrices(angles)))


def test_fixture_linear_maps():
    shear = CASES["shear/5"]
    (a, b, c), (d, e, f) = shear["draws"]["s1"], shear["draws"]["s2"]
    verify(shear, transforms.linear(skeletons(shear), np.array([[[1, a, d], [b, 1, e], [c, f, 1]]])))
    scale = CASES["scale/5"]
    verify(scale, transforms.linear(skeletons(scale), np.diag(1 + 0.2 * np.array(scale["draws"]["unit"]))[None]))


def test_fixture_bone_and_motion():
    parent = bones.parents(25, [(joint + 1, above + 1) for joint, above in SKATE_PAIRS])
    verify(CASES["joint2bone/5"], transforms.bone(skeletons(CASES["joint2bone/5"]), torch.from_numpy(parent)))
    verify(CASES["to_motion/5"], transforms.motion(skeletons(CASES["to_motion/5"])))


@settings(PATIENT, max_examples=60)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=6), st.integers(1, 130), st.data())
def test_resize_equals_torch_interpolate(lengths, window, data):
    length = np.array(lengths)
    start = np.array([data.draw(st.integers(0, 300 - n)) for n in lengths])
    clips = np.random.default_rng(0).standard_normal((len(lengths), 3, 300, 4, 2)).astype(np.float32)
    got = transforms.to_ctvm(cut_and_resized(clips, start, length, window))
    for i, n in enumerate(lengths):
        crop = torch.from_numpy(clips[i, :, start[i] : start[i] + n])
        flat = crop.permute(0, 2, 3, 1).reshape(1, -1, n)
        want = functional.interpolate(flat, size=window, mode="linear", align_corners=False)
        want = want.view(3, 4, 2, window).permute(0, 3, 1, 2)
        torch.testing.assert_close(got[i], want, rtol=0, atol=2e-4 * max(1, n / 64))  # slope times rounding of s
        if n == window:
            assert torch.equal(got[i], crop)


@PATIENT
@given(st.integers(1, 400), st.integers(1, 400))
def test_resize_positions_stay_inside_the_crop(length, window):
    i0, i1, a = transforms.resize_positions(np.array([length]), window)
    assert a.dtype == np.float32
    assert i0.min() >= 0
    assert i1.max() <= length - 1
    assert ((i1 == i0 + 1) | (i1 == length - 1)).all()
    assert a.min() >= 0
    assert a.max() < 1
    place = (i0 + a)[0]
    assert (np.diff(place) >= 0).all()
    centres = np.clip((np.arange(window) + 0.5) * length / window - 0.5, 0, length - 1)
    np.testing.assert_allclose(place, centres, atol=1e-4)


@PATIENT
@given(st.integers(0, 300), st.floats(0.01, 1.0))
def test_centre_crop(n, p):
    start, length = transforms.centre_crop(np.array([n]), p)
    assert start[0] == int((1 - p) * n / 2)
    assert length[0] == max(n - 2 * int((1 - p) * n / 2), 1)


@PATIENT
@given(st.integers(0, 300), st.floats(0.01, 1.0), st.floats(0, 1, exclude_max=True))
def test_random_crop_bounds(n, p, place):
    start, length = transforms.random_crop(np.array([n]), np.array([p]), np.array([place]))
    assert length[0] == max(min(max(int(np.floor(n * p)), 64), n), 1)
    assert start[0] >= 0
    assert start[0] + length[0] <= max(n, 1)
    if 0 < n <= 64:
        assert (start[0], length[0]) == (0, n)


def test_random_crop_places_are_even():
    place = np.random.default_rng(0).random(20_000)
    start, length = transforms.random_crop(np.full(20_000, 100), np.full(20_000, 0.9), place)
    assert (length == 90).all()
    assert stats.chisquare(np.bincount(start, minlength=11)).pvalue > 1e-4


angle_rows = arrays(np.float64, st.tuples(st.integers(1, 5), st.just(3)), elements=st.floats(-3.2, 3.2))


@PATIENT
@given(angle_rows)
def test_rotations_are_rotations(angles):
    matrices = transforms.rotation_matrices(angles)
    np.testing.assert_allclose(np.linalg.det(matrices), 1, atol=1e-12)
    # the published signs turn the coordinate frame, so the angles of the inverse are the usual ones
    usual = Rotation.from_euler("xyz", -angles).as_matrix()
    np.testing.assert_allclose(matrices, usual, atol=1e-12)


@pytest.mark.slow
@PATIENT
@given(angle_rows)
def test_linear_equals_matrix_product_and_commutes_with_bones(angles):
    matrices = transforms.rotation_matrices(angles)
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((len(angles), 2, 25, 3, 7)))
    y = transforms.linear(x, matrices)
    torch.testing.assert_close(y, torch.einsum("bij,bmvjw->bmviw", torch.from_numpy(matrices), x))
    parent = torch.from_numpy(bones.NTU)
    torch.testing.assert_close(transforms.bone(y, parent), transforms.linear(transforms.bone(x, parent), matrices))


@pytest.mark.parametrize("joints", bones.BY_JOINTS)
def test_bone_equals_slow_loop_and_ignores_position(joints):
    parent = bones.BY_JOINTS[joints]
    x = torch.randn(2, 2, joints, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    got = transforms.bone(x, torch.from_numpy(parent))
    for v in range(joints):
        torch.testing.assert_close(got[:, :, v], x[:, :, v] - x[:, :, parent[v]])
    torch.testing.assert_close(transforms.bone(x + 3.0, torch.from_numpy(parent)), got)


def test_bone_roots():
    assert [v for v, above in enumerate(bones.NTU) if v == above] == [20]
    assert [v for v, above in enumerate(bones.UCLA) if v == above] == [2]
    assert [v for v, above in enumerate(bones.UAV) if v == above] == [0, 3, 6, 9, 12, 15, 16]
    assert len(bones.edges(bones.NTU)) == 24


@PATIENT
@given(st.integers(1, 20))
def test_motion_adds_up(window):
    x = torch.from_numpy(np.random.default_rng(2).standard_normal((2, 1, 3, 3, window)))
    y = transforms.motion(x)
    torch.testing.assert_close(y.sum(-1), x[..., -1] - x[..., 0])
    assert (y[..., -1] == 0).all()


@PATIENT
@given(st.integers(1, 3), st.integers(1, 3))
def test_people(stored, wanted):
    x = torch.randn(2, stored, 4, 3, 5)
    y = transforms.people(x, wanted)
    assert y.shape[1] == wanted
    assert torch.equal(y[:, :stored], x[:, :wanted])
    assert (y[:, stored:] == 0).all()


def test_spread_to_unit_ignores_place_and_size():
    x = torch.randn(3, 1, 20, 3, 9, dtype=torch.float64)
    x[1, ..., 2, :] = 4.0
    y = transforms.spread_to_unit(x)
    assert y[0].amin(dim=(0, 1, 3)).tolist() == [-1, -1, -1]
    assert y[0].amax(dim=(0, 1, 3)).tolist() == [1, 1, 1]
    assert (y[1, ..., 2, :] == 0).all()
    torch.testing.assert_close(transforms.spread_to_unit(2.5 * x - 7), y)


@PATIENT
@given(st.integers(1, 400), st.integers(2, 80))
def test_even_frames_equal_numpy(length, count):
    got = transforms.even_frames(np.array([length, 7]), count)
    np.testing.assert_array_equal(got[0], np.linspace(0, length - 1, count).astype(int))


def test_even_frames_known_rounding():
    assert transforms.even_frames(np.array([154]), 64)[0, 21] == 50


def test_pick_frames():
    x, index = torch.randn(2, 1, 4, 3, 9), np.array([[0, 8, 8], [3, 2, 1]])
    y = transforms.pick_frames(x, index)
    for b in range(2):
        assert torch.equal(y[b], x[b][..., index[b]])


def test_layouts_are_views_and_inverse():
    x = torch.randn(2, 3, 6, 4, 2)
    assert transforms.to_ctvm(transforms.from_ctvm(x)).data_ptr() == x.data_ptr()
    assert torch.equal(transforms.to_ctvm(transforms.from_ctvm(x)), x)
    rows = np.random.default_rng(0).standard_normal((2, 6, 2, 4, 3))
    torch.testing.assert_close(transforms.frames_last(rows), torch.from_numpy(rows).permute(0, 2, 3, 4, 1))
