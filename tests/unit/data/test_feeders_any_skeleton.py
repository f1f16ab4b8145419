"""Feeders on skeletons of pictures: turns, scores, left and right, joints that are there twice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from own_archives import save_own

from skeleton_lab import registry
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.data.feeders import augmentation, image_points
from skeleton_lab.data.feeders.base import Batch
from skeleton_lab.skeletons import layouts, rules
from skeleton_lab.utils.importing import import_class

FRAMES = 12
COCO = layouts.layout("coco17")
FEEDERS = {
    "CTR-GCN": "feeders.feeder_ntu.Feeder", "Hyper-GCN": "feeders.feeder_ntu.Feeder",
    "SkateFormer": "feeders.feeder_ntu.Feeder", "MS-G3D": "feeders.feeder.Feeder", "ST-GCN": "feeder.feeder.Feeder",
}  # fmt: skip


def feeder(room, data, **more):
    """The training feeder of a room; SkateFormer's without augmentation unless it is asked for."""
    more |= {"thres": FRAMES, "intra_p": more.get("intra_p", 0.0)} if room == "SkateFormer" else {}
    with registry.room(room):
        return import_class(FEEDERS[room], "feeder")(data_path=str(data), split="train", window_size=FRAMES, **more)


def batch(room, data, **more):
    """(B, M, V, C, W) of all six training clips, the first person."""
    return feeder(room, data, **more).work(Batch(range(6))).x[:, :1]


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    return save_own(tmp_path_factory.mktemp("own") / "coco.npz", "coco17", frames=FRAMES)


def placed(path):
    """(C, T, V, M) as the documented rule places the first clip about the body."""
    clips = open_archive(path, "train")
    whole = clips.gather(np.array([0]), np.arange(clips.T)[None])[0]
    return image_points.placed(whole, clips.skeleton, clips.scored).transpose(3, 0, 2, 1)


def relative(x, parent):
    """Points (C, T, V, M) from their parents, and the mean of both scores."""
    return np.concatenate([x[:2] - x[:2, :, parent], (x[2:] + x[2:, :, parent]) / 2])


@pytest.mark.parametrize("room", FEEDERS)
def test_clips_are_placed_about_the_body(room, coco):
    expected = placed(coco)
    if room == "Hyper-GCN":  # joints about the root of the skeleton, which itself stays
        whole, expected = expected, relative(expected, np.full(17, COCO.root))
        expected[:, :, COCO.root] = whole[:, :, COCO.root]
    np.testing.assert_allclose(feeder(room, coco)[0][0][..., :1], expected, atol=1e-5)


def test_bones_and_motion_average_the_scores(coco):
    bone = relative(placed(coco), COCO.parent)
    for room in ("CTR-GCN", "MS-G3D"):
        np.testing.assert_allclose(feeder(room, coco, bone=True)[0][0][..., :1], bone, atol=1e-5)
    motion = np.zeros_like(bone)
    motion[:, :-1] = np.concatenate([bone[:2, 1:] - bone[:2, :-1], (bone[2:, 1:] + bone[2:, :-1]) / 2])
    np.testing.assert_allclose(feeder("CTR-GCN", coco, bone=True, vel=True)[0][0][..., :1], motion, atol=1e-5)


@pytest.mark.parametrize("channels", ["xys", "xy"])
def test_pictures_turn_in_their_plane(channels, tmp_path):
    data = save_own(tmp_path / "own.npz", "coco17", channels, frames=FRAMES)
    still, turned = (feeder("CTR-GCN", data, random_rot=rot)[0][0] for rot in (False, True))
    np.testing.assert_allclose(np.linalg.norm(turned[:2], axis=0), np.linalg.norm(still[:2], axis=0), atol=1e-4)
    assert np.abs(turned[:2] - still[:2]).max() > 0.01
    np.testing.assert_array_equal(turned[2:], still[2:])


def test_shoulders_are_aligned_in_the_plane(coco):
    fed = feeder("Hyper-GCN", coco, align=True)
    fed.steps = fed.steps[:-1]  # before joints become relative
    x = fed.work(Batch(range(6))).x
    shoulders = (x[:, 0, COCO.at("right_shoulder")] - x[:, 0, COCO.at("left_shoulder")])[..., 0]
    assert (shoulders[:, 0] > 0).all() and shoulders[:, 1].abs().max() < 1e-4
    with registry.room("Hyper-GCN"):
        hand = save_own(coco.parent / "hand.npz", "hand21", "xyz")  # has none
        assert len(feeder("Hyper-GCN", hand, align=True).steps) == len(feeder("Hyper-GCN", hand).steps)


def test_augmentations_leave_scores_where_they_are(coco):
    """Shear, rotation, scale, noise, blur and other bone lengths move points only."""
    plain = batch("SkateFormer", coco)
    for given in ({"aug_method": "123", "intra_p": 1.0}, {"aug_method": "67", "intra_p": 1.0}, {"inter_p": 1.0}):
        x = batch("SkateFormer", coco, **given)
        torch.testing.assert_close(x[..., 2, :], plain[..., 2, :])
        assert not torch.allclose(x[..., :2, :], plain[..., :2, :])


def test_left_and_right_change_places_with_their_scores(coco):
    plain, work = batch("SkateFormer", coco), feeder("SkateFormer", coco).work(Batch([0]))
    augmentation.mirror(work, np.arange(1), work.draws)
    torch.testing.assert_close(work.x[:, :1, COCO.at("left_wrist")], plain[:1, :, COCO.at("right_wrist")])
    torch.testing.assert_close(work.x[:, :1, COCO.at("nose")], plain[:1, :, COCO.at("nose")])


def test_joints_that_are_there_twice_are_alike(coco):
    order = rules.groups(COCO).order
    assert len(order) == 18 and order[16] == order[17] == COCO.at("right_ear")
    x = batch("SkateFormer", coco, aug_method="123456789", intra_p=1.0, partition=True)
    assert x.shape[2] == 18 and torch.equal(x[:, :, 16], x[:, :, 17]) and not torch.equal(x[:, :, 15], x[:, :, 16])


def test_bone_lengths_are_lent_in_the_plane(coco):
    """Directions are the clip's own, lengths another clip's: each bone is parallel to what it was."""
    parent = torch.from_numpy(COCO.parent)
    pair = (batch("SkateFormer", coco, inter_p=p)[:, :, :, :2] for p in (0.0, 1.0))
    a, b = (t - t.index_select(2, parent) for t in pair)
    cross = a[..., 0, :] * b[..., 1, :] - a[..., 1, :] * b[..., 0, :]
    assert cross.abs().max() < 1e-3 * (a.norm(dim=3) * b.norm(dim=3)).max()
    assert ((a * b).sum(3) >= -1e-6).all() and not torch.allclose(a, b)


@pytest.mark.parametrize("name, moved", [("ntu25", False), ("h36m17", True), ("ucla20", True)])
def test_published_archives_are_read_as_they_are(name, moved, tmp_path):
    """NTU's joints stay in their place; those of other skeletons are moved to the body's origin."""
    data = save_own(tmp_path / "own.npz", name, frames=FRAMES)
    fed, raw = feeder("CTR-GCN", data), open_archive(data, "train").clips(np.array([0]))[0]
    assert fed.skeleton.name == name and fed.D == 3
    assert fed.placed is moved and np.allclose(fed[0][0][..., :1], raw, atol=1e-3) is not moved
