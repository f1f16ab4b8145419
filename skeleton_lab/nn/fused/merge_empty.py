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


@torch.no_grad()
def merge_empty(x: Tensor) -> Bodies:
    """Represent the empty bodies of x (N, C, T, V, M) by the first one of each person slot."""
    N, M = x.shape[0], x.shape[-1]
    empty = (x == 0).permute(0, 4, 1, 2, 3).flatten(2).all(2)
    body = torch.arange(N * M, device=x.device).view(N, M)
    first = body.where(empty, N * M).amin(0)
    kept, owner, count = torch.unique(first.where(empty, body), return_inverse=True, return_counts=True)
    if len(kept) == N * M:
        return Bodies()
    return Bodies(kept, owner.flatten(), count.to(torch.float32))
