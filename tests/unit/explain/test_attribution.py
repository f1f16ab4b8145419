"""Maps against networks whose attributions are known in closed form, and what is hidden of a clip."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from skeleton_lab.data.archives.array_clips import ArrayClips
from skeleton_lab.data.feeders.ntu import NTUFeeder
from skeleton_lab.data.feeders.pipeline import Bone
from skeleton_lab.errors import UsageError
from skeleton_lab.explain import attribution, cells, clip, pictures, results, sanity
from skeleton_lab.skeletons import layouts

T, V = 12, 25
NTU = layouts.layout("ntu25")


class Form(nn.Module):
    """Logits (f(x), 0), whose log-odds of class 0 are f: a weighted sum of the inputs, or of their squares."""

    def __init__(self, weight: np.ndarray, power: int) -> None:
        super().__init__()
        self.weight, self.power = nn.Parameter(torch.from_numpy(weight)), power

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        f = (self.weight * x**self.power).flatten(1).sum(1)
        return torch.stack([f, torch.zeros_like(f)], 1)


def walk(seed: int = 0) -> np.ndarray:
    """(C, T, V, M) of two people, of whom the second is there from the fourth frame on."""
    x = np.random.default_rng(seed).standard_normal((3, T, V, 2)).astype(np.float32)
    x[:, :4, :, 1] = 0
    return x


def asked(x: np.ndarray, baseline: str = clip.MEAN, **more: bool) -> tuple[clip.Clip, cells.Cells]:
    """The clip as a feeder hands it over that resizes nothing."""
    made = clip.Clip(NTUFeeder(ArrayClips([walk(7), x]), window_size=T, split="test", **more), 1, baseline)
    return made, cells.cells(made.points, cells.parts_of(NTU, V, cells.JOINTS), 3)


@pytest.mark.parametrize("power", [1, 2], ids=["linear", "squares"])
@pytest.mark.parametrize("baseline", [clip.MEAN, clip.ZEROS])
def test_maps_of_known_functions(power, baseline):
    """Of sum w x^p integrated gradients are w (x^p - b^p) joint by joint, b the baseline, and so is occlusion."""
    x = walk()
    weight = np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
    one, mine = asked(x, baseline)
    found = attribution.maps(attribution.Question(Form(weight, power).eval()), one, mine, 0, steps=2)
    there = x.any(axis=(0, 2))  # (T, M)
    mean = x.sum(1, keepdims=True) / there.sum(0) if baseline == clip.MEAN else np.zeros_like(x)
    change = (weight * (x**power - mean**power)).sum(0) * there[:, None]  # (T, V, M)
    order = [part.joints[0] for part in mine.parts]
    assert sorted(order) == list(range(V)) and mine.bounds.tolist() == [0, 4, 8, 12]
    expected = change.reshape(3, 4, V, 2).sum(1).transpose(2, 1, 0)[:, order]
    for method in attribution.METHODS:
        np.testing.assert_allclose(found.of[method], expected, atol=2e-4)
    assert found.sum == pytest.approx(found.difference, abs=1e-3) == pytest.approx(found.integral, abs=1e-3)
    assert found.odds == pytest.approx(float((weight * x**power).sum()), abs=1e-3)


def test_completeness_of_a_network_and_of_bones():
    """However bent the function and whatever the stream, as long as the feeder is linear: the cells add up."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * T * V * 2, 16), nn.Tanh(), nn.Linear(16, 4)).eval()
    one, mine = asked(walk(), bone=True, vel=True)
    ask, advanced = attribution.Question(net), []
    for target in (0, 3):
        found = attribution.maps(ask, one, mine, target, 64, advanced.append)
        assert sum(advanced) == attribution.work(mine, 64) == len(mine) + 64
        advanced.clear()
        p = ask.logits(one.inputs([None])).softmax(1)[0, target].item()
        assert found.odds == pytest.approx(np.log(p / (1 - p)), abs=1e-5), "log-odds"
        assert found.sum == pytest.approx(found.difference, rel=1e-2) and found.integral == pytest.approx(found.sum)
        whole = sum(mine.mask(place).astype(int) for place in mine)
        assert (whole == 1).all(), "the cells cover everything, once"


def test_several_clips_of_a_sample_are_put_together_as_a_test_does():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(8, 3)).eval()
    x = torch.randn(2, 5, 1, 2, 2, 2)
    probabilities = torch.stack([net(x[:, k]).softmax(1) for k in range(5)]).mean(0)
    torch.testing.assert_close(attribution.Question(net).logits([x]).softmax(1), probabilities)
    torch.testing.assert_close(attribution.Question(net, "score").logits([x]), sum(net(x[:, k]) for k in range(5)) / 5)


