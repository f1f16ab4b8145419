"""Names and paths that nobody means well with: pipes, control characters, names that leave a folder, laid links."""

from __future__ import annotations

import errno
import json
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from skeleton_lab.baselines import dataset
from skeleton_lab.data.archives import convert
from skeleton_lab.data.archives.opening import open_archive
from skeleton_lab.data.archives.readers.safe_pickle import load
from skeleton_lab.data.preprocessing import programs
from skeleton_lab.data.preprocessing.recordings import listed
from skeleton_lab.data.synthetic.archive import write as synthetic
from skeleton_lab.doctor import __main__ as doctor
from skeleton_lab.doctor.examine import examine
from skeleton_lab.engine.checkpoint import load_tensors
from skeleton_lab.engine.config import yaml_file
from skeleton_lab.errors import ArchiveError, LabError, Screen, guarded, one_line, printable
from skeleton_lab.reporting.viewer import __main__ as view
from skeleton_lab.utils import atomic
from skeleton_lab.utils.atomic import completed, file_names, write_atomically
from skeleton_lab.zero_shot.align.settings import load_json

EVIL = "a\x1b[2Jb\x07\x9bc\u202ed"
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


@pytest.fixture(autouse=True)
def no_hang(tmp_path, monkeypatch):
    monkeypatch.setenv("SKELETON_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def hangs(*_):
        raise AssertionError("it waits")

    signal.signal(signal.SIGALRM, hangs)
    signal.alarm(20)
    yield
    signal.alarm(0)


@pytest.fixture
def pipe(tmp_path) -> Path:
    os.mkfifo(tmp_path / "pipe.npz")
    return tmp_path / "pipe.npz"


READERS = {
    "archive": lambda path: open_archive(path, "train"),
    "doctor": examine,
    "pickle": load,
    "converter": lambda path: convert.convert(path, path.with_name("out.npz")),
    "recordings": listed,
    "configuration": yaml_file.read,
    "weights": load_tensors,
    "settings": load_json,
}


@pytest.mark.parametrize("reader", READERS)
def test_a_pipe_is_refused_at_once(reader, pipe):
    with pytest.raises(LabError, match="named pipe"):
        READERS[reader](pipe)


PROGRAMS = {
    "doctor": lambda path: doctor.main([path]),
    "headers": lambda path: doctor.main([path], doctor=False),
    "converter": lambda path: convert.main(["--input", path, "--output", "out.npz"]),
    "view": lambda path: view.main([path]),
    "prepare": lambda path: programs.prepare(["ntu60", "--raw", path, "--out", "out"]),
    "shapes": lambda path: guarded(lambda: dataset.check(path)),
}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_programs_refuse_what_is_no_file(program, kind, tmp_path, pipe, capsys):
    path = {"pipe": str(pipe), "device": "/dev/zero", "socket": "s"}[kind]
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")
        assert PROGRAMS[program](path) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and kind in line


def test_pipes_as_labels_and_inside_folders(tmp_path, pipe):
    np.save("data.npy", np.zeros((1, 3, 4, 25, 1), np.float32))
    for label in (tmp_path / "l.pkl", tmp_path / "clips/a.json", tmp_path / "ucla/a01_s01_e00_v01.json"):
        label.parent.mkdir(exist_ok=True)
        os.mkfifo(label)
    (tmp_path / "l.json").write_text(json.dumps({"a": {"has_skeleton": True, "label_index": 0}}))
    for path, label in (("data.npy", "l.pkl"), ("clips", "l.json"), ("ucla", None)):
        with pytest.raises(ArchiveError, match="named pipe"):
            open_archive(path, "train", label_path=label)


# --- characters ------------------------------------------------------------------------------------------------------


def test_printable():
    assert printable("déjà vu 走る\tx\n") == "déjà vu 走る\tx\n"
    assert printable(EVIL) == "a\\x1b[2Jb\\x07\\x9bc\\u202ed" and printable("\ud800\udcff") == "\\ud800\\udcff"
    assert one_line(ValueError("a\nb\x1b")) == "a b\\x1b"


def evil_archives(folder: Path) -> list[Path]:
    x = np.random.rand(2, 3, 9, 25, 2).astype(np.float32)
    made = [
        folder / f"{EVIL}.npz",
        folder / "member.npz",
        folder / "names.pkl",
        folder / "named.npz",
        folder / "split.pkl",
    ]
    np.savez(made[0], x_train=x, y_train=np.arange(2))
    np.savez(made[1], x_train=x, y_train=np.arange(2), **{EVIL: x})
    clips = [{"frame_dir": EVIL, "total_frames": 9, "label": 1, "keypoint": np.zeros((0, 9, 25, 3), np.float32)}]
    clips += [{"frame_dir": "b", "total_frames": 9, "label": 1, "keypoint": x[0].transpose(3, 1, 2, 0)}]
    made[2].write_bytes(pickle.dumps({"split": {"train": [EVIL, "b"], f"all{EVIL}": []}, "annotations": clips}))
    np.savez(made[3], x_train=np.full_like(x, np.nan), y_train=np.arange(2), name_train=np.array([EVIL, "b"]))
    split = {f"{EVIL}_train": ["b"], "c_train": ["b"]}
    made[4].write_bytes(pickle.dumps({"split": split, "annotations": clips}))
    return made


@pytest.mark.parametrize("program", PROGRAMS)
def test_control_characters_never_reach_the_terminal(program, tmp_path, capfd):
    for path in evil_archives(tmp_path):
        PROGRAMS[program](str(path))
        out, err = capfd.readouterr()
        bars = re.sub(r"(?m)^\r.*?$|\x1b\[A", "", err) if "it/s" in err or "clips" in err else err
        assert not RAW.search(out), (path, out)
        assert not RAW.search(bars.replace("\r", "")), (path, err)
    capfd.readouterr()


def test_the_logger_and_prints_are_clean(capsys, caplog):
    import logging

    logging.getLogger("skeleton_lab").warning("%s is here", EVIL)
    assert not RAW.search(caplog.text)
    assert guarded(lambda: print(EVIL, "\ud800")) == 0
    assert guarded(lambda: print(EVIL, file=sys.stderr)) == 0
    out, err = capsys.readouterr()
    assert out == printable(f"{EVIL} \ud800\n") and err == printable(f"{EVIL}\n")


def test_bars_pass_the_screen(capsys):
    from tqdm import tqdm

    screen = Screen(sys.stdout)
    with tqdm(total=3, file=screen, ncols=60) as outer, tqdm(total=2, file=screen, ncols=60, position=1) as inner:
        outer.update(), inner.update()
    assert "\\r" not in capsys.readouterr().out


# --- what the machine refuses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5000 + ".npz", "\udcff\udcfe.npz", "gone/a.npz"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_names_that_no_file_has(program, name, capsys):
    assert PROGRAMS[program](name) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and line.isascii()


@pytest.mark.parametrize("error", [
    MemoryError(), np.zeros, torch.zeros, OSError(28, "No space left on device"),
    FileNotFoundError(2, "No such file", "gone.npz"), ValueError("embedded null byte"),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
])  # fmt: skip
def test_errors_of_the_machine_are_one_line(error, capsys):
    def program():
        if callable(error):
            error(1 << 48)
        raise error

    assert guarded(program) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError("a bug"), TypeError(), KeyError("x")])
