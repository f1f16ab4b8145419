"""``skeleton-lab prepare clips``: recordings of one's own and their labels to an archive."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import own_recordings as own
import pytest

from skeleton_lab.cli import main
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.skeletons import layouts

T = 12
COCO = layouts.layout("coco17")


def body(seed: int = 0, frames: int = T, V: int = 17) -> np.ndarray:
    """(T, V, 3) pixels and scores of a body that walks to the right; of COCO's joints, one that stands."""
    random = np.random.default_rng(seed)
    points = random.uniform(100, 600, (1, V, 2))
    if V == 17:
        points[0, [5, 6, 11, 12]] = [[320, 200], [280, 200], [315, 320], [285, 320]]
    made = np.concatenate([points + np.arange(frames)[:, None, None] * [3.0, 0], np.full((frames, V, 1), 0.9)], -1)
    return made.round(2)


def results(clip: np.ndarray) -> list[dict]:
    """COCO's list of results."""
    return [{"image_id": t, "keypoints": frame.reshape(-1).tolist()} for t, frame in enumerate(clip)]


class Bench:
    """A folder with recordings, the command in it, and what it printed."""

    def __init__(self, folder: Path, capsys) -> None:
        self.folder, self.capsys, self.output = folder, capsys, folder / "my.npz"
        (folder / "in").mkdir()

    def json(self, name: str, content) -> None:
        path = self.folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))

    def four(self, **row) -> list[dict]:
        """Two clips of each of two classes."""
        rows = []
        for k in range(4):
            self.json(f"{k}.json", own.mmpose(body(k)))
            rows.append({"file": f"{k}.json", "label": ["walk", "sit"][k % 2], **row})
        return rows

    def run(self, rows, flags: str = "--skeleton coco17", status: int = 0) -> str:
        own.write_labels(self.folder / "labels.csv", rows)
        places = f"--input {self.folder / 'in'} --labels {self.folder / 'labels.csv'} --output {self.output}"
        assert main(["prepare", "clips", *places.split(), *flags.split()]) == status
        said = self.capsys.readouterr()
        if status:
            [error] = [each for each in said.err.splitlines() if "error:" in each]
            return error.partition("error: ")[2]
        return said.out

    def clips(self, split: str = "train"):
        return open_archive(self.output, split)


@pytest.fixture
def bench(tmp_path, capsys) -> Bench:
    return Bench(tmp_path, capsys)


def test_pixels_scores_names_and_people_are_kept(bench):
    rows = [{"file": f"{k}.mp4", "label": ["walk", "sit"][k % 2], "subject": f"s{k // 4}"} for k in range(8)]
    for k in range(8):
        clip = body(k, T + k)
        clip[3, 5] = [50, 60, 0.1]  # unsure: kept, for the feeder to judge
        clip[4, 6] = 0
        bench.json(f"{k}.json", own.mmpose(clip))
    out = bench.run(rows, "--skeleton coco17 --image-size 640x480 --test-share 0.5")
    assert "8 clips, 4 to train on, 4 to test (by subject; tested: s" in out
    train, test = bench.clips(), bench.clips("test")
    for part in (train, test):
        assert part.skeleton == COCO and part.units == "px" and part.scored and part.class_names == ("sit", "walk")
        assert (part.img_shape == [480, 640]).all() and (part.C, part.T, part.V, part.M) == (3, T + 7, 17, 1)
        for row, name in enumerate(part.names):
            k = int(name[0])
            x = part.gather(np.array([row]), np.arange(T + 7)[None])[0, :, 0]
            expected = np.zeros((T + 7, 17, 3))
            expected[: T + k] = body(k, T + k)
            expected[3, 5], expected[4, 6] = [50, 60, 0.1], 0
            np.testing.assert_allclose(x, expected, rtol=1e-6)
            assert part.class_names[part.labels[row]] == ["walk", "sit"][k % 2]
    subjects = [{part.subject_names[k] for k in part.subjects} for part in (train, test)]
    assert sorted(subjects, key=str) == [{"s0"}, {"s1"}]


