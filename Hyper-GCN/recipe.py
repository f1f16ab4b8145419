"""Hyper-GCN's training program: smoothed labels, and a loss that drives the hyper-joints apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from skeleton_lab.engine.recipe import FLAGS, TRAIN_LINES, WITHOUT_EFFECT, Recipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def divergence(h: Sequence[Tensor]) -> Tensor:
    """Mean positive cosine similarity between different hyper-joints ("divergence loss").

    Args:
        h: L matrices (V, C_l), one per block; V is read from the first.

    Returns:
        ``(1/L) sum_l [sum_ij max(0, c_ij) - V] / (V (V-1))`` with ``c_ij = <h_i, h_j> / (|h_i||h_j| + 1e-8)``; 0 for
        V <= 1, where no pair exists.
    """
    import torch  # here: the recipe is read before the command line

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


def of_output(output: Any) -> Tensor | float:
    """The divergence of what the network returns, (logits, hyper-joints of every block); 0 of logits alone."""
    if isinstance(output, tuple) and len(output) > 1 and isinstance(output[1], (list, tuple)):
        return divergence(output[1])
    return 0.0


RECIPE = Recipe(
    "Hyper-GCN",
    mark="H",
    flags=(*FLAGS, "lr_decay_rate", "eval_epoch"),
    without_effect=(*WITHOUT_EFFECT, "eval_epoch"),
    defaults={"num_worker": 4, "loss_type": "LSCE", "eval_epoch": 55, "save_epoch": 55},
    extra_loss=of_output,
    deterministic=False,
    train_lines={**TRAIN_LINES, "loss": "\tMean training loss: {loss:.4f}. Mean training acc: {acc:.2f}%."},
)
