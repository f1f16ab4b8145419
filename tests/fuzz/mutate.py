"""Bytes made worse: flips, cuts, splices, integers and words at their limits, nesting."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

LIMITS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**63, 2**64 - 1)
WORDS = (
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1", b"0", b"99999999999999999999", b"2147483648", b"-0.0", b"1_0",
    b"null", b"true", b"[]", b"{}", b'""', b'"x"', b"[[[]]]", b"1e-320", b"\xff\xfe", b"\x00", b"", b"'", b"!!python/x",
    b"&a [*a]", b"9" * 5000, b"0x10", b"1.5", b"True", b"None", b"(1,)",
)  # fmt: skip
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
DEEPEST = 20_000


def flip(data: bytearray, draw: Random, _: Sequence[bytes]) -> None:
    for _ in range(draw.randint(1, 8)):
        data[_place(data, draw)] ^= 1 << draw.randrange(8)


def overwrite(data: bytearray, draw: Random, _: Sequence[bytes]) -> None:
    for _ in range(draw.randint(1, 8)):
        data[_place(data, draw)] = draw.choice((0, 0xFF, 0x7F, 0x80, draw.randrange(256)))


def truncate(data: bytearray, draw: Random, _: Sequence[bytes]) -> None:
    del data[_place(data, draw) :]


def cut_out(data: bytearray, draw: Random, _: Sequence[bytes]) -> None:
    start = _place(data, draw)
    del data[start : start + draw.choice((1, 2, 4, 16, draw.randint(1, len(data))))]


def insert(data: bytearray, draw: Random, _: Sequence[bytes]) -> None:
    start = _place(data, draw)
    data[start:start] = draw.randbytes(draw.choice((1, 2, 8, draw.randint(1, 200))))


def repeat(data: bytearray, draw: Random, _: Sequence[bytes]) -> None:
    start = _place(data, draw)
    part = data[start : start + draw.randint(1, 64)]
    data[start:start] = part * draw.choice((1, 2, 50))


def splice(data: bytearray, draw: Random, others: Sequence[bytes]) -> None:
    """The start of one file, the end of another."""
    other = draw.choice(others)
    data[_place(data, draw) :] = other[draw.randrange(len(other)) :]


def integer(data: bytearray, draw: Random, _: Sequence[bytes]) -> None:
    """A number of a binary header at a limit of its width."""
    width = draw.choice((1, 2, 4, 8))
    start = min(_place(data, draw), max(0, len(data) - width))
    value = (draw.choice(LIMITS) & (256**width - 1)).to_bytes(width, draw.choice(("little", "big")))
    data[start : start + width] = value


def word(data: bytearray, draw: Random, _: Sequence[bytes]) -> None:
    """A number in a text becomes something else."""
    found = list(NUMBER.finditer(data[:4096]))
    if found:
        match = draw.choice(found)
        data[match.start() : match.end()] = draw.choice(WORDS)


def nest(data: bytearray, draw: Random, _: Sequence[bytes]) -> None:
    opening, closing = draw.choice(
        ((b"[", b"]"), (b'{"a":', b"}"), (b"(", b")"), (b"(l", b""), (b"- ", b""), (b"]", b"a"))
    )
    depth = draw.choice((10, 500, 2000, DEEPEST))
    middle = _place(data, draw)
    data[middle:middle] = opening * depth + draw.choice((b"", b"1")) + closing * draw.choice((0, depth))


def noise(data: bytearray, draw: Random, _: Sequence[bytes]) -> None:
    """Random bytes behind the signature."""
    kept = draw.choice((0, 4, 6, 8, 16, 128))
    data[kept:] = draw.randbytes(draw.randint(0, 400))


WAYS: tuple[Callable[[bytearray, Random, Sequence[bytes]], None], ...] = (
    flip, flip, overwrite, truncate, cut_out, insert, repeat, splice, integer, integer, integer, word, word, word,
    nest, noise,
)  # fmt: skip


def _place(data: bytearray, draw: Random) -> int:
    """Anywhere, but headers at either end more often."""
    last = max(len(data) - 1, 0)
    return draw.choice((draw.randint(0, min(last, 300)), draw.randint(max(0, last - 300), last), draw.randint(0, last)))


def mutate(data: bytes, draw: Random, others: Sequence[bytes]) -> bytes:
    """``data`` after one to three mutations; ``others`` are files to splice with."""
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 3))):
        if not out:
            out += b"\x00"
        draw.choice(WAYS)(out, draw, others)
    return bytes(out)
