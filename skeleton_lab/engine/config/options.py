"""From command line and YAML to the options of a run.

Later wins: built-in default, YAML file, ``--memory-friendly``, window flags, explicit flags.
"""

from __future__ import annotations

import argparse
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skeleton_lab.engine.config import command_line, unused_flags, yaml_file
from skeleton_lab.engine.config.dict_syntax import merge
from skeleton_lab.engine.config.flags import DEMO_KEYS, FLAGS, PRESET, PRESET_WINDOW
from skeleton_lab.engine.config.values import convert
from skeleton_lab.engine.recipe import Recipe
from skeleton_lab.errors import UsageError, nearest
from skeleton_lab.utils import cpus
from skeleton_lab.utils.atomic import write_atomically

FILES = ("config", "weights", "checkpoint")  # flags with the name of a file


class Options(argparse.Namespace):
    """Every flag of ``flags.FLAGS`` as an attribute, and how they came about.

    Attributes:
        recipe: of the program.
        explicit: names that the YAML file or the command line gave (not those that the program ignores).
        typed: those of them that the command line gave, or the keywords of a function.
        typed_args: the same of ``model_args``, the keys of inner mappings behind a dot (``graph_args.layout``).
        argv: the arguments as typed; none where no command line was.
        room_dir: the program's folder.
        notices: lines to log once.
    """

    recipe: Recipe
    explicit: set[str]
    typed: set[str]
    typed_args: set[str]
    argv: list[str]
    room_dir: Path
    notices: list[str]

    def settings(self) -> dict[str, Any]:
        """Flag name -> value, sorted by name."""
        return {name: getattr(self, name) for name in sorted(FLAGS)}


def parse(recipe: Recipe, argv: Sequence[str], room_dir: str | Path) -> Options:
    """The options of one run from its command line.

    Args:
        recipe: of the program.
        argv: arguments behind ``main.py``, with its sub-command where it has one.
        room_dir: the program's folder, kept for whoever resolves paths.

    Raises:
        UsageError: anything the user has to put right; one line.
        SystemExit: 0, after ``--help``.
    """
    return completed(recipe, command_line.read(recipe, list(argv)), room_dir, argv)


def from_values(recipe: Recipe, values: Mapping[str, Any], room_dir: str | Path) -> Options:
    """The options of one run from a function's keywords, named as the flags and checked like a YAML file's keys.

    ``work_dir`` may be missing, for functions that write nothing.

    Raises:
        UsageError: no such flag, or a value that it does not take.
    """
    flags = {}
    for name, value in {"work_dir": "work_dir", **values}.items():
        if name not in FLAGS:
            raise UsageError(f"unknown option '{name}'.{nearest(name, FLAGS)}")
        given = convert(FLAGS[name], value, name)
        flags[name] = [given] if FLAGS[name].kind == "dict" else given
    return completed(recipe, flags, room_dir, ())


def completed(recipe: Recipe, flags: dict[str, Any], room_dir: str | Path, argv: Sequence[str]) -> Options:
    """Defaults and the YAML file under the flags given; a dict flag's value is a list of dictionaries."""
    for name in (*recipe.flags, *recipe.without_effect, *recipe.defaults, *recipe.helps):
        if name not in FLAGS:
            raise UsageError(f"recipe of {recipe.name}: there is no flag '{name}'.{nearest(name, FLAGS)}")
    notices: list[str] = []
    flags = _heard(flags, recipe, notices)
    config = _from_file(recipe, flags.get("config"), Path(room_dir), notices)

    values = {name: recipe.default(flag) for name, flag in FLAGS.items()} | config
    if flags.get("memory_friendly", values["memory_friendly"]):
        values |= PRESET
    values |= {name: value for name, value in flags.items() if FLAGS[name].kind != "dict"}
    for name in (name for name, flag in FLAGS.items() if flag.kind == "dict"):
        written, typed = config.get(name, {}), flags.get(name, [])
        # A feeder that nobody configured stays that way: no test data, no evaluation.
        between = _between(recipe, name, written, values, flags) if written or typed else {}
        values[name] = merge(written, between, *typed)

    options = Options(
        **values, recipe=recipe, argv=list(argv), room_dir=Path(room_dir), notices=notices,
        explicit=set(config) | set(flags), typed=set(flags), typed_args=_keys(flags.get("model_args", [])),
    )  # fmt: skip
    options.notices += unused_flags.without_effect(options, flags)
    _complete(options, forward_is_preset=options.memory_friendly and "forward_batch_size" not in flags)
    _check(options)
    return options


