"""NW-UCLA, Kinetics and PYSKL readers, each against a loop over what was written."""

from __future__ import annotations

import json
import logging
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from parity.kaggle_sample import make_kinetics

from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.data.archives.readers import nw_ucla
from skeleton_lab.errors import ArchiveError, ArchiveKeyError, ArchiveNotFoundError, UsageError

NAMES = [*nw_ucla.published_order()[:3], "a12_s03_e09_v02", "a01_s01_e09_v01", nw_ucla.published_order()[-1]]
LABEL = {action: k + 1 for k, action in enumerate(nw_ucla.ACTIONS)}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SKELETON_LAB_CACHE", str(folder))
    return folder


def write_ucla(folder: Path, names: list[str]) -> dict[str, np.ndarray]:
    folder.mkdir(exist_ok=True)
    clips = {}
    for i, name in enumerate(names):
        x = np.random.RandomState(i).standard_normal((3 + i, 20, 3))
        clip = {"file_name": name, "skeletons": x.tolist(), "label": LABEL[int(name[1:3])]}
        (folder / f"{name}.json").write_text(json.dumps(clip))
        clips[name] = x.astype(np.float32)
    return clips


def pack(folder: Path, path: Path, mode: str) -> Path:
    with tarfile.open(path, mode) as tar:
        tar.add(folder, folder.name)
    return path


def test_published_lists():
    order = nw_ucla.published_order()
    views = [nw_ucla.view_of(name) for name in order]
    assert len(set(order)) == 1484 and views.count(1) == 516 and views.count(2) == 504 and views.count(3) == 464
    assert set(views[:1020]) == {1, 2} and set(views[1020:]) == {3}
    assert order[0] == "a05_s04_e02_v01" and order[1020] == "a05_s04_e02_v03"


@pytest.mark.parametrize("kind", ["folder", "w", "w:xz", "w:gz"])
def test_ucla_folder_and_tar(kind, tmp_path, caplog):
    want = write_ucla(tmp_path / "all_sqe", NAMES)
    path = tmp_path / "all_sqe" if kind == "folder" else pack(tmp_path / "all_sqe", tmp_path / "u.tar", kind)
    for _ in range(2):  # the second time from the cache
        clips = open_archive(path, "train")
        assert clips.names == [*NAMES[:3], "a01_s01_e09_v01", "a12_s03_e09_v02"]
        assert clips.subjects.tolist() == [int(name[5:7]) for name in clips.names]
        assert clips.labels.tolist() == [LABEL[int(name[1:3])] - 1 for name in clips.names]
        assert (clips.C, clips.T, clips.V, clips.M, clips.layout) == (3, 7, 20, 1, "nw-ucla")
        n, e = clips.lengths(np.arange(5))
        x = clips.clips(np.arange(5))
        for i, name in enumerate(clips.names):
            assert n[i] == e[i] == len(want[name])
            assert np.array_equal(x[i, :, : n[i], :, 0], want[name].transpose(2, 0, 1)) and not x[i, :, n[i] :].any()
    assert "1017 of the 1020 listed train clips" in caplog.text
    assert open_archive(path, "test").names == [NAMES[-1]]


def test_ucla_is_parsed_once_and_again_after_a_change(tmp_path, monkeypatch, cache):
    folder = tmp_path / "all_sqe"
    write_ucla(folder, NAMES)
    open_archive(folder, "train")
    with monkeypatch.context() as patch:
        patch.setattr(nw_ucla, "_parse", None)
        assert len(open_archive(folder, "test")) == 1
    write_ucla(folder, [*NAMES, "a02_s03_e09_v03"])
    assert len(open_archive(folder, "test")) == 2
    assert len(list(cache.rglob("rows.f32"))) == 1  # the older store is gone


