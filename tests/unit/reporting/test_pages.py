"""The pages in a browser: what somebody sees and can do there."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from browser import driven, dumped, needs_chromium
from page_gallery import NAMES, Arrays, predictions, report, walk

from skeleton_lab.data.archives import class_names
from skeleton_lab.inference import overlay, timeline
from skeleton_lab.inference.windows import Row


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Path:
    """400 s: twelve actions of 1,000 frames; nobody for 20 s in the middle."""
    clip = walk(12_000)
    clip[6000:6600] = 0
    return predictions(tmp_path_factory.mktemp("long"), Arrays([clip]), lambda row: (row.first + 32) // 1000)


@pytest.mark.slow
@needs_chromium
def test_the_timeline_shows_the_whole_of_a_long_recording(long):
    strips = driven(long, """
        return [...document.querySelectorAll(".strip")].map((strip) => [...strip.children].map((part) =>
            [parseFloat(part.style.left), parseFloat(part.style.width), part.textContent, part.style.background]));
    """)  # fmt: skip
    assert len(strips) == 3, "everybody, person 1, person 2"
    for parts in strips:
        spans = [(left, left + width) for left, width, _, _ in parts]
        assert spans[0][0] == 0 and spans[-1][1] == pytest.approx(100)
        gaps = [(end, begin) for (_, end), (begin, _) in pairwise(spans) if begin > end + 0.01]
        assert len(gaps) == 1 and gaps[0] == pytest.approx((50, 55), abs=1), "nobody is there"
        assert list(dict.fromkeys(name for _, _, name, _ in parts)) == NAMES[:12]
        assert len({ink for *_, ink in parts}) == 12, "an action, a colour"


@pytest.mark.slow
@needs_chromium
def test_cards_are_paged_and_named_after_their_times(long):
    told = driven(long, """
        const titles = () => [...document.querySelectorAll("article:not([hidden]) h3")].map((h) => h.textContent);
        const bar = document.querySelector(".pages"), next = bar.querySelector("button:last-of-type");
        const seen = [titles()], where = [bar.querySelector("output").textContent];
        while (!next.disabled) {
            next.click();
            seen.push(titles());
            where.push(bar.querySelector("output").textContent);
        }
        return {seen, where, wrong};
    """)  # fmt: skip
    titles = [title for page in told["seen"] for title in page]
    assert len(titles) == 40 and len(set(titles)) == 40 and not told["wrong"]
    assert titles[0] == "walk_0, 0.0 s to 10.0 s" and titles[-1] == "walk_0, 6:30.0 to 6:40.0"
    assert told["where"][0] == "cards 1 to 12 of 40" and told["where"][-1] == "cards 37 to 40 of 40"


@pytest.mark.slow
@needs_chromium
def test_a_click_on_the_timeline_goes_to_its_frames(long):
    find = f"(part) => part.textContent === {NAMES[9]!r}"
    told = driven(long, f"[...document.querySelectorAll('.strip')[1].children].find({find}).click();" """
        const card = document.activeElement.closest("article");
        return [card.querySelector("h3").textContent, card.querySelector("output").textContent,
                card.querySelector(".told h4").textContent, card.querySelector(".answer").textContent];
    """)  # fmt: skip
    assert told[0] in ("walk_0, 4:50.0 to 5:00.0", "walk_0, 5:00.0 to 5:10.0")
    assert int(told[1].split(" ")[0]) == pytest.approx(9000, abs=40)
    assert re.fullmatch(r"\d:\d\d\.\d to \d:\d\d\.\d", told[2]) and told[3].endswith(NAMES[9])


@needs_chromium
def test_the_page_as_it_is_runs_its_scripts_and_no_others(tmp_path):
    evil = "</script><img src=x onerror=alert(1)>"
    text = dumped(predictions(tmp_path, Arrays([walk(80)], name=evil)))
    assert text.count('class="strip"') == 3 and "<img" not in text.replace("\\u003c", "<").split("<script")[0]
    assert "&lt;/script&gt;&lt;img src=x" in text


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("width", [380, 1200])
def test_no_page_is_wider_than_the_screen(long, report_120, width):
    for path in (long, report_120):
        inside, outside = driven(path, "return [document.documentElement.scrollWidth, innerWidth];", width)
        assert inside <= outside, path.name


def test_a_page_says_which_recordings_it_does_not_play(tmp_path, monkeypatch):
    monkeypatch.setattr(overlay, "MOST_FRAMES", 400)
    recordings = Arrays([walk(100) for _ in range(6)] + [np.zeros((50, 1, 25, 3), np.float32)])
    text = predictions(tmp_path, recordings).read_text()
    assert "The skeletons of the first 4 of 6 recordings play on this page" in text and "walk_5" in text
    assert "In 1 of 7 recordings nobody is seen" in text
    alone = predictions(tmp_path, Arrays([walk(1000)])).read_text()
    assert "play on this page" not in alone and "every 3rd frame" in alone, "thinned, but whole"
    assert "walk_0, 0.0 s to 30.0 s" in alone and "walk_0, 30.0 s to 33.3 s" in alone


def test_stretches_of_windows_against_asking_every_frame():
    rng = np.random.default_rng(0)
    for _ in range(50):
        starts = np.cumsum(rng.integers(10, 60, 8))
        rows = [Row(0, int(s), int(s) + 40, "all", np.eye(5)[rng.integers(5)] * 9) for s in starts]
        drawn = timeline.stretches(rows)
        for frame in range(int(starts[-1]) + 60):
            near = [row for row in rows if row.first <= frame < row.last]
            said = [int(part[2]) for part in drawn if part[0] <= frame < part[1]]
            assert len(said) == bool(near)
            if near:
                away = {abs(row.first + row.last - 1 - 2 * frame) for row in near}
                best = {int(r.logits.argmax()) for r in near if abs(r.first + r.last - 1 - 2 * frame) <= min(away) + 2}
                assert said[0] in best


def test_stretches_that_look_like_no_class_are_drawn_apart():
    """Of calibrated weights; and the caption of their window says it."""
    known = (True, False, False)
    rows = [Row(0, 30 * k, 30 * k + 30, "all", np.eye(3)[1], known=told) for k, told in enumerate(known)]
    assert [part[:3] + part[4:] for part in timeline.stretches(rows)] == [[0, 30, 1, 0], [30, 90, 1, 1]]
    text = overlay.html(Arrays([walk(90)]), rows, "abc", 30.0, ["x"]).decode()
    assert "Hatched" in text and text.count("1.0 s to 2.0 s, perhaps none of these") == 1
    assert "0.0 s to 1.0 s, perhaps" not in text
    for row in rows:
        row.known = None
    plain = overlay.html(Arrays([walk(90)]), rows, "abc", 30.0, ["x"]).decode()
    assert "Hatched" not in plain and ", perhaps none of these" not in plain


@pytest.fixture(scope="module")
def report_120(tmp_path_factory) -> Path:
    return report(tmp_path_factory.mktemp("report"), num_class=120)


@pytest.mark.slow
@needs_chromium
def test_120_classes_can_be_sorted_and_searched(report_120):
    told = driven(report_120, """
        const [search, order] = ["classes-search", "classes-order"].map((id) => document.getElementById(id));
        const shown = () => [...document.querySelectorAll(".classes li:not([hidden])")].map((li) =>
            [li.firstChild.textContent, Number(li.dataset.id), Number(li.dataset.share)]);
        const by = {};
        for (const { value } of order.options) {
            order.value = value;
            order.dispatchEvent(new Event("change"));
            by[value] = shown();
        }
        search.value = " Other Person";
        search.dispatchEvent(new Event("input"));
        const found = shown(), counted = document.getElementById("classes-found").textContent;
        return {by, found, counted, wrong};
    """)  # fmt: skip
    by, names = told["by"], class_names.published(120, ucla=False)
    assert not told["wrong"] and all(len(rows) == 120 for rows in by.values())
    assert [row[2] for row in by["worst"]] == sorted(row[2] for row in by["worst"])
    assert [row[2] for row in by["best"]] == sorted((row[2] for row in by["best"]), reverse=True)
    assert [row[:2] for row in by["id"]] == [[name, k] for k, name in enumerate(names)]
    assert [row[0] for row in by["name"]][:2] == ["apply cream on face", "apply cream on hand back"]
    expected = {name for name in names if "other person" in name}
    assert {row[0] for row in told["found"]} == expected and told["counted"] == f"{len(expected)} of 120 classes"


@pytest.mark.slow
@needs_chromium
def test_the_matrix_is_sorted_searched_and_enlarged(report_120):
    """By what its cells tell: the arrow keys read the first one."""
    told = driven(report_120, """
        const canvas = document.getElementById("confusion"), tip = document.getElementById("tip");
        const set = (id, value, event) => {
            document.getElementById(id).value = value;
            document.getElementById(id).dispatchEvent(new Event(event));
        };
        const key = (name) => canvas.dispatchEvent(new KeyboardEvent("keydown", {key: name}));
        const first = () => { key("ArrowUp"); return [...tip.children].map((line) => line.textContent); };
        const seen = {id: first()};
        set("confusion-order", "accuracy", "change");
        seen.accuracy = first();
        set("confusion-order", "name", "change");
        seen.name = first();
        const before = [canvas.offsetWidth, canvas.offsetHeight];
        for (let k = 0; k < 5; k++) document.getElementById("confusion-in").click();
        const large = [canvas.offsetWidth, canvas.offsetHeight], page = document.documentElement.scrollWidth;
        set("confusion-search", "hand waving", "input");
        seen.search = first();
        const rows = canvas.offsetHeight;
        set("confusion-search", "no such class", "input");
        const worst = document.querySelector(".classes li").firstChild.textContent;
        return {seen, before, large, page, rows, worst, wrong};
    """)  # fmt: skip
    seen = told["seen"]
    assert seen["id"][1:3] == ["true: drink water (0)", "predicted: drink water (0)"]
    assert seen["accuracy"][1].startswith(f"true: {told['worst']} (")
    assert seen["name"][1].startswith("true: apply cream on face (")
    assert seen["search"][1] == "true: hand waving (22)"
    assert told["large"][0] > 2 * told["before"][0] and told["page"] <= 1200, "it scrolls in its own box"
    assert told["rows"] < 100 and not told["wrong"]
