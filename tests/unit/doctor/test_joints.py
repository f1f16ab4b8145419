"""The doctor on archives that say their skeleton: key points of pictures, scores, units, subjects."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.doctor.diagnosis import ERROR, WARNING, Diagnosis
from skeleton_lab.doctor.examine import examine
from skeleton_lab.doctor.picture import draw
from skeleton_lab.skeletons import layouts

COCO = layouts.layout("coco17")
STANDING = np.array(
    [(0, -60), (-3, -63), (3, -63), (-7, -60), (7, -60), (-18, -45), (18, -45), (-22, -20), (22, -20), (-24, 0),
     (24, 0), (-11, 5), (11, 5), (-12, 40), (12, 40), (-12, 75), (12, 75)], float
)  # fmt: skip


def bodies(count: int, seed: int = 0) -> np.ndarray:
    """(N, 3, T, 17, 1): people who sway in a picture of 640 x 480, with scores."""
    rng = np.random.default_rng(seed)
    x = np.zeros((count, 3, 20, 17, 1), np.float32)
    walk = rng.normal(0, 2, (count, 2, 20, 1)).cumsum(2)
    x[:, :2, ..., 0] = (
        STANDING.T[None, :, None] + walk + rng.uniform((200, 150), (400, 300), (count, 2))[..., None, None]
    )
    x[:, 2] = rng.uniform(0.6, 1, (count, 20, 17, 1))
    return x


def content(**more: object) -> dict[str, object]:
    """The members of a sound archive: twelve training clips and six test clips of three classes."""
    return {
        "x_train": bodies(12), "y_train": np.arange(12) % 3, "x_test": bodies(6, 1), "y_test": np.arange(6) % 3,
        "skeleton": "coco17", "channels": "xys", "units": "px", "class_names": ["walk", "run", "fall"],
        "img_shape_train": np.full((12, 2), (480, 640)), "img_shape_test": np.full((6, 2), (480, 640)),
        "subject_train": [f"p{k % 4}" for k in range(12)], "subject_test": ["q"] * 6, **more,
    }  # fmt: skip


def diagnosed(path: Path, **more: object) -> Diagnosis:
    np.savez(path / "my.npz", **{key: value for key, value in content(**more).items() if value is not None})
    return examine(path / "my.npz")


def test_an_archive_of_ones_own_is_understood(tmp_path):
    found = diagnosed(tmp_path)
    assert found.sound and not found.findings, found.text()
    assert (
        "joints   of the skeleton coco17, pixels, with scores, pictures of 640x480, 100 % found; torso 50"
        in found.text()
    )
    assert "3 of 3 classes, 4 to 4 clips each; most: walk (4), run (4), fall (4)" in found.text()
    json.dumps(found.as_json())


@pytest.mark.slow
def test_its_picture_stands_upright(tmp_path):
    found = diagnosed(tmp_path)
    draw(found, tmp_path / "found.png")
    assert (tmp_path / "found.png").stat().st_size > 20_000


def picture(**more: object) -> dict[str, object]:
    return {"x_train": bodies(12), **more}


def low(share: float) -> np.ndarray:
    x = bodies(12)
    x[:, 2] = np.where(np.random.default_rng(0).random(x[:, 2].shape) < share, 0.1, x[:, 2])
    return x


def changed(joints: object, channel: int, value: float) -> np.ndarray:
    x = bodies(12)
    x[:, channel, :, joints] = value
    return x


def body25() -> np.ndarray:
    return np.concatenate([bodies(12), bodies(12)[:, :, :, :8]], 3)


FLIPPED = np.array([1, -1, 1]).reshape(3, 1, 1, 1)
TALL = np.full((12, 2), (640, 480))
LONG = np.array([640, 480, 1]).reshape(3, 1, 1, 1)
RIGHT = np.array([160, 0, 0]).reshape(3, 1, 1, 1)
METRES = {"channels": "xyz", "img_shape_train": None, "img_shape_test": None, "x_test": bodies(6, 1) * FLIPPED}


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (dict(x_train=low(0.7)), "low-scores", "joints of the people have a score below 0.3"),
        (dict(x_train=changed([15, 16], 2, 0)), "missing-joints", "left_ankle, right_ankle"),
        (dict(x_train=bodies(12) * FLIPPED), "upside-down", "shoulders below their hips"),
        (dict(x_train=bodies(12) / LONG), "units", "look like shares"),
        (dict(units="image"), "units", "the archive says image: they look like pixels"),
        (dict(img_shape_train=np.full((12, 2), (240, 320))), "outside", "outside of their pictures"),
        (dict(x_train=bodies(12) + RIGHT, img_shape_train=TALL), "outside", "with height and width exchanged"),
        (dict(x_train=changed(slice(None), 2, 2)), "scores", "go up to 2: COCO's visibility"),
        (dict(subject_test=["p3"] * 6), "subjects", "subjects of both splits: p3"),
        (dict(y_train=np.arange(12) % 2, y_test=np.arange(6) % 2), "classes", "1 of 3 classes have no clip: fall"),
        (dict(skeleton="h36m17", units="m", **METRES), "units", "that would be a body in cm"),
        (dict(class_names=["walk", "walk", ""]), "class-names", "do not tell classes apart: '', 'walk'"),
    ],
)  # fmt: skip
def test_what_is_odd_is_found(tmp_path, more, code, said):
    found = diagnosed(tmp_path, **more)
    assert found.sound
    mine = [f for f in found.findings if f.code == code]
    assert mine and said in mine[0].message, found.text()


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (dict(skeleton="coco18"), "skeleton", "x_train has 17 joints, its skeleton coco18 has 18"),
        (dict(skeleton="coco 71"), "skeleton", "is no skeleton"),
        (dict(units="inch"), "members", "units is inch"),
        (dict(class_names=["walk"]), "members", "class_names has 1 names"),
        (dict(img_shape_train=np.zeros((12, 2), int)), "members", "row 0 is [0, 0]"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_an_error(tmp_path, more, code, said):
    found = diagnosed(tmp_path, **more)
    assert not found.sound and any(f.code == code and said in f.message for f in found.findings), found.text()


def test_twentyfive_joints_of_a_picture_are_no_kinect(tmp_path):
    sizes = {"x_train": body25(), "x_test": body25()[:6] + 1, "skeleton": "body25"}
    found = diagnosed(tmp_path, **sizes, class_names=[f"c{k}" for k in range(3)])
    assert not found.codes(ERROR) and not found.codes() & {"not-centred", "column-order", "one-based"}, found.text()


def test_a_pickle_of_pictures(tmp_path):
    annotations = []
    for k, x in enumerate(bodies(8)):
        points = x.transpose(3, 1, 2, 0).astype(np.float16)
        annotations.append(
            {"frame_dir": f"v{k}", "label": k % 2, "total_frames": 20, "img_shape": (480, 640),
             "keypoint": points[..., :2], "keypoint_score": points[..., 2]}
        )  # fmt: skip
    split = {"train": [f"v{k}" for k in range(6)], "val": ["v6", "v7"]}
    (tmp_path / "my.pkl").write_bytes(pickle.dumps({"split": split, "annotations": annotations}))
    found = examine(tmp_path / "my.pkl")
    assert found.sound and not found.codes(WARNING), found.text()
    assert found.splits["train"].skeleton == "coco17" and found.splits["train"].pictures == [[480, 640]]
    assert found.splits["test"].found == [1.0] * 17
