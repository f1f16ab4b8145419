"""``live --continual``: labels of frames taken in once, against ``predict`` on the recorded file."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from live_sessions import dancers, lines, live, network
from places import ROOT
from torch import nn

from skeleton_lab import registry
from skeleton_lab.engine.network import construct
from skeleton_lab.inference.keypoints.normalise import GAP
from skeleton_lab.inference.predictor import Predictor

pytestmark = pytest.mark.slow
PLAIN = ["--smooth", 0, "--threshold", 0, "--hysteresis", 0]
WINDOW = 20
SMALL = {"base_channels": 12, "num_stages": 4, "inflate_stages": [3], "down_stages": [2, 4]}  # R = 24, S = 4


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> tuple[Path, Path]:
    """Configuration and weights of a small ST-GCN++ of NTU RGB+D's joints, over clips of 20 frames."""
    folder = tmp_path_factory.mktemp("small")
    room = registry.find("PYSKL")
    config = yaml.safe_load((room.path / "config/stgcnpp/ntu60_xsub_3dkp/j.yaml").read_text())
    config["test_feeder_args"]["window_size"] = WINDOW
    config["model_args"] |= SMALL
    (folder / "small.yaml").write_text(yaml.safe_dump(config))
    with registry.room("PYSKL"):
        torch.manual_seed(2)
        from skeleton_lab.utils.importing import import_class

        net = construct(import_class(config["model"]), config["model"], config["model_args"])
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_var.uniform_(0.5, 1.5)
        elif isinstance(module, nn.Linear):
            module.weight.data.normal_(0, 3)
    torch.save(net.state_dict(), folder / "w.pt")
    return folder / "small.yaml", folder / "w.pt"


def bodies(frames: int, seed: int = 0) -> np.ndarray:
    """(T, 25, 3) metres of somebody who moves smoothly, so that a straight line over a missing frame is near."""
    rng = np.random.default_rng(seed)
    pose, way = rng.normal(0, 0.3, (25, 3)), rng.normal(0, 0.2, (25, 3))
    steps = np.arange(frames)[:, None, None]
    return (pose + [0.5, 1, 3] + way * np.sin(steps / 6 + rng.uniform(0, 6, (25, 3)))).round(4)


def written(path: Path, clip: np.ndarray, numbers: Sequence[int] | None = None) -> Path:
    told = range(len(clip)) if numbers is None else numbers
    with open(path, "w") as file:
        for number, x in zip(told, clip):
            file.write(json.dumps({"frame": number, "people": [{"id": 0, "keypoints": x.tolist()}]}) + "\n")
    return path


def said(small, file: Path, capsys, *more) -> dict[int, dict]:
    config, weights = small
    words = ["pyskl", "--config", config, "--weights", weights, "--input", file, "--keypoints", "ntu25", *PLAIN]
    status, labels, trouble = live([*words, "--continual", *more], capsys)
    assert status == 0, trouble
    return {label["frame"]: label for label in labels}


def test_when_the_window_is_full_the_label_is_that_of_predict(small, tmp_path, capsys) -> None:
    clip = bodies(32)
    labels = said(small, written(tmp_path / "all.jsonl", clip), capsys, "--every", 4, "--least", 6)
    config, weights = small
    (row,) = Predictor("pyskl", weights, config=config)(written(tmp_path / "w.jsonl", clip[:WINDOW]), keypoints="ntu25")
    assert sorted(labels) == [7, 11, 15, 19, 23, 27, 31]
    assert [each["name"] for each in labels[19]["top5"]] == [name for name, _ in row.top]
    assert [each["probability"] for each in labels[19]["top5"]] == pytest.approx([p for _, p in row.top], abs=3e-5)
    assert np.ptp([label["p"] for label in labels.values()]) > 1e-3  # other frames are another answer


def test_how_often_it_is_asked_changes_nothing(small, tmp_path, capsys) -> None:
    file = written(tmp_path / "all.jsonl", bodies(48))
    often, seldom = (said(small, file, capsys, "--every", every, "--least", 6) for every in (3, 24))
    assert sorted(seldom) == [23, 47]
    for frame, label in seldom.items():
        assert label["p"] == pytest.approx(often[frame]["p"], abs=3e-5) and label["label"] == often[frame]["label"]


