"""Digests of files: of every byte, or of pieces, which tells archives of 10 GB apart in milliseconds."""

from __future__ import annotations

import hashlib
from pathlib import Path

SAMPLES, SAMPLE = 64, 1 << 16  # pieces of a file, bytes of each


def content(path: Path) -> str:
    """Of a file, or of the files of a folder: sizes, and pieces spread evenly from head to tail."""
    digest = hashlib.sha256()
    files = sorted(entry for entry in path.rglob("*") if entry.is_file()) if path.is_dir() else [path]
    for one in files:
        size = one.stat().st_size
        name = one.relative_to(path).as_posix() if one != path else ""
        digest.update(f"{name} {size}\n".encode(errors="surrogateescape"))
        last = max(size - SAMPLE, 0)
        with one.open("rb") as stream:
            for start in sorted({last * piece // (SAMPLES - 1) for piece in range(SAMPLES)}):
                stream.seek(start)
                digest.update(stream.read(SAMPLE))
    return digest.hexdigest()


def whole(path: Path, size: int | None = None) -> str:
    """Of all of a file, hexadecimal: SHA-256, or BLAKE2b of ``size`` bytes."""
    digest = hashlib.sha256() if size is None else hashlib.blake2b(digest_size=size)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
