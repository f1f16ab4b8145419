"""The synthetic archive: its format to the letter, bodies that stay bodies, and classes that only motion tells."""

from __future__ import annotations

import errno
import re
import resource
import shutil
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest
from places import ROOT
from scipy.optimize import minimize
from scipy.special import log_softmax

from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.data.synthetic import archive as synthetic
from skeleton_lab.data.synthetic import recorder
from skeleton_lab.data.synthetic.actions import ACTIONS, PAIRS, SINGLE, chosen
from skeleton_lab.data.synthetic.body_model import BONES, CHANNELS, LENGTHS, MIRRORED, Pose, bodies, mirror, pose_body
from skeleton_lab.doctor.examine import examine
from skeleton_lab.errors import UsageError

# The cross-subject benchmark of NTU RGB+D 60, written down again on purpose.
TRAIN_SUBJECTS = {1, 2, 4, 5, 8, 9, *range(13, 20), 25, 27, 28, 31, 34, 35, 38}
NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The archive of the demo: 10 classes, 600 training and 200 test clips."""
    path = tmp_path_factory.mktemp("synthetic") / "demo.npz"
    synthetic.write(path, train=600, test=200, progress=False)
    with np.load(path) as archive:
        return {key: archive[key] for key in archive}


def persons(x):
    return x.reshape(*x.shape[:2], 2, 25, 3)


def facts(names):
    return np.array([[int(number) for number in NAME.fullmatch(name).groups()] for name in names])


def small(path, **changes):
    arguments = {"train": 24, "test": 12, "classes": 12, "frames": 40, "progress": False} | changes
    synthetic.write(path, **arguments)
    return path


# ---------------------------------------------------------------------------------------------------- format


def test_members_are_those_of_the_kaggle_archive(demo):
    assert list(demo) == ["x_train", "y_train", "name_train", "x_test", "y_test", "name_test"]
    for split, n in (("train", 600), ("test", 200)):
        assert demo[f"x_{split}"].shape == (n, 300, 150) and demo[f"x_{split}"].dtype == np.float32
        assert demo[f"y_{split}"].shape == (n, 60) and demo[f"y_{split}"].dtype == np.float64
        assert demo[f"name_{split}"].shape == (n,) and demo[f"name_{split}"].dtype.kind == "U"


def test_members_are_stored_with_zip64_and_can_be_mapped(tmp_path):
    path = small(tmp_path / "a.npz")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None  # every CRC
        for member in archive.infolist():
            assert member.compress_type == zipfile.ZIP_STORED
            with open(path, "rb") as raw:  # the local header has the ZIP64 extra field, as numpy.savez writes it
                raw.seek(member.header_offset + 28)
                assert int.from_bytes(raw.read(2), "little") == 20


@pytest.mark.slow
def test_rows_after_the_end_and_missing_persons_are_zero(demo):
    for split in ("train", "test"):
        x = demo[f"x_{split}"]
        present = (x != 0).any(-1)
        n = present.sum(1)
        assert (present == (np.arange(300) < n[:, None])).all()  # no gaps: row t is there exactly if t < n
        seen = np.delete(persons(x) != 0, 1, axis=3).any(-1)  # (N, T, M, V), without the origin
        assert (seen.all(-1) == seen.any(-1)).all()  # a person is there with all joints or not at all
        assert seen[:, 0, 0].all()
        assert np.isfinite(x).all() and np.abs(x).max() < 10


def test_lengths_are_natural(demo):
    n = (demo["x_train"] != 0).any(-1).sum(1)
    assert 72 < n.mean() < 90 and 20 <= n.min() < 45 and 130 < n.max() <= 300


def test_origin_is_the_middle_of_the_spine_of_person_0_in_the_first_frame(demo):
    for split in ("train", "test"):
        assert (persons(demo[f"x_{split}"])[:, 0, 0, 1] == 0).all()
        assert (persons(demo[f"x_{split}"])[:, 1, 0, 1] != 0).any(-1).all()


def test_labels_are_one_hot_and_balanced(demo):
    for split, each in (("train", 60), ("test", 20)):
        y = demo[f"y_{split}"]
        assert set(np.unique(y)) == {0, 1} and (y.sum(1) == 1).all()
        counts = y.sum(0)
        assert sorted(counts[counts > 0]) == [each] * 10 and set(np.flatnonzero(counts)) == set(chosen(10, 0.2))


def test_names_tell_label_subject_and_camera(demo):
    every = []
    for split in ("train", "test"):
        f = facts(demo[f"name_{split}"])
        setup, camera, subject, replication, action = f.T
        assert (action - 1 == demo[f"y_{split}"].argmax(1)).all()
        assert set(camera) == {1, 2, 3} and setup.min() >= 1 and setup.max() <= 17 and replication.min() >= 1
        allowed = TRAIN_SUBJECTS if split == "train" else set(range(1, 41)) - TRAIN_SUBJECTS
        assert set(subject) == allowed
        every += list(demo[f"name_{split}"])
    assert len(set(every)) == 800


def test_two_persons_in_their_classes_and_rarely_elsewhere(demo):
    second = (persons(demo["x_train"])[:, :, 1] != 0).any((1, 2, 3))
    mutual = np.isin(demo["y_train"].argmax(1), range(49, 60))
    assert mutual.mean() == pytest.approx(0.2) and second[mutual].all()
    assert 0.005 < second[~mutual].mean() < 0.12  # bystanders


# ---------------------------------------------------------------------------------------------------- bodies


def median_bones(x):
    p = persons(x)[:, :, 0]
    lengths = np.stack([np.linalg.norm(p[:, :, a] - p[:, :, b], axis=-1) for a, b in BONES], -1)
    lengths[(p == 0).all((2, 3))] = np.nan
    return lengths, np.nanmedian(lengths, axis=1)


@pytest.mark.slow
def test_limb_lengths_belong_to_the_subject(demo):
    lengths, typical = median_bones(demo["x_train"])
    # Within a clip a limb keeps its length but for noise of about a centimetre and rare glitches.
    spread = np.nanmedian(np.abs(lengths - typical[:, None]), axis=1)
    assert spread.max() < 0.035 and np.median(spread) < 0.012
    # Not the actor alone is person 0 of a two-person clip: single-person clips name their subject.
    f, single = facts(demo["name_train"]), ~np.isin(demo["y_train"].argmax(1), range(49, 60))
    within, between = [], []
    for subject in TRAIN_SUBJECTS:
        own = typical[single & (f[:, 2] == subject)]
        within.append(own.std(0))
        between.append(own.mean(0))
    assert np.mean(within) < 0.012  # sensor bias only
    legs = [BONES.index(b) for b in ((13, 12), (14, 13), (17, 16), (18, 17))]
    assert np.std(np.sum(np.array(between)[:, legs], -1)) > 0.05  # tall and small people exist


def test_subjects_are_the_same_people_under_every_seed(tmp_path):
    a, b = (np.load(small(tmp_path / f"{seed}.npz", seed=seed, train=240)) for seed in (1, 2))
    means = []
    for archive in (a, b):
        single = ~np.isin(archive["y_train"].argmax(1), range(49, 60))
        mine = single & (facts(archive["name_train"])[:, 2] == 4)
        means.append(median_bones(archive["x_train"][mine])[1].mean(0))
    assert np.abs(means[0] - means[1]).max() < 0.02


def random_pose(frames=400):
    rows = np.random.default_rng(0).normal(0, 0.4, (len(CHANNELS), frames)).astype(np.float32)
    return Pose(rows)


def test_kinematics_keeps_every_limb_length_in_any_pose():
    pose, size = random_pose(), bodies()[7]
    joints = pose_body(pose, np.repeat(size[:, None], 400, axis=1))
    own = dict(zip(LENGTHS, size))
    for joint, parent, name in (
        (1, 0, "spine"), (20, 1, "chest"), (2, 20, "neck"), (3, 2, "head"), (5, 4, "upper_arm"), (6, 5, "forearm"),
        (7, 6, "hand"), (21, 7, "tip"), (22, 7, "thumb"), (9, 8, "upper_arm"), (10, 9, "forearm"), (11, 10, "hand"),
        (13, 12, "thigh"), (14, 13, "shin"), (15, 14, "foot"), (17, 16, "thigh"), (18, 17, "shin"), (19, 18, "foot"),
    ):  # fmt: skip
        length = np.linalg.norm(joints[joint] - joints[parent], axis=0)
        np.testing.assert_allclose(length, own[name], atol=2e-4, err_msg=name)


def test_mirroring_the_controls_mirrors_the_body():
    pose, size = random_pose(), np.repeat(bodies()[3][:, None], 400, axis=1)
    plain = pose_body(pose, size)
    mirror(pose.rows, np.ones(400, bool))
    mirrored = pose_body(pose, size)
    np.testing.assert_allclose(mirrored, plain[MIRRORED] * np.array([-1, 1, 1])[:, None], atol=1e-4)


def test_people_stand_upright_with_the_right_side_at_positive_x(demo):
    first = persons(demo["x_train"])[:, 0, 0]
    standing = demo["y_train"].argmax(1) != 8
    assert (first[standing, 3, 1] > first[standing, 0, 1] + 0.4).all()  # head above pelvis
    assert (first[standing, 0, 1] > first[standing, 15, 1] + 0.4).all()  # pelvis above a foot
    single = ~np.isin(demo["y_train"].argmax(1), range(49, 60))
    assert (first[single, 8, 0] > first[single, 4, 0]).mean() > 0.95  # they face the camera, more or less


def test_sitting_down_lowers_the_head_and_standing_up_raises_it(tmp_path):
    archive = np.load(small(tmp_path / "a.npz", train=120, frames=120))
    head, label = persons(archive["x_train"])[:, :, 0, 3, 1], archive["y_train"].argmax(1)
    last = (archive["x_train"] != 0).any(-1).sum(1) - 1
    rise = head[np.arange(120), last] - head[:, 0]
    assert (rise[label == 7] < -0.2).all() and (rise[label == 8] > 0.2).all()


# ---------------------------------------------------------------------------------------------------- learning


def linear_accuracy(train, labels, test, truth, penalty):
    """Test accuracy of multinomial logistic regression on standardised features (an oracle of its own: SciPy)."""
    classes, y = np.unique(labels, return_inverse=True)
    mean, std = train.mean(0), train.std(0) + 1e-9
    a, b = (np.c_[(f - mean) / std, np.ones(len(f))] for f in (train, test))
    hot = np.eye(len(classes))[y]

    def loss(w):
        w = w.reshape(-1, len(classes))
        scores = log_softmax(a @ w, axis=1)
        gradient = a.T @ (np.exp(scores) - hot) / len(a) + 2 * penalty * w
        return -(scores * hot).sum() / len(a) + penalty * (w**2).sum(), gradient.ravel()

    start = np.zeros(a.shape[1] * len(classes))
    w = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x.reshape(-1, len(classes))
    return (classes[(b @ w).argmax(1)] == truth).mean()


def mean_pose(x):
    return x.sum(1, dtype=np.float64) / (x != 0).any(-1).sum(1)[:, None]


def motion(x):
    """How far each joint of each person moves about its mean, per coordinate, and how fast: 2 x 150 features."""
    out = []
    for clip in persons(x):
        n = (clip != 0).any((1, 2, 3)).sum()
        about = (clip - clip[:, :, [0]])[:n].reshape(n, 150)
        about[:, [0, 1, 2, 75, 76, 77]] = clip[:n, :, 0].reshape(n, 6)
        fast = np.abs(about[4:] - about[:-4]).mean(0)
        out.append(np.r_[np.log(0.02 + about.std(0)), np.log(0.02 + fast)])
    return np.array(out)


@pytest.fixture(scope="module")
def accuracy(demo):
    train, test = (demo[f"y_{split}"].argmax(1) for split in ("train", "test"))

    def best(features):
        a, b = features(demo["x_train"]), features(demo["x_test"])
        return max(linear_accuracy(a, train, b, test, penalty) for penalty in (1e-3, 1e-2, 1e-1))

    return best


def test_the_mean_pose_does_not_tell_the_class(accuracy):
    assert 0.2 < accuracy(mean_pose) < 0.60


@pytest.mark.slow
def test_motion_tells_more_than_the_pose(accuracy):
    assert accuracy(motion) > accuracy(mean_pose) + 0.15


# ------------------------------------------------------------------------------------------------- reproducible


def test_equal_seeds_give_equal_bytes_whatever_the_chunks(tmp_path, monkeypatch):
    a = small(tmp_path / "a.npz").read_bytes()
    monkeypatch.setattr(synthetic, "CHUNK_BYTES", 5 * 40 * 600)
    assert small(tmp_path / "b.npz").read_bytes() == a
    assert small(tmp_path / "b.npz", seed=1).read_bytes() != a


def test_a_longer_archive_begins_with_the_shorter_one(tmp_path):
    a, b = (np.load(small(tmp_path / f"{n}.npz", train=n)) for n in (24, 50))
    for key in ("x_train", "y_train", "name_train"):
        assert (b[key][:24] == a[key]).all()


def test_all_actions_and_any_two_person_share(tmp_path):
    most = len(SINGLE) + len(PAIRS)
    assert most == len(ACTIONS)
    y = np.load(small(tmp_path / "a.npz", train=most, classes=most))["y_train"]
    assert set(y.argmax(1)) == set(ACTIONS)
    for share, mutual in ((0.0, 0), (0.5, 2), (1.0, 4)):
        labels = chosen(4, share)
        assert len(labels) == 4 and sum(ACTIONS[label].persons == 2 for label in labels) == mutual


def test_chosen_actions(tmp_path):
    y = np.load(small(tmp_path / "a.npz", actions=[34, 5, 22]))["y_train"]
    assert set(y.argmax(1)) == {5, 22, 34}


def test_num_class_and_frames(tmp_path):
    archive = np.load(small(tmp_path / "a.npz", num_class=120, frames=25))
    assert archive["y_test"].shape == (12, 120) and archive["x_test"].shape == (12, 25, 150)


def test_resampled_clips_are_evenly_spaced_frames_of_the_whole(tmp_path):
    whole = np.load(small(tmp_path / "a.npz", train=70, frames=150))
    sampled = np.load(small(tmp_path / "b.npz", train=70, frames=150, resample=9))
    assert sampled["x_train"].shape == (70, 9, 150) and (sampled["y_train"] == whole["y_train"]).all()
    for clip, nine in zip(whole["x_train"], sampled["x_train"]):
        end = int(clip.any(axis=1).nonzero()[0].max())
        assert (nine[0] == clip[0]).all() and (nine[8] == clip[end]).all() and (nine[4] == clip[round(end / 2)]).all()


# ---------------------------------------------------------------------------------------------- size and memory


def test_repeated_clips_are_equal_and_have_their_own_names(tmp_path, monkeypatch):
    plain = np.load(small(tmp_path / "a.npz", train=10))
    monkeypatch.setattr(synthetic, "CHUNK_BYTES", 4 * 40 * 600)
    again = np.load(small(tmp_path / "b.npz", train=37, repeat_distinct=10))
    for key in ("x_train", "y_train"):
        assert (again[key] == plain[key][np.arange(37) % 10]).all()
    assert len(set(again["name_train"])) == 37
    assert (facts(again["name_train"])[:, 4] - 1 == again["y_train"].argmax(1)).all()
    with zipfile.ZipFile(tmp_path / "b.npz") as archive:
        assert archive.testzip() is None


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path):
    peaks = []
    for train in (200, 1200):
        tracemalloc.start()
        synthetic.write(tmp_path / "a.npz", train=train, test=1, repeat_distinct=200, progress=False)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (tmp_path / "a.npz").stat().st_size > 216e6
    assert peaks[1] < 1.05 * peaks[0] < 160e6


# ------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--train", "0"], "train must be a whole number from 1"),
        (["--train", "many"], "--train: invalid int value: 'many'"),
        (["--test", "-3"], "test must be"),
        (["--classes", "1"], "classes must be a whole number from 2"),
        (["--classes", "99"], f"to {len(ACTIONS)}"),
        (["--actions", "5", "99"], "99 is none of them; there are 0, 5,"),
        (["--actions", "5", "5"], "one is named twice"),
        (["--frames", "3"], "frames must be"),
        (["--seed", "-1"], "seed must be"),
        (["--num-class", "10"], "num_class must be"),
        (["--two-person-share", "1.5"], "two_person_share must lie between 0 and 1"),
        (["--repeat-distinct", "0"], "repeat_distinct must be"),
        (["--resample", "0"], "resample must be"),
        (["--classses", "5"], "Did you mean '--classes'?"),
    ],
)
def test_bad_flags_are_one_line_and_exit_2(tmp_path, capsys, flags, says):
    out = tmp_path / "a.npz"
    assert synthetic.main(["--out", str(out), "--train", "2", "--test", "2", "--quiet", *flags]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1 and says in printed.err
    assert printed.out == "" and not any(tmp_path.iterdir())


def test_the_command_line_says_what_it_made(tmp_path, capsys):
    out = tmp_path / "new" / "folder" / "a.npz"
    assert synthetic.main(["--out", str(out), "--train", "3", "--test", "2", "--frames", "30", "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "3 training and 2 test clips" in said and "9 clapping" in said and out.exists()


def test_a_file_that_is_not_ours_is_never_overwritten(tmp_path):
    out = tmp_path / "NTU60_CS.npz"
    np.savez(out, x_train=np.ones(3))
    before = out.read_bytes()
    with pytest.raises(UsageError, match="exists and is no synthetic archive"):
        small(out)
    assert out.read_bytes() == before


@pytest.mark.parametrize("place", ["folder", "under_a_file"])
def test_a_place_that_cannot_be_written(tmp_path, place):
    (tmp_path / "folder").mkdir()
    (tmp_path / "under_a_file").write_text("x")
    with pytest.raises(UsageError, match="is a folder" if place == "folder" else "cannot write"):
        small(tmp_path / "folder" if place == "folder" else tmp_path / "under_a_file" / "a.npz")


def test_too_little_room_is_said_before_anything_is_written(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UsageError, match=r"needs .* GB, 0.0 GB are free"):
        small(tmp_path / "a.npz")
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_a_write_that_really_fails_is_one_line(tmp_path):
    out = tmp_path / "a.npz"
    command = [sys.executable, "-m", "skeleton_lab.data.synthetic", "--out", str(out), "--train", "200", "--test", "2"]

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    done = subprocess.run([*command, "--quiet"], capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 2 and done.stderr == f"error: cannot write {out}: File too large\n"
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_disk_that_fills_up_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failure):
    out = small(tmp_path / "a.npz")
    before = out.read_bytes()

    def fail(*_):
        raise failure

    monkeypatch.setattr(recorder.Recorder, "record", fail)
    with pytest.raises(UsageError if isinstance(failure, OSError) else KeyboardInterrupt):
        small(out, seed=5)
    assert out.read_bytes() == before and list(tmp_path.iterdir()) == [out]


# --- pictures of the same people -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[dict, dict]:
    """The members of an archive in space, and of the same people in pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    made = []
    for skeleton in synthetic.SKELETONS:
        path = folder / f"{skeleton}.npz"
        synthetic.write(path, train=40, test=20, classes=10, frames=80, skeleton=skeleton, progress=False)
        with np.load(path) as file:
            made.append(dict(file))
    return made[0], made[1]


