"""Pickles that want something: to run code, to allocate, to recurse, or simply of the wrong shape."""

from __future__ import annotations

import pickle
import struct
from random import Random

import numpy as np

GLOBALS = (
    "os system", "posix system", "builtins eval", "builtins exec", "builtins getattr", "builtins __import__",
    "subprocess Popen", "numpy load", "numpy zeros", "numpy ndarray", "numpy dtype", "builtins bytes",
    "builtins bytearray",
    "builtins list", "builtins range", "collections OrderedDict", "numpy.core.multiarray _reconstruct",
    "numpy._core.multiarray scalar", "numpy._core.numeric _frombuffer", "_codecs encode",
    "torch.storage _load_from_bytes",
    "builtins dict.fromkeys", "numpy ndarray.tofile", "builtins complex", "builtins int", "builtins str",
    "functools partial",
)  # fmt: skip
ARGUMENTS = (
    b"(V/bin/false\ntR", b"(I1000000000\ntR", b"((I1000000\nI1000000\nttR", b"(tR", b"(NtR", b"(V|O\ntR",
    b"(Vf8\nI0\nI1\ntR",
    b"(]tR", b"(I-1\ntR", b"((I-5\nttR", b"(VO\nI00\nI01\ntR", b"(V" + b"9" * 6000 + b"\ntR", b"(Vlatin1\nVutf-7\ntR",
)  # fmt: skip


def calls(draw: Random) -> bytes:
    """A name and a call of it, and maybe a state for the result."""
    module, name = draw.choice(GLOBALS).split(" ")
    if draw.random() < 0.5:
        text = f"c{module}\n{name}\n".encode()
    else:
        text = b"\x80\x04" + b"".join(b"\x8c" + bytes([len(w)]) + w.encode() for w in (module, name)) + b"\x93"
    text += draw.choice(ARGUMENTS)
    return b"\x80\x04" + text + draw.choice((b"", b"(I1\n(I1000000000\nt", b"}", b"N(Vf8\ntb", b"(NNNNtb")) + b"."


def greedy(draw: Random) -> bytes:
    """Lengths, memo places and nesting that ask for much."""
    huge = draw.choice((2**20, 2**31 - 1, 2**32 - 1, 2**62))
    return b"\x80\x04" + draw.choice((
        b"\x8e" + struct.pack("<Q", huge) + b"x", b"\x96" + struct.pack("<Q", huge) + b"x",
        b"\x8d" + struct.pack("<Q", huge),
        b"B" + struct.pack("<I", huge & 0xFFFFFFFF), b"\x8b" + struct.pack("<i", huge & 0x7FFFFFFF) + b"1",
        b"]r" + struct.pack("<I", huge & 0xFFFFFFFF), b"\x95" + struct.pack("<Q", huge), b"]" * 50_000,
        b"(" * 50_000 + b"l",
        _doubled(draw.choice((20, 60))), b"L" + b"9" * 50_000 + b"L\n", b"](" + b"K\x01" * 20_000 + b"e",
        b"N\x85" + b"\x85" * 40_000, b"cnumpy\nndarray\n(tR(I1\n(I%d\ntcnumpy\ndtype\n(Vf8\ntRI00\nVx\ntb" % huge,
    )) + draw.choice((b".", b"", b"0."))  # fmt: skip


def _doubled(times: int) -> bytes:
    """A list that holds itself twice, again and again: tiny in memory, endless for whoever walks it."""
    return b"]q\x00" + b"".join(b"](h%ch%ceq%c" % (k, k, k + 1) for k in range(times)) + b""


def misshapen(draw: Random) -> bytes:
    """What PYSKL's pickles hold, with one thing wrong."""
    x = np.zeros(
        tuple(draw.choice((0, 1, 2, 3, 25)) for _ in range(draw.randint(0, 5))),
        draw.choice(("f2", "f4", "i8", "U3", "c8", "?")),
    )
    clip = {"frame_dir": "a", "label": 0, "total_frames": 2, "keypoint": np.ones((1, 2, 25, 3), "f4")}
    strange = (
        None,
        x,
        -1,
        10**30,
        float("nan"),
        "x",
        [],
        {},
        b"x",
        [[1], [1, 2]],
        np.array(None, object),
        True,
        1e400,
        "\n" * 3,
        bomb(),
    )
    clip[draw.choice((*clip, "keypoint_score", "keypoint"))] = draw.choice((x, x, *strange))
    if draw.random() < 0.2:
        del clip[draw.choice(tuple(clip))]
    whole = {"split": {"xsub_train": ["a"], "xsub_val": ["a"]}, "annotations": [clip]}
    if draw.random() < 0.3:
        whole[draw.choice(("split", "annotations"))] = draw.choice(
            (x, *strange, {"train": None}, {"train": [[]]}, {1: ["a"]})
        )
    pair = (
        draw.choice((["a", "b"], x, None, "ab")),
        draw.choice(([0, 1], x, [0, None], [0, 10**30], [[0, 1], [1, 0]], [0.5, 1])),
    )
    return pickle.dumps(draw.choice((whole, whole, pair)), protocol=draw.choice((0, 2, 4)))


def bomb() -> list:
    """A list of two lists of two lists ... that are all the same: tiny here, 2**60 numbers for whoever walks it."""
    made = [1]
    for _ in range(60):
        made = [made, made]
    return made


def weights(draw: Random) -> bytes:
    """What a checkpoint holds, with one thing wrong."""
    value = draw.choice((bomb(), [1, 2], None, "x", {}, 10**30, np.ones(3, "c8"), np.array("x"), np.zeros((2, 0)),
                         {"a": bomb()}))  # fmt: skip
    return pickle.dumps(
        draw.choice(({"fc.weight": value}, {"state_dict": {"a": value}}, {"model": value}, {1: value}, value))
    )


def make(draw: Random) -> bytes:
    return draw.choice((calls, greedy, misshapen, misshapen))(draw)
