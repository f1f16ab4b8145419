"""``study.yaml``: what a study may say, read and checked; every mistake is one line that names the key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skeleton_lab import registry
from skeleton_lab.engine.config import yaml_file
from skeleton_lab.engine.config.flags import FLAGS
from skeleton_lab.engine.config.values import shown
from skeleton_lab.errors import UsageError, nearest
from skeleton_lab.sweep.search import SHORT, Space

ENGINES = ("serial", "pool", "submitit", "ray")
KEYS = ("out", "rooms", "streams", "seeds", "data", "flags", "grid", "engine", "jobs", "slurm", "search", "ray")
OF_ROOM = ("room", "name", "config", "flags")
# What the study says elsewhere, or what belongs to each run: where, and how it goes on.
NOT_FLAGS = {
    "work_dir": "every run has a folder of its own below out:",
    "resume": "every run has it",
    "seed": "give seeds: [1, 2]",
    "config": "give it to a room: rooms: [{room: NAME, config: FILE}]",
    "phase": "a study trains",
    "trust_code": "it is for the command line, where you say it yourself: --trust-code",
}
OF_SLURM = {
    "cluster": (str,), "partition": (str,), "timeout_min": (int,), "gpus_per_node": (int,), "cpus_per_task": (int,),
    "mem_gb": (int, float), "array_parallelism": (int,), "account": (str,), "qos": (str,), "constraint": (str,),
    "setup": (list,), "requeues": (int,), "signal_delay_s": (int,),
}  # fmt: skip
OF_RAY = {
    "trials": (int,), "seed": (int,), "grace_epochs": (int,), "reduction": (int, float), "cpus_per_trial": (int,),
    "gpus_per_trial": (int, float),
}  # fmt: skip
RANGES = ("log", "uniform")
# What is not searched for: why.
NOT_SEARCHED = {
    "num_epoch": "trials are compared after equal epochs; give it in flags:",
    "val_split": "trials are compared on the same clips; give it in flags:",
    "val_share": "trials are compared on the same clips; give it in flags:",
    "classes": "trials are compared on the same classes; give it in flags:",
    "device": "Ray gives each trial its GPU",
}
PLAN = "plan"
KINDS = {str: "a text", int: "a whole number", float: "a number", list: "a list of lines"}
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Entry:
    """One of ``rooms:``: a room, its configuration and flags of its own; ``name`` stands in the names of its runs."""

    name: str
    room: registry.Room
    config: Path
    flags: Mapping[str, Any]


@dataclass(frozen=True)
class Study:
    """What ``study.yaml`` says.

    Attributes:
        data: word -> archive; a single word None: what the configurations name.
        flags: of every run; grid: flag -> values, one of which each run has.
        jobs: runs at once; None: one for each GPU or core; ``PLAN``: as many on each GPU as the plan says that fit.
        search: of engine ray: flag, or one of ``SHORT``, -> where its values are drawn from.
    """

    path: Path
    out: Path
    rooms: tuple[Entry, ...]
    streams: tuple[str, ...] = ("joint",)
    seeds: tuple[int, ...] = (1,)
    data: Mapping[str | None, str | None] = field(default_factory=lambda: {None: None})
    flags: Mapping[str, Any] = field(default_factory=dict)
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    engine: str = "serial"
    jobs: int | str | None = None
    slurm: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Space] = field(default_factory=dict)
    ray: Mapping[str, Any] = field(default_factory=dict)


def read(path: Path) -> Study:
    """The study of a file.

    Raises:
        UsageError: it cannot be read, or a key or value is wrong; one line that names both.
    """
    try:
        content = yaml_file.read(path)
    except UsageError as error:
        raise UsageError(str(error).removeprefix("--config ")) from None
    _known(content, KEYS, f"{path}")
    for key in ("out", "rooms"):
        if not content.get(key):
            raise UsageError(f"{path}: {key}: is missing; a study needs out: FOLDER and rooms: [NAME, ...]")
    engine = content.get("engine", ENGINES[0])
    if engine not in ENGINES:
        raise UsageError(f"{path}: engine: {shown(engine)}; there are {', '.join(ENGINES)}")
    if content.get("jobs") is not None and engine != "pool":
        raise UsageError(f"{path}: jobs: has no effect with engine: {engine}; it is for engine: pool")
    streams = _several(content.get("streams", "joint"), f"{path}: streams")
    study = Study(
        path,
        Path(_text(content["out"], f"{path}: out")),
        tuple(_entry(given, f"{path}: rooms") for given in _several(content["rooms"], f"{path}: rooms")),
        tuple(_text(word, f"{path}: streams") for word in streams),
        tuple(_seed(seed, f"{path}: seeds") for seed in _several(content.get("seeds", 1), f"{path}: seeds")),
        _data(content.get("data"), f"{path}: data"),
        _flags(content.get("flags"), f"{path}: flags"),
        _grid(content.get("grid"), f"{path}: grid"),
        engine,
        _jobs(content.get("jobs"), f"{path}: jobs"),
        _slurm(content.get("slurm"), engine, f"{path}: slurm"),
        _search(content.get("search"), f"{path}: search"),
        _ray(content.get("ray"), engine, f"{path}: ray"),
    )
    _check_search(study)
    return study


def _known(given: Mapping[Any, Any], keys: Any, place: str) -> None:
    for key in given:
        if key not in keys:
            raise UsageError(f"{place}: unknown key '{key}'.{nearest(str(key), keys)} Keys are {', '.join(keys)}")


def _several(value: Any, place: str) -> list[Any]:
    """A list that is not empty and has nothing twice; a single value is a list of one."""
    values = value if isinstance(value, list) else [value]
    if not values:
        raise UsageError(f"{place}: is an empty list; leave it out, or name one")
    twice = next((each for i, each in enumerate(values) if each in values[:i]), None)
    if twice is not None:
        raise UsageError(f"{place}: {shown(twice)} is given twice")
    return values


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{place}: {shown(value)} is not a text")
    return value


def _mapping(value: Any, place: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError(f"{place}: {shown(value)} is not a mapping of names to values")
    return value


def _seed(value: Any, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_SEED:
        raise UsageError(f"{place}: {shown(value)} is no whole number from 0 to {LARGEST_SEED}")
    return value


def _jobs(value: Any, place: str) -> int | str | None:
    if value not in (None, PLAN) and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise UsageError(f"{place}: {shown(value)} is no number of runs at once, 1 or more, nor the word {PLAN}")
    return value


def _entry(given: Any, place: str) -> Entry:
    """A name of a room or network, or a mapping with ``room``, and ``name``, ``config``, ``flags`` as wanted."""
    told = _mapping(given, place) if isinstance(given, dict) else {"room": given}
    _known(told, OF_ROOM, place)
    word = _text(told.get("room"), f"{place}: room")
    flags = _flags(told.get("flags"), f"{place}: {word}: flags")
    try:
        room, config = registry.find(word), None
        usual = room.folder
    except UsageError:
        try:
            model = registry.model(word)  # its message names the networks; rooms are among their names
        except UsageError as error:
            raise UsageError(f"{place}: {error}") from None
        room, config, usual = registry.find(model.room), model.config, model.name
        flags = ({} if model.network is None else {"model": model.network}) | flags
    if room.program is None:
        raise UsageError(f"{place}: {room.folder} trains on features, not on clips: a study is of supervised rooms")
    if not room.path.is_dir():
        raise UsageError(f"{place}: room {room.folder} is not here: there is no folder {room.path}")
    named = told.get("config", config or room.config)
    path = next((at for at in (Path(str(named)), room.path / str(named)) if at.is_file()), None)
    if path is None:
        raise UsageError(f"{place}: {word}: config: there is no file {named}, neither here nor in {room.path}")
    name = _text(told.get("name", usual), f"{place}: {word}: name")
    return Entry(_word(name, f"{place}: {word}: name"), room, path, flags)


def _word(name: str, place: str) -> str:
    """A word that the name of a folder can hold."""
    if not all(letter.isalnum() or letter in "-_.+" for letter in name) or name.startswith("."):
        raise UsageError(f"{place}: {shown(name)}: letters, digits and - _ . + only: it is part of a folder's name")
    return name


def _data(value: Any, place: str) -> dict[str | None, str | None]:
    """A path, a list of paths, or a mapping of words to paths; the words stand in the names of the runs."""
    if value is None:
        return {None: None}
    if isinstance(value, dict):
        if not value:
            raise UsageError(f"{place}: is empty; leave it out, or name an archive")
        return {_word(_text(word, place), place): _archive(path, place) for word, path in value.items()}
    paths = [_archive(path, place) for path in _several(value, place)]
    words = [Path(path).stem for path in paths]
    if len(set(words)) < len(words):
        twice = next(word for word in words if words.count(word) > 1)
        raise UsageError(f"{place}: two archives are called {twice}: name them, data: {{word: path, other: path}}")
    return {_word(word, place): path for word, path in zip(words, paths)}


def _archive(value: Any, place: str) -> str:
    path = _text(value, place)
    if not Path(path).exists():
        raise UsageError(f"{place}: there is no {path}; paths are seen from the folder in which the command runs")
    return path


def _flags(value: Any, place: str) -> dict[str, Any]:
    """Flags of training by their names; the values are looked at with each run's own program."""
    flags = _mapping(value, place)
    for name in flags:
        _flag(name, place)
    return flags


