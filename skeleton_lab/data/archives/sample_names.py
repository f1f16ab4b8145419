"""Two lists of sample names: which row of one is which of the other. Rows are joined by name, or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skeleton_lab.data.archives import ntu_published
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.errors import ArchiveError

SPLIT = re.compile(r"(?:train|test|val|valid|validation|eval)[_-]+(?=.)", re.IGNORECASE)
ENDINGS = re.compile(r"\.(?:skeleton|jsonl?|npy|npz|pkl|avi|mp4|mkv|webm)$", re.IGNORECASE)
NUMBER = re.compile(r"0|[1-9]\d*")


def bare(name: Any) -> str:
    """A name without folders' separators of another system, ending and split: ``val_a.skeleton`` -> ``a``."""
    *folders, last = re.split(r"[/\\]", str(name))
    return "/".join([*folders, SPLIT.sub("", ENDINGS.sub("", last), count=1)])


def last_part(name: Any) -> str:
    """``bare`` without folders."""
    return bare(name).rpartition("/")[2]


FORMS = (str, bare, last_part)  # in which names are compared, as long as a form keeps clips apart


def numbered(names: Sequence[Any]) -> bool:
    """Whether the names only count the rows, as ``test_0``, ``test_1`` ... do."""
    words = {bare(name) for name in names}
    return len(words) == len(names) and all(
        NUMBER.fullmatch(word) and len(word) < 10 and int(word) < len(names) for word in words
    )


def of_parts(parts: Mapping[str, Clips]) -> dict[str, list[str]] | None:
    """The sample names of each split: of the archive, else those of the published file that it is; None for neither."""
    names = {split: list(clips.names) for split, clips in parts.items() if clips.names is not None}
    if len(names) == len(parts):
        return names
    known = ntu_published.names_of_rows({split: clips.labels for split, clips in parts.items()})
    return None if known is None else known[1]


def places(names: Sequence[Any], others: Sequence[Any], where: Path, other: Path) -> list[int] | None:
    """The row of ``others`` that each of ``names`` is; None if no name of one is a name of the other.

    Names are compared as they are, then without ending and split prefix, then without folders, as long as this keeps
    them apart.

    Args:
        where, other: the files that the names are from, for messages.

    Raises:
        ArchiveError: a part of the names is the same, or a name stands in ``others`` twice.
    """
    shared, missing = 0, ""
    for form in FORMS:
        mine, place = [form(name) for name in names], {form(name): i for i, name in enumerate(others)}
        if len(set(mine)) < len(names) or len(place) < len(others):
            continue
        alone = [name for name, key in zip(names, mine) if key not in place]
        if not alone and len(names) == len(others):
            return [place[key] for key in mine]
        if len(names) - len(alone) > shared:
            shared, missing = len(names) - len(alone), str(alone[0]) if alone else ""
    if shared:
        first = f"; the first one that {other} lacks is {missing!r}" if missing else ""
        raise ArchiveError(
            f"{where} and {other} share {shared} of {len(names)} sample names{first}: these are not of one test set"
        )
    return None