def test_ucla_faults(tmp_path):
    folder = tmp_path / "all_sqe"
    write_ucla(folder, ["a01_s01_e00_v01"])
    with pytest.raises(ArchiveError, match="no clip of the test views"):
        open_archive(folder, "test")
    with pytest.raises(UsageError, match="5d"):
        open_archive(folder, "train", layout="5d")
    skeleton = np.zeros((2, 20, 3)).tolist()
    bad = [
        (b'{"skeletons": [[', "damaged"), (b"{}", "skeletons"), (b"[]", "damaged"), (b"\xff", "damaged"),
        (json.dumps({"skeletons": skeleton, "label": 11}), "label 11"),
        (json.dumps({"skeletons": skeleton, "label": 2}), "label 2 is action a02"),
        (json.dumps({"skeletons": [[[0, 0, 0]]], "label": 1}), r"\(1, 1, 3\)"),
        (json.dumps({"skeletons": [], "label": 1}), "shape"),
        (json.dumps({"skeletons": np.full((2, 20, 3), np.nan).tolist(), "label": 1}), "frame 0"),
    ]  # fmt: skip
    for content, word in bad:
        data = content.encode() if isinstance(content, str) else content
        (folder / "a01_s02_e00_v02.json").write_bytes(data)
        with pytest.raises(ArchiveError, match=word) as caught:
            open_archive(folder, "train")
        assert "a01_s02_e00_v02" in str(caught.value)
    with pytest.raises(ArchiveError, match="no recordings"):
        open_archive(_tar_of_text(tmp_path), "train")


def _tar_of_text(folder: Path) -> Path:
    (folder / "notes.txt").write_text("hello")
    return pack(folder / "notes.txt", folder / "notes.tar", "w")


def test_kinetics(tmp_path):
    make_kinetics(tmp_path)
    clips = open_archive(tmp_path / "clips", "train", label_path=tmp_path / "labels.json")
    assert clips.names == ["clip0", "clip1", "clip2"] and clips.labels.tolist() == [1, 11, 21]
    assert clips.has_skeleton.tolist() == [True, True, False] and clips.layout == "kinetics"
    want = np.zeros((3, 3, 300, 18, 5))
    for i in range(3):
        for frame in json.loads((tmp_path / f"clips/clip{i}.json").read_text())["data"]:
            for m, person in enumerate(frame["skeleton"][:5]):
                for v in range(18):
                    score = person["score"][v]
                    if score:
                        x, y = person["pose"][2 * v : 2 * v + 2]
                        want[i, :, frame["frame_index"], v, m] = x - 0.5, y - 0.5, score
    assert np.abs(clips.clips(np.arange(3)) - want).max() < 1e-6
    kept = clips.subset(np.flatnonzero(clips.has_skeleton))
    assert kept.names == ["clip0", "clip1"] and kept.has_skeleton.all()


def test_kinetics_faults(tmp_path):
    make_kinetics(tmp_path)
    clips, labels = tmp_path / "clips", tmp_path / "labels.json"
    with pytest.raises(ArchiveError, match="label_path"):
        open_archive(clips, "train")
    with pytest.raises(ArchiveNotFoundError, match=r"none\.json"):
        open_archive(clips, "train", label_path=tmp_path / "none.json")
    table = json.loads(labels.read_text())
    labels.write_text(json.dumps({**table, "clip1": {**table["clip1"], "label_index": 3}}))
    with pytest.raises(ArchiveError, match=r"clip1\.json has label_index 11, .*labels\.json says 3"):
        open_archive(clips, "train", label_path=labels)
    labels.write_text(json.dumps({"clip0": table["clip0"]}))
    with pytest.raises(ArchiveError, match=r"no label of clip1\.json"):
        open_archive(clips, "train", label_path=labels)
    labels.write_text(json.dumps(table))
    clip = json.loads((clips / "clip0.json").read_text())
    clip["data"].append({"frame_index": 300, "skeleton": clip["data"][0]["skeleton"]})  # beyond the array: left out
    (clips / "clip0.json").write_text(json.dumps(clip))
    assert open_archive(clips, "train", label_path=labels).lengths(np.array([0]))[0].tolist() == [30]
    (clips / "clip0.json").write_text("{")
    with pytest.raises(ArchiveError, match=r"clip0\.json is damaged"):
        open_archive(clips, "train", label_path=labels)


def annotation(i: int, persons: int = 1, frames: int = 4, **more) -> dict:
    x = np.random.RandomState(i).standard_normal((persons, frames, 25, 3)).astype(np.float16)
    name = f"S001C001P{i:03d}R001A{i + 1:03d}"
    return {"frame_dir": name, "total_frames": frames, "label": i, "keypoint": x, **more}


