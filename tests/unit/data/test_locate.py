"""Where a data file is looked for when it is not where the configuration says."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from skeleton_lab.data.archives import locate as module
from skeleton_lab.data.archives.locate import locate
from skeleton_lab.errors import ArchiveNotFoundError, UsageError


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """No mount and no variable of the machine takes part."""
    monkeypatch.setattr(module, "MOUNT", tmp_path / "mount")
    monkeypatch.delenv("NTU60_ROOT", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def make(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_an_existing_path_is_taken_as_it_is(tmp_path, caplog):
    clips = make(tmp_path / "clips/a01_s01_e00_v01.json").parent
    arrays = make(tmp_path / "arrays/train_data_joint.npy").parent
    for path in (make(tmp_path / "other.npz"), clips, arrays, tmp_path / "work"):
        assert locate(path) == path and locate(str(path)) == path
    assert not caplog.records


def test_a_folder_with_one_archive_is_that_archive(tmp_path, caplog):
    folder = make(tmp_path / "NTU60/NTU60_CS.npz").parent
    make(folder / "README.txt"), make(folder / "train_label.pkl")
    assert locate(folder) == locate(str(folder)) == folder / "NTU60_CS.npz"
    assert str(folder / "NTU60_CS.npz") in caplog.text
    make(folder / "NTU60_CV.npz")
    with pytest.raises(UsageError, match=r"several.*NTU60_CS\.npz, NTU60_CV\.npz"):
        locate(folder)


PLACES = [
    "room/data/ntu", "room/data", "mount", "mount/kaggle_raw", "mount/ctrgcn", "root", "root/kaggle_raw",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["NTU60_CS.npz", "NTU60_CV.npz"])
def test_the_places_in_their_order(place, name, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("NTU60_ROOT", str(tmp_path / "root"))
    for later in PLACES[PLACES.index(place) :]:
        make(tmp_path / later / name)
    with caplog.at_level(logging.INFO, "skeleton_lab"):
        assert locate(f"/absent/{name}", tmp_path / "room") == tmp_path / place / name
    assert f"/absent/{name}" in caplog.text and str(tmp_path / place / name) in caplog.text


def test_a_relative_path_inside_the_room(tmp_path):
    path = make(tmp_path / "room/data/my/clips.npz")
    assert locate("data/my/clips.npz", tmp_path / "room") == path


def test_nothing_found_lists_the_places(tmp_path, monkeypatch):
    monkeypatch.setenv("NTU60_ROOT", str(tmp_path / "root"))
    with pytest.raises(ArchiveNotFoundError) as caught:
        locate("data/ntu/NTU60_CS.npz", tmp_path / "room")
    message = str(caught.value)
    assert "\n" not in message and all(str(tmp_path / place / "NTU60_CS.npz") in message for place in PLACES)
    with pytest.raises(ArchiveNotFoundError, match=r"data/mine\.npz") as caught:
        locate("data/mine.npz", tmp_path / "room")
    assert "mount/kaggle_raw" not in str(caught.value)
