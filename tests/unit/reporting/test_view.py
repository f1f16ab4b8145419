"""``dataset_tools/view.py``: pages, GIF, MP4 and PNG of clips, against the archives they are made from."""

from __future__ import annotations

import base64
import json
import os
import pickle
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from places import PARITY, ROOT
from viewing import ALONE, PAIR, hues, row_of, view

from skeleton_lab.data.archives.convert import convert
from skeleton_lab.reporting.viewer import clip_source
from skeleton_lab.skeletons import layouts
from skeleton_lab.skeletons.sides import LEFT, MIDDLE, RIGHT, skeleton, upright

Image = pytest.importorskip("PIL.Image")

PROGRAM = ROOT / "dataset_tools" / "view.py"
RAW = PARITY / "raw"


class Page(HTMLParser):
    """Tags that are open when they should not be, the texts of headings, the embedded data, and what is fetched."""

    VOID = {"meta", "link", "input", "br"}

    def __init__(self, path: Path):
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.fetched: list[str] = []
        self.cards = 0
        self.data: dict = {}
        self._embedded = False
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        self.cards += "data-clip" in given
        self._embedded = given.get("id") == "data"
        self.fetched += [given[key] for key in ("src", "href") if given.get(key, "data:,") != "data:,"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self._embedded:
            self.data = json.loads(text)
            self._embedded = False
        elif self.open and self.open[-1] in ("h1", "h3"):
            self.headings.append(text)


def decoded(clip: dict) -> np.ndarray:
    """(T, M, V, 3), as player.js decodes it, in a unit of the page's own."""
    values = np.frombuffer(base64.b64decode(clip["points"]), "<i2").astype(np.float64)
    return values.reshape(*clip["shape"], 3)


def in_step(shown: np.ndarray, real: np.ndarray) -> float:
    """The largest distance between two clouds of points, relative to their size, once moved and scaled together."""
    a, b = shown - shown.mean(0), real - real.mean(0)
    return float(np.abs(a * (a * b).sum() / (a * a).sum() - b).max() / np.abs(b).max())


# --- the page ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [PAIR, ALONE])
def test_a_page_holds_the_clip_of_the_archive(label, archive, arrays, tmp_path):
    row = row_of(arrays, label)
    assert view(archive, "--index", row, "--fps", 15, "--output", tmp_path / "a.html") == 0
    page = Page(tmp_path / "a.html")
    assert page.open == [] and page.fetched == [] and page.cards == 1
    assert page.headings == ["demo.npz", "walking apart from each other" if label == PAIR else "hand waving"]
    real = arrays["x_test"][row].reshape(-1, 2, 25, 3)
    real = real[: np.flatnonzero(real.any((1, 2, 3)))[-1] + 1]
    (clip,) = page.data["clips"]
    persons = 2 if label == PAIR else 1
    assert page.data["fps"] == 15 and clip["shape"] == [len(real), persons, 25]
    assert clip["total"] == len(real) and clip["numbers"] == list(range(1, len(real) + 1))
    there = real[:, :persons].any((2, 3))
    assert clip["present"] == ["".join("01"[int(on)] for on in person) for person in there.T]
    assert in_step(decoded(clip)[there].reshape(-1, 3), real[:, :persons][there].reshape(-1, 3)) < 1e-4


def test_frames_are_spaced_evenly(archive, arrays, tmp_path):
    row = row_of(arrays, ALONE)
    assert view(archive, "--index", row, "--frames", 5, "--output", tmp_path / "a.html") == 0
    (clip,) = Page(tmp_path / "a.html").data["clips"]
    real = arrays["x_test"][row].reshape(-1, 2, 25, 3)[:, 0]
    total = int(np.flatnonzero(real.any((1, 2)))[-1]) + 1
    assert clip["numbers"] == (1 + np.linspace(0, total - 1, 5).round().astype(int)).tolist() and clip["total"] == total
    kept = real[np.array(clip["numbers"]) - 1].reshape(-1, 3)
    assert in_step(decoded(clip).reshape(-1, 3), kept) < 1e-4


def test_a_grid_has_one_clip_of_each_class(archive, arrays, tmp_path):
    assert view(archive, "--split", "train", "--sample-per-class", "--output", tmp_path / "a.html") == 0
    page = Page(tmp_path / "a.html")
    labels = np.unique(arrays["y_train"].argmax(1))
    assert page.cards == len(page.data["clips"]) == len(labels)
    assert len(set(page.headings[1:])) == len(labels)
    firsts = [str(arrays["name_train"][row_of(arrays, label, "train")]) for label in labels]
    assert [clip["name"] for clip in page.data["clips"]] == firsts


def test_a_class_by_name_or_number_and_a_count(archive, arrays, tmp_path):
    rows = np.flatnonzero(arrays["y_test"].argmax(1) == ALONE)[:2]
    for words in (["--class", " Hand  WAVING", "--count", 2], ["--label", ALONE, "--count", 2]):
        assert view(archive, *words, "--output", tmp_path / "a.html") == 0
        names = [clip["name"] for clip in Page(tmp_path / "a.html").data["clips"]]
        assert names == [str(arrays["name_test"][row]) for row in rows]


def test_compare_shows_the_same_rows_of_both(archive, arrays, tmp_path, capsys):
    row = row_of(arrays, PAIR)
    other = convert(archive, tmp_path / "five.npz", to="5d", show=False).paths[0]
    assert view(archive, "--index", row, 3, "--compare", other, "--output", tmp_path / "a.html") == 0
    page = Page(tmp_path / "a.html")
    assert [clip["name"] for clip in page.data["clips"]][:2] == [str(arrays["name_test"][row])] * 2
    left, right, *rest = page.data["clips"]
    assert left == right and len(rest) == 2 and "warning" not in capsys.readouterr().err
    text = (tmp_path / "a.html").read_text()
    assert "demo.npz, label 59" in text and "five.npz, label 59" in text


def test_compare_warns_of_archives_in_another_order(archive, arrays, tmp_path, capsys):
    turned = {key: values[::-1] for key, values in arrays.items()}
    np.savez(tmp_path / "turned.npz", **turned)
    assert arrays["y_test"][0].argmax() != turned["y_test"][0].argmax()
    assert view(archive, "--compare", tmp_path / "turned.npz", "--output", tmp_path / "a.html") == 0
    assert "the archives are in different orders" in capsys.readouterr().err
    np.savez(tmp_path / "short.npz", **{key: values[:2] for key, values in arrays.items()})
    assert view(archive, "--index", 3, "--compare", tmp_path / "short.npz", "--output", tmp_path / "b.html") == 2
    assert "--index 3" in capsys.readouterr().err and not (tmp_path / "b.html").exists()


# --- other layouts -------------------------------------------------------------------------------------------------


def test_raw_recordings(tmp_path):
    from skeleton_lab.data.preprocessing.skeleton_text import parse

    files = sorted(RAW.glob("*.skeleton"))
    file = next(f for f in files if parse(f.read_bytes()).frames > 5)
    for path, row in ((file, 0), (RAW, files.index(file))):
        found = clip_source.opened(path, None)
        real = parse(file.read_bytes())
        points = found.points(row)
        assert points.shape[0] == real.frames and found.names[row] == file.stem
        assert found.labels[row] == int(file.stem[17:20]) - 1
        for name in set(real.ids):  # every body stands under its id
            slots = set()
            for frame, rows in enumerate(real.rows()):
                for body in (body for body in rows if real.ids[body] == name):
                    same = [
                        np.array_equal(slot[frame], real.joints[body].astype(np.float32))
                        for slot in points.swapaxes(0, 1)
                    ]
                    slots.add(same.index(True))
            assert len(slots) == 1
        assert np.count_nonzero(points.any((2, 3))) == len(real.joints)
    assert view(file, "--output", tmp_path / "a.png", "--frames", 3) == 0
    assert hues(Image.open(tmp_path / "a.png"))[0] > 100


def test_key_points_in_an_image_stand_on_their_feet(tmp_path):
    """COCO key points, y downwards: the nose is drawn above the ankles, and the left wrist right of the right one."""
    points = np.zeros((4, 1, 17, 3), np.float32)
    points[..., 0] = np.linspace(100, 200, 17)
    points[..., 1] = np.linspace(50, 400, 17)
    points[..., 2] = 0.9
    points[:, :, 9, 0], points[:, :, 10, 0] = 300, 20
    turned, flat = upright(points)
    assert flat and (turned[..., 2] == 0).all()
    assert (turned[:, 0, 0, 1] > turned[:, 0, 15, 1]).all()
    assert (-turned[:, 0, 9, 0] > -turned[:, 0, 10, 0]).all()  # seen from the sensor, x points to the left
    up = points * np.array([1, -1, 1], np.float32)
    assert np.array_equal(upright(up)[0], turned)
    assert skeleton(17).side((11, 12)) == MIDDLE and skeleton(17).side((9, 7)) == LEFT


def test_joints_that_were_not_found_are_not_drawn(tmp_path):
    """A zero joint of an image is neither a place nor part of what the camera is fitted to."""
    points = np.full((3, 2, 17, 3), 0.9, np.float32)
    points[..., :2] = np.random.default_rng(0).uniform(500, 700, (3, 2, 17, 2))
    points[1, 0, 9] = points[2, 1] = 0
    annotation = {"frame_dir": "a", "label": 0, "total_frames": 3, "keypoint": points[..., :2].transpose(1, 0, 2, 3),
                  "keypoint_score": points[..., 2].transpose(1, 0, 2)}  # fmt: skip
    content = {"split": {"val": ["a"]}, "annotations": [annotation]}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    assert view(tmp_path / "a.pkl", "--output", tmp_path / "a.html") == 0
    (clip,) = Page(tmp_path / "a.html").data["clips"]
    there = np.array(list(clip["found"])).reshape(3, 2, 17) == "1"
    assert np.array_equal(there, points.any(-1)) and clip["flat"]
    assert in_step(decoded(clip)[there][:, :2], -points[there][:, :2]) < 1e-4
    assert clip["radius"] < 33000 and max(abs(decoded(clip)[there]).max(0)) > 32000  # the corner is not in the box
    assert view(tmp_path / "a.pkl", "--size", 200, "--output", tmp_path / "a.png") == 0


def test_a_joint_that_was_guessed_is_not_drawn(tmp_path, capsys):
    """Score 0.01 at 5,000 px: neither drawn nor part of what the camera is fitted to, unless --score 0 wants it."""
    points = np.random.default_rng(0).uniform(500, 700, (3, 1, 17, 2)).astype(np.float32)
    scores = np.full((3, 1, 17), 0.8, np.float32)
    points[1, 0, 9], scores[1, 0, 9] = 5000, 0.01
    annotation = {"frame_dir": "a", "label": 0, "total_frames": 3, "keypoint": points.transpose(1, 0, 2, 3),
                  "keypoint_score": scores.transpose(1, 0, 2)}  # fmt: skip
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"split": {"val": ["a"]}, "annotations": [annotation]}))
    radius = {}
    for score, drawn in {"0.3": 50, "0": 51}.items():
        assert view(tmp_path / "a.pkl", "--score", score, "--output", tmp_path / "a.html") == 0
        (clip,) = Page(tmp_path / "a.html").data["clips"]
        assert clip["found"].count("1") == drawn
        radius[score] = np.ptp(decoded(clip)[1, 0, :9, 0])  # in the page's units, which end at the farthest joint
    assert radius["0.3"] > 5 * radius["0"]
    for score, words in {"0.9": "reaches --score 0.9; give a lower one", "-1": "--score -1 must be 0 or more"}.items():
        assert view(tmp_path / "a.pkl", "--score", score, "--output", tmp_path / "b.html") == 2
        assert words in capsys.readouterr().err and not (tmp_path / "b.html").exists()


