"""Joint maps, the placing of key points, and the readers of their files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skeleton_lab.data.synthetic import archive
from skeleton_lab.errors import LabError
from skeleton_lab.inference.keypoints import normalise, reading
from skeleton_lab.inference.keypoints.__main__ import main
from skeleton_lab.skeletons import joint_maps
from skeleton_lab.skeletons.schemes import BODY25, COCO17, COCO18, H36M17, MEDIAPIPE33, NTU25, SCHEMES, UCLA20

SOURCES = [COCO17, BODY25, COCO18, MEDIAPIPE33, H36M17, UCLA20, NTU25]
BY_NAME = {"ids": lambda scheme: scheme.name}
# The published orders, written down a second time, from the documents of each estimator.
COCO_ORDER = (
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
    "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"
)
EXACT = (0, 3, 4, 5, 6, 8, 9, 10, 12, 13, 14, 16, 17, 18)  # of NTU-25, where COCO has the joint or its two sides


def choose(name=None):
    return lambda joints, where: normalise.scheme_of(name, joints, where)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> np.ndarray:
    """(N, T, M, 25, 3) of the lab's generator, two of them with two persons."""
    path = tmp_path_factory.mktemp("synthetic") / "clips.npz"
    archive.write(path, train=1, test=6, classes=6, frames=120, two_person_share=0.4, progress=False)
    with np.load(path) as file:
        return file["x_test"].reshape(-1, 120, 2, 25, 3)


def coco_of(ntu: np.ndarray) -> np.ndarray:
    """(..., 17, 3) made from NTU's joints by hand: ears and eyes beside the head, the rest copied."""
    made = np.zeros((*ntu.shape[:-2], 17, 3))
    across = 0.4 * (ntu[..., 4, :] - ntu[..., 8, :])
    made[..., 0, :] = ntu[..., 3, :]
    for joint, side in ((1, 0.5), (2, -0.5), (3, 1), (4, -1)):
        made[..., joint, :] = ntu[..., 3, :] + side * across
    for joint, of in zip(range(5, 17), (4, 8, 5, 9, 6, 10, 12, 16, 13, 17, 14, 18)):
        made[..., joint, :] = ntu[..., of, :]
    return made


def in_pixels(points: np.ndarray, scale=310.0) -> np.ndarray:
    """The image (x right, y down) of a camera far away at the sensor's place."""
    return np.stack([960 - scale * points[..., 0], 540 - scale * points[..., 1]], -1)


def test_orders():
    assert " ".join(COCO17.joints) == COCO_ORDER
    assert [BODY25.at(n) for n in ("neck", "right_wrist", "left_wrist", "mid_hip", "left_ankle", "left_big_toe")] == [
        1, 4, 7, 8, 14, 19,
    ]  # fmt: skip
    assert BODY25.joints[22:] == ("right_big_toe", "right_small_toe", "right_heel")
    assert [COCO18.at(n) for n in ("right_hip", "left_ankle", "right_eye", "left_ear")] == [8, 13, 14, 17]
    assert [MEDIAPIPE33.at(n) for n in ("left_shoulder", "left_wrist", "left_thumb", "right_foot_index")] == [
        11, 15, 21, 32,
    ]  # fmt: skip
    assert [H36M17.at(n) for n in ("pelvis", "right_hip", "left_hip", "thorax", "left_wrist", "right_wrist")] == [
        0, 1, 4, 8, 13, 16,
    ]  # fmt: skip
    assert [NTU25.at(n) for n in ("left_hand", "right_foot", "spine_shoulder", "left_thumb", "right_thumb")] == [
        7, 19, 20, 22, 24,
    ]  # fmt: skip
    assert [s.V for s in SOURCES] == [17, 25, 18, 33, 17, 20, 25] and len(SCHEMES) == len(SOURCES)


@pytest.mark.parametrize("scheme", SOURCES, **BY_NAME)
def test_schemes_are_bodies(scheme):
    assert len(set(scheme.joints)) == scheme.V
    assert (scheme.mirror[scheme.mirror] == np.arange(scheme.V)).all()
    joined = {0}
    for _ in range(scheme.V):
        joined |= {a for pair in scheme.edges for a in pair if set(pair) & joined}
    assert len(joined) == scheme.V  # every joint hangs on the body


