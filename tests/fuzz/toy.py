"""A run of the smallest room: its checkpoint, its weights, and what nobody should make of them."""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import os
import shutil
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import torch

from tests.fuzz import words

NETWORK = Path(__file__).with_name("tiny_room.py")


@functools.lru_cache(maxsize=1)
def room() -> Path:
    """Its folder with its code, made once in a process: configurations may name a room's code and nobody else's."""
    folder = tempfile.mkdtemp(prefix="skeleton-lab-fuzz-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(shutil.copy(NETWORK, folder)).parent


def train(work_dir: Path, *more: str) -> int:
    """One epoch of it in this process; the exit code."""
    from skeleton_lab.engine import run
    from skeleton_lab.engine.recipe import Recipe

    argv = [
        "--work-dir", str(work_dir), "--model", "tiny_room.Model", "--feeder", "tiny_room.Feeder",
        "--train-feeder-args", "n=6", "--test-feeder-args", "n=3", "--batch-size", "3", "--num-epoch", "1",
        "--num-worker", "0", "--device", "cpu", "--report", "False", "--seed", "1", *more,
    ]  # fmt: skip
    path, here = list(sys.path), Path.cwd()
    os.chdir(room())
    try:
        return run(Recipe("a toy"), str(room() / "main.py"), argv)
    finally:
        os.chdir(here)
        sys.path[:] = path


@functools.lru_cache(maxsize=1)
def checkpoint() -> bytes:
    """``last.ckpt`` behind the only epoch."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        if train(Path(folder)):
            raise RuntimeError("the toy room does not train")
        return Path(folder, "last.ckpt").read_bytes()


@functools.lru_cache(maxsize=1)
def weights() -> bytes:
    """Weights of its network, as a run saves them."""
    content = torch.load(io.BytesIO(checkpoint()), weights_only=True)
    return saved(content["model"])


def saved(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def tensors(draw: Random) -> list[Any]:
    """Of other types, shapes and values."""
    shape = draw.choice(((), (0,), (1,), (3, 6), (6, 3), (6,), (3,), (2, 3, 4)))
    names = ("float32", "float64", "float16", "bfloat16", "int64", "uint8", "bool", "complex64")
    kind = getattr(torch, draw.choice(names))
    made = torch.full(shape, draw.choice((0, 1, 3)), dtype=kind)
    return [
        made,
        torch.full((3, 6), float("nan")),
        made.to_sparse() if made.dim() else made,
        torch.zeros(2).expand(5, 2),
    ]


def strange_checkpoint(draw: Random) -> bytes:
    """Keys that lack, values of other kinds."""
    content = torch.load(io.BytesIO(checkpoint()), weights_only=True)
    if draw.random() < 0.5:
        content.pop("digest", None)  # what is told first by a digest is told by nothing then
    return saved(words.worse(content, draw, 2, tensors(draw)))


def strange_weights(draw: Random) -> bytes:
    """Names with prefixes, wrappers, other tensors, other kinds of files."""
    content = dict(torch.load(io.BytesIO(weights()), weights_only=True))
    prefix = draw.choice(("", "module.", "_orig_mod.", "model.", "backbone.", "module._orig_mod.", "ema.", "a.module."))
    content = {prefix + name: tensor for name, tensor in content.items()}
    for wrapper in draw.sample(("state_dict", "model_state_dict", "model", "net", "weights", "ema", "n_averaged"), 2):
        if draw.random() < 0.5:
            content = {wrapper: content, "epoch": 3}
    return saved(words.worse(content, draw, 2, tensors(draw)) if draw.random() < 0.8 else content)
