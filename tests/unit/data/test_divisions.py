"""Splits of annotation pickles, as the published files call them: Diving48, HMDB51, UCF101, NTU RGB+D."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from places import ROOT

from skeleton_lab.baselines.dataset import NTU60SkeletonDataset
from skeleton_lab.data.archives.convert import main
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.data.archives.split_names import divisions
from skeleton_lab.doctor.diagnosis import ERROR, WARNING
from skeleton_lab.doctor.examine import examine
from skeleton_lab.errors import ArchiveKeyError, UsageError
from skeleton_lab.reporting.viewer.clip_source import opened

NAMES = [f"v_{i:02d}" for i in range(12)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SKELETON_LAB_CACHE", str(tmp_path / "cache"))


def annotation(i: int, persons: int = 1, joints: int = 25) -> dict:
    x = np.random.RandomState(i).rand(persons, 14 + i, joints, 3).astype(np.float32)
    return {"frame_dir": NAMES[i], "total_frames": 14 + i, "label": i % 3, "keypoint": x}


def write(path: Path, *replaced: dict, **split: list[str]) -> Path:
    clips = {name: annotation(i) for i, name in enumerate(NAMES)} | {clip["frame_dir"]: clip for clip in replaced}
    path.write_bytes(pickle.dumps({"split": split, "annotations": list(clips.values())}))
    return path


@pytest.fixture
def diving(tmp_path) -> Path:
    return write(tmp_path / "diving.pkl", train=NAMES[:8], test=NAMES[8:])


@pytest.fixture
def hmdb(tmp_path) -> Path:
    parts = {}
    for k in (1, 2, 3):
        parts |= {f"train{k}": NAMES[k : k + 5], f"test{k}": NAMES[k + 5 :]}
    return write(tmp_path / "hmdb.pkl", **parts)


def converted(source: Path, *flags: str) -> dict[str, np.ndarray]:
    target = source.with_suffix(".npz")
    assert main(["--input", str(source), "--output", str(target), "--quiet", *flags]) == 0
    with np.load(target) as file:
        return dict(file)


def test_names_of_splits():
    assert divisions(["xsub_train", "xsub_val", "xset_train", "train1", "test1", "test", "all", "training"]) == {
        "xsub": {"train": "xsub_train", "val": "xsub_val"},
        "xset": {"train": "xset_train"},
        "1": {"train": "train1", "test": "test1"},
        "": {"test": "test"},
    }


def test_test_is_as_good_as_val(diving):
    """Diving48 is laid out so."""
    assert open_archive(diving, "test").names == NAMES[8:]
    made = converted(diving)
    assert made["name_train"].tolist() == NAMES[:8] and made["name_test"].tolist() == NAMES[8:]
    assert made["y_test"].argmax(1).tolist() == [i % 3 for i in range(8, 12)]
    diagnosis = examine(diving)
    assert diagnosis.splits["test"].clips == 4 and not diagnosis.codes(ERROR) and "not-read" not in diagnosis.codes()
    assert opened(diving, None).names == NAMES[8:]
    assert len(NTU60SkeletonDataset(diving, "test")) == 4


def test_divisions_must_be_chosen(hmdb, capsys):
    """HMDB51 and UCF101 are laid out so."""
    for split in ("train", "test"):
        with pytest.raises(UsageError, match=r"pyskl:1.*pyskl:2.*pyskl:3"):
            open_archive(hmdb, split)
    assert main(["--input", str(hmdb), "--output", str(hmdb.with_suffix(".npz"))]) == 2
    assert "pyskl:2" in capsys.readouterr().err and not hmdb.with_suffix(".npz").exists()
    with pytest.raises(ArchiveKeyError, match=r"'4'.*train1, test1"):
        open_archive(hmdb, "train", layout="pyskl:4")


@pytest.mark.parametrize("flags", [("--layout", "pyskl:2"), ("--benchmark", "2"), ("--layout", "pyskl:2:raw")])
def test_a_division_is_picked(hmdb, flags, capsys):
    made = converted(hmdb, *flags)
    assert made["name_train"].tolist() == NAMES[2:7] and made["name_test"].tolist() == NAMES[7:]
    told = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("Not written"))
    assert all(name in told for name in ("train1", "test1", "train3", "test3")) and "train2" not in told


@pytest.mark.slow
def test_divisions_at_the_other_doors(hmdb):
    assert examine(hmdb, layout="pyskl:3").splits["train"].clips == 5
    assert opened(hmdb, "train", layout="pyskl:1").names == NAMES[1:6]
    assert len(NTU60SkeletonDataset(hmdb, "train", layout="pyskl:1")) == 5
    for room, place in (("ST-GCN", "feeder.feeder"), ("CTR-GCN", "feeders.feeder_ntu")):
        arguments = f"{str(hmdb)!r}, split='test', window_size=8, layout='pyskl:1'"
        code = f"from {place} import Feeder; print(len(Feeder({arguments})))"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / room, capture_output=True, text=True)
        assert done.stdout.split()[-1:] == ["6"], done.stderr


def test_a_benchmark_that_is_not_there(hmdb, diving, capsys):
    for source in (hmdb, diving):
        assert main(["--input", str(source), "--output", str(source.with_suffix(".npz")), "--benchmark", "xsub"]) == 2
        assert "--benchmark xsub" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
def test_a_benchmark_beside_another_division_is_refused(hmdb, capsys, suffix):
    """Neither is dropped silently, and no pickle calls the clips of one division by the name of another."""
    target = hmdb.with_name(f"out{suffix}")
    assert main(["--input", str(hmdb), "--output", str(target), "--layout", "pyskl:1", "--benchmark", "2"]) == 2
    assert "two divisions" in capsys.readouterr().err and not target.exists()
    assert main(["--input", str(hmdb), "--output", str(target), "--layout", "pyskl:2", "--benchmark", "2"]) == 0


def test_a_pickle_keeps_its_division(hmdb, tmp_path):
    target = tmp_path / "one.pkl"
    assert main(["--input", str(hmdb), "--output", str(target), "--benchmark", "2", "--quiet"]) == 0
    assert list(pickle.loads(target.read_bytes())["split"]) == ["2_train", "2_val"]
    assert open_archive(target, "test").names == NAMES[7:]


def test_parts_of_different_divisions_are_not_mixed(tmp_path):
    path = write(tmp_path / "n.pkl", train1=NAMES[:6], test2=NAMES[6:])
    with pytest.raises(UsageError, match="pyskl:1"):
        open_archive(path, "train")


def test_val_and_test_together(tmp_path, caplog):
    path = write(tmp_path / "n.pkl", train=NAMES[:6], val=NAMES[6:9], test=NAMES[9:])
    assert open_archive(path, "test").names == NAMES[6:9] and "'pyskl:test'" in caplog.text
    assert open_archive(path, "test", layout="pyskl:test").names == NAMES[9:]
    assert open_archive(path, "train", layout="pyskl:test").names == NAMES[:6]


def test_what_is_not_read_is_named(tmp_path, capsys):
    path = write(tmp_path / "n.pkl", train=NAMES[:6], holdout=NAMES[6:9])
    assert set(converted(path)) == {"x_train", "y_train", "name_train"}
    out = capsys.readouterr().out
    assert "Not written: splits holdout" in out and "3 annotations that no split lists, the first is v_09" in out
    diagnosis = examine(path)
    assert {"one-split", "not-read"} <= diagnosis.codes(WARNING) and "holdout" in diagnosis.text()


def test_members_that_are_not_written(tmp_path, capsys):
    x = np.random.rand(4, 3, 9, 25, 2).astype(np.float32)
    np.savez(tmp_path / "n.npz", x_train=x, y_train=np.arange(4), x_val=x, y_val=np.arange(4))
    assert main(["--input", str(tmp_path / "n.npz"), "--output", str(tmp_path / "m.npz"), "--to", "5d"]) == 0
    assert "Not written: members x_val, y_val" in capsys.readouterr().out


def test_arrays_called_test(tmp_path):
    """As MS-G3D's, whose test arrays are called val."""
    for part in ("train", "test"):
        np.save(tmp_path / f"{part}_data.npy", np.random.rand(3, 3, 9, 25, 2).astype(np.float32))
        (tmp_path / f"{part}_label.pkl").write_bytes(pickle.dumps((["a", "b", "c"], [0, 1, 2])))
    assert main(["--input", str(tmp_path), "--output", str(tmp_path / "m.npz"), "--to", "5d", "--quiet"]) == 0
    with np.load(tmp_path / "m.npz") as file:
        assert file["x_test"].shape[0] == 3


