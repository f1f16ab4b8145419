"""Every pipeline against what the published scripts made of the same recordings."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from raw_helpers import EXPECTED, KINETICS, NAMES, arrays, lay_out, run, sources

from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.data.archives.readers import safe_pickle
from skeleton_lab.data.preprocessing import actors as bodies
from skeleton_lab.data.preprocessing import denoise, skeleton_text
from skeleton_lab.data.preprocessing.pipelines import CtrGcn

SAMPLES = EXPECTED["a_ctrgcn"]["samples"]
ONE = ["--n_cores", "1"]


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    return arrays()


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return lay_out(tmp_path_factory.mktemp("nturgbd_raw"))


def test_bodies_of_a_recording():
    for source in sources():
        told, found = SAMPLES[source.name], bodies.scene(skeleton_text.read(source))
        assert [(b.id, [b.start, b.end], len(b.joints)) for b in found.bodies] == [
            (b["id"], b["interval"], b["frames"]) for b in told["bodies"]
        ]
        assert (found.frames, found.dropped) == (told["frames_raw"], told["frames_dropped"])
        for body, its in zip(found.bodies, told["bodies"]):
            if "motion" in its:
                assert bodies.motion(body.joints) == pytest.approx(its["motion"], rel=3e-7)


def test_denoising(expected):
    for source in sources():
        told, scene = SAMPLES[source.name], bodies.scene(skeleton_text.read(source, colors=True))
        clip = denoise.denoise(source.name, scene)
        np.testing.assert_array_equal(clip.joints, expected[f"a.denoised.{source.name}"])
        assert clip.joints.dtype == np.float32
        assert list(clip.colors.shape) == told["colors_shape"]
        assert np.isnan(clip.colors).sum() == told["colors_nan"]
        assert np.nansum(clip.colors, dtype=np.float64) == pytest.approx(told["colors_sum"], rel=1e-7)


@pytest.mark.parametrize(("dataset", "archives"), [("ntu60", ("CS", "CV")), ("ntu120", ("CSub", "CSet"))])
def test_npz_of_ctrgcn(raw, tmp_path, expected, dataset, archives):
    folders = raw[: 1 + (dataset == "ntu120")]
    assert run(dataset, "--raw", *folders, "--out", tmp_path, *ONE) == 0
    stem = dataset.upper()
    known = {}  # rows of all samples, from the archive that the fixtures hold
    for part, names in EXPECTED["a_ctrgcn"]["rows"][f"{stem}_{archives[0]}"].items():
        known.update(zip(names, zip(*(expected[f"a.{stem}_{archives[0]}.{key}_{part}"] for key in "xy"))))
    for archive in archives:
        with np.load(tmp_path / f"{stem}_{archive}.npz") as file:
            assert list(file) == ["x_train", "y_train", "x_test", "y_test"]
            for part, names in EXPECTED["a_ctrgcn"]["rows"][f"{stem}_{archive}"].items():
                x, y = (np.stack([known[name][k] for name in names]) for k in (0, 1))
                np.testing.assert_array_equal(file[f"x_{part}"], x)
                np.testing.assert_array_equal(file[f"y_{part}"], y)
                assert (file[f"x_{part}"].dtype, file[f"y_{part}"].dtype) == (np.float32, np.float64)
    assert {path.name for path in tmp_path.iterdir()} == {f"{stem}_{archive}.npz" for archive in archives}
    assert open_archive(tmp_path / f"{stem}_{archives[0]}.npz", "test").T == 28


def test_side_files_of_ctrgcn(raw, tmp_path, expected):
    assert run("ntu120", "--raw", *raw, "--out", tmp_path, "--side-files", "--colors", *ONE) == 0
    first = EXPECTED["a_ctrgcn"]["logs"]
    # The published scripts read class 106 as 06, an action of one person.
    logs = {**first, "denoised_failed_1.log": first["denoised_failed_1.log"].replace("S019C002P041R002A106\n", "")}
    for name, text in logs.items():
        folder = "raw_data" if name == "frames_drop.log" else "denoised_data"
        assert (tmp_path / folder / name).read_text() == text
    actors = {path.stem: path.read_text() for path in (tmp_path / "denoised_data" / "actors_info").iterdir()}
    assert actors == EXPECTED["a_ctrgcn"]["actors_info"]
    for folder, key in (("raw_data", "frames_raw"), ("denoised_data", "frames")):
        counts = [int(line) for line in (tmp_path / folder / "frames_cnt.txt").read_text().split()]
        assert counts == [SAMPLES[name][key] for name in NAMES]
    dropped = safe_pickle.load(tmp_path / "raw_data" / "frames_drop_skes.pkl")
    assert {name: frames.tolist() for name, frames in dropped.items()} == {
        name: told["frames_dropped"] for name, told in SAMPLES.items() if told["frames_dropped"]
    }
    for load in (safe_pickle.load, lambda path: pickle.loads(path.read_bytes())):
        joints = load(tmp_path / "denoised_data" / "raw_denoised_joints.pkl")
        for name, clip in zip(NAMES, joints):
            np.testing.assert_array_equal(clip, expected[f"a.denoised.{name}"])
        colors = load(tmp_path / "denoised_data" / "raw_denoised_colors.pkl")
        assert [list(color.shape) for color in colors] == [SAMPLES[name]["colors_shape"] for name in NAMES]


def _labels(folder, told, prefix=""):
    for path, content in told.items():
        names = content.get("names", content.get("names_sorted"))
        labels = content.get("labels", content.get("labels_sorted"))
        with open(folder / path, "rb") as file:
            found = pickle.load(file)
        assert found == ([name.replace("<raw>", prefix) for name in names], labels)


def test_arrays_of_msg3d(raw, tmp_path, expected):
    rows, tolerance = dict(zip(NAMES, expected["b.joint"])), 2e-5
    bones = dict(zip(EXPECTED["b_msg3d"]["bone_rows"], expected["b.bone"]))
    for dataset, folders, name in (("ntu60", raw[:1], "ntu"), ("ntu120", raw, "ntu120")):
        out = tmp_path / name
        assert run(dataset, "--pipeline", "msg3d", "--bones", "--raw", *folders, "--out", out, *ONE) == 0
    told = EXPECTED["b_msg3d"]
    labels = {path: content for path, content in told.items() if path.endswith(".pkl")}
    _labels(tmp_path, labels, str(raw[0].parent))
    for path, content in labels.items():
        names = [name.rpartition("/")[2].removesuffix(".skeleton") for name in content["names"]]
        joint = np.load(tmp_path / path.replace("label.pkl", "data_joint.npy"))
        assert joint.dtype == np.float32
        np.testing.assert_allclose(joint, np.stack([rows[name] for name in names]), rtol=0, atol=tolerance)
        bone = np.load(tmp_path / path.replace("label.pkl", "data_bone.npy"))
        for i, name in enumerate(names):
            if name in bones:
                np.testing.assert_allclose(bone[i], bones[name], rtol=0, atol=2 * tolerance)


def test_arrays_of_stgcn(raw, tmp_path, expected):
    assert run("ntu60", "--pipeline", "stgcn", "--raw", raw[0], "--out", tmp_path, *ONE) == 0
    rows = dict(zip(EXPECTED["c_stgcn"]["data_rows"], expected["c.data"]))
    labels = {path: content for path, content in EXPECTED["c_stgcn"].items() if path.endswith(".pkl")}
    _labels(tmp_path, labels)
    for path, content in labels.items():
        data = np.load(tmp_path / path.replace("label.pkl", "data.npy"))
        names = [name.removesuffix(".skeleton") for name in content["names_sorted"]]
        np.testing.assert_array_equal(data, np.stack([rows[name] for name in names]))
        assert data.dtype == np.float32


@pytest.mark.parametrize(("lineage", "data"), [("msg3d", "data_joint"), ("stgcn", "data")])
def test_kinetics(tmp_path, expected, lineage, data):
    flags = ["--bones"] if lineage == "msg3d" else []
    assert run("kinetics", "--pipeline", lineage, "--raw", KINETICS, "--out", tmp_path, *flags, *ONE) == 0
    for part in ("train", "val"):
        for array in (data, "data_bone")[: 1 + len(flags)]:
            found = np.load(tmp_path / f"{part}_{array}.npy")
            np.testing.assert_array_equal(found, expected[f"k.{lineage}.{part}_{array}"])
        told = EXPECTED["kinetics"][part]
        assert safe_pickle.load(tmp_path / f"{part}_label.pkl") == (told["names"], told["labels"])


def test_annotations_of_pyskl(raw, tmp_path, expected):
    assert run("ntu60", "--pipeline", "pyskl", "--raw", raw[0], "--out", tmp_path, *ONE) == 0
    path, told = tmp_path / "ntu60_3danno.pkl", EXPECTED["e_pyskl"]
    content = safe_pickle.load(path)
    assert content["split"] == told["split"]
    for annotation, its in zip(content["annotations"], told["annotations"]):
        key_points = annotation["keypoint"]
        assert {k: annotation[k] for k in ("frame_dir", "label", "total_frames")} == {
            k: its[k] for k in ("frame_dir", "label", "total_frames")
        }
        np.testing.assert_array_equal(key_points, expected[f"e.keypoint.{its['frame_dir']}"])
        assert key_points.dtype == np.float16
    assert len(content["annotations"]) == len(told["annotations"])
    assert len(open_archive(path, "test", layout="pyskl:xsub")) == 4


def test_forced_length_and_lonely_people(raw, tmp_path):
    flags = ["--frames", "40", "--duplicate_single", "False"]
    assert run("ntu120", "--raw", *raw, "--out", tmp_path, *flags, *ONE) == 0
    with np.load(tmp_path / "NTU120_CSub.npz") as file:
        x = file["x_train"]
    assert x.shape == (7, 40, 150)
    assert not x[EXPECTED["a_ctrgcn"]["rows"]["NTU120_CSub"]["train"].index("S018C001P045R001A061"), :, 75:].any()


def test_clips_that_are_too_long(raw, tmp_path):
    assert run("ntu60", "--raw", raw[0], "--out", tmp_path / "a", "--frames", "25", *ONE) == 0
    assert len((tmp_path / "a" / "skipped-ctrgcn-ntu60.txt").read_text().splitlines()) == 2
    assert run("ntu60", "--raw", raw[0], "--out", tmp_path / "b", "--frames", "25", "--truncate", *ONE) == 0
    with np.load(tmp_path / "b" / "NTU60_CS.npz") as file:
        assert file["x_train"].shape == (6, 25, 150)


def test_options_that_do_nothing_are_refused(raw, tmp_path, capsys):
    assert run("ntu60", "--pipeline", "stgcn", "--bones", "--raw", raw[0], "--out", tmp_path) == 2
    assert "--bones" in capsys.readouterr().err
    assert run("ntu60", "--colors", "--raw", raw[0], "--out", tmp_path) == 2
    assert run("kinetics", "--raw", KINETICS, "--out", tmp_path) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_only_short_bodies_are_kept():
    """The published script stops with an index error there."""
    source = next(s for s in sources() if s.name == "S003C001P007R002A058")
    scene = bodies.scene(skeleton_text.read(source))
    for body in scene.bodies:
        body.joints = body.joints[:11]
    assert denoise.denoise(source.name, scene).joints.shape[1] == 150


def test_the_conversion_is_picklable():
    assert pickle.loads(pickle.dumps(CtrGcn("ntu60", colors=True))) == CtrGcn("ntu60", colors=True)
