"""What a session makes of frames: who is judged when, what is left out, and that it keeps no more than it needs."""

from __future__ import annotations

import io
import json
import re
import threading
import time
import tracemalloc
from argparse import Namespace

import numpy as np
import pytest

from skeleton_lab.errors import Screen
from skeleton_lab.inference import any_skeleton
from skeleton_lab.inference.clips import placing
from skeleton_lab.inference.keypoints.checking import Keypoints
from skeleton_lab.inference.keypoints.notices import Notices
from skeleton_lab.inference.predictions import probabilities
from skeleton_lab.live.figures import Delays, Figures
from skeleton_lab.live.labels import Labels, Steadiness
from skeleton_lab.live.program import other_rate
from skeleton_lab.live.reading import Reader
from skeleton_lab.live.resampling import Resampled
from skeleton_lab.live.rings import MOST, Rings
from skeleton_lab.live.said import Said
from skeleton_lab.live.session import Outlets, Session
from skeleton_lab.live.sources import AGAIN, Frame
from skeleton_lab.live.view import View
from skeleton_lab.skeletons import layouts
from skeleton_lab.skeletons.schemes import SCHEMES

PLAIN = Steadiness(smooth=0, threshold=0, hysteresis=0)


def frame(number: int, *people: int, x: float = 0.0, **more) -> Frame:
    return Frame(number, number / 30, {id: np.full((2, 3), x) for id in people}, arrived=time.monotonic(), **more)


class Counting:
    """Judges everybody of the newest frame; the logits tell how many frames came in."""

    frames, K = 8, 2

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.count, self.people = seconds, 0, []

    def push(self, frame: Frame) -> None:
        self.count, self.people = self.count + 1, list(frame.people)

    def logits(self):
        time.sleep(self.seconds)
        return {id: np.array([self.count, 0.0], np.float32) for id in self.people}

    def forget(self) -> None:
        self.count = 0


def session(evaluator, frames, every=5, **more):
    said, recorded = [], []
    outlets = Outlets(said.append, lambda frame, asked: recorded.append(frame._replace(asked=asked)))
    made = Session(
        evaluator, Labels(PLAIN), ("a", "b"), outlets, every=every, **{"recorded": True, "skip": False} | more
    )
    made.run(frames)
    return said, recorded, made.figures


def test_labels_are_due_every_so_many_numbers_also_where_some_are_missing():
    numbers = [n for n in range(40) if n not in (9, 20, 21, 22, 23, 24, 25)]
    said, recorded, figures = session(Counting(), [frame(n, 3) for n in numbers], every=10)
    assert [each["frame"] for each in said] == [10, 19, 29, 39] == [each.number for each in recorded if each.asked]
    assert [each["person"] for each in said] == [3] * 4
    assert (figures.frames, figures.missing, figures.labels, figures.late) == (33, 7, 4, 0)


def test_a_late_frame_is_counted_and_no_label_is_due_at_it():
    said, _, figures = session(Counting(), [frame(n, 0) for n in (1, 2, 5, 3, 4, 6, 9)])
    assert [each["frame"] for each in said] == [5, 9]
    assert (figures.late, figures.missing) == (2, 2)  # 7 and 8 never came


def test_who_leaves_is_told_once_and_may_return():
    frames = [frame(n, *([0, 1] if n < 5 or n > 14 else [0])) for n in range(20)]
    said, _, _ = session(Counting(), frames)
    of_one = [(each["frame"], each["label"], each["p"]) for each in said if each["person"] == 1]
    assert of_one == [(4, "a", pytest.approx(probabilities(np.array([5.0, 0]))[0])), (9, None, None), (19, "a", 1.0)]


def test_a_source_that_begins_again_begins_everything_again():
    said, _, _ = session(Counting(), [*(frame(n, 0) for n in range(5)), frame(4, 0, begins=True)])
    assert [each["p"] for each in said] == [round(float(probabilities(np.array([n, 0.0]))[0]), 6) for n in (5, 1)]


def test_a_slow_machine_leaves_out_labels_but_no_frames_and_the_record_gives_the_same_lines():
    def arriving():
        for n in range(60):
            time.sleep(0.002)
            yield frame(n, 0)

    said, recorded, figures = session(Counting(0.05), arriving(), every=4, recorded=False, skip=True)
    assert figures.frames == 60 and figures.skipped > 3 and figures.labels + figures.skipped == 15
    assert all(each["top5"][0]["probability"] == round(float(probabilities(np.array([each["frame"] + 1.0, 0]))[0]), 6)
               for each in said)  # fmt: skip
    assert figures.per_label.quantile(0.5) >= 0.05
    again, _, replayed = session(Counting(), recorded, every=4)
    assert again == said and replayed.skipped == 0


def test_without_skipping_the_source_waits():
    said, _, figures = session(Counting(0.01), (frame(n, 0) for n in range(600)), every=50, recorded=False)
    assert [each["frame"] for each in said] == list(range(49, 600, 50)) and figures.skipped == 0


