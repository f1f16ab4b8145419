"""What a device has to spend, and the mixed precision that pays there."""

from __future__ import annotations

import os

import psutil
import torch

from skeleton_lab.engine.memory.forecast import CONTEXT_BYTES, GIB
from skeleton_lab.utils import memory

BOTH = 8  # compute capability from which tensor cores take bfloat16


def free(device: torch.device) -> int:
    """Bytes: of a GPU what nobody holds, of the CPU what this process may still take."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else memory.available()


def half(device: torch.device) -> str | None:
    """The mixed precision that pays; None: none does."""
    if device.type != "cuda":
        return None
    major = torch.cuda.get_device_capability(device)[0]
    return None if major < BOTH - 1 else "bf16-mixed" if major >= BOTH else "16-mixed"


def around(device: torch.device) -> float:
    """Bytes that a training process takes on its device beside tensors: CUDA's context, or all that Python loaded."""
    return CONTEXT_BYTES if device.type == "cuda" else psutil.Process().memory_info().rss


def to_spend(device: torch.device, asked: float | str) -> float:
    """Bytes that this process may use in all, what is ``around`` included.

    Args:
        asked: GiB, or ``auto``. Processes that share the CPU of a machine share them.
    """
    if device.type == "cuda":
        return free(device) if asked == "auto" else float(asked) * GIB
    sharing = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    held = around(device)
    return (free(device) / sharing + held) if asked == "auto" else float(asked) * GIB / sharing
