"""What an archive says of its clips: members of one's own, published formats, pickles; and what is refused."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from places import ROOT

from skeleton_lab.data.archives import about
from skeleton_lab.data.archives.convert import convert
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.errors import ArchiveError, UsageError
from skeleton_lab.skeletons import layouts

SHAPES = np.array([[480, 640], [480, 640], [1080, 1920]])
TRIANGLE = "name: triangle\ntitle: Three\njoints: [tip, left_end, right_end]\nbones: [[1, 0], [2, 0]]\n" \
    "pairs: [[1, 2]]\nroot: 0\ncentre: 0\norigin: (1+2)/2\nscale: 0-(1+2)/2\ndimensions: 2\nunits: px\n" \
    "y_up: false\nscored: true\n"  # fmt: skip


def own(path: Path, C: int = 3, V: int = 17, **more: object) -> Path:
    """Three training clips and two test clips, 4 frames of one person, with members besides."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, labels in (("train", [0, 1, 2]), ("test", [2, 0])):
        arrays[f"x_{split}"] = rng.uniform(1, 100, (len(labels), C, 4, V, 1)).astype(np.float32)
        arrays[f"y_{split}"] = np.array(labels)
    arrays |= {key: np.array(value) for key, value in more.items() if value is not None}
    np.savez(path, **arrays)
    return path


def coco(path: Path, **more: object) -> Path:
    said = {"skeleton": "coco17", "channels": "xys", "units": "px", "class_names": ["walk", "run", "fall"]}
    said |= {"img_shape_train": SHAPES, "img_shape_test": SHAPES[:2], "subject_train": ["eva", "bo", "eva"]}
    return own(path, **{**said, "subject_test": ["cy", "cy"], **more})


def test_members_of_ones_own_are_read(tmp_path):
    clips = open_archive(coco(tmp_path / "my.npz"), "train")
    assert clips.skeleton is layouts.layout("coco17")
    assert (clips.units, clips.scored, clips.class_names, clips.num_class) == ("px", True, ("walk", "run", "fall"), 3)
    assert (clips.img_shape == SHAPES).all() and clips.unread == []
    assert [clips.subject_names[k] for k in clips.subjects] == ["eva", "bo", "eva"]
    last = clips.subset([2])
    assert last.img_shape.tolist() == [[1080, 1920]] and last.skeleton is clips.skeleton
    test = open_archive(tmp_path / "my.npz", "test")
    assert not set(test.subjects.tolist()) & set(clips.subjects.tolist())  # one numbering for both splits


def test_the_page_writes_one(tmp_path, monkeypatch):
    """The lines of docs/data.md, as a reader runs them."""
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/data.md").read_text(), re.DOTALL)
    x = np.random.default_rng(0).uniform(0, 500, (2, 3, 4, 17, 1)).astype(np.float32)
    exec(block, {"np": np, "x": x, "y": [0, 1], "x_test": x[:1], "y_test": [1]})
    clips = open_archive(tmp_path / "my.npz", "train")
    assert (clips.skeleton.name, clips.class_names, clips.unread) == ("coco17", ("walk", "fall"), [])


def test_a_skeleton_of_ones_own_travels_as_text(tmp_path):
    text = layouts.as_text(layouts.parsed(TRIANGLE, "?", "here"))
    clips = open_archive(own(tmp_path / "my.npz", V=3, skeleton=text, channels="xys"), "train")
    assert clips.skeleton == layouts.parsed(TRIANGLE, "?", "here")
    assert (clips.skeleton.name, clips.skeleton.origin, clips.skeleton.scale) == ("triangle", (1, 2), ((0,), (1, 2)))
    assert about.written(clips.skeleton) == text and about.written(layouts.layout("coco")) == "coco17"