def test_hidden_key_points_keep_their_scores_and_stay_missing():
    """The mean place is that of the frames in which the joint was found; a joint that was not stays so."""
    x = np.random.default_rng(2).uniform(100, 200, (3, T, 17, 1)).astype(np.float32)
    x[2] = 0.8
    x[:, 3, 5] = 0
    stored = ArrayClips([x])
    stored.skeleton, stored.scored = layouts.layout("coco17"), True
    view = clip.Hidden(stored, 0, clip.MEAN)
    view.mask = np.zeros((T, 1, 17), bool)
    view.mask[2:6, 0, 5] = True
    seen = view.gather(np.array([0]), np.array([[1, 2, 3, 5, -1, T]]))[0, :, 0]  # (W, V, C)
    plain = stored.gather(np.array([0]), np.array([[1, 2, 3, 5, -1, T]]))[0, :, 0]
    others = [t for t in range(T) if t != 3]
    np.testing.assert_allclose(seen[[1, 3], 5, :2], np.tile(x[:2, others, 5, 0].mean(1), (2, 1)), rtol=1e-6)
    assert not seen[2, 5].any() and (seen[[1, 3], 5, 2] == np.float32(0.8)).all()
    seen[:, 5] = plain[:, 5] = 0
    np.testing.assert_array_equal(seen, plain)
    assert not clip.Hidden(stored, 0, clip.ZEROS).still.any()


def test_rank_correlation_is_scipys():
    rng = np.random.default_rng(0)
    for _ in range(4):
        a, b = rng.integers(0, 4, 30).astype(float), rng.standard_normal(30).round(1)
        assert sanity.rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert sanity.rank_correlation(a, np.ones(30)) is None


def test_every_joint_of_every_skeleton_belongs_to_one_limb():
    for layout in layouts.known().values():
        limbs = cells.parts_of(layout, layout.V, cells.LIMBS)
        assert sorted(joint for limb in limbs for joint in limb.joints) == list(range(layout.V)), layout.name
    names = [part.name for part in cells.parts_of(layouts.layout("coco17"), 17, cells.LIMBS)]
    assert names[:4] == ["left arm", "right arm", "left leg", "right leg"] and "head" in names
    with pytest.raises(UsageError, match="--parts joints"):
        cells.parts_of(None, 9, cells.LIMBS)


def test_a_clip_of_fewer_frames_than_pieces():
    made = cells.cells(np.ones((2, 1, V, 3), np.float32), cells.parts_of(NTU, V, cells.LIMBS), 16)
    assert made.bounds.tolist() == [0, 1, 2] and len(made) == 2 * len(made.parts)


@pytest.mark.parametrize(
    ("skeleton", "head", "trunk"),
    [("coco17", [0, 1, 2, 3, 4], None), ("ntu25", [3], [0, 1, 20, 2]), ("h36m17", [9, 10], [0, 7, 8])],
)
def test_the_head_is_no_trunk(skeleton, head, trunk):
    """COCO's nose and the Kinect's head are at the end of their layouts' trunks."""
    limbs = cells.limbs_of(layouts.layout(skeleton))
    assert sorted(limbs["head"]) == head and limbs.get("trunk") == trunk
    assert sorted(joint for joints in limbs.values() for joint in joints) == [*range(layouts.layout(skeleton).V)]


@pytest.mark.parametrize(
    ("skeleton", "first", "wrist"), [("hand21", "thumb", [0]), ("hands42", "left hand thumb", [0, 21])]
)
def test_of_hands_there_are_fingers_and_the_wrist(skeleton, first, wrist):
    limbs = cells.limbs_of(layouts.layout(skeleton))
    assert next(iter(limbs)) == first and limbs["wrist"] == wrist and "trunk" not in limbs


def test_limbs_that_would_be_called_alike_are_not():
    legs = replace(NTU, joints=tuple(f"left_leg_{k}" for k in range(V)), limbs=((1, 2), (3, 4)), trunk=(), face=())
    assert cells.limbs_of(legs) == {"left leg": [1, 2], "left leg 3 and on": [3, 4], "rest": [0, *range(5, V)]}


def test_a_feeder_that_sees_all_joints_from_one_is_said():
    """Then all others change with that one, as its cells do; along bones only those that hang on a joint."""
    feeder = NTUFeeder(ArrayClips([walk()]), window_size=T, split="test", bone=True)
    assert clip.Clip(feeder, 0).from_joint is None
    feeder.steps[-1] = Bone(np.full(V, 20), keep=20)
    one = clip.Clip(feeder, 0)
    masks = [None, *(np.arange(V) == joint for joint in (20, 3))]
    [x] = one.inputs(mask if mask is None else np.broadcast_to(mask, (T, 2, V)) for mask in masks)
    changed = [np.flatnonzero((each - x[0]).abs().amax((0, 1, 3)).numpy()).tolist() for each in x[1:]]
    assert changed == [[*range(V)], [3]] and one.from_joint == 20
    parts = cells.cells(one.points, cells.parts_of(NTU, V, cells.LIMBS), 3)
    [line] = results.seen_from(results.Explained(Namespace(clip=one), parts, None))
    assert "sees all joints from the trunk" in line


def test_a_strong_negative_correlation_is_in_the_picture(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(pictures.plots, "save", lambda made, path: seen.append(made.axes[0].get_ylim()) or path)
    for lowest in (0.1, -0.9):
        pictures.sanity([{"share": 1.0, "occlusion": lowest, "gradients": None}], "title", tmp_path / "x.png")
    assert seen[0] == (-0.55, 1.05) and seen[1][0] < -0.9