def write_pyskl(path: Path, annotations: list[dict], **split: list[str]) -> Path:
    path.write_bytes(pickle.dumps({"split": split, "annotations": annotations}))
    return path


def test_pyskl(tmp_path):
    annotations = [annotation(0), annotation(1, 3, 6), annotation(2, 2, 5), annotation(3)]
    annotations[2]["keypoint"][0, :2] = 0  # person 0 comes late
    annotations[2]["keypoint"][1, 4] = 0
    names = [a["frame_dir"] for a in annotations]
    path = write_pyskl(tmp_path / "n.pkl", annotations, xsub_train=names[2:0:-1], xsub_val=names[:1], xview_val=names)
    clips = open_archive(path, "train")
    assert clips.names == names[2:0:-1] and clips.labels.tolist() == [2, 1] and clips.subjects.tolist() == [2, 1]
    assert (clips.C, clips.T, clips.V, clips.M, clips.layout) == (3, 6, 25, 2, "pyskl")
    got, raw = clips.clips(np.arange(2)), open_archive(path, "train", layout="pyskl:raw").clips(np.arange(2))
    for k, i in enumerate((2, 1)):
        keypoint = annotations[i]["keypoint"].astype(np.float32)
        origin = keypoint[0, 2 if i == 2 else 0, 1]
        for m, t in np.ndindex(2, keypoint.shape[1]):
            frame = keypoint[m, t]
            assert np.array_equal(raw[k, :, t, :, m], frame.T)
            assert np.array_equal(got[k, :, t, :, m], (frame - origin).T if frame.any() else frame.T)
    with pytest.raises(UsageError, match=r"pyskl:xsub'.*pyskl:xview'"):
        open_archive(path, "test")
    assert len(open_archive(path, "test", layout="pyskl:xview")) == 4
    with pytest.raises(ArchiveKeyError, match=r"xset_val.*xsub_train"):
        open_archive(path, "test", layout="pyskl:xset")


def test_pyskl_of_images_has_the_score_as_third_channel(tmp_path):
    rng = np.random.RandomState(1)
    points, score = rng.rand(1, 3, 17, 2).astype("f2"), rng.rand(1, 3, 17).astype("f2")
    entry = {"frame_dir": "a", "total_frames": 3, "label": 5, "keypoint": points, "keypoint_score": score}
    clips = open_archive(write_pyskl(tmp_path / "n.pkl", [entry], train=["a"]), "train")
    x = clips.clips(np.array([0]))[0]
    assert np.array_equal(x[:2, ..., 0], points[0].transpose(2, 0, 1)) and np.array_equal(x[2, ..., 0], score[0])


def test_pyskl_faults(tmp_path):
    one = annotation(0)
    name = one["frame_dir"]
    bad = [
        ([{k: v for k, v in one.items() if k != "keypoint"}], "without 'keypoint'"),
        ([one | {"keypoint": one["keypoint"][0]}], r"\(4, 25, 3\)"),
        ([one | {"total_frames": 9}], "total_frames is 9"),
        ([one | {"label": -1}], "label -1"),
        ([one, one], "two annotations"),
        ([one, annotation(1) | {"keypoint": np.ones((1, 4, 17, 3), "f2")}], r"\(17, 3\)"),
        ([annotation(1)], f"no annotation, first {name}"),
        ([one | {"keypoint": np.full((1, 4, 25, 3), np.inf, "f2")}], f"sample {name}.*frame 0"),
        ([], "no annotations"),
    ]
    for entries, word in bad:
        write_pyskl(tmp_path / "n.pkl", entries, train=[name])
        with pytest.raises(ArchiveError, match=word):
            open_archive(tmp_path / "n.pkl", "train", layout="pyskl:raw")
    (tmp_path / "n.pkl").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(ArchiveError, match="not of PYSKL"):
        open_archive(tmp_path / "n.pkl", "train")


def test_warnings_go_to_the_lab_log(tmp_path, caplog):
    write_ucla(tmp_path / "u", ["a01_s01_e00_v01"])
    with caplog.at_level(logging.WARNING, "skeleton_lab"):
        open_archive(tmp_path / "u", "train")
    assert [record.name for record in caplog.records] == ["skeleton_lab"]
