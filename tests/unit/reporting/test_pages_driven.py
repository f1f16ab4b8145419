"""Every kind of page, untouched, in a browser: quiet, offline, by keyboard, on a telephone and in the dark."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import page_gallery as gallery
import pytest
from browser import Tab, needs_chromium
from places import ROOT

from skeleton_lab.compare import finding
from skeleton_lab.compare.comparison import compare
from skeleton_lab.compare.pairs import by_class, confusion_difference
from skeleton_lab.reporting.html import shell

pytestmark = [needs_chromium, pytest.mark.slow]
KINDS = ("report", "view", "grid", "predictions", "zero-shot", "zero-shot seeds", "plan", "skeletons", "explanations",
         "comparison")  # fmt: skip
STOPS = """[...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")].filter((e) =>
    !e.disabled && e.tabIndex === 0 && e.checkVisibility())"""
# Of every text that is seen: its contrast with the background behind it (WCAG 2), and how large it is.
CONTRAST = """
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const over = (top, below) => { const a = top[3] ?? 1; return [0, 1, 2].map((c) => a * top[c] + (1 - a) * below[c]); };
const light = (rgb) => rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, c) => sum + v * [0.2126, 0.7152, 0.0722][c], 0);
const behind = (e) => {
  if (!e) return [255, 255, 255];
  const style = getComputedStyle(e);
  const paint = e.tagName === "rect" ? style.fill : style.backgroundColor;
  return over(paint.startsWith("rgb") ? parse(paint) : [0, 0, 0, 0], behind(e.parentElement));
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const words = walker.currentNode.data.trim(), e = walker.currentNode.parentElement;
  if (!words || ["SCRIPT", "STYLE", "NOSCRIPT", "OPTION"].includes(e.tagName) || !e.checkVisibility()) continue;
  const style = getComputedStyle(e), drawn = e.namespaceURI.endsWith("svg");
  const box = drawn && e.previousElementSibling?.tagName === "rect" ? e.previousElementSibling : e;
  const ink = parse(drawn ? style.fill : style.color);
  if (ink[3] === 0) continue;
  const back = behind(box), pair = [light(over(ink, back)), light(back)].sort((a, b) => b - a);
  const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 600);
  found.push([(pair[0] + 0.05) / (pair[1] + 0.05), large, words.slice(0, 40)]);
}
return found;
"""


BROKEN_WORDS = """
    const broken = [];
    for (const head of document.querySelectorAll("thead th")) for (const node of head.childNodes) {
        if (node.nodeType !== Node.TEXT_NODE) continue;
        for (const word of node.data.matchAll(/\\S+/g)) {
            const range = new Range();
            range.setStart(node, word.index);
            range.setEnd(node, word.index + word[0].length);
            if (range.getClientRects().length > 1) broken.push(word[0]);
        }
    }
    return broken;
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    seeds, one = gallery.zero_shot(folder / "zero_shot")
    clips = [gallery.walk(900), gallery.walk(300), np.zeros((50, 1, 25, 3), np.float32)]
    return {
        "report": gallery.report(folder / "report"),
        "view": gallery.viewed(folder / "view"),
        "grid": gallery.viewed(folder / "grid", "--grid"),
        "predictions": gallery.predictions(folder, gallery.Arrays(clips, [3, 4, 5]), lambda row: row.first // 100 % 7),
        "zero-shot": one,
        "zero-shot seeds": seeds,
        "plan": gallery.plan(folder / "plan"),
        "skeletons": gallery.skeletons(folder),
        "explanations": gallery.explanations(folder),
        "comparison": gallery.comparison(folder / "comparison"),
    }


def text_of(tab: Tab, selector: str) -> str:
    return tab.run(f"return document.querySelector({selector!r}).textContent;")


def test_every_page_that_has_a_template_is_here(pages):
    """A new page joins the gallery."""
    templates = {path for path in (ROOT / "skeleton_lab").rglob("*.j2") if "{% extends" in path.read_text("utf-8")}
    below = {path.relative_to(ROOT / "skeleton_lab").as_posix() for path in templates}
    shown = {shell.SECTIONS, "reporting/viewer/templates/page.html.j2", "inference/templates/predictions.html.j2",
             "explain/templates/explanations.html.j2"}  # fmt: skip
    assert below == shown and set(pages) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_page_is_quiet_offline_and_as_narrow_as_a_telephone(pages, kind, dark):
    with Tab(pages[kind], width=375, height=700, dark=dark) as tab:
        for _ in range(6):
            tab.press("Tab")
        width, wider = tab.run("return [innerWidth, document.documentElement.scrollWidth];")
        assert (tab.errors, tab.requests) == ([], []) and width == 375 and wider <= width
        assert tab.run(BROKEN_WORDS) == [], "a table scrolls; it does not break the words of its head"
        assert tab.run("return matchMedia('(prefers-color-scheme: dark)').matches;") is dark


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_texts_stand_out_from_their_background(pages, kind, dark):
    with Tab(pages[kind], dark=dark) as tab:
        tab.run("for (const part of document.querySelectorAll('details')) part.open = true;")
        texts = tab.run(CONTRAST)
    assert len(texts) > 8
    faint = [entry for entry in texts if entry[0] < (3 if entry[1] else 4.5)]
    assert not faint, f"contrast below 4.5 (3 where large): {faint[:8]}"


@pytest.mark.parametrize("kind", KINDS)
def test_tab_reaches_everything_in_its_order_and_shows_where_it_is(pages, kind):
    with Tab(pages[kind]) as tab:
        wanted = tab.run(f"window.stops = {STOPS}; return stops.length;")
        reached = []
        for _ in range(wanted):
            tab.press("Tab")
            place, ring = tab.run("""
                const e = document.activeElement, style = getComputedStyle(e);
                return [stops.indexOf(e), style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
            """)  # fmt: skip
            assert ring, f"stop {place} has no ring"
            reached.append(place)
    assert reached == list(range(wanted))


@pytest.mark.parametrize("kind", ["report", "view", "predictions"])
def test_a_player_obeys_the_keyboard(pages, kind):
    with Tab(pages[kind]) as tab:
        tab.run("document.querySelector('article .stage').focus();")
        before = int(text_of(tab, "article output").split()[0])
        tab.press(".", ".", ",", ".")
        assert int(text_of(tab, "article output").split()[0]) == before + 2
        drawn = tab.run("return document.querySelector('article .stage').toDataURL();")
        tab.press("ArrowRight", "ArrowUp")
        assert tab.run("return document.querySelector('article .stage').toDataURL();") != drawn, "it turns"
        assert text_of(tab, "article button") == "Play"
        tab.press(" ")
        assert text_of(tab, "article button") == "Pause"
        tab.run("await new Promise((go) => setTimeout(go, 400));")
        tab.press(" ", "Tab")
        assert int(text_of(tab, "article output").split()[0]) != before + 2, "it played"
        tab.press("Enter")
        assert text_of(tab, "article button") == "Pause", "the button too"
        tab.press(" ", "Tab", "Home", "ArrowRight", "ArrowRight")
        assert text_of(tab, "article output").split()[0] == "3", "and the slider"
        assert tab.errors == []


def test_all_clips_play_together_by_keyboard(pages):
    with Tab(pages["grid"]) as tab:
        tab.press("Tab", "Tab", "Home", "ArrowRight")
        shown = tab.run(
            "return [...document.querySelectorAll('article output')].map((o) => o.textContent.split(' ')[0]);"
        )
        assert len(shown) == 4 and set(shown) == {"2"}
        tab.press("Shift+Tab", "Enter")
        assert text_of(tab, "#together button") == "Pause"


def test_curves_matrix_and_lists_of_a_report_by_keyboard(pages):
    with Tab(pages["report"]) as tab:
        tab.press("Tab", "Enter")
        assert tab.run("return location.hash;") == "#curves"
        tab.run("document.querySelector('svg.chart').focus();")
        tab.press("Home", "ArrowRight")
        assert text_of(tab, "#tip div") == "epoch 2" and "training: " in text_of(tab, "#tip")
        tab.run("document.querySelector('summary').focus();")
        tab.press("Enter")
        assert tab.run("return document.querySelector('details').open;")
        tab.run("document.getElementById('confusion').focus();")
        tab.press("ArrowRight", "ArrowDown")
        assert "drink water" not in text_of(tab, "#tip") and "samples" in text_of(tab, "#tip")
        tab.run("document.getElementById('classes-order').focus();")
        tab.press("ArrowDown")
        shares = tab.run("return [...document.querySelectorAll('.classes li')].map((li) => Number(li.dataset.share));")
        assert shares == sorted(shares, reverse=True), "best first"
        assert tab.errors == []


def test_a_timeline_by_keyboard(pages):
    with Tab(pages["predictions"]) as tab:
        tab.run("document.querySelector('.strip').focus();")
        tab.press("ArrowRight", "ArrowRight")
        told = tab.run("return document.activeElement.getAttribute('aria-label');")
        assert re.search(r"[\d.]+ s to [\d.]+ s, [\d.]+ % \w", told) and not tab.run("return tip.hidden;")
        tab.press("Enter")
        assert tab.run("return document.activeElement.className;") == "stage", "it goes to the skeletons"
        said = told.split(" % ")[1]
        assert said in tab.run("return document.activeElement.closest('article').querySelector('.told').textContent;")
        assert tab.errors == []


def test_any_two_runs_are_compared_in_the_page(pages):
    """By the page's own script as by Python, for those chosen first and for two others."""
    runs = pages["comparison"].parent / "runs"
    found = compare(finding.find([f"{runs}/*"])[0], show=False)
    rows = found.rows
    with Tab(pages["comparison"]) as tab:
        for a, b in (found.chosen, (rows[3], rows[0])):
            places = [rows.index(row) for row in (a, b)]
            said, lines = tab.run(f"""
                const [a, b] = ["pair-a", "pair-b"].map((id) => document.getElementById(id));
                [a.value, b.value] = {places};
                b.dispatchEvent(new Event("change"));
                const items = [...document.querySelectorAll(".changes li")];
                return [document.getElementById("pair-told").textContent, items.map((item) => item.textContent)];
            """)
            (pair,) = [each for each in found.pairs if {each.a, each.b} == {a.name, b.name}]
            alone = (pair.only_a, pair.only_b) if pair.a == a.name else (pair.only_b, pair.only_a)
            p = "< 0.0001" if pair.p < 0.0001 else f"{pair.p:.4f}"
            assert f"A alone in {alone[0]}, B alone in {alone[1]}. McNemar's exact test: p {p}." in said
            expected = []
            for each in by_class(a, b):
                points = f"{'+' if each.change > 0 else '−' if each.change < 0 else '±'}{abs(100 * each.change):.1f}"
                p, corrected = (f"{each.p:.4f}", f"{each.adjusted:.4f}")
                expected.append(
                    f"{found.class_names[each.cls]}{points}A {100 * each.right_a / each.clips:.1f} %, "
                    f"B {100 * each.right_b / each.clips:.1f} % of {each.clips}; A alone {each.only_a}, "
                    f"B alone {each.only_b}; p {p}, corrected {corrected}"
                )
            assert lines == expected
        tab.run("document.getElementById('confusion').focus();")
        tab.press("ArrowRight")
        counts = confusion_difference(rows[3], rows[0], found.clips.classes)
        told = tab.run("return [...tip.children].map((line) => line.textContent);")
        more = counts[0, 1]
        who = rows[0].name if more > 0 else rows[3].name
        clips = (found.clips.labels == 0).sum()
        assert told[3] == (f"{abs(more)} more of {clips} clips by {who}" if more else "as often by both")
        assert tab.errors == []


def test_maps_of_an_explanation_by_keyboard(pages):
    """Arrow keys read values and move the skeleton; another method draws another map and other joints."""
    with Tab(pages["explanations"]) as tab:
        tab.run("document.querySelector('article .map').focus();")
        tab.press("ArrowDown", "ArrowRight", "ArrowRight")
        said, frame, clip = tab.run("""
            const told = [...tip.children].map((line) => line.textContent);
            const slider = document.querySelector('article input');
            return [told, Number(slider.value), JSON.parse(document.getElementById('data').textContent).clips[0]];
        """)  # fmt: skip
        bounds = clip["bounds"]
        assert bounds[2] <= frame < bounds[3], "it stands in the third piece"
        value = clip["maps"]["occlusion"][len(bounds) - 1 + 2] / 127 * clip["reach"]["occlusion"]
        assert said[0] == f"{clip['parts'][1]} (1): {value:.3f}"
        drawn = []
        for method in ("occlusion", "gradients"):
            tab.run(f"method.value = '{method}'; method.dispatchEvent(new Event('change'));")
            drawn.append(tab.run("return ['.map', '.stage'].map((n) => document.querySelector(n).toDataURL());"))
        assert drawn[0][0] != drawn[1][0] and drawn[0][1] != drawn[1][1] and tab.errors == []


def test_names_that_are_markup_are_read_as_text(tmp_path):
    """As the page is, with its policy: what an image or a script of a name would do is nowhere."""
    name = gallery.EVIL
    for path in (
        gallery.predictions(tmp_path, gallery.Arrays([gallery.walk(80)], name=name)),
        gallery.report(tmp_path / "report", name=name),
        gallery.plan(tmp_path / "plan", name=name),
        gallery.explanations(tmp_path, name=name),
        gallery.comparison(tmp_path / "comparison", name=name),
    ):
        with Tab(path) as tab:
            count = "return ['script', 'img', '[onerror]'].map((s) => document.querySelectorAll(s).length);"
            assert tab.run(count) == [2, 0, 0] and name in tab.run("return document.body.textContent;")
            assert (tab.errors, tab.requests) == ([], [])


def test_no_template_declares_what_it_is_given_as_safe():
    """``safe`` of jinja2 is for what no user can name: the digest of our own script."""
    found = [
        (path.name, line.strip())
        for path in (ROOT / "skeleton_lab").rglob("*.j2")
        for line in path.read_text("utf-8").splitlines()
        if re.search(r"\|\s*safe|autoescape|\bMarkup\b", line)
    ]
    assert [name for name, _ in found] == ["shell.html.j2"] and "digest | safe" in found[0][1]
