"""Damaged archives: whatever the bytes, opening and reading either works or ends with a LabError."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.data.archives.readers import safe_pickle
from skeleton_lab.errors import ArchiveError, LabError
from tests.fuzz import seeds


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SKELETON_LAB_CACHE", str(folder))
    return folder


def small_arrays() -> dict[str, np.ndarray]:
    rng = np.random.RandomState(3)
    x = rng.standard_normal((3, 6, 150)).astype(np.float32)
    x[:, 4:] = 0
    return {"x_train": x, "y_train": np.eye(4)[[0, 3, 1]], "x_test": x[:2], "y_test": np.eye(4)[[2, 0]]}


def npz_bytes(save) -> bytes:
    file = io.BytesIO()
    save(file, **small_arrays())
    return file.getvalue()


def npy_bytes() -> bytes:
    file = io.BytesIO()
    np.save(file, small_arrays()["x_train"].reshape(3, 6, 2, 25, 3).transpose(0, 4, 1, 3, 2).copy())
    return file.getvalue()


def h5_bytes() -> bytes:
    h5py = pytest.importorskip("h5py")
    file = io.BytesIO()
    with h5py.File(file, "w") as archive:
        for key, value in small_arrays().items():
            archive.create_dataset(key, data=value, chunks=True, compression="gzip")
    return file.getvalue()


def pyskl_bytes() -> bytes:
    rng = np.random.RandomState(4)
    names = [f"S001C001P00{i}R001A001" for i in range(4)]
    annotations = [
        {"frame_dir": name, "total_frames": 3, "label": i, "keypoint": rng.standard_normal((1, 3, 25, 3)).astype("f2")}
        for i, name in enumerate(names)
    ]
    return pickle.dumps({"split": {"xsub_train": names[:3], "xsub_val": names[3:]}, "annotations": annotations})


def ucla_json(frames: int = 2) -> bytes:
    rng = np.random.RandomState(5)
    return json.dumps({"file_name": "x", "skeletons": rng.rand(frames, 20, 3).round(3).tolist(), "label": 1}).encode()


def ucla_tar(mode: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as tar:
        for name in ("a01_s01_e00_v01", "a01_s02_e00_v02", "a01_s02_e00_v03"):
            member = tarfile.TarInfo(f"all_sqe/{name}.json")
            member.size = len(ucla_json())
            tar.addfile(member, io.BytesIO(ucla_json()))
    return file.getvalue()


GOOD = {
    "stored.npz": lambda: npz_bytes(np.savez),
    "deflated.npz": lambda: npz_bytes(np.savez_compressed),
    "own.npz": seeds.own,
    "data.npy": npy_bytes,
    "data.h5": h5_bytes,
    "ntu.pkl": pyskl_bytes,
    "ucla.tar": lambda: ucla_tar("w"),
    "ucla.tar.xz": lambda: ucla_tar("w:xz"),
}


def use(path: Path, labels: Path) -> None:
    clips = open_archive(path, "train", label_path=labels)
    clips.lengths(np.arange(len(clips)))
    clips.clips(np.arange(len(clips)))


@pytest.fixture(scope="module")
def good() -> dict[str, bytes]:
    return {name: make() for name, make in GOOD.items()}


@pytest.mark.parametrize("name", GOOD)
def test_the_undamaged_files_are_read(name, good, tmp_path):
    (tmp_path / name).write_bytes(good[name])
    np.save(tmp_path / "labels.npy", [0, 1, 2])
    use(tmp_path / name, tmp_path / "labels.npy")


@pytest.mark.parametrize("name", GOOD)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_truncated(name, data, good, tmp_path):
    """Any shorter file: an error, or (a tar between two members, the trailing bytes of a pickle) fewer clips."""
    content = good[name]
    length = data.draw(st.integers(0, len(content) - 1))
    (tmp_path / name).write_bytes(content[:length])
    np.save(tmp_path / "labels.npy", [0, 1, 2])
    if name.endswith((".npz", ".npy")):
        with pytest.raises(LabError):
            use(tmp_path / name, tmp_path / "labels.npy")
    else:
        with contextlib.suppress(LabError):
            use(tmp_path / name, tmp_path / "labels.npy")


@pytest.mark.slow
@pytest.mark.parametrize("name", GOOD)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_corrupted(name, data, good, tmp_path):
    content = bytearray(good[name])
    headers = st.integers(0, min(400, len(content) - 1)) | st.integers(max(0, len(content) - 400), len(content) - 1)
    for at in data.draw(st.lists(headers | st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[at] = data.draw(st.integers(0, 255))
    (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "labels.npy", [0, 1, 2])
    try:
        use(tmp_path / name, tmp_path / "labels.npy")
    except LabError as error:
        assert str(error) and "\n" not in str(error)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.sampled_from([b"PK\x03\x04", b"\x93NUMPY", b"\x80\x04", b"(", b"\xfd7zXZ\x00", b"\x1f\x8b", b""]),
       rest=st.binary(max_size=300))  # fmt: skip
def test_noise_behind_any_signature(start, rest, tmp_path):
    (tmp_path / "noise").write_bytes(start + rest)
    np.save(tmp_path / "labels.npy", [0])
    with pytest.raises(LabError):
        use(tmp_path / "noise", tmp_path / "labels.npy")


def test_a_cut_npz_names_the_member_and_the_bytes(good, tmp_path):
    (tmp_path / "cut.npz").write_bytes(good["stored.npz"][:9000])
    with pytest.raises(ArchiveError, match=r"cut\.npz is cut short: x_train needs \d+ bytes, \d+ present"):
        open_archive(tmp_path / "cut.npz", "train")
    (tmp_path / "cut.npy").write_bytes(good["data.npy"][:-1])
    with pytest.raises(ArchiveError, match="10800 bytes of data expected, 10799 present"):
        open_archive(tmp_path / "cut.npy", "train", label_path=tmp_path / "labels.npy")


def test_a_member_whose_header_promises_more(tmp_path):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 300, 150)})
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "liar.npz", "w", method) as archive:
            archive.writestr("x_train.npy", file.getvalue() + bytes(180))
            archive.writestr("y_train.npy", file.getvalue())
        with pytest.raises(ArchiveError, match="180000000000000 bytes of data expected, 180 present"):
            open_archive(tmp_path / "liar.npz", "train")


class Evil:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("call", [(os.system, "touch owned"), (eval, "1"), (getattr, 1, "real"), (bytearray, 9)])
def test_pickles_run_nothing(call, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("evil.pkl").write_bytes(pickle.dumps({"split": Evil(*call)}, protocol))
    with pytest.raises(ArchiveError, match=r"evil\.pkl.*only lists"):
        safe_pickle.load(Path("evil.pkl"))
    assert not Path("owned").exists()


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles_of_any_protocol(protocol, tmp_path):
    content = {
        "text": "Gr\u00fc\u00dfe", "bytes": b"\x00\xff", "none": b"", "numbers": [1, 2.5, 1 << 70, True, None, 2j],
        "nested": ({1, 2}, frozenset([3]), ("a",)), "array": np.arange(6, dtype="f2").reshape(2, 3),
        "fortran": np.asfortranarray(np.eye(3)), "scalar": np.float32(1.5), "names": np.array(["a", "bc"]),
    }  # fmt: skip
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(content, protocol))
    assert repr(safe_pickle.load(tmp_path / "plain.pkl")) == repr(content)


def test_pickles_of_python_2(tmp_path):
    """Protocol 2 as Python 2 wrote it: byte strings, a NumPy array by the module names of then."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\ntcnumpy\ndtype\n(S'i8'\n"
        b"I0\nI1\ntR"
        b"(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'" + b"\\x01" + b"\\x00" * 7 + b"\\x02" + b"\\x00" * 7 + b"'\ntb"
    )
    (tmp_path / "old.pkl").write_bytes(b"(c__builtin__\nset\n((lp0\nS'caf\\xe9'\natR" + array + b"t.")
    names, ids = safe_pickle.load(tmp_path / "old.pkl")
    assert names == {"caf\u00e9"} and ids.tolist() == [1, 2]