def test_it_ends_where_nothing_comes_and_what_the_source_raises_is_raised():
    def silent():
        yield frame(0, 0)
        while True:
            yield None
            time.sleep(0.01)

    begun = time.monotonic()
    assert session(Counting(), silent(), every=1, idle=0.3)[2].frames == 1
    assert time.monotonic() - begun < 5
    assert not [each for each in threading.enumerate() if each.name == "frames"]

    def broken():
        yield frame(0, 0)
        raise OSError("unplugged")

    with pytest.raises(OSError, match="unplugged"):
        session(Counting(), broken())


def test_labels_are_steady():
    """By hand: 0.6, 0.55 and 0.4 of a class against the others, with a threshold of 0.5 and a hysteresis of 0.1."""
    labels = Labels(Steadiness(smooth=0, threshold=0.5, hysteresis=0.1))
    steps = [([0.4, 0.3, 0.3], None), ([0.6, 0.2, 0.2], 0), ([0.45, 0.5, 0.05], 0), ([0.41, 0.52, 0.07], 1),
             ([0.2, 0.42, 0.38], 1), ([0.3, 0.38, 0.32], None), ([0.1, 0.3, 0.6], 2), ([0.8, 0.1, 0.1], 0)]  # fmt: skip
    for t, (p, label) in enumerate(steps):
        assert labels.step(7, t / 30, np.log(np.array(p)))[0] == label, t


def test_judgements_are_averaged_by_their_age():
    labels = Labels(Steadiness(smooth=2.0))
    given = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    times = np.array([0.0, 1.0, 4.0])
    for t, p in zip(times, given):
        _, made = labels.step("all", t, np.log(p))
    weights = np.exp(-(times[-1] - times) / 2)
    assert made == pytest.approx(weights @ given / weights.sum(), abs=1e-12)


def test_probabilities_of_a_calibrated_network():
    _, made = Labels(Steadiness(smooth=0), temperature=2.0).step(1, 0.0, np.array([0.0, 3.0]))
    assert made == pytest.approx([1 / (1 + np.exp(1.5)), 1 / (1 + np.exp(-1.5))], abs=1e-12)


