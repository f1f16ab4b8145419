"""The runs of a study: the product of its lists, each with a name, a folder and the room's own command."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from skeleton_lab.engine.config import dict_syntax, yaml_file
from skeleton_lab.engine.config import options as command_line
from skeleton_lab.engine.config.flags import FLAGS
from skeleton_lab.engine.config.options import Options
from skeleton_lab.engine.recipe import Recipe
from skeleton_lab.errors import UsageError, nearest, one_line
from skeleton_lab.sweep import search
from skeleton_lab.sweep.study import Entry, Study

RUNS = "runs"
# Of configurations that name the stream in the place of a path, as NW-UCLA's
WORDS = {"joint": "joint", "bone": "bone", "joint-motion": "motion", "bone-motion": "bone_motion"}
LONGEST = 200  # bytes of a name, to which files add their endings
SPLITS = ("train", "test")
# What of a run's settings changes neither its numbers nor how far it goes: it may change between two sweeps.
FREE = frozenset((
    "work_dir", "config", "resume", "device", "use_gpu", "threads", "num_worker", "checkpoint_minutes", "report",
    "log_interval", "print_log", "save_log", "trust_code", "assume_yes",
))  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One run of a study.

    Attributes:
        flags: the study's, the room's and those of the grid, for whoever reads the study.
        group: the run without its seed and stream; of equal ones the streams are fused, and seeds are averaged.
        words: the arguments of the room's program.
        options: what they come to, with the configuration.
        tried: of a search: the values of this trial, by the names of the study's file.
    """

    name: str
    entry: Entry
    stream: str
    seed: int
    data: str | None
    group: str
    flags: Mapping[str, Any]
    folder: Path
    words: tuple[str, ...]
    options: Options
    tried: Mapping[str, Any] = field(default_factory=dict)

    @property
    def room(self) -> str:
        return self.entry.room.folder

    @property
    def command(self) -> tuple[str, ...]:
        """Behind ``skeleton-lab``."""
        return ("train", self.room, *self.words)

    @property
    def epochs(self) -> int:
        return int(self.options.num_epoch)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What decides the result, in the types of JSON."""
        told = {name: value for name, value in self.options.settings().items() if name not in FREE}
        return json.loads(json.dumps({"program": self.options.recipe.name, **told}, default=str))


@dataclass(frozen=True)
class Cell:
    """In what a run differs from others of its room, archive, stream and seed.

    Attributes:
        words: for its name; flags: for its command; tried: as in ``Run``.
    """

    words: Sequence[str]
    flags: Mapping[str, Any]
    tried: Mapping[str, Any] = field(default_factory=dict)


def of(study: Study, trust: bool = False) -> list[Run]:
    """All runs, in the order of the study's lists: seeds change first, then streams, then what the grid says.

    Args:
        trust: the runs have ``--trust-code``.

    Raises:
        UsageError: a stream that a room does not have, a flag or value that it does not take, two runs of one name.
    """
    runs: dict[str, Run] = {}
    cells = _trials(study) if study.engine == "ray" else _cells(study)
    for entry, (word, data), cell in itertools.product(study.rooms, study.data.items(), list(cells)):
        for stream, seed in itertools.product(study.streams, study.seeds):
            run = _run(study, entry, (word if len(study.data) > 1 else None, data), cell, stream, seed, trust)
            if run.name in runs:
                raise UsageError(
                    f"{study.path}: two runs are called {run.name}: give one of their rooms a name, "
                    "rooms: [{room: ..., name: ...}]"
                )
            runs[run.name] = run
    if study.engine == "ray":
        _check_trials(study, next(iter(runs.values())))
    return list(runs.values())


def _cells(study: Study) -> Iterator[Cell]:
    """One value of each flag of the grid."""
    for values in itertools.product(*study.grid.values()):
        cell = dict(zip(study.grid, values))
        yield Cell([f"{name}{_short(value)}" for name, value in cell.items()], cell)


def _trials(study: Study) -> Iterator[Cell]:
    for number in range(1, study.ray["trials"] + 1):
        tried = search.drawn(study.search, study.ray.get("seed", 1), number)
        yield Cell([f"trial{number}"], search.flags(tried), tried)


def _check_trials(study: Study, run: Run) -> None:
    """ASHA needs accuracies to compare, from its first comparison on; one trial stands for all."""
    if run.options.val_split == "none":
        raise UsageError(
            f"{study.path}: flags: val_split: subjects is missing: a search chooses by the accuracy on held-out "
            "training subjects; chosen by test data, the best trial's result would flatter"
        )
    grace = study.ray.get("grace_epochs", 1)
    if grace > run.epochs:
        raise UsageError(f"{study.path}: ray: grace_epochs: {grace} is more than the {run.epochs} epochs of a trial")
    if not run.options.recipe.evaluates_after(grace, run.options):
        raise UsageError(
            f"{study.path}: ray: grace_epochs: {grace}: {run.room} does not evaluate after that epoch: take one after "
            "which it does (eval_interval, eval_start; SkateFormer evaluates in the last tenth alone)"
        )


def _run(
    study: Study, entry: Entry, archive: tuple[str | None, str | None], cell: Cell, stream: str, seed: int, trust: bool
) -> Run:
    word, data = archive
    flags = _merged(study.flags, entry.flags, cell.flags)
    more = [*([word] if word else []), *cell.words]
    name = "-".join([entry.name, stream, *more, f"seed{seed}"])
    folder = study.out / RUNS / name
    place = f"{study.path}: {name}"
    if len(os.fsencode(name)) > LONGEST:
        raise UsageError(f"{study.path}: the name of a run is too long for a folder: {name[:60]}...: shorten a name")
    try:
        recipe = entry.room.recipe
        config, changed = of_stream(recipe, entry.config, stream)
        words = [
            "--config", str(config), "--work-dir", str(folder), "--seed", str(seed), "--resume",
            *spelled(_merged(changed, _of_data(data), flags)), *(["--trust-code"] if trust else []),
        ]  # fmt: skip
        options = command_line.parse(recipe, words, entry.room.path)
    except UsageError as error:
        raise UsageError(f"{place}: {one_line(error)}") from None
    return Run(name, entry, stream, seed, data, "-".join([entry.name, *more]), flags, folder, tuple(words), options,
               cell.tried)  # fmt: skip


def _merged(*levels: Mapping[str, Any]) -> dict[str, Any]:
    """Flags, of which the later ones win; mappings are merged key by key, as on the command line."""
    flags: dict[str, Any] = {}
    for level in levels:
        for name, value in level.items():
            before = flags.get(name)
            flags[name] = before | value if isinstance(before, dict) and isinstance(value, dict) else value
    return flags


def of_stream(recipe: Recipe, config: Path, stream: str) -> tuple[Path, dict[str, Any]]:
    """The configuration of a stream, and the options that it needs besides.

    Raises:
        UsageError: the room does not have the stream.
    """
    if stream not in recipe.streams:
        known = list(recipe.streams)
        raise UsageError(f"{recipe.name} has no stream '{stream}'; it has {', '.join(known)}.{nearest(stream, known)}")
    changed = dict(recipe.streams[stream])
    if (file := changed.pop("config", None)) is not None:
        config = config.with_name(file)
        if not config.is_file():
            raise UsageError(f"stream {stream}: there is no configuration {config}")
    content = yaml_file.read(config)
    wanted = changed.pop("feeder_args", {})
    for split in SPLITS:
        given = content.get(f"{split}_feeder_args") or {}
        if given.get("data_path") in WORDS.values() and stream in WORDS:
            wanted = {"data_path": WORDS[stream]}
        new = {key: value for key, value in wanted.items() if given.get(key, False) != value}
        changed |= {f"{split}_feeder_args": new} if new else {}
    return config, changed


def _of_data(data: str | None) -> dict[str, Any]:
    """The archive for both feeders; where a file has both parts they are told which (a pickle has names of its own)."""
    if data is None:
        return {}
    parts = {split: {} if data.endswith(".pkl") else {"split": split} for split in SPLITS}
    return {f"{split}_feeder_args": {"data_path": data, **parts[split]} for split in SPLITS}


def spelled(flags: Mapping[str, Any]) -> list[str]:
    """Flags as words of a command line; None leaves a flag out.

    >>> spelled({"num_epoch": 2, "step": [1, 2], "model_args": {"drop": 0.5}, "debug": False})
    ['--num-epoch', '2', '--step', '1', '2', '--model-args', 'drop=0.5', '--debug', 'no']
    """
    words: list[str] = []
    for name, value in flags.items():
        if value is None:
            continue
        words.append(FLAGS[name].option)
        values: Sequence[Any] = value if isinstance(value, (list, tuple)) else [value]
        words += [_word(each) for each in values]
    return words


def _word(value: Any) -> str:
    """One value; a mapping as people type it where that means the same: ``bone=True,window_size=16``."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, dict):
        return str(value)
    short = ",".join(f"{key}={inner}" for key, inner in value.items())
    with contextlib.suppress(UsageError):
        if dict_syntax.parse(short) == value:
            return short
    return str(value)


def _short(value: Any) -> str:
    """A value in a folder's name: what cannot stand there becomes ``_``."""
    text = json.dumps(value, default=str).replace('"', "").replace(" ", "")
    return "".join(letter if letter.isalnum() or letter in "-_.+" else "_" for letter in text)
