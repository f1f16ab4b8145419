"""Corrupted clips: what each kind does, how much of it, and that it is the same whatever asks for the clip."""

from __future__ import annotations

from argparse import Namespace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from parity.kaggle_sample import make_kaggle_arrays
from places import ROOT

from skeleton_lab import registry
from skeleton_lab.data.archives.array_clips import ArrayClips
from skeleton_lab.data.feeders.base import Batch
from skeleton_lab.data.feeders.corruption import Corrupted, Corruption, cannot_happen, parsed
from skeleton_lab.data.feeders.corruption_kinds import KINDS
from skeleton_lab.data.feeders.observation import Observed
from skeleton_lab.engine.dataloader import corrupted, make_feeder
from skeleton_lab.errors import UsageError
from skeleton_lab.skeletons import layouts

NTU, COCO = layouts.layout("ntu25"), layouts.layout("coco17")
FRAMES = 40
TRUNK = 0.5  # metres, of the people below


def bodies(up: int = 1, frames: int = FRAMES, clips: int = 6) -> ArrayClips:
    """People of NTU's skeleton who walk; the trunk stands along axis ``up``. The second one is there in every other."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0.1, 0.9, (clips, 1, frames, 25, 2, 3))
    x[..., 0, :, :] = x[..., :1, 0, :, :] + np.array([1.0, 0.2, 2.5])  # spine_base
    x[..., 20, :, :] = x[..., 0, :, :] + TRUNK * np.eye(3)[up]  # spine_shoulder
    x = np.moveaxis(x[:, 0], -1, 1).astype(np.float32)  # (N, C, T, V, M)
    x[::2, ..., 1] = 0
    return ArrayClips(x, length=frames + 5)


def pictures(scored: bool = True, units: str = "px", clips: int = 4) -> ArrayClips:
    """COCO's key points in pixels or shares of a picture of 1000 x 500, the trunk 100 pixels long."""
    rng = np.random.default_rng(1)
    x = rng.uniform(150, 350, (clips, FRAMES, 17, 2))
    x[:, :, [5, 6]], x[:, :, [11, 12]] = [[230, 150], [270, 150]], [[240, 250], [260, 250]]
    x = x / [1000, 500] if units == "image" else x
    x = np.concatenate([x, np.full_like(x[..., :1], 0.9)], -1) if scored else x
    made = ArrayClips(np.moveaxis(x, -1, 1)[..., None].astype(np.float32))
    made.skeleton, made.units, made.scored = COCO, units, scored
    made.img_shape = np.array([[500, 1000]] * clips) if units == "image" else None
    return made


def before_and_after(clips, word: str, skeleton=NTU, **more) -> tuple[np.ndarray, np.ndarray]:
    """(N, T, M, V, C) as stored and as corrupted, by a word of ``--corrupt``."""
    (corruption,) = parsed([word])
    index = np.arange(len(clips))
    frames = np.broadcast_to(np.arange(clips.T), (len(clips), clips.T))
    return clips.gather(index, frames), Corrupted(clips, corruption, skeleton, **more).gather(index, frames)


def run_of(mask: np.ndarray) -> tuple[int, int]:
    """First and last + 1 of the True values, which are in one piece."""
    at = np.flatnonzero(mask)
    assert len(at) and at[-1] - at[0] + 1 == len(at)
    return int(at[0]), int(at[-1]) + 1


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_missing_joints_are_missing_in_all_frames(severity):
    was, now = before_and_after(bodies(), f"joints:{severity}")
    lost = int(np.ceil(25 * severity / 10))
    sets = set()
    for a, b in zip(was, now):
        gone = (b == 0).all(axis=(0, 1, 3))
        assert gone.sum() == lost and (b[:, :, ~gone] == a[:, :, ~gone]).all()
        sets.add(gone.tobytes())
    assert len(sets) > 1  # others in other clips


@pytest.mark.parametrize(
    ("kind", "groups"),
    [("limb", NTU.limbs), ("side", [[pair[k] for pair in NTU.pairs] for k in (0, 1)])],
)
def test_a_limb_or_a_side_is_missing_for_a_while(kind, groups):
    was, now = before_and_after(bodies(clips=24), f"{kind}:2")
    seen = set()
    for a, b in zip(was, now):
        changed = (a != b).any(axis=(1, 3))  # (T, V)
        joints = tuple(np.flatnonzero(changed.any(0)))
        assert joints in [tuple(sorted(group)) for group in groups]
        first, last = run_of(changed.any(1))
        assert last - first == 0.4 * FRAMES and (b[first:last, :, list(joints)] == 0).all()
        assert changed.sum() == (last - first) * len(joints)
        seen.add((joints, first))
    assert {joints for joints, _ in seen} == {tuple(sorted(group)) for group in groups} and len(seen) > len(groups)