def test_missing_and_late_frames_and_joints(small, tmp_path, capsys) -> None:
    """A frame that never comes is on the line between its neighbours, a joint stays, what is late is left out."""
    clip = bodies(20)
    clip[9] = (clip[8] + clip[10]) / 2
    clip[14:16, 5] = clip[13, 5]
    whole = said(small, written(tmp_path / "a.jsonl", clip), capsys, "--every", 20, "--least", 6)
    clip[14:16, 5] = np.nan
    numbers = [*range(9), *range(10, 20)]
    frames = written(tmp_path / "b.jsonl", clip[numbers], numbers).read_text().replace("NaN", "null").splitlines(True)
    frames.insert(12, frames[4].replace("0.", "0.9"))
    (tmp_path / "b.jsonl").write_text("".join(frames))
    parts = said(small, tmp_path / "b.jsonl", capsys, "--every", 20, "--least", 6)
    assert parts[19]["p"] == pytest.approx(whole[19]["p"], abs=1e-4)


def test_who_comes_back_after_a_while_begins_anew(small, tmp_path, capsys) -> None:
    first, second = bodies(20, seed=1), bodies(20, seed=2)
    later = 20 + GAP + 25
    assert later % 4 == 0  # asked at the same frames
    numbers = [*range(20), *range(later, later + 20)]
    file = written(tmp_path / "back.jsonl", np.concatenate([first, second]), numbers)
    labels = said(small, file, capsys, "--every", 4, "--least", 6)
    fresh = said(small, written(tmp_path / "fresh.jsonl", second), capsys, "--every", 4, "--least", 6)
    assert labels[later]["p"] is None  # gone
    assert {n - later for n in labels if n > later} == set(fresh)
    for frame, label in fresh.items():
        assert labels[later + frame]["p"] == pytest.approx(label["p"], abs=3e-5)


def test_who_waits_is_told_of_frames_that_are_final(small, tmp_path, capsys) -> None:
    file = written(tmp_path / "all.jsonl", bodies(48))
    config, weights = small
    words = ["pyskl", "--config", config, "--weights", weights, "--input", file, "--keypoints", "ntu25", *PLAIN]
    status, labels, _ = live([*words, "--continual", "wait", "--every", 4], capsys)
    assert status == 0
    assert [label["frame"] for label in labels] == [27, 31, 35, 39, 43, 47]  # 24 frames late


def test_a_skeleton_of_one_s_own(tmp_path, monkeypatch, capsys) -> None:
    """COCO's joints in pixels, with scores: placed by a whole window, by the document's command."""
    text = (ROOT / "docs" / "live.md").read_text("utf-8")
    (command,) = [line for line in text.splitlines() if "skeleton-lab live" in line and "--continual" in line]
    (tmp_path / "run").mkdir()
    net, clip = network(tmp_path / "run"), dancers(30)
    weights = net.weights.rename(tmp_path / "run" / "epoch80_model.pt")
    (tmp_path / "frames.jsonl").write_text("".join(lines(clip)))
    (tmp_path / "window.jsonl").write_text("".join(lines(clip[:24])))
    monkeypatch.chdir(tmp_path)
    more = [*PLAIN, "--window", 24, "--least", 24, "--every", 6]
    status, labels, _ = live([*shlex.split(command)[2:], *more], capsys)
    assert status == 0 and [label["frame"] for label in labels] == [23, 29]
    (row,) = Predictor("stgcn", weights, config=net.config)(tmp_path / "window.jsonl")
    assert [each["probability"] for each in labels[0]["top5"]] == pytest.approx([p for _, p in row.top], abs=3e-5)


def test_what_cannot_be_is_one_line(small, tmp_path, capsys, lab) -> None:
    file = written(tmp_path / "all.jsonl", bodies(4))
    weights = lab.weights("CTR-GCN", "config/nturgbd-cross-subject/default.yaml", tmp_path / "w.pt")
    status, _, trouble = live(["ctrgcn", "--weights", weights, "--input", file, "--continual"], capsys)
    assert status == 2 and "frame by frame" in trouble.splitlines()[-1]
    config, weights = small
    words = ["pyskl", "--config", config, "--weights", weights, "--input", file, "--continual", "--together"]
    status, _, trouble = live(words, capsys)
    assert status == 2 and "leave out --together" in trouble.splitlines()[-1]
    moving = yaml.safe_load(config.read_text())
    moving["test_feeder_args"]["data_type"] = "jm"
    (tmp_path / "moving.yaml").write_text(yaml.safe_dump(moving))
    status, _, trouble = live([*words[:2], tmp_path / "moving.yaml", *words[3:-1]], capsys)
    assert status == 2 and "streams of motion" in trouble.splitlines()[-1]