def test_an_annotation_without_a_person_is_left_out_and_named(tmp_path, capsys):
    path = write(tmp_path / "n.pkl", annotation(3, 0), annotation(9, 3), train=NAMES[:8], val=NAMES[8:])
    made = converted(path)
    assert made["name_train"].tolist() == [*NAMES[:3], *NAMES[4:8]]
    assert made["y_train"].argmax(1).tolist() == [i % 3 for i in range(8) if i != 3]
    lines = capsys.readouterr().out.splitlines()
    assert "Not written: 1 train annotations show nobody: v_03" in lines[-2:]
    assert any("people beyond the first two of 1 test clips" in line for line in lines)
    diagnosis = examine(path)
    assert diagnosis.sound and "v_03" in diagnosis.text() and diagnosis.splits["train"].clips == 7


@pytest.mark.parametrize("change", [{"keypoint": np.ones((4, 25, 3))}, {"label": "x"}, {"total_frames": 2}])
def test_lines_about_a_clip_name_it(change, tmp_path):
    path = write(tmp_path / "n.pkl", annotation(4) | change, train=NAMES[:8], val=NAMES[8:])
    diagnosis = examine(path)
    assert "v_04" in diagnosis.text() and not diagnosis.sound


def test_the_folder_of_an_archive_is_taken_for_it(diving, hmdb, tmp_path, caplog):
    folder = tmp_path / "mounted"
    folder.mkdir()
    diving.rename(folder / "diving.pkl")
    assert open_archive(folder, "test").path == folder / "diving.pkl" and str(folder / "diving.pkl") in caplog.text
    assert examine(folder).splits["test"].clips == 4 and opened(folder, "test").names == NAMES[8:]
    assert len(NTU60SkeletonDataset(folder, "train")) == 8
    assert main(["--input", str(folder), "--output", str(tmp_path / "out.npz"), "--quiet"]) == 0
    hmdb.rename(folder / "hmdb.pkl")
    for reader in (lambda: open_archive(folder, "test"), lambda: examine(folder), lambda: opened(folder, None)):
        with pytest.raises(UsageError, match=r"diving\.pkl, hmdb\.pkl"):
            reader()