@pytest.mark.parametrize("target", joint_maps.TARGETS)
@pytest.mark.parametrize("source", SOURCES, **BY_NAME)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_maps_move_turn_scale_and_mirror_with_the_body(source, target, data):
    seed = data.draw(st.integers(0, 2**32 - 1))
    scale = data.draw(st.floats(0.01, 1000))
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, source.V, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    move = rng.normal(size=3) * 100
    y = joint_maps.apply(x, source.name, target)
    moved = joint_maps.apply(scale * x @ turn + move, source.name, target)
    np.testing.assert_allclose(moved, scale * y @ turn + move, rtol=1e-9, atol=1e-9 * scale + 1e-9)
    mirrored = joint_maps.apply(x[:, source.mirror] * [-1, 1, 1], source.name, target)
    np.testing.assert_allclose(mirrored, y[:, SCHEMES[target].mirror] * [-1, 1, 1], atol=1e-12)


def test_ucla_is_ntu_without_neck_tips_and_thumbs():
    kept = [0, 1, 20, 3, *range(4, 20)]  # of NTU-25
    for source in SOURCES[:-2]:
        np.testing.assert_array_equal(
            joint_maps.matrix(source.name, "ucla20"), joint_maps.matrix(source.name, "ntu25")[kept]
        )
    x = np.random.default_rng(0).normal(size=(25, 3))
    np.testing.assert_array_equal(joint_maps.apply(x, "ntu25", "ucla20"), x[kept])


def test_coco_of_a_clip_and_back(clips):
    """Project to an image as a pose estimator sees it; what the map copies comes back at its place."""
    for clip in clips:
        there = clip.any((0, 2, 3))
        T = int(np.flatnonzero(clip.any((1, 2, 3)))[-1]) + 1
        clip = clip[:T, there].astype(np.float64)
        pixels = in_pixels(coco_of(clip))
        scored = np.concatenate([pixels, np.where(clip.any((2, 3)), 0.9, 0)[..., None, None].repeat(17, 2)], -1)
        found = reading.of_archive(scored, COCO17, "clip", Path("clip.npy"))
        made = normalise.placed(found, COCO17, NTU25)
        torso = np.linalg.norm((made[:, 0, 20] - made[:, 0, 0]), axis=-1)
        if made.shape[1] == 1:  # of two, it is the median of both
            assert np.quantile(torso, 0.75) == pytest.approx(normalise.TORSO, rel=1e-5)
        shown = clip.any((2, 3))
        a, b = made[shown][:, EXACT, :2].astype(np.float64), clip[shown][:, EXACT, :2]
        # the hips' middle is the base of the spine only for the map
        b[:, 0] = (clip[shown][:, 12, :2] + clip[shown][:, 16, :2]) / 2
        a, b = a - a[0, 0], b - b[0, 0]
        scale = (a * b).sum() / (b * b).sum()
        assert np.abs(a / scale - b).max() < 2e-3  # metres; pixels and float32 leave that much
        assert (made[..., 2] == 0).all()
        assert np.sign(made[0, 0, 4, 0] - made[0, 0, 8, 0]) == np.sign(clip[0, 0, 4, 0] - clip[0, 0, 8, 0])


def test_missing_joints_are_filled():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(9, 17, 2)) + 5
    x[:, 9] = np.arange(9)[:, None] * [1.0, 2.0]
    found = np.ones((9, 17), bool)
    found[2:5, 9] = found[:2, 9] = False
    found[:, 10] = False
    made = normalise.fill(x, found, COCO17)
    np.testing.assert_allclose(made[:, 9], np.maximum(np.arange(9), 5)[:, None] * [1.0, 2.0])
    np.testing.assert_array_equal(made[:, 10], x[:, 8])  # a wrist nobody saw is where the elbow is
    found[:, [11, 12]] = False
    assert normalise.fill(x, found, COCO17) is None


def test_up_is_a_rotation():
    x = np.eye(3)
    for up in normalise.UP:
        assert np.linalg.det(normalise.turned(x, up)) == pytest.approx(1)
    np.testing.assert_array_equal(normalise.turned(np.array([0.0, 0, 1]), "z"), [0, 1, 0])
    np.testing.assert_array_equal(normalise.turned(np.array([0.0, -1, 0]), "-y"), [0, 1, 0])


