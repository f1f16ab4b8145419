"""Array archives (NPZ, HDF5, NPY): what every layout gives back, against np.load and slow loops."""

from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from parity.kaggle_sample import make_kaggle_arrays, make_kaggle_npz, make_npy, to_ntvm

from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.data.archives.readers.npz import Npz
from skeleton_lab.errors import ArchiveError, ArchiveKeyError, ArchiveNotFoundError, LabError, UsageError

ARRAYS = make_kaggle_arrays()
FIVE = {key: to_ntvm(value) if key.startswith("x") else value for key, value in ARRAYS.items()}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SKELETON_LAB_CACHE", str(folder))
    return folder


def write_h5(path: Path, arrays: dict[str, np.ndarray], **options) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for key, value in arrays.items():
            file.create_dataset(key, data=value, **options)


WRITERS = {
    "kaggle.npz": lambda p: make_kaggle_npz(p),
    "kaggle deflated.npz": lambda p: make_kaggle_npz(p, compressed=True),
    "5d.npz": lambda p: np.savez(p, **FIVE),
    "5d deflated.npz": lambda p: np.savez_compressed(p, **FIVE),
    "fortran.npz": lambda p: np.savez(p, **{k: np.asfortranarray(v) for k, v in FIVE.items()}),
    "fortran deflated.npz": lambda p: np.savez_compressed(p, **{k: np.asfortranarray(v) for k, v in ARRAYS.items()}),
    "float64.npz": lambda p: np.savez(p, **{k: v.astype(np.float64) for k, v in ARRAYS.items()}),
    "big endian.npz": lambda p: np.savez(p, **{k: v.astype(">f4") for k, v in ARRAYS.items()}),
    "contiguous.h5": lambda p: write_h5(p, ARRAYS),
    "chunked.h5": lambda p: write_h5(p, ARRAYS, chunks=True, compression="gzip"),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_layout_gives_the_same_clips(name, split, tmp_path):
    path = tmp_path / name
    WRITERS[name](path)
    before = sorted(tmp_path.iterdir())
    clips = open_archive(path, split)
    check(clips, FIVE[f"x_{split}"], ARRAYS[f"y_{split}"].argmax(1))
    assert clips.num_class == 60 and clips.layout == ("5d" if "5d" in name or name == "fortran.npz" else "kaggle")
    check(pickle.loads(pickle.dumps(clips)), FIVE[f"x_{split}"], clips.labels)
    assert sorted(tmp_path.iterdir()) == before  # nothing beside an archive


@pytest.mark.parametrize("split, part", [("train", "train"), ("test", "val")])
def test_npy_with_pickled_or_plain_labels(split, part, tmp_path):
    make_npy(tmp_path)
    path = tmp_path / f"{part}_data.npy"
    clips = open_archive(path, split, label_path=tmp_path / f"{part}_label.pkl")
    check(clips, FIVE[f"x_{split}"], ARRAYS[f"y_{split}"].argmax(1))
    assert clips.layout == "npy" and clips.names[1] == f"{split}001.skeleton" and type(clips.names[1]) is str
    for labels in (clips.labels, ARRAYS[f"y_{split}"]):
        np.save(tmp_path / "labels.npy", labels)
        assert open_archive(path, split, label_path=tmp_path / "labels.npy").labels.tolist() == clips.labels.tolist()


def test_packing_on_demand_is_equal_and_smaller(tmp_path, cache):
    make_kaggle_npz(tmp_path / "a.npz")
    clips = open_archive(tmp_path / "a.npz", "train", pack=True)
    check(clips, FIVE["x_train"], ARRAYS["y_train"].argmax(1))
    assert next(cache.rglob("rows.f32")).stat().st_size < ARRAYS["x_train"].nbytes / 3


def check(clips: Clips, x: np.ndarray, labels: np.ndarray) -> None:
    """Against loops over x (N, C, T, V, M)."""
    everything = np.arange(len(x))
    assert x.shape[1:] == (clips.C, clips.T, clips.V, clips.M) and len(clips) == len(x)
    assert clips.labels.dtype == np.int64 and clips.labels.tolist() == list(labels)
    whole = clips.clips(everything)
    assert whole.dtype == np.float32 and np.array_equal(whole, x)
    n, e = clips.lengths(everything[::-1])
    present = [[bool(np.any(clip[:, t] != 0)) for t in range(x.shape[2])] for clip in x[::-1]]
    assert n.tolist() == [sum(p) for p in present]
    assert e.tolist() == [max((t + 1 for t in range(len(p)) if p[t]), default=0) for p in present]
    rng = np.random.RandomState(0)
    idx, frames = rng.randint(0, len(x), 7), rng.randint(-3, x.shape[2] + 4, (7, 11))
    got = clips.gather(idx, frames)
    assert got.shape == (7, 11, clips.M, clips.V, clips.C) and got.dtype == np.float32 and got.flags.c_contiguous
    for b, w in np.ndindex(7, 11):
        t = frames[b, w]
        want = x[idx[b], :, t].transpose(2, 1, 0) if 0 <= t < x.shape[2] else 0
        assert np.array_equal(got[b, w], np.broadcast_to(want, got[b, w].shape))


def test_subsets_of_subsets_and_indices_outside(tmp_path):
    make_kaggle_npz(tmp_path / "a.npz")
    for pack in (False, True):
        clips = open_archive(tmp_path / "a.npz", "train", pack=pack).subset([5, 3, 8, 3]).subset([2, 0])
        check(clips, FIVE["x_train"][[8, 5]], ARRAYS["y_train"].argmax(1)[[8, 5]])
        check(pickle.loads(pickle.dumps(clips)), FIVE["x_train"][[8, 5]], clips.labels)
        for bad in (2, -1):
            with pytest.raises(IndexError):
                clips.gather(np.array([bad]), np.zeros((1, 1), int))
    assert len(clips.subset([])) == 0


def _sum_in_child(clips: Clips, idx: np.ndarray) -> float:
    return float(clips.clips(idx).sum())


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes(method, tmp_path):
    make_kaggle_npz(tmp_path / "a.npz")
    clips = open_archive(tmp_path / "a.npz", "test")
    assert len(pickle.dumps(clips)) < 10_000  # the coordinates do not travel
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(_sum_in_child, (clips, np.arange(3))) == clips.clips(np.arange(3)).sum()


def test_names_tell_subjects(tmp_path):
    names = np.array([f"S001C002P{p:03d}R001A003" for p in range(1, 13)])
    np.savez(tmp_path / "a.npz", **ARRAYS, name_train=names, name_test=names[:8].astype("S"))
    clips = open_archive(tmp_path / "a.npz", "train")
    assert clips.names == names.tolist() and clips.subjects.tolist() == list(range(1, 13))
    view = open_archive(tmp_path / "a.npz", "test").subset([4])
    assert view.names == [names[4]] and view.subjects.tolist() == [5]
    np.savez(tmp_path / "b.npz", **ARRAYS, name_train=names[:3])
    with pytest.raises(ArchiveError, match="name_train"):
        open_archive(tmp_path / "b.npz", "train")


def test_opening_does_not_read_the_coordinates(tmp_path):
    """A sparse archive of 20 GB opens and gives a batch at once; only the labels are real."""
    count, path = 110_000, tmp_path / "sparse.npy"
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (count, 3, 300, 25, 2)}
        )
        file.seek(count * 180_000, 1)
        file.truncate()
    np.save(tmp_path / "labels.npy", np.arange(count) % 60)
    clips = open_archive(path, "train", label_path=tmp_path / "labels.npy", layout="5d")
    n, e = clips.lengths(np.array([0, count - 1]))
    assert not n.any() and not e.any() and not clips.gather(np.array([count - 1]), np.array([[299]])).any()


SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 7), st.sampled_from([(25, 2, 150), (25, 1, 75), (17, 2, 102)]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), shape=SHAPES, layout=st.sampled_from(["npz", "deflated", "5d", "5d deflated", "npy", "h5"]))
def test_random_arrays_come_back_equal(data, shape, layout, tmp_path):
    N, T, (V, M, columns) = shape
    values = st.sampled_from([0.0, -0.0, 1.5, -2.25, 2.0**-100, -(2.0**-100), 2.0**127])
    x = data.draw(hnp.arrays(np.float32, (N, T, columns), elements=values, fill=st.just(0.0)))
    five = x.reshape(N, T, M, V, 3).transpose(0, 4, 1, 3, 2)
    y = data.draw(hnp.arrays(np.int64, N, elements=st.integers(0, 9)))
    path = tmp_path / "random"
    if layout == "npy":
        with open(path, "wb") as file:
            np.save(file, np.ascontiguousarray(five))
        np.save(tmp_path / "y.npy", y)
    elif layout == "h5":
        write_h5(path, {"x_train": x, "y_train": y})
    else:
        with open(path, "wb") as file:
            save = np.savez_compressed if "deflated" in layout else np.savez
            save(file, x_train=five if "5d" in layout else x, y_train=np.eye(10)[y])
    clips = open_archive(path, "train", label_path=tmp_path / "y.npy", joints=V, layout=None if columns != 150 else
                         "kaggle" if layout in ("npz", "deflated", "h5") else "5d")  # fmt: skip
    check(clips, five, y)


