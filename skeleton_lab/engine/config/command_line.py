"""The command line: any spelling of a flag in, one value per flag out.  ``argparse`` does the grouping of values."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from skeleton_lab.engine.config.flags import FLAGS, GROUPS, Flag
from skeleton_lab.engine.config.values import convert, shown
from skeleton_lab.engine.recipe import Recipe
from skeleton_lab.errors import UsageError, nearest
from skeleton_lab.utils.cli import called

_SHORT = {flag.short: flag.name for flag in FLAGS.values() if flag.short}
ALIASES = {"lr": "base_lr", "learning_rate": "base_lr"}  # as other programs have it
_LISTS = ("ints", "floats", "strs", "device", "classes")
_METAVARS = {
    "int": "N", "ints": "N", "float": "X", "floats": "X", "bool": "YES|NO", "str": "TEXT", "strs": "TEXT",
    "dict": "DICT", "device": "DEVICE",
    "classes": "CLASSES", "memory": "auto|GIB",
}  # fmt: skip


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message.removeprefix("argument "))


def _subcommand(recipe: Recipe, argv: list[str]) -> list[str]:
    """The arguments behind the sub-command."""
    wanted = recipe.subcommand
    if not argv or argv[0].startswith("-") or not wanted:
        return argv
    if argv[0] in recipe.demos:
        raise UsageError(f"'{argv[0]}' needs OpenPose and is not part of this lab; '{wanted}' trains and tests")
    if argv[0] != wanted:
        raise UsageError(f"unknown sub-command '{argv[0]}'.{nearest(argv[0], [wanted]) or f' There is {wanted!r}.'}")
    return argv[1:]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _flag_name(option: str, recipe: Recipe) -> str:
    """The flag behind ``--batch_size``, ``--batch-size``, ``--batch`` or ``-model_saved_name``.

    An abbreviation is looked up among the program's own flags before those of the others. It is refused where it may
    mean another flag: one that begins so too, or whose last word it is (``--log``: log_interval, print_log).
    """
    word = option.lstrip("-").replace("-", "_")
    if word == "help" or option == "-h":
        return "help"
    if option in _SHORT:
        return _SHORT[option]
    if word in FLAGS or word in ALIASES:
        return ALIASES.get(word, word)
    own = [name for name, flag in FLAGS.items() if recipe.honours(flag)]
    if option.startswith("--") and word:
        found = next((names for flags in (own, list(FLAGS)) if (names := _meant(word, flags))), [])
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(f"{option} is ambiguous, it could be {_listed(found)}")
    related = [name for name in own if set(word.split("_")) & set(name.split("_"))]
    known = [flag.option for flag in FLAGS.values()]
    hint = nearest("--" + word.replace("_", "-"), known)
    if len(related) > 1 and "_" not in word:  # --decay
        hint = f" It could be {_listed(related)}."
    raise UsageError(f"unknown flag {option}.{hint}")


def _meant(word: str, flags: list[str]) -> list[str]:
    """The flags that ``word`` abbreviates, and if there is one, those that it names as well."""
    together = word.replace("_", "")  # --warmup is --warm-up-epoch
    found = [name for name in flags if name.replace("_", "").startswith(together)]
    return found + [name for name in flags if found and name.endswith(f"_{word}")]


def _listed(names: list[str]) -> str:
    return ", ".join(FLAGS[name].option for name in names)


def _spelled(argv: list[str], recipe: Recipe) -> list[str]:
    """The arguments with every flag in its one spelling; values stay as they are."""
    result = []
    for argument in argv:
        if not argument.startswith("-") or argument == "-" or _is_number(argument):
            result.append(argument)
            continue
        option, equals, value = argument.partition("=")
        if option[:2] in _SHORT and option.lstrip("-").replace("-", "_") not in FLAGS:  # -wDIR, -w=DIR, -w DIR
            result += [FLAGS[_SHORT[option[:2]]].option, *([argument[2:].removeprefix("=")] if argument[2:] else [])]
            continue
        name = _flag_name(option, recipe)
        result.append("--" + name.replace("_", "-") + equals + value)
    return result


def _help_line(flag: Flag, recipe: Recipe) -> str:
    default, text = recipe.default(flag), recipe.helps.get(flag.name, flag.help)
    if isinstance(default, list):
        default = " ".join(str(item) for item in default)
    note = " (no effect here)" if recipe.unused(flag) and not text.startswith("no effect") else ""
    shown_default = "" if default in (None, "", {}) else f" [{default}]"
    return f"{text}{note}{shown_default}".replace("%", "%%")


def _parser(recipe: Recipe) -> _Parser:
    parser = _Parser(
        prog=f"{called('main.py')} {recipe.subcommand}".rstrip(),
        usage="%(prog)s [--config FILE] [flags]",
        description=f"Train or test {recipe.name}. Defaults in brackets; they give way to the YAML file, "
        "that to flags.",
        epilog="Hyphens and underscores are the same; flags can be abbreviated, and --lr is --base-lr.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    groups = {name: parser.add_argument_group(name) for name in GROUPS}
    for flag in FLAGS.values():
        shape: dict[str, Any] = {
            "metavar": "{" + ",".join(flag.choices) + "}" if flag.choices else _METAVARS[flag.kind]
        }
        if flag.kind in _LISTS:
            shape["nargs"] = "+"
        elif flag.kind == "bool":
            shape |= {"nargs": "?", "const": "true"}
        elif flag.kind == "dict":
            shape["action"] = "append"
        names = [flag.option, *([flag.short] if flag.short else [])]
        text = _help_line(flag, recipe) if recipe.honours(flag) else argparse.SUPPRESS
        groups[flag.group].add_argument(*names, dest=flag.name, help=text, **shape)
    return parser


def read(recipe: Recipe, argv: list[str]) -> dict[str, Any]:
    """The flags given, name -> value in its type; a dict flag given n times is a list of n dictionaries.

    Raises:
        UsageError: unknown, ambiguous or incomplete flag, a value that is not of the flag's type.
        SystemExit: 0, after ``--help``.
    """
    arguments = _spelled(_subcommand(recipe, list(argv)), recipe)
    given, left = _parser(recipe).parse_known_args(arguments)
    if left:
        raise UsageError(f"{shown(left[0])} belongs to no flag; a text with blanks needs quotes around it")
    result = {}
    for name, value in vars(given).items():
        flag = FLAGS[name]
        if flag.kind == "dict":
            result[name] = [convert(flag, text, flag.option) for text in value]
        else:
            result[name] = convert(flag, value, flag.option)
    return result
