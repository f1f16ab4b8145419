"""Going on when the GPU's memory is too small: smaller pieces of the same batch, as if nothing had happened."""

from __future__ import annotations

import gc
from typing import Any

import torch
from torch import nn

from skeleton_lab.errors import LabError

# cuBLAS and cuDNN say it in their own words, as a plain RuntimeError.
WORDS = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


class OutOfMemory(LabError):
    """Not even one clip fits, in training or without gradients."""

    def __init__(self, training: bool = True) -> None:
        more = "use --activation-checkpointing or --half, or" if training else "take"
        super().__init__(
            "out of GPU memory with a single clip at a time: shorten the clips (window_size), "
            f"or {more} another --device"
        )


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in WORDS)


def release(device: torch.device) -> None:
    """Hand back what the failed attempt held; call it behind the ``except`` block, which keeps the frames alive."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


class Snapshot:
    """What a failed forward pass may have changed: buffers (batch-norm statistics) and random states."""

    def __init__(self, net: nn.Module, device: torch.device) -> None:
        self.device = device
        self.buffers = list(net.buffers())
        self.copies = [torch.empty_like(buffer) for buffer in self.buffers]
        self.random: list[Any] = []

    def take(self) -> None:
        self._copy(self.copies, self.buffers)
        self.random = [torch.get_rng_state()]
        if self.device.type == "cuda":
            self.random.append(torch.cuda.get_rng_state(self.device))

    def restore(self) -> None:
        self._copy(self.buffers, self.copies)
        torch.set_rng_state(self.random[0])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(self.random[1], self.device)

    @staticmethod
    @torch.no_grad()
    def _copy(to: list[torch.Tensor], source: list[torch.Tensor]) -> None:
        if to:
            torch._foreach_copy_(to, source)  # a few kernels instead of hundreds
