"""Training losses of the published programs; always a mean over the clips given."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

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
    """What a program minimises: ``criterion(output, y)``, output being logits or ``(logits, extra)``."""

    def __init__(self, smoothing: float = 0.0, diverge: bool = False) -> None:
        self.smoothing = smoothing
        self.diverge = diverge

    def __call__(self, output: Tensor | tuple, y: Tensor) -> Tensor:
        loss = cross_entropy(logits_of(output), y, self.smoothing)
        if self.diverge and isinstance(output, tuple):
            loss = loss + divergence(output[1])
        return loss

    def of_batches(self, logits: Tensor, y: Tensor, size: int) -> list[float]:
        """Losses of consecutive batches of ``size`` clips; the last one may be smaller."""
        pairs = zip(logits.split(size), y.split(size))
        return [float(cross_entropy(piece, labels, self.smoothing)) for piece, labels in pairs]


def logits_of(output: Tensor | tuple) -> Tensor:
    return output[0] if isinstance(output, (tuple, list)) else output
