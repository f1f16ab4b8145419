"""The report's groups of clips and its intervals: what the page says is what counting clip by clip gives."""

from __future__ import annotations

import re

import fake_run as fake
import numpy as np
import pytest
from scipy import stats

from skeleton_lab.reporting import run_report
from skeleton_lab.reporting.run_report import groups
from skeleton_lab.reporting.run_report.evaluation import Evaluation
from skeleton_lab.reporting.run_report.work_dir import load


def text(folder) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_report, "_plots", lambda *_: None)
        return run_report.write(folder).read_text("utf-8")


def section(page: str) -> str:
    return page[page.index('<section id="groups">') : page.index('<section id="pairs">')]


def table(page: str, kind: str) -> list[list[str]]:
    """The cells of a table's rows, without their pictures."""
    body = page[page.index(f'aria-label="Accuracy by {kind}"') :].partition("</table>")[0]
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", body)
    return [re.sub(r"<[^>]*>", " ", re.sub("<svg.*?</svg>", "", row)).split() for row in rows]


def saved(folder, names, labels, pred, classes: int = 3, **members) -> None:
    logits = np.eye(classes, dtype=np.float32)[pred]
    np.savez(folder / "evaluation.npz", logits=logits, labels=labels, names=np.array(names), **members)


def wilson(right: int, total: int) -> str:
    found = stats.binomtest(right, total).proportion_ci(method="wilson")
    return f"{100 * found.low:.1f} to {100 * found.high:.1f}"


def test_the_tables_count_what_the_names_tell(tmp_path):
    fake.complete(tmp_path, epochs=2)
    fake.write_evaluation(tmp_path, 60, 500, named=True)
    with np.load(tmp_path / "evaluation.npz") as file:
        names, labels, right = file["names"], file["labels"], file["logits"].argmax(1) == file["labels"]
    of_class = np.array([right[labels == k].mean() if (labels == k).any() else 0 for k in range(60)])
    shown = section(text(tmp_path))
    for kind, place in (("setup", 0), ("camera", 4), ("subject", 8)):
        numbers = np.array([int(name[place + 1 : place + 4]) for name in names])
        rows = table(shown, kind)
        assert sorted(int(row[0]) for row in rows) == np.unique(numbers).tolist()
        for name, clips, share, low, to, high, apart in rows:
            mine = numbers == int(name)
            assert (int(clips), share) == (mine.sum(), f"{100 * right[mine].mean():.1f}")
            assert " ".join([low, to, high]) == wilson(right[mine].sum(), mine.sum())
            expected = 100 * (right[mine].mean() - of_class[labels[mine]].mean())
            assert float(apart.replace("−", "-")) == pytest.approx(expected, abs=0.051)
        shares = [float(row[2]) for row in rows]
        assert shares == sorted(shares)  # the worst first
    assert f"{100 * right.mean():.2f} %" in shown


def test_lengths_are_told_in_equal_parts_as_they_grow(tmp_path):
    frames = np.array([10, 11, 12, 13, 20, 21, 22, 23, 60, 61, 62, 63, 300, 300, 300, 300])
    pred = np.repeat([0, 0, 0, 1], 4)
    saved(tmp_path, [f"clip {k}" for k in range(16)], np.zeros(16, int), pred, frames=frames)
    rows = table(section(text(tmp_path) + '<section id="pairs">'), "clip length")
    assert [row[:5] for row in rows] == [
        ["10", "to", "13", "4", "100.0"], ["14", "to", "23", "4", "100.0"], ["24", "to", "63", "4", "100.0"],
        ["64", "to", "300", "4", "0.0"],
    ]  # fmt: skip