def test_bugs_keep_their_traceback(error):
    def program():
        raise error

    with pytest.raises(type(error)):
        guarded(program)


def test_an_archive_that_vanishes(tmp_path):
    synthetic(tmp_path / "a.npz", train=4, test=4, classes=2, frames=20, progress=False)
    clips = open_archive(tmp_path / "a.npz", "train")
    (tmp_path / "a.npz").unlink()
    assert guarded(lambda: clips.lengths(np.arange(4))) == 2


# --- files made of names ---------------------------------------------------------------------------------------------


def openpose(names: list[str]) -> Path:
    clips = [
        {"frame_dir": name, "total_frames": 4, "label": 0, "keypoint": np.ones((1, 4, 18, 2), np.float32),
         "keypoint_score": np.ones((1, 4, 18), np.float32)} for name in names
    ]  # fmt: skip
    path = Path("in.pkl").absolute()
    path.write_bytes(pickle.dumps({"split": {"train": names}, "annotations": clips}))
    return path


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/b", "..", ".", "", "a\x00b", "a\x1b", "x" * 260, "a\\b"])
def test_no_file_leaves_the_folder(name, tmp_path, capsys):
    source = openpose(["good", name])
    assert convert.main(["--input", str(source), "--output", "deep/out", "--to", "kinetics", "--quiet"]) == 2
    assert "clip name" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.json"))  # nothing at all, also not the good one


