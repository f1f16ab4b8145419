"""SkateFormer's feeders: fixtures of items and operations, NW-UCLA, arguments."""

from __future__ import annotations

import feeder_cases as cases
import numpy as np
import pytest
import torch
from feeder_cases import CASES
from parity.kaggle_sample import TEST
from skate_feeders import EVERYTHING, PUBLISHED, UCLA, Feeder, Inter, augment
from tiny_data import make_ucla

from skeleton_lab.data.feeders import augmentation, frame_sampling, pipeline, transforms
from skeleton_lab.data.feeders.base import Batch
from skeleton_lab.errors import FeederArgumentError, LabError, UsageError
from skeleton_lab.skeletons import bones as streams

ROWS = np.zeros(1, np.int64)


# --- fixtures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", cases.names("skate/test", "skate/inter/test"))
def test_fixture(name, archive):
    case = CASES[name]
    kind = Inter if "inter" in case["feeder"] else Feeder
    cases.verify_item(kind(archive, **case["args"]), case)


def test_fixture_inter_labels(archive):
    splits = [Inter(archive, **{**PUBLISHED, "split": split}) for split in ("train", "test")]
    cases.verify(CASES["skate/inter/labels"], *(fed.label for fed in splits))
    assert splits[0].num_class == 11
    assert splits[0].sample_name[-1] == "train_5"


def sampling_draws(n: int, window: int, draws: dict) -> dict:
    """The draws of a crop and its frames under the keys of the steps."""
    length = draws.get("cropped_length") or min(max(int(n * draws["p"]), 64), n)
    given = {"crop share": draws["p"], "crop place": (draws["bias"] + 0.5) / (n - length + 1)}
    if "skips" in draws:
        given["skips"] = draws["skips"]
    if "offsets" in draws:
        given["offsets"] = (np.array(draws["offsets"]) + 0.5) / np.diff(
            frame_sampling.even(np.array([length]), window)[0]
        )
    return given


@pytest.mark.parametrize("name", cases.names("skate/crop/", "skate/uniform/"))
def test_fixture_sampling(name):
    case = CASES[name]
    uniform, window, n = "uniform" in name, case["args"]["window"], case["args"]["valid"]
    crop = (frame_sampling.UniformCrop if uniform else pipeline.Crop)(
        tuple(case["args"]["p_interval"]), case["args"]["thres"]
    )
    given = sampling_draws(n, window, case["draws"])

    def both(work):
        crop(work)
        frame_sampling.TimedFrames(window, uniform, random=True)(work)

    work = cases.apply(both, cases.case_input(case["input"]), given, n=np.array([n]))
    cases.verify(case, cases.clip_of(work.x), work.index_t[0])


def applied_draws(methods: str, applied: dict) -> dict:
    """The draws of augmentations under the keys of ``augment``; what a fixture does not name has a closed gate."""
    names = {"swap": "a", "drop_person": "b", "shear": "1", "rotate": "2", "scale": "3", "flip": "4", "reverse": "5",
             "axis": "8", "joints": "9"}  # fmt: skip
    given = {f"gate {c}": False for c in methods}
    given.update({f"gate {names[name]}": True for name in applied if name in names})
    if "shear" in applied:
        given.update({"s1": applied["shear"][:3], "s2": applied["shear"][3:]})
    if "rotate" in applied:
        given.update({"turn axis": applied["rotate"][0], "degrees": applied["rotate"][1]})
    if "joints" in applied:
        given.update({"joint count": len(applied["joints"]), "joints": applied["joints"]})
        given.update({"frame count": len(applied["frames"]), "frames of the grid": applied["frames"]})
    return given | {key: applied[key] for key in ("scale", "axis") if key in applied}


