"""``skeleton-lab VERB ...``: every program of the lab by one name, from any folder.

A verb either starts a program of a room (its ``main.py``, ``predict.py`` ...) with the same flags, or calls a program
of the package. Nothing heavy is imported before the program is known.
"""

from __future__ import annotations

import importlib
import runpy
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from skeleton_lab import registry
from skeleton_lab.errors import UsageError, guarded, nearest
from skeleton_lab.registry import Room
from skeleton_lab.utils.cli import started_as

NAME = "skeleton-lab"


@dataclass(frozen=True)
class Verb:
    """What a word starts.

    Attributes:
        about: a line for the table.
        program: of a verb without a room, ``module:function``.
        scripts: of a verb with a room, the script that does it: the first one that the room has.
        words: flags that the verb stands for, by the name of the script.
        configured: the script takes ``--config``; without one it gets the room's own.
        of_room: the program's first word is a supervised room.
        kinds: programs of a verb without a room, by the word behind the verb; other words are for ``program``.
        without_room: a flag with which the verb needs no room, and the program that it then is.
    """

    about: str
    program: str = ""
    scripts: tuple[str, ...] = ()
    words: tuple[tuple[str, tuple[str, ...]], ...] = ()
    configured: bool = False
    of_room: bool = False
    kinds: tuple[tuple[str, str], ...] = ()
    without_room: tuple[str, str] | None = None

    @property
    def takes_room(self) -> bool:
        return bool(self.scripts) or self.of_room


TRAIN = ("main.py", "train.py")  # the second: of the zero-shot rooms
VERBS = {
    "train": Verb("train the room's network", scripts=TRAIN, configured=True),
    "test": Verb("test weights of the room's network", scripts=TRAIN, configured=True,
                 words=(("main.py", ("--phase", "test")), ("train.py", ("--mode", "eval")))),
    "live": Verb("name actions while they happen: key points from a pipe, a growing file, UDP",
                 "skeleton_lab.live.program:main", of_room=True),
    "calibrate": Verb("how sure a network may be, and when it had better not know",
                      "skeleton_lab.calibration.program:main", of_room=True),
    "predict": Verb("what trained weights say to recordings of your own", scripts=("predict.py",), configured=True,
                    without_room=("--onnx", "skeleton_lab.inference.onnx_program:main")),
    "export": Verb("a trained network as an ONNX file for other runtimes", "skeleton_lab.export.program:main",
                   of_room=True),
    "few-shot": Verb("classes by the nearest of a few clips, in a network's feature space",
                     "skeleton_lab.one_shot.few_shot:main", of_room=True),
    "one-shot": Verb("NTU RGB+D 120's one-shot protocol", "skeleton_lab.one_shot.program:main", of_room=True),
    "explain": Verb("which joints and moments a network's decision rests on",
                    "skeleton_lab.explain.program:main", of_room=True),
    "multimodal": Verb("what descriptors of images, beside an archive, add to a trained network",
                       "skeleton_lab.multimodal.program:main", of_room=True),
    "ensemble": Verb("add the scores of several streams", scripts=("ensemble.py",)),
    "convert": Verb("an archive from one layout to another", "skeleton_lab.data.archives.convert:main"),
    "convert-config": Verb("a PYSKL configuration (.py) as YAML", "skeleton_lab.engine.config.convert_config:main"),
    "prepare": Verb("raw recordings, and clips of your own, to archives",
                    "skeleton_lab.data.preprocessing.programs:prepare",
                    kinds=(("clips", "skeleton_lab.inference.clips.program:main"),)),
    "check": Verb("what is wrong with an archive", "skeleton_lab.doctor.__main__:main"),
    "view": Verb("clips of an archive as a page, GIF, MP4 or PNG", "skeleton_lab.reporting.viewer.__main__:main"),
    "report": Verb("the page of a finished run", "skeleton_lab.reporting.run_report.__main__:main"),
    "sweep": Verb("many runs from one file: started, resumed, fused", "skeleton_lab.sweep.program:main"),
    "robustness": Verb("runs compared by their accuracy on corrupted clips",
                       "skeleton_lab.reporting.run_report.robustness:main"),
    "compare": Verb("finished runs beside each other: accuracy, classes, cost", "skeleton_lab.compare.program:main"),
    "cost": Verb("what training costs, and whether it fits a GPU", "skeleton_lab.cost.__main__:main"),
    "plan": Verb("which rooms a machine or a card can train, and how long", "skeleton_lab.plan.__main__:main"),
    "skeletons": Verb("the skeletons it knows, listed or drawn", "skeleton_lab.reporting.skeletons.__main__:main"),
    "synthetic": Verb("an archive of people who never lived", "skeleton_lab.data.synthetic.archive:main"),
    "extract": Verb("features of a trained network for zero-shot", "skeleton_lab.zero_shot.features.program:main"),
}  # fmt: skip
COMPLETION = """\
_skeleton_lab() {{
  local word=${{COMP_WORDS[COMP_CWORD]}}
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{verbs}" -- "$word"))
    return
  fi
  [ "$COMP_CWORD" -eq 2 ] || return 0
  local rooms= images=
  case ${{COMP_WORDS[1]}} in
{rooms}
  esac
  COMPREPLY=($(compgen -W "$rooms" -- "$word"))
  [ "${{#COMPREPLY[@]}}" -gt 0 ] || COMPREPLY=($(compgen -W "$images" -- "$word"))
}}
complete -o default -F _skeleton_lab {name}"""


