"""Key points with what pose estimators, trackers and converters leave in them: scores, gaps, numbers, NaN."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from keypoint_files import COCO, T, flat, read, walkers, written

from skeleton_lab.errors import LabError
from skeleton_lab.inference.keypoints import normalise
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.skeletons.schemes import BODY25, COCO18, H36M17, NTU25

# --- arrays: which axis holds the people ---------------------------------------------------------------------------


@pytest.mark.parametrize("people", [1, 2, 5])
@pytest.mark.parametrize("frames", [6, 80])
def test_people_first_is_read_as_people_first(tmp_path, people, frames):
    """(M, T, V, C), as PYSKL and MMAction2 have it, and (T, M, V, C) are the same recording."""
    x = walkers(frames, people)
    np.save(tmp_path / "ours.npy", x)
    np.save(tmp_path / "theirs.npy", x.swapaxes(0, 1))
    [ours], _, said = read(tmp_path / "ours.npy")
    [theirs], _, told = read(tmp_path / "theirs.npy")
    np.testing.assert_array_equal(ours.points, theirs.points)
    assert ours.points.shape == (frames, min(people, 2), 17, 2)
    assert not any("people first" in line for line in said)
    assert any(f"read with people first: {people} people, {frames} frames" in line for line in told)


def test_more_people_than_a_few_need_many_more_frames(tmp_path):
    for shape, frames in {(80, 12, 17, 2): 80, (12, 80, 17, 2): 80}.items():
        np.save(tmp_path / "x.npy", np.random.default_rng(0).uniform(100, 300, shape))
        assert len(read(tmp_path / "x.npy")[0][0].points) == frames
    for shape in ((12, 14, 17, 2), (100, 64, 17, 2), (3, 80, 17, 2)):  # unclear; clips of one person; maybe ST-GCN's
        np.save(tmp_path / "x.npy", np.random.default_rng(0).uniform(100, 300, shape))
        with pytest.raises(LabError, match="call the array keypoint in an NPZ"):
            read(tmp_path / "x.npy")


def test_the_key_of_mmaction_is_people_first_and_has_its_scores_beside(tmp_path):
    x = walkers(5, 2)
    scores = np.full((2, 5, 17), 0.8)
    scores[1, 3, 9] = 0.01
    for name in ("keypoint", "keypoints"):
        first = name == "keypoint"
        points = x.swapaxes(0, 1) if first else x
        beside = scores if first else scores.swapaxes(0, 1)
        np.savez(tmp_path / "x.npz", **{name: points, f"{name.rstrip('s')}_score": beside})
        [found], _, said = read(tmp_path / "x.npz")
        np.testing.assert_array_equal(found.points[0], x[0])
        assert (~found.found).sum() == 1 and not found.found[3, 1, 9]
        assert not any("people first" in line for line in said)
        written(tmp_path / "x.json", {name: points.tolist(), "scores": beside.tolist()})
        [again], _, _ = read(tmp_path / "x.json")
        np.testing.assert_array_equal(again.found, found.found)


def test_the_third_value_is_a_score_or_z_whatever_the_scheme(tmp_path):
    """COCO joints in 3-D have z, Human3.6M's joints in an image have scores."""
    world = np.concatenate([walkers(6, 1) / 200, np.random.default_rng(0).normal(0, 0.2, (6, 1, 17, 1))], -1)
    np.save(tmp_path / "world.npy", world)
    [found], _, said = read(tmp_path / "world.npy")
    assert found.points.shape[-1] == 3 and found.found.all() and any("read as z" in line for line in said)
    image = np.concatenate([walkers(6, 1, H36M17), np.full((6, 1, 17, 1), 0.7)], -1)
    image[2, 0, 13, 2] = 0.1
    np.save(tmp_path / "image.npy", image)
    [found], _, said = read(tmp_path / "image.npy", "h36m17")
    assert found.points.shape[-1] == 2 and (~found.found).sum() == 1 and any("read as a score" in line for line in said)
    frames = [
        {"frame_id": t, "instances": [{"keypoints": image[t, 0, :, :2].tolist(), "keypoint_scores": [0.9] * 17}]}
        for t in range(6)
    ]
    [found], _, _ = read(written(tmp_path / "mm.json", {"instance_info": frames}), "h36m17")
    assert found.points.shape == (6, 1, 17, 2)


