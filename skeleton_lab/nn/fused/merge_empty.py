"""Bodies: people taken out of their sequence, and the empty ones among them represented once.

Most recordings show one person; the second body of each is all zeros.  After the input norm all empty bodies of one
person slot are equal, and stay equal in every layer, so one of them, counted as often as there are, is enough.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Bodies(NamedTuple):
    """Which of N*M bodies to compute and how often each counts; None everywhere: all, each once."""

    kept: Tensor | None = None  # (B,) indices into the N*M bodies
    owner: Tensor | None = None  # (N*M,) position in ``kept`` of the body that stands for each body
    count: Tensor | None = None  # (B,) float32, how many bodies each kept one stands for

    def take(self, x: Tensor) -> Tensor:
        """(N*M, ...) -> (B, ...): the bodies to compute."""
        return x if self.kept is None else x[self.kept]

    def give(self, x: Tensor) -> Tensor:
        """(B, ...) -> (N*M, ...): every body has what was computed for the one that stands for it."""
        return x if self.owner is None else x[self.owner]


# On a GPU the number of bodies computed is a multiple of this share of all: few shapes, for what is tuned to shapes.
GPU_SHARE = 8


@torch.no_grad()
def merge_empty(x: Tensor) -> Bodies:
    """Represent the empty bodies of x (N, C, T, V, M) by the first one of each person slot.

    How many bodies remain is the one number that the host asks the device for, before anything else runs.  Where
    shapes must not depend on data, in a CUDA graph or under ``torch.compile``, all bodies are computed.
    """
    if torch.compiler.is_compiling() or _capturing(x):
        return Bodies()
    N, M = x.shape[0], x.shape[-1]
    empty = (x == 0).permute(0, 4, 1, 2, 3).flatten(2).all(2)
    body = torch.arange(N * M, device=x.device).view(N, M)
    first = body.where(empty, N * M).amin(0)
    merged = (empty & (body != first)).flatten()
    step = max(1, N * M // GPU_SHARE) if x.is_cuda else 1
    size = -(-(N * M - int(merged.sum())) // step) * step
    if size >= N * M:
        return Bodies()
    order = merged.to(torch.uint8).argsort(stable=True)
    place = torch.empty_like(order).index_copy_(0, order, body.flatten())  # of each body in ``order``
    representative = place[first.where(empty, body).flatten()]
    owner = place.where(place < size, representative)
    count = torch.zeros(size, device=x.device).index_add_(0, owner, torch.ones(N * M, device=x.device))
    return Bodies(order[:size], owner, count)


def _capturing(x: Tensor) -> bool:
    return x.is_cuda and torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()
