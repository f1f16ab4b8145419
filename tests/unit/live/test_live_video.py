"""Videos and cameras: key points where a made-up model sees them, times of the file, and what a user did wrong."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from live_sessions import live, network

pytest.importorskip("rtmlib", reason="needs skeleton-lab[video]")
pytest.importorskip("onnx", reason="makes its models with onnx")
import pose_models
from onnx import TensorProto, helper
from places import ROOT
from pose_models import BODY, places

from skeleton_lab.errors import UsageError
from skeleton_lab.live import video

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("video")
    pose_models.pose_model(made / "pose.onnx")
    pose_models.detector(made / "yolox.onnx")
    dots = places(30)
    dots[10:13] = np.nan
    pose_models.video(made / "dot.avi", dots)
    return made


def frames(lines) -> list[dict]:
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("every", [1, 7])
def test_people_are_where_the_picture_has_them(folder: Path, every: int) -> None:
    poses = video.Poses(folder / "pose.onnx", folder / "yolox.onnx", every)
    found = frames(video.of_file(folder / "dot.avi", poses))
    assert [len(frame["people"]) for frame in found] == [1] * 10 + [0] * 3 + [1] * 17
    assert [frame["frame"] for frame in found] == list(range(30))
    np.testing.assert_allclose([frame["time"] for frame in found], np.arange(30) / 30, atol=1e-3)
    assert len(poses.seconds) == 30
    for frame, dot in zip(found, places(30)):
        if not frame["people"] or frame["frame"] % every:
            continue
        x = np.array(frame["people"][0]["keypoints"])
        # searched in all of the picture, a box of 160 x 120 pixels, which RTMPose widens and fits into 192 x 256
        np.testing.assert_allclose(x, dot + BODY * 1.25 * 160 / 192, atol=5)
        assert min(frame["people"][0]["keypoint_scores"]) > 0.3
    if every > 1:  # smaller boxes in between are about the same place
        middles = np.array([np.array(frame["people"][0]["keypoints"]).mean(0) for frame in found[13:]])
        np.testing.assert_allclose(middles - BODY.mean(0), places(30)[13:], atol=5)


def test_without_a_detector_one_person_fills_the_picture(folder: Path) -> None:
    found = frames(video.of_file(folder / "dot.avi", video.Poses(folder / "pose.onnx")))
    assert [len(frame["people"]) for frame in found] == [1] * 30


def test_times_are_those_of_the_pictures_of_a_variable_rate(folder: Path) -> None:
    """Every picture of the first half, every third of the second one."""
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    kept = [n for n in range(30) if n < 15 or n % 3 == 0]
    choice = "select='lt(n,15)+not(mod(n,3))'"
    made = folder / "variable.mp4"
    words = [ffmpeg, "-y", "-loglevel", "error", "-i", folder / "dot.avi", "-vf", choice, "-fps_mode", "vfr", made]
    subprocess.run(words, check=True)
    found = frames(video.of_file(made, video.Poses(folder / "pose.onnx")))
    np.testing.assert_allclose([frame["time"] for frame in found], np.array(kept) / 30, atol=2e-3)


def many_classes(path: Path) -> Path:
    """YOLOX of 80 classes on 32 x 32 pixels: a person in the first cell, a chair beside it, both certain."""
    out = np.full((1, 21, 85), -9, np.float32)
    out[..., 4:] = 0
    out[0, 0, :6] = [0.5, 0.5, np.log(2), np.log(3), 1, 1]
    out[0, 3, :5], out[0, 3, 5 + 56] = [0.5, 0.5, np.log(2), np.log(3), 1], 1
    nodes = [
        helper.make_node("ReduceMax", ["input"], ["brightest"], keepdims=1),
        helper.make_node("Clip", ["brightest", "zero", "zero"], ["none"]),
        helper.make_node("Squeeze", ["none"], ["nothing"]),
        helper.make_node("Add", ["all", "nothing"], ["output"]),
    ]
    tensors = [pose_models._tensor("all", out), pose_models._tensor("zero", np.array(0, np.float32))]
    graph = helper.make_graph(
        nodes, "yolox", [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 21, 85])], tensors,
    )  # fmt: skip
    import onnx

    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_of_a_detector_of_many_things_only_people_are_taken(folder: Path) -> None:
    poses = video.Poses(folder / "pose.onnx", many_classes(folder / "things.onnx"))
    people = poses(np.full((64, 64, 3), 255, np.uint8))
    assert len(people) == 1


class Camera:
    """Three pictures, then none, as a camera that is pulled out."""

    left = 3

    def __init__(self, which: int) -> None:
        self.which = which

    def isOpened(self) -> bool:
        return self.which == 0

    def set(self, *how) -> bool:
        return True

    def read(self):
        self.left -= 1
        return self.left >= 0, np.full((120, 160, 3), 255, np.uint8)

    def release(self) -> None:
        pass


def test_a_camera_gives_frames_until_it_is_gone(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr("cv2.VideoCapture", Camera)
    monkeypatch.setattr(video, "UNREADABLE", 3)
    lines, found = video.of_camera(0, video.Poses(folder / "pose.onnx")), []
    with pytest.raises(UsageError, match="--camera 0 gives no pictures any more"):
        for line in lines:
            found.append(line)
    assert found[3:] == [None] * 3
    told = frames(found[:3])
    assert [frame["frame"] for frame in told] == [0, 1, 2] and told[0]["time"] == 0 < told[1]["time"] < told[2]["time"]
    with pytest.raises(UsageError, match="--camera 1: there is no such camera"):
        video.of_camera(1, video.Poses(folder / "pose.onnx"))


def test_labels_of_a_video_are_those_of_its_recorded_key_points(folder: Path, tmp_path: Path, monkeypatch, capsys):
    """By the command of docs/live.md."""
    text = (ROOT / "docs" / "live.md").read_text("utf-8")
    (command,) = [line for line in text.splitlines() if "skeleton-lab live" in line and "--video" in line]
    (tmp_path / "run").mkdir()
    network(tmp_path / "run", frames=12).weights.rename(tmp_path / "run" / "epoch80_model.pt")
    for name, target in {"film.mp4": "dot.avi", "rtmpose.onnx": "pose.onnx", "yolox.onnx": "yolox.onnx"}.items():
        (tmp_path / name).symlink_to(folder / target)
    monkeypatch.chdir(tmp_path)
    words = [*shlex.split(command)[2:], "--every", 6]
    status, labels, said = live([*words, "--record", "keypoints.jsonl", "--stats", "stats.json"], capsys)
    assert status == 0 and "key points of a picture" in said
    assert labels and {label["person"] for label in labels} == {0}
    stats = json.loads(Path("stats.json").read_text())
    assert stats["frames"] == 30 and stats["missing"] == 0 and stats["picture_ms_p50"] > 0
    status, again, _ = live([*words[:3], "--every", 6, "--input", "keypoints.jsonl"], capsys)
    assert status == 0 and again == labels


WRONG = [
    ("--video dot.avi", "needs --pose-model"),
    ("--pose-model pose.onnx", "is for --video and --camera"),
    ("--video dot.avi --pose-model none.onnx", "none.onnx: there is no such file"),
    ("--video dot.avi --pose-model dot.avi", "is no ONNX file"),
    ("--video dot.avi --pose-model yolox.onnx", "gives dets; RTMPose gives simcc_x and simcc_y"),
    ("--video dot.avi --pose-model pose.onnx --det-model none.onnx", "--det-model none.onnx: there is no such file"),
    ("--video dot.avi --pose-model pose.onnx --det-model pose.onnx", "--det-model pose.onnx is no such model"),
    ("--video none.avi --pose-model pose.onnx", "none.avi: there is no such file"),
    ("--video pose.onnx --pose-model pose.onnx", "is no video"),
    ("--video . --pose-model pose.onnx", "is no file"),
    ("--video dot.avi --camera 0 --pose-model pose.onnx", "leave out"),
    ("--video dot.avi --input dot.jsonl --pose-model pose.onnx", "leave out"),
    ("--camera -1 --pose-model pose.onnx", "--camera -1"),
    ("--video dot.avi --pose-model pose.onnx --detect-every 0", "detect-every"),
]


@pytest.mark.parametrize("words, told", WRONG)
def test_what_is_wrong_is_one_line(folder: Path, monkeypatch, capsys, words: str, told: str) -> None:
    monkeypatch.chdir(folder)
    status, labels, said = live(["stgcn", "--weights", "w.pt", *words.split()], capsys)
    assert (status, labels) == (2, []) and told in said and len(said.strip().splitlines()) == 1


def test_a_missing_package_is_one_line(folder: Path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "rtmlib", None)
    words = ["stgcn", "--weights", "w.pt", "--video", folder / "dot.avi", "--pose-model", folder / "pose.onnx"]
    status, _, said = live(words, capsys)
    assert status == 2 and "pip install 'skeleton-lab[video]'" in said and len(said.strip().splitlines()) == 1