def test_metres_stay_and_millimetres_become_metres(clips):
    x = clips[0, :20, :1].astype(np.float64)
    found = np.ones(x.shape[:3], bool)
    kept = normalise.placed(reading.Keypoints("a", x, found), NTU25, NTU25)
    np.testing.assert_array_equal(kept, x.astype(np.float32))
    pelvis = joint_maps.apply(x, "ntu25", "ucla20")
    np.testing.assert_allclose(normalise.placed(reading.Keypoints("a", x, found), NTU25, UCLA20), pelvis, atol=1e-6)
    world = np.random.default_rng(0).normal(size=(4, 1, 17, 3))
    world[:, :, [1, 4]], world[:, :, [0, 8]] = world[:, :, :1], [[0, 0, 0], [0, -500, 0]]
    made = normalise.placed(reading.Keypoints("a", world, np.ones((4, 1, 17), bool)), H36M17, NTU25)
    np.testing.assert_allclose(made[:, 0, 20] - made[:, 0, 0], np.tile([0, 0.5, 0], (4, 1)), atol=1e-6)


def test_centred_on_the_first_person(clips):
    clip = clips[0] + np.float32(3) * (clips[0] != 0).any((2, 3))[..., None, None]
    made = normalise.centred(clip)
    assert not made[0, 0, 1].any() and ((made != 0).any((2, 3)) == (clip != 0).any((2, 3))).all()
    np.testing.assert_allclose(made[5, 0, 3] - made[5, 0, 7], clip[5, 0, 3] - clip[5, 0, 7], atol=1e-5)


def body(joints: int, x: float = 0.0, score: float = 0.8) -> list[float]:
    points = np.random.default_rng(joints).uniform(100, 300, (joints, 2)) + np.array([x, 0])
    return np.concatenate([points, np.full((joints, 1), score)], 1).round(2).reshape(-1).tolist()


def test_arrays_and_lists(tmp_path):
    x = np.random.default_rng(0).uniform(1, 9, (6, 2, 17, 3))
    shapes = {"a": x[:, 0], "b": x, "c": np.stack([x, x])}
    for name, array in shapes.items():
        np.save(tmp_path / f"{name}.npy", array)
        np.savez(tmp_path / f"{name}.npz", other=np.zeros(3), keypoints=array)
        (tmp_path / f"{name}.json").write_text(json.dumps(array.tolist()))
        (tmp_path / f"{name}_.json").write_text(json.dumps({"keypoints": array.tolist()}))
        for file in (f"{name}.npy", f"{name}.npz", f"{name}.json", f"{name}_.json"):
            assert reading.is_keypoints(tmp_path / file)
            found, scheme = reading.read(tmp_path / file, choose("coco17"))
            assert scheme is COCO17 and len(found) == (2 if name == "c" else 1)
            expected = x[:, :1, :, :2] if name == "a" else x[..., :2]
            for each in found:
                np.testing.assert_array_equal(each.points, expected)
                assert each.found.all()


def test_openpose_folder_and_lists_with_tracking(tmp_path):
    """Two people who change places in the lists keep their slots; a missing frame is empty; a third, brief one goes."""
    folder = tmp_path / "frames"
    folder.mkdir()
    frames = []
    for t in range(8):
        pair = [{"pose_keypoints_2d": body(25, t)}, {"pose_keypoints_2d": body(25, 600 - t)}]
        people = pair[:: (-1) ** t] + ([{"pose_keypoints_2d": body(25, 1500, 0.1)}] if t == 3 else [])
        frames.append({"version": 1.3, "people": people})
        if t != 5:
            (folder / f"video_{t:012d}_keypoints.json").write_text(json.dumps(frames[-1]))
    (tmp_path / "list.json").write_text(json.dumps(frames))
    for path in (folder, tmp_path / "list.json"):
        [found], scheme = reading.read(path, choose("body25"))
        assert scheme is BODY25 and found.points.shape == (8, 2, 25, 2)
        for t in range(8):
            if path == folder and t == 5:
                assert not found.found[t].any()
            else:
                offset = found.points[t, :, 0, 0] - np.array(body(25)[0])
                np.testing.assert_allclose(offset, [t, 600 - t], atol=0.02)


