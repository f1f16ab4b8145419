"""Networks for skeletons that no published archive has say of recordings what the room's own test says of the clips."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import own_networks
import pytest
from sandbox import in_this_process

from skeleton_lab.data.archives import class_names
from skeleton_lab.errors import UsageError
from skeleton_lab.inference import overlay
from skeleton_lab.inference.any_skeleton import Unplaced
from skeleton_lab.inference.predictor import Predictor
from skeleton_lab.inference.windows import Row
from skeleton_lab.skeletons import layouts

NAMES = ("wave", "squat", "kick")
BODY = np.array([
    [0, -60], [5, -65], [-5, -65], [12, -62], [-12, -62], [20, -45], [-20, -45], [35, -20], [-35, -20], [40, 0],
    [-40, 0], [12, 0], [-12, 0], [13, 35], [-13, 35], [14, 70], [-14, 70],
])  # fmt: skip


def clip(rng: np.random.Generator, T: int) -> np.ndarray:
    """Pixels and scores (T, 17, 3) of somebody whose arms move, three decimals as a file has them; some joints bad."""
    points = BODY + rng.uniform(200, 400, 2) + 5 * np.sin(np.arange(T)[:, None, None] / 4 + rng.uniform(0, 6, (17, 2)))
    scores = np.where(rng.random((T, 17, 1)) < 0.06, 0.1, rng.uniform(0.5, 1, (T, 17, 1)))
    return np.concatenate([points, scores], -1).round(3)


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Namespace:
    """Eight clips as COCO's JSON and as an archive, and the configuration and weights of an untrained ST-GCN."""
    folder, rng = tmp_path_factory.mktemp("any"), np.random.default_rng(3)
    clips = [clip(rng, T) for T in (24, 17, 20, 9, 24, 12, 21, 23)]
    x = np.zeros((8, 3, 24, 17, 1), np.float32)
    for n, each in enumerate(clips):
        x[n, :, : len(each), :, 0] = each.transpose(2, 0, 1)
        people = [
            {"image_id": f"{t}.jpg", "category_id": 1, "keypoints": frame.ravel().tolist(), "score": 0.9}
            for t, frame in enumerate(each)
        ]
        (folder / f"{n}.json").write_text(json.dumps(people))
    labels = np.arange(8) % 3
    words = {"skeleton": "coco17", "channels": "xys", "units": "px", "class_names": np.array(NAMES)}
    np.savez(folder / "own.npz", x_train=x, y_train=labels, x_test=x, y_test=labels, **words)
    own_networks.stgcn(folder, len(NAMES))
    predictor = Predictor("stgcn", folder / "net.pt", config=folder / "config.yaml")
    return Namespace(folder=folder, predictor=predictor, clips=clips)


def test_key_points_are_answered_as_the_archive_of_them(lab):
    of_archive = lab.predictor(lab.folder / "own.npz")
    assert [each.label for each in of_archive] == [0, 1, 2, 0, 1, 2, 0, 1] and of_archive[0].classes == list(NAMES)
    logits = np.stack([each.logits for each in of_archive])
    assert logits.std(0).min() > 1e-4
    for n, expected in enumerate(of_archive):
        (of_json,) = lab.predictor(lab.folder / f"{n}.json", window=0)
        (of_array,) = lab.predictor(lab.clips[n], window=0)
        for each in (of_json, of_array):
            np.testing.assert_allclose(each.logits, expected.logits, rtol=1e-4, atol=1e-5)
            assert (each.first, each.last, each.classes) == (0, len(lab.clips[n]) - 1, list(NAMES))
    windows = [each for each in lab.predictor(lab.folder / "own.npz", window=10) if each.clip == of_archive[0].clip]
    again = lab.predictor(lab.folder / "0.json", window=10)
    assert [(each.first, each.last) for each in again] == [(0, 9), (5, 14), (10, 19), (14, 23)]
    for one, other in zip(windows, again):
        np.testing.assert_allclose(one.logits, other.logits, rtol=1e-4, atol=1e-5)


def test_windows_are_as_long_as_the_clips_that_were_trained_on(lab):
    """A whole clip was stretched over the network's frames; as few native ones would show a piece of the action."""
    twice = np.concatenate([lab.clips[0], lab.clips[4]])
    assert int(np.median([len(each) for each in lab.clips])) == 20
    told = [(each.first, each.last + 1) for each in lab.predictor(twice)]
    assert told == [(0, 20), (10, 30), (20, 40), (28, 48)]


