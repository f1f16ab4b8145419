"""Key points exactly as the tools of the field write them; numbers of frames; which axis is up."""

from __future__ import annotations

import numpy as np
import pytest
from keypoint_files import COCO, T, flat, read, walkers, written

from skeleton_lab.errors import LabError
from skeleton_lab.inference.keypoints import normalise, reading
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.skeletons.figure import places as figure
from skeleton_lab.skeletons.schemes import BODY25, COCO17, H36M17, MEDIAPIPE33, NTU25, Scheme

# --- numbers of frames ---------------------------------------------------------------------------------------------


def alphapose(names: list[str]) -> list[dict]:
    x = walkers(len(names), 1)
    return [{"image_id": n, "category_id": 1, "keypoints": flat(x[t, 0]), "score": 2.5} for t, n in enumerate(names)]


@pytest.mark.parametrize(
    "names, frames",
    [
        ([f"{t}.jpg" for t in range(12)], 12),
        ([f"{t}.mp4" for t in range(12)], 12),
        ([f"frame_{t:06d}.png" for t in (0, 1, 2, 4, 5)], 6),  # nobody in frame 3
        ([f"{t}.jpg" for t in range(0, 50, 5)], 10),  # every fifth frame
        ([float(t) for t in range(12)], 12),
        (["2.jpg", "0.jpg", "1.jpg"], 3),
    ],
)
def test_numbers_of_frames(tmp_path, names, frames):
    [found], _, said = read(written(tmp_path / "x.json", alphapose(names)))
    assert len(found.points) == frames
    assert any("every 5th frame" in line for line in said) == (frames == 10)
    if names[0] == "2.jpg":
        np.testing.assert_allclose(found.points[:, 0, 0, 0] - COCO[0, 0], [2, 4, 0], atol=1e-3)


def test_frames_of_two_recordings_are_not_one(tmp_path):
    names = [f"{video}_{t:03d}.jpg" for video in "ab" for t in range(4)]
    with pytest.raises(LabError, match=r"frames of 2 recordings, such as 'a_000\.jpg' and 'b_000\.jpg'"):
        read(written(tmp_path / "x.json", alphapose(names)))
    folder = tmp_path / "json"
    folder.mkdir()
    for name in names:
        content = {"people": [{"pose_keypoints_2d": flat(walkers(1, 1, BODY25)[0, 0])}]}
        written(folder / f"{name[:-4]}_keypoints.json", content)
    with pytest.raises(LabError, match="of 2 recordings"):
        read(folder, "body25")
    with pytest.raises(LabError, match="no recording is so long"):
        read(written(tmp_path / "x.json", alphapose(["0.jpg", "1.jpg", "999000.jpg"])))


# --- other tools' forms --------------------------------------------------------------------------------------------

X = walkers()


def by_coordinate(person: np.ndarray, track: int) -> dict:
    xy = {"x": person[:, 0].tolist(), "y": person[:, 1].tolist(), "visible": [0.9] * 17}
    return {"name": "person", "class": 0, "confidence": 0.9, "track_id": track, "keypoints": xy}


def mmpose(person: np.ndarray) -> dict:
    return {"keypoints": person.tolist(), "keypoint_scores": [0.9] * 17}