@pytest.mark.slow
def test_scrambled_files_are_found_and_repaired(tmp_path, caplog):
    flat = ARRAYS["x_train"]
    N, T, _ = flat.shape
    wrong = {
        "vcm": flat.reshape(N, T, 25, 3, 2).transpose(0, 3, 1, 2, 4),
        "cvm": flat.reshape(N, T, 3, 25, 2).transpose(0, 2, 1, 3, 4),
    }
    for order, x in wrong.items():
        for save in (np.savez, np.savez_compressed):
            save(tmp_path / "s.npz", x_train=x, y_train=ARRAYS["y_train"])
            with pytest.raises(ArchiveError, match=f"repair-{order}"):
                open_archive(tmp_path / "s.npz", "train")
            repaired = open_archive(tmp_path / "s.npz", "train", layout=f"repair-{order}")
            check(repaired, FIVE["x_train"], ARRAYS["y_train"].argmax(1))
            check(open_archive(tmp_path / "s.npz", "train", layout="5d"), x, ARRAYS["y_train"].argmax(1))
        np.savez(tmp_path / "k.npz", **ARRAYS)
        scrambled = open_archive(tmp_path / "k.npz", "train", layout=f"scrambled-{order}")
        assert np.array_equal(scrambled.clips(np.arange(N)), x)
    assert not caplog.records
    two = [i for i in range(N) if FIVE["x_train"][i, ..., 1].any()]
    np.savez(tmp_path / "two.npz", x_train=FIVE["x_train"][two], y_train=ARRAYS["y_train"][two])
    open_archive(tmp_path / "two.npz", "train")
    assert "two-person" in caplog.text


def bad_npz(**changes):
    arrays = {**ARRAYS, **changes}
    return {key: value for key, value in arrays.items() if value is not None}


def with_value(value, at=(3, 7, 20)):
    x = ARRAYS["x_train"].copy()
    x[at] = value
    return x


def with_row(row):
    y = ARRAYS["y_train"].copy()
    y[4] = row
    return y


X = ARRAYS["x_train"]
BAD_NPZ = {
    "key missing": (bad_npz(y_train=None), ArchiveKeyError, ["y_train", "x_test"]),
    "both missing": (bad_npz(x_train=None, y_train=None), ArchiveKeyError, ["x_train", "y_train"]),
    "151 columns": (bad_npz(x_train=np.pad(X, [(0, 0), (0, 0), (0, 1)])), ArchiveError, ["151", "(N, T, 150)"]),
    "UAV columns": (bad_npz(x_train=X[..., :102]), ArchiveError, ["102", "25 joints"]),
    "N T M V C": (
        bad_npz(x_train=X.reshape(12, 300, 2, 25, 3)),
        ArchiveError,
        ["(12, 300, 2, 25, 3)", "order of"],
    ),
    "ndim 2": (bad_npz(x_train=X[0]), ArchiveError, ["(300, 150)"]),
    "objects": (bad_npz(x_train=np.array([{}, 1], object)), ArchiveError, ["x_train", "objects"]),
    "text": (bad_npz(x_train=np.full((12, 3, 150), "1")), ArchiveError, ["x_train", "<U1"]),
    "lengths differ": (bad_npz(y_train=ARRAYS["y_train"][:5]), ArchiveError, ["12 clips", "(5, 60)"]),
    "no clips": (bad_npz(x_train=X[:0], y_train=ARRAYS["y_train"][:0]), ArchiveError, ["x_train", "no clips"]),
    "no frames": (bad_npz(x_train=X[:, :0]), ArchiveError, ["x_train", "no frames"]),
    "empty row": (bad_npz(y_train=with_row(0)), ArchiveError, ["y_train", "row 4"]),
    "two ones": (bad_npz(y_train=with_row(np.eye(60)[3] + np.eye(60)[9])), ArchiveError, ["row 4", "3: 1.0, 9: 1.0"]),
    "NaN label": (bad_npz(y_train=with_row(np.nan)), ArchiveError, ["row 4"]),
    "negative id": (bad_npz(y_train=np.arange(12) - 1), ArchiveError, ["row 0", "-1"]),
    "half id": (bad_npz(y_train=np.arange(12) + 0.5), ArchiveError, ["row 0", "0.5"]),
    "id too large": (bad_npz(y_train=np.arange(12) + 50), ArchiveError, ["y_train", "row 10", "60"]),
    "one column": (bad_npz(y_train=np.ones((12, 1))), ArchiveError, ["y_train", "(12, 1)"]),
    "text labels": (bad_npz(y_train=np.full(12, "wave")), ArchiveError, ["y_train"]),
    "NaN": (bad_npz(x_train=with_value(np.nan)), ArchiveError, ["x_train", "sample 3", "frame 7"]),
    "Inf": (bad_npz(x_train=with_value(-np.inf, (11, 299, 149))), ArchiveError, ["sample 11", "frame 299"]),
    "NaN 5d": (bad_npz(x_train=to_ntvm(with_value(np.nan))), ArchiveError, ["x_train", "sample 3", "frame 7"]),
    "beyond float32": (bad_npz(x_train=with_value(0).astype(float) * 1e60), ArchiveError, ["x_train", "sample 0"]),
}