def test_parts_of_a_long_recording_by_its_own_numbers(bench):
    """Frames 30 to 89 of a video in which somebody else is seen more, but not here."""
    long = []
    for t in range(30, 90):
        walker, other = body(0, 90)[t], body(1, 90)[t] + [3000, 0, 0]
        third = body(2, 90)[t] + [6000, 0, 0]
        seen = [walker] if t < 50 else [other, third]
        long += [{"image_id": f"{t}.jpg", "keypoints": p.reshape(-1).tolist(), "score": 1} for p in seen]
    bench.json("long.json", long)
    parts = [(30, 39, "a"), (40, 49, "b"), (50, 59, "a"), ("", 34, "b"), (80, 200, "a"), (85, "", "b"), (0, 29, "a")]
    out = bench.run(
        [*bench.four(), *({"file": "long.json", "label": c, "start": a, "end": b} for a, b, c in parts)],
        "--skeleton coco17 --split files",
    )
    assert "frames 0 to 29: long.json has frames 30 to 89" in out and "skipped 1 of 11 lines" in out
    assert "long.json (line 10): frames 80 to 200: the recording ends with frame 89" in out
    both = {name: (part, k) for part in map(bench.clips, ("train", "test")) for k, name in enumerate(part.names)}
    lengths = {name: int(part.lengths(np.array([k]))[0][0]) for name, (part, k) in both.items() if "long" in name}
    assert lengths == {"long.json[30-39]": 10, "long.json[40-49]": 10, "long.json[50-59]": 10, "long.json[30-34]": 5,
                       "long.json[80-89]": 10, "long.json[85-89]": 5}  # fmt: skip
    assert len({id(part) for name, (part, _) in both.items() if "long" in name}) == 1  # of one file, in one split
    part, k = both["long.json[40-49]"]
    x = part.gather(np.array([k]), np.arange(10)[None])[0]
    np.testing.assert_allclose(x[:, 0], body(0, 90)[40:50], rtol=1e-6)
    assert not x[:, 1].any()
    assert part.gather(np.array([both["long.json[50-59]"][1]]), np.arange(10)[None])[0].any((2, 3)).all()


def test_every_form_beside_each_other(bench):
    """OpenPose's folders, Ultralytics, a data set of videos, PYSKL's annotations, arrays: one archive."""
    rows = [{"file": f"{k}.json", "label": "ab"[k % 2]} for k in range(2)]
    bench.json("0.json", own.ultralytics(body(0)))
    bench.json("1.json", own.mmpose(body(1)))
    bench.json("set.json", own.data_set({"video/two": body(2), "video/three": body(3)}))
    rows += [{"file": "video/two", "label": "a"}, {"file": "video/three", "label": "b"}]
    np.save(bench.folder / "in" / "six.npy", np.stack([body(4), body(5)])[:, :, None])
    rows += [{"file": "six.npy", "label": "a"}]  # both clips of the array
    scores = dict(keypoint_score=body(6)[None, ..., 2], total_frames=T, img_shape=(480, 640))
    annotations = [{"frame_dir": "seven", "label": 0, "keypoint": body(6)[None, ..., :2], **scores}]
    (bench.folder / "in" / "pyskl.pkl").write_bytes(pickle.dumps(annotations))
    rows += [{"file": "seven", "label": "b"}]
    bench.json("unused.json", own.mmpose(body(9)))
    (bench.folder / "in" / "notes.txt").write_text("not a recording")
    (bench.folder / "in" / "bad.json").write_text("{")
    rows += [{"file": "notes.txt", "label": "a"}, {"file": "bad.json", "label": "b"}]
    out = bench.run(rows)
    both = {name: (part, k) for part in map(bench.clips, ("train", "test")) for k, name in enumerate(part.names)}
    order = ["0.json", "1.json", "video/two", "video/three", "six_0", "six_1", "seven"]
    assert sorted(both) == sorted(order)
    for seed, name in enumerate(order):
        part, k = both[name]
        x = part.gather(np.array([k]), np.arange(T)[None])[0, :, 0]
        np.testing.assert_allclose(x[..., :2], body(seed)[..., :2], rtol=1e-5)
        np.testing.assert_allclose(x[..., 2], 1 if "video" in name else 0.9, rtol=1e-5)
    assert (
        "skipped 2 of 8 lines" in out
        and "in no known format, of key points or of archives; key points are read as arrays" in out
    )
    assert "no label, not used: 1 recordings: unused.json" in out
    assert "the size of the image of some clips is not known" in out
    skipped = (bench.folder / "skipped-my.txt").read_text().splitlines()
    assert [line.split("\t")[:3] for line in skipped] == [["line 8", "notes.txt", "a"], ["line 9", "bad.json", "b"]]


