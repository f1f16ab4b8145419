"""Programs started by a Python that lacks the lab's packages, and the documents that say which Python to take."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from places import ROOT

from skeleton_lab.utils import python_check

TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
STARTS = re.compile(r"^if __name__ == .__main__.:", re.MULTILINE)
PROGRAMS = [
    name
    for name in TRACKED
    if name.endswith(".py") and not name.startswith(("tests/", "docker/")) and STARTS.search((ROOT / name).read_text())
]
ALONE = ["smoke_test_all.py"]  # needs nothing but Python
DOCUMENTS = [name for name in TRACKED if re.fullmatch(r"docs/[^/]+\.md|[^/]+/README\.md", name)]


def bare(*words: str, folder: Path = ROOT) -> subprocess.CompletedProcess:
    """A Python with its standard library and nothing else."""
    command = [sys.executable, "-S", "-E", *words]
    return subprocess.run(
        command, cwd=folder, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=60
    )


@pytest.mark.slow
def test_every_program_says_in_one_line_that_the_environment_is_missing():
    """In its own folder, as a user starts it; parts of the package as ``python -m``."""

    def start(name: str) -> subprocess.CompletedProcess:
        if name.startswith(("skeleton_lab/", "benchmarks/")):
            return bare("-m", name.removesuffix(".py").removesuffix("/__main__").replace("/", "."))
        return bare(Path(name).name, folder=(ROOT / name).parent)

    with ThreadPoolExecutor(4) as pool:
        programs = [name for name in PROGRAMS if name not in ALONE]
        done = dict(zip(programs, pool.map(start, programs)))
    assert len(done) > 70
    for name, result in done.items():
        assert result.returncode == 2, (name, result.stderr)
        assert re.fullmatch(r"error: \S+ has no package '\w+'\. [^\n]*`make( -B)? setup`[^\n]*\n", result.stderr), name
        assert not result.stdout


@pytest.mark.parametrize("script", [name for name in TRACKED if re.fullmatch(r"[A-Z-]+/(run|fsvae_)\d+\.sh", name)])
def test_a_script_of_a_room_says_so_too(script, tmp_path):
    """With a Python first on PATH that has nothing, and no .venv beside the room."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python3"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    room = tmp_path / "room"
    room.mkdir()
    (room / "it.sh").write_text((ROOT / script).read_text())
    (tmp_path / "skeleton_lab").symlink_to(ROOT / "skeleton_lab")
    command = ["bash", str(room / "it.sh")]
    env = {"PATH": f"{python.parent}:/usr/bin:/bin"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "make setup" in done.stderr


def test_what_the_line_says(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(python_check, "ROOT", tmp_path)
    monkeypatch.delenv("SKELETON_LAB_CONTAINER", raising=False)
    missing = ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")

    def said() -> str:
        with pytest.raises(SystemExit) as stop:
            python_check.explain(type(missing), missing, None)
        assert stop.value.code == 2
        return capsys.readouterr().err

    assert f"no package 'torch'. `make setup` in {tmp_path} makes" in said()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").touch()
    assert f"source {tmp_path}/.venv/bin/activate" in said()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    assert f"`make -B setup` in {tmp_path}" in said()
    monkeypatch.setenv("SKELETON_LAB_CONTAINER", "1")
    assert "/opt/lab/bin/python" in said()
    with pytest.raises(SystemExit):
        python_check.check_python((3, 9, 2))
    assert capsys.readouterr().err.startswith("error: this is Python 3.9, the lab needs 3.10.")


def test_other_errors_keep_their_traceback(capsys):
    for error in (ValueError("x"), ModuleNotFoundError("No module named 'mine'", name="mine")):
        python_check.explain(type(error), error, None)
        assert type(error).__name__ in capsys.readouterr().err
    done = subprocess.run(
        [sys.executable, "-c", "import skeleton_lab, no_such_module"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 1 and "Traceback" in done.stderr


def blocks(name: str) -> list[str]:
    """The command lines of a document, continuations joined."""
    fenced = re.findall(r"^```(.*?)\n(.*?)^```", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)
    text = "\n".join(block for language, block in fenced if not language)
    joined = re.sub(r"\\\n\s*", "", text)
    return [line for line in joined.splitlines() if re.search(r"\b(python3?|bash|docker) ", line)]


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if any("python" in line for line in blocks(name))])
def test_documented_commands_can_be_copied(name):
    """The document says how its `python` is got; every program exists, and nothing but a comment stands behind one."""
    text = (ROOT / name).read_text()
    if any("python" in line and not any(alone in line for alone in ALONE) for line in blocks(name)):
        assert "make setup" in text and ".venv/bin/activate" in text
    folder = ROOT if name.startswith("docs/") else (ROOT / name).parent
    for line in blocks(name):
        words = shlex.split(line, comments=True)
        assert not any(re.search(r"[,;:]$", word) for word in words), f"prose behind a command: {line}"
        places = [folder, *(ROOT / room for room in ("CTR-GCN", "FS-VAE", "baselines"))]
        for program in (word for word in words if re.search(r"^[\w/.-]+\.(py|sh|docker)$", word)):
            assert any((place / program).is_file() for place in places), (program, line)
        if "-m" in words and "python" in words[0]:
            module = words[words.index("-m") + 1].replace(".", "/")
            if module.split("/")[0] in sys.stdlib_module_names:
                continue
            assert (ROOT / f"{module}.py").is_file() or (ROOT / module / "__main__.py").is_file(), line


def test_a_described_tool_has_its_description_in_a_comment():
    """What a user copies is the whole line."""
    described = [line for line in blocks("docs/tools.md") if "convert.py" in line and "#" in line]
    assert described
    for line in blocks("docs/tools.md"):
        assert not re.search(r" {4,}[^ #-]", line), line
