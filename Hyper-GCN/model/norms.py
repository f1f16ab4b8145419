"""Batch norm of one tensor, or of a part of one, in training, without autograd: on a GPU in PyTorch's own kernels.

Those know no multiplicities: where bodies stand for others, the lab's arithmetic does it, as on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from skeleton_lab.nn.fused import batch_norm
from skeleton_lab.nn.fused.running_statistics import move_statistics

UNBIASED = 2**60  # as many values need no correction: n / (n - 1) is 1 in floating point


class Statistics(NamedTuple):
    """Of a batch: the mean, and the variance, or 1 / sqrt(variance + eps) where PyTorch's kernels work."""

    mean: Tensor
    spread: Tensor


def native(x: Tensor, bodies: Tensor | None) -> bool:
    return x.is_cuda and bodies is None


def norm(
    bns: Sequence[_BatchNorm], x: Tensor, gamma: Tensor, beta: Tensor, bodies: Tensor | None,
    biases: Sequence[Tensor | None] = (), out: Tensor | None = None,
) -> tuple[Tensor, Statistics]:  # fmt: skip
    """x (B, C, ...) normalised by modules that own consecutive channels; their running statistics move.

    Args:
        bodies, biases: as in ``skeleton_lab.nn.fused.batch_norm.batch_norm``.
        out: where the result goes.
    """
    eps = bns[0].eps
    out = torch.empty_like(x) if out is None else out
    if native(x, bodies) and x.is_contiguous() and x[0, 0].numel() * len(x) > 1:
        saved = gamma.new_empty(2, len(gamma)).unbind()
        moved = gamma.new_zeros(2, len(gamma)).unbind()  # by momentum 1 the batch's own, the variance unbiased
        torch.ops.aten.native_batch_norm.out(
            x, gamma, beta, *moved, True, 1.0, eps, out=out, save_mean=saved[0], save_invstd=saved[1]
        )
        move_statistics(bns, *moved, UNBIASED, biases)
        return out, Statistics(*saved)
    mean, var = batch_norm.batch_statistics(bns, x, bodies, biases)
    torch.ops.aten.native_batch_norm.out(
        x, gamma, beta, mean, var, False, 0.0, eps, out=out, save_mean=gamma.new_empty(0), save_invstd=gamma.new_empty(0)
    )
    return out, Statistics(mean, torch.rsqrt(var + eps) if native(x, bodies) else var)


def again(x: Tensor, gamma: Tensor, beta: Tensor, bodies: Tensor | None, statistics: Statistics, eps: float) -> Tensor:
    """What ``norm`` returned."""
    if native(x, bodies):
        return torch.batch_norm_elemt(x, gamma, beta, *statistics, eps)
    return batch_norm.normalised(x, gamma, beta, *statistics, eps)


def norm_backward(
    dy: Tensor, x: Tensor, gamma: Tensor, bodies: Tensor | None, statistics: Statistics, eps: float,
    out: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients for x, gamma and beta; that for x goes to ``out``, if given."""
    if not native(x, bodies):
        dx, dgamma, dbeta = batch_norm.norm_backward(dy, x, gamma, *statistics, bodies, eps)
        return (dx if out is None else out.copy_(dx)), dgamma, dbeta
    out = torch.empty_like(x) if out is None else out
    dgamma, dbeta = gamma.new_empty(2, len(gamma)).unbind()
    return torch.ops.aten.native_batch_norm_backward.out(
        dy, x, gamma, None, None, *statistics, True, eps, [True, True, True], out0=out, out1=dgamma, out2=dbeta
    )
