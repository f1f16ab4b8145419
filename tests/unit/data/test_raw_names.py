"""Names, splits and lists of NTU RGB+D against the published counts."""

from __future__ import annotations

import json

import pytest
from places import PARITY

from skeleton_lab.data.archives import ntu_protocol

EXPECTED = json.loads((PARITY / "raw_expected.json").read_text())
BENCHMARKS = [benchmark for dataset in ntu_protocol.DATASETS.values() for benchmark in dataset.benchmarks]


@pytest.mark.slow
def test_every_published_sample_has_its_name():
    for dataset, recorded, missing in (("ntu60", 56880, 302), ("ntu120", 114480, 535)):
        found = ntu_protocol.all_names(dataset)
        assert len(ntu_protocol.DATASETS[dataset].missing()) == missing
        assert len(found) == len(set(found)) == recorded - missing
        assert list(found) == sorted(found)
    assert set(ntu_protocol.all_names("ntu60")) < set(ntu_protocol.all_names("ntu120"))
    assert ntu_protocol.DATASETS["ntu60"].missing() < ntu_protocol.DATASETS["ntu120"].missing()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("archive", "train", "test"),
    [
        ("NTU60_CS", 40091, 16487),
        ("NTU60_CV", 37646, 18932),
        ("NTU120_CSub", 63026, 50919),
        ("NTU120_CSet", 54468, 59477),
    ],
)
def test_parts_have_the_published_sizes(archive, train, test):
    rows = ntu_protocol.row_names(archive, "train"), ntu_protocol.row_names(archive, "test")
    assert tuple(map(len, rows)) == (train, test)
    assert not set(rows[0]) & set(rows[1])
    with pytest.raises(KeyError):
        ntu_protocol.row_names("NTU90_CS", "train")


def test_rows_of_the_published_archives():
    for benchmark in BENCHMARKS:
        dataset = "ntu60" if benchmark.archive.startswith("NTU60") else "ntu120"
        samples = EXPECTED["names_ntu60" if dataset == "ntu60" else "names"]
        for part, expected in EXPECTED["a_ctrgcn"]["rows"][benchmark.archive].items():
            assert [samples[i] for i in benchmark.rows(samples, part)] == expected
            assert {benchmark.part(name) for name in expected} == {part}


def test_what_a_name_says():
    assert ntu_protocol.sample("S017C003P020R002A120") == (17, 3, 20, 2, 120)
    assert ntu_protocol.sample("S017C003P020R002A120").label == 119
    for wrong in ("S017C003P020R002A12", "S017C003P020R002A120.skeleton", "x", ""):
        with pytest.raises(ValueError, match="no sample name"):
            ntu_protocol.sample(wrong)
    ntu60 = ntu_protocol.DATASETS["ntu60"]
    assert ntu60.has("S017C003P040R002A060")
    assert not any(map(ntu60.has, ("S018C003P040R002A060", "S017C003P041R002A060", "S017C004P040R002A060",
                                   "S017C003P040R002A061", "S000C003P040R002A060")))  # fmt: skip
    assert len(ntu_protocol.TWO_PERSONS) == 26


def test_a_list_may_begin_with_prose(tmp_path):
    path = tmp_path / "missing.txt"
    path.write_text(
        "These samples are missing:\r\n\r\nS001C001P001R001A001\r\nS001C001P001R001A002.skeleton \r\nend\r\n"
    )
    assert ntu_protocol.read_names(path) == {"S001C001P001R001A001", "S001C001P001R001A002"}
