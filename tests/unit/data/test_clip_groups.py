"""What names tell of a clip: subjects, cameras and setups."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.data.archives import ntu_protocol
from skeleton_lab.data.archives.clip_groups import NOT_TOLD, by_length, groups


def told(names, labels=None) -> dict[str, list[int]]:
    return {kind: numbers.tolist() for kind, numbers in groups(names, labels).items()}


def test_names_of_each_data_set():
    ntu = ["S001C002P003R001A060", "test_S032C001P106R002A120.skeleton", "val/S017C003P040R001A001"]
    assert told(ntu) == {"subject": [3, 106, 40], "camera": [2, 1, 3], "setup": [1, 32, 17]}
    assert told(np.array(["a01_s02_e03_v01", "a12_s10_e00_v03"])) == {"subject": [2, 10], "camera": [1, 3]}
    assert told(["P003S00G10B10H50UC022LC021A000R0_08241716"]) == {"subject": [3]}


def test_clips_that_do_not_tell():
    assert told(["test_0", "test_1"]) == told([]) == told(["walk", "S1C2P3"]) == {}
    assert told(["S001C002P003R001A060", "walk"])["camera"] == [2, NOT_TOLD]


@pytest.mark.slow
def test_rows_of_a_published_file_are_known_by_its_labels():
    names = ntu_protocol.row_names("NTU60_CV", "test")
    labels = np.array([ntu_protocol.sample(name).label for name in names])
    rows = [f"test_{k}" for k in range(len(labels))]
    found = groups(rows, labels)
    assert set(found["camera"]) == {1} and len(np.unique(found["subject"])) == 40
    assert found["subject"].tolist() == [int(name[9:12]) for name in names]
    assert groups(rows) == {}
    labels[5] += 1
    assert groups(rows, labels) == {}


@pytest.mark.parametrize("frames", [[5], [5, 5, 5], [5, 5, 5, 5, 9], [0, 1], list(range(1000))])
def test_every_clip_has_a_length(frames):
    codes, names = by_length(np.array(frames))
    assert codes.min() == 0 and codes.max() == len(names) - 1
    for code, count in zip(codes, frames):
        ends = [int(word) for word in names[code].split(" to ")]
        assert ends[0] <= count <= ends[-1]