def test_a_folder_of_openpose_frames_is_a_recording(bench):
    rows = bench.four()
    for k in range(4):
        own.openpose(bench.folder / "in" / f"video{k}", body(k, V=25))
        rows[k]["file"] = f"video{k}.avi"
    assert "error" not in bench.run(rows, "--skeleton body25")
    assert bench.clips().skeleton.name == "body25"


def test_space_is_filled_and_centred_and_its_axes_are_the_skeleton_s(bench):
    """MediaPipe's world landmarks: metres, y down, a visibility that is a score, which the archive has not."""
    random = np.random.default_rng(0)
    pose = random.uniform(-0.3, 0.3, (33, 3))
    pose[[11, 12, 23, 24]] = [[0.2, -0.5, 0], [-0.2, -0.5, 0], [0.1, 0, 0], [-0.1, 0, 0]]
    rows = []
    for k in range(4):
        frames = []
        for t in range(T):
            points = pose + np.array([0.05 * t, 0, 1])
            points[15] = [9, 9, 9] if t == 5 else points[15]  # a guess, seen through the visibility
            frames.append([
                {"x": x, "y": y, "z": z, "visibility": 0.1 if (t, v) == (5, 15) else 0.9}
                for v, (x, y, z) in enumerate(points.tolist())
            ])  # fmt: skip
        bench.json(f"{k}.json", frames)
        rows.append({"file": f"{k}.json", "label": "ab"[k % 2]})
    out = bench.run(rows, "")
    part = bench.clips()
    assert part.skeleton.name == "mediapipe33" and part.units == "m" and not part.scored
    assert "are these the units" not in out and "--up" not in out
    x = part.gather(np.array([0]), np.arange(T)[None])[0, :, 0]
    expected = pose + np.arange(T)[:, None, None] * [0.05, 0, 0]
    np.testing.assert_allclose(x, expected, atol=1e-5)
    out = bench.run(rows, "--units mm")
    assert "a trunk would be 0.0005 m long (0.5 mm): are these the units? (--units)" in out
    assert "torsos lie flat or upside down in 100% of the frames; --up -y if that axis is" in bench.run(rows, "--up y")
    x = bench.clips().gather(np.array([0]), np.arange(T)[None])[0, :, 0]
    np.testing.assert_allclose(x, expected * [-1, -1, 1], atol=1e-5)


def test_a_skeleton_of_ones_own_and_the_joints_of_a_longer_one(bench):
    rows = []
    for k in range(4):
        bench.json(f"{k}.json", results(body(k, V=133)))
        rows.append({"file": f"{k}.json", "label": "ab"[k % 2]})
    bench.run(rows, "--skeleton coco17")
    x = bench.clips().gather(np.array([0]), np.arange(T)[None])[0, :, 0]
    np.testing.assert_allclose(x, body(int(bench.clips().names[0][0]), V=133)[:, :17], rtol=1e-5)
    joints = ", ".join(f"j{k}" for k in range(133))
    tree = ", ".join(f"[{k}, 0]" for k in range(1, 133))
    text = f"title: star\njoints: [{joints}]\nbones: [{tree}]\nroot: 0\ncentre: 0\norigin: '0'\nscale: 0-1\n"
    (bench.folder / "star.yaml").write_text(text)
    bench.run(rows, f"--skeleton {bench.folder / 'star.yaml'}")
    assert bench.clips().skeleton.name == "star" and bench.clips().V == 133


