"""Two-dimensional clips as networks take them: about the body, in lengths of the torso, upright, without gaps."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.data.archives.array_clips import ArrayClips
from skeleton_lab.data.feeders.image_points import ImagePoints, placed
from skeleton_lab.data.feeders.observation import Observed
from skeleton_lab.skeletons import layouts

COCO = layouts.layout("coco17")
SHOULDERS, HIPS, NOSE, WRIST, ELBOW = [5, 6], [11, 12], 0, 9, 7


def people(T: int = 12, M: int = 2) -> np.ndarray:
    """(T, M, 17, 3): bodies whose torso is 80 pixels long, the second one beside the first, scores 0.9."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-100, 100, (T, M, 17, 3))
    x[:, :, SHOULDERS, :2] = [[-30, -40], [30, -40]]
    x[:, :, HIPS, :2] = [[-20, 40], [20, 40]]
    x[..., :2] += np.array([[300, 200], [500, 220]])[:M, None]
    x[:, :, :, :2] += 3 * np.arange(T)[:, None, None, None]  # everybody walks
    x[..., 2] = 0.9
    return x.astype(np.float32)


def test_the_body_is_centred_measured_and_upright():
    y = placed(people(), COCO, scored=True)
    assert np.allclose(y[0, 0, HIPS, :2].mean(0), 0, atol=1e-6)  # of the first person in the first frame
    torso = y[:, :, SHOULDERS, :2].mean(2) - y[:, :, HIPS, :2].mean(2)
    assert np.allclose(torso, [0, 1], atol=1e-6)  # one torso, upwards
    assert np.allclose(y[0, 1, HIPS, :2].mean(0), [200 / 80, -20 / 80])  # one centre and one scale for both
    assert np.allclose(y[5, 0, HIPS, :2].mean(0), [15 / 80, -15 / 80])  # the way somebody walks stays
    assert (y[..., 2] == np.float32(0.9)).all()


def test_nearer_and_elsewhere_is_the_same():
    x = people()
    other = x.copy()
    other[..., :2] = 2.5 * x[..., :2] + [70, -30]
    assert np.allclose(placed(other, COCO, scored=True), placed(x, COCO, scored=True), atol=1e-5)


def test_joints_with_low_scores_are_filled_in():
    x = people()
    whole = placed(x, COCO, scored=True)
    x[4:7, 0, NOSE, :2] = whole[3, 0, NOSE, 0]  # junk, in three frames
    x[4:7, 0, NOSE, 2] = 0.1
    x[:, 0, WRIST] = [7, 7, 0.29]  # never found
    x[:5, 0, HIPS[0], 2] = 0  # before its first sight: as then
    y = placed(x, COCO, scored=True)
    a, b = whole[3, 0, NOSE, :2], whole[7, 0, NOSE, :2]
    assert np.allclose(y[4:7, 0, NOSE, :2] - y[3, 0, NOSE, :2], np.outer([1, 2, 3], b - a) / 4, atol=1e-5)
    assert (y[:, 0, WRIST, :2] == y[:, 0, ELBOW, :2]).all()  # at its parent
    assert (y[:5, 0, HIPS[0], :2] == y[5, 0, HIPS[0], :2]).all()
    assert np.allclose(y[4:7, 0, NOSE, 2], 0.1)  # scores stay what they are


def test_without_scores_a_joint_at_zero_is_missing():
    x = people()[..., :2]
    x[2, 0, NOSE] = 0
    assert np.allclose(placed(x, COCO)[2, 0, NOSE], placed(x, COCO)[[1, 3], 0, NOSE].mean(0), atol=1e-6)


def test_a_body_without_a_torso_is_not_blown_up():
    """Hips on top of the shoulders are no size: then the joints' spread is one, as of a person without hips."""
    x = people()
    x[:, :, SHOULDERS + HIPS, :2] = x[:, :, NOSE : NOSE + 1, :2]
    x[:, :, SHOULDERS[0], 0] += 1e-3
    y = placed(x, COCO, scored=True)[:, 0, :, :2]
    assert np.isclose(((y - y.mean(1, keepdims=True)) ** 2).sum(-1).mean(), 1, rtol=0.2) and np.abs(y).max() < 10


def test_absent_people_stay_absent():
    x = people()
    x[:3, 0] = 0
    x[6:, 1] = 0
    y = placed(x, COCO, scored=True)
    assert not y[:3, 0].any() and not y[6:, 1].any()
    assert np.allclose(y[0, 1, HIPS, :2].mean(0), 0, atol=1e-6)  # the first frame shows the second person alone
    assert not placed(np.zeros_like(x), COCO, scored=True).any()


@pytest.mark.parametrize("scores", [0.9, 0.05])
def test_low_scores_and_no_hips_still_give_a_size(scores):
    x = people()
    x[..., 2] = scores
    x[:, :, HIPS] = 0
    y = placed(x, COCO, scored=True)
    body = y[..., :2][y.any((2, 3))]
    assert np.isclose(np.sqrt(((body - body.mean(1, keepdims=True)) ** 2).sum(2).mean()), 1, atol=1e-5)


def test_shares_of_a_picture_are_made_equal_lengths():
    x = people()
    shares = x.copy()
    shares[..., :2] /= [640, 480]
    assert np.allclose(placed(shares, COCO, True, np.array([480, 640])), placed(x, COCO, True), atol=1e-5)


def test_depth_turns_with_the_height():
    flat, deep = people()[..., :2], np.concatenate([people()[..., :2], np.ones((12, 2, 17, 1), np.float32)], 3)
    deep[:, :, NOSE, 2] = 81
    y = placed(deep, COCO)
    assert np.allclose(y[..., :2], placed(flat, COCO), atol=1e-6)
    assert np.allclose(y[:, :, NOSE, 2], -1)  # no mirror: half a turn about x


def clips() -> ArrayClips:
    made = ArrayClips([people(12).transpose(3, 0, 2, 1), people(7)[2:].transpose(3, 0, 2, 1)])
    made.skeleton, made.units, made.scored = COCO, "px", True
    return made


def test_frames_of_clips_are_those_of_the_whole_clip():
    view = ImagePoints(clips(), COCO)
    frames = np.array([[0, 11, 3, -1], [4, 0, 5, 99]])
    x = view.gather(np.array([0, 1]), frames)
    whole = [placed(people(12), COCO, True), placed(people(7)[2:], COCO, True)]
    assert (x[0, :3] == whole[0][[0, 11, 3]]).all() and not x[0, 3].any()
    assert (x[1, :2] == whole[1][[4, 0]]).all() and not x[1, 2:].any()
    assert (view.T, view.C, view.lengths(np.array([1]))[1].tolist()) == (12, 3, [5])


def test_who_watches_the_beginning_learns_nothing_of_the_end():
    changed = people(12)
    changed[6:] *= 3
    changed[4:6, 0, NOSE, 2] = 0
    same = changed.copy()
    same[6:] = people(12)[6:]
    seen = []
    for x in (changed, same):
        made = ArrayClips([x.transpose(3, 0, 2, 1)])
        made.units, made.scored = "px", True
        seen.append(ImagePoints(Observed(made, (0.5, 0.5)), COCO).gather(np.array([0]), np.arange(12)[None]))
    assert seen[0].any() and (seen[0] == seen[1]).all()
