"""The parser of every script: what is wrong with the flags is one line, with the nearest flag that exists."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from typing import NoReturn

from skeleton_lab.errors import USAGE, UsageError, nearest, one_line

_command = ""  # the words of ``skeleton-lab`` that have started the program, if they have


@contextlib.contextmanager
def started_as(command: str) -> Iterator[None]:
    """Meanwhile usage lines begin with ``command``. (Not by ``sys.argv[0]``: Fabric starts further processes by it.)"""
    global _command
    before, _command = _command, command
    try:
        yield
    finally:
        _command = before


def called(script: str) -> str:
    """What a usage line calls the program: the script, or the command that has started it."""
    return _command or script


def _module() -> str:
    """``python -m skeleton_lab.cost`` where Python was started so."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {spec.name.removesuffix('.__main__')}" if spec else ""


class Parser(argparse.ArgumentParser):
    """``ArgumentParser`` without abbreviations; ``--two-words`` may be written ``--two_words`` and the reverse.

    A mistake is one line on stderr that begins with ``error:``, and exit code 2.
    """

    def __init__(self, prog: str = "", **settings) -> None:
        super().__init__(prog=called(prog or _module()) or None, allow_abbrev=False, **settings)  # None: the script

    def parse_known_args(self, args=None, namespace=None):
        spelled = [self._spelled(word) for word in (sys.argv[1:] if args is None else args)]
        return super().parse_known_args(spelled, namespace)

    def _spelled(self, word: str) -> str:
        """A flag in the spelling that is declared; anything else as it is."""
        flag, equals, value = str(word).partition("=")
        if not flag.startswith("--") or flag in self._option_string_actions:
            return str(word)
        same = {known.replace("_", "-"): known for known in self._option_string_actions}
        return same.get(flag.replace("_", "-"), flag) + equals + value

    def error(self, message: str) -> NoReturn:
        words = message.split(": ", 1)[-1].split() if message.startswith("unrecognized") else []
        word = words[0] if words else ""
        hint = nearest(word, self._option_string_actions) if word.startswith("-") else ""
        self.exit(USAGE, f"error: {one_line(message)}{hint} (--help lists the flags)\n")


class Defaults(argparse.HelpFormatter):
    """Help with the default of every flag that has one, behind its text."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        shown = isinstance(action.default, (int, float, str)) and not isinstance(action.default, bool)
        shown = shown and action.default != argparse.SUPPRESS
        return f"{action.help} (default: %(default)s)" if shown else action.help


def check_sizes(options: argparse.Namespace, *flags: str) -> None:
    """UsageError if one of the flags is below 1."""
    for flag in flags:
        if getattr(options, flag) < 1:
            raise UsageError(f"--{flag.replace('_', '-')} must be at least 1, not {getattr(options, flag)}")
