"""SkateFormer's feeders: fixtures of items and operations, a slow oracle of training, distributions, edge cases."""

from __future__ import annotations

import pickle

import feeder_cases as cases
import numpy as np
import pytest
import torch
from feeder_cases import CASES
from parity.kaggle_sample import TEST, TRAIN, make_kaggle_npz, to_ntvm
from scipy import stats
from tiny_data import make_ucla

from skeleton_lab import registry
from skeleton_lab.data.feeders import augmentation, frame_sampling, pipeline, transforms
from skeleton_lab.data.feeders.base import Batch
from skeleton_lab.data.feeders.pipeline import Work
from skeleton_lab.data.feeders.sample_rng import Draws
from skeleton_lab.errors import ArchiveError, FeederArgumentError, LabError, UsageError
from skeleton_lab.skeletons import bones as streams

skate = registry.load("SkateFormer", "feeders.augment")
Feeder = registry.load("SkateFormer", "feeders.feeder_ntu.Feeder")
Inter = registry.load("SkateFormer", "feeders.feeder_ntu_inter.Feeder")
UCLA = registry.load("SkateFormer", "feeders.feeder_ucla.Feeder")
PUBLISHED = {
    "split": "train", "aug_method": "a123489", "intra_p": 0.5, "inter_p": 0.2, "window_size": 64, "thres": 64,
    "p_interval": [0.5, 1], "uniform": True, "partition": True,
}  # fmt: skip
EVERYTHING = {**PUBLISHED, "aug_method": "ab123456789"}
FLIP = {**{v: v + 4 for v in (4, 5, 6, 7, 12, 13, 14, 15)}, 21: 23, 22: 24}
ROWS = np.zeros(1, np.int64)


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("skate") / "NTU60_CS.npz"
    make_kaggle_npz(path)
    return str(path)


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
    cases.verify(case, cases.clip_of(skate.BoneLengths(streams.NTU_SKATE).transferred(x, lent)))


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


# --- a slow oracle ----------------------------------------------------------------------------------------------------


def resized(x: np.ndarray, window: int) -> np.ndarray:
    """Axis 1 of x (K, L, ...) by half-pixel interpolation, float64."""
    length = x.shape[1]
    s = np.maximum((np.arange(window) + 0.5) * (length / window) - 0.5, 0)
    i0 = np.minimum(np.floor(s).astype(int), length - 1)
    i1, a = np.minimum(i0 + 1, length - 1), (s - i0).reshape(1, -1, *[1] * (x.ndim - 2))
    return (1 - a) * x[:, i0] + a * x[:, i1]