def test_a_plain_archive_says_what_its_format_says(tmp_path):
    ntu = open_archive(own(tmp_path / "ntu.npz", V=25), "train", layout="5d")
    assert (ntu.skeleton.name, ntu.units, ntu.scored, ntu.class_names) == ("ntu25", "m", False, None)
    unknown = open_archive(own(tmp_path / "17.npz", class_names=["a", "b", "c"]), "train")
    assert (unknown.skeleton, unknown.units, unknown.scored, unknown.class_names) == (None, None, False, None)
    assert unknown.unread == ["members class_names"]  # without a skeleton nothing is taken for one of ours
    with open(tmp_path / "k_label.pkl", "wb") as file:
        pickle.dump((["a"], [0]), file)
    np.save(tmp_path / "k_data.npy", np.ones((1, 3, 4, 18, 2), np.float32))
    kinetics = open_archive(tmp_path / "k_data.npy", "train", label_path=tmp_path / "k_label.pkl")
    assert (kinetics.skeleton.name, kinetics.units, kinetics.scored) == ("coco18", "image", True)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (dict(skeleton="cocoo17"), "my.npz: skeleton is no skeleton: .*coco17"),
        (dict(skeleton="own.yaml"), "my.npz: skeleton names the file 'own.yaml'"),
        (dict(skeleton="joints: [a\nb"), "my.npz: skeleton, line 2: not valid YAML"),
        (dict(skeleton="joints: \x01"), "my.npz: skeleton: not valid YAML"),
        (dict(skeleton="- 1\n- 2"), "my.npz: skeleton"),
        (dict(skeleton="x" * 100_001), "skeleton has 400004 bytes; a text of 100000 characters is read"),
        (dict(skeleton=["coco17", "ntu25"]), r"my.npz: skeleton has shape \(2,\)"),
        (dict(skeleton="h36m17", channels="xyx"), "my.npz: channels is xyx; it is one of xyz, xy, xys"),
        (dict(channels="xy"), "my.npz: channels is 'xy', x_train has 3 channels"),
        (dict(units="inch"), "my.npz: units is inch; it is one of m, cm"),
        (dict(class_names=["walk", "run"]), "class_names has 2 names, y_train has classes up to 2"),
        (dict(class_names=[1, 2, 3]), "class_names has shape"),
        (dict(img_shape_train=SHAPES[:2]), r"img_shape_train has shape \(2, 2\).*height and the width"),
        (dict(img_shape_train=SHAPES - 480), r"img_shape_train: row 0 is \[0, 160\]"),
        (dict(subject_train=["eva", "bo"]), r"subject_train has shape \(2,\)"),
        (dict(V=18), "x_train has 18 joints, its skeleton coco17 has 17"),
    ],
)  # fmt: skip
def test_a_wrong_member_is_one_line(tmp_path, more, said):
    with pytest.raises(ArchiveError, match=said) as caught:
        open_archive(coco(tmp_path / "my.npz", **more), "train")
    assert "\n" not in str(caught.value)


def test_another_number_of_joints_than_asked_for_names_the_skeleton(tmp_path):
    with pytest.raises(
        ArchiveError, match=r"skeleton coco17, which has 17 joints; asked for are 25.*--skeleton coco17"
    ):
        open_archive(coco(tmp_path / "my.npz"), "train", joints=25)


def pyskl(path: Path, C: int, V: int, **more: object) -> Path:
    """Two training clips and one for validation, of 5 frames."""
    rng = np.random.default_rng(0)
    annotations = []
    for k in range(3):
        made = {"frame_dir": f"clip{k}", "label": k, "total_frames": 5}
        made["keypoint"] = rng.uniform(1, 100, (1, 5, V, C)).astype(np.float16)
        if C == 2:
            made |= {"keypoint_score": rng.uniform(0, 1, (1, 5, V)).astype(np.float16)}
            made |= {"img_shape": (480 + k, 640), "original_shape": (1, 1)}
        annotations.append(made)
    content = {"split": {"train": ["clip1", "clip0"], "val": ["clip2"]}, "annotations": annotations, **more}
    path.write_bytes(pickle.dumps(content))
    return path


