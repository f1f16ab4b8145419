"""GPUs by their indices: one, or a list of them."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from skeleton_lab.utils import devices


def _listed(ids: int | Sequence[int]) -> list[int]:
    return [ids] if isinstance(ids, int) else list(ids)


def visible_gpu(ids: int | Sequence[int]) -> list[int]:
    """Show this process those GPUs alone, before its first use of CUDA; returns their new indices 0..n-1."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, _listed(ids)))
    return list(range(ngpu(ids)))


def ngpu(ids: int | Sequence[int]) -> int:
    """How many those are."""
    return len(_listed(ids))


def occupy_gpu(ids: int | Sequence[int]) -> None:
    """Allocate one float on each, so that others see them in use; nothing on a machine without CUDA.

    Raises:
        UsageError: a GPU that does not exist beside those that do.
    """
    for index in devices.resolve(_listed(ids)).indices:
        torch.zeros(1, device=torch.device("cuda", index))