# --- scores, NaN, null, infinity -----------------------------------------------------------------------------------


def test_a_wrist_that_was_guessed_does_not_count(tmp_path):
    x = np.concatenate([walkers(), np.full((T, 2, 17, 1), 0.9)], -1)
    x[4, 0, 9] = 5000, 5000, 0.01
    np.save(tmp_path / "x.npy", x)
    [found], source, said = read(tmp_path / "x.npy")
    assert not found.found[4, 0, 9] and found.found.sum() == found.found.size - 1
    assert "1 of 408 joints of x have scores below 0.3: taken as not found (--score)" in said[0]
    made = normalise.placed(found, source, NTU25)
    assert np.abs(made).max() < 5
    [all_of_them], _, said = read(tmp_path / "x.npy", score=0)
    assert all_of_them.found.all() and said == []
    [few], _, _ = read(tmp_path / "x.npy", score=0.9)
    assert few.found.sum() == found.found.sum()
    with pytest.raises(LabError, match=r"no score of x reaches --score 0.95, the highest is 0.9; give a lower one"):
        read(tmp_path / "x.npy", score=0.95)


def test_nan_and_null_were_not_found(tmp_path):
    """sleap-io, movement, FreeMoCap and pose-format: NaN; their JSON exports: null, also for a person or a frame."""
    x = walkers()
    x[3, 0, 9] = np.nan
    x[5, 1] = np.nan
    x[7] = np.nan
    np.save(tmp_path / "x.npy", x)
    [found], _, said = read(tmp_path / "x.npy")
    np.testing.assert_array_equal(found.found, np.isfinite(x).all(-1))
    assert said == []
    as_null = np.where(np.isnan(x), None, x).tolist()
    shorter = np.where(np.isnan(x), None, x).tolist()
    shorter[3][0][9] = shorter[5][1] = shorter[7] = None
    for content in (as_null, shorter):
        [again], _, _ = read(written(tmp_path / "x.json", content))
        np.testing.assert_array_equal(again.found, found.found)
        np.testing.assert_array_equal(again.points, found.points)
    people = [
        {"image_id": t, "category_id": 1, "keypoints": [None if np.isnan(v) else v for v in flat(x[t, m])], "score": 1}
        for t in range(T)
        for m in (0, 1)
    ]
    [again], _, _ = read(written(tmp_path / "coco.json", people))
    np.testing.assert_array_equal(again.found, found.found)


def test_scores_that_are_nan_are_none_and_all_of_them_are_no_scores(tmp_path):
    x, scores = walkers(), np.full((T, 2, 17), np.nan)
    np.savez(tmp_path / "x.npz", keypoints=x, confidence=scores)
    assert read(tmp_path / "x.npz")[0][0].found.all()
    scores[:, 1] = scores[2:, 0] = 0.5
    np.savez(tmp_path / "x.npz", keypoints=x, confidence=scores)
    np.testing.assert_array_equal(read(tmp_path / "x.npz")[0][0].found, np.isfinite(scores))


def test_a_place_of_nan_was_not_found_whatever_its_score(tmp_path):
    """sleap-io: hidden nodes of a labelled instance are NaN with confidence 1; frames before the first one are NaN."""
    x = np.concatenate([walkers(), np.ones((T, 2, 17, 1))], -1)
    x[5, 0, 9, :2] = np.nan
    x[:3] = np.nan
    np.save(tmp_path / "x.npy", x)
    [found], source, said = read(tmp_path / "x.npy")
    np.testing.assert_array_equal(found.found, np.isfinite(x).all(-1))
    made = normalise.placed(found, source, NTU25)
    assert said == [] and np.isfinite(made).all() and not made[:3].any() and made[3:].any((2, 3)).all()


