"""What a run leaves for its report: names of classes, and how its clips stand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skeleton_lab.data.feeders.ntu import NTUFeeder
from skeleton_lab.engine.score_files import write_evaluation
from skeleton_lab.reporting import run_report
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
    assert run.hardest.flat is True and run.hardest.y_up  # the feeder has turned it up
    assert len(run.hardest.edges) == 16
    page = run_report.write(tmp_path).read_text("utf-8")
    assert "walk" in page and "fall" in page and '"flat": true' in page.replace('"flat":true', '"flat": true')


def test_a_run_on_ntu_says_no_more_than_before(tmp_path):
    feeder = NTUFeeder(str(archive(tmp_path / "ntu.npz", 25)), split="test", window_size=8, layout="5d")
    write_evaluation(tmp_path, feeder, LOGITS, np.array([0, 1, 1]), 1)
    run = load(tmp_path)
    assert run_report.class_names(run) == ["class 0", "class 1"] and not run.hardest.flat and run.hardest.y_up