def own(path: Path, points: np.ndarray, skeleton: str, channels: str, units: str) -> Path:
    """An archive of one's own of one clip (T, M, V, C) a split, of the second of two classes."""
    x = points.transpose(3, 0, 2, 1)[None].astype(np.float32)
    np.savez(path, x_train=x, y_train=[1], x_test=x, y_test=[1], skeleton=skeleton, channels=channels, units=units,
             class_names=["kneel", "bow"])  # fmt: skip
    return path


@pytest.mark.parametrize(("skeleton", "V"), [("halpe26", 26), ("hand21", 21), ("coco17", 17)])
def test_key_points_of_any_skeleton_are_flat(skeleton, V, tmp_path):
    points = np.random.default_rng(0).uniform(100, 400, (5, 1, V, 3))
    points[..., 2] = 0.9
    points[2, 0, 3, 2] = 0.1
    archive = own(tmp_path / "my.npz", points, skeleton, "xys", "px")
    assert view(archive, "--class", "bow", "--output", tmp_path / "a.html") == 0
    page = Page(tmp_path / "a.html")
    (clip,) = page.data["clips"]
    assert page.headings == ["my.npz", "bow"] and clip["flat"] and clip["view"] == [round(np.pi, 4), 0]
    there = np.array(list(clip["found"])).reshape(5, 1, V) == "1"
    assert there.sum() == 5 * V - 1 and not there[2, 0, 3]
    assert in_step(decoded(clip)[there][:, :2], -points[there][:, :2]) < 1e-4  # columns from the left, rows down
    told = layouts.layout(skeleton)
    bones = {(a, b) for a, b, _ in clip["edges"]}
    assert set(told.bones) == bones or (V == 17 and bones > {(7, 5), (9, 7)})  # coco17: also across the body
    for left, right in told.pairs:
        assert clip["sides"][left] == LEFT and clip["sides"][right] == RIGHT