@pytest.mark.parametrize(
    ("C", "V", "name", "units"), [(2, 17, "coco17", "px"), (3, 25, "ntu25", "m"), (2, 25, "body25", "px")]
)
def test_a_pickle_says_its_skeleton_by_dimensions_and_joints(tmp_path, C, V, name, units):
    clips = open_archive(pyskl(tmp_path / "my.pkl", C, V), "train")
    assert (clips.skeleton.name, clips.units, clips.scored, clips.C) == (name, units, C == 2, 3)
    if C == 2:
        assert clips.img_shape.tolist() == [[481, 640], [480, 640]]  # in the order of the split
    else:
        assert clips.img_shape is None


def test_a_pickle_that_says_its_skeleton_is_believed(tmp_path):
    clips = open_archive(
        pyskl(tmp_path / "my.pkl", 3, 17, skeleton="h36m17", units="mm", class_names=list("abc")), "test"
    )
    assert (clips.skeleton.name, clips.units, clips.scored, clips.class_names) == ("h36m17", "mm", False, tuple("abc"))
    for wrong, said in (
        (dict(skeleton="coco18"), "17 joints, the skeleton coco18 18"),
        (dict(units="inch"), "units is inch"),
        (dict(class_names=["a"]), "label 2 has none of 1 class_names"),
        (dict(class_names="abc"), "class_names is one text"),
    ):
        with pytest.raises(ArchiveError, match=said):
            open_archive(pyskl(tmp_path / "wrong.pkl", 3, 17, **wrong), "train")


def same(made: Path, source: Path, lost: tuple[str, ...] = ()) -> None:
    for split in ("train", "test"):
        a, b = (open_archive(path, split) for path in (made, source))
        for said in ("skeleton", "units", "scored", "class_names", "num_class"):
            assert getattr(a, said) == getattr(b, said), said
        assert "img_shape" in lost or (a.img_shape == b.img_shape).all()
        if "subjects" in lost:
            assert a.subjects is None
        else:
            assert [a.subject_names[k] for k in a.subjects] == [b.subject_names[k] for k in b.subjects]
        assert (a.labels == b.labels).all() and a.unread == []
        idx = np.arange(len(a))
        assert np.array_equal(a.clips(idx)[:, :, :4, :, :1], b.clips(idx)) and not a.clips(idx)[..., 1:].any()


@pytest.mark.parametrize("skeleton", ["coco17", "own"])
@pytest.mark.parametrize(("name", "lost"), [("a.npz", ()), ("a.h5", ()), ("a.pkl", ("subjects",))])
@pytest.mark.parametrize("compress", [False, True])
def test_converting_keeps_what_an_archive_says(tmp_path, name, lost, compress, skeleton):
    if skeleton == "own":
        own_text = layouts.as_text(layouts.layout("coco17")).replace("name: coco17", "name: mine")
        source = coco(tmp_path / "my.npz", skeleton=own_text)
    else:
        source = coco(tmp_path / "my.npz")
    made = convert(source, tmp_path / name, compress=compress and not name.endswith("pkl"), show=False)
    same(tmp_path / name, source, lost)
    assert made.unread == (("subject: files of --to pyskl have no place for it",) if lost else ())


def test_a_pickle_of_pictures_becomes_an_archive_and_comes_back(tmp_path):
    source = pyskl(tmp_path / "coco.pkl", 2, 17)
    convert(source, tmp_path / "coco.npz", show=False)
    with np.load(tmp_path / "coco.npz") as file:
        assert (str(file["skeleton"]), str(file["channels"]), str(file["units"])) == ("coco17", "xys", "px")
        assert file["x_train"].shape == (2, 3, 5, 17, 2)  # not the columns of UAV-Human's 17 joints
        assert file["img_shape_train"].tolist() == [[481, 640], [480, 640]]
    convert(tmp_path / "coco.npz", tmp_path / "back.pkl", show=False)
    content = pickle.loads((tmp_path / "back.pkl").read_bytes())
    assert set(content) == {"split", "annotations"}  # a published form says itself what it is
    first = content["annotations"][0]
    assert (first["frame_dir"], first["img_shape"], first["keypoint"].shape) == ("clip1", (481, 640), (1, 5, 17, 2))
    before = pickle.loads(source.read_bytes())["annotations"][1]
    for key in ("keypoint", "keypoint_score"):
        assert np.array_equal(first[key], before[key].astype(np.float32))