@pytest.mark.parametrize("column, value", [(0, np.inf), (2, np.inf), (1, -1e300)])
def test_infinity_is_refused_in_one_line(tmp_path, column, value):
    x = np.concatenate([walkers(), np.full((T, 2, 17, 1), 0.9)], -1)
    x[4, 1, 3, column] = value
    np.save(tmp_path / "x.npy", x)
    frames = [{"people": [{"pose_keypoints_2d": flat(walkers(1, 1, BODY25)[0, 0])}]} for _ in range(T)]
    frames[4]["people"][0]["pose_keypoints_2d"][column] = value
    for path, name in ((tmp_path / "x.npy", "coco17"), (written(tmp_path / "x.json", frames), "body25")):
        with pytest.raises(LabError, match="infinite key points in frame 4 of x") as error:
            read(path, name)
        assert "\n" not in str(error.value)


def test_shares_of_the_image_are_said(tmp_path):
    np.save(tmp_path / "x.npy", walkers() / [1920, 1080])
    assert any("multiply by both first" in line for line in read(tmp_path / "x.npy")[2])
    np.save(tmp_path / "x.npy", walkers())
    assert read(tmp_path / "x.npy")[2] == []


# --- frames without anybody, people without key points -------------------------------------------------------------


def test_openpose_with_frames_of_nobody_and_hands_only(tmp_path):
    """What OpenPose writes where it sees no body: no people, or one whose list of the body is empty."""
    x = walkers(scheme=BODY25)
    hands = {"person_id": [-1], "pose_keypoints_2d": [], "hand_left_keypoints_2d": flat(np.ones((21, 2)))}
    folder = tmp_path / "json"
    folder.mkdir()
    for t in range(T):
        people = [{"person_id": [-1], "pose_keypoints_2d": flat(x[t, m])} for m in (0, 1)]
        people = [] if t in (0, 6) else [hands, *people] if t % 3 == 1 else people
        written(folder / f"clip_{t:012d}_keypoints.json", {"version": 1.3, "people": people})
    [found], scheme, _ = read(folder, "body25")
    assert scheme is BODY25 and found.points.shape == (T, 2, 25, 2)
    assert found.found.any((1, 2)).tolist() == [t not in (0, 6) for t in range(T)]
    np.testing.assert_allclose(found.points[5], x[5], atol=1e-3)
    content = [json.loads(file.read_text()) for file in sorted(folder.iterdir())]
    [again], _, _ = read(written(tmp_path / "list.json", content), "body25")
    np.testing.assert_array_equal(again.points, found.points)


def test_older_and_three_dimensional_openpose(tmp_path):
    x = walkers(scheme=COCO18)
    old = [{"version": 1.0, "people": [{"pose_keypoints": flat(person)} for person in frame]} for frame in x]
    assert read(written(tmp_path / "old.json", old), "coco18")[0][0].points.shape == (T, 2, 18, 2)
    deep = np.concatenate([x, np.ones((*x.shape[:-1], 1))], -1)
    deep = [{"people": [{"pose_keypoints_2d": [], "pose_keypoints_3d": flat(p)} for p in frame]} for frame in deep]
    assert read(written(tmp_path / "deep.json", deep), "coco18")[0][0].points.shape == (T, 2, 18, 3)


def test_short_gaps_of_a_person_are_filled_and_long_ones_said(tmp_path):
    x = walkers(60, 1)
    gap, long = 10, slice(30, 30 + normalise.GAP + 1)
    x[gap] = x[long] = 0
    np.save(tmp_path / "x.npy", x)
    [found], source, _ = read(tmp_path / "x.npy")
    notices = Notices()
    made = normalise.placed(found, source, NTU25, notices=notices)
    there = made.any((1, 2, 3))
    assert there[:30].all() and not there[long].any() and there[long.stop :].all()
    np.testing.assert_allclose(made[gap], (made[gap - 1] + made[gap + 1]) / 2, atol=1e-5)
    [said] = notices.lines()
    assert said == "x: person 1 is missing in frames 30 to 45: gaps of more than 15 frames stay empty"


