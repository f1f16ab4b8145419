"""Errors that a user can act on: one line on the screen, exit code 2, no traceback.

``LabError`` is what programs catch.  The archive errors are also the built-in type that a caller of the library
expects (``ValueError`` for a bad shape, ``FileNotFoundError`` for a missing file ...), so both styles work.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, TextIO

USAGE = 2
FAILURE = 1
# What a terminal obeys, or what hides the order of characters: controls, marks of direction, halves of surrogate pairs.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_OF_BARS = re.compile(r"\r+|(?:\n|\x1b\[A)+$")  # what progress bars begin a text with, or write alone
_OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOMEM, errno.EMFILE,
                   errno.ENFILE, errno.EIO, errno.ESTALE)  # fmt: skip

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


def printable(text: str) -> str:
    """``text`` with escapes for the characters that would steer a terminal; ends of lines and tabs stay.

    >>> printable("walk\\x1b[2Jing")
    'walk\\\\x1b[2Jing'
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def one_line(error: BaseException | str) -> str:
    return printable(" ".join(str(error).split()))


def listing(names: Iterable[str]) -> str:
    """Names found in a file, for a message of one line: a damaged name holds anything."""
    return ", ".join(one_line(name) for name in names) or "none"


class Screen:
    """A text stream that shows control characters instead of sending them; names from files end up in many lines.

    What the bars of tqdm write passes: carriage returns in front of a text, and moves of the cursor alone.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        begin = match.end() if (match := _OF_BARS.match(text)) else 0
        shown = text[:begin] + printable(text[begin:])
        try:
            self._stream.write(shown)
        except UnicodeEncodeError:  # a terminal of few characters
            code = self._stream.encoding
            self._stream.write(shown.encode(code, "backslashreplace").decode(code))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def clean_record(record: logging.LogRecord) -> bool:
    """A filter of the library's logger: its lines go to handlers of all kinds."""
    record.msg, record.args = printable(record.getMessage()), ()
    return True


logging.getLogger("skeleton_lab").addFilter(clean_record)


def guarded(program: Callable[[], int | None]) -> int:
    """Run ``program``; a user's mistake, and what the machine lacks, become one line on stderr and exit code 2.

    Control characters do not reach the terminal from here on. ``SKELETON_LAB_TRACEBACK=1`` shows the traceback
    instead of the line, for people who work on the lab itself.
    """
    with contextlib.redirect_stdout(Screen(sys.stdout)), contextlib.redirect_stderr(Screen(sys.stderr)):
        return _guarded(program)


def _guarded(program: Callable[[], int | None]) -> int:
    try:
        return program() or 0
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
    except (LabError, OSError, MemoryError, ValueError, RuntimeError) as error:
        told = None if os.environ.get("SKELETON_LAB_TRACEBACK") else _told(error)
        if told is None:
            raise
        print(f"error: {told}", file=sys.stderr)
        return USAGE


def _told(error: Exception) -> str | None:
    """The line for an error of the user or of the machine; None for one of the program."""
    if isinstance(error, LabError):
        return one_line(error)
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):  # torch's is a RuntimeError
        return f"there is not enough memory ({one_line(error) or 'none left'}); take less data or a smaller batch"
    if isinstance(error, OSError):
        if error.filename is None and error.errno not in _OF_THE_MACHINE:
            return None
        place = "" if error.filename is None else f"{one_line(os.fsdecode(error.filename))}: "
        return f"{place}{error.strerror or one_line(error)}"
    if isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
        around = error.object[max(error.start - 60, 0) : error.end + 60]  # of what may be a whole page
        return f"a name is no text and cannot be written: {one_line(around)}; rename it"
    return "a path or name holds a NUL character" if "embedded null" in str(error) else None