def _flag(name: Any, place: str) -> None:
    if name in NOT_FLAGS:
        raise UsageError(f"{place}: {name}: not here: {NOT_FLAGS[name]}")
    if name not in FLAGS:
        hint = nearest(str(name), FLAGS)
        raise UsageError(f"{place}: there is no flag '{name}'.{hint} Names are those of --help, with _ for -")


def _grid(value: Any, place: str) -> dict[str, tuple[Any, ...]]:
    grid = _mapping(value, place)
    for name, values in grid.items():
        _flag(name, place)
        if not isinstance(values, list):
            raise UsageError(f"{place}: {name}: {shown(values)} is not a list of the values to be tried")
    return {name: tuple(_several(values, f"{place}: {name}")) for name, values in grid.items()}


def _slurm(value: Any, engine: str, place: str) -> dict[str, Any]:
    told = _of_engine(value, OF_SLURM, "submitit", engine, place)
    for name, given in told.items():
        if isinstance(given, (int, float)) and not (name not in ("requeues", "gpus_per_node")) <= given < math.inf:
            raise UsageError(f"{place}: {name}: {shown(given)} is too {'small' if given < 1 else 'large'}")
        if isinstance(given, list) and not all(isinstance(line, str) for line in given):
            raise UsageError(f"{place}: {name}: {shown(given)} is not a list of texts")
    if told.get("cluster", "slurm") not in ("slurm", "local"):
        raise UsageError(
            f"{place}: cluster: {shown(told['cluster'])}; there are slurm and local (jobs on this machine)"
        )
    return told


