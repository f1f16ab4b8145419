"""Training losses of the published programs; always a mean over the clips given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from skeleton_lab.errors import UsageError

SMOOTHING = 0.1  # Hyper-GCN and SkateFormer


def cross_entropy(logits: Tensor, y: Tensor, smoothing: float = 0.0) -> Tensor:
    """Of logits (N, K) and labels (N,); with ``smoothing`` s: (1-s) CE + s times the mean over classes of -log p."""
    return F.cross_entropy(logits.float(), y, label_smoothing=smoothing)


def divergence(h: Sequence[Tensor]) -> Tensor:
    """Mean positive cosine similarity between different hyper-joints (Hyper-GCN, "divergence loss").

    Args:
        h: L matrices (V, C_l), one per block; V is read from the first.

    Returns:
        ``(1/L) sum_l [sum_ij max(0, c_ij) - V] / (V (V-1))`` with ``c_ij = <h_i, h_j> / (|h_i||h_j| + 1e-8)``; 0 for
        V <= 1, where no pair exists.
    """
    joints = h[0].shape[0]
    if joints <= 1:
        return h[0].new_zeros(())
    by_shape: dict[torch.Size, list[Tensor]] = {}
    for matrix in h:  # blocks of equal width share one batched product
        by_shape.setdefault(matrix.shape, []).append(matrix)
    total = h[0].new_zeros((), dtype=torch.float32)
    for same in by_shape.values():
        rows = torch.stack(same).float()  # (l, V, C)
        norm = rows.norm(dim=-1)
        cosines = rows @ rows.mT / (norm.unsqueeze(-1) * norm.unsqueeze(-2) + 1e-8)
        total = total + cosines.clamp(min=0).sum() - joints * len(same)
    return total / (joints * (joints - 1) * len(h))


class Criterion:
    """What a program minimises: ``criterion(output, y)``, of what a network returns (see ``heads_of``)."""

    def __init__(self, smoothing: float = 0.0, diverge: bool = False) -> None:
        self.smoothing = smoothing
        self.diverge = diverge

    def __call__(self, output: Any, y: Tensor) -> Tensor:
        """The sum of the heads' losses."""
        loss = sum(cross_entropy(head, y, self.smoothing) for head in heads_of(output))
        if self.diverge and isinstance(output, tuple) and len(output) > 1 and isinstance(output[1], (list, tuple)):
            loss = loss + divergence(output[1])
        return loss

    def of_batches(self, heads: Tensor, y: Tensor, size: int) -> list[float]:
        """Losses of consecutive batches of ``size`` clips; the last may be smaller. heads (N, H, K), or one (N, K)."""
        heads = heads.unsqueeze(1) if heads.dim() == 2 else heads
        pairs = zip(heads.split(size), y.split(size))
        return [float(self(list(piece.unbind(1)), labels)) for piece, labels in pairs]


def heads_of(output: Any) -> list[Tensor]:
    """The logits (N, K) of every head: a tensor is one, a list holds several, a tuple begins with either.

    Raises:
        UsageError: the output is something else.
    """
    if isinstance(output, tuple) and output:
        return heads_of(output[0])
    if isinstance(output, list) and output:
        return [head for each in output for head in heads_of(each)]
    if isinstance(output, Tensor):
        return [output]
    raise UsageError(
        f"the network returns {type(output).__name__}; understood are logits (N, K), a tuple (logits, ...), and a list "
        "of heads, whose logits and losses are added up"
    )


def logits_of(output: Any) -> Tensor:
    """The sum of the heads' logits, (N, K)."""
    return summed(torch.stack(heads, 1)) if len(heads := heads_of(output)) > 1 else heads[0]


def summed(heads: Tensor) -> Tensor:
    """Logits (N, K) of heads (N, H, K)."""
    return heads[:, 0] if heads.shape[1] == 1 else heads.sum(1)