@pytest.mark.parametrize("name", cases.names("skate/item/"))
def test_fixture_training_item(name, archive):
    case = CASES[name]
    draws, args, index = case["draws"], case["args"], case["index"]
    fed = Feeder(archive, **args)
    given = sampling_draws(int(fed.clips.lengths(np.array([index]))[0][0]), 64, draws)
    if draws["branch"] == "intra":
        given.update({"branch": 0.1}, **applied_draws(args["aug_method"], draws["applied"]))
    else:
        given.update(
            {"branch": 0.6, "reference": np.argsort(fed.label, kind="stable").tolist().index(draws["reference"])}
        )
    work = cases.run(fed, index, given)
    assert fed.label[index] == case["label"]
    cases.verify(case, cases.clip_of(work.x), work.index_t[0])


def operated(name: str, operation, draws: dict | None = None, **known):
    """An operation of ``augment`` on the input of a fixture."""
    case = CASES[name]
    work = cases.apply(lambda work: operation(work, ROWS, work.draws), cases.case_input(case["input"]), draws, **known)
    return case, work


def test_fixture_flips():
    case, work = operated("spatial_flip/5", augmentation.mirror)
    cases.verify(case, cases.clip_of(work.x))
    times = np.linspace(*CASES["temporal_flip/5"]["input"]["index_t"], 64, dtype=np.float32)[None]
    case, work = operated("temporal_flip/5", augmentation.reverse, index_t=times)
    cases.verify(case, cases.clip_of(work.x), work.index_t[0])


def test_fixture_noise():
    normal = np.random.RandomState(CASES["gaussian_noise/5"]["draws"]["standard_normal_seed"]).standard_normal
    noise = normal((3, 64, 25, 2)).transpose(3, 2, 0, 1)
    case, work = operated("gaussian_noise/5", augmentation.add_noise, {"noise": noise})
    cases.verify(case, cases.clip_of(work.x))


@pytest.mark.parametrize("name", cases.names("gaussian_filter/"))
def test_fixture_blur(name):
    case, work = operated(name, augmentation.smooth, {"sigma": CASES[name]["draws"]["sigma"]})
    cases.verify(case, cases.clip_of(work.x))


def test_fixture_drops():
    case, work = operated("drop_axis/5", augmentation.drop_axis, {"axis": CASES["drop_axis/5"]["draws"]["axis"]})
    cases.verify(case, cases.clip_of(work.x))
    draws = applied_draws("", CASES["drop_joint/5"]["draws"])
    case, work = operated("drop_joint/5", augmentation.drop_joints, {k: v for k, v in draws.items() if "gate" not in k})
    cases.verify(case, cases.clip_of(work.x))


@pytest.mark.parametrize("name", ["shear/5", "scale/5", *cases.names("rotate/")])
def test_fixture_matrices(name):
    case = CASES[name]
    draws = {key: np.array([value]) for key, value in case["draws"].items()}
    make = {"s": augmentation.shear_matrices, "a": augmentation.axis_rotations, "u": augmentation.scale_matrices}[
        min(draws)[0]
    ]
    cases.verify(case, cases.clip_of(transforms.linear(cases.batch_of(cases.case_input(case["input"])), make(**draws))))


@pytest.mark.parametrize("name", cases.names("adain"))
def test_fixture_bone_lengths(name):
    case = CASES[name]
    x, lent = (cases.batch_of(cases.case_input(case[key])) for key in ("input", "reference"))
    cases.verify(case, cases.clip_of(augment.BoneLengths(streams.NTU_SKATE).transferred(x, lent)))


def test_fixtures_of_helpers_that_no_feeder_uses():
    """Both are other steps with particular arguments."""
    case = CASES["subtract/5"]
    x = cases.batch_of(cases.case_input(case["input"]))
    cases.verify(case, cases.clip_of(transforms.bone(x, torch.full((25,), case["draws"]["joint"]))))
    case = CASES["downsample/3/2"]
    x = cases.batch_of(cases.case_input(case["input"]))
    frames = np.arange(case["draws"]["begin"], x.shape[-1], case["args"]["step"])[None]
    cases.verify(case, cases.clip_of(transforms.pick_frames(x, frames)))


