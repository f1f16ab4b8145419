"""The packed store: complete or absent, rebuilt when the archive changes, one build for many processes."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from parity.kaggle_sample import make_kaggle_arrays, make_kaggle_npz

from skeleton_lab.data.archives import opening, packed
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.errors import ArchiveError, LabError

ARRAYS = make_kaggle_arrays()


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def deflated(tmp_path) -> Path:
    make_kaggle_npz(tmp_path / "a.npz", compressed=True)
    return tmp_path / "a.npz"


def stores(cache: Path) -> list[Path]:
    return sorted(p for p in cache.iterdir() if p.is_dir())


def test_built_once_and_again_when_the_archive_changes(deflated, cache, monkeypatch):
    open_archive(deflated, "train", cache_dir=cache)
    with monkeypatch.context() as patch:
        patch.setattr(opening, "_fill", None)
        open_archive(deflated, "train", cache_dir=cache)
    first = stores(cache)
    np.savez_compressed(deflated, **{**ARRAYS, "x_train": ARRAYS["x_train"] * 2})
    clips = open_archive(deflated, "train", cache_dir=cache)
    assert np.array_equal(clips.clips(np.arange(12)).sum(), 2 * _sum(ARRAYS["x_train"], clips))
    assert len(stores(cache)) == 1 and stores(cache) != first


def _sum(x: np.ndarray, clips) -> np.float32:
    five = x.reshape(12, 300, 2, 25, 3).transpose(0, 4, 1, 3, 2)
    return np.ascontiguousarray(five).sum()


def test_the_cache_folder(deflated, tmp_path, monkeypatch):
    monkeypatch.setenv("SKELETON_LAB_CACHE", str(tmp_path / "by variable"))
    open_archive(deflated, "train")
    assert stores(tmp_path / "by variable")
    monkeypatch.delenv("SKELETON_LAB_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    open_archive(deflated, "train")
    assert stores(tmp_path / "home/.cache/skeleton_lab")
    (tmp_path / "file").touch()
    with pytest.raises(LabError, match="SKELETON_LAB_CACHE"):
        open_archive(deflated, "train", cache_dir=tmp_path / "file")
    monkeypatch.setenv("HOME", "/proc/none")  # a container without a home
    monkeypatch.setattr(packed.tempfile, "gettempdir", lambda: str(tmp_path))
    open_archive(deflated, "train")
    assert stores(tmp_path / f"skeleton_lab-{os.getuid()}")


def test_a_damaged_store_is_rebuilt(deflated, cache):
    open_archive(deflated, "train", cache_dir=cache)
    rows, index = stores(cache)[0] / "rows.f32", stores(cache)[0] / "index.npz"
    for damage in (lambda: os.truncate(rows, 1000), lambda: os.truncate(index, 100), index.unlink, rows.unlink):
        damage()
        clips = open_archive(deflated, "train", cache_dir=cache)
        assert clips.lengths(np.arange(2))[0].tolist() == [300, 20]


def test_a_failed_build_leaves_nothing(tmp_path, cache):
    x = ARRAYS["x_train"].copy()
    x[11, 3, 3] = np.nan
    np.savez_compressed(tmp_path / "a.npz", **{**ARRAYS, "x_train": x})
    with pytest.raises(ArchiveError, match=r"sample 11.*frame 3"):
        open_archive(tmp_path / "a.npz", "train", cache_dir=cache)
    assert not stores(cache)


def test_a_full_disk_is_one_line(deflated, cache, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packed.Writer, "_append", full)
    with pytest.raises(LabError, match=r"No space left.*SKELETON_LAB_CACHE"):
        open_archive(deflated, "train", cache_dir=cache)
    assert not stores(cache)


BUILD = """
import sys, time
from skeleton_lab.data.archives import packed
from skeleton_lab.data.archives.opening import open_archive
append, delay = packed.Writer._append, float(sys.argv[3])
def slow(self, *args):
    print("clip", flush=True)
    time.sleep(delay)
    append(self, *args)