def test_key_points_are_those_of_the_same_people(both):
    """One pinhole camera a clip explains the hips, shoulders, elbows and knees of both archives (a linear fit)."""
    space, pictures = both
    kinect, coco = [4, 8, 5, 9, 12, 16, 13, 17], [5, 6, 7, 8, 11, 12, 13, 14]
    for clip in range(12):
        X = space["x_train"][clip].reshape(80, 2, 25, 3)[:, 0, kinect]
        p = pictures["x_train"][clip][:, :, coco, 0].transpose(1, 2, 0)
        found = (p[..., 2] >= 0.3) & X.any(axis=(1, 2))[:, None]
        X, p = X[found].astype(float), p[found].astype(float)
        # (W/2 - u)(z + d) = f(x + a) and (H/2 - v)(z + d) = f(y + b), linear in f, f a, f b, d
        left, up = 960 - p[:, 0], 540 - p[:, 1]
        zero, one = np.zeros(len(X)), np.ones(len(X))
        rows = np.concatenate([np.stack([X[:, 0], one, zero, -left], 1), np.stack([X[:, 1], zero, one, -up], 1)])
        f, fa, fb, d = np.linalg.lstsq(rows, np.concatenate([left, up]) * np.tile(X[:, 2], 2), rcond=None)[0]
        depth = X[:, 2] + d
        error = np.hypot(960 - (f * X[:, 0] + fa) / depth - p[:, 0], 540 - (f * X[:, 1] + fb) / depth - p[:, 1])
        assert np.median(error) < 0.06 * 0.5 * 1055 / d, clip