def test_alphapose_and_mmpose(tmp_path):
    alpha = [
        {"image_id": f"{t}.jpg", "category_id": 1, "keypoints": body(17, t + 500 * m), "score": 2.0, "idx": m}
        for t in range(5)
        for m in (1, 0)
    ]
    (tmp_path / "alpha.json").write_text(json.dumps(alpha))
    mm = {
        "meta_info": {},
        "instance_info": [
            {
                "frame_id": t + 1,
                "instances": [
                    {
                        "keypoints": np.reshape(body(17, t), (17, 3))[:, :2].tolist(),
                        "keypoint_scores": [0.8] * 17,
                        "bbox": [[0, 0, 1, 1]],
                    }
                ],
            }
            for t in range(5)
        ],
    }
    (tmp_path / "mm.json").write_text(json.dumps(mm))
    [found], _ = reading.read(tmp_path / "alpha.json", choose("coco17"))
    np.testing.assert_allclose(found.points[:, 0, 0, 0] - found.points[:, 1, 0, 0], 500)
    [found], _ = reading.read(tmp_path / "mm.json", choose("coco17"))
    assert found.points.shape == (5, 1, 17, 2)
    np.testing.assert_allclose(np.diff(found.points[:, 0, 0, 0]), 1)


@pytest.mark.parametrize(
    "content, words",
    [
        (np.full((4, 17, 2), np.nan), "all are zero or NaN"),
        (np.full((4, 17, 2), np.inf), "infinite key points in frame 0"),
        (np.full((4, 17, 3), [5, 5, 0.2]), "reaches --score 0.3, the highest is 0.2"),
        (np.zeros((4, 17, 3)), "all are zero"),
        (np.ones((0, 17, 3)), "holds no frames"),
        (np.ones((4, 15, 3)), "15 joints per person, --keypoints coco17 has 17"),
        (np.ones((4, 25, 3)), "25 joints per person, --keypoints coco17 has 17; 25 joints are body25 or ntu25"),
        (np.ones((4, 17)), "accepted are (T, V, C)"),
        (np.ones((4, 17, 9)), "accepted are (T, V, C)"),
        (b"", "is empty (0 bytes)"),
        (b"[[[1, 2], [3]]]", "neither lists of numbers"),
        (b"[1, 2", "is damaged or in no known format"),
        (b'{"people": 3}', "is damaged or in no known format"),
        (b'[{"people": []}]', "nobody in any of them"),
        (b'{"other": 3}', "accepted are"),
        (b'[{"image_id": "a.jpg", "keypoints": [1, 2, 3]}]', "has no number of its frame"),
        (b"[" * 100000, "is damaged or in no known format"),
        (b"1e400", "accepted are"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, content, words):
    path = tmp_path / ("x.npy" if isinstance(content, np.ndarray) else "x.json")
    if isinstance(content, np.ndarray):
        np.save(path, content)
    else:
        path.write_bytes(content)
    with pytest.raises(LabError) as error:
        reading.is_keypoints(path)
        reading.read(path, choose("coco17"))
    assert words in str(error.value) and str(path) in str(error.value)


def test_ambiguous_joints_must_be_named():
    for joints, words in ((17, "coco17 or h36m17"), (25, "body25 or ntu25"), (19, "are in no known order")):
        with pytest.raises(LabError, match=words) as error:
            normalise.scheme_of(None, joints, "file")
        assert ("mediapipe33" in str(error.value)) == (joints == 19)  # what does not fit is no choice
    assert normalise.scheme_of(None, 33, "file") is MEDIAPIPE33


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    content=st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    ["people", "pose_keypoints_2d", "keypoints", "image_id", "instances", "instance_info", "idx"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(content))
    try:
        reading.read(path, choose())
    except LabError:
        return
    raise AssertionError("no such small content is a recording")


@pytest.mark.slow
def test_pictures_and_rules(tmp_path, capsys):
    assert main(["coco17"]) == 0
    assert " 7 left_hand        = 1.3 left_wrist - 0.3 left_elbow" in capsys.readouterr().out.splitlines()
    assert main(["--picture", str(tmp_path)]) == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(f"keypoints-{s.name}.png" for s in SOURCES if s is not NTU25)
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in names)
    assert main(["nothing"]) == 2