def test_equal_names_are_refused(tmp_path):
    x = np.random.rand(2, 3, 4, 18, 1).astype(np.float32)
    np.savez("a.npz", x_train=x, y_train=np.arange(2), name_train=np.array(["same", "same"]))
    with pytest.raises(ArchiveError, match="two clips are called same"):
        convert.convert("a.npz", "out", to="kinetics", joints=18)
    assert not Path("out").exists()
    assert file_names(["a", "b"], ".json", "x") == ["a.json", "b.json"]


# --- temporary files -------------------------------------------------------------------------------------------------


def test_a_laid_link_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("text")
    for name in (".a.bin.tmp", ".a.bin.part"):
        (tmp_path / name).symlink_to(tmp_path / "precious")
    assert write_atomically(tmp_path / "a.bin", lambda file: file.write(b"new")).read_bytes() == b"new"
    (tmp_path / "a.bin").unlink()
    (tmp_path / "a.bin").symlink_to(tmp_path / "precious")  # the result replaces a link, it is not written through it
    write_atomically(tmp_path / "a.bin", lambda file: file.write(b"new"))
    assert (tmp_path / "precious").read_text() == "text" and not (tmp_path / "a.bin").is_symlink()


def test_temporary_names_are_random_and_short(tmp_path):
    seen = set()
    for _ in range(3):
        with completed(tmp_path / ("é" * 120)) as file:
            seen.add(Path(file.name).name)
    assert len(seen) == 3 and all(re.fullmatch(r"\.é+\.lab-[0-9a-f]{16}\.tmp", name) for name in seen)
    assert [path.name for path in tmp_path.iterdir()] == ["é" * 120]


def test_rights_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    write_atomically(tmp_path / "a", lambda file: file.write(b""))
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_a_killed_process_left_is_removed_and_a_living_one_is_not_disturbed(tmp_path):
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom skeleton_lab.utils.atomic import write_atomically\n"
        "def write(file):\n    file.write(b'x'); file.flush(); print('begun', flush=True); time.sleep(60)\n"
        "write_atomically(Path('slow.bin'), write)\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        assert [process.stdout.readline() for process in both] == ["begun\n", "begun\n"]
        assert len(list(tmp_path.glob(".*.tmp"))) == 2
        both[0].kill(), both[0].wait()
        os.mkfifo(".x.lab-0123456789abcdef.tmp")  # nobody's temporary file: left alone, not opened
        atomic._cleaned.discard(tmp_path.absolute())
        write_atomically(Path("other.bin"), lambda file: file.write(b"y"))
        assert len([path for path in tmp_path.glob(".slow.*.tmp")]) == 1
    finally:
        for process in both:
            process.kill(), process.wait()


def test_a_disk_that_is_full_is_told_by_the_name_of_the_file(tmp_path, capsys):
    """What was there before stays, and nothing half-written does."""
    path = tmp_path / "net.onnx"
    path.write_bytes(b"earlier")

    def fill(file):
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert guarded(lambda: write_atomically(path, fill)) == 2
    assert capsys.readouterr().err == f"error: {path}: No space left on device\n"
    assert path.read_bytes() == b"earlier" and [each.name for each in tmp_path.iterdir()] == ["net.onnx"]