@pytest.mark.parametrize("name", cases.names("skateformer/ucla"))
def test_fixture_ucla(name):
    case = CASES[name]
    fed = UCLA(**case["args"], root=str(cases.recordings()))
    assert fed.clips.names[case["index"]] == case["file"]
    if "draws" in case:
        work = cases.run(fed, case["index"], cases.ucla_draws(case["draws"]))
        assert fed.label[case["index"]] == case["label"]
        cases.verify(case, cases.clip_of(work.x.float()), work.index_t[0])
    else:
        cases.verify_item(fed, case)


# --- NW-UCLA ----------------------------------------------------------------------------------------------------------


def test_ucla_items(tmp_path, monkeypatch):
    make_ucla(tmp_path / "data" / "NW-UCLA" / "all_sqe")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NW_UCLA_ROOT", raising=False)
    args = {"data_path": "./data/NW-UCLA/all_sqe/", "label_path": "val"}
    fed = UCLA(**args)
    data, index_t, label, index = fed[1]
    assert (data.shape, index_t.shape, label, index) == ((3, 64, 20, 1), (64,), fed.label[1], 1)
    length = 10 + int(fed.clips.names[1][10])  # the episode
    frames = np.trunc(np.arange(64) * ((length - 1) / 63))
    frames[-1] = length - 1
    np.testing.assert_allclose(index_t, 2 * frames / length - 1, atol=1e-6)
    ordered = UCLA(**args, partition=True)
    np.testing.assert_array_equal(ordered[1][0], data[:, :, streams.UCLA_PARTS])
    assert len(ordered.edges) == 19
    moving = UCLA(**args, data_type="bm")[1][0]
    bones = np.stack([data[:, :, v] - data[:, :, u] for v, u in enumerate(streams.UCLA)], axis=2)
    np.testing.assert_allclose(moving[:, :-1], np.diff(bones, axis=1), atol=1e-6)
    training = UCLA("unused", "train", repeat=3, p=0.0)
    assert len(training) == 36
    x, t, _, _ = training.__getitems__(Batch(range(36)))
    assert (np.diff(t, axis=1) >= 0).all()
    assert not (x == 0).any()
    assert (UCLA("unused", "train", p=1.0).__getitems__([0])[0] == 0).any()


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"threshold": 64}, FeederArgumentError, ["'threshold'", "thres"]),
        ({"thres": 0}, UsageError, ["thres", "0"]),
        ({"intra_p": 1.5}, UsageError, ["intra_p", "1.5"]),
        ({"inter_p": "0.2"}, UsageError, ["inter_p"]),
        ({"window_size": None}, UsageError, ["window_size"]),
        ({"p_interval": [0.9, 0.5]}, UsageError, ["p_interval"]),
        ({"data_path": None}, FeederArgumentError, ["data_path"]),
        ({"split": "val"}, LabError, ["val", "train", "test"]),
    ],
    ids=str,
)
def test_bad_arguments(archive, arguments, error, words):
    with pytest.raises(error) as caught:
        Feeder(**{"data_path": archive, **PUBLISHED, **arguments})
    assert isinstance(caught.value, LabError)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"p": 2}, ["p", "2"]), ({"repeat": 0}, ["repeat"]), ({"bone": True}, ["'bone'", "data_type"])],
)
def test_bad_arguments_ucla(arguments, words):
    with pytest.raises(LabError) as caught:
        UCLA(**{"data_path": "x", "label_path": "val", **arguments})
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_the_test_split_is_never_augmented(archive):
    args = {**EVERYTHING, "split": "test", "intra_p": 1.0, "p_interval": [0.95]}
    fed = Feeder(archive, **args)
    first = fed.__getitems__(Batch(range(8), 0))
    assert all(torch.equal(a, b) for a, b in zip(fed.__getitems__(Batch(range(8), 1)), first))
    assert first[2].tolist() == [label for _, _, label, _ in TEST]
