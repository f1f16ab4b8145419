"""Converters: every layout into every other, the documented scripts, memory, interruption, one-line errors."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from parity.kaggle_sample import make_kaggle_arrays, make_kinetics, to_ntvm
from places import ROOT

from skeleton_lab.data.archives import convert as converter
from skeleton_lab.data.archives import ntu_published
from skeleton_lab.data.archives.both_splits import open_source
from skeleton_lab.data.archives.convert import convert
from skeleton_lab.data.archives.ntu_protocol import row_names, sample
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.data.archives.prenormalize import normalise
from skeleton_lab.data.synthetic import archive as synthetic
from skeleton_lab.errors import ArchiveError, UsageError

SPLITS = ("train", "test")


@pytest.fixture(scope="module")
def arrays():
    return make_kaggle_arrays()


@pytest.fixture(scope="module")
def kaggle(arrays, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("kaggle") / "NTU60_CS.npz"
    np.savez(path, **arrays)
    return path


def members(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def script(*words, cwd=ROOT, **options):
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, **options)


def refused(done, *words):
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and done.stderr.startswith("error: ")
    assert all(word in done.stderr for word in words), done.stderr


def as_it_is(path: Path) -> dict[str, str]:
    """Reading a pickle without centring: in one clip of the sample data the origin is not where person 0 enters."""
    return {"layout": "pyskl:raw"} if path.suffix == ".pkl" else {}


def same_clips(path: Path, arrays):
    """Every clip and label of ``path`` equals the Kaggle arrays; padding may be shorter."""
    for split, clips in open_source(path, **as_it_is(path)).items():
        expected = to_ntvm(arrays[f"x_{split}"])
        actual = clips.clips(np.arange(len(clips)))
        T = min(clips.T, expected.shape[2])
        np.testing.assert_array_equal(actual[:, :, :T], expected[:, :, :T])
        assert not actual[:, :, T:].any() and not expected[:, :, T:].any()
        np.testing.assert_array_equal(clips.labels, arrays[f"y_{split}"].argmax(1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convert_ntu60_kaggle_to_ctrgcn.py", "dataset_tools/convert_kaggle_to_skeleton5d.py"])
def test_documented_scripts_write_the_5d_layout(name, kaggle, arrays, tmp_path):
    out = tmp_path / "skeleton5d" / "NTU60_CS_skeleton5d.npz"
    done = script(name, "--input", kaggle, "--output", out)
    assert done.returncode == 0, done.stderr
    made = members(out)
    assert list(made) == ["x_train", "y_train", "x_test", "y_test"]
    for split in SPLITS:
        assert made[f"x_{split}"].dtype == np.float32 and made[f"y_{split}"].dtype == np.int64
        np.testing.assert_array_equal(made[f"x_{split}"], to_ntvm(arrays[f"x_{split}"]))
        np.testing.assert_array_equal(made[f"y_{split}"], arrays[f"y_{split}"].argmax(1))
    again = tmp_path / "again.npz"  # 5-D input passes through, deflated or not
    assert script(name, "--input", out, "--output", again, "--compress").returncode == 0
    assert all((members(again)[key] == made[key]).all() for key in made)
    assert again.stat().st_size < out.stat().st_size / 2
    assert [p.name for p in out.parent.iterdir()] == [out.name]


def test_one_person_gives_zeros_for_the_other(kaggle, tmp_path):
    convert(kaggle, tmp_path / "x.npz", to="5d", show=False)
    x = members(tmp_path / "x.npz")["x_train"]
    assert not x[0, ..., 1].any() and x[0, ..., 0].any() and x[1, ..., 1].any()


def test_output_defaults_to_a_name_beside_the_input(kaggle, tmp_path):
    copy = tmp_path / "NTU60_CS.npz"
    copy.write_bytes(kaggle.read_bytes())
    assert script("convert_ntu60_kaggle_to_ctrgcn.py", "--input", copy).returncode == 0
    assert (tmp_path / "NTU60_CS_ctrgcn.npz").exists()


def test_converters_need_no_torch(kaggle, tmp_path):
    words = (
        "import sys; sys.modules['torch'] = None; sys.argv[1:] = sys.argv[2:]; import runpy; "
        "runpy.run_path('convert_ntu60_kaggle_to_ctrgcn.py', run_name='__main__')"
    )
    done = script("-c", words, "-", "--input", kaggle, "--output", tmp_path / "x.npz")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("five", [False, True])
def test_msg3d_arrays(five, kaggle, arrays, tmp_path):
    source = kaggle
    if five:
        source = tmp_path / "five.npz"
        convert(kaggle, source, to="5d", show=False)
    done = script("convert_ctr_npz_to_msg3d.py", "--input", source, "--output-root", tmp_path / "ntu")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "ntu" / "xsub"
    for split, part in (("train", "train"), ("test", "val")):
        x = np.load(folder / f"{part}_data_joint.npy")
        np.testing.assert_array_equal(x, to_ntvm(arrays[f"x_{split}"]))
        assert (folder / f"{part}_data.npy").stat().st_ino == (folder / f"{part}_data_joint.npy").stat().st_ino
        names, labels = pickle.loads((folder / f"{part}_label.pkl").read_bytes())
        assert names == [str(i) for i in range(len(x))]
        assert labels == arrays[f"y_{split}"].argmax(1).tolist() and type(labels[0]) is int


def test_msg3d_normalisation_is_that_of_its_generator(kaggle, arrays, tmp_path):
    convert(kaggle, tmp_path / "ms", to="npy", normalise="msg3d", show=False)
    made = np.load(tmp_path / "ms" / "train_data_joint.npy")
    original = to_ntvm(arrays["x_train"])
    for i in (0, 1, 8):
        length = np.flatnonzero(original[i].any(axis=(0, 2, 3)))[-1] + 1
        x = normalise(original[i, :, :length].transpose(3, 1, 2, 0))
        np.testing.assert_allclose(made[i], x[:, np.arange(300) % x.shape[1]].transpose(3, 1, 2, 0), atol=1e-6)
    assert not made[:, :, :, 1, 0].any()  # centred frame by frame


def test_twin_is_a_copy_where_there_are_no_hard_links(kaggle, tmp_path, monkeypatch):
    monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(OSError("no links")))
    convert(kaggle, tmp_path / "ms", show=False)
    data, joint = (tmp_path / "ms" / f"val_data{word}.npy" for word in ("", "_joint"))
    assert data.read_bytes() == joint.read_bytes() and data.stat().st_ino != joint.stat().st_ino


@pytest.mark.parametrize("name", ["a.npz", "b.h5", "c.pkl", "folder"])
@pytest.mark.parametrize("through", ["kaggle", "5d", "h5", "npy", "pyskl"])
def test_any_layout_into_any_other(through, name, kaggle, arrays, tmp_path):
    middle = tmp_path / {"npy": "arrays", "pyskl": "m.pkl", "h5": "m.h5"}.get(through, "m.npz")
    convert(kaggle, middle, to=through, show=False)
    same_clips(middle, arrays)
    made = convert(middle, tmp_path / name, show=False, **as_it_is(middle))
    assert made.counts == {"train": 12, "test": 8} and made.num_class == 60
    same_clips(tmp_path / name, arrays)
    if name.endswith(".npz"):
        assert all((members(tmp_path / name)[key] == arrays[key]).all() for key in arrays)


def test_pickle_is_what_pyskl_expects(kaggle, arrays, tmp_path):
    out = tmp_path / "x.pkl"
    assert script("dataset_tools/convert.py", "--input", kaggle, "--output", out).returncode == 0
    content = pickle.loads(out.read_bytes())
    assert set(content) == {"split", "annotations"} and set(content["split"]) == {"xsub_train", "xsub_val"}
    first, second = content["annotations"][:2]
    assert first["frame_dir"] == content["split"]["xsub_train"][0] and first["label"] == 3
    assert first["keypoint"].shape == (1, 300, 25, 3) and second["keypoint"].shape == (2, 20, 25, 3)
    assert second["total_frames"] == 20 and second["keypoint"].dtype == np.float32
    assert converter.benchmark_of(Path("NTU120_CSet.npz")) == "xset"


def test_camera_coordinates_of_a_pickle_are_centred(tmp_path):
    x = np.random.RandomState(0).randn(1, 9, 25, 3).astype(np.float16) + np.float16(3)
    note = {"frame_dir": "S001C001P001R001A001", "total_frames": 9, "label": 0, "keypoint": x}
    split = {"xsub_train": [note["frame_dir"]], "xsub_val": ["b"]}
    content = {"split": split, "annotations": [note, note | {"frame_dir": "b"}]}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    made = convert(tmp_path / "a.pkl", tmp_path / "a.npz", show=False)
    assert made.shape == (3, 300, 25, 2)
    rows = members(tmp_path / "a.npz")["x_train"]
    assert not rows[0, 0, 3:6].any() and not rows[0, 9:].any() and not rows[0, :, 75:].any()
    np.testing.assert_allclose(rows[0, 2, :3], (x.astype(np.float32)[0, 2, 0] - x.astype(np.float32)[0, 0, 1]))


def test_names_travel(tmp_path):
    synthetic.write(tmp_path / "a.npz", train=12, test=6, classes=4, frames=40, progress=False)
    convert(tmp_path / "a.npz", tmp_path / "b.h5", show=False)
    convert(tmp_path / "b.h5", tmp_path / "c", show=False)
    convert(tmp_path / "c", tmp_path / "d.npz", frames=40, show=False)
    first, last = members(tmp_path / "a.npz"), members(tmp_path / "d.npz")
    assert sorted(first) == sorted(last) and all((first[key] == last[key]).all() for key in first)
    assert open_archive(tmp_path / "d.npz", "train").subjects is not None


def test_kinetics_and_ucla_there_and_back(tmp_path):
    make_kinetics(tmp_path / "raw")
    folder, label = tmp_path / "raw" / "clips", tmp_path / "raw" / "labels.json"
    with pytest.raises(UsageError, match="--persons 2"):
        convert(folder, tmp_path / "k.npz", label_path=label, show=False)
    two = convert(folder, tmp_path / "k.npz", label_path=label, persons=2, show=False)
    assert convert(tmp_path / "k.npz", tmp_path / "k.pkl", show=False)[1:3] == two[1:3]  # one split is enough
    assert convert(tmp_path / "k.pkl", tmp_path / "k.h5", show=False).counts == {"train": 3}
    made = convert(folder, tmp_path / "k", to="kinetics", label_path=label, show=False)
    assert made.shape[2] == 18 and list(made.counts) == ["train"]
    before = open_archive(folder, "train", label_path=label)
    after = open_source(tmp_path / "k", split="train")["train"]
    index = np.arange(len(before))
    np.testing.assert_allclose(after.clips(index), before.clips(index), atol=1e-6)
    assert after.names == before.names and (after.labels == before.labels).all()

    source = tmp_path / "ucla"
    source.mkdir()
    rng = np.random.RandomState(0)
    for view in (1, 3):
        name = f"a02_s01_e00_v{view:02d}"
        skeletons = rng.standard_normal((10, 20, 3)).round(4).tolist()
        (source / f"{name}.json").write_text(json.dumps({"file_name": name, "skeletons": skeletons, "label": 2}))
    convert(source, tmp_path / "u.npz", to="5d", show=False)
    convert(tmp_path / "u.npz", tmp_path / "u", to="ucla", show=False)
    for name in (p.name for p in source.iterdir()):
        a, b = (json.loads((folder / name).read_text()) for folder in (source, tmp_path / "u"))
        np.testing.assert_allclose(a.pop("skeletons"), b.pop("skeletons"), atol=1e-6)
        assert a == b


def test_labels_that_count_from_one_are_moved(arrays, tmp_path, caplog):
    x = arrays["x_train"][:3, :20]
    for high, expected in ((60, [0, 4, 59]), (59, [1, 5, 59])):
        np.savez(tmp_path / "a.npz", x_train=x, y_train=np.array([1, 5, high]), x_test=x, y_test=np.array([1, 5, high]))
        convert(tmp_path / "a.npz", tmp_path / "b.npz", to="5d", show=False)
        assert members(tmp_path / "b.npz")["y_train"].tolist() == expected
    assert "count from 1" in caplog.text
    np.savez(tmp_path / "a.npz", x_train=x, y_train=np.array([1, 5, 61]), x_test=x, y_test=np.array([1, 5, 61]))
    with pytest.raises(ArchiveError, match="61"):
        convert(tmp_path / "a.npz", tmp_path / "b.npz", num_class=60, show=False)


@pytest.mark.slow
def test_scrambled_5d_file_is_refused_and_repaired(arrays, kaggle, tmp_path):
    wrong = {
        key: v.reshape(len(v), 300, 25, 3, 2).transpose(0, 3, 1, 2, 4) if key[0] == "x" else v.argmax(1)
        for key, v in arrays.items()
    }
    np.savez(tmp_path / "wrong.npz", **wrong)
    command = ["dataset_tools/convert.py", "--input", tmp_path / "wrong.npz", "--output", tmp_path / "right.npz"]
    refused(script(*command), "repair-vcm", "wrong.npz")
    assert script(*command, "--layout", "repair-vcm").returncode == 0
    same_clips(tmp_path / "right.npz", arrays)


@pytest.mark.slow
def test_user_mistakes_are_one_line(kaggle, tmp_path):
    out = tmp_path / "x.npz"
    refused(script("convert_ntu60_kaggle_to_ctrgcn.py", "--input", "nowhere.npz", "--output", out), "nowhere.npz")
    refused(script("convert_ctr_npz_to_msg3d.py", "--output-root", tmp_path / "ms"), "NTU60_CS.npz")
    anything = ["dataset_tools/convert.py", "--input", kaggle, "--output"]
    refused(script(*anything, kaggle), "--output")
    refused(script(*anything, tmp_path / "x.what"), "--to")
    np.save(tmp_path / "val_data.npy", np.ones((1, 3, 4, 25, 2), np.float32))
    refused(script(*anything[:2], tmp_path / "val_data.npy", "--output", out), "--label-path", "val_label.pkl")
    refused(script(*anything, tmp_path / "u", "--to", "ucla"), "20 joints")
    refused(script(*anything, out, "--frames", 100), "300 frames")
    refused(script(*anything, out, "--persons", 0), "--persons")
    refused(script(*anything, out, "--persons", -2), "--persons must be at least 1")
    refused(script(*anything, out, "--num-class", 0), "--num-class must be at least 1")
    refused(script(*anything, kaggle / "x.npz"), "--output")
    refused(script(*anything, out, "--label-path", "nope"), "--label-path nope", "labels of its own")
    assert not out.exists()


@pytest.mark.slow
def test_input_in_the_folder_to_be_written_is_kept(kaggle, tmp_path):
    assert script("dataset_tools/convert.py", "--input", kaggle, "--output", tmp_path / "ntu").returncode == 0
    array = tmp_path / "ntu" / "train_data_joint.npy"
    before = array.read_bytes()
    words = ("--input", array, "--output", tmp_path / "ntu", "--to", "npy", "--persons", 1)
    refused(script("dataset_tools/convert.py", *words), "--output", "folder of the input")
    assert array.read_bytes() == before
    beside = tmp_path / "ntu" / "all.npz"  # no name that a folder of arrays uses
    beside.write_bytes(kaggle.read_bytes())
    assert script("dataset_tools/convert.py", "--input", beside, "--output", tmp_path / "ntu").returncode == 0
    assert array.read_bytes() == before and beside.read_bytes() == kaggle.read_bytes()


def test_folder_without_a_name(tmp_path):
    """A folder of clips named by a dot."""
    (tmp_path / "a.json").write_text("{}")
    words = ("--input", ".", "--output", "x.npz")
    refused(script(ROOT / "dataset_tools" / "convert.py", *words, cwd=tmp_path), f"{tmp_path.name}_label.json")


def test_nan_stops_a_conversion_and_leaves_the_old_file(arrays, tmp_path):
    bad = {key: v.copy() for key, v in arrays.items()}
    bad["x_test"][5, 3, 7] = np.nan
    np.savez(tmp_path / "bad.npz", **bad)
    (tmp_path / "out.npz").write_bytes(b"old")
    with pytest.raises(ArchiveError, match="sample 5"):
        convert(tmp_path / "bad.npz", tmp_path / "out.npz", to="5d", show=False)
    assert (tmp_path / "out.npz").read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.npz", "out.npz"]


def test_too_little_room_is_told_before_anything_is_written(kaggle, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(UsageError, match="GB"):
        convert(kaggle, tmp_path / "x.npz", to="5d", show=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path):
    """A file of 0.54 GB: the process stays below 330 MB, of which Python and NumPy are about 60."""
    synthetic.write(tmp_path / "a.npz", train=2500, test=500, repeat_distinct=50, progress=False)
    words = (
        "import re, sys; from skeleton_lab.data.archives.convert import convert; "
        "convert(sys.argv[1], sys.argv[2], to=sys.argv[3], show=False); "
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])"
    )
    for source, to in (("a.npz", "5d"), ("5d", "kaggle"), ("a.npz", "pyskl")):
        done = script("-c", words, tmp_path / source, tmp_path / to, to)
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) < 330 << 10, to


@pytest.mark.slow
def test_rows_of_a_published_file_have_names():
    labels = {s: np.array([sample(n).label for n in row_names("NTU60_CS", s)]) for s in SPLITS}
    archive, names = ntu_published.names_of_rows(labels)
    assert archive == "NTU60_CS" and names["train"][0] == "S001C001P001R001A001" and len(names["test"]) == 16487
    labels["test"] = np.roll(labels["test"], 1)
    assert ntu_published.names_of_rows(labels) is None
    for archive, sizes in ntu_published.SIZES.items():
        assert tuple(len(row_names(archive, s)) for s in SPLITS) == sizes