def slow_frames(n: int, window: int, args: dict, draws: Draws) -> np.ndarray:
    p = draws.uniform("crop share", 1, *args["p_interval"])[0, 0]
    length = min(max(int(np.floor(n * p)), args["thres"]), n)
    bias = int(draws.uniform("crop place")[0, 0] * (n - length + 1))
    if not args["uniform"] or length < window:
        return bias + np.arange(length)
    if length < 2 * window:
        skips = np.flatnonzero(draws.ranks("skips", window + 1)[0] < length - window)
        return bias + np.array([k + (skips <= k).sum() for k in range(window)])
    bounds = [k * length // window for k in range(window + 1)]
    unit = draws.uniform("offsets", window)[0]
    return bias + np.array([low + int(u * (high - low)) for low, high, u in zip(bounds, bounds[1:], unit)])


def slow_within(y: np.ndarray, t: np.ndarray, clip: np.ndarray, methods: str, draws: Draws):
    """The augmentations within a clip, y (3, W, 25, 2), one after the other."""
    gates = {c: c in methods and draws.chance(f"gate {c}")[0] for c in "ab123456789"}
    W = y.shape[1]
    if gates["a"]:
        y = y[..., ::-1].copy()
    if gates["b"] and all(clip[..., m].any() for m in (0, 1)):
        y[..., 0] = 0
    if gates["1"]:
        (a, b, c), (d, e, f) = draws.uniform("s1", 3, -0.5, 0.5)[0], draws.uniform("s2", 3, -0.5, 0.5)[0]
        y = np.einsum("dc,ctvm->dtvm", [[1, a, d], [b, 1, e], [c, f, 1]], y)
    if gates["2"]:
        angle = np.deg2rad(draws.uniform("degrees", 1, -30.0, 30.0)[0, 0])
        c, s = np.cos(angle), np.sin(angle)
        turn = (
            [[1, 0, 0], [0, c, s], [0, -s, c]],
            [[c, 0, -s], [0, 1, 0], [s, 0, c]],
            [[c, s, 0], [-s, c, 0], [0, 0, 1]],
        )
        y = np.einsum("dc,ctvm->dtvm", turn[draws.integers("turn axis", 0, 3)[0, 0]], y)
    if gates["3"]:
        y = y * (1 + 0.2 * draws.uniform("scale", 3, -1.0, 1.0)[0])[:, None, None, None]
    if gates["4"]:
        both = FLIP | {b: a for a, b in FLIP.items()}
        y = np.stack([y[:, :, both.get(v, v)] for v in range(25)], axis=2)
    if gates["5"]:
        y, t = y[:, ::-1], -t
    if gates["6"]:
        y = y + 0.05 * draws.normal("noise", y.size).reshape(2, 25, 3, W).transpose(2, 3, 1, 0)
    if gates["7"]:
        sigma = draws.uniform("sigma", 1, 0.1, 2.0)[0, 0]
        weights = {k: np.exp(-(k**2) / (2 * sigma**2)) for k in range(-7, 8)}
        y = np.stack([sum(w * y[:, t + k] for k, w in weights.items() if 0 <= t + k < W) for t in range(W)], axis=1)
    if gates["8"]:
        y = y.copy()
        y[draws.integers("axis", 0, 3)[0, 0]] = 0
    if gates["9"]:
        joints = np.flatnonzero(draws.ranks("joints", 25)[0] < draws.integers("joint count", 5, 16)[0, 0])
        count = draws.integers("frame count", min(16, W), min(32, W) + 1)[0, 0]
        frames = np.flatnonzero(draws.ranks("frames of the grid", W)[0] < count)
        y = y.copy()
        y[:, frames[:, None], joints] = 0
    return y, t


def bones_of(x: np.ndarray) -> np.ndarray:
    return np.stack([x[:, :, v] - x[:, :, u] for v, u in enumerate(streams.NTU_SKATE)], axis=2)


def slow_between(y: np.ndarray, t: np.ndarray, index: int, stored: np.ndarray, labels: list[int], draws: Draws):
    same = [i for i, label in enumerate(labels) if label == labels[index]]
    clip = stored[same[int(draws.uniform("reference")[0, 0] * len(same))]]
    f = int((clip != 0).any((0, 2, 3)).sum())
    frames = np.round((t + 1) * np.float32(f) / 2).astype(int)
    lent = np.concatenate([clip, np.zeros_like(clip[:, :1])], axis=1)[:, np.minimum(frames, clip.shape[1])]
    bones = bones_of(y)
    lengths = [np.sqrt((b**2).sum(0)) + 1e-5 for b in (bones_of(lent), bones)]
    bones = bones * (lengths[0] / lengths[1])

    def place(v: int) -> np.ndarray:
        return lent[:, :, 1] if v == 1 else bones[:, :, v] + place(streams.NTU_SKATE[v])

    return np.stack([place(v) for v in range(25)], axis=2)


def slow_item(stored: np.ndarray, labels: list[int], index: int, args: dict, draws: Draws):
    """One training item as the published code makes it: (3, W, V, 2) and (W,)."""
    clip, window = stored[index], args["window_size"]
    n = int((clip != 0).any((0, 2, 3)).sum())
    frames = slow_frames(n, window, args, draws)
    y, q = clip[:, frames].astype(np.float64), frames[None].astype(np.float64)
    if len(frames) != window:
        y, q = resized(y, window), resized(q, window)
    if not args["uniform"]:
        q = np.minimum(q, frames[-1])
    t = (2 * q[0] / n - 1).astype(np.float32)
    branch = draws.uniform("branch")[0, 0]
    if branch < args["intra_p"]:
        y, t = slow_within(y, t, clip, args["aug_method"], draws)
    elif branch < args["intra_p"] + args["inter_p"]:
        y = slow_between(y, t, index, stored, labels, draws)
    if "b" in args["data_type"]:
        y = bones_of(y)
    if "m" in args["data_type"]:
        y = np.concatenate([np.diff(y, axis=1), np.zeros_like(y[:, :1])], axis=1)
    return y[:, :, streams.NTU_PARTS] if args["partition"] else y, t


@pytest.mark.parametrize(
    "extra",
    [{}, {"data_type": "b", "uniform": False}, {"data_type": "jm", "window_size": 48, "thres": 48},
     {"data_type": "bm", "partition": False, "window_size": 100}, {"inter_p": 0.5}, {"window_size": 24}],
    ids=str,
)  # fmt: skip
def test_training_batch_equals_slow_loop(archive, extra):
    args = {**EVERYTHING, "data_type": "j", **extra}
    fed = Feeder(archive, **args)
    fed.seed = 3
    stored, labels = to_ntvm(cases.kaggle()["x_train"]), [label for _, _, label, _ in TRAIN]
    for epoch in range(6):
        x, index_t, y, index = fed.__getitems__(Batch(range(12), epoch))
        assert (x.dtype, index_t.dtype, index_t.shape) == (torch.float32, torch.float32, (12, args["window_size"]))
        assert (y.tolist(), index.tolist()) == (labels, list(range(12)))
        for i in range(12):
            want, want_t = slow_item(stored, labels, i, args, Draws(3, epoch, np.array([i])))
            np.testing.assert_allclose(x[i], want, atol=1e-4)
            np.testing.assert_allclose(index_t[i], want_t, atol=1e-6)


@pytest.mark.parametrize("extra", [{}, {"data_type": "bm"}, {"uniform": False, "window_size": 50}], ids=str)
def test_an_item_does_not_depend_on_its_batch(archive, extra):
    fed = Feeder(archive, **{**EVERYTHING, **extra})
    for fed.epoch in range(3):
        x, t, y, _ = fed.__getitems__(Batch(range(12), fed.epoch))
        for i in range(12):
            data, index_t, label, index = fed[i]
            np.testing.assert_array_equal(data, x[i].numpy())
            np.testing.assert_array_equal(index_t, t[i].numpy())
            assert (label, index) == (y[i], i)


def test_a_pickled_feeder_feeds_the_same(archive):
    fed = Feeder(archive, **{**PUBLISHED, "intra_p": 0.0, "inter_p": 1.0})
    want = fed.__getitems__(range(12))
    with registry.room("SkateFormer"):
        packed = pickle.dumps(fed)
        again = pickle.loads(packed).__getitems__(range(12))
    assert len(packed) < 100_000
    assert all(torch.equal(a, b) for a, b in zip(again, want))


# --- distributions ----------------------------------------------------------------------------------------------------


def many(clip: np.ndarray, count: int) -> Work:
    """``count`` samples, all of them the clip (3, T, V, M), each with its own draws."""
    x = cases.batch_of(clip).repeat(count, 1, 1, 1, 1)
    same = np.zeros(count, np.int64)
    work = Work(cases.ArrayClips(clip[None]), same, Draws(0, 0, np.arange(count)), x=x)
    work.n, work.stored = work.clips.lengths(same)
    work.index_t = np.zeros((count, clip.shape[1]), np.float32)
    return work


def test_each_augmentation_happens_to_half_of_the_clips():
    clip = cases.case_input(CASES["shear/5"]["input"])
    for character in "ab123456789":
        work = many(clip, 800)
        before = work.x.clone()
        skate.Augment(character, 0.5, 0.0)(work)
        changed = (work.x != before).flatten(1).any(1)
        assert abs(changed.float().mean() - 0.25) < 0.06, character
        branch = work.draws.uniform("branch")[:, 0]
        assert (branch[changed.numpy()] < 0.5).all()
    work = many(clip, 100)
    before = work.x.clone()
    skate.Augment("z", 1.0, 0.0)(work)
    assert torch.equal(work.x, before)


def test_draws_follow_the_recipe(archive):
    draws, count = Draws(0, 0, np.arange(5000)), 5000
    for key, k, low, high in (("s1", 3, -0.5, 0.5), ("degrees", 1, -30.0, 30.0), ("scale", 3, -1.0, 1.0),
                              ("sigma", 1, 0.1, 2.0)):  # fmt: skip
        values = draws.uniform(key, k, low, high)
        assert stats.kstest(values.ravel(), stats.uniform(low, high - low).cdf).pvalue > 1e-4
    assert stats.kstest(draws.normal("noise", 2).ravel(), "norm").pvalue > 1e-4
    work = many(np.ones((3, 64, 25, 1), np.float32), count)
    augmentation.drop_joints(work, np.arange(count), work.draws)
    gone = (work.x[:, 0, :, 0] == 0).numpy()  # (N, V, W)
    joints, frames = gone.any(2).sum(1), gone.any(1).sum(1)
    assert stats.chisquare(np.bincount(joints)[5:]).pvalue > 1e-4
    assert stats.chisquare(np.bincount(frames)[16:]).pvalue > 1e-4
    assert (joints.max(), frames.max()) == (15, 32)
    np.testing.assert_allclose(gone.any(2).mean(0), 10 / 25, atol=0.03)
    np.testing.assert_allclose(gone.any(1).mean(0), 24 / 64, atol=0.03)
    fed = Feeder(archive, **PUBLISHED)
    other = skate.BoneLengths(streams.NTU_SKATE).reference(fed.clips, np.zeros(count, int), draws)  # of class 3
    assert sorted(set(other)) == [0, 3, 7]
    assert stats.chisquare(np.bincount(other)[[0, 3, 7]]).pvalue > 1e-4


# --- edge cases -------------------------------------------------------------------------------------------------------


def save(path, x: np.ndarray, labels: np.ndarray | None = None) -> str:
    labels = np.zeros(len(x), np.int64) if labels is None else labels
    np.savez(path, x_train=x, y_train=labels, x_test=x, y_test=labels)
    return str(path)


@pytest.mark.parametrize("uniform", [False, True])
def test_empty_clip(tmp_path, uniform):
    path = save(tmp_path / "a.npz", np.zeros((3, 20, 150), np.float32))
    for split in ("train", "test"):
        args = {**EVERYTHING, "split": split, "intra_p": 1.0, "uniform": uniform}
        x, index_t, _, _ = Feeder(path, **args).__getitems__([0, 1, 2])
        assert x.shape == (3, 3, 64, 24, 2)
        assert (x == 0).all()
        np.testing.assert_allclose(index_t, np.broadcast_to(2 * np.arange(64) / 64 - 1, (3, 64)), atol=1e-6)


@pytest.mark.parametrize("uniform", [False, True])
def test_one_frame(archive, uniform):
    args = {"split": "test", "window_size": 64, "p_interval": [0.95], "uniform": uniform}
    with np.load(archive) as npz:
        stored = {key: npz[key] for key in npz.files}
    stored["x_test"] = stored["x_train"][2:3]
    stored["y_test"] = stored["y_train"][2:3]
    path = archive.replace("NTU60_CS", f"one_{uniform}")
    np.savez(path, **stored)
    data, index_t, *_ = Feeder(path, **args)[0]
    assert (data == data[:, :1]).all()
    assert data.any()
    assert (index_t == -1).all()
    assert (Feeder(path, **args, data_type="jm")[0][0] == 0).all()


def test_frames_beyond_the_array_are_zero(tmp_path):
    """40 frames, all recorded: the crop begins at 1 and is 40 long, so the last output fades toward zero."""
    x = np.ones((1, 40, 150), np.float32)
    path = save(tmp_path / "a.npz", x)
    data = Feeder(path, split="test", window_size=80, p_interval=[0.95], uniform=True)[0][0]
    assert (data[:, :76] == 1).all()
    np.testing.assert_allclose(data[0, -3:, 0, 0], [0.75, 0.25, 0], atol=1e-5)
    lent = save(tmp_path / "b.npz", np.random.default_rng(0).standard_normal((2, 40, 150)).astype(np.float32))
    args = {**PUBLISHED, "intra_p": 0.0, "inter_p": 1.0, "p_interval": [0.95]}
    assert torch.isfinite(Feeder(lent, **args).__getitems__([0, 1])[0]).all()


def test_short_windows(archive):
    fed = Feeder(archive, **{**EVERYTHING, "window_size": 8, "thres": 8, "intra_p": 1.0})
    for epoch in range(4):
        x, index_t, _, _ = fed.__getitems__(Batch(range(12), epoch))
        assert torch.isfinite(x).all()
        assert (x.shape[2], index_t.shape) == (8, (12, 8))


def test_one_person_archive(tmp_path):
    path = save(tmp_path / "a.npz", np.random.default_rng(0).standard_normal((6, 30, 75)).astype(np.float32))
    fed = Feeder(path, **{**EVERYTHING, "aug_method": "ab", "intra_p": 1.0, "num_person": None})
    plain = Feeder(path, **{**EVERYTHING, "aug_method": "", "intra_p": 1.0})
    x = fed.__getitems__(range(6))[0]
    assert x.shape == (6, 3, 64, 24, 1)
    assert torch.equal(x, plain.__getitems__(range(6))[0][..., :1])


def test_reference_without_frames_changes_nothing(tmp_path):
    x = np.zeros((2, 30, 150), np.float32)
    x[0] = np.random.default_rng(0).standard_normal((30, 150))
    args = {**PUBLISHED, "intra_p": 0.0, "inter_p": 1.0}
    path = save(tmp_path / "a.npz", x)
    fed, plain = Feeder(path, **args), Feeder(path, **{**args, "inter_p": 0.0})
    drawn = cases.run(fed, 0, {"reference": 1})
    assert torch.equal(drawn.x, cases.run(plain, 0, {}).x)
    assert not torch.equal(drawn.x, cases.run(fed, 0, {"reference": 0}).x)


def test_missing_persons_in_a_transfer():
    """One who is only in x becomes a point; one who is only in the other clip becomes a point at its root."""
    x = cases.batch_of(cases.case_input(CASES["adain/5"]["input"]))
    lent = cases.batch_of(cases.case_input(CASES["adain/5"]["reference"]))  # without a second person
    transfer = skate.BoneLengths(streams.NTU_SKATE)
    alone = transfer.transferred(x, lent * torch.tensor([1.0, 0.0]).view(1, 2, 1, 1, 1))
    assert alone[:, 1].abs().max() < 1e-4
    x[:, 1] = 0
    lent[:, 1] = lent[:, 0]
    point = transfer.transferred(x, lent)[:, 1]
    torch.testing.assert_close(point, lent[:, 1, 1:2].expand_as(point))


def test_labels_of_120_classes(tmp_path):
    labels = np.array([3, 49, 59, 60, 105, 119, 104])
    x = np.random.default_rng(0).standard_normal((7, 5, 150)).astype(np.float32)
    fed = Inter(save(tmp_path / "a.npz", x, np.eye(120)[labels]), window_size=8, split="test")
    assert (fed.label.tolist(), fed.num_class) == ([0, 10, 11, 25], 26)
    np.testing.assert_array_equal(
        fed[2][0][:, 4], Feeder(str(tmp_path / "a.npz"), window_size=8, split="test")[4][0][:, 4]
    )
    assert fed.sample_name == [f"test_{i}" for i in range(4)]
    assert len(Inter(str(tmp_path / "a.npz"), window_size=8, debug=True)) == 4
    with pytest.raises(ArchiveError, match="two-person"):
        Inter(save(tmp_path / "b.npz", x[:1], labels[:1]), window_size=8)


def test_edges_follow_the_order_of_joints(archive):
    fed = Feeder(archive, split="test", window_size=8, partition=True)
    assert len(fed.edges) == 23
    edges = {(int(streams.NTU_PARTS[a]), int(streams.NTU_PARTS[b])) for a, b in fed.edges}
    assert {(2, 1), (4, 1), (8, 1), (24, 11), (0, 1)} < edges
    assert len(Feeder(archive, split="test", window_size=8).edges) == 24


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
