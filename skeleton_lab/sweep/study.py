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

ENGINES = ("serial", "pool", "submitit")
KEYS = ("out", "rooms", "streams", "seeds", "data", "flags", "grid", "engine", "jobs", "slurm")
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
    return Study(
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
    )


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
    told = _mapping(value, place)
    _known(told, OF_SLURM, place)
    if told and engine != "submitit":
        raise UsageError(f"{place}: has no effect with engine: {engine}; it is for engine: submitit")
    for name, given in told.items():
        if isinstance(given, bool) or not isinstance(given, OF_SLURM[name]):
            kinds = " or ".join(KINDS[kind] for kind in OF_SLURM[name])
            raise UsageError(f"{place}: {name}: {shown(given)} is not {kinds}")
        if isinstance(given, (int, float)) and not (name not in ("requeues", "gpus_per_node")) <= given < math.inf:
            raise UsageError(f"{place}: {name}: {shown(given)} is too {'small' if given < 1 else 'large'}")
        if isinstance(given, list) and not all(isinstance(line, str) for line in given):
            raise UsageError(f"{place}: {name}: {shown(given)} is not a list of texts")
    if told.get("cluster", "slurm") not in ("slurm", "local"):
        raise UsageError(
            f"{place}: cluster: {shown(told['cluster'])}; there are slurm and local (jobs on this machine)"
        )
    return told
