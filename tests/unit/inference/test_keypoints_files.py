"""Data sets, folders of frames, texts in texts, and tables of trackers: more forms of key points."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from keypoint_files import T, flat, read, walkers, written
from own_recordings import data_set, ultralytics

from skeleton_lab.errors import LabError
from skeleton_lab.inference.clips.joints import Skeletons
from skeleton_lab.inference.keypoints import reading
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.skeletons import layouts

ONE = np.concatenate([walkers(T, 1)[:, 0], np.full((T, 17, 1), 0.9)], -1)  # (T, 17, 3)
COCO = layouts.layout("coco17")


def own(path, skeleton=None):
    """As ``prepare clips`` reads it: by names of joints, with scores."""
    skeletons, notices = Skeletons(skeleton and layouts.layout(skeleton)), Notices()
    found, scheme = reading.read(path, skeletons.choose, 0, notices, skeletons.named)
    return found, scheme, notices.lines()


def test_a_data_set_is_the_videos_of_its_images_in_their_order(tmp_path):
    """Images in any order, one without people, one hidden joint; two folders are two recordings."""
    content = data_set({"walk/a": ONE, "walk/b": ONE[:5] + np.array([100, 0, 0])})
    hidden, gone = content["annotations"][2], content["annotations"][3]
    hidden["keypoints"][2] = 1
    content["annotations"].remove(gone)
    content["annotations"].append({"image_id": 1000, "iscrowd": 1, "keypoints": flat(ONE[0, :, :2])})
    for part in ("images", "annotations"):
        content[part] = content[part][::-1]
    found, scheme, _ = own(written(tmp_path / "x.json", content))
    assert scheme == COCO and [each.name for each in found] == ["walk/b", "walk/a"]
    b, a = found
    assert a.image == (720, 1280) and a.points.shape == (T, 1, 17, 2) and len(b.points) == 5
    assert a.found.sum((1, 2)).tolist() == [17, 17, 17, 0] + [17] * (T - 4)
    kept = np.arange(T) != 3
    np.testing.assert_allclose(a.points[kept, 0], ONE[kept, :, :2], atol=1e-3)
    assert a.scores[2, 0, 0] == 0.5 and a.scores[2, 0, 1] == 1


def test_joints_of_a_data_set_are_taken_by_their_names(tmp_path):
    order = np.random.default_rng(0).permutation(17)
    names = [COCO.joints[k].replace("_", " ").title() for k in order]
    [found], scheme, _ = own(written(tmp_path / "x.json", data_set({"v": ONE[:, order]}, names)))
    assert scheme == COCO
    np.testing.assert_allclose(found.points[:, 0], ONE[..., :2], atol=1e-3)
    with pytest.raises(LabError, match="17 joints can be coco17 or"):  # other names: their number does not tell
        own(written(tmp_path / "x.json", data_set({"v": ONE}, [f"point {k}" for k in range(17)])))
    with pytest.raises(LabError, match=r"its joints \(nose, tail, .*\) are those of no known skeleton"):
        own(written(tmp_path / "x.json", data_set({"v": ONE[:, :5]}, ["nose", "tail", "paw", "ear", "eye"])))


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda content: content["images"][0].update(file_name="cat.jpg"), "neither a number in its name nor a frame"),
        (lambda content: content["annotations"][0].update(image_id=7), "is of image 7, which 'images' lacks"),
        (lambda content: content["annotations"].clear(), "12 frames, and nobody in any of them"),
        (lambda content: content["images"][0].pop("id"), "is damaged or in no known format"),
    ],
)  # fmt: skip
def test_a_data_set_without_order_is_refused(tmp_path, change, words):
    content = data_set({"v": ONE})
    change(content)
    with pytest.raises(LabError, match=words) as error:
        own(written(tmp_path / "x.json", content), "coco17")
    assert str(tmp_path / "x.json") in str(error.value)


def test_whole_body_annotations_are_all_133_joints(tmp_path):
    x = np.random.default_rng(0).uniform(10, 500, (3, 133, 2)).round(1)
    parts = {"keypoints": (0, 17), "foot_kpts": (17, 23), "face_kpts": (23, 91), "lefthand_kpts": (91, 112),
             "righthand_kpts": (112, 133)}  # fmt: skip
    people = [{"image_id": t, **{key: flat(x[t, a:b], 2) for key, (a, b) in parts.items()}} for t in range(3)]
    [found], scheme, _ = own(written(tmp_path / "x.json", people))
    assert scheme.name == "wholebody133"
    np.testing.assert_allclose(found.points[:, 0], x)


def test_all_joints_of_halpe_are_kept(tmp_path):
    x = np.random.default_rng(0).uniform(10, 500, (3, 136, 2)).round(1)
    people = [{"image_id": f"{t}.jpg", "keypoints": flat(x[t])} for t in range(3)]
    [found], scheme, _ = own(written(tmp_path / "x.json", people))
    assert scheme.name == "halpe26"
    np.testing.assert_allclose(found.points[:, 0], x[:, :26])


def test_texts_of_frames_as_ultralytics_returns_them(tmp_path):
    [found], _, _ = read(written(tmp_path / "x.json", ultralytics(ONE)))
    np.testing.assert_allclose(found.points[:, 0], ONE[..., :2])
    by_name = {f"{t:04d}.jpg": json.loads(text) for t, text in enumerate(ultralytics(ONE)) if t != 2}
    [found], _, _ = read(written(tmp_path / "x.json", by_name))
    assert found.found.any((1, 2)).tolist() == [t != 2 for t in range(T)]
    [found], _, _ = read(written(tmp_path / "x.json", json.loads(ultralytics(ONE)[0])))  # one image
    assert found.points.shape == (1, 1, 17, 2)


def test_a_folder_of_images_results(tmp_path):
    """MMPose's inferencer writes a list of persons for each image; frames of nobody are empty lists."""
    folder = tmp_path / "walk"
    folder.mkdir()
    for t, frame in enumerate(ONE, 10):
        person = {"keypoints": frame[:, :2].tolist(), "keypoint_scores": frame[:, 2].tolist(), "bbox_score": 0.9}
        written(folder / f"walk_{t:06d}.json", [person] if t != 10 else [])
    assert reading.is_keypoints(folder)
    [found], _, _ = own(folder, "coco17")
    assert found.first == 10 and found.scores[1, 0, 0] == 0.9
    np.testing.assert_allclose(found.points[1:, 0], ONE[1:, :, :2])
    written(folder / "walk_000010.json", {"file_name": "a01_s01_e00_v01", "skeletons": []})  # of an archive
    assert not reading.is_keypoints(folder)


