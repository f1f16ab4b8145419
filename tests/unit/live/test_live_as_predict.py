"""Live labels are those of ``predict`` on the recorded file, and a recorded session gives them again, byte by byte."""

from __future__ import annotations

import json

import numpy as np
import pytest
from live_sessions import dancers, lines, live, network

from skeleton_lab.inference.predictor import Predictor

pytestmark = pytest.mark.slow
PLAIN = ["--smooth", 0, "--threshold", 0, "--hysteresis", 0]


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return network(tmp_path_factory.mktemp("live"))


@pytest.fixture(scope="module")
def predictor(net):
    return Predictor("stgcn", net.weights, config=net.config)


def start(net, file, *more):
    return ["stgcn", "--weights", net.weights, "--input", file, *more]


def test_at_the_last_frame_of_a_window_the_label_is_that_of_predict(net, predictor, tmp_path, capsys):
    clip = dancers(48, people=2)
    (tmp_path / "two.jsonl").write_text("".join(lines(clip)))
    said = {}
    for more in ([], ["--together"]):
        status, labels, _ = live(start(net, tmp_path / "two.jsonl", "--every", 12, *PLAIN, *more), capsys)
        assert status == 0
        said |= {(each["frame"], each["person"]): each for each in labels}
    rows = [row for row in predictor(tmp_path / "two.jsonl", window=24, stride=12) if row.last - row.first == 23]
    assert {row.who for row in rows} == {"all", "person 1", "person 2"} and len(rows) == 9
    assert len({row.best for row in rows}) > 1
    for row in rows:
        who = "all" if row.who == "all" else int(row.who.split()[1]) - 1
        label = said[row.last, who]
        assert label["label"] == row.best and label["time"] == pytest.approx(row.last / 30, abs=1e-6)
        assert [each["name"] for each in label["top5"]] == [name for name, _ in row.top]
        assert [each["probability"] for each in label["top5"]] == pytest.approx([p for _, p in row.top], abs=3e-6)


def test_bodies_in_space_are_judged_as_predict_judges_them(tmp_path, capsys, lab):
    """Of NTU RGB+D's skeleton, through a published configuration; with joints missing here and there."""
    weights = lab.weights("CTR-GCN", "config/nturgbd-cross-subject/default.yaml", tmp_path / "w.pt")
    rng = np.random.default_rng(5)
    clip = (rng.normal(0, 0.3, (1, 25, 3)) + rng.normal(0, 0.02, (20, 25, 3))).round(4).tolist()
    for t in range(8, 11):  # inside of both windows
        clip[t][8] = [None, None, None]
    file = tmp_path / "one.jsonl"
    file.write_text("".join(json.dumps({"frame": t, "people": [{"keypoints": x}]}) + "\n" for t, x in enumerate(clip)))
    words = ["ctrgcn", "--weights", weights, "--input", file, "--keypoints", "ntu25", *PLAIN]
    status, labels, _ = live([*words, "--window", 16, "--every", 4], capsys)
    assert status == 0
    rows = Predictor("ctrgcn", weights)(file, keypoints="ntu25", window=16, stride=4)
    assert [row.last for row in rows] == [15, 19]
    said = {each["frame"]: each for each in labels}
    for row in rows:
        assert said[row.last]["label"] == row.best
        assert said[row.last]["p"] == pytest.approx(row.top[0][1], abs=3e-6)


def test_people_of_an_image_become_bodies_as_in_a_file_of_the_window(tmp_path, capsys, lab):
    """Their size in metres comes from the frames that there are: live those of the window."""
    weights = lab.weights("CTR-GCN", "config/nturgbd-cross-subject/default.yaml", tmp_path / "w.pt")
    clip = dancers(20) * np.linspace(1, 2, 20)[:, None, None, None]  # who comes nearer
    clip[..., 2] = 1
    (tmp_path / "whole.jsonl").write_text("".join(lines(clip)))
    (tmp_path / "end.jsonl").write_text("".join(lines(clip[4:])))
    words = ["ctrgcn", "--weights", weights, "--input", tmp_path / "whole.jsonl", "--keypoints", "coco17", *PLAIN]
    status, labels, _ = live([*words, "--window", 16, "--every", 20], capsys)
    assert status == 0
    (row,) = Predictor("ctrgcn", weights)(tmp_path / "end.jsonl", keypoints="coco17")
    assert labels[-1]["frame"] == 19 and labels[-1]["p"] == pytest.approx(row.top[0][1], abs=3e-6)


def test_a_recorded_session_gives_the_same_lines(net, tmp_path, capsys):
    """Frames that are late, missing, of people without ids, without scores, and of a source that begins again."""
    clip = dancers(76, people=2)
    numbers = [*range(1000, 1036), *range(40)]
    frames = [
        json.dumps({"frame": n, "people": [{"keypoints": x[:, :2].tolist()} for x in people]}) + "\n"
        for n, people in zip(numbers, clip)
    ]
    frames[20], frames[21] = frames[21], frames[20]
    del frames[30:33]
    frames.insert(25, "no json\n")
    (tmp_path / "all.jsonl").write_text("".join(frames))
    words = ["stgcn", "--weights", net.weights, "--every", 7]
    out = ["--output", tmp_path / "a", "--record", tmp_path / "rec.jsonl", "--stats", tmp_path / "s.json"]
    status, _, said = live([*words, "--input", tmp_path / "all.jsonl", *out], capsys)
    assert status == 0 and "line 26: Expecting value" in said and "begun again" in said and "1 unreadable" in said
    stats = json.loads((tmp_path / "s.json").read_text())
    told = {key: stats[key] for key in ("frames", "missing", "late", "too_late", "unreadable", "skipped")}
    assert told == {"frames": 64, "missing": 3, "late": 1, "too_late": 9, "unreadable": 1, "skipped": 0}
    assert live([*words, "--input", tmp_path / "rec.jsonl", "--output", tmp_path / "b"], capsys)[0] == 0
    assert len((tmp_path / "a").read_bytes().splitlines()) >= 14
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
