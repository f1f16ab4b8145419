"""NPZ files by offset: members that are stored are read in place, deflated ones are streamed; nothing is unpickled."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from skeleton_lab.data.archives.npy_format import StoredArray, read_header
from skeleton_lab.data.archives.parsing import parsing
from skeleton_lab.errors import ArchiveError, ArchiveKeyError, listing

MAGIC = b"PK\x03\x04"
_LOCAL = struct.Struct("<4s5H3L2H")  # signature, version, flags, method, time, date, crc, sizes, name, extra


@dataclass(frozen=True)
class DeflatedArray(StoredArray):
    """A compressed member: it has no bytes of its own in the file and can only be read from its start."""

    header_size: int = 0

    @contextmanager
    def stream(self) -> Iterator[BinaryIO]:
        with zipfile.ZipFile(self.path) as file, file.open(self.key + ".npy") as member:
            member.read(self.header_size)
            yield member


class Npz:
    """The members of one NPZ file.

    Raises:
        ArchiveError: not a complete ZIP file; where it was cut, the message names the member and the bytes.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            with parsing(path), zipfile.ZipFile(path) as file:
                self._members = {i.filename[:-4]: i for i in file.infolist() if i.filename.endswith(".npy")}
        except ArchiveError as error:
            if isinstance(error.__cause__, zipfile.BadZipFile):
                raise ArchiveError(_where_cut(path)) from error
            raise

    def keys(self) -> list[str]:
        return list(self._members)

    def array(self, key: str) -> StoredArray:
        """The member ``key`` by its header.

        Raises:
            ArchiveKeyError: there is no such member.
            ArchiveError: it is damaged, encrypted, of objects, or shorter than its header says.
        """
        if key not in self._members:
            raise ArchiveKeyError(f"{self.path} has no member '{key}'; it has {listing(self.keys())}")
        info = self._members[key]
        with parsing(self.path, key):
            if info.flag_bits & 1:
                raise ArchiveError(f"{self.path}: {key} is encrypted; pack the archive again without a password")
            return self._stored(key, info) if info.compress_type == zipfile.ZIP_STORED else self._deflated(key, info)

    def _stored(self, key: str, info: zipfile.ZipInfo) -> StoredArray:
        with open(self.path, "rb") as file:
            file.seek(info.header_offset)
            fields = _LOCAL.unpack(file.read(_LOCAL.size))
            if fields[0] != MAGIC:
                raise ValueError("no local header where the directory says")
            # The lengths of name and extra field differ from the central directory's where ZIP64 is used.
            start = info.header_offset + _LOCAL.size + fields[9] + fields[10]
            file.seek(start)
            header = read_header(file)
        present = min(info.file_size, self.path.stat().st_size - start) - header.size
        self._complete(key, header.nbytes, present)
        return StoredArray(self.path, key, header.shape, header.dtype, header.fortran, start + header.size)

    def _deflated(self, key: str, info: zipfile.ZipInfo) -> StoredArray:
        with zipfile.ZipFile(self.path) as file, file.open(info) as member:
            header = read_header(member)
        self._complete(key, header.nbytes, info.file_size - header.size)
        return DeflatedArray(self.path, key, header.shape, header.dtype, header.fortran, None, header.size)

    def _complete(self, key: str, expected: int, present: int) -> None:
        if present < expected:
            raise ArchiveError(
                f"{self.path}: {key} is cut short: {expected} bytes of data expected, {max(present, 0)} present"
            )


def _where_cut(path: Path) -> str:
    """Why a file that begins like a ZIP has no directory: the member in which it ends, by the local headers."""
    total = path.stat().st_size
    with open(path, "rb") as file:
        at = 0
        while at + _LOCAL.size <= total:
            file.seek(at)
            signature, _, flags, _, _, _, _, size, _, name_length, extra_length = _LOCAL.unpack(file.read(_LOCAL.size))
            if signature != MAGIC or flags & 8:  # bit 3: the size follows the data, so there is no way on
                break
            name = file.read(name_length).decode("utf-8", "replace")
            extra = file.read(extra_length)
            if size == 0xFFFFFFFF and len(extra) >= 20 and extra[:2] == b"\x01\x00":
                size = int.from_bytes(extra[12:20], "little")
            start = at + _LOCAL.size + name_length + extra_length
            if start + size > total:
                key = listing([name.removesuffix(".npy")])
                return (
                    f"{path} is cut short: {key} needs {size} bytes, {max(total - start, 0)} present "
                    "(an unfinished download or copy?)"
                )
            at = start + size
    return f"{path} begins like an NPZ but is cut short or damaged ({total} bytes, no ZIP directory)"