def test_joints_that_were_not_found_do_not_stretch_the_picture():
    """They stand in the corner of the image, with a score of 0 or a low one."""
    layout, rng = layouts.layout("coco17"), np.random.default_rng(0)
    seen = clip(rng, 12)[:, None] + np.array([900, 300, 0])
    seen[..., 2] = 0.9
    gaps = seen.copy()
    gaps[3, 0, 5], gaps[4, 0, 6] = (0, 0, 0), (5, 5, 0.1)
    shown = []
    for points in (seen, gaps):
        recordings = Unplaced(["one"], None, layout, "px", scored=True)
        recordings._points = [points.astype(np.float32)]
        rows = [Row(0, 0, 12, "all", np.zeros(3))]
        shown += overlay.cards(recordings, rows, NAMES, 30.0, overlay.plan(recordings, rows))
    whole, holes = shown
    np.testing.assert_allclose(holes.clip.radius, whole.clip.radius, rtol=0.1)
    np.testing.assert_allclose(holes.clip.centre, whole.clip.centre, atol=3)
    assert (
        whole.found.all() and not holes.found[3, 0, 5] and not holes.found[4, 0, 6] and holes.found.sum() == 12 * 17 - 2
    )


def test_a_longer_skeleton_with_all_of_its_joints_is_cut_to_it(lab):
    whole = np.zeros((len(lab.clips[0]), 26, 3))  # Halpe's body goes on with head, neck, hip and feet
    whole[:, :17] = lab.clips[0]
    whole[:, 17:, :2] = lab.clips[0][:, 15:16, :2] + 3
    whole[:, 17:, 2] = 0.9
    (made,) = lab.predictor(whole, window=0)
    np.testing.assert_allclose(made.logits, lab.predictor(lab.clips[0], window=0)[0].logits, rtol=1e-4, atol=1e-5)


def test_a_longer_skeleton_in_another_order_is_said(lab, capsys):
    """25 joints may be a Kinect's: nobody has said that they are OpenPose's, which has COCO's in another order."""
    x = np.ones((12, 25, 3)) * np.arange(25)[:, None]
    lab.predictor(x, window=0)
    assert "25 joints are taken for body25's, of which those of coco17 are read" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"has 25 joints, and --keypoints coco17 has 17; leave it out if .* body25's"):
        lab.predictor(x, window=0, keypoints="coco17")


def test_scores_are_made_or_left_out_as_the_network_takes_them(lab):
    sure = lab.clips[1].copy()
    sure[..., 2] = 1
    np.testing.assert_allclose(
        lab.predictor(sure[..., :2], window=0)[0].logits, lab.predictor(sure, window=0)[0].logits, rtol=1e-5
    )


def test_what_such_a_network_refuses_is_one_line(lab, tmp_path):
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 25, 1)).astype(np.float32)
    np.savez(tmp_path / "ntu.npz", x_test=x, y_test=np.arange(2))
    flat = np.abs(x[:, :2, :, :17])
    words = {"skeleton": "h36m17", "channels": "xy", "units": "px"}
    np.savez(tmp_path / "h36m.npz", x_test=flat, y_test=np.arange(2), **words)
    np.savez(tmp_path / "unscored.npz", x_test=flat, y_test=np.arange(2), **(words | {"skeleton": "coco17"}))
    for given, wishes, told in (
        (tmp_path / "ntu.npz", {}, "is of the skeleton ntu25, and the network takes coco17"),
        (tmp_path / "h36m.npz", {}, "is of the skeleton h36m17, and the network takes coco17"),
        (tmp_path / "unscored.npz", {}, "has 17 joints of 2 channels, and the network takes 17 of 3"),
        (np.ones((5, 20, 3)), {}, "has 20 joints (ucla20), and the network takes 17 (coco17)"),
        (lab.clips[0], {"keypoints": "h36m17"}, "the network takes coco17"),
        (lab.folder / "0.json", {"split": "test"}, "--split is for archives"),
        (lab.folder / "own.npz", {"up": "y"}, "--up is for key points"),
        (lab.folder, {}, f"is a folder of recordings: name one of them (--input {lab.folder / '0.json'})"),
    ):
        with pytest.raises(UsageError) as refused:
            lab.predictor(given, **wishes)
        assert told in str(refused.value) and "\n" not in str(refused.value), str(refused.value)


def test_the_program_writes_flat_pages_with_the_names_of_the_archive(lab, tmp_path, capsys):
    from skeleton_lab import cli

    flags = ["--config", str(lab.folder / "config.yaml"), "--weights", str(lab.folder / "net.pt")]
    given = ["--input", str(lab.folder / "4.json"), "--output", str(tmp_path)]
    with in_this_process():
        assert cli.main(["predict", "stgcn", *flags, *given]) == 0
    assert "image-size" not in capsys.readouterr().err
    content = json.loads((tmp_path / "predictions.json").read_text())
    assert content["classes"] == list(NAMES) != class_names.published(3, False)
    page = (tmp_path / "predictions.html").read_text()
    assert all(name in page for name in NAMES) and Path(tmp_path / "predictions.png").stat().st_size > 1000