def of_room(verb: Verb) -> list[Room]:
    """The rooms that are here and have the verb."""
    scripts = TRAIN[:1] if verb.of_room else verb.scripts
    return [room for room in registry.ROOMS if any((room.path / script).is_file() for script in scripts)]


def table() -> str:
    """The verbs, one on a line."""
    lines = [
        f"usage: {NAME} VERB [ROOM] [flags]       {NAME} VERB [ROOM] --help lists the flags",
        "",
        *(f"  {f'{word} ROOM' if verb.takes_room else word:<15} {verb.about}" for word, verb in VERBS.items()),
        "",
        f"rooms: {', '.join(room.folder for room in registry.ROOMS if room.path.is_dir())}",
        f"completion in bash: eval \"$({NAME} --completion bash)\"",
    ]  # fmt: skip
    return "\n".join(lines)


def completion(shell: str) -> str:
    """A script for the shell that completes verbs, rooms (by folder, else by image), and files behind them."""
    if shell != "bash":
        raise UsageError(f"--completion {shell}: there is one for bash")
    cases = [
        f'    {word}) rooms="{" ".join(room.folder for room in of_room(verb))}" '
        f'images="{" ".join(room.image for room in of_room(verb))}" ;;'
        for word, verb in VERBS.items()
        if verb.takes_room
    ]
    return COMPLETION.format(verbs=" ".join(VERBS), rooms="\n".join(cases), name=NAME)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code.

    Args:
        argv: arguments; None for those of the process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: command(words))


def command(words: list[str]) -> int:
    """One verb.

    Raises:
        UsageError: an unknown verb or room, or a room that does not have the verb.
        SystemExit: of the program.
    """
    first = words[0] if words else "--help"
    if first in ("-h", "--help", "help"):
        print(table())
        return 0
    if first == "--version":
        print(f"{NAME} {importlib.import_module('skeleton_lab').__version__}")
        return 0
    if first == "--completion":
        print(completion(words[1] if len(words) > 1 else "bash"))
        return 0
    if first not in VERBS:
        raise UsageError(f"there is no verb '{first}'; verbs are {', '.join(VERBS)}.{nearest(first, VERBS)}")
    verb, rest = VERBS[first], words[1:]
    if verb.program:
        return call(first, verb, rest)
    if verb.without_room and any(word.partition("=")[0] == verb.without_room[0] for word in rest):
        if not rest[0].startswith("-"):
            raise UsageError(f"{NAME} {first} {verb.without_room[0]} FILE takes no room: leave out {rest[0]}")
        return call(first, Verb(verb.about, verb.without_room[1]), rest)
    if not rest or rest[0].startswith("-"):
        rooms = ", ".join(room.folder for room in of_room(verb))
        if rest[:1] in (["-h"], ["--help"]):
            print(f"usage: {NAME} {first} ROOM [flags]       {NAME} {first} ROOM --help lists the flags\n")
            print(f"{verb.about}; rooms: {rooms}")
            if verb.configured:
                print("--config FILE is one of yours or one of the room's; without it the room's own is taken")
            if verb.without_room:
                flag = verb.without_room[0]
                print(f"{NAME} {first} {flag} FILE needs no room; {NAME} {first} {flag} --help lists its flags")
            return 0
        raise UsageError(f"{NAME} {first} ROOM [flags]: name a room: {rooms}")
    return start(first, verb, registry.find(rest[0]), rest[1:])