def _of_engine(value: Any, kinds: Mapping[str, Any], owner: str, engine: str, place: str) -> dict[str, Any]:
    """A mapping that is one engine's own; its values are of the ``kinds``."""
    told = _mapping(value, place)
    _known(told, kinds, place)
    if told and engine != owner:
        raise UsageError(f"{place}: has no effect with engine: {engine}; it is for engine: {owner}")
    for name, given in told.items():
        if isinstance(given, bool) or not isinstance(given, kinds[name]):
            words = " or ".join(KINDS[kind] for kind in kinds[name])
            raise UsageError(f"{place}: {name}: {shown(given)} is not {words}")
    return told


def _ray(value: Any, engine: str, place: str) -> dict[str, Any]:
    told = _of_engine(value, OF_RAY, "ray", engine, place)
    _seed(told.get("seed", 0), f"{place}: seed")
    for name in ("trials", "grace_epochs", "cpus_per_trial"):
        if told.get(name, 1) < 1:
            raise UsageError(f"{place}: {name}: {shown(told[name])} is too small")
    if not 1 < told.get("reduction", 2) < math.inf:
        raise UsageError(f"{place}: reduction: {shown(told['reduction'])}: one of so many goes on: more than 1")
    gpus = told.get("gpus_per_trial", 1)
    if not 0 < gpus < math.inf or (gpus > 1 and gpus != int(gpus)):
        raise UsageError(f"{place}: gpus_per_trial: {shown(gpus)} is neither a share of a GPU nor a whole number")
    return told


