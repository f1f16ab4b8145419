"""The recordings of a run: files in folders, gzipped ones, or members of a ZIP."""

from __future__ import annotations

import gzip
import re
import zipfile
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from skeleton_lab.data.archives.ntu_protocol import PATTERN, Dataset, read_names
from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.errors import ArchiveError, ArchiveNotFoundError, UsageError

LIMIT = 64 << 20  # bytes of one recording; the largest published ones have 4 MB
SKELETON = re.compile(r"(?P<name>[^.].*)\.skeleton(?P<gz>\.gz)?", re.DOTALL)


class Source(NamedTuple):
    """One recording; ``size`` and ``stamp`` tell whether it is still the same when an interrupted run goes on."""

    name: str  # SsssCcccPpppRrrrAaaa, or the id of a Kinetics clip
    path: str  # the file, or the ZIP with it
    member: str  # its name in the ZIP, else ""
    size: int
    stamp: int

    @property
    def shown(self) -> str:
        return f"{self.path}: {self.member}" if self.member else self.path

    def read(self) -> bytes:
        """The text of the recording.

        Raises:
            ArchiveNotFoundError, ArchiveError: missing, unreadable, or too large to be one recording.
        """
        with parsing(self.shown):
            if self.member:
                with _opened(self.path, self.stamp).open(self.member) as file:
                    data = file.read(LIMIT + 1)
            else:
                with gzip.open(self.path) if self.path.endswith(".gz") else open(self.path, "rb") as file:
                    data = file.read(LIMIT + 1)
        if len(data) > LIMIT:
            raise ArchiveError(f"{self.shown} has more than {LIMIT >> 20} MB: no recording is as long")
        return data


@lru_cache(maxsize=4)
def _opened(path: str, stamp: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


def listed(folder: Path, pattern: re.Pattern[str] = SKELETON) -> list[Source]:
    """All ``.skeleton`` and ``.skeleton.gz`` files of a folder, or of a ZIP at whatever depth, whatever they
    are called before that; other files, and hidden ones, are ignored.

    Args:
        pattern: of the files' names instead, with the groups ``name`` and ``gz``.

    Raises:
        ArchiveNotFoundError: there is no such folder. ArchiveError: it cannot be read, or is no ZIP.
    """
    if not folder.exists():
        raise ArchiveNotFoundError(f"{folder} does not exist (looked for {folder.absolute()})")
    found = []
    with parsing(folder):
        if folder.is_dir():
            for path in folder.iterdir():
                if match := pattern.fullmatch(path.name):
                    status = path.stat()
                    found.append(Source(match["name"], str(path), "", status.st_size, status.st_mtime_ns))
        else:
            stamp = folder.stat().st_mtime_ns
            with zipfile.ZipFile(folder) as archive:
                for info in archive.infolist():
                    base = info.filename.rpartition("/")[2]
                    if (match := pattern.fullmatch(base)) and not match["gz"]:
                        found.append(Source(match["name"], str(folder), info.filename, info.file_size, stamp))
    return found


def recordings(
    dataset: Dataset, folders: Iterable[Path], ignored: frozenset[str], say: Callable[[str], object] = print
) -> list[Source]:
    """The recordings of ``dataset`` in ``folders``, sorted by name, without the ``ignored`` ones.

    With two folders, as NTU RGB+D 120 is published, a sample that stands in both is taken from the first.

    Raises:
        UsageError: there are none. What ``listed`` raises.
    """
    folders = list(folders)
    chosen: dict[str, Source] = {}
    foreign = twice = left_out = nameless = 0
    for folder in folders:
        for source in listed(folder):
            if not PATTERN.fullmatch(source.name):
                nameless += 1
            elif not dataset.has(source.name):
                foreign += 1
            elif source.name in ignored:
                left_out += 1
            elif source.name in chosen:
                twice += 1
            else:
                chosen[source.name] = source
    where = " and ".join(map(str, folders))
    if not chosen:
        raise UsageError(
            f"no recordings of {dataset.name} in {where}: expected files SsssCcccPpppRrrrAaaa.skeleton"
            f" ({foreign} of another data set, {left_out} on the list of missing skeletons, {nameless} of other names)"
        )
    for count, what in (
        (left_out, "on the list of missing skeletons"),
        (foreign, f"not of {dataset.name}"),
        (nameless, "not called SsssCcccPpppRrrrAaaa"),
        (twice, "there twice, in both folders"),
    ):
        if count:
            say(f"{count} recordings left out: {what}")
    return [chosen[name] for name in sorted(chosen)]


def chosen(sources: list[Source], path: Path) -> list[Source]:
    """The recordings that a list names, one per line, in its order.

    Raises:
        ArchiveNotFoundError, ArchiveError: the list cannot be read. UsageError: it names others, or none.
    """
    there = {source.name: source for source in sources}
    with parsing(path):
        lines = [line.strip().removesuffix(".skeleton") for line in path.read_text().splitlines()]
    names = list(dict.fromkeys(line for line in lines if PATTERN.fullmatch(line)))
    absent = [name for name in names if name not in there]
    if absent or not names:
        raise UsageError(f"{path} names {len(names)} samples, {len(absent)} have no recording: {', '.join(absent[:3])}")
    return [there[name] for name in names]


def ignored_names(
    dataset: Dataset, given: Path | None, default: Path | None = None, say: Callable[[str], object] = print
) -> frozenset[str]:
    """Names that a run leaves out: of the list ``given``, else of ``default`` if it exists, else the packaged ones.

    Raises:
        ArchiveNotFoundError: the list that was asked for does not exist. ArchiveError: it cannot be read.
    """
    path = given or default
    if path is None or (not given and not path.exists()):
        if path is not None:
            say(f"{path} does not exist: using the packaged list of missing skeletons")
        return dataset.missing()
    with parsing(path):
        return read_names(path)
