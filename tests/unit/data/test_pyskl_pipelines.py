"""PYSKL's and ProtoGCN's pipelines: every recorded case of the published code, and what a list of steps may be."""

from __future__ import annotations

import json
import random

import numpy as np
import pyskl_clips
import pytest
import torch
from parity.kaggle_sample import check
from places import PARITY

from skeleton_lab.data.feeders.pyskl_compose import STEPS, Compose
from skeleton_lab.data.feeders.pyskl_pipelines import PUBLISHED, adapted, fits
from skeleton_lab.data.feeders.pyskl_streams import GenSkeFeat, k_parents, parents
from skeleton_lab.engine.evaluate import average, top_accuracies
from skeleton_lab.ensemble import fusion
from skeleton_lab.errors import UsageError
from skeleton_lab.skeletons import layouts
from skeleton_lab.utils.statistics import mean_class_accuracy

FIXTURE = json.loads((PARITY / "pyskl_feeders.json").read_text())
with np.load(PARITY / "pyskl_feeders.npz") as npz:
    EXPECTED = dict(npz)
CASES = {case["id"]: case for case in FIXTURE["cases"]}
BEGINNINGS = sorted({name.split("/")[0] + "/" + name.split("/")[1] for name in CASES})


def item_of(case: dict) -> dict:
    told = case["annotation"]
    item = pyskl_clips.compressed(case["seed"]) if told == "compressed" else pyskl_clips.annotation(**told)
    return {**item, "start_index": 0, "modality": "Pose", "test_mode": case["test_mode"]}


def replay(case: dict) -> None:
    """A case of a pipeline, or of the frames alone, with the published generators from the recorded seed."""
    if "np_seed" in case:
        np.random.seed(case["np_seed"])
        random.seed(case["np_seed"])
    if case.get("op") == "frames":
        arguments = {key: value for key, value in case["args"].items() if key != "type"}
        made = STEPS[case["args"]["type"]](**arguments).frames(case["frames"], case["test_mode"], np.random)
        check(made, case["outputs"][0], EXPECTED)
        return
    item = Compose(case["pipeline"])(item_of(case))
    for entry in case["outputs"]:
        check(item[entry["name"]], entry, EXPECTED, case.get("half_tolerance", 1e-5))
    assert item["total_frames"] == case["total_frames"]
    assert "frame_inds" not in case or item["frame_inds"].tolist() == case["frame_inds"]


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_recorded(beginning):
    chosen = [case for name, case in CASES.items() if f"{name}/".startswith(f"{beginning}/")]
    assert chosen
    for case in chosen:
        if "pipeline" in case or case.get("op") == "frames":
            replay(case)


def test_recorded_scores():
    """Averages of clips, accuracies, fusion; nothing of the fixture is left over."""
    generator = np.random.RandomState(77)
    logits = generator.standard_normal((5, 10, 7)).astype(np.float32) * 2
    made = {mode: average(torch.from_numpy(logits), mode) for mode in ("prob", "score")}
    check(made["prob"].softmax(1), CASES["score/average_clips/prob"]["outputs"][0], EXPECTED)
    check(made["score"], CASES["score/average_clips/score"]["outputs"][0], EXPECTED)
    labels, told = np.array(CASES["score/accuracy"]["labels"]), CASES["score/accuracy"]["expected"]
    assert top_accuracies(made["prob"], torch.from_numpy(labels), [1, 5]) == {1: told["top1"], 5: told["top5"]}
    assert mean_class_accuracy(labels, made["prob"].argmax(1).numpy()) == told["mean_class"]
    streams = {s: generator.dirichlet(np.ones(7), 5).astype(np.float32) for s in ("j", "b", "k", "jm", "bm", "km")}
    for case in (CASES[f"score/fusion/{word}"] for word in ("two", "four", "six")):
        stacked = fusion.probabilities(np.log(np.stack([streams[s] for s in case["streams"]])))
        fused = fusion.combine(stacked, case["weights"])
        check(fused, case["outputs"][0], EXPECTED)
        assert fused.argmax(1).tolist() == case["predicted"]
    replayed = [case for case in CASES.values() if "pipeline" in case or case.get("op") == "frames"]
    assert len(replayed) + len([name for name in CASES if name.startswith("score/")]) == len(CASES) == 340


def test_mean_class_accuracy_counts_every_class_once():
    labels, predicted = np.array([0, 0, 0, 1, 2]), np.array([0, 0, 1, 1, 3])
    assert mean_class_accuracy(labels, predicted) == pytest.approx((2 / 3 + 1 + 0 + 0) / 4)


def test_k_bones_by_the_rule():
    """Two links up the tree; no bone where the first link ends at the root."""
    assert k_parents("nturgb+d").tolist() == [
        20, 1, 2, 20, 4, 20, 4, 5, 8, 20, 8, 9, 1, 0, 12, 13, 1, 0, 16, 17, 20, 7, 6, 11, 10
    ]  # fmt: skip
    assert k_parents("coco").tolist() == [0, 1, 2, 0, 0, 5, 6, 0, 0, 5, 6, 11, 12, 0, 0, 11, 12]
    assert k_parents("openpose").tolist() == [0, 1, 2, 1, 2, 5, 1, 5, 1, 2, 8, 1, 5, 11, 1, 1, 0, 0]
    assert k_parents("openpose_new").tolist() == [
        0, 1, 2, 1, 2, 5, 1, 5, 19, 18, 8, 19, 18, 11, 1, 1, 0, 0, 1, 19
    ]  # fmt: skip
    assert parents("coco")[[11, 12]].tolist() == [0, 0] and parents("coco17")[[11, 12]].tolist() == [5, 6]


