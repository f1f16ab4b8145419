"""``skeleton-lab explain``: in the rooms, of archives and recordings, with one line for what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import predict_bench
import pytest
from predict_bench import Bench, walkers
from sandbox import Lab
from scipy.special import logsumexp
from tiny_data import make_all

from skeleton_lab import cli, registry
from skeleton_lab.data.archives.array_clips import ArrayClips
from skeleton_lab.explain import results

pytestmark = pytest.mark.slow
SMALL = ("--parts", "limbs", "--pieces", "2", "--steps", "4")
MORE = {  # small forms of networks
    "CTR-GCN": ("config/nturgbd-cross-subject/default.yaml", {"window_size": 8}, {}),
    "SkateFormer": ("config/train/ntu_cs/SkateFormer_j_tiny.yaml", {}, {}),
    "PYSKL": ("config/stgcnpp/ntu60_xsub_3dkp/j.yaml", {"window_size": 16, "num_clips": 2}, {}),
}
FEWER = ("--pieces", "1", "--steps", "2", "--clips", "2")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_all(tmp_path_factory.mktemp("explain"))


@pytest.fixture
def bench(data, tmp_path, monkeypatch, request) -> Bench:
    monkeypatch.setattr(predict_bench, "CASES", predict_bench.CASES | MORE)
    return Bench(Lab(data, monkeypatch), getattr(request, "param", "CTR-GCN"), tmp_path)


def explain(bench: Bench, given: Path, *more: str) -> int:
    return cli.main([
        "explain", bench.room.image, "--weights", str(bench.weights), "--config", str(bench.config), "--input",
        str(given), "--output", str(bench.output), *SMALL, *more,
    ])  # fmt: skip


def result(bench: Bench) -> dict:
    return json.loads((bench.output / "explanations.json").read_text())


@pytest.mark.parametrize("bench", ["SkateFormer", "PYSKL", "ST-GCN"], indirect=True)
def test_rooms_of_other_feeders(bench, data, capsys):
    """Frames with their times, several clips of a sample, whole padded clips: every map is of the same cells."""
    assert explain(bench, data / "data/NTU60_CS.npz", "--index", "2", "--steps", "8") == 0
    [clip] = result(bench)["clips"]
    shape = np.shape(clip["occlusion"])
    assert shape == np.shape(clip["gradients"]) and shape[1:] == (6, 2) and np.any(clip["occlusion"])
    difference = clip["log_odds"] - clip["log_odds_still"]
    said = "the integral is not exact; take more --steps" in capsys.readouterr().out
    apart = abs(clip["integral"] - difference)  # eight steps are few for some of these untrained networks
    assert said == (apart > results.FAR * abs(difference)), (clip["integral"], difference)


def test_an_archive_a_class_and_a_recording(bench, data, tmp_path, capsys):
    archive = data / "data/NTU60_CS.npz"
    with np.load(archive) as file:
        x, labels = file["x_test"], file["y_test"].argmax(1)
    assert explain(bench, archive, "--index", "1", "--target", "drink water") == 0
    [clip] = result(bench)["clips"]
    assert clip["label"] == labels[1] and clip["class"] == 0 and clip["class_name"] == "drink water"

    # One cell by hand: the right arm of the first person stands still in the second half of the clip.
    points = x[1].reshape(len(x[1]), 2, 25, 3)
    end = int(np.flatnonzero(points.any((1, 2, 3)))[-1]) + 1
    begin, arm = clip["bounds"][1], [8, 9, 10, 11, 23, 24]
    assert clip["bounds"] == [0, begin, end]
    assert "the\nsum over all parts of the body, then each" in (bench.output / "explanations.html").read_text()
    still = points.copy()
    there = points[:end, 0].any((1, 2))
    for joint in arm:
        for t in range(begin, end):
            still[t, 0, joint] = points[:end, 0, joint][there].mean(0) if there[t] else 0
    with registry.room(bench.room.folder):
        network = bench.network()
        stored = ArrayClips([each.transpose(3, 0, 2, 1) for each in (points, still)], num_class=60)
        logits = network.logits(network.archive_feeder(stored, None, None, None)).astype(np.float64)
    odds = logits[:, 0] - logsumexp(logits[:, 1:], axis=1)
    close = 1e-5 * float(np.abs(odds).max())  # of float32
    assert clip["log_odds"] == pytest.approx(odds[0], abs=close) and abs(odds[0] - odds[1]) > 10 * close
    number = result(bench)["parts"].index("right arm")
    assert clip["occlusion"][0][number][1] == pytest.approx(odds[0] - odds[1], abs=2 * close)

    capsys.readouterr()
    label = int(labels[0])
    assert explain(bench, archive, "--class", str(label), *FEWER, "--sanity") == 0
    said, told = capsys.readouterr().out, result(bench)
    assert {each["label"] for each in told["clips"]} == {label} == {each["class"] for each in told["clips"]}
    assert [row["share"] for row in told["sanity"]][-1] == 1.0 and "100 % of the layers random" in said
    mean = np.mean([each["occlusion"] for each in told["clips"]], axis=0)
    np.testing.assert_allclose(told["mean"]["occlusion"], mean, atol=2e-5)
    for name in ("explanations.png", "sanity.png"):
        assert (bench.output / name).read_bytes().startswith(b"\x89PNG")

    np.save(tmp_path / "walk.npy", walkers(50))
    assert explain(bench, tmp_path / "walk.npy", "--keypoints", "coco17", "--window", "24", *FEWER) == 0
    assert [(each["first_frame"], each["last_frame"]) for each in result(bench)["clips"]] == [(0, 23), (12, 35)]
    assert "<canvas" in (bench.output / "explanations.html").read_text()


def test_mistakes_are_one_line(bench, data, tmp_path, capsys):
    archive = data / "data/NTU60_CS.npz"
    np.save(tmp_path / "walk.npy", walkers(20))
    (tmp_path / "file").write_text("")
    for words, told in (
        (["--class", "drink watr"], "Did you mean 'drink water'?"),
        (["--class", "30"], "has no clip of class 30"),
        (["--class", "0", "--index", "0"], "leave one out"),
        (["--pieces", "0"], "--pieces must be at least 1"),
        (["--steps", "5000"], "--steps 5000 must be at most 4096"),
        (["--seed", "-1"], "--seed -1"),
        (["--output", str(tmp_path / "file")], "is a file"),
        (["--baseline", "median"], "--baseline"),
        (["--weights", "none.pt"], "none.pt"),
        (["--input", str(tmp_path / "none.npz")], "does not exist"),
        (["--input", str(tmp_path / "walk.npy"), "--keypoints", "coco17", "--class", "0"], "--class is for archives"),
        (["--input", str(tmp_path / "walk.npy"), "--keypoints", "coco17", "--index", "0"], "--index is for archives"),
    ):
        assert explain(bench, archive, *words) == 2, words
        error = capsys.readouterr().err
        assert told in error and error.startswith("error: ") and error.count("\n") == 1, error
    assert not bench.output.exists()
