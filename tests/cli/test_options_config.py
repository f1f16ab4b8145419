"""Help, the config.yaml that a run writes, and the presets of CTR-GCN."""

from __future__ import annotations

from pathlib import Path

import pytest
from options_helpers import ALL, ROOM, options, recipe

from skeleton_lab.engine.config.flags import FLAGS, GROUPS
from skeleton_lab.engine.config.options import parse, save
from skeleton_lab.errors import LabError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("program", ALL)
def test_help(program, capsys):
    with pytest.raises(SystemExit) as done:
        options(program, "-h")
    out = capsys.readouterr().out
    assert done.value.code == 0
    honours = recipe(program).honours
    for flag in FLAGS.values():
        assert (flag.option in out) == honours(flag) or flag.option in " ".join(f.help for f in FLAGS.values())
    assert all(f"{group}:" in out for group in GROUPS)


@pytest.mark.parametrize("program", ALL)
def test_config_yaml_can_be_used_again(program, here):
    argv = [
        "--memory-friendly", "--train-window-size", "20", "--train-feeder-args", "{'p':(0.5,1),'lr':1e-05,'s':'1e-3'}",
        "--model-args", "graph_args={'a':[1,{'b':None}]}", "--batch-size", "8", "--device", "cpu", "--num-worker", "0",
        "--seed", "3", "--work-dir", "a dir", "--resume", "--debug", "--half", "--weights", "Straße 1.pt",
    ]  # fmt: skip
    first = options(
        program, *argv, config={"train_feeder_args": {"window_size": 64}, "test_feeder_args": {"a": "1e-3"}}
    )
    save(first, "config.yaml")
    again = parse(recipe(program), ["--config", "config.yaml"], ROOM)
    expected = first.settings() | {
        "config": "config.yaml", "resume": False, "memory_friendly": False, "train_window_size": None,
    }  # fmt: skip
    expected["train_feeder_args"]["p"] = [0.5, 1]
    assert again.settings() == expected
    assert again.notices == []


def test_config_yaml_layout():
    save(options("C", "--work-dir", "a b", "--model-args", "x=1"), "c.yaml")
    lines = Path("c.yaml").read_text().splitlines()
    assert lines[:2] == ["# command line: main.py --work-dir 'a b' --model-args x=1", ""]
    keys = [line.split(":")[0] for line in lines[2:] if line[0] not in " -"]
    assert keys == sorted(keys) and set(keys) == set(FLAGS)
    assert "  x: 1" in lines
    save(options("T", "recognition", "--model-args", "x=1"), "t.yaml")
    assert "\n    x: 1\n" in Path("t.yaml").read_text()
    save(options("G"), "g.yaml")
    assert not Path("g.yaml").read_text().startswith("#")
    save(options("C", "--work-dir", "a\nb: 1"), "n.yaml")
    assert parse(recipe("C"), ["--config", "n.yaml"], ROOM).work_dir == "a\nb: 1"


def test_config_yaml_that_cannot_be_written(here):
    with pytest.raises(LabError, match="cannot be written"):
        save(options("C"), here / "absent" / "config.yaml")


# ------------------------------------------------------------------------------------------------- configurations


def test_smoke_and_8gb_change_what_they_say(monkeypatch):
    monkeypatch.chdir(ROOM)
    folder = "config/nturgbd-cross-subject/"
    default, smoke, small = (
        parse(recipe("C"), ["--config", folder + name], ROOM).settings()
        for name in ("default.yaml", "smoke.yaml", "8gb.yaml")
    )
    differing = {key for key in default if default[key] != small[key]}
    assert differing == {"config", "work_dir", "activation_checkpointing", "num_worker"}
    differing = {key for key in default if default[key] != smoke[key]} - {"config", "work_dir"}
    assert differing == {
        "train_feeder_args", "test_feeder_args", "batch_size", "test_batch_size", "num_epoch", "num_worker",
    }  # fmt: skip
    assert smoke["train_feeder_args"] == default["train_feeder_args"] | {"debug": True, "window_size": 48}
