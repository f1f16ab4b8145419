"""Errors that a user can act on: one line on the screen, exit code 2, no traceback.

``LabError`` is what programs catch.  The archive errors are also the built-in type that a caller of the library
expects (``ValueError`` for a bad shape, ``FileNotFoundError`` for a missing file ...), so both styles work.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterable

USAGE = 2
FAILURE = 1


LONGEST = 1500  # characters of a message: one that quotes a damaged file could be as long as the file


class LabError(Exception):
    """Something the user can put right; the message names the file, flag or key and what to do."""

    def __init__(self, *args: object) -> None:
        if args and isinstance(args[0], str) and len(args[0]) > LONGEST:
            args = (f"{args[0][: LONGEST - 500]} ... {args[0][-490:]}", *args[1:])
        super().__init__(*args)


class UsageError(LabError, ValueError):
    """A flag, a configuration key or a combination of them cannot work."""


class ArchiveError(LabError, ValueError):
    """A data file is not what its place says: wrong shape, truncated, NaN, labels out of range."""


class ArchiveNotFoundError(LabError, FileNotFoundError):
    """A data file does not exist."""


class ArchiveKeyError(LabError, KeyError):
    """A data file lacks a member."""

    __str__ = Exception.__str__  # KeyError would print the repr


class FeederArgumentError(LabError, TypeError):
    """A feeder got an argument that no feeder of its family has."""


class WeightsError(LabError, RuntimeError):
    """A weights file is missing, unreadable or does not fit the model."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the closest known word, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def guarded(program: Callable[[], int | None]) -> int:
    """Run ``program``; a user's mistake becomes one line on stderr and exit code 2.

    ``SKELETON_LAB_TRACEBACK=1`` shows the traceback instead, for people who work on the lab itself.
    """
    try:
        return program() or 0
    except LabError as error:
        if os.environ.get("SKELETON_LAB_TRACEBACK"):
            raise
        print(f"error: {one_line(error)}", file=sys.stderr)
        return USAGE
    except SystemExit as stop:  # of a parser: --help, or flags that are wrong, which it has told
        if not isinstance(stop.code, int):
            raise
        return stop.code
    except BrokenPipeError:  # whoever read our output has enough of it, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered goes nowhere
        return FAILURE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