def deeplabcut(path, x: np.ndarray, joints, who=("",), numbers=None):
    """(T, M, V, 3) as DeepLabCut writes it with ``save_as_csv``; with people, as of a project of several animals."""
    columns = [(m, v, c) for m in range(len(who)) for v in range(len(joints)) for c in range(3)]
    with open(path, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["scorer", *["DLC_resnet50"] * len(columns)])
        if len(who) > 1:
            table.writerow(["individuals", *[who[m] for m, _, _ in columns]])
        table.writerow(["bodyparts", *[joints[v] for _, v, _ in columns]])
        table.writerow(["coords", *[("x", "y", "likelihood")[c] for _, _, c in columns]])
        for t, frame in enumerate(x):
            cells = ["" if np.isnan(frame[k]) else frame[k] for k in columns]
            table.writerow([t if numbers is None else numbers[t], *cells])
    return path


def test_tables_of_deeplabcut(tmp_path):
    order = np.random.default_rng(1).permutation(17)
    x = np.stack([ONE, ONE + np.array([300, 0, 0])], 1)
    x[4, 1] = np.nan
    path = deeplabcut(tmp_path / "x.csv", x[:, :, order], [COCO.joints[k] for k in order], ("a", "b"))
    assert reading.is_keypoints(path)
    [found], scheme, _ = own(path)
    assert scheme == COCO and found.found[:, 1].any(1).tolist() == [t != 4 for t in range(T)]
    np.testing.assert_allclose(found.points[found.found], x[..., :2][found.found])
    one = deeplabcut(tmp_path / "y.csv", x[:, :1], COCO.joints, numbers=range(40, 40 + T))
    [found], _, _ = own(one)
    assert found.first == 40 and found.points.shape == (T, 1, 17, 2)
    text = one.read_text()
    for damage in (text.replace("coords", "other"), text.replace("0.9", "many"), text.rpartition(",")[0]):
        one.write_text(damage)
        with pytest.raises(LabError, match=r"y\.csv"):
            own(one)


