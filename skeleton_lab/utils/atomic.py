"""Files that must survive a crash: a reader sees the old file or the new one, whatever happens in between. And what
paths and names from outside may be."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from skeleton_lab.errors import ArchiveError, UsageError

SPECIAL = {
    stat.S_IFIFO: "a named pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket",
}  # fmt: skip
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, a quota, a limit of the shell
LONGEST_NAME = 255  # bytes, on nearly all file systems
STEM = 48  # characters of a name that its temporary file shows
_TEMPORARY = re.compile(r"\..*\.lab-[0-9a-f]{16}\.tmp(\.\w+)?")
_cleaned: set[Path] = set()  # folders in which this process has looked for what killed ones left


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> Path:
    """Let ``write`` fill a temporary file in ``path``'s folder, flush it to the disk and rename it to ``path``.

    Raises:
        OSError: full disk, read-only folder ...; an earlier ``path`` is untouched then, the temporary file removed.
    """
    with completed(path) as file:
        write(file)
    return path


@contextlib.contextmanager
def completed(path: Path, ending: str = "") -> Iterator[BinaryIO]:
    """A new file ``.NAME.lab-RANDOM.tmp`` beside ``path`` that takes its place when the block ends well.

    The name is random and the file new, so nobody can have laid a link there; ``file.name`` is its path. It is locked
    while it is written: what a killed process left is not, and the next one that writes in the folder removes it.
    ``ending``: a suffix that other programs want to see.

    Raises:
        OSError: as ``write_atomically``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    file = _new(path, ending)
    temporary = Path(file.name)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
            error.filename = str(path)  # a write tells no name
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def temporary_name(path: Path, ending: str = "") -> Path:
    """A name beside ``path`` that nobody can foresee and that ``remove_leftovers`` knows."""
    return path.with_name(f".{path.name[:STEM]}.lab-{secrets.token_hex(8)}.tmp{ending}")


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of killed processes from a folder, once in the life of this one."""
    if folder.absolute() in _cleaned:
        return
    _cleaned.add(folder.absolute())
    with contextlib.suppress(OSError):
        with os.scandir(folder) as entries:
            found = [entry.path for entry in entries if _TEMPORARY.fullmatch(entry.name)]
        for name in found:
            with contextlib.suppress(OSError):
                _remove_free(name)


def _new(path: Path, ending: str) -> BinaryIO:
    while True:
        file = open(temporary_name(path, ending), "x+b")  # noqa: SIM115  (exclusive: never an existing file or link)
        if not _locked(file.fileno()) or os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # somebody cleaned up between its creation and its lock


def _remove_free(name: str) -> None:
    descriptor = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode) and _locked(descriptor, wait=False):
            Path(name).unlink()
    finally:
        os.close(descriptor)


def open_lock(path: Path) -> BinaryIO:
    """A file to be locked, made where it is not there; a link in its place is not followed, nothing is emptied.

    Raises:
        OSError: it is a link, or cannot be made.
    """
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "r+b")


def _locked(descriptor: int, wait: bool = True) -> bool:
    """Whether the lock was got; False also where the file system has none."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def check_output(flag: str, path: Path, suffix: str, *inputs: Path | None) -> None:
    """Before the work: refuse a result that would replace something else or that cannot be there.

    Raises:
        UsageError: another suffix, a folder, a place below a file, or one of the inputs.
    """
    if path.is_dir():
        raise UsageError(f"{flag} {path} is a folder; give the name of a file")
    if path.suffix.lower() != suffix:
        raise UsageError(f"{flag} {path}: the name of the file to be written must end in {suffix}")
    place = next(folder for folder in path.absolute().parents if folder.exists())
    if not place.is_dir():
        raise UsageError(f"{flag} {path}: {place} is a file, not a folder")
    if path.exists() and any(source is not None and source.exists() and path.samefile(source) for source in inputs):
        raise UsageError(f"{flag} {path} is the input itself; give another name")


def refuse_special(path: Path | str) -> None:
    """Refuse what is there but is neither a file nor a folder: opening a pipe would wait until somebody writes to it.

    Raises:
        ArchiveError: a named pipe, a device or a socket.
    """
    try:
        kind = stat.S_IFMT(Path(path).stat().st_mode)
    except (OSError, ValueError):  # not there, or no name of a file: whoever opens it says so
        return
    if kind in SPECIAL:
        raise ArchiveError(f"{path} is {SPECIAL[kind]}, not a file; save the data to a file and give that")


def file_names(names: Iterable[str], suffix: str, where: Path | str) -> list[str]:
    """The names of files, one for each clip, when each is plainly a name and no two are the same.

    Raises:
        ArchiveError: a name that leads out of the folder or cannot be one, or two equal ones.
    """
    made: dict[str, str] = {}
    for name in names:
        file = f"{name}{suffix}"
        if not name.isprintable() or name.strip(" .") == "" or set(name) & set("/\\"):
            raise ArchiveError(f"{where}: the clip name {name!r} cannot be that of a file; rename the clip")
        if len(os.fsencode(file)) > LONGEST_NAME:
            raise ArchiveError(f"{where}: the clip name {name[:40]}... is longer than that of a file can be")
        if file in made:
            raise ArchiveError(f"{where}: two clips are called {name}; their files would replace each other")
        made[file] = name
    return list(made)