def test_two_coordinates_get_a_score_where_the_format_wants_one(tmp_path):
    source = own(tmp_path / "my.npz", C=2, skeleton="coco17", channels="xy", units="px")
    convert(source, tmp_path / "my.pkl", show=False)
    clips = open_archive(tmp_path / "my.pkl", "train")
    assert clips.scored and (clips.clips(np.arange(3))[:, 2, :, :, 0] == 1).all()


def test_what_a_layout_has_no_place_for_is_said(tmp_path):
    made = convert(coco(tmp_path / "my.npz"), tmp_path / "npy", to="npy", show=False)
    lost = "skeleton, channels, units, class_names, img_shape, subject: files of --to npy have no place for it"
    assert made.unread == (lost,)
    plain = convert(own(tmp_path / "ntu.npz", V=25), tmp_path / "ntu", to="npy", layout="5d", show=False)
    assert plain.unread == ()
    with pytest.raises(UsageError, match="has pixels: write --to 5d"):
        path = own(tmp_path / "18.npz", V=18, skeleton="coco18", units="px", channels="xys")
        convert(path, tmp_path / "kinetics", to="kinetics", show=False)


def test_columns_of_seventeen_joints_stay_what_they_are(tmp_path):
    x = np.random.default_rng(0).uniform(1, 2, (3, 4, 102)).astype(np.float32)
    np.savez(tmp_path / "uav.npz", x_train=x, y_train=np.arange(3), x_test=x[:2], y_test=np.arange(2))
    convert(tmp_path / "uav.npz", tmp_path / "a.npz", show=False, joints=17)
    convert(tmp_path / "uav.npz", tmp_path / "b.npz", show=False, joints=17, to="5d")
    with np.load(tmp_path / "a.npz") as file:
        assert set(file) == {"x_train", "y_train", "x_test", "y_test"} and np.array_equal(file["x_train"], x)
    assert open_archive(tmp_path / "a.npz", "train", joints=17).skeleton.name == "uav17"
    assert open_archive(tmp_path / "b.npz", "train").skeleton.name == "uav17"


def test_class_names_without_a_skeleton_are_lost_and_said(tmp_path):
    source = pyskl(tmp_path / "my.pkl", 3, 17, class_names=list("abc"))
    made = convert(source, tmp_path / "my.npz", show=False)
    assert made.unread == ("class_names: they are kept where the skeleton is known; the source does not say it",)


def test_class_names_become_those_of_kinetics(tmp_path):
    names = ["walk", "run", "fall"]
    path = own(tmp_path / "18.npz", V=18, skeleton="coco18", units="image", channels="xys", class_names=names)
    convert(path, tmp_path / "kinetics", to="kinetics", show=False)
    table = json.loads((tmp_path / "kinetics" / "kinetics_train_label.json").read_text())
    assert [entry["label"] for entry in table.values()] == names


def test_class_names_that_steer_a_terminal_are_shown_as_escapes(tmp_path):
    names = ["a\x1b[2J", "b\nc", "d"]
    assert open_archive(coco(tmp_path / "my.npz", class_names=names), "train").class_names == ("a\\x1b[2J", "b c", "d")
    assert open_archive(pyskl(tmp_path / "my.pkl", 2, 17, class_names=names), "train").class_names[:2] == (
        "a\\x1b[2J",
        "b c",
    )


@pytest.mark.parametrize("size", [(0, 640), (10**30, 640)])
def test_pictures_of_no_size_in_a_pickle(tmp_path, size):
    path = pyskl(tmp_path / "my.pkl", 2, 17)
    content = pickle.loads(path.read_bytes())
    content["annotations"][0]["img_shape"] = size
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ArchiveError, match=rf"my.pkl: {content['annotations'][0]['frame_dir']}: img_shape"):
        open_archive(path, "train")
