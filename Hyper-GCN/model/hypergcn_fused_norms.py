"""Batch norm of one tensor, or of a part of one, in training, without autograd, into given memory.

On a GPU each step is one of PyTorch's kernels; those know no multiplicities, and where bodies stand for others, the
arithmetic of ``skeleton_lab.nn.fused.batch_norm`` does it, as on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from skeleton_lab.nn.fused.batch_norm import check_values, moments, normed_backward, values_of
from skeleton_lab.nn.fused.running_statistics import move_statistics

forward = torch.ops.aten.native_batch_norm.out
backward = torch.ops.aten.native_batch_norm_backward.out


class Statistics(NamedTuple):
    """Of a batch, (C,) each."""

    mean: Tensor
    invstd: Tensor  # 1 / sqrt(variance + eps)


def norm(
    bns: Sequence[_BatchNorm], x: Tensor, gamma: Tensor, beta: Tensor, bodies: Tensor | None,
    biases: Sequence[Tensor | None] = (), out: Tensor | None = None,
) -> tuple[Tensor, Statistics]:  # fmt: skip
    """x (B, C, ...) normalised by modules that own consecutive channels; their running statistics move.

    Args:
        bodies, biases: as in ``skeleton_lab.nn.fused.batch_norm.batch_norm``.
        out: where the result goes.
    """
    check_values(x, bodies)
    eps = bns[0].eps
    out = torch.empty_like(x) if out is None else out
    saved = Statistics(*gamma.new_empty(2, len(gamma)).unbind())
    if bodies is None and x.is_cuda and x.is_contiguous():  # PyTorch's CPU kernel errs on others: that is tested there
        forward(x, gamma, beta, None, None, True, 0.0, eps, out=out, save_mean=saved.mean, save_invstd=saved.invstd)
    else:
        mean, var = moments(x, bodies, eps)
        forward(
            x,
            gamma,
            beta,
            mean,
            var,
            False,
            0.0,
            eps,
            out=out,
            save_mean=mean.new_empty(0),
            save_invstd=var.new_empty(0),
        )
        saved = Statistics(mean, torch.rsqrt(var + eps))
    move_statistics(bns, *saved, values_of(x, bodies), biases, inverse=True)
    return out, saved


def norm_backward(
    dy: Tensor, x: Tensor, gamma: Tensor, statistics: Statistics, bodies: Tensor | None, out: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients for x, gamma and beta; that for x goes to ``out``, if given."""
    if out is None or bodies is not None or not x.is_cuda:
        dx, dgamma, dbeta = normed_backward(dy, x, gamma, *statistics, bodies)
        return (dx if out is None else out.copy_(dx)), dgamma, dbeta
    dgamma, dbeta = gamma.new_empty(2, len(gamma)).unbind()
    backward(dy, x, gamma, None, None, *statistics, True, 0.0, [True] * 3, out0=out, out1=dgamma, out2=dbeta)
    return out, dgamma, dbeta