def test_frames_and_gaps_empty_frames_and_lengths_say_so():
    clips = bodies()
    for word, lost in (("frames:3", 20), ("gap:4", 16)):
        was, now = before_and_after(clips, word)
        gone = (now == 0).all(axis=(2, 3, 4))[:, :FRAMES]
        assert (gone.sum(1) == lost).all() and len(np.unique(gone, axis=0)) > 1
        assert (now[:, :FRAMES][~gone] == was[:, :FRAMES][~gone]).all()
        if word[:3] == "gap":
            assert [run_of(each)[1] - run_of(each)[0] for each in gone] == [lost] * len(clips)
        (corruption,) = parsed([word])
        n, e = Corrupted(clips, corruption, None).lengths(np.arange(len(clips)))
        assert (n == FRAMES - lost).all()
        assert [each.any() and int(np.flatnonzero(each)[-1]) + 1 for each in ~gone] == e.tolist()


def test_jitter_is_noise_in_lengths_of_the_trunk():
    clips = bodies()
    for severity, share in ((2, 0.04), (5, 0.2)):
        was, now = before_and_after(clips, f"jitter:{severity}")
        there = was.any(-1)
        noise = (now - was)[there]
        assert (now[~there] == 0).all()  # nobody stays nobody
        assert abs(noise.std() / (share * TRUNK) - 1) < 0.02 and np.abs(noise.mean(0)).max() < 0.02 * share
        beside = np.corrcoef(noise[:-1, 0], noise[1:, 0])[0, 1], np.corrcoef(noise[:, 0], noise[:, 1])[0, 1]
        assert np.abs(beside).max() < 0.03


def test_swapped_sides_exchange_left_and_right():
    other = np.arange(25)
    for left, right in NTU.pairs:
        other[[left, right]] = right, left
    was, now = before_and_after(bodies(), "swap:3")
    for a, b in zip(was, now):
        first, last = run_of((a != b).any(axis=(1, 2, 3)))
        assert last - first == 0.6 * FRAMES and (b[first:last] == a[first:last][:, :, other]).all()


@pytest.mark.parametrize("up", [1, 2])
def test_a_turned_view_keeps_the_body_and_what_is_up(up):
    """Archives have y upright, normalised ones z."""
    was, now = before_and_after(bodies(up, clips=12), "view:2")
    assert np.allclose(was[..., up], now[..., up], atol=1e-5)
    a, b = (axis for axis in range(3) if axis != up)
    signs = set()
    for before, after in zip(was[:, :FRAMES, 0], now[:, :FRAMES, 0]):
        origin = before[0, 1]  # spine_mid, of the first frame
        u, v = (x[..., [a, b]] - origin[[a, b]] for x in (before, after))
        angle = np.rad2deg(np.angle((v[..., 0] + 1j * v[..., 1]) * (u[..., 0] - 1j * u[..., 1])))
        angle = angle[np.hypot(*u.T).T > 0.05]
        assert np.allclose(angle, angle[0], atol=0.1) and np.isclose(abs(angle[0]), 30, atol=0.1)
        signs.add(float(np.sign(angle[0])))
    assert signs == {-1.0, 1.0}


def test_a_wrong_scale_is_about_the_person():
    was, now = before_and_after(bodies(clips=12), "scale:3")
    factors = set()
    for a, b in zip(was[:, :FRAMES, 0], now[:, :FRAMES, 0]):
        sizes = [np.linalg.norm(x[:, 20] - x[:, 0], axis=-1) for x in (a, b)]
        factor = float(np.median(sizes[1] / sizes[0]))
        assert np.allclose(b, a[0, 1] + factor * (a - a[0, 1]), atol=1e-4)
        factors.add(round(factor, 3))
    assert factors == {1.5, 0.667}


@pytest.mark.parametrize("scored", [True, False])
@pytest.mark.parametrize("units", ["px", "image"])
def test_points_of_a_picture_turn_in_its_plane(units, scored):
    was, now = before_and_after(pictures(scored, units), "view:3", COCO)
    unit = np.array([1000, 500]) if units == "image" else 1
    a, b = was[..., :2] * unit, now[..., :2] * unit
    spine = [x[..., [5, 6], :].mean(-2) - x[..., [11, 12], :].mean(-2) for x in (a, b)]
    assert np.allclose(np.linalg.norm(spine[1], axis=-1), 100, atol=0.01)  # pixels, not shares
    cosine = (spine[0] * spine[1]).sum(-1) / 100**2
    assert np.allclose(np.rad2deg(np.arccos(cosine)), 15, atol=0.05)
    assert (was[..., 2:] == now[..., 2:]).all()


