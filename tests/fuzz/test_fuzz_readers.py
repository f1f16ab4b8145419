"""Every reader against damaged, malicious and random files; ``python -m tests.fuzz`` tries more of them."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from places import ROOT

from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.data.archives.readers import safe_pickle
from skeleton_lab.engine.config import yaml_file
from skeleton_lab.errors import ArchiveError, LabError, UsageError
from tests.fuzz import __main__ as fuzz
from tests.fuzz import pickled, programs, words
from tests.fuzz import readers as known

INPUTS = 2000


@pytest.mark.slow
def test_thousands_of_inputs_are_read_or_refused():
    tally = fuzz.run(INPUTS, 20, 2, show=False)
    assert tally.findings == []
    assert sum(counts.total() for counts in tally.counts.values()) == INPUTS
    assert set(tally.counts) == {reader.name for reader, _ in known.readers()}
    for name, counts in tally.counts.items():
        assert counts["refused"] > 0.4 * counts.total(), name
    assert sum(counts["read"] for counts in tally.counts.values()) > 0.03 * INPUTS


def test_the_seeds_are_valid(tmp_path, monkeypatch):
    """Else the inputs would all fail at the same first check."""
    monkeypatch.setenv("SKELETON_LAB_CACHE", str(tmp_path))
    for number, (reader, files) in enumerate(known.readers()):
        for k, data in enumerate(files):
            place = tmp_path / f"{number}-{k}"
            place.mkdir()
            reader.use(place, data)


def test_an_input_is_known_by_its_number():
    for number in range(60):
        assert known.content(number, 3)[1] == known.content(number, 3)[1]
    assert any(known.content(number, 3)[1] != known.content(number, 4)[1] for number in range(20))


# --- what people type and what runs leave behind --------------------------------------------------------------------


@pytest.mark.slow
def test_configurations_flags_scores_weights_and_checkpoints():
    """Each is understood, or refused with exit code 2 and one printable line."""
    tally = fuzz.run(420, 20, 2, show=False, group="programs")
    assert tally.findings == []
    assert set(tally.counts) == {reader.name for reader, _ in known.readers("programs")}
    kinds = ("configuration", "flags", "scores", "evaluation", "fitting weights", "last.ckpt")
    assert all(any(name.startswith(kind) for name in tally.counts) for kind in kinds)
    assert all(counts["refused"] for counts in tally.counts.values())
    assert sum(counts["read"] for counts in tally.counts.values()) > 0.03 * 420


@pytest.mark.slow
def test_the_seeds_of_the_programs_are_valid(tmp_path):
    for number, (reader, files) in enumerate(known.readers("programs")):
        for k, data in enumerate(files):
            place = tmp_path / f"{number}-{k}"
            place.mkdir()
            reader.use(place, data)


def test_an_input_of_a_program_is_known_by_its_number():
    for number in range(42):
        assert known.content(number, 3, "programs")[1] == known.content(number, 3, "programs")[1]
    assert len({known.content(number, seed, "programs")[1] for number in range(21) for seed in (3, 4)}) > 30


def _said(text: str, code: int):
    def program() -> int:
        sys.stderr.write(text)
        return code

    return program


@pytest.mark.parametrize("text, code", [("error: a\nerror: b\n", 2), ("", 2), ("error: a\n", 1), ("", 3)])
def test_an_end_that_no_program_should_have_is_seen(text, code):
    with pytest.raises(AssertionError):
        programs.ended(_said(text, code))


def test_an_end_in_order():
    with pytest.raises(UsageError, match=r"error: \\x1b\[31m"):  # control characters do not get out of ``guarded``
        programs.ended(_said("error: \x1b[31m\n", 2))
    assert programs.ended(_said("a warning\n", 0)) is None
    with pytest.raises(UsageError, match="error: a"):
        programs.ended(_said("error: a\n", 2))
    with pytest.raises(KeyError):
        programs.ended(lambda: {}["x"])


def test_command_lines_survive_as_bytes():
    line = ["--config", "a b", "é\ud800", "", "-1"]
    assert words.parted(words.joined(line)[:13]) == ["--config", "a b", ""]
    assert words.parted(words.joined(["--a", "b=1"])) == ["--a", "b=1"]


# --- what the program finds, where there is something to find ------------------------------------------------------


def _bad(_folder: Path, data: bytes) -> None:
    kind = data[0] % 6
    if kind == 0:
        raise KeyError("a reader's own fault")
    if kind == 1:
        raise LabError("")
    if kind == 2:
        while True:
            pass
    if kind == 3:
        np.ones(1 << 30, np.uint8)  # far above the limit: in a long process some of it is taken from freed memory
    if kind == 4:
        raise LabError("in order")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is told by /proc")
def test_every_kind_of_fault_is_seen(tmp_path, monkeypatch):
    import signal

    def slow(*_):
        raise fuzz.Slow

    made = iter(bytes([kind]) for kind in range(6))
    monkeypatch.setattr(fuzz, "content", lambda *_: (known.Reader("bad", (), _bad), next(made)))
    monkeypatch.setattr(fuzz, "SLOW", 0.5)
    before = signal.signal(signal.SIGPROF, slow)
    try:
        outcomes = [fuzz.attempt(k, 0, tmp_path) for k in range(6)]
    finally:
        signal.signal(signal.SIGPROF, before)
    assert [kind for kind, _ in outcomes] == ["exception", "long message", "hang", "memory", "refused", "read"]
    assert "KeyError" in outcomes[0][1] and "test_fuzz_readers.py" in outcomes[0][1]
    tally = fuzz.Tally()
    for k, (kind, about) in enumerate(outcomes):
        tally.add(k, "bad", kind, about)
    assert [finding[0] for finding in tally.findings] == [0, 1, 2, 3]
    assert tally.text().splitlines()[-1].split() == ["all", "6", "1", "1", "1", "1", "1", "1", "0"]


WORKER = """
import sys
number, step, stop = int(sys.argv[-4]), int(sys.argv[-3]), int(sys.argv[-2])
import json, os, time
for k in range(number, stop, step):
    if k == 2:
        os._exit(9)
    if k == 4:
        time.sleep(60)
    print(json.dumps([k, "x", "read", ""]), flush=True)
