"""predict.py on files in which some recordings show nobody who can be placed, or have odd names."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from predict_bench import Bench, walkers
from sandbox import Lab
from tiny_data import make_all

from skeleton_lab.skeletons.figure import places as figure
from skeleton_lab.skeletons.schemes import NTU25


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Bench:
    return Bench(Lab(make_all(tmp_path / "data"), monkeypatch), "CTR-GCN", tmp_path)


def _annotation(name: str, label: int, points: np.ndarray, scores: np.ndarray | None = None) -> dict:
    """One of PYSKL's, of points (T, M, V, C) and scores (T, M, V)."""
    made = {"frame_dir": name, "label": label, "keypoint": points.swapaxes(0, 1).astype(np.float32)}
    if scores is not None:
        made["keypoint_score"] = scores.swapaxes(0, 1).astype(np.float32)
    return made | {"total_frames": len(points)}


@pytest.mark.slow
def test_recordings_that_show_nobody_do_not_stop_the_others(bench, tmp_path, capsys):
    """In annotations, in archives of other joints and in arrays: named, and the others are as if alone."""
    flat = walkers(20, 1)
    points, scores = flat[..., :2], flat[..., 2]
    bust = scores.copy()
    bust[..., 11:13] = 0  # no hips
    clips = [_annotation("good", 1, points, scores), _annotation("bust", 1, points, bust),
             _annotation("zero", 2, 0 * points, 0 * scores)]  # fmt: skip
    archive, several, array = tmp_path / "all.pkl", tmp_path / "list.pkl", tmp_path / "three.npy"
    archive.write_bytes(pickle.dumps({"split": {"test": ["good", "bust", "zero"]}, "annotations": clips}))
    several.write_bytes(pickle.dumps(clips))
    np.save(array, np.stack([flat, np.concatenate([points, bust[..., None]], -1), 0 * flat]))
    seen = []
    for path, flags in ((archive, ""), (several, ""), (array, "--keypoints coco17")):
        capsys.readouterr()
        assert bench(f"--window 0 {flags}", path) == 0, path
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out: ")]
        assert len(said) == 2, said
        seen += [clip["windows"][0]["top"] for clip in bench.result()["clips"] if clip["windows"]]
    assert len(seen) == 3 and seen[0] == seen[1] == seen[2]
    assert bench("--window 0 --index 1", archive) == 2
    assert "bust: nobody has shoulders and hips" in capsys.readouterr().err


@pytest.mark.slow
def test_clips_of_an_archive_that_show_nobody_and_odd_names(bench, tmp_path, capsys):
    """The test phase asks about empty clips, too; they have no picture. Names are one line, whatever is in them."""
    body = figure(NTU25)[None, None] * np.ones((12, 1, 1, 1))
    odd = "walk\x1b[2J\nhome"
    clips = [
        _annotation(odd, 3, np.concatenate([body, 0 * body[..., :1]], -1)),
        _annotation("zero", 4, np.zeros((12, 1, 25, 3))),
    ]
    archive = tmp_path / "all.pkl"
    archive.write_bytes(pickle.dumps({"split": {"test": [odd, "zero"]}, "annotations": clips}))
    assert bench("", archive) == 0
    out = capsys.readouterr().out
    assert "walk\\x1b[2J home" in out and "\x1b" not in out
    assert bench.result()["accuracy"]["clips"] == 2 and (bench.output / "predictions.png").is_file()
    assert bench("--index 1", archive) == 0