packed.Writer._append = slow
print("total", int(open_archive(sys.argv[1], "train", cache_dir=sys.argv[2]).lengths(range(12))[0].sum()))
"""


def builder(deflated: Path, cache: Path, delay: float) -> subprocess.Popen:
    command = [sys.executable, "-c", BUILD, str(deflated), str(cache), str(delay)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_killed_build_leaves_no_half_store(deflated, cache):
    process = builder(deflated, cache, 60)
    assert process.stdout.readline() == "clip\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert [p.suffix for p in stores(cache)] == [".partial"]
    clips = open_archive(deflated, "train", cache_dir=cache)
    assert clips.lengths(np.arange(12))[0].tolist()[:2] == [300, 20]
    assert len(stores(cache)) == 1 and stores(cache)[0].suffix != ".partial"


@pytest.mark.slow
def test_two_processes_build_once(deflated, cache):
    first = builder(deflated, cache, 0.1)
    first.stdout.readline()
    second = builder(deflated, cache, 0.1)
    outputs = [first.communicate()[0], second.communicate()[0]]
    assert outputs[0].count("clip") == 11 and outputs[1].count("clip") == 0
    assert outputs[0].split()[-1] == outputs[1].split()[-1] == str(int((ARRAYS["x_train"] != 0).any(axis=2).sum()))


def test_persons_that_repeat_the_first_are_stored_once(tmp_path, cache):
    """The NTU 120 files hold a one-person clip twice."""
    x = ARRAYS["x_train"].copy()
    x[:, :, 75:] = x[:, :, :75]
    np.savez(tmp_path / "a.npz", x_train=x, y_train=ARRAYS["y_train"])
    clips = open_archive(tmp_path / "a.npz", "train", pack=True, cache_dir=cache)
    assert np.array_equal(clips.gather(np.array([3]), np.arange(300)[None])[0].reshape(300, 150), x[3])
    e = clips.lengths(np.arange(12))[1]
    assert next(cache.rglob("rows.f32")).stat().st_size == (e.sum() + 1) * 300


def test_all_zero_clips(tmp_path, cache):
    np.savez(tmp_path / "a.npz", x_train=np.zeros((2, 5, 150), np.float32), y_train=np.array([0, 1]))
    for pack in (False, True):
        clips = open_archive(tmp_path / "a.npz", "train", pack=pack, cache_dir=cache)
        n, e = clips.lengths(np.arange(2))
        assert not n.any() and not e.any() and not clips.clips(np.arange(2)).any()


@pytest.mark.slow
def test_memory_while_unpacking(tmp_path, cache):
    """A deflated archive of 216 MB (mostly padding) is unpacked within 150 MB above the interpreter."""
    x = np.zeros((1200, 300, 150), np.float32)
    x[:, :3] = 1
    np.savez_compressed(tmp_path / "a.npz", x_train=x, y_train=np.zeros(1200, int))
    del x
    program = (
        "import resource, sys\n"
        "from skeleton_lab.data.archives.opening import open_archive\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "open_archive(sys.argv[1], 'train', cache_dir=sys.argv[2])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    start = time.time()
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.npz"), str(cache)], capture_output=True, text=True, check=True
    )
    assert int(result.stdout) < 150_000 and time.time() - start < 60
    assert "unpacking a.npz" in result.stderr


def test_a_replaced_archive_of_equal_size_and_time_is_seen(tmp_path, cache):
    """The labels come from the new file, so must the clips."""
    path = tmp_path / "a.pkl"

    def write(seed: int) -> np.ndarray:
        x = np.random.RandomState(seed).rand(1, 6, 25, 3).astype(np.float32)
        clip = {"frame_dir": "a", "total_frames": 6, "label": seed, "keypoint": x}
        path.write_bytes(pickle.dumps({"split": {"train": ["a"]}, "annotations": [clip]}))
        os.utime(path, (1e9, 1e9))
        return x

    for seed in (1, 2):
        x, clips = write(seed), open_archive(path, "train", layout="pyskl:raw", cache_dir=cache)
        assert clips.labels.tolist() == [seed]
        assert np.array_equal(clips.gather(np.array([0]), np.arange(6)[None])[0, :, 0], x[0])


def test_a_change_inside_a_large_file_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "EDGE", 64), monkeypatch.setattr(packed, "PIECE", 32)
    content = bytearray(np.random.RandomState(0).bytes(40_000))
    (tmp_path / "a").write_bytes(content)
    first = packed.sampled_digest(tmp_path / "a")
    for at in (0, 63, 64, 39_935, 39_999):  # both ends, the first and the last piece between them
        changed = bytearray(content)
        changed[at] ^= 1
        (tmp_path / "a").write_bytes(changed)
        assert packed.sampled_digest(tmp_path / "a") != first, at


def test_one_of_many_files_changes(tmp_path):
    """A folder of clips: size and time stay, the content does not."""
    for k in range(3):
        (tmp_path / f"a01_s01_e0{k}_v01.json").write_text(json.dumps({"skeletons": [[[1, 2, 3]] * 20], "label": 1}))
    files = sorted(tmp_path.glob("*.json"))
    before, times = packed.state_of(files), files[1].stat()
    files[1].write_text(files[1].read_text().replace("3", "4", 1))
    os.utime(files[1], ns=(times.st_atime_ns, times.st_mtime_ns))
    assert packed.state_of(files) != before


def test_the_store_of_another_user_is_not_used(deflated, cache, monkeypatch):
    open_archive(deflated, "train", cache_dir=cache)
    mine, uid = stores(cache)[0], os.getuid()
    with monkeypatch.context() as patch:
        patch.setattr(packed.os, "getuid", lambda: uid + 1)  # somebody else, with the same cache
        patch.setattr(packed, "_own", lambda path: mine not in (path, path.parent))
        open_archive(deflated, "train", cache_dir=cache)
        assert len(stores(cache)) == 2 and mine in stores(cache)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_store_given_by_another_user_is_built_again(deflated, cache):
    open_archive(deflated, "train", cache_dir=cache)
    folder = stores(cache)[0]
    rows = folder / "rows.f32"
    rows.write_bytes(bytes(rows.stat().st_size))  # what somebody else would like us to train on
    for path in (folder, rows, folder / "index.npz"):
        os.chown(path, 12345, 12345)
        assert open_archive(deflated, "train", cache_dir=cache).clips(np.arange(12)).any()
        rows.write_bytes(bytes(rows.stat().st_size))


def test_the_lock_follows_no_link(deflated, cache, tmp_path):
    open_archive(deflated, "train", cache_dir=cache)
    lock = next(cache.glob("*.lock"))
    lock.unlink()
    (tmp_path / "precious").write_text("text")
    lock.symlink_to(tmp_path / "precious")
    shutil.rmtree(stores(cache)[0])
    with pytest.raises(LabError):
        open_archive(deflated, "train", cache_dir=cache)
    assert (tmp_path / "precious").read_text() == "text"
