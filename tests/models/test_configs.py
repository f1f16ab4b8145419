"""Every configuration file of every supervised room: content, header, and a network that takes its feeder's clips."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from places import PARITY
from sandbox import FEW, shrink

from skeleton_lab import registry
from skeleton_lab.engine.config.options import parse
from skeleton_lab.engine.losses import logits_of
from skeleton_lab.engine.network import make_net

RECIPES = yaml.safe_load((PARITY / "recipes.yaml").read_text())
SUPERVISED = [room for room in registry.ROOMS if room.program]
CONFIGS = [
    (room, path.relative_to(room.path).as_posix())
    for room in SUPERVISED
    for path in sorted((room.path / "config").rglob("*.yaml"))
]


def named(value) -> str:
    return value.folder if isinstance(value, registry.Room) else str(value)


# Published with the feeder of all 120 classes for a network with 26; corrected here.
CORRECTED = {
    f"config/train/{split}_inter/SkateFormer_j.yaml": {"feeder": "feeders.feeder_ntu_inter.Feeder"}
    for split in ("ntu120_cset", "ntu120_csub")
}


def content(recipe: dict) -> dict:
    """The keys and values of the file that a recipe describes."""
    keys = {"model": recipe["model"]["class"], "model_args": recipe["model"]["args"]}
    if "feeder" in recipe:
        keys["feeder"] = recipe["feeder"]["class"]
        keys |= {
            f"{split}_feeder_args": recipe["feeder"][split] for split in ("train", "test") if split in recipe["feeder"]
        }
    keys |= {k: v for part in ("optim", "schedule", "run", "other") for k, v in recipe.get(part, {}).items()}
    return keys | CORRECTED.get(recipe["path"], {})


def settings(room: registry.Room, *words: str):
    """What program and configuration amount to; ``words`` begin with the sub-command, where the program has one."""
    return parse(room.recipe, list(words), room.path)


def with_config(room: registry.Room, path: str) -> list[str]:
    return [*(["recognition"] if room.program == "T" else []), "--config", path]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: f"{recipe['repo']}/{recipe['path']}")
def test_published_content(recipe, monkeypatch):
    room = registry.find(recipe["repo"])
    monkeypatch.chdir(room.path)
    assert yaml.safe_load(Path(recipe["path"]).read_text()) == content(recipe)
    if recipe["use"] == "demo":
        return
    parsed = settings(room, *with_config(room, recipe["path"]), "--work-dir", "w")
    machine = {"num_worker"} if room.program in "GT" else set()  # default: by the number of cores, or of devices
    effective = {k: v for k, v in recipe.get("effective", {}).items() if k not in {"schedule", *machine}}
    assert {key: getattr(parsed, key) for key in effective} == effective
    assert not [line for line in parsed.notices if "no effect" not in line]


def test_recipes_are_all_there():
    published = {(recipe["repo"], recipe["path"]) for recipe in RECIPES}
    here = {(room.folder, path) for room, path in CONFIGS}
    assert published <= here and len(published) == 116


@pytest.mark.parametrize(("room", "path"), CONFIGS, ids=named)
def test_header(room, path, monkeypatch):
    """A file starts with what it is and the command that uses it, and maybe with flags of other streams."""
    monkeypatch.chdir(room.path)
    lines = Path(path).read_text().splitlines()
    header = [line.lstrip("# ").split() for line in lines if line.startswith("#   ")]
    commands = [words for words in header if words[:2] == ["python", "main.py"]]
    assert len(commands) == 1 and path in commands[0] and lines[0].startswith(f"# {room.folder}")
    if "demo" in path:
        return
    command = [*commands[0][2:], "--work-dir", "w"]
    parsed = settings(room, *command)
    for words in header:
        if "--train-feeder-args" in words:
            stream = settings(room, *command, *words[words.index("--train-feeder-args") :])
            changed = {k for k, v in stream.train_feeder_args.items() if parsed.train_feeder_args[k] != v}
            assert changed and changed <= {"bone", "vel", "data_path"}
            assert {k: stream.test_feeder_args[k] for k in changed} == {k: stream.train_feeder_args[k] for k in changed}


# --- all make a network and a feeder that fit; two training steps, or a test, with one of every kind ------------------


def events(work_dir: Path) -> dict[str, dict]:
    """The last event of each kind of a run."""
    return {event["event"]: event for event in map(json.loads, (work_dir / "metrics.jsonl").read_text().splitlines())}


def loaded(room: registry.Room, path: str) -> dict:
    return yaml.safe_load((room.path / path).read_text())


ALIKE = {"num_class", "num_classes", "num_prototype", "weight"}  # network arguments that make no other kind


def one_of_each_kind(configs: list[tuple[registry.Room, str]]) -> list[tuple[registry.Room, str]]:
    """The first of those that differ in classes, in the data set's path and in the values of feeder flags alone."""
    kinds = {}
    for room, path in configs:
        config = loaded(room, path)
        args = {key: value for key, value in config["model_args"].items() if key not in ALIKE}
        fed = [sorted(config.get(f"{split}_feeder_args", {})) for split in ("train", "test")]
        kinds.setdefault(repr((room.folder, config["model"], args, config["feeder"], fed)), (room, path))
    return list(kinds.values())


