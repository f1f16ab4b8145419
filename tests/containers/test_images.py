"""What images are made with: constraints of their packages, the first process of a container, files that stay out."""

from __future__ import annotations

import importlib.util
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

INIT = [sys.executable, "-IS", str(ROOT / "docker" / "init.py")]
IMAGES = sorted(ROOT.glob("*.docker"))
EDITED = ("config", "model", "feeders", "feeder", "net", "graph")


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docker" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ------------------------------------------------------------------------------------------------------- constraints


def test_a_base_keeps_its_torch_and_gets_the_pins_for_the_rest():
    lines = ["# why", "numpy==2.4.6", "torch==2.13.0", "PyYAML==6.0.3", "tqdm==4.1", "h5py==3.16.0", "filelock==4.2"]
    base = {"torch": "2.3.0", "numpy": "1.26.4", "pyyaml": "6.0.1", "tqdm": "4.1", "filelock": "4.3"}
    assert list(load("constrain").constrain(lines, base)) == [
        "torch==2.3.0", "numpy==1.26.4",
        "pyyaml>=6.0.1,<=6.0.3",  # what is there may stay or rise to the pin, which pip chooses then
        "tqdm==4.1", "h5py==3.16.0", "filelock==4.3",
    ]  # fmt: skip
    assert "numpy<2" in list(load("constrain").constrain(lines, {"torch": "2.3.0"}))
    marked = ['numpy==2.4.6 ; python_version >= "3.11"']
    assert list(load("constrain").constrain(marked, {"torch": "2.13.0"})) == ["torch==2.13.0", marked[0]]


def test_every_package_is_pinned_for_python_310_too():
    """The images' base has Python 3.10: where the newer Pythons' pin does not reach, another does."""
    pins: dict[str, list[str]] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, rest = line.partition("==")
            pins.setdefault(name, []).append(rest.partition(" ; ")[2])
    newer, older = 'python_version >= "3.11"', 'python_version < "3.11"'
    assert all(sorted(found) in ([""], [older], [older, newer]) for found in pins.values()), pins
    wanted = re.findall(r'"([a-z0-9-]+)', (ROOT / "pyproject.toml").read_text().partition("optional-dep")[2])
    assert {"einops", "torch-dct", "h5py", "matplotlib", "scikit-optimize", "ftfy"} <= pins.keys() & set(wanted)


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: path.stem)
def test_an_image_inherits_no_address_of_a_package_index(image):
    """Build arguments stand in the history of the stage that has them: the last one has none, and runs no pip."""
    last = image.read_text().rpartition("FROM ")[2]
    assert "ARG" not in last and "pip" not in last.replace("pip was", "")
    assert "USER 1000:1000" in last, "a name cannot be checked by runAsNonRoot"
    assert "SKELETON_LAB_CONTAINER=1" in last and "|| echo" not in image.read_text()
    assert re.search(r'^ENTRYPOINT \[".*init\.py"\]\nCMD \["/bin/bash"\]\n\Z', last, re.MULTILINE)


# ------------------------------------------------------------------------------------------------------ first process


def started(*command: str, **options) -> subprocess.Popen:
    return subprocess.Popen([*INIT, *command], stdout=subprocess.PIPE, text=True, **options)


def test_init_ends_as_its_command_does():
    assert started("sh", "-c", "exit 7").wait(timeout=60) == 7
    assert started("sh", "-c", "kill -9 $$").wait(timeout=20) == 128 + signal.SIGKILL
    done = subprocess.run([*INIT, "no-such-command"], capture_output=True, text=True)
    assert done.returncode == 127 and done.stderr == "error: no-such-command: No such file or directory\n"
    assert subprocess.run(INIT, capture_output=True).returncode == 1


SAVING = """
import signal, sys, time
def save(signum, frame):
    time.sleep(0.5)
    print("saved", flush=True)
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "shell",
    [[], ["bash", "-c", '"$@"; echo next', "bash"], ["bash", "-c", 'trap "" TERM; "$@"; read', "bash"]],
    ids=["alone", "in a script", "in a shell that ignores the signal"],
)
def test_a_stop_reaches_the_program_and_waits_for_it(shell):
    with started(*shell, sys.executable, "-c", SAVING, stdin=subprocess.PIPE) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) in (143, 128 + signal.SIGHUP)
        assert process.stdout.read() == "saved\n"


def test_a_stop_leaves_a_programs_own_processes_to_it():
    """Workers of a training get no signal of their own: its loader would take their end for an accident."""
    program = SAVING.replace("time.sleep(0.5)", "print(child.poll(), flush=True); child.kill()").replace(
        'print("ready"', 'import subprocess; child = subprocess.Popen(["sleep", "60"]); print("ready"'
    )
    with started("bash", "-c", '"$@"; true', "bash", sys.executable, "-c", program) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 143
        assert process.stdout.read() == "None\nsaved\n"


# --------------------------------------------------------------------------------------------------------- what is in


@pytest.mark.slow
def test_arranged_files_are_open_where_people_edit(tmp_path):
    """arrange.sh, run here in a copy: what is editable, what is not, what stands where."""
    lab = tmp_path / "lab"
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in names:
        if not name.startswith(("tests/", "docs/images")) and (ROOT / name).is_file():
            (lab / name).parent.mkdir(parents=True, exist_ok=True)
            (lab / name).write_bytes((ROOT / name).read_bytes())
    out = tmp_path / "image"
    script = lab / "docker" / "arrange.sh"
    script.write_text((ROOT / "docker" / "arrange.sh").read_text().replace("out=/image", f"out={out}"))
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    subprocess.run(["sh", script, "ST-GCN", "--", "ST-GCN/data"], check=True, env={"PATH": path})
    room = out / "ST-GCN"
    for folder in EDITED:
        for place in [room / folder, *(room / folder).rglob("*")] if (room / folder).exists() else []:
            assert place.stat().st_mode & 0o666 == 0o666, place
            assert not place.stat().st_mode & 0o1000, f"{place}: an editor that renames could not write"
    assert {"config", "feeder", "graph", "net"} == {name for name in EDITED if (room / name).exists()}
    assert (out / "skeleton_lab" / "errors.py").stat().st_mode & 0o777 == 0o644
    assert (room / "main.py").stat().st_mode & 0o777 == 0o644
    assert room.stat().st_mode & 0o7777 == (room / "data").stat().st_mode & 0o7777 == 0o1777
    for place in (out, room, out / "scripts", out / "st-gcn"):
        assert (place / "check_gpu.py").is_file() and (place / "dataset_tools" / "view.py").is_file()
    assert (room / "smoke_test.py").read_text().startswith('"""One training step of ST-GCN')
    for name in ("README.md", "LICENSE", "docs/rooms.md"):
        assert (out / name).is_file()
    assert "\nskeleton-lab[logs,report,h5]\n" in (room / "requirements.txt").read_text()
