"""``labels.csv`` and who is tested."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from skeleton_lab.errors import LabError
from skeleton_lab.inference.clips import labels as lists
from skeleton_lab.inference.clips import splits
from skeleton_lab.inference.clips.labels import Labels, Row


def listed(tmp_path, text: str | bytes) -> Labels:
    path = tmp_path / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return lists.read(path)


def test_columns_in_any_order_and_as_spreadsheets_save_them(tmp_path):
    header = "\ufeffLabel;File;END;start;notes\r\n"
    found = listed(tmp_path, header + 'walk;a\\b.json;90;;x\r\n\r\n"sit; down";./c.json;;10;\r\n')
    assert found.rows == [Row(2, "a/b.json", "walk", None, 90), Row(4, "c.json", "sit; down", 10, None)]
    assert found.columns == {"file", "label", "start", "end"}
    [line] = listed(tmp_path, "file,label,subjct\na,walk,1\n").unread
    assert "column 'subjct' is not read. Did you mean 'subject'?" in line
    assert listed(tmp_path, "file\tlabel\tsplit\na\twalk\tVal\n").rows[0].split == "test"


def test_classes_are_in_order(tmp_path):
    assert listed(tmp_path, "file,label\na,walk\nb,sit\nc,walk\n").classes == ["sit", "walk"]
    assert listed(tmp_path, "file,label\na,10\nb,9\nc,1\n").classes == ["1", "9", "10"]


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "the first line has no column 'file'"),
        ("a.json,walk\nb.json,sit\n", "the first line has no column 'file'; it is a header such as file,label"),
        ("file,label\n", "has a header and no clips"),
        ("file,label,label\na,walk,sit\n", "there are 2 columns 'label'"),
        ("file,label\na,\n", "line 2: label is empty"),
        ("file,label\na,walk\n,sit\n", "line 3: file is empty"),
        ("file,label\na,walk,slowly\n", "line 2 has 3 cells, the header 2"),
        ("file,label,start\na,walk,1.5\n", "line 2: start '1.5' is no frame"),
        ("file,label,start,end\na,walk,50,20\n", "line 2: end 20 comes before start 50"),
        ("file,label,split\na,walk,trian\n", "line 2: split 'trian' is neither train nor test. Did you mean 'train'?"),
        ("file,label\na,walk\nb,sit\na,run\n", "lines 2 and 4 are the same clip, a, as walk and as run"),
        ("file,label\na,wa\x1b[2Jlk\n", "line 2: label is no name"),
        ("file,label\na,wa\u2028lk\n", "line 2: label is no name"),
        ('file,label\na,"wa\nlk"\n', "line 3: label is no name"),
        (b"file,label\na,\xff\xfe\n", "is not in UTF-8"),
        ('file,label\na,"walk\n', "is damaged or in no known format"),
    ],
)
def test_what_is_wrong_with_a_list_is_one_line(tmp_path, text, words):
    with pytest.raises(LabError) as error:
        listed(tmp_path, text)
    assert words in str(error.value) and "labels.csv" in str(error.value)


def rows_of(subjects: int, classes: int, each: int, seed: int = 0) -> list[Row]:
    """Every subject does every class about ``each`` times, in any order."""
    random = np.random.default_rng(seed)
    rows = [(s, c) for s in range(subjects) for c in range(classes) for _ in range(each + int(random.integers(-1, 2)))]
    return [Row(k + 2, f"{k}.json", f"class {c}", subject=f"s{s}") for k, (s, c) in enumerate(random.permutation(rows))]


def labels_of(rows: list[Row], *columns: str) -> Labels:
    return Labels(Path("labels.csv"), rows, frozenset({"file", "label", *columns}))


def test_by_subject_every_class_has_its_share_and_nobody_is_in_both():
    rows = rows_of(8, 5, 4)
    labels = labels_of(rows, "subject")
    assert splits.way(labels, None) == "subject"
    test = splits.divided(labels, rows, "subject", 0.25, 0)
    subjects = [{row.subject for row, t in zip(rows, test) if t == part} for part in (False, True)]
    assert not subjects[0] & subjects[1] and len(subjects[1]) == 2
    for name in labels.classes:
        share = np.mean([t for row, t in zip(rows, test) if row.label == name])
        assert 0.15 < share < 0.35
    np.testing.assert_array_equal(test, splits.divided(labels, rows, "subject", 0.25, 0))


def test_another_seed_draws_other_subjects_where_they_are_as_good():
    rows = [Row(9 * s + k + 2, f"{s}-{k}", "abc"[k % 3], subject=f"s{s}") for s in range(8) for k in range(9)]
    drawn = [splits.divided(labels_of(rows, "subject"), rows, "subject", 0.25, seed) for seed in (0, 0, 1, 2)]
    assert (drawn[0] == drawn[1]).all() and any((drawn[0] != other).any() for other in drawn[2:])
    assert all(each.sum() == 18 for each in drawn)


def test_by_files_shares_are_exact_and_parts_of_a_file_stay_together():
    rows = [Row(k + 2, f"{k}.json", "ab"[k % 2]) for k in range(40)]
    test = splits.divided(labels_of(rows), rows, "files", 0.25, 3)
    assert Counter(row.label for row, t in zip(rows, test) if t) == {"a": 5, "b": 5}
    few = [Row(2, "0", "a"), Row(3, "1", "a"), Row(4, "2", "b"), Row(5, "3", "b")]
    assert splits.divided(labels_of(few), few, "files", 0.9, 0).sum() == 2  # one of each class is left to train on
    parts = [Row(k + 2, f"{k // 4}.json", "ab"[k % 2], 10 * k, 10 * k + 9) for k in range(40)]
    test = splits.divided(labels_of(parts), parts, "files", 0.25, 0)
    assert 8 <= test.sum() <= 12 and (test.reshape(10, 4).all(1) | ~test.reshape(10, 4).any(1)).all()


def test_by_column():
    rows = [Row(2, "a", "x", split="train"), Row(3, "b", "y", split="train"), Row(4, "c", "x", split="test"),
            Row(5, "d", "y", split="test")]  # fmt: skip
    assert splits.divided(labels_of(rows, "split"), rows, "column", 0.5, 0).tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    "rows, by, words",
    [
        ([("a", "walk"), ("b", "walk"), ("c", "jump")], "files",
         r"a class with one clip cannot .* \(jump: c \(line 4\)\)"),
        ([("a", "walk"), ("b", "walk")], "files", "all clips that can be used are 'walk'"),
        ([("a", "x", "ann", "train"), ("b", "y", "bob", "train"), ("c", "x", "bob", "test"), ("d", "y", "ann", "test")],
         "column", r"subject bob is in both splits \(train in line 3, test in line 4\)"),
        ([("a", "x", "", "train"), ("b", "x", "", "train"), ("c", "y", "", "test"), ("d", "y", "", "test")],
         "column", "class y is in the test split only: put a clip of it into train"),
        ([("a", "x", "", "train"), ("b", "x", "", ""), ("c", "y"), ("d", "y")], "column", "split is empty at b"),
        ([("a", "x", "", "train"), ("b", "x", "", "train"), ("c", "y", "", "train"), ("d", "y", "", "train")],
         "column", "no clip is left to test: write both into the column split"),
        ([("a", "x", "ann"), ("b", "x", ""), ("c", "y", "bob"), ("d", "y", "ann")], "subject", "subject is empty"),
        ([("a", "x", "ann"), ("b", "x", "ann"), ("c", "y", "ann"), ("d", "y", "ann")], "subject",
         "there is one subject only"),
        ([("a", "x", "ann"), ("b", "x", "ann"), ("c", "y", "bob"), ("d", "y", "bob")],
         "subject", "in the test split only: one subject has all of its clips"),
    ],
)  # fmt: skip
def test_a_division_that_cannot_be_is_one_line(rows, by, words):
    made = [
        Row(k + 2, *each[:2], subject=(*each, "", "")[2], split=(*each, "", "")[3] if len(each) > 3 else "")
        for k, each in enumerate(rows)
    ]
    with pytest.raises(LabError, match=words):
        splits.divided(labels_of(made, "subject", "split"), made, by, 0.25, 0)


def test_a_wish_without_its_column_is_one_line():
    with pytest.raises(LabError, match=r"--split subject: labels\.csv has no column 'subject'"):
        splits.way(labels_of([], "split"), "subject")
    assert splits.way(labels_of([], "split", "subject"), None) == "column"
    assert splits.way(labels_of([]), None) == "files"