# --- read by the libraries of the extra ``formats`` ----------------------------------------------------------------


def test_sleap(tmp_path):
    sleap = pytest.importorskip("sleap_io")
    skeleton = sleap.Skeleton(list(COCO.joints))
    video, tracks = sleap.Video("a.mp4", open_backend=False), [sleap.Track("a"), sleap.Track("b")]
    frames = [
        sleap.LabeledFrame(video, t, [
            sleap.PredictedInstance.from_numpy(ONE[t, :, :2] + 300 * m, skeleton, ONE[t, :, 2], track=tracks[m])
            for m in (0, 1)[: 1 if t == 4 else 2]
        ])
        for t in range(T)
    ]  # fmt: skip
    labels = sleap.Labels(frames)
    labels.save(str(tmp_path / "x.slp"))
    sleap.save_analysis_h5(labels, str(tmp_path / "x.analysis.h5"))
    for name in ("x.slp", "x.analysis.h5"):
        assert reading.is_keypoints(tmp_path / name)
        [found], scheme, _ = own(tmp_path / name)
        assert scheme == COCO and found.found[:, 1].any(1).tolist() == [t != 4 for t in range(T)]
        np.testing.assert_allclose(found.points[:, 0], ONE[..., :2], rtol=1e-5)
        np.testing.assert_allclose(found.scores[:, 0], 0.9, rtol=1e-5)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:700])
        with pytest.raises(LabError, match="x\\."):
            own(tmp_path / name)


def test_movement(tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    position = np.stack([ONE[..., :2], ONE[..., :2] + 300], -1).transpose(0, 2, 1, 3)
    axes = ("time", "space", "keypoints", "individuals")
    data = xarray.Dataset(
        {"position": (axes, position), "confidence": (("time", "keypoints", "individuals"), np.full((T, 17, 2), 0.8))},
        {"time": np.arange(T) / 30, "space": ["x", "y"], "keypoints": list(COCO.joints), "individuals": ["a", "b"]},
    )
    data.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    [found], scheme, _ = own(tmp_path / "x.nc")
    assert scheme == COCO and (found.scores == 0.8).all()
    np.testing.assert_allclose(found.points[:, 1], ONE[..., :2] + 300)


def test_pose(tmp_path):
    pytest.importorskip("pose_format")
    from pose_format import Pose
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

    parts = [("POSE_LANDMARKS", 33), ("LEFT_HAND_LANDMARKS", 21), ("RIGHT_HAND_LANDMARKS", 21)]
    components = [
        PoseHeaderComponent(name, [f"P{k}" for k in range(V)], [(0, 1)], [(1, 1, 1)], "XYZC") for name, V in parts
    ]
    x = np.random.default_rng(0).uniform(10, 400, (6, 1, 75, 3)).astype(np.float32)
    sure = np.full((6, 1, 75), 0.9, np.float32)
    sure[3, :, :33] = 0
    header = PoseHeader(0.1, PoseHeaderDimensions(640, 480, 100), components)
    with open(tmp_path / "x.pose", "wb") as file:
        Pose(header, NumPyPoseBody(25.0, np.ma.masked_array(x, mask=(sure == 0)[..., None].repeat(3, -1)), sure)).write(
            file
        )
    [found], scheme, _ = own(tmp_path / "x.pose")
    assert scheme.name == "mediapipe33" and found.image == (480, 640) and not found.found[3].any()
    np.testing.assert_allclose(found.points[:3], x[:3, :, :33, :2])
    [found], scheme, _ = own(tmp_path / "x.pose", "hand21")
    assert scheme.name == "hand21"
    np.testing.assert_allclose(found.points[:, 1], x[:, 0, 54:, :2])


def test_a_missing_library_is_one_line(tmp_path, monkeypatch):
    for name, library in (("x.slp", "sleap-io"), ("x.nc", "xarray"), ("x.pose", "pose-format")):
        monkeypatch.setitem(__import__("sys").modules, library.replace("-", "_"), None)
        (tmp_path / name).write_bytes(b"something")
        with pytest.raises(LabError, match=rf"reading it needs {library}: pip install 'skeleton-lab\[formats\]'"):
            own(tmp_path / name)