def test_bodies_with_y_down_are_turned(tmp_path):
    points = np.random.default_rng(0).uniform(-1, 1, (5, 1, 32, 3)) * 1000
    archive = own(tmp_path / "kinect.npz", points, "k4a32", "xyz", "mm")
    assert view(archive, "--output", tmp_path / "a.html") == 0
    (clip,) = Page(tmp_path / "a.html").data["clips"]
    assert not clip["flat"] and len(clip["edges"]) == 31
    assert in_step(decoded(clip).reshape(-1, 3), points.reshape(-1, 3) * [-1, -1, 1]) < 1e-4


def test_clips_normalised_for_msg3d_stand_upright(archive, tmp_path):
    folder = convert(archive, tmp_path / "npy", to="npy", normalise="msg3d", show=False, split="test", frames=300).paths
    x = np.load(next(path for path in folder if path.suffix == ".npy"))[0].transpose(1, 3, 2, 0)
    assert np.abs(x[0, 0, 20] - x[0, 0, 0])[2] > np.abs(x[0, 0, 20] - x[0, 0, 0])[1]
    turned, flat = upright(x)
    assert not flat and turned[0, 0, 3, 1] > turned[0, 0, 15, 1]  # head above foot
    assert np.allclose(np.linalg.norm(turned, axis=-1), np.linalg.norm(x, axis=-1))