def _keys(given: Sequence[Mapping[str, Any]]) -> set[str]:
    """The keys of mappings and, behind a dot, of those in them."""
    keys = {key for each in given for key in each}
    inner = [(key, value) for each in given for key, value in each.items() if isinstance(value, Mapping)]
    return keys | {f"{key}.{name}" for key, value in inner for name in value}


def _from_file(recipe: Recipe, path: str | None, room_dir: Path, notices: list[str]) -> dict[str, Any]:
    """Converted values of the YAML file; the keys of other programs are dropped with a notice."""
    if path is None:
        return {}
    if not Path(path).exists() and not Path(path).is_absolute() and (room_dir / path).exists():
        raise UsageError(f"--config {path}: there is no such file here; change to {room_dir} first")
    config, foreign = {}, []
    for key, value in yaml_file.read(path).items():
        if key in DEMO_KEYS:
            foreign.append(key)
        elif key not in FLAGS:
            raise UsageError(f"--config {path}: unknown key '{key}'.{nearest(str(key), FLAGS)}")
        elif key == "trust_code" and value not in (False, None):
            raise UsageError(f"--config {path}: trust_code is for the command line, where you say it yourself")
        elif recipe.honours(FLAGS[key]):
            config[key] = convert(FLAGS[key], value, f"--config {path}: {key}")
        elif value != recipe.default(FLAGS[key]):
            foreign.append(key)
    if foreign:
        notices.append(f"--config {path}: {recipe.name} ignores {', '.join(foreign)}")
    _say_unused(config, recipe, notices)
    return config


def _heard(flags: dict[str, Any], recipe: Recipe, notices: list[str]) -> dict[str, Any]:
    """The flags that the program honours; a notice for each other one.

    An empty file name is refused, as of a variable of the shell that is not set: the run would go on without the file.
    """
    for name in FILES:
        if flags.get(name) == "":
            raise UsageError(f"{FLAGS[name].option} is empty: name a file, or leave the flag out")
    own = {name: value for name, value in flags.items() if recipe.honours(FLAGS[name])}
    notices += [f"{FLAGS[name].option}: {recipe.name} ignores this flag" for name in flags if name not in own]
    _say_unused(own, recipe, notices)
    return own


def _say_unused(given: dict[str, Any], recipe: Recipe, notices: list[str]) -> None:
    for name, value in given.items():
        flag = FLAGS[name]
        if recipe.unused(flag) and value != recipe.default(flag):
            notices.append(f"{flag.option}: no effect in {recipe.name}")


def _between(recipe: Recipe, name: str, written: dict, values: dict, flags: dict) -> dict[str, Any]:
    """What preset, window flags and ``--debug`` put between the feeder arguments of the YAML file and explicit ones."""
    split, _, kind = name.partition("_")
    if kind != "feeder_args":
        return {}
    result: dict[str, Any] = {}
    if values["memory_friendly"]:
        window = written.get("window_size")
        if not (isinstance(window, int) and window > 0):  # -1 would make random crops of 0 or 299 frames
            result["window_size"] = PRESET_WINDOW
        if split == "train":
            result |= recipe.memory_friendly
    if (window := values[f"{split}_window_size"]) is not None:
        result["window_size"] = window
    crop = recipe.crops.get(split)
    sizes = [given["window_size"] for given in (result, *flags.get(name, [])) if "window_size" in given]
    if crop and any(isinstance(size, int) and size > 0 for size in sizes) and not result.get("random_choose"):
        result["crop"] = crop
    if values["debug"] or "debug" in flags:
        result["debug"] = values["debug"]
    return result