def test_somebody_without_hips_is_left_out_with_a_word(tmp_path):
    x = walkers()
    x[:, 1, 11:] = np.nan
    np.save(tmp_path / "x.npy", x)
    [found], source, _ = read(tmp_path / "x.npy")
    notices = Notices()
    assert normalise.placed(found, source, NTU25, notices=notices).shape[1] == 1
    assert "is left out" in notices.lines()[0]
    np.save(tmp_path / "x.npy", walkers(T, 4))
    assert "4 people in x: the two who are seen most are kept" in read(tmp_path / "x.npy")[2][0]


# --- COCO results, trackers ----------------------------------------------------------------------------------------


def results(tracks=lambda t, m: {}, frames: int = T, order=lambda t: (0, 1)) -> list[dict]:
    x = walkers(frames)
    return [
        {"image_id": t, "category_id": 1, "keypoints": flat(x[t, m]), "score": 0.9, **tracks(t, m)}
        for t in range(frames)
        for m in order(t)
    ]


@pytest.mark.parametrize(
    "tracks",
    [
        lambda t, m: {"id": 2 * t + m + 1},  # after pycocotools' loadRes
        lambda t, m: {"track_id": -1},
        lambda t, m: {"track_id": None},
        lambda t, m: {"idx": -1.0, "id": 2 * t + m},
        lambda t, m: {"track_id": 0},  # one number for everybody
        lambda t, m: {"track_id": 7} if t else {},
        lambda t, m: {"track_id": m + 1} if t > 3 else {"track_id": -1},  # a tracker that is sure later
        lambda t, m: {"idx": [float(m)]},
        lambda t, m: {"track_id": m, "id": 9},
    ],
)
def test_two_people_stay_two_people(tmp_path, tracks):
    """The lists change their order; whatever the numbers are worth, everybody keeps a slot and nobody is lost."""
    content = results(tracks, order=lambda t: (0, 1) if t % 2 else (1, 0))
    [found], _, said = read(written(tmp_path / "x.json", content))
    assert found.points.shape == (T, 2, 17, 2) and found.found.all()
    across = np.abs(found.points[:, 0, 0, 0] - found.points[:, 1, 0, 0])
    np.testing.assert_allclose(across, 400)
    np.testing.assert_allclose(np.diff(found.points[:, :, 0, 0], axis=0), 2, atol=2e-3)
    assert not any("people in" in line for line in said)


def test_numbers_of_a_tracker_are_believed_across_the_image(tmp_path):
    """Two who change places within one frame: only the numbers know."""
    x = walkers()
    x[6:] = x[6:, ::-1]
    content = [
        {"image_id": f"{t}.jpg", "keypoints": flat(x[t, m]), "idx": m} for t in range(T) for m in (0, 1)
    ]  # fmt: skip
    [found], _, _ = read(written(tmp_path / "x.json", content))
    np.testing.assert_allclose(found.points, x, atol=1e-3)


@pytest.mark.slow
def test_time_does_not_grow_with_the_square_of_the_detections(tmp_path):
    """Files in which every detection has a number of its own, and ones in which nobody is near anybody."""

    def seconds(frames: int, tracks, far: float) -> float:
        rng = np.random.default_rng(0)
        content = [
            {"image_id": t, "keypoints": flat(COCO + rng.uniform(0, far, 2)), **tracks(t)} for t in range(frames)
        ]
        path = written(tmp_path / "x.json", content)
        start = time.process_time()
        read(path)
        return time.process_time() - start

    for tracks, far in ((lambda t: {"track_id": t}, 0), (lambda t: {"id": t}, 1e6)):
        seconds(100, tracks, far)
        few, many = (min(seconds(frames, tracks, far) for _ in range(3)) for frames in (400, 1600))
        assert many < 9 * few  # 16 times, if each looked at all others


def test_a_line_for_many_recordings_is_one_line(tmp_path):
    x = np.stack([walkers(80, 1)[:, 0], walkers(80, 1)[:, 0]])[:, :, None]
    x = np.concatenate([x, np.full((*x.shape[:-1], 1), 0.9)], -1)
    x[:, 3, 0, 9, 2] = 0.1
    np.save(tmp_path / "x.npy", x)
    found, _, said = read(tmp_path / "x.npy")
    assert len(found) == 2 and len(said) == 1 and said[0].endswith("(the like of 1 more)")