@pytest.mark.parametrize("name", BAD_NPZ)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_bad_arrays_are_named(name, save, tmp_path):
    arrays, kind, words = BAD_NPZ[name]
    save(tmp_path / "bad.npz", **arrays)
    with pytest.raises(kind) as caught:
        clips = open_archive(tmp_path / "bad.npz", "train", num_class=60)
        clips.lengths(np.arange(len(clips)))
    message = str(caught.value)
    assert all(word in message for word in [str(tmp_path / "bad.npz"), *words]), message
    assert "\n" not in message and isinstance(caught.value, LabError)


def test_nan_is_found_on_first_touch_only_where_it_is(tmp_path):
    np.savez(tmp_path / "bad.npz", **bad_npz(x_train=with_value(np.nan)))
    clips = open_archive(tmp_path / "bad.npz", "train")
    clips.gather(np.array([0, 1, 2]), np.zeros((3, 2), int))
    with pytest.raises(ArchiveError, match="sample 3"):
        clips.gather(np.array([2, 3]), np.zeros((2, 2), int))
    with pytest.raises(ArchiveError, match="sample 3"):
        clips.subset([3]).lengths(np.array([0]))


def test_large_values_are_not_taken_for_infinite(tmp_path):
    np.savez(tmp_path / "a.npz", **bad_npz(x_train=with_value(3e38)))
    clips = open_archive(tmp_path / "a.npz", "train")
    assert clips.lengths(np.arange(12))[0][3] == 64 and clips.clips(np.array([3])).max() == np.float32(3e38)


def test_paths_splits_and_layouts(tmp_path, monkeypatch):
    make_kaggle_npz(tmp_path / "a.npz")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArchiveNotFoundError) as caught:
        open_archive("none/a.npz", "train")
    assert "none/a.npz" in str(caught.value) and str(tmp_path / "none/a.npz") in str(caught.value)
    with pytest.raises(UsageError, match=r"'val'.*train.*test"):
        open_archive("a.npz", "val")
    with pytest.raises(UsageError, match=r"kagle.*'kaggle'"):
        open_archive("a.npz", "train", layout="kagle")
    with pytest.raises(UsageError, match="5-D"):
        open_archive("a.npz", "train", layout="5d")
    (tmp_path / "empty").touch()
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "folder").mkdir()
    for name, word in (("empty", "0 bytes"), ("text.npz", "known format"), ("folder", "nothing")):
        with pytest.raises(ArchiveError, match=word):
            open_archive(name, "train")


def test_npy_faults(tmp_path):
    make_npy(tmp_path)
    path, labels = tmp_path / "train_data.npy", tmp_path / "train_label.pkl"
    with pytest.raises(ArchiveError, match="label_path"):
        open_archive(path, "train")
    with pytest.raises(ArchiveNotFoundError, match="nowhere"):
        open_archive(path, "train", label_path=tmp_path / "nowhere.pkl")
    contents = {
        "names and labels": ((["a"], [1, 2]), "1 names and 2 labels"),
        "short": ((["a"], [1]), "12 clips.*1 labels"),
        "no pair": ([1, 2, 3], "pair"),
        "text labels": ((["a"] * 12, ["b"] * 12), "labels are"),
        "ragged": ((["a"] * 2, [[1], [1, 2]]), "damaged|labels are"),
    }
    for content, word in contents.values():
        labels.write_bytes(pickle.dumps(content))
        with pytest.raises(ArchiveError, match=word):
            open_archive(path, "train", label_path=labels)
    for shape in ((2, 300, 2, 25, 3), (2, 3, 4, 25, 6), (2, 3, 4, 25)):
        np.save(path, np.zeros(shape, np.float32))
        with pytest.raises(ArchiveError, match="order of axes"):
            open_archive(path, "train", label_path=labels)


def test_a_file_that_shrinks_while_open(tmp_path):
    make_kaggle_npz(tmp_path / "a.npz")
    clips = open_archive(tmp_path / "a.npz", "train")
    with open(tmp_path / "a.npz", "r+b") as file:
        file.truncate(200_000)
    with pytest.raises(ArchiveError, match="shorter"):
        clips.lengths(np.array([5]))


def test_members_are_at_the_place_that_the_local_header_gives(tmp_path):
    make_kaggle_npz(tmp_path / "a.npz")
    stored = Npz(tmp_path / "a.npz").array("x_test")
    mapped = np.memmap(tmp_path / "a.npz", stored.dtype, "r", stored.offset, stored.shape)
    assert np.array_equal(mapped, np.load(tmp_path / "a.npz")["x_test"])
