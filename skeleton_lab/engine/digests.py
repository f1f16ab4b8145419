"""Digests: of the data that a run learns from, and of what a checkpoint holds. Equal means equal, bit for bit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from skeleton_lab.data.archives.clips import Clips

SAMPLE = 16  # clips whose coordinates are read: enough to tell archives apart, milliseconds even of one of 10 GB


def of_data(feeder: Dataset) -> dict[str, Any]:
    """What tells one data set from another: how many samples, their labels, the coordinates of some of them.

    It depends neither on where a file lies nor on how it is laid out: coordinates are taken as (T, M, V, C) float32
    without the padding. Of a user's own data set they are read where it has an array ``data`` (N, ...).

    Raises:
        ArchiveError: a clip that is looked at holds NaN or cannot be read.
    """
    return {"samples": len(feeder), "labels": _labels(feeder), "rows": _rows(feeder), "stream": _stream(feeder)}


def _stream(feeder: Dataset) -> list[str]:
    """Bones, motion: in NW-UCLA's configurations a word in ``data_path``, which may otherwise change."""
    names = [getattr(step, "__name__", type(step).__name__).lower() for step in getattr(feeder, "steps", ())]
    return [name for name in names if name in ("bone", "motion")]


def _labels(feeder: Dataset) -> str | None:
    labels = getattr(feeder, "label", None)
    try:
        return _hash(np.asarray(labels, np.int64))
    except (TypeError, ValueError, OverflowError):  # none, or not whole numbers
        return None


def _rows(feeder: Dataset) -> str | None:
    clips, data = getattr(feeder, "clips", None), getattr(feeder, "data", None)
    if isinstance(clips, Clips):
        rows = [_clip(clips, i) for i in _chosen(len(clips))]
    elif isinstance(data, (np.ndarray, Tensor)) and len(data.shape) and str(data.dtype) != "object":
        rows = [np.ascontiguousarray(data[i]) for i in _chosen(len(data))]
    else:
        return None
    return _hash(*rows)


def _chosen(count: int) -> list[int]:
    """The first, the last and evenly spaced ones between."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, SAMPLE)).round()}) if count else []


def _clip(clips: Clips, index: int) -> np.ndarray:
    """(T, M, V, C) without the frames and the people behind the last that are not zero."""
    at = np.array([index])
    frames = np.arange(int(clips.lengths(at)[1][0]))
    x = clips.gather(at, frames[None])[0] + np.float32(0)  # -0 becomes 0
    people = x.any(axis=(0, 2, 3)).nonzero()[0]
    return np.ascontiguousarray(x[:, : people[-1] + 1 if len(people) else 0])


def _hash(*arrays: np.ndarray) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def of_content(content: Any) -> str:
    """Of nested dicts, lists and tuples with tensors, texts, numbers and None in them.

    Raises:
        ValueError: a tensor is sparse, quantised or nested.
    """
    digest = hashlib.blake2b(digest_size=16)
    _feed(digest, content)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        if value.layout is not torch.strided or value.is_quantized or value.is_nested:
            raise ValueError("a tensor that is not dense")
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(f"T{value.dtype}{tuple(value.shape)}".encode())
        digest.update(memoryview(flat.view(torch.uint8).numpy()))
    elif isinstance(value, Mapping):
        digest.update(f"D{len(value)}".encode())
        for key, inner in value.items():
            _feed(digest, key)
            _feed(digest, inner)
    elif isinstance(value, (list, tuple)):
        digest.update(f"L{len(value)}".encode())
        for inner in value:
            _feed(digest, inner)
    else:
        text = repr(value).encode(errors="backslashreplace")
        digest.update(f"{type(value).__name__}{len(text)}:".encode() + text)