def _complete(options: Options, forward_is_preset: bool) -> None:
    """Values that depend on the machine or on one another."""
    if options.num_worker is None:
        named = len(options.device) if isinstance(options.device, list) else 1
        each = options.recipe.workers_per_device
        options.num_worker = each * named if each else cpus.available().count
    if forward_is_preset:
        options.forward_batch_size = math.gcd(options.forward_batch_size, options.batch_size)


def _check(options: Options) -> None:
    """What no flag alone can tell."""
    if not options.work_dir:
        raise UsageError("--work-dir is missing: name a folder for the results")
    if options.skeleton is not None:
        from skeleton_lab.skeletons import layouts  # here: few name one

        layouts.layout(options.skeleton)
    if options.phase == "test" and not options.weights:
        raise UsageError("Please appoint --weights.")
    if options.observe and options.phase != "test":
        raise UsageError(
            "--observe belongs to --phase test; a training on the beginnings of clips is "
            "--train-feeder-args observe=0.5, or observe=[0.2,1] for random shares"
        )
    if options.corrupt:
        if options.phase != "test":
            raise UsageError("--corrupt belongs to --phase test")
        from skeleton_lab.data.feeders import corruption  # here: few ask for it

        corruption.parsed(options.corrupt)
    for name in ("train_window_size", "test_window_size"):
        if getattr(options, name) == 0:
            raise UsageError(f"{FLAGS[name].option}: 0 frames make no clip; -1 is the whole one")
    if options.half and options.precision not in ("32", "16-mixed"):
        raise UsageError(f"--half and --precision {options.precision} contradict each other")
    if options.phase != "train":
        return
    batch, forward = options.batch_size, options.forward_batch_size
    if forward is not None and batch % forward:
        raise UsageError(
            f"--batch-size {batch} is not a multiple of --forward-batch-size {forward}; "
            f"--forward-batch-size {math.gcd(batch, forward)} would do"
        )
    if options.early_stopping and options.val_split == "none":
        raise UsageError(
            "--early-stopping needs a validation split, as --val-split subjects makes one: stopped by its test data, a "
            "training would be chosen on what it is measured with"
        )
    if options.freeze and not options.weights:
        raise UsageError("--freeze backbone keeps what --weights brings: name the weights of a trained network")
    if options.start_epoch >= options.num_epoch:
        raise UsageError(
            f"--start-epoch {options.start_epoch} leaves nothing to train: --num-epoch {options.num_epoch} is the last"
        )


def save(options: Options, path: str | Path) -> None:
    """Write ``config.yaml``: what ran, sorted by key, usable as ``--config`` for the same run again.

    Presets, window flags, ``--memory`` and ``--scale-lr`` have done their work on the other values by then and are
    written as not given, so that reading the file does not apply them twice; neither does it resume.

    Raises:
        UsageError: the file cannot be written.
    """
    done = {
        "memory": None,
        "memory_friendly": False,
        "scale_lr": "none",
        "train_window_size": None,
        "test_window_size": None,
        "resume": False,
        "trust_code": False,
    }
    text = yaml_file.dump(options.settings() | done, indent=options.recipe.yaml_indent)
    if options.recipe.yaml_command and options.argv:
        command = shlex.join(["main.py", *options.argv])
        command = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in command)
        text = f"# command line: {command}\n\n{text}"
    if not Path(path).parent.is_dir():
        raise UsageError(f"{path}: cannot be written (there is no folder {Path(path).parent})")
    try:
        write_atomically(Path(path), lambda file: file.write(text.encode(errors="backslashreplace")))
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from None
