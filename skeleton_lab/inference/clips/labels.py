"""``labels.csv``: which part of which recording shows which action, of whom, and for what."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.errors import ArchiveError, nearest, printable

COLUMNS = ("file", "label", "start", "end", "subject", "split")
NEEDED = COLUMNS[:2]
DELIMITERS = ",;\t"
SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test", "val": "test", "valid": "test",
          "validation": "test", "eval": "test"}  # fmt: skip
LONGEST = 200  # characters of a name


@dataclass(frozen=True)
class Row:
    """One line: a clip.

    Attributes:
        line: of the file, from 1. file: a path below the folder of recordings, or the name of one. label: of the class.
        start, end: first and last frame, both included, as the recording numbers them; None: its first, its last.
        subject: who is seen, "" where nothing says. split: "train", "test" or "".
    """

    line: int
    file: str
    label: str
    start: int | None = None
    end: int | None = None
    subject: str = ""
    split: str = ""

    @property
    def shown(self) -> str:
        return f"{self.file} (line {self.line})"


@dataclass(frozen=True)
class Labels:
    """The clips of a list, which columns it has, and what it has besides (``unread``)."""

    path: Path
    rows: list[Row]
    columns: frozenset[str]
    unread: list[str] = field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        """The labels in order: as numbers if they all are, else by letters."""
        names = {row.label for row in self.rows}
        return sorted(names, key=int) if all(name.isdecimal() for name in names) else sorted(names)


def read(path: Path) -> Labels:
    """The list, in UTF-8, columns in any order, separated by commas, semicolons or tabs.

    Raises:
        ArchiveNotFoundError: it is not there.
        ArchiveError: no header with ``file`` and ``label``, no clips, or a line that cannot be meant so.
    """
    with parsing(path):
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise ArchiveError(f"{path} is not in UTF-8; save it as 'CSV UTF-8'") from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = [f"{line}\n" for line in text.split("\n")]  # splitlines ends lines within names, too
    header = lines[0]
    delimiter = max(DELIMITERS, key=header.count)
    with parsing(path):
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        table = [(reader.line_num, cells) for cells in reader]
    names = [name.strip().lower() for name in table[0][1]] if table else []
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise ArchiveError(
            f"{path}: the first line has no column '{missing[0]}'; it is a header such as file,label or "
            f"{','.join(COLUMNS)}, and here '{printable(header[:80])}'"
        )
    twice = next((name for name in COLUMNS if names.count(name) > 1), None)
    if twice:
        raise ArchiveError(f"{path}: there are {names.count(twice)} columns '{twice}'")
    rows = [_row(path, line, names, cells) for line, cells in table[1:] if any(map(str.strip, cells))]
    if not rows:
        raise ArchiveError(f"{path} has a header and no clips")
    _refuse_doubles(path, rows)
    others = [name for name in names if name and name not in COLUMNS]
    unread = [f"{path}: column '{name[:LONGEST]}' is not read.{nearest(name, COLUMNS)}" for name in others]
    return Labels(path, rows, frozenset(names) & frozenset(COLUMNS), unread)


def _row(path: Path, line: int, names: Sequence[str], cells: Sequence[str]) -> Row:
    where = f"{path}: line {line}"
    if any(cell.strip() for cell in cells[len(names) :]):
        raise ArchiveError(f"{where} has {len(cells)} cells, the header {len(names)}; quote text with a comma in it")
    told = {name: cell.strip() for name, cell in zip(names, cells)}
    for name in NEEDED:
        if not told.get(name):
            raise ArchiveError(f"{where}: {name} is empty")
    for name in ("file", "label", "subject"):
        value = told.get(name, "")
        if len(value) > LONGEST or printable(value) != value or "\n" in value or "\t" in value:
            raise ArchiveError(f"{where}: {name} is no name: '{printable(value[:60])}'")
    start, end = _frame(where, "start", told), _frame(where, "end", told)
    if start is not None and end is not None and end < start:
        raise ArchiveError(f"{where}: end {end} comes before start {start}; both are frames of the clip")
    split = told.get("split", "").lower()
    if split and split not in SPLITS:
        raise ArchiveError(f"{where}: split '{split}' is neither train nor test.{nearest(split, SPLITS)}")
    file = told["file"].replace("\\", "/").removeprefix("./")
    return Row(line, file, told["label"], start, end, told.get("subject", ""), SPLITS.get(split, ""))


def _frame(where: str, name: str, told: dict[str, str]) -> int | None:
    text = told.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise ArchiveError(f"{where}: {name} '{text[:40]}' is no frame: a whole number, 0 or more")
    return int(text)


def _refuse_doubles(path: Path, rows: Sequence[Row]) -> None:
    seen: dict[tuple[str, int | None, int | None], Row] = {}
    for row in rows:
        first = seen.setdefault((row.file, row.start, row.end), row)
        if first is not row:
            also = "" if first.label == row.label else f", as {first.label} and as {row.label}"
            raise ArchiveError(f"{path}: lines {first.line} and {row.line} are the same clip, {row.file}{also}")