def test_who_the_archive_says_is_seen_goes_before_the_names(tmp_path):
    names = ["S001C001P001R001A001", "S001C001P001R001A002", "S001C001P002R001A003", "walk"]
    who = np.array(["eva", "<b>bo</b>", "eva", "eva"])
    saved(tmp_path, names, np.array([0, 1, 2, 0]), np.array([0, 2, 2, 1]), subjects=who)
    page = text(tmp_path)
    shown = section(page)
    assert "<b>bo" not in page and [row[-6:-4] for row in table(shown, "subject")] == [["1", "0.0"], ["3", "66.7"]]
    assert "&lt;b&gt;bo&lt;/b&gt;" in shown and "All clips are of" not in shown  # one clip tells no camera
    saved(tmp_path, names[:3], np.array([0, 1, 2]), np.array([0, 2, 2]), subjects=np.array([4, 4, 7]))
    shown = section(text(tmp_path))
    assert [row[0] for row in table(shown, "subject")] == ["4", "7"]
    assert "All clips are of camera 1 and setup 1." in shown


def test_clips_that_do_not_tell_are_counted(tmp_path):
    names = ["S001C001P001R001A001", "S001C002P001R001A002", "walk"]
    saved(tmp_path, names, np.array([0, 1, 2]), np.array([0, 2, 2]))
    assert "Not known of 1 of 3 clips." in section(text(tmp_path))


@pytest.mark.parametrize("members", [
    {}, {"subjects": np.array([1, 2])}, {"frames": np.array(["a", "b", "c"])}, {"subjects": np.array([1.5, 2, 3])},
])  # fmt: skip
def test_a_run_whose_clips_tell_nothing_has_no_such_part(tmp_path, members):
    saved(tmp_path, ["test_0", "test_1", "test_2"], np.array([0, 1, 2]), np.array([0, 2, 2]), **members)
    assert 'id="groups"' not in text(tmp_path)


def test_of_very_many_groups_the_worst_are_shown():
    who = np.arange(500)
    told = Evaluation(who % 2, np.where(who < 300, who % 2, 0), 1.0, 2, subjects=who)
    made = groups.section(told, "")
    (shown,) = made.values["tables"]
    assert len(shown["rows"]) == groups.MOST and shown["title"] == "500 subjects, the worst 200"
    assert sum(row["share"] == "0.0" for row in shown["rows"]) == 100  # all that were wrong


def test_the_headline_has_intervals_and_means_over_classes(tmp_path):
    fake.complete(tmp_path, epochs=2)
    run, page = load(tmp_path), " ".join(re.sub(r"<[^>]*>", " ", text(tmp_path)).split())
    top1 = run.result["best"]["top1"]
    low, high = stats.binomtest(round(top1 * 16487), 16487).proportion_ci(method="wilson")
    assert f"95 % interval {100 * low:.2f} % to {100 * high:.2f} %, of 16,487 clips" in page
    labels, pred = run.evaluation.labels, run.evaluation.pred
    there = np.unique(labels)
    recall = [(pred[labels == k] == k).mean() for k in there]
    f1 = [2 * (pred[labels == k] == k).sum() / ((labels == k).sum() + (pred == k).sum()) for k in there]
    assert f"Macro accuracy {100 * np.mean(recall):.2f} % mean of {len(there)} classes; macro F1" in page
    assert f"macro F1 {100 * np.mean(f1):.2f} %" in page
    count, total = (pred[labels == 7] == 7).sum(), (labels == 7).sum()
    low, high = stats.binomtest(count, total).proportion_ci(method="wilson")
    assert f"{100 * count / total:.1f} % {count}/{total} {100 * low:.1f} % to {100 * high:.1f} %" in page
    fake.write_metrics(tmp_path, fake.lines(0, test_samples=-5))  # somebody else's file
    page = " ".join(re.sub(r"<[^>]*>", " ", text(tmp_path)).split())
    low, high = stats.binomtest(int((labels == pred).sum()), 400).proportion_ci(method="wilson")
    assert f"95 % interval {100 * low:.2f} % to {100 * high:.2f} %, of 400 clips" in page  # by evaluation.npz alone
