"""Lists that are cut say how much is left out."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.data.archives import labels
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.data.synthetic import skeleton_files
from skeleton_lab.doctor import diagnosis
from skeleton_lab.errors import ArchiveError
from skeleton_lab.reporting.viewer import clip_source


def test_the_doctors_list_of_classes():
    assert diagnosis._most(np.arange(20), []).endswith("14 (14) and 13 more")
    assert "more" not in diagnosis._most(np.array([3, 0, 2]), [])


def test_a_row_of_labels_with_many_classes():
    y = np.zeros((2, 30))
    y[0, 3] = 1
    y[1, :12] = 1
    with pytest.raises(ArchiveError, match=r"row 1 is not one-hot.* and 4 more"):
        labels._hot_columns(y, "y_test")


def test_a_folder_that_is_no_archive(tmp_path):
    for k in range(9):
        (tmp_path / f"file{k}.txt").touch()
    with pytest.raises(ArchiveError, match=r"it holds file0.txt, .*file4.txt and 4 more"):
        open_archive(tmp_path, "test")


def test_bodies_of_a_raw_recording(tmp_path, capsys):
    """Eight bodies one after the other: six are drawn."""
    joints = np.tile(np.linspace(0, 1, 75, dtype=np.float32).reshape(25, 3), (16, 8, 1, 1))
    there = np.kron(np.eye(8, dtype=bool), np.ones((2, 1), bool))
    path = tmp_path / "crowd.skeleton"
    path.write_bytes(skeleton_files.text(joints, there))
    found = clip_source.opened(path, None)
    assert found.points(0).shape[1] == 6
    assert capsys.readouterr().err == f"{path}: of 8 bodies the 6 that are there longest are shown\n"
