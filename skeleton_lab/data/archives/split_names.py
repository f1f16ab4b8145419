"""The splits of an annotation pickle by their names: ``xsub_train``, ``train``, ``test1``: what is a division, which
of its parts trains and which tests."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from skeleton_lab.errors import ArchiveKeyError, UsageError, listing

PARTS = {"train": ("train",), "test": ("val", "test")}  # what the splits of the lab are called, the usual word first
_NAME = re.compile(
    r"(?:(?P<before>.+)[_-])?(?P<part>train|val|test)(?:[_-]?(?P<number>\d+)|[_-](?P<behind>.+))?", re.IGNORECASE
)


class Wish(NamedTuple):
    """What a layout asks for: a division, or None; "val" or "test" where a division has both."""

    division: str | None = None
    part: str | None = None


class Choice(NamedTuple):
    """The names of the splits that train and test (None: there is none), and of those that nobody reads."""

    train: str | None
    test: str | None
    unread: list[str]


def divisions(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Division ("" where the names tell none), part ("train", "val", "test"), name of the split; others are left out.

    >>> divisions(["train1", "test1", "xsub_train", "all"])
    {'1': {'train': 'train1', 'test': 'test1'}, 'xsub': {'train': 'xsub_train'}}
    """
    made: dict[str, dict[str, str]] = {}
    for name in names:
        match = _NAME.fullmatch(name)
        if match:
            words = [match[group] for group in ("before", "number", "behind") if match[group]]
            made.setdefault("_".join(words), {}).setdefault(match["part"].lower(), name)
    return made


def choose(path: Path, names: list[str], wish: Wish, split: str) -> Choice:
    """The splits of the division that is wished, or of the only one that can be meant; ``split`` is what is opened.

    Raises:
        UsageError: there are several divisions, and none is wished.
        ArchiveKeyError: there is no such division, or it has no such split.
    """
    known = divisions(names)
    if wish.division is not None and wish.division not in known:
        told = f"'{wish.division}_train', '{wish.division}_val' or the like"
        raise ArchiveKeyError(f"{path} has no division '{wish.division}' ({told}); its splits are {listing(names)}")
    able = [name for name, parts in known.items() if set(PARTS[split]) & set(parts)]
    if wish.division is not None:
        division = wish.division
    elif not able:
        raise ArchiveKeyError(f"{path} has no split for {split}, {_words(split)}; its splits are {listing(names)}")
    elif len(able) > 1 or (len(known) > 1 and not _whole(known[able[0]])):
        choices = " or ".join(f"'pyskl:{listing([name])}'" for name in known)
        raise UsageError(
            f"{path} is divided in several ways: choose the layout {choices}, with --layout or the feeder argument "
            f"layout (its splits: {listing(names)})"
        )
    else:
        division = able[0]
    parts = known[division]
    tests = [parts[part] for part in dict.fromkeys((wish.part or PARTS["test"][0], *PARTS["test"])) if part in parts]
    choice = Choice(parts.get("train"), tests[0] if tests else None, [])
    if getattr(choice, split) is None:
        raise ArchiveKeyError(f"{path} has no split for {split} in division '{division}'; it has {listing(names)}")
    return choice._replace(unread=[name for name in names if name not in choice[:2]])


def _words(split: str) -> str:
    return " or ".join(f"{word}, ..._{word}, {word}1" for word in PARTS[split])


def _whole(parts: dict[str, str]) -> bool:
    return all(set(words) & set(parts) for words in PARTS.values())