def kept() -> int:
    """Bytes that the lab's own code holds."""
    traces = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/skeleton_lab/*")])
    return sum(each.size for each in traces.statistics("filename"))


@pytest.mark.slow
def test_memory_is_bounded_although_everybody_has_a_new_number_every_frame():
    sizes, rings = [], Rings(16)
    reader = Reader(lambda V, where: SCHEMES["coco17"], 0.3, 30.0, "the stream", Notices())
    body = np.random.default_rng(0).uniform(0, 400, (17, 3)).tolist()
    tracemalloc.start()
    for n in range(100):
        people = [{"id": 3 * n + k, "keypoints": body} for k in range(3)]
        (made,) = reader.frames([json.dumps({"people": people}).encode()])
        rings.push(made)
        assert made is not None and len(made.people) == 3
        if n in (45, 99):
            sizes.append(kept())
    tracemalloc.stop()
    assert len(rings.of) <= MOST and sizes[1] < 1.1 * sizes[0]


def test_rings_hold_the_window_in_order_and_late_frames_take_their_place():
    rings = Rings(4)
    for n in (3, 4, 6, 5, 9, 8, 2):  # 2 is older than the window
        rings.push(frame(n, 0, x=float(n)))
    assert rings.of[0].seen(rings.begin, 9).tolist() == [6, 8, 9]
    assert rings.of[0].window(6, 9)[:, 0, 0].tolist() == [6, 0, 8, 9]
    rings.push(frame(13, 1))
    assert list(rings.of) == [1]  # nobody has seen the other for a window


def test_motion_along_a_line_is_the_same_at_any_rate():
    """30 frames of uneven times; the third value is the score, of a joint that is lost now and then."""
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.01, 0.1, 30))
    at = lambda t: np.array([[10 * t, 3 - t, 1.0], [5.0, 5.0, 0.8]])  # noqa: E731
    frames = [Frame(n, t, {0: at(t)} | ({1: at(t)} if n > 10 else {})) for n, t in enumerate(times)]
    made = list(Resampled([*frames[:20], frames[4], *frames[20:]], 25))
    assert [each.number for each in made[1:]] == list(range(made[0].number + 1, int(times[-1] * 25) + 1))
    for each in made[1:]:
        assert each.time == each.number / 25 and each.people[0] == pytest.approx(at(each.time), abs=1e-9)
        assert (1 in each.people) == (each.time >= times[11])


def test_a_pause_is_no_line_and_joints_that_were_lost_are_not_made_up():
    lost = np.array([[9.0, 9.0, 0.0]])
    here = np.array([[1.0, 2.0, 0.9]])
    frames = [Frame(0, 0.0, {0: here}), Frame(1, 0.2, {0: lost}), Frame(2, 5.0, {0: here + 1})]
    made = list(Resampled(frames, 10))
    assert [each.number for each in made] == [0, 1, 2, 50]
    assert made[1].people[0].tolist() == here.tolist() and made[2].people[0].tolist() == lost.tolist()
    again = list(Resampled([frames[2], frames[0]._replace(begins=True)], 10))
    assert [(each.number, each.begins) for each in again] == [(50, False), (0, True)]


def test_a_clock_that_was_set_back_begins_everything_again():
    here = np.array([[1.0, 2.0, 0.9]])
    times = [0.0, 1000.0, *(0.1 * n for n in range(1, 13)), 0.5, 1.3]  # a glitch; one frame out of order
    made = Resampled([Frame(n, t, {0: here}) for n, t in enumerate(times)], 10)
    assert [(each.number, each.begins) for each in made] == [(0, False), (10000, False), (10, True), *(
        (n, False) for n in (11, 12, 13))]  # fmt: skip
    assert made.late == AGAIN - 1 + 1
    backwards = Resampled([Frame(n, -0.1 * n, {0: here}) for n in range(40)], 10)
    assert len(list(backwards)) == 1 and backwards.late == 39


def test_quantiles_of_delays_are_two_per_cent_exact():
    seconds = np.random.default_rng(1).lognormal(-4, 1, 5000)
    delays = Delays()
    for each in seconds:
        delays.add(each)
    for q in (0.5, 0.99, 1.0):
        assert delays.quantile(q) == pytest.approx(np.quantile(seconds, q), rel=0.04)


class Terminal(io.StringIO):
    """Keeps the lines of a screen as a terminal would show them; knows moves up, carriage returns and line ends."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.at = [""], 0

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        for part in re.findall(r"\x1b\[A|\n|\r|[^\x1b\n\r]+", text):
            if part == "\x1b[A":
                self.at -= 1
            elif part == "\n":
                self.at += 1
                self.rows += [""] * (self.at == len(self.rows))
            elif part != "\r":
                self.rows[self.at] = part + self.rows[self.at][len(part) :]
        return len(text)


def test_the_view_of_a_terminal_changes_in_place(monkeypatch):
    monkeypatch.setattr("skeleton_lab.live.view.EVERY", 0)
    monkeypatch.setenv("COLUMNS", "120")
    terminal = Terminal()
    view = View(Screen(terminal))  # as ``guarded`` programs have their stderr
    names = {"wave": 0.7, "si\x1b[2Jt": 0.2}
    top = [{"class": k, "name": name, "probability": p} for k, (name, p) in enumerate(names.items())]
    told = {"frame": 9, "time": 0.3, "label": "wave", "p": 0.7, "top5": top}
    figures = Figures(frames=10, missing=2)
    for people in ((0, 1), (1,)):
        for who in people:
            view.label(told | {"person": who})
        view.tick(figures)
        view.label(told | {"person": 0, "label": None, "p": None, "top5": []})  # has left
    shown = [row.rstrip() for row in terminal.rows]
    assert shown[0].startswith("person 1    [##############......] 0.70 wave; si\\x1b[2Jt 0.20")
    assert ", 2 missing; labels take " in shown[1] and shown[1].endswith("(p99), 0 left out")
    assert len(shown[1]) < 80  # of a usual terminal nothing is cut off
    assert shown[2:] == ["", ""]
    view.say("left out: line 7")
    view.say("a long notice " * 12)
    view.tick(figures)
    shown, before = [row.rstrip() for row in terminal.rows], shown
    assert shown[0] == "left out: line 7" and " ".join(shown[1:3]) == ("a long notice " * 12).strip()
    assert shown[3] == before[0] and "labels take" in shown[4] and set(shown[5:]) == {""}


def test_a_notice_is_said_once_in_a_session():
    """Each window is placed anew; and the size of the image is nothing to a network that has no use for it."""
    points = np.random.default_rng(0).uniform(100, 400, (8, 1, 17, 2)).astype(np.float32)
    points[:, :, 5:7, 1], points[:, :, 11:13, 1] = 100, 300  # upright
    found = Keypoints("person 0", points, np.ones(points.shape[:3], bool))
    told = []
    notices = Said(told.append)
    for _ in range(3):
        notices.add("kind", "", "only once")
        any_skeleton.of_found(
            [found], [None], layouts.layout("coco17"), 3, True, placing.Wish(None, 0.3), notices, "person 0"
        )
    assert told.count("only once") == 1 and not any("size of the image" in line for line in told)
    assert len(told) == len(set(told))


@pytest.mark.parametrize(
    ("usual", "window", "rate", "says"),
    [(76, 16, 30, "--resample 6.32"), (76, 16, 6.3, ""), (64, 64, 30, ""), (None, 16, 30, ""), (64, 64, 10, "30")],
)
def test_frames_as_far_apart_as_those_of_the_training(usual, window, rate, says):
    line = other_rate(Namespace(usual_length=usual, window=window), rate, 30)
    assert (says in line) if says else line == ""
