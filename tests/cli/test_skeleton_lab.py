"""``skeleton-lab``: one command for every program, from any folder; its table, its errors, its completion; and that
asking a program for help loads nothing heavy."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from places import ROOT

from skeleton_lab import cli, registry
from skeleton_lab.cli import VERBS, main

SUPERVISED = [room for room in registry.ROOMS if room.program]
COMMAND = [sys.executable, "-m", "skeleton_lab"]
HEAVY = {"torch", "lightning", "lightning_fabric", "matplotlib"}
# PyTorch is what they are about
TIMERS = tuple(f"benchmarks/{name}.py" for name in ("training_step", "zero_shot_step", "kernels", "memory", "forecast"))
STARTS = re.compile(r"^if __name__ == .__main__.:", re.MULTILINE)
TRACKED = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True).stdout.split()
PROGRAMS = [
    name
    for name in TRACKED
    if not name.startswith(("tests/", "docker/", "findings/", *TIMERS)) and STARTS.search((ROOT / name).read_text())
]


def lab(*words: object, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run([*COMMAND, *map(str, words)], cwd=folder, capture_output=True, text=True, timeout=300)


def test_without_words_it_shows_every_verb_once(capsys):
    assert main([]) == 0
    said = capsys.readouterr().out
    for verb in VERBS:
        assert len(re.findall(rf"^  {verb}(?![\w-])", said, re.MULTILINE)) == 1
    assert "CTR-GCN" in said


@pytest.mark.parametrize(
    "words, hint",
    [
        (["trian", "ctrgcn"], "Did you mean 'train'?"),
        (["train", "CTR-GNC"], "Did you mean 'CTR-GCN'?"),
        (["train"], "name a room: CTR-GCN"),
        (["predict", "--weights", "x.pt"], "name a room"),
        (["ensemble", "fsvae"], "room FS-VAE has no 'ensemble'"),
        (["convert", "--inptu", "x"], "--input"),
        (["--completion", "fish"], "bash"),
        (["train", "ctrgcn", "--config", "8gb.yaml"], "mean 'config/nturgbd-cross-subject/8gb.yaml'?"),
        (["train", "stgcn", "--config=config/st_gcn/ntu-xsub/trian.yaml"], "mean 'config/st_gcn/ntu-xsub/train.yaml'?"),
    ],
)
def test_a_mistake_is_one_line(words, hint, capsys, monkeypatch):
    try:
        code = main(words)
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr().err
    assert code == 2 and said.count("\n") == 1 and said.startswith("error: ") and hint in said


@pytest.fixture
def started(monkeypatch):
    """What would be started, instead of starting it."""
    seen = {}
    path = list(sys.path)
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(
        cli.runpy, "run_path", lambda file, run_name: seen.update(file=Path(file), name=run_name, argv=list(sys.argv))
    )
    yield seen
    sys.path[:] = path


@pytest.mark.parametrize("room", SUPERVISED, ids=lambda room: room.image)
def test_a_rooms_own_configuration_is_the_default(room, started, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (room.folder, room.image.upper()):
        assert main(["test", name, "--weights", "w.pt"]) == 0
        assert started["file"] == room.path / "main.py" and started["name"] == "__main__"
        words = started["argv"][1:]
        assert words[words.index("--config") + 1] == str(room.path / room.config)
        assert words[words.index("--phase") + 1] == "test"
        assert ("--work-dir" in words) == ("work_dir:" not in (room.path / room.config).read_text())


def test_words_in_front_of_the_flags_stay_there(started, tmp_path, monkeypatch):
    """ST-GCN's published ``main.py recognition ...``."""
    monkeypatch.chdir(tmp_path)
    for rest in ([], ["--device", "cpu"]):
        assert main(["train", "stgcn", "recognition", *rest]) == 0
        assert started["argv"][1:3] == ["recognition", "--config"] and started["argv"][4 : 4 + len(rest)] == rest


