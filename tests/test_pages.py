"""The pages in a browser: what somebody sees and can do there."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import fake_run as fake
import numpy as np
import pytest
from browser import driven, dumped, needs_chromium

from skeleton_lab.predict import overlay, timeline
from skeleton_lab.predict.clips import Recordings, Row, rows_of
from skeleton_lab.report.run import published_names

NAMES = published_names(60, ucla=False)


class Made(Recordings):
    def __init__(self, clips: list[np.ndarray], labels: list[int] | None = None, name: str = "walk"):
        super().__init__([f"{name}_{k}" for k in range(len(clips))], labels, "ntu25")
        self.clips = clips

    def points(self, k: int) -> np.ndarray:
        return self.clips[k]


def walk(frames: int) -> np.ndarray:
    return fake.walker(frames, 2).transpose(1, 3, 2, 0).copy()


def predictions(folder: Path, recordings: Recordings, action=lambda row: 0) -> Path:
    rows = rows_of(recordings, 64, 32, 2, alone=True)
    for row in rows:
        row.logits = np.eye(60)[action(row)] * 8
    path = folder / "predictions.html"
    path.write_bytes(overlay.html(recordings, rows, NAMES, 30.0, ["walk.npy: a network", "windows of 64 frames"]))
    return path


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Path:
    """400 s: twelve actions of 1,000 frames; nobody for 20 s in the middle."""
    clip = walk(12_000)
    clip[6000:6600] = 0
    return predictions(tmp_path_factory.mktemp("long"), Made([clip]), lambda row: (row.first + 32) // 1000)


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
    text = dumped(predictions(tmp_path, Made([walk(80)], name=evil)))
    assert text.count('class="strip"') == 3 and "<img" not in text.replace("\\u003c", "<").split("<script")[0]
    assert "&lt;/script&gt;&lt;img src=x" in text


@needs_chromium
@pytest.mark.parametrize("width", [380, 1200])
def test_no_page_is_wider_than_the_screen(long, tmp_path, width):
    fake.complete(tmp_path, num_class=120, samples=3000)
    from test_report import page

    page(tmp_path)
    for path in (long, tmp_path / "report.html"):
        inside, outside = driven(path, "return [document.documentElement.scrollWidth, innerWidth];", width)
        assert inside <= outside, path.name


def test_a_page_says_which_recordings_it_does_not_play(tmp_path, monkeypatch):
    monkeypatch.setattr(overlay, "MOST_FRAMES", 400)
    recordings = Made([walk(100) for _ in range(6)] + [np.zeros((50, 1, 25, 3), np.float32)])
    text = predictions(tmp_path, recordings).read_text()
    assert "The skeletons of the first 4 of 6 recordings play on this page" in text and "walk_5" in text
    assert "In 1 of 7 recordings nobody is seen" in text
    alone = predictions(tmp_path, Made([walk(1000)])).read_text()
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