def test_scores_go_with_what_is_missing_and_stay_with_what_is_not():
    clips = pictures()
    was, now = before_and_after(clips, "limb:5", COCO)
    gone = (was != now).any(-1)
    assert (now[gone] == 0).all() and (now[~gone][:, 2] == np.float32(0.9)).all()
    was, now = before_and_after(clips, "jitter:3", COCO)
    assert (now[..., 2] == np.float32(0.9)).all() and abs((now - was)[..., :2].std() / 8 - 1) < 0.05


def test_a_joint_that_was_not_found_stays_so_and_makes_no_size():
    clips = pictures()
    whole = before_and_after(clips, "scale:5", COCO)[1]
    clips._rows[:, 0, 0] = 0  # nobody's nose
    clips._rows[3:9, 0, [11, 12]] = 0  # hips, for some frames of the first clip
    was, now = before_and_after(clips, "scale:5", COCO)
    missing = ~was[..., :2].any(-1)
    assert missing.sum() == len(clips) * FRAMES + 12 and (now[missing] == 0).all()
    assert np.allclose(now[~missing], whole[~missing], atol=1e-3)
    was, now = before_and_after(clips, "jitter:3", COCO)
    assert (now[missing] == 0).all() and abs((now - was)[~missing][:, :2].std() / 8 - 1) < 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_suffers_the_same_whoever_asks(kind):
    clips, corruption = bodies(), Corruption(kind, 4)
    was, whole = before_and_after(clips, f"{kind}:4")
    assert (was != whole).any()
    again = before_and_after(clips, f"{kind}:4")[1]
    other_seed = before_and_after(clips, f"{kind}:4", seed=1)[1]
    assert (whole == again).all() and (whole != other_seed).any()
    made = Corrupted(clips, corruption, NTU)
    frames = np.array([[7, 3, -1, 900, FRAMES - 1]])
    for clip in (4, 0, 5):  # alone, in another order, some frames only
        got = made.gather(np.array([clip]), frames)[0]
        assert (got[[0, 1, 4]] == whole[clip, [7, 3, FRAMES - 1]]).all() and (got[[2, 3]] == 0).all()
    part = Corrupted(clips.subset([3, 5]), corruption, NTU)
    assert (part.gather(np.arange(2), np.broadcast_to(np.arange(FRAMES), (2, FRAMES))) == whole[[3, 5], :FRAMES]).all()


@pytest.mark.parametrize("kind", ["joints", "limb", "side", "frames", "gap"])
def test_what_is_missing_at_a_severity_is_missing_at_the_next(kind):
    clips = bodies()
    gone = [before_and_after(clips, f"{kind}:{severity}")[1] == 0 for severity in (1, 2, 3, 4, 5)]
    for less, more in pairwise(gone):
        assert (less <= more).all() and less.sum() < more.sum()


@pytest.mark.parametrize("kind", KINDS)
def test_empty_clips_and_single_frames_stay_readable(kind):
    clips = ArrayClips([np.zeros((3, 4, 25, 1)), np.ones((3, 1, 25, 1)), np.ones((3, 2, 25, 1))])
    made = Corrupted(clips, Corruption(kind, 5), NTU)
    n, e = made.lengths(np.arange(3))
    assert n.tolist()[0] == 0 and (n[1:] >= 1).all() and (n <= e).all()
    x = made.gather(np.arange(3), np.tile(np.arange(4), (3, 1)))
    assert np.isfinite(x).all() and (x[0] == 0).all()
    assert made.gather(np.arange(0), np.zeros((0, 4), np.int64)).shape == (0, 4, 1, 25, 3)


def test_beginnings_are_corrupted_as_what_is_seen():
    clips = bodies()
    seen = Corrupted(Observed(clips, (0.5, 0.5)), Corruption("gap", 5), NTU)
    n, e = seen.lengths(np.arange(6))
    assert (n == FRAMES / 4).all() and (e <= FRAMES / 2).all() and seen.frames is None


def test_words_name_kinds_and_severities():
    assert parsed(["jitter:3", "limb:5", "limb:5"]) == [Corruption("limb", 5), Corruption("jitter", 3)]
    assert [str(each) for each in parsed(["gap"])] == [f"gap:{severity}" for severity in (1, 2, 3, 4, 5)]
    assert len(parsed(["all", "view"])) == 5 * len(KINDS) and len(parsed(["all:2"])) == len(KINDS)
    for word, says in (
        ("limbs", "Did you mean 'limb'"),
        ("limb:6", "the severity is one of 1, 2, 3, 4, 5"),
        ("limb:", "the severity is one of"),
        ("all:x", "the severity is one of"),
        ("", "there is no such corruption"),
    ):
        with pytest.raises(UsageError, match=says):
            parsed([word])
    assert Corruption("limb", 3).told(3) == "one limb missing: 60 % of the frames"
    assert Corruption("view", 3).told(3) == "view turned: 45°" and Corruption("view", 3).told(2) == "view turned: 15°"