FORMS = {
    "MMPose, predictions": {"predictions": [[mmpose(p) for p in f] for f in X]},
    "MMPose, no instances in the first frame": {"instance_info": [
        {"frame_id": t + 1, "instances": [mmpose(p) for p in f] if t else []} for t, f in enumerate(X)
    ]},
    "MMPose 0.x": [
        [{"keypoints": np.reshape(flat(p), (17, 3)).tolist(), "track_id": m} for m, p in enumerate(f)] for f in X
    ],
    "COCO annotations": {"images": [], "categories": [], "annotations": [
        {"id": 2 * t + m, "image_id": t, "num_keypoints": 17, "iscrowd": 0, "keypoints": flat(p, 2)}
        for t, f in enumerate(X) for m, p in enumerate(f)
    ]},
    "AlphaPose, open": {
        f"{t}.jpg": {"version": "AlphaPose v0.3", "people": [{"pose_keypoints_2d": flat(p)} for p in f]}
        for t, f in enumerate(X)
    },
    "AlphaPose, cmu": {
        f"{t}.jpg": {"version": "AlphaPose v0.3", "bodies": [{"joints": flat(p)} for p in f]} for t, f in enumerate(X)
    },
    "Kinetics": {"label": "walking", "label_index": 3, "data": [
        {"frame_index": t + 1, "skeleton": [{"pose": p.reshape(-1).tolist(), "score": [0.9] * 17} for p in f]}
        for t, f in enumerate(X)
    ]},
    "Ultralytics": [[by_coordinate(p, m + 1) for m, p in enumerate(f)] for f in X],
    "Ultralytics, frames of nobody": [[], *[[by_coordinate(p, m + 1) for m, p in enumerate(f)] for f in X[1:]]],
    "Halpe": [
        {"image_id": f"{t}.jpg", "keypoints": flat(np.concatenate([p, np.full((9, 2), 7.0)])), "idx": m}
        for t, f in enumerate(X) for m, p in enumerate(f)
    ],
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_forms(tmp_path, form):
    [found], scheme, _ = read(written(tmp_path / "x.json", FORMS[form]))
    first = 1 if "nobody" in form or "no instances" in form else 0
    frames = found.points[-(T - first) :] if first else found.points
    assert scheme is COCO17
    np.testing.assert_allclose(frames, X[first:], atol=1e-3)


def test_mediapipe_landmarks(tmp_path):
    at = np.concatenate([figure(MEDIAPIPE33), np.zeros((33, 1))], 1)[:, :3] * [1, -1, 1]
    frame = [{"x": x, "y": y, "z": z, "visibility": 0.9} for x, y, z in at.tolist()]
    unsure = [dict(joint, visibility=0.1 if k == 15 else 0.9) for k, joint in enumerate(frame)]
    [found], scheme, _ = read(written(tmp_path / "x.json", [[], frame, unsure, None, frame]), None)
    assert scheme is MEDIAPIPE33 and found.points.shape == (5, 1, 33, 3)
    assert found.found.sum((1, 2)).tolist() == [0, 33, 32, 0, 33]
    tasks = [{"landmarks": [[]], "worldLandmarks": each and [each]} for each in ([], frame, unsure, None, frame)]
    solutions = [{"frame": t + 3, "pose_world_landmarks": each} for t, each in enumerate((frame, unsure, None, frame))]
    for content, expected in ((tasks, [0, 33, 32, 0, 33]), (solutions, [33, 32, 0, 33])):
        [again], _, _ = read(written(tmp_path / "x.json", content), None)
        assert again.found.sum((1, 2)).tolist() == expected


def test_movenet_stacked(tmp_path):
    np.save(tmp_path / "x.npy", np.concatenate([walkers(T, 1), np.full((T, 1, 17, 1), 0.5)], -1)[:, None])
    found, _, _ = read(tmp_path / "x.npy")
    assert len(found) == 1 and found[0].points.shape == (T, 1, 17, 2)


def test_names_of_files_do_not_write_on_the_terminal(tmp_path):
    path = tmp_path / "a\x1b]0;x\x07b.npy"
    np.save(path, walkers(T, 4))
    [said] = read(path)[2]
    assert said.isprintable() and "4 people" in said


# --- which axis is up ----------------------------------------------------------------------------------------------


def standing(scheme: Scheme, up: str) -> np.ndarray:
    """(T, M=1, V, 3) metres of somebody who stands along an axis, as they are in front of a Kinect otherwise."""
    at = figure(scheme)
    at = np.concatenate([at, np.zeros((len(at), 1))], 1)[:, :3]
    matrix = normalise.turned(np.eye(3), up)  # of rows: points @ matrix is turned
    return np.tile((at @ np.linalg.inv(matrix))[None, None], (T, 1, 1, 1))


@pytest.mark.parametrize("scheme", [MEDIAPIPE33, H36M17, NTU25], ids=lambda scheme: scheme.name)
@pytest.mark.parametrize("up", normalise.UP)
def test_an_axis_that_is_not_up_is_said(scheme, up):
    x = standing(scheme, up)
    found = reading.Keypoints("x", x, np.ones(x.shape[:3], bool))
    notices = Notices()
    normalise.placed(found, scheme, NTU25, None, notices)
    if up == ("y" if scheme.y_up else "-y"):
        assert notices.lines() == []
    else:
        [said] = notices.lines()
        assert "flat or upside down in 100% of the frames" in said and f"--up {up} if that axis is" in said
    told = Notices()
    made = normalise.placed(found, scheme, NTU25, up, told)
    assert told.lines() == [] and (made[:, 0, 3, 1] > made[:, 0, 0, 1]).all()  # the head is above the hips
    expected = standing(scheme, "y")
    reference = normalise.placed(reading.Keypoints("x", expected, found.found), scheme, NTU25, "y")
    np.testing.assert_allclose(made, reference, atol=1e-5)


@pytest.mark.parametrize("turn, up", [((1, 1), "-y"), ((1, -1), "y")])
def test_an_image_upside_down(tmp_path, turn, up):
    x = walkers() * turn
    found = reading.Keypoints("x", x, np.ones(x.shape[:3], bool))
    notices = Notices()
    normalise.placed(found, COCO17, NTU25, None, notices)
    assert [f"--up {up}" in line for line in notices.lines()] == [True] * (up == "y")
    made = normalise.placed(found, COCO17, NTU25, up)
    upright = normalise.placed(reading.Keypoints("x", walkers(), found.found), COCO17, NTU25)
    np.testing.assert_allclose(made, upright, atol=1e-5)
    with pytest.raises(LabError, match="have no z"):
        normalise.placed(found, COCO17, NTU25, "z")


def test_somebody_who_lies_down_for_a_while_is_no_wrong_axis():
    x = standing(NTU25, "y")
    x[:5] = x[:5, :, :, [1, 0, 2]]
    notices = Notices()
    normalise.placed(reading.Keypoints("x", x, np.ones(x.shape[:3], bool)), NTU25, NTU25, None, notices)
    assert notices.lines() == []


def test_up_may_be_written_with_a_blank():
    assert normalise.spelled(["--up", "-y", "--fps", "-z", "--up"]) == ["--up=-y", "--fps", "-z", "--up"]