@pytest.mark.parametrize("form", [["--config", "{}"], ["--config={}"], ["-c", "{}"], ["-c{}"]])
def test_configurations_are_found_here_first_and_then_in_the_room(form, started, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    room = registry.find("ctrgcn")
    words = [word.format(room.config) for word in form]
    main(["train", "ctrgcn", *words])
    assert str(room.path / room.config) in started["argv"]
    mine = tmp_path / room.config
    mine.parent.mkdir(parents=True)
    mine.write_text("model: model.ctrgcn.Model\n")
    main(["train", "ctrgcn", *words])
    assert room.config in started["argv"][2] + started["argv"][1] and str(room.path) not in " ".join(
        started["argv"][1:]
    )
    assert started["argv"][-2:] == ["--work-dir", "work_dir/ctrgcn"]
    main(["train", "ctrgcn", *words, "-w", "elsewhere"])
    assert "work_dir/ctrgcn" not in started["argv"]


def test_a_prediction_takes_the_configuration_of_the_weights_run(started, tmp_path, monkeypatch):
    """What the network is like says the config.yaml beside them; a training or a test starts from the room's own."""
    monkeypatch.chdir(tmp_path)
    own, published = tmp_path / "run" / "config.yaml", registry.find("ctrgcn")
    own.parent.mkdir()
    own.write_text("model: model.ctrgcn.Model\n")
    words = ["ctrgcn", "--weights", "run/runs-1-2.pt"]
    for verb, config in (("predict", "run/config.yaml"), ("test", str(published.path / published.config))):
        assert main([verb, *words]) == 0
        assert started["argv"][started["argv"].index("--config") + 1] == config
    own.unlink()
    assert main(["predict", *words]) == 0
    assert started["argv"][started["argv"].index("--config") + 1] == str(published.path / published.config)


def test_zero_shot_rooms_train_by_their_own_script(started):
    main(["test", "msf-gzssar", "--ntu", "60"])
    assert started["file"] == registry.find("MSF-GZSSAR").path / "train.py"
    assert started["argv"][1:] == ["--ntu", "60", "--mode", "eval"]


@pytest.mark.slow
def test_train_test_and_predict_from_any_folder(root, tmp_path):
    """From a folder that is no room: data, work dir and results as named from there."""
    shutil.copy(root / "data" / "NTU60_CS.npz", tmp_path / "clips.npz")
    data = "{'data_path': 'clips.npz', 'window_size': 16}"
    flags = ["--device", "cpu", "--num-worker", 0, "--train-feeder-args", data, "--test-feeder-args", data]
    trained = lab("train", "ctrgcn", *flags, "--work-dir", "run", "--num-epoch", 1, "--batch-size", 4, folder=tmp_path)
    assert trained.returncode == 0, trained.stderr
    weights = next((tmp_path / "run").glob("runs-*.pt")).relative_to(tmp_path)
    tested = lab("test", "ctrgcn", *flags, "--weights", weights, "--work-dir", "tested", folder=tmp_path)
    assert tested.returncode == 0 and "Top1: " in tested.stdout, tested.stderr
    told = lab("predict", "ctrgcn", "--weights", weights, "--input", "clips.npz", "--output", "said", folder=tmp_path)
    assert told.returncode == 0, told.stderr
    assert json.loads((tmp_path / "said" / "predictions.json").read_text())
    assert lab("report", "run", folder=tmp_path).returncode == 0


@pytest.mark.slow
def test_programs_of_the_package(tmp_path):
    made = lab("synthetic", "--out", "a.npz", "--train", 12, "--test", 6, "--classes", 2, "--quiet", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    assert lab("convert", "--input", "a.npz", "--output", "a.h5", folder=tmp_path).returncode == 0
    assert lab("view", "a.h5", "--output", "a.html", folder=tmp_path).returncode == 0
    assert "a.npz" in lab("check", "a.npz", folder=tmp_path).stdout
    assert (tmp_path / "a.html").stat().st_size > 10_000


@pytest.mark.slow
def test_the_usage_line_has_the_verb(tmp_path):
    rooms = ("train CTR-GCN", "test ST-GCN", "train FS-VAE", "predict MS-G3D", "ensemble CTR-GCN")
    alone = ("convert", "check", "view", "report", "cost", "plan", "synthetic", "extract", "prepare")
    for verb in (*alone, "calibrate", "explain", "few-shot", "multimodal", "one-shot", *rooms):
        said = lab(*verb.split(), "--help", folder=tmp_path)
        assert said.returncode == 0 and said.stdout.startswith(f"usage: skeleton-lab {verb}"), said


def test_help_of_a_verb_names_its_rooms(capsys):
    assert main(["ensemble", "--help"]) == 0
    said = capsys.readouterr().out
    assert "usage: skeleton-lab ensemble ROOM" in said and "CTR-GCN" in said and "FS-VAE" not in said
    assert "--config" not in said and main(["predict", "-h"]) == 0
    assert "without it the room's own is taken" in capsys.readouterr().out


def test_help_tells_defaults_that_there_are(tmp_path):
    said = lab("synthetic", "--help", folder=tmp_path).stdout
    assert "(default: 300)" in said and "(default: 0)" in said and "None" not in said and "False" not in said


@pytest.mark.parametrize(
    "typed, offered",
    [
        ("skeleton-lab tr", ["train"]),
        ("skeleton-lab pre", ["predict", "prepare"]),
        ("skeleton-lab train S", ["ST-GCN", "SkateFormer"]),
        ("skeleton-lab ensemble F", ["FreqMixFormer"]),
        ("skeleton-lab train FS", ["FS-VAE"]),
        ("skeleton-lab train ctrg", ["ctrgcn"]),
        ("skeleton-lab convert C", []),
    ],
)
def test_bash_completes_verbs_and_rooms(typed, offered, tmp_path):
    words = " ".join(f"'{word}'" for word in typed.split())
    script = f"""
eval "$({sys.executable} -m skeleton_lab --completion bash)"
complete -p skeleton-lab >/dev/null || exit 3
COMP_WORDS=({words}); COMP_CWORD={len(typed.split()) - 1}
_skeleton_lab
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == sorted(offered)


@pytest.mark.slow
def test_usage_lines_of_modules_say_how_they_are_started():
    for name in ("skeleton_lab.doctor", "benchmarks.zero_shot"):
        words = [sys.executable, "-m", name, "--help"]
        said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60).stdout
        assert said.startswith(f"usage: python -m {name} [-h]"), said[:200]


SEEN = """
import atexit, runpy, sys
atexit.register(lambda: print("LOADED", *sys.modules, file=sys.stderr))
name, sys.argv = sys.argv[1], [sys.argv[1], "--help"]
sys.path.insert(0, ".")
runpy.run_path(name, run_name="__main__") if name.endswith(".py") else runpy.run_module(name, run_name="__main__")
"""


@pytest.mark.slow
def test_help_of_every_program_loads_nothing_heavy():
    def start(name: str) -> subprocess.CompletedProcess:
        path = ROOT / name
        words, folder = [path.name], path.parent
        if name.startswith(("skeleton_lab/", "benchmarks/")):
            words, folder = [name.removesuffix(".py").removesuffix("/__main__").replace("/", ".")], ROOT
        return subprocess.run([sys.executable, "-c", SEEN, *words], cwd=folder, capture_output=True, text=True)

    with ThreadPoolExecutor(2) as pool:
        done = dict(zip(PROGRAMS, pool.map(start, PROGRAMS)))
    assert len(done) > 70
    for name, result in done.items():
        assert result.returncode == 0, (name, result.stderr[-300:])
        assert not result.stdout.startswith("usage: __main__.py"), name
        loaded = set(result.stderr.rpartition("LOADED ")[2].split())
        assert loaded and not loaded & HEAVY, (name, loaded & HEAVY)
