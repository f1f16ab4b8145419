"""The report's reliability diagrams and unknown classes: what is drawn is what was measured."""

from __future__ import annotations

import json
import re

import fake_run as fake
import numpy as np
import pytest

from skeleton_lab.reporting import run_report
from skeleton_lab.reporting.run_report import calibration
from skeleton_lab.reporting.run_report.work_dir import load
from skeleton_lab.utils.reliability import measured


def text(folder) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_report, "_plots", lambda *_: None)
        return run_report.write(folder).read_text("utf-8")


def test_a_calibrated_run_shows_before_after_and_unknown_classes(tmp_path):
    told = fake.write_calibration(fake.complete(tmp_path))
    assert told["temperature"] == pytest.approx(3, rel=0.3)  # as the clips were made
    page = text(tmp_path)
    shown = page[page.index('<section id="calibration">') : page.index('<section id="configuration">')]
    for key in ("before", "after"):
        assert f"<td>{100 * told[key]['ece']:.2f} %</td>" in shown and f"<td>{told[key]['nll']:.4f}</td>" in shown
    assert f"Temperature {told['temperature']:.3g}" in shown and "2 of 20 subjects" in shown
    for each in told["unknown"]["scores"].values():
        assert f"<td>{100 * each['auroc']:.2f} %</td><td>{100 * each['fpr']:.2f} %</td>" in shown
    filled = [sum(count > 0 for count in told[key]["count"]) for key in ("before", "after")]
    assert [part.count('class="bin"') for part in shown.split("<figure>")[1:3]] == filled
    chart = next(chart for chart in json.loads(re.search(r'id="data">(.*?)</script>', page)[1])["charts"]
                 if chart["axis"] == "known clips accepted, %")  # fmt: skip
    energy = next(each for each in chart["series"] if each["label"] == "energy")
    assert energy["text"][95] == f"{100 * told['unknown']['scores']['energy']['fpr']:.2f} %"


def test_a_run_that_was_not_calibrated_shows_its_last_evaluation(tmp_path):
    page = text(fake.complete(tmp_path))
    with np.load(tmp_path / "evaluation.npz") as file:
        found = measured(file["logits"], file["labels"])
    assert f"<td>{100 * found.ece:.2f} %</td>" in page and "skeleton-lab calibrate does" in page
    assert page.count('class="diagonal"') == 1 and "Unknown classes" not in page


def test_bars_stand_where_their_confidence_and_accuracy_are():
    labels = np.array([0, 0, 0, 1])
    logits = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.9, 0.1]]))
    drawn = calibration.layout(measured(logits, labels, bins=5))
    inside, tall = calibration.RIGHT - calibration.LEFT, calibration.BOTTOM - calibration.TOP
    assert len(drawn["bars"]) == 2  # 0.6 belongs to the third of five bins, 0.9 to the last
    for (x, y, _, height), low, accuracy in zip(drawn["bars"], (0.4, 0.8), (1, 2 / 3)):
        assert (x - calibration.LEFT - 1) / inside == pytest.approx(low, abs=0.01)
        assert height / tall == pytest.approx(accuracy, abs=0.01) and y + height == pytest.approx(calibration.BOTTOM)
    heights = [height for *_, height in drawn["shares"]]
    assert heights[1] / heights[0] == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize(
    "change",
    [
        "{",
        "[]",
        {"temperature": "warm"},
        {"before": {}},
        {"unknown": {"known": 1, "unknown": 1, "scores": {"energy": {"auroc": 1.0}}}},
        {"subjects": None},
    ],
)
def test_a_damaged_file_is_left_out_and_said(tmp_path, change):
    told = fake.write_calibration(tmp_path)
    (tmp_path / "calibration.json").write_text(change if isinstance(change, str) else json.dumps({**told, **change}))
    run = load(tmp_path)
    assert run.calibration is None
    assert any("calibration.json cannot be read" in notice for notice in run.notices)


@pytest.mark.slow
def test_pictures(tmp_path):
    from PIL import Image

    fake.write_calibration(tmp_path)  # alone: the report of a folder with nothing else
    run_report.write(tmp_path)
    for name in ("reliability.png", "unknown.png"):
        assert min(Image.open(tmp_path / "plots" / name).size) > 400