def test_key_points_are_an_archive_of_ones_own(both, tmp_path):
    space, pictures = both
    assert (pictures["name_train"] == space["name_train"]).all()
    labels = sorted(set(space["y_train"].argmax(1).tolist()))
    assert (np.array(labels)[pictures["y_test"]] == space["y_test"].argmax(1)).all()
    synthetic.write(tmp_path / "a.npz", train=12, test=6, classes=3, frames=30, skeleton="coco17", progress=False)
    clips = open_archive(tmp_path / "a.npz", "train")
    assert (clips.skeleton.name, clips.units, clips.scored, len(clips.class_names)) == ("coco17", "px", True, 3)
    assert clips.img_shape.tolist() == [[1080, 1920]] * 12 and clips.subject_names[clips.subjects[0]] == "P001"
    assert examine(tmp_path / "a.npz").sound


def test_the_command_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^skeleton-lab synthetic (.*)$", (ROOT / "docs/data.md").read_text(), re.MULTILINE)
    for line in lines:
        assert synthetic.main([*line.split(), "--train", "3", "--test", "2", "--frames", "20", "--quiet"]) == 0
    assert open_archive("NTU60_CS.npz", "test").V == 25 and open_archive("people.npz", "test").V == 17


def test_an_estimator_errs(both):
    x = both[1]["x_train"].transpose(0, 2, 4, 3, 1)  # (N, T, M, V, C)
    bodies = x[x.any(axis=(3, 4))]
    score = bodies[..., 2]
    assert 0.01 < (score < 0.3).mean() < 0.1 and (score[:, [9, 10]] < 0.3).mean() > (score[:, [5, 6]] < 0.3).mean()
    assert (bodies[score == 0] == 0).all() and (score == 0).any() and ((score > 0) & (score < 0.3)).any()
    assert (score[score >= 0.3] <= 1).all()
    found = bodies[score >= 0.3]  # people are in the picture, but for an estimator's trembling hands
    assert ((found[:, :2] >= 0) & (found[:, :2] <= [1920, 1080])).all(1).mean() > 0.995


def test_pictures_do_not_depend_on_the_size_of_the_archive(both, tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "CHUNK_BYTES", 3 * 80 * 3 * 17 * 2 * 4)
    synthetic.write(tmp_path / "a.npz", train=7, test=3, classes=10, frames=80, skeleton="coco17", progress=False)
    with np.load(tmp_path / "a.npz") as file:
        assert np.array_equal(file["x_train"], both[1]["x_train"][:7])
    with pytest.raises(UsageError, match="skeleton must be ntu25 or coco17, not 'coco71'"):
        synthetic.write(tmp_path / "b.npz", train=2, test=2, skeleton="coco71", progress=False)