def test_skeletons_of_all_layouts_are_trees_of_known_joints():
    for joints in (17, 18, 20, 25):
        told = skeleton(joints)
        assert {joint for edge in told.edges for joint in edge} == set(range(joints))
        assert told.sides.count(LEFT) == told.sides.count(RIGHT) > 7
    assert skeleton(11).edges == [] and set(skeleton(11).sides) == {MIDDLE}


# --- faults and the program ----------------------------------------------------------------------------------------

FAULTS = [
    (["--index", 20], ["--index 20", "20 clips, 0 to 19"]),
    (["--index", -1], ["--index -1", "20 clips, 0 to 19"]),
    (["--class", "hand wavng"], ["hand wavng", "Did you mean 'hand waving'?"]),
    (["--label", 3], ["class 3", "20 clips"]),
    (["--output", "a.gfi"], ["a.gfi", ".html, .gif, .mp4 or .png", "Did you mean '.gif'?"]),
    (["--output", "a"], ["a: the ending must be"]),
    (["--fps", 0], ["--fps 0"]),
    (["--fps", 60, "--output", "a.gif"], ["--fps 60", "50"]),
    (["--frames", 0], ["--frames 0"]),
    (["--size", 2, "--output", "a.gif"], ["--size 2"]),
    (["--compare", "absent.npz"], ["absent.npz", "does not exist"]),
    (["--size", 4000, "--output", "a.gif"], ["too much for a GIF", "--frames"]),
    (["--index", 1, "--label", 2], ["not allowed with"]),
    (["--splt", "test"], ["--splt", "Did you mean '--split'?"]),
]


@pytest.mark.parametrize("words, told", FAULTS, ids=[" ".join(map(str, words)) for words, _ in FAULTS])
def test_a_mistake_is_one_line_and_code_2(words, told, archive, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert view(archive, *words) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1, said
    for word in told:
        assert word in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_program_writes_into_the_working_folder(archive, tmp_path):
    before = sorted(archive.parent.iterdir())
    done = subprocess.run(
        [sys.executable, PROGRAM, archive], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env=os.environ | {"PYTHONPATH": str(PROGRAM.parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["view_demo.html"] and "view_demo.html" in done.stdout
    assert sorted(archive.parent.iterdir()) == before


# --- nothing is left out without a word ----------------------------------------------------------------------------


def test_it_is_said_how_many_of_the_clips_are_shown(archive, arrays, tmp_path, capsys):
    labels = arrays["y_test"].argmax(1)
    k = int(labels[0])
    page = tmp_path / "a.html"
    same = int((labels == k).sum())
    for words, told in (
        ((), f"1 of {len(labels)} clips"),
        (("--label", k), f"1 of {same} clip{'s' * (same != 1)} of the class"),
        (("--grid",), f"{len(set(labels))} of {len(labels)} clips, the first of every class"),
    ):
        assert view(archive, *words, "--output", page) == 0
        assert told in page.read_text() and told in capsys.readouterr().out