def _search(value: Any, place: str) -> dict[str, Space]:
    spaces = _mapping(value, place)
    for name in spaces:
        if name in NOT_SEARCHED:
            raise UsageError(f"{place}: {name}: not here: {NOT_SEARCHED[name]}")
        if name not in SHORT:
            _flag(name, place)
    return {name: _space(name, given, f"{place}: {name}") for name, given in spaces.items()}


def _space(name: str, given: Any, place: str) -> Space:
    """``{log: [low, high]}``, ``{uniform: [low, high]}``, or a list of choices."""
    if isinstance(given, list):
        return Space(choices=tuple(_several(given, place)))
    word, bounds = next(iter(given.items())) if isinstance(given, dict) and len(given) == 1 else ("", [])
    if word not in RANGES:
        raise UsageError(f"{place}: {shown(given)}: give {{log: [low, high]}}, {{uniform: [low, high]}} or a list")
    kinds = {FLAGS[flag].kind for flag in SHORT.get(name, (name,))}
    if not kinds <= {"int", "float"}:
        raise UsageError(f"{place}: is no number, so it has no range: give a list of the values to be tried")
    whole = kinds == {"int"}
    low, high = _bounds(bounds, int if whole else (int, float), f"{place}: {word}")
    if word == "log" and low <= 0:
        raise UsageError(f"{place}: log: {shown(bounds)}: has no logarithm: the numbers must be above 0")
    return Space(low=low, high=high, log=word == "log", whole=whole)


def _bounds(given: Any, kind: Any, place: str) -> tuple[float, float]:
    numbers = isinstance(given, list) and len(given) == 2
    if (
        not numbers
        or any(isinstance(x, bool) or not isinstance(x, kind) for x in given)
        or (not -math.inf < given[0] < given[1] < math.inf)
    ):
        words = "whole numbers" if kind is int else "numbers"
        raise UsageError(f"{place}: {shown(given)} are not two {words}, the smaller one first")
    return given[0], given[1]


def _check_search(study: Study) -> None:
    """Trials differ in what is searched for and in nothing else."""
    path, search = study.path, study.search
    if study.engine != "ray":
        if search:
            raise UsageError(f"{path}: search: has no effect with engine: {study.engine}; it is for engine: ray")
        return
    if not search or "trials" not in study.ray:
        lacking = "ray: {trials: 12}" if search else "search: {base_lr: {log: [0.003, 0.3]}}"
        raise UsageError(f"{path}: {lacking.partition(':')[0]}: is missing; engine: ray needs one, e.g. {lacking}")
    for key in ("rooms", "streams", "seeds", "data"):
        if len(getattr(study, key)) > 1:
            raise UsageError(
                f"{path}: {key}: a search is of one of each, and tells nothing of {len(getattr(study, key))}"
            )
    if study.grid:
        raise UsageError(f"{path}: grid: is not for a search: give these lists in search:")
    given = {*study.flags, *study.rooms[0].flags}
    names = [flag for name in search for flag in SHORT.get(name, (name,))]
    twice = next((flag for flag in names if flag in given or names.count(flag) > 1), None)
    if twice is not None:
        raise UsageError(f"{path}: search: {twice} is given twice; flags: or search: alone can say it")