def test_the_document_tells_the_amounts():
    rows = [
        line.split("|")[1:-1] for line in (ROOT / "docs" / "robustness.md").read_text().splitlines() if "| `" in line
    ]
    told = {(row[0].split("`")[1], "picture" in row[0]): [float(cell) for cell in row[2:]] for row in rows}
    for name, kind in KINDS.items():
        assert told[name, False] == [float(kind.number(amount)) for amount in kind.amounts]
        if kind.flat:
            assert told[name, True] == [float(kind.number(amount)) for amount in kind.flat]
    assert len(told) == len(KINDS) + 1


def test_what_a_skeleton_does_not_have_cannot_happen():
    clips, hand = bodies(), layouts.layout("hand22")
    assert cannot_happen(Corruption("side", 1), clips, hand) == "the skeleton hand22 has no left and right side"
    assert cannot_happen(Corruption("limb", 1), clips, hand) is None  # a finger
    assert "name it with --skeleton" in cannot_happen(Corruption("jitter", 1), clips, None)
    assert cannot_happen(Corruption("joints", 1), clips, None) is None
    with pytest.raises(UsageError, match="reads clips itself"):
        corrupted(torch.utils.data.TensorDataset(torch.zeros(3)), Corruption("gap", 1))


ROOMS = [(room.folder, room.config) for room in registry.ROOMS if room.config and room.folder != "ST-GCN"]
ROOMS.append(("ST-GCN", "config/st_gcn/ntu-xsub/train.yaml"))
GAP = Corruption("gap", 5)
EXTENDED = "config/protogcn/gym/j.yaml"  # COCO's joints and three more


def feeder(room: str, config: str, path: Path):
    given = yaml.safe_load((registry.find(room).path / config).read_text())
    args = {**given["test_feeder_args"], "data_path": str(path), "split": "test"}
    args.pop("label_path", None)
    with registry.room(room):
        return make_feeder(Namespace(feeder=given["feeder"], seed=3, model=""), args)


@pytest.fixture(scope="module")
def archives(tmp_path_factory) -> tuple[Path, Path]:
    """The sample archive, and one whose test clips have the gaps."""
    folder, arrays = tmp_path_factory.mktemp("corrupted"), make_kaggle_arrays()
    np.savez(folder / "whole.npz", **arrays)
    N, T = arrays["x_test"].shape[:2]
    made = Corrupted(feeder(*ROOMS[0], folder / "whole.npz").clips, GAP, NTU, seed=3)
    x = made.gather(np.arange(N), np.broadcast_to(np.arange(T), (N, T)))
    np.savez(folder / "gaps.npz", **arrays | {"x_test": x.reshape(N, T, -1)})
    return folder / "whole.npz", folder / "gaps.npz"


@pytest.mark.slow
@pytest.mark.parametrize(("room", "config"), ROOMS, ids=lambda value: value.split("/")[0])
def test_the_feeder_of_every_room_reads_corrupted_clips(archives, room, config):
    """As it reads an archive that holds them."""
    whole, gaps = (feeder(room, config, path) for path in archives)
    suffers, batch = corrupted(whole, GAP), Batch(range(len(whole)))
    pairs = list(zip(suffers.__getitems__(batch), gaps.__getitems__(batch)))
    for got, want in pairs:
        assert torch.equal(got, want)
    assert not torch.equal(pairs[0][0], whole.__getitems__(batch)[0])
    one = suffers.__getitems__(Batch([len(whole) - 1]))[0]
    assert torch.equal(one[0], pairs[0][0][-1])


def test_a_pipeline_that_adds_joints_is_given_the_stored_ones(tmp_path):
    from tiny_data import make_pyskl

    make_pyskl(tmp_path / "tiny.pkl", 17, 60, flat=True)
    given = yaml.safe_load((registry.find("PYSKL").path / EXTENDED).read_text())
    args = {**given["test_feeder_args"], "data_path": str(tmp_path / "tiny.pkl"), "window_size": 8, "num_clips": 1}
    with registry.room("PYSKL"):
        whole = make_feeder(Namespace(feeder=given["feeder"], seed=3, model=""), args)
    assert whole.skeleton is None and whole.stored_skeleton.name == "coco17"
    for word in ("limb:5", "side:5", "jitter:5", "view:5"):
        (corruption,) = parsed([word])
        x, y = (each.__getitems__(Batch([0]))[0] for each in (whole, corrupted(whole, corruption)))
        assert x.shape == y.shape and not torch.equal(x, y)