ALL = [(room, path) for room, path in CONFIGS if "demo" not in path]
# PYSKL's eighty differ in what their names say (tests/models/test_pyskl_use.py): of these one of each kind
ALL = [each for each in ALL if each[0].program != "P"] + one_of_each_kind([e for e in ALL if e[0].program == "P"])
TRAINED = one_of_each_kind([(room, path) for room, path in ALL if "test" not in path])
TESTED = one_of_each_kind([(room, path) for room, path in ALL if "test" in path])


@pytest.mark.slow
@pytest.mark.parametrize(("room", "path"), ALL, ids=named)
def test_network_takes_what_the_feeder_gives(room, path, lab):
    lab.enter(room.folder)
    given = settings(room, *with_config(room, path), "--work-dir", "w", *shlex.split(shrink(loaded(room, path), 8)))
    with registry.room(room.folder):
        network = make_net(given).eval()
        feeder = registry.load(room.folder, given.feeder)(**given.test_feeder_args)
        inputs = [torch.as_tensor(part)[None] for part in feeder[1] if np.ndim(part)]  # x, and index_t where it is used
    with torch.no_grad():
        logits = network(*inputs)
    logits = logits_of(logits)
    assert logits.isfinite().all() and max(feeder.label) < logits.shape[1]


@pytest.mark.slow
@pytest.mark.parametrize(("room", "path"), TRAINED, ids=named)
def test_two_training_steps(room, path, lab, tmp_path):
    line = " ".join([*with_config(room, path), f"--work-dir {tmp_path}", FEW, shrink(loaded(room, path))])
    line += " --forward-batch-size 3" if room.program in "GP" else ""
    line += " --batch-size 3" if "inter" in path else ""  # half of the clips show two persons
    assert lab(room.folder, line) == 0
    seen = events(tmp_path)
    assert seen["epoch"]["step"] == 2 and np.isfinite(seen["epoch"]["loss"]) and np.isfinite(seen["eval"]["loss"])


@pytest.mark.slow
@pytest.mark.parametrize(("room", "path"), TESTED, ids=named)
def test_testing(room, path, lab, tmp_path):
    weights = lab.weights(room.folder, path, tmp_path / "weights.pt")
    flags = f"--weights {weights} --work-dir {tmp_path} --test-batch-size 8 --num-worker 0 --device cpu"
    assert lab(room.folder, " ".join([*with_config(room, path), flags, shrink(loaded(room, path))])) == 0
    assert np.isfinite(events(tmp_path)["eval"]["loss"])


@pytest.mark.parametrize(("room", "path"), [entry for entry in CONFIGS if "demo" in entry[1]], ids=named)
def test_demonstrations_say_what_they_need(room, path, lab, capsys):
    mode = Path(path).stem.replace("demo_realtime", "demo")
    assert lab(room.folder, f"{mode} -c {path}") == 2
    assert "OpenPose" in capsys.readouterr().err