"""


@pytest.mark.slow
def test_a_worker_that_dies_or_is_stuck_is_a_finding_and_the_next_goes_on(tmp_path, monkeypatch):
    program = tmp_path / "worker.py"
    program.write_text(WORKER)
    start = subprocess.Popen
    monkeypatch.setattr(fuzz, "STUCK", 0.5)
    monkeypatch.setattr(
        subprocess, "Popen", lambda words, **rest: start([sys.executable, str(program), *words[-4:]], **rest)
    )
    found = {number: outcome for number, _, outcome, _ in fuzz.results(7, 0, 0, 1)}
    assert found == {0: "read", 1: "read", 2: "crash", 3: "read", 4: "hang", 5: "read", 6: "read"}


@pytest.mark.slow
def test_the_program_ends_with_a_table(tmp_path):
    flags = ["--inputs", "40", "--jobs", "1", "--quiet", "--kinds", "files"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *flags],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "exception" in done.stdout.splitlines()[0] and "40 inputs in" in done.stdout and "0 findings" in done.stdout


# --- what fuzzing has found ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [b"\x96", b"\x8e", b"\x8d", b"\x95"])
def test_a_length_in_a_pickle_makes_no_room(opcode, tmp_path):
    """BYTEARRAY8, BINBYTES8, BINUNICODE8, FRAME of an exbibyte: refused before anything is allocated."""
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04" + opcode + (2**60).to_bytes(8, "little") + b"x.")
    with pytest.raises(ArchiveError):
        safe_pickle.load(tmp_path / "a.pkl")


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_every_protocol_are_read_in_pieces_of_any_size(protocol, tmp_path):
    content = {"a": np.arange(50_000.0), "b": "é" * 70_000, "c": [b"x" * 70_000, 1.5, None]}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    got = safe_pickle.load(tmp_path / "a.pkl")
    assert np.array_equal(got["a"], content["a"]) and (got["b"], got["c"]) == (content["b"], content["c"])


def test_pickled_arrays_come_back_as_pickle_itself_gives_them(tmp_path):
    content = [
        np.ones((2, 3), "f2"), np.asfortranarray(np.eye(3)), np.zeros((0, 3)), np.array(3), np.array(["ab", "c"]),
        np.array([b"x"]), np.ones(2, ">f4"), np.array(["a", None], object), np.float32(2), np.ones(2, bool),
    ]  # fmt: skip
    for protocol in range(6):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
        for ours, theirs in zip(safe_pickle.load(tmp_path / "a.pkl"), pickle.loads((tmp_path / "a.pkl").read_bytes())):
            assert np.array_equal(ours, theirs) and ours.dtype == theirs.dtype


def test_a_state_that_would_crash_numpy_is_refused(tmp_path):
    """The flags of a number type that say that it holds objects: NumPy takes bytes for addresses."""
    good = pickle.dumps(np.arange(6, dtype="f4"), protocol=4)
    flags = b"NJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"
    assert flags in good
    (tmp_path / "a.pkl").write_bytes(good.replace(flags, flags[:-2] + b"\x3ft"))
    with pytest.raises(ArchiveError, match="a state that no"):
        safe_pickle.load(tmp_path / "a.pkl")


@pytest.mark.parametrize("place", ["frame_dir", "total_frames", "label", "keypoint"])
def test_a_list_that_doubles_is_not_walked(place, tmp_path):
    """Sixty lists in a few hundred bytes: 2**60 entries for whoever writes them out."""
    clip = {"frame_dir": "a", "label": 0, "total_frames": 2, "keypoint": np.ones((1, 2, 25, 3), "f4")}
    content = {"split": {"xsub_train": ["a"]}, "annotations": [clip | {place: pickled.bomb()}]}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ArchiveError):
        open_archive(tmp_path / "a.pkl", "train", cache_dir=tmp_path / "cache")


def test_anchors_that_multiply_are_refused(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 30)]
    (tmp_path / "a.yaml").write_text("\n".join(lines))
    with pytest.raises(UsageError, match="anchors"):
        yaml_file.read(tmp_path / "a.yaml")


def test_brackets_in_a_configuration_are_not_endless(tmp_path):
    (tmp_path / "a.yaml").write_text("a: " + "[" * 5000)
    with pytest.raises(UsageError, match="nested more than 50 deep"):
        yaml_file.read(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("a: " + "[" * 40 + "]" * 40)
    assert yaml_file.read(tmp_path / "b.yaml")["a"] is not None


def test_a_message_does_not_quote_a_whole_file():
    error = ArchiveError("file.npz: " + "x" * 100_000 + " is wrong")
    assert len(str(error)) < 1600 and str(error).startswith("file.npz: xx") and str(error).endswith("is wrong")
    assert str(ArchiveError("short")) == "short"