@pytest.mark.parametrize(
    "change, flags, words",
    [
        ("", "", "17 joints can be coco17 or h36m17"),
        ("", "--skeleton ntu25", "0.json has 17 joints (coco17 or"),
        ("", "--skeleton coco71", "there is no such skeleton. Did you mean"),
        ("", "--skeleton none.yaml", "none.yaml"),
        ("mixed", "", "mixed skeletons: "),
        ("axes", "--skeleton coco17", "mixed key points: 0.json (line 2) has x and y, 3.json (line 5) x, y and z"),
        ("shares", "--skeleton coco17", "mixed units: 3.json (line 5) has shares of the image, 0.json (line 2) pixels"),
        ("lost", "--skeleton coco17", "1 of 5 labels have no recording in "),
        ("all lost", "--skeleton coco17 --on-error skip", "1 of 1 labels have no recording in "),
        ("single", "--skeleton coco17", "a class with one clip cannot be trained and tested (jump: 0.json (line 2)"),
        ("bad", "--skeleton coco17 --on-error raise", "1 of 5 clips cannot be used, the first: bad.json (line 6)"),
        ("twice", "--skeleton coco17", "lines 2 and 6 of the labels are the same clip, 0 of "),
        ("two files", "--skeleton coco17", "0 could be 0.json, 0.npy of "),
        ("", "--skeleton coco17 --split subject", "--split subject: "),
        ("", "--skeleton coco17 --test-share 1", "--test-share 1 must lie between 0 and 1"),
        ("", "--skeleton coco17 --up z", "--up z: key points of an image have y or -y up"),
        ("", "--skeleton coco17 --output my.pkl", "--output my.pkl: the archive is an NPZ file, such as my.npz"),
        ("no folder", "", "does not exist"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_and_nothing_is_written(bench, change, flags, words):
    rows = bench.four()
    if change == "mixed":
        for k in range(3):
            bench.json(f"{k}.json", results(body(k, V=26)))
        bench.json("3.json", results(body(3, V=133)))
        words += f"{bench.folder / 'in' / '0.json'} has 26 joints (halpe26), {bench.folder / 'in' / '3.json'} has 133"
    elif change == "axes":
        bench.json("3.json", (body(3) * [1, 1, 500]).tolist())
    elif change == "shares":
        bench.json("3.json", own.mmpose(body(3) / [2000, 2000, 1]))
    elif change == "lost":
        rows.append({"file": "gone.json", "label": "sit"})
    elif change == "all lost":
        rows = [{"file": "gone.json", "label": "sit"}]
    elif change == "single":
        rows[0]["label"] = "jump"
    elif change == "bad":
        bench.json("bad.json", {"x": 1})
        rows.append({"file": "bad.json", "label": "sit"})
    elif change == "twice":
        rows.append({"file": "0.mp4", "label": "sit"})
    elif change == "two files":
        np.save(bench.folder / "in" / "0.npy", body(0))
        rows[0]["file"] = "0"
    elif change == "no folder":
        (bench.folder / "in").rename(bench.folder / "elsewhere")
    bench.output.write_bytes(b"an earlier archive")
    assert words in bench.run(rows, flags, 2)
    assert bench.output.read_bytes() == b"an earlier archive"


def test_labels_without_recordings_may_be_left_out(bench):
    out = bench.run([*bench.four(), {"file": "gone.json", "label": "sit"}], "--skeleton coco17 --on-error skip")
    assert "skipped 1 of 5 lines" in out and "gone.json (line 6): there is no such recording" in out


def test_files_outside_the_folder_are_not_read(bench):
    own_labels = [*bench.four(), {"file": "../secret.json", "label": "sit"}]
    (bench.folder / "secret.json").write_text(json.dumps(own.mmpose(body(7))))
    assert "../secret.json (line 6)" in bench.run(own_labels, status=2)