def call(word: str, verb: Verb, argv: list[str]) -> int:
    """A program of the package, in whose usage line the verb stands, and the kind."""
    chosen = verb.program
    if argv and argv[0] in dict(verb.kinds):
        chosen = dict(verb.kinds)[argv[0]]
        word, argv = f"{word} {argv[0]}", argv[1:]
    module, function = chosen.split(":")
    program = getattr(importlib.import_module(module), function)
    with started_as(f"{NAME} {word}"):
        return program(argv) or 0


def start(word: str, verb: Verb, room: Room, argv: list[str]) -> int:
    """A room's script, as ``python SCRIPT`` starts it: same flags, same files, but in the folder of the user.

    In its usage line stand the verb and the room.
    """
    if not room.path.is_dir():
        raise UsageError(f"room {room.folder} is not here: there is no folder {room.path}")
    script = next((name for name in verb.scripts if (room.path / name).is_file()), None)
    if script is None:
        has = ", ".join(each.folder for each in of_room(verb))
        raise UsageError(f"room {room.folder} has no '{word}'; rooms that have: {has}")
    words = [*argv, *dict(verb.words).get(script, ())]
    if verb.configured and room.config is not None and not {"-h", "--help"} & set(argv):
        words = configured(room, words, takes_work_dir=script in TRAIN)
    file = room.path / script
    sys.argv = [str(file), *words]
    sys.path.insert(0, str(room.path))  # as Python itself does for a script
    with started_as(f"{NAME} {word} {room.folder}"):
        runpy.run_path(str(file), run_name="__main__")  # ends with SystemExit
    return 0


def configured(room: Room, words: list[str], takes_work_dir: bool) -> list[str]:
    """The flags with a configuration that is found from here: the one named, in the room too, or the room's own.

    A prediction takes the one that the weights' run left beside them, where it is there. Where neither the
    configuration nor the flags name a work dir, that is ``work_dir/<image>`` in the current folder.

    Raises:
        UsageError: there is no such configuration.
    """
    at, config = _value(words, "--config", "-c")
    if config is None:
        weights = None if takes_work_dir else _value(words, "--weights", "--weights")[1]
        beside = None if weights is None else registry.config_beside(Path(weights))
        config = str(beside or room.path / room.config)
        begin = next((n for n, word in enumerate(words) if word.startswith("-")), len(words))  # behind ``recognition``
        words = [*words[:begin], "--config", config, *words[begin:]]
    elif not Path(config).exists():
        config = _of_the_room(room, config)
        words = [*words[:at], config, *words[at + 1 :]]
    if takes_work_dir and _value(words, "--work-dir", "-w")[1] is None and not _names_work_dir(Path(config)):
        words = [*words, "--work-dir", f"work_dir/{room.image}"]
    return words


def _of_the_room(room: Room, config: str) -> str:
    """The path of a room's configuration; UsageError that names those that may be meant."""
    if (room.path / config).is_file():
        return str(room.path / config)
    known = sorted(path.relative_to(room.path).as_posix() for path in (room.path / "config").rglob("*.yaml"))
    alike = [name for name in known if Path(name).name == Path(config).name]
    quoted = " or ".join(f"'{name}'" for name in alike[:3])
    hint = f" Did you mean {quoted}?" if alike else nearest(config, known)
    raise UsageError(f"--config {config}: there is no such file, neither here nor in {room.folder}.{hint}")


def _value(words: list[str], long: str, short: str) -> tuple[int, str | None]:
    """Where the value of a flag stands, and the value; ``--flag=VALUE`` is taken apart. (0, None): it is not given."""
    for place, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag.replace("_", "-") != long and not (flag == short or (flag[:2] == short and flag[:2] != "--")):
            continue
        if flag not in (short,) and flag[:2] == short:  # -wDIR
            equals, value = "=", word[2:].removeprefix("=")
        if equals:
            words[place : place + 1] = [long, value]
        return (place + 1, words[place + 1]) if place + 1 < len(words) else (0, None)
    return 0, None


def _names_work_dir(config: Path) -> bool:
    from skeleton_lab.engine.config import yaml_file

    return bool(yaml_file.read(config).get("work_dir"))
