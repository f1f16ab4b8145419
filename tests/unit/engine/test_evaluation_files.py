"""What a run leaves for its report: names of classes, and how its clips stand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skeleton_lab import registry
from skeleton_lab.data.feeders.ntu import NTUFeeder
from skeleton_lab.data.synthetic import archive as synthetic
from skeleton_lab.engine.score_files import write_evaluation
from skeleton_lab.reporting import run_report
from skeleton_lab.reporting.html import clip_json
from skeleton_lab.reporting.run_report.work_dir import load

LOGITS = np.array([[3.0, 1], [2, 1], [0, 1]])  # the first clip of class 1 is taken for class 0


def archive(path: Path, V: int, **said: object) -> Path:
    x = np.random.default_rng(0).uniform(100, 300, (3, 3, 6, V, 1)).astype(np.float32)
    x[:, 2] = 0.9
    np.savez(path, x_train=x, y_train=[0, 1, 1], x_test=x, y_test=[0, 1, 1], **said)
    return path


def test_a_run_on_pictures_names_its_classes_and_lies_flat(tmp_path):
    said = {"skeleton": "coco17", "channels": "xys", "units": "px", "class_names": ["walk", "fall"]}
    feeder = NTUFeeder(str(archive(tmp_path / "my.npz", 17, **said)), split="test", window_size=8)
    write_evaluation(tmp_path, feeder, LOGITS, np.array([0, 1, 1]), 1)
    run = load(tmp_path)
    assert run_report.class_names(run) == ["walk", "fall"]
    assert run.hardest.flat is True and run.hardest.up == "y"  # the feeder has turned it up
    assert len(run.hardest.edges) == 16
    page = run_report.write(tmp_path).read_text("utf-8")
    assert "walk" in page and "fall" in page and '"flat": true' in page.replace('"flat":true', '"flat": true')


def test_a_run_on_ntu_says_no_more_than_before(tmp_path):
    feeder = NTUFeeder(str(archive(tmp_path / "ntu.npz", 25)), split="test", window_size=8, layout="5d")
    write_evaluation(tmp_path, feeder, LOGITS, np.array([0, 1, 1]), 1)
    run = load(tmp_path)
    assert run_report.class_names(run) == ["class 0", "class 1"] and not run.hardest.flat and run.hardest.up == "y"


def test_who_is_seen_and_for_how_long_is_kept(tmp_path):
    path = archive(tmp_path / "my.npz", 17, skeleton="coco17", subject_train=["eva", "bo", "eva"],
                   subject_test=["cy", "di", "cy"])  # fmt: skip
    with np.load(path) as file:
        arrays = dict(file)
    arrays["x_test"][1, :, 4:] = 0  # the second clip has four frames
    np.savez(path, **arrays)
    feeder = NTUFeeder(str(path), split="test", window_size=8)
    feeder.repeat = 2
    write_evaluation(tmp_path, feeder, np.tile(LOGITS, (2, 1)), np.array([0, 1, 1, 0, 1, 1]), 1)
    found = load(tmp_path).evaluation
    assert found.frames.tolist() == [6, 4, 6] * 2 and found.subjects.tolist() == ["cy", "di", "cy"] * 2


def test_bodies_that_a_feeder_turned_upright_stand_in_the_report(tmp_path):
    """PYSKL's PreNormalize3D turns the spine to z."""
    synthetic.write(tmp_path / "people.npz", train=3, test=3, classes=2, resample=8, progress=False)
    made = registry.load("PYSKL", "feeders.feeder_pyskl.Feeder")
    feeder = made(str(tmp_path / "people.npz"), split="test", window_size=8)
    write_evaluation(tmp_path, feeder, LOGITS, 1 - LOGITS.argmax(1), 1)
    for clip in clip_json.prepare(load(tmp_path).hardest, "joint"):
        feet, head, left, right = (clip.points[:, 0, joint].mean(0) for joint in (14, 3, 4, 8))
        assert head[1] - feet[1] > 1 and right[0] - left[0] > 0.15  # as in an archive: y up, the right side at +x