def test_a_pipeline_for_another_skeleton():
    """Points of a picture get the normalisation of two dimensions, a body in space the one of three."""
    coco, hand, ntu = (layouts.layout(name) for name in ("coco17", "hand21", "ntu25"))
    assert fits(PUBLISHED, ntu, False) and not fits(PUBLISHED, coco, True)
    flat = adapted(PUBLISHED, coco, True)
    assert [step["type"] for step in flat][:2] == ["PreNormalize2D", "GenSkeFeat"] and flat[1]["dataset"] == "coco"
    assert fits(flat, coco, True)
    in_space = adapted(PUBLISHED, layouts.layout("h36m17"), False)
    assert in_space[0]["type"] == "PreNormalize3D" and in_space[0]["xaxis"] == ((14,), (11,))
    assert adapted(PUBLISHED, hand, False)[0]["align_spine"] is False
    pixels = [{"type": "Flip", "flip_ratio": 0.5}, {"type": "Kinetics_Transform"}, {"type": "GenSkeFeat"}]
    body = layouts.layout("body25")
    made = adapted(pixels, body, True)
    assert [step["type"] for step in made] == ["Flip", "PreNormalize2D", "GenSkeFeat"]
    assert made[0]["left_kp"][:3] == (5, 6, 7) and made[0]["right_kp"][:3] == (2, 3, 4)
    assert [step["type"] for step in adapted(pixels, ntu, False)] == ["PreNormalize3D", "Spatial_Flip", "GenSkeFeat"]


def test_a_body_in_space_stands_upright_whatever_its_skeleton():
    """Hips below shoulders along z after the first rotation, wherever the camera was; the origin is the layout's."""
    skeleton = layouts.layout("h36m17")
    x = np.random.default_rng(0).normal(0, 0.02, (1, 6, 17, 3)).astype(np.float32)
    hip, spine = skeleton.trunk[:2]
    x[:, :, spine] += [0.1, -0.4, 0.3]
    step = adapted(PUBLISHED, skeleton, False)[0]
    item = Compose([{**step, "xaxis": step["zaxis"]}])({"keypoint": x + 5, "total_frames": 6})
    pose = item["keypoint"][0, 0]
    assert np.allclose(pose[list(skeleton.origin)].mean(0), 0, atol=1e-5)
    along = pose[hip] - pose[spine]
    assert along[0] / np.linalg.norm(along) == pytest.approx(1, abs=1e-5)


def test_scores_are_no_coordinates():
    """Of clips with scores the two coordinates alone turn and stretch."""
    item = {"keypoint": np.ones((1, 4, 17, 2), np.float32), "keypoint_score": np.full((1, 4, 17), 0.5, np.float32),
            "total_frames": 4, "img_shape": (10, 10)}  # fmt: skip
    steps = [{"type": "PreNormalize2D"}, {"type": "RandomScale", "scale": 0.5}, {"type": "RandomRot"}]
    out = Compose(steps)(item)["keypoint"]
    assert (out[..., 2] == 0.5).all() and not np.allclose(out[..., :2], -0.8)


@pytest.mark.parametrize(
    "steps, word",
    [
        ([{"type": "PreNormalise3D"}], "no step 'PreNormalise3D'. Did you mean 'PreNormalize3D'"),
        ([{"type": "UniformSample"}], "step UniformSample: missing 1 required positional argument: 'clip_len'"),
        ([{"type": "GenSkeFeat", "feats": ["x"]}], "stream 'x': choose from j, b, k"),
        ([{"type": "GenSkeFeat", "dataset": "coccyx"}], "data set 'coccyx' is unknown. Did you mean 'coco"),
        ([{"type": "UniformSample", "clip_len": 8, "p_interval": [0.9, 0.1]}], "p_interval is a share"),
        ([{"type": "PreNormalize2D", "mode": "x"}], "'fix' or 'auto'"),
        (["UniformSample"], "a step of a pipeline is"),
    ],
)
def test_wrong_steps(steps, word):
    with pytest.raises(UsageError) as error:
        Compose(steps)
    assert word in str(error.value)


def test_clips_that_a_step_cannot_take():
    item = {"keypoint": np.ones((1, 4, 18, 3), np.float32), "total_frames": 4}
    for steps, word in (
        ([{"type": "Kinetics_Transform"}], "17 joints of COCO, not 18"),
        ([{"type": "PadTo", "length": 3}], "4 frames, more than length=3"),
        ([{"type": "Flip", "flip_ratio": 1}], "img_shape"),
    ):
        with pytest.raises(UsageError, match=word):
            Compose(steps)(dict(item))
    with pytest.raises(UsageError, match="18 joints, and nturgb\\+d has 25"):
        GenSkeFeat()(dict(item))
