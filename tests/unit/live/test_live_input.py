"""Lines of many forms become frames; files that grow, pipes and datagrams are read as they come."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from live_sessions import STAND, dancers, line, lines, live

from skeleton_lab.errors import UsageError
from skeleton_lab.inference.keypoints import normalise
from skeleton_lab.live import sources
from skeleton_lab.live.reading import FAR, Reader, written
from skeleton_lab.live.said import Said
from skeleton_lab.live.sources import LONGEST, Lines


def reader(keypoints: str | None = "coco17", **more) -> Reader:
    choose = lambda V, where: normalise.scheme_of(keypoints, V, where)  # noqa: E731
    return Reader(choose, 0.3, 30.0, "the stream", Said(lambda line: print(line, file=sys.stderr)), **more)


def read(*content, keypoints: str | None = "coco17"):
    made = reader(keypoints)
    texts = (each if isinstance(each, (str, bytes)) else json.dumps(each) for each in content)
    frames = list(made.frames(each.encode() if isinstance(each, str) else each for each in texts))
    return frames, made


FLAT = np.concatenate([STAND, np.full((17, 1), 0.9)], 1).round(2)
ULTRALYTICS = [{"name": "person", "track_id": 4, "keypoints": {
    "x": FLAT[:, 0].tolist(), "y": FLAT[:, 1].tolist(), "visible": FLAT[:, 2].tolist()}}]  # fmt: skip
FORMS = {
    "documented": {"frame": 7, "time": 0.5, "people": [{"id": 4, "keypoints": FLAT.tolist()}]},
    "flat": {"frame": 7, "time": 0.5, "people": [{"id": 4, "keypoints": FLAT.ravel().tolist()}]},
    "OpenPose": {"frame_id": 7, "people": [{"person_id": [4], "pose_keypoints_2d": FLAT.ravel().tolist()}]},
    "MMPose": {"frame_id": 7, "instances": [
        {"track_id": 4, "keypoints": FLAT[:, :2].tolist(), "keypoint_scores": FLAT[:, 2].tolist()}]},
    "AlphaPose": {"image_id": "frame_0007.jpg", "idx": 4, "keypoints": FLAT.ravel().tolist()},
    "Ultralytics": ULTRALYTICS,
    "Ultralytics, as text": json.dumps(ULTRALYTICS),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_line_of_each_form_is_the_same_frame(form):
    (frame,), made = read(FORMS[form])
    assert made.bad == 0 and frame.scored and made.scheme.name == "coco17"
    assert list(frame.people) == [4] and frame.people[4] == pytest.approx(FLAT)
    told = "Ultralytics" not in form
    assert frame.number == (7 if told else 0) and frame.time == (
        0.5 if form in ("documented", "flat") else 7 * told / 30
    )


def test_landmarks_of_mediapipe_have_depth_and_a_score():
    landmarks = [{"x": k / 40, "y": -k / 50, "z": 0.1, "visibility": 0.5} for k in range(33)]
    (frame,), _ = read({"frame": 3, "pose_world_landmarks": landmarks}, keypoints=None)
    assert frame.people[0].shape == (33, 4) and frame.people[0][5].tolist() == [0.125, -0.1, 0.1, 0.5]


def test_lines_that_cannot_be_read_are_counted_and_the_first_is_told(capsys):
    good = FORMS["documented"]
    bad = ["{", "[1, 2]", '"walk"', "[" * 100_000, {"frame": 8, "people": [{"keypoints": [[1, 2, 3]]}]}, b"\xff\xfe",
           {"frame": 8, "time": "noon", "people": []}, {"frame": 8, "people": [{"keypoints": [[1e300, 2, 1]] * 17}]},
           {"frame": 8, "people": [{"keypoints": np.zeros((17, 4)).tolist()}]}, "7"]  # fmt: skip
    frames, made = read(good, *bad, {**good, "frame": 9})
    assert [frame.number for frame in frames] == [7, 9] and made.bad == len(bad) and made.lines == len(bad) + 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and told[0].startswith("left out: the stream, line 2: ")


def test_numbers_and_times_that_no_clock_has_are_bad_lines():
    people = FORMS["documented"]["people"]
    bad = [{"frame": n, "people": people} for n in (10**16, -(10**16), 2**63, 1e300, 7.5, "9" * 20)]
    bad += [{"frame": 8, "time": t, "people": people} for t in (1e300, -1e16, 10**400, float("nan"), float("inf"))]
    frames, made = read(FORMS["documented"], *bad, {"frame": 9, "time": 1.7e12, "people": people})
    assert [frame.number for frame in frames] == [7, 9] and made.bad == len(bad)


def test_new_numbers_in_a_crowd_continue_nobody_who_has_one():
    crowd = lambda t: [{"id": 50 * t + k, "keypoints": FLAT.tolist()} for k in range(50)]  # noqa: E731
    apart = [{"frame": t, "people": crowd(t)} for t in (0, 1)]
    unnamed = {"frame": 2, "people": [{"keypoints": FLAT.tolist()}, {"id": 999, "keypoints": FLAT.tolist()}]}
    frames, _ = read(*apart, unnamed)
    assert [set(frame.people) for frame in frames[:2]] == [set(range(50)), set(range(50, 100))]
    assert 999 in frames[2].people and len(frames[2].people) == 2


def test_the_wrong_skeleton_ends_it_at_once():
    with pytest.raises(UsageError, match="17 joints per person, --keypoints body25 has 25"):
        read(FORMS["documented"], keypoints="body25")


def test_people_without_numbers_are_followed_and_who_has_one_keeps_it():
    clip = dancers(40, people=2)
    unnamed = [
        {"frame": t, "people": [{"keypoints": x.tolist()} for x in clip[t][:: 1 if t % 2 else -1]]} for t in range(40)
    ]
    frames, _ = read(*unnamed)
    for t, frame in enumerate(frames):
        assert {id: round(float(x[:, 0].mean())) // 200 for id, x in frame.people.items()} == {1: 1, 0: 2}, t
    gone = [
        {"frame": t, "people": [{"id": 9, "keypoints": clip[0, 0].tolist()}] * (t not in range(3, 60))}
        for t in range(62)
    ]
    frames, _ = read(*gone)
    assert [list(frame.people) for frame in frames if frame.people] == [[9]] * 5


def test_numbers_of_frames_count_on_where_none_are_told_and_begin_again():
    people = FORMS["documented"]["people"]
    frames, made = read({"people": people}, {"people": people}, {"frame": 900, "people": []}, [],
                        *({"frame": n, "people": people} for n in range(12)))  # fmt: skip
    assert [frame.number for frame in frames] == [0, 1, 900, 901, 9, 10, 11] and made.old == 9
    assert [frame.begins for frame in frames] == [False] * 4 + [True, False, False]
    assert FAR < 901 - 12


def test_what_is_recorded_is_read_as_the_same_frame():
    given = [*FORMS.values(), {"frame": 8, "people": [{"keypoints": FLAT[:, :2].tolist()}]}]
    for each in given:
        (frame,), _ = read(each)
        (again,), _ = read(written(frame, True))
        assert again._replace(arrived=0, people={}) == frame._replace(arrived=0, people={}, asked=True)
        assert all(np.array_equal(again.people[id], x) for id, x in frame.people.items()) and frame.people
    three = np.random.default_rng(0).normal(size=(25, 3))
    three[3] = np.nan
    (frame,), _ = read({"people": [{"keypoints": np.where(np.isnan(three), None, three).tolist()}]}, keypoints="ntu25")
    (again,), _ = read(written(frame, False), keypoints="ntu25")
    assert again.people[0].tobytes() == frame.people[0].tobytes() and again.asked is False


# --- where lines come from ---------------------------------------------------------------------------------------


def test_lines_are_put_together_and_one_that_is_too_long_is_cut():
    found = Lines()
    text = b'{"a": 1}\n' + b"x" * (3 * LONGEST) + b'\n{"b": 2}\n{"c": 3}'
    pieces = [text[k : k + 60_001] for k in range(0, len(text), 60_001)]
    made = [line for piece in pieces for line in found.add(piece)] + list(found.end())
    assert made == [b'{"a": 1}', b"x" * 80, b'{"b": 2}', b'{"c": 3}']


def test_a_pipe_is_read_to_its_end():
    out, into = os.pipe()
    found = sources.piped(out, Lines())
    os.write(into, b"one\ntw")
    assert next(found) == b"one" and next(found) is None
    os.write(into, b"o\nthree")
    os.close(into)
    assert [each for each in found if each is not None] == [b"two", b"three"]
    os.close(out)


def test_a_file_is_followed_while_it_grows_is_cut_and_is_replaced(tmp_path):
    path = tmp_path / "frames.jsonl"
    path.write_bytes(b"one\ntw")
    found = sources.written(path, Lines(), follow=True)
    following = lambda: [each for each in (next(found) for _ in range(6)) if each is not None]  # noqa: E731
    assert following() == [b"one"]
    with open(path, "ab") as file:
        file.write(b"o\n")
    assert following() == [b"two"]
    path.write_bytes(b"3\n")  # shorter than what was read
    assert following() == [b"3"]
    path.rename(tmp_path / "frames.1")
    assert following() == []
    path.write_bytes(b"four\n")
    assert following() == [b"four"]


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_datagrams_come_from_this_machine_alone_unless_it_is_asked_for():
    port = free_port()
    found = sources.datagrams(port)
    with open("/proc/net/udp") as file:
        listening = [row.split()[1] for row in file.readlines()[1:] if row.split()[1].endswith(f":{port:04X}")]
    assert listening == [f"0100007F:{port:04X}"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"one\ntwo\n", ("127.0.0.1", port))
        got = []
        while len(got) < 2:
            each = next(found)
            got += [each] if each else []
    assert got == [b"one", b"two"]
    with pytest.raises(UsageError, match=f"--udp {port}: cannot listen on 127.0.0.1: Address already in use"):
        sources.datagrams(port)
    found.close()


@pytest.mark.slow
def test_the_program_listens_until_nothing_comes(tmp_path, capsys, monkeypatch):
    """UDP, with a notice of what was missing on the way."""
    from live_sessions import network

    net, port = network(tmp_path), free_port()
    clip = lines(dancers(30))

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for n, text in enumerate(clip):
                if n != 11:
                    sender.sendto(text.encode(), ("127.0.0.1", port))
                time.sleep(0.002)

    from skeleton_lab.live.session import Session

    begin = Session.run
    monkeypatch.setattr(
        Session, "run", lambda self, frames: (threading.Thread(target=send).start(), begin(self, frames))
    )
    words = ["stgcn", "--weights", net.weights, "--udp", port, "--idle", 1, "--no-skip", "--every", 8, "--view"]
    status, labels, said = live([*words, "--output", tmp_path / "labels.jsonl"], capsys)
    assert status == 0 and labels == []
    found = [json.loads(each) for each in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert [each["frame"] for each in found] == [7, 15, 23] and found[0]["time"] == pytest.approx(7 / 30, abs=1e-6)
    assert "29 frames (1 missing), 3 labels" in said and "person 0: " in said


@pytest.mark.parametrize("words, told", {
    "--input nowhere.jsonl": "--input nowhere.jsonl: there is no such file",
    "--input .": "--input . is no file",
    "--udp 0": "--udp 0: a port is 1 to 65535",
    "--udp 5005 --input a": "--udp takes the place of --input and --follow: leave one out",
    "--follow": "--follow is for a file: name it with --input",
    "--host 0.0.0.0": "--host is for --udp",
    "--udp 5005 --host no.such.name.invalid": "--host no.such.name.invalid: ",
    "--every 0": "--every must be at least 1, not 0",
    "--window 0": "--window 0: frames, from 1 to 10000",
    "--window 20 --least 21": "--least 21: frames, from 1 to 20",
    "--threshold 2": "--threshold 2 is a probability, from 0 to 1",
    "--smooth -1": "--smooth -1 must be seconds from 0 to 3600",
    "--fps 0": "--fps 0 must be above 0 and at most 1000",
    "--idle nan": "--idle nan must be seconds, more than 0",
    "--output no/folder.jsonl": "--output no/folder.jsonl : there is no folder no",
    "--record there.jsonl": "--record there.jsonl is there already, and nothing is written over it: name another file",
    "--output one.jsonl --record one.jsonl": "--record one.jsonl is --output, too: name another file",
    "--output one.jsonl --stats ./one.jsonl": "--stats one.jsonl is --output, too: name another file",
    "--up y --score -1": "--score -1 must be 0 or more",
    "--camra 0": "unrecognized arguments: --camra 0",
}.items())  # fmt: skip
def test_mistakes_are_one_line(words, told, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.jsonl").write_text("1\n")
    status, labels, said = live(["stgcn", "--weights", "w.pt", *words.split()], capsys)
    assert status == 2 and labels == [] and said.startswith(f"error: {told}") and said.count("\n") == 1
    assert (tmp_path / "there.jsonl").read_text() == "1\n"


def test_a_full_disk_is_one_line_that_names_the_file(tmp_path, capsys):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    from live_sessions import network

    net, frames = network(tmp_path), tmp_path / "frames.jsonl"
    frames.write_text("\n".join(lines(dancers(30))))
    for flag in ("--output", "--record"):
        status, _, said = live(["stgcn", "--weights", net.weights, "--input", frames, flag, "/dev/full"], capsys)
        assert status == 2 and said.splitlines()[-1] == "error: /dev/full: No space left on device"


def test_rooms_and_files_that_cannot_be_are_one_line(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text(line(0, {0: FLAT}))
    for room, told in {
        "nowhere": "there is no room 'nowhere'",
        "FS-VAE": "trains on features",
        "stgcn": "w.pt",
    }.items():
        status, _, said = live([room, "--weights", tmp_path / "w.pt", "--input", tmp_path / "a.jsonl"], capsys)
        assert status == 2 and said.startswith("error: ") and told in said and said.count("\n") == 1
