"""Batch normalisation that merges neighbours, knows multiplicities and remembers one tensor.

``batch_norm`` normalises the concatenated channels of several ``nn.BatchNorm`` modules at once (statistics are per
channel, so merging changes nothing), leaves out the bias of the convolution before it (the batch mean removes it
anyway), adds a residual and applies ReLU where wanted, and can weight bodies: a body with weight w counts as w equal
bodies.  ``fold`` is the eval-mode counterpart.

Functions of a room that hold a norm inside are made of ``normed``, ``normed_again`` and ``normed_backward``: on a GPU
one of the library's kernels each.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from skeleton_lab.nn.fused.parameters import concatenated
from skeleton_lab.nn.fused.running_statistics import move_statistics


def joined(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


# Up to this mean^2 / variance, E x^2 - mean^2 loses at most two of a float's seven digits.
ONE_PASS_RATIO = 64.0


def moments(x: Tensor, weight: Tensor | None, eps: float) -> tuple[Tensor, Tensor]:
    """Mean and (biased) variance per channel of x (B, C, ...), each body b counted ``weight[b]`` times."""
    half = x.dtype in (torch.float16, torch.bfloat16)
    if weight is None and x.is_cuda:
        if half:  # statistics in single precision, without a copy of x
            mean, invstd = torch.batch_norm_stats(x, eps)
            return mean, invstd.pow(-2) - eps
        var, mean = torch.var_mean(x.flatten(2), (0, 2), correction=0)
        return mean, var
    x = x.flatten(2)
    if half:
        x = x.float()
    share = _share(weight, x)
    mean = (share * x.sum(2)).sum(0)  # elementwise: autocast would do a matrix product in half precision
    if not x.is_cuda:  # a pass less, where it is exact enough: looking is free on a CPU
        var = (share * torch.linalg.vector_norm(x, dim=2).square()).sum(0) - mean.square()
        if bool((mean.square() <= ONE_PASS_RATIO * var).all()):
            return mean, var
    return mean, (share * torch.linalg.vector_norm(x - mean[:, None], dim=2).square()).sum(0)


def _share(weight: Tensor | None, x: Tensor) -> Tensor | float:
    """Share of every value of x (B, C, L) in the statistics: (B, 1), or one number for all."""
    if weight is None:
        return 1.0 / (len(x) * x.shape[2])
    weight = weight.to(x.dtype)
    return (weight / (weight.sum() * x.shape[2]))[:, None]


def normed(x: Tensor, gamma: Tensor, beta: Tensor, weight: Tensor | None, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """gamma xhat + beta with the statistics of x (B, C, ...) itself, and these: mean and 1 / sigma, (C,) each."""
    if weight is None and x.is_cuda:
        return torch.native_batch_norm(x, gamma, beta, None, None, True, 0.0, eps)
    mean, var = moments(x, weight, eps)
    return normalised(x, gamma, beta, mean, var, eps), mean, torch.rsqrt(var + eps)


def normed_again(x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, invstd: Tensor) -> Tensor:
    """The same result from statistics that are known."""
    if x.is_cuda:
        return torch.batch_norm_elemt(x, gamma, beta, mean, invstd, 0.0)
    return normalised(x, gamma, beta, mean, invstd.pow(-2), 0.0)


def normed_backward(
    dy: Tensor, x: Tensor, gamma: Tensor, mean: Tensor, invstd: Tensor, weight: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients for x, gamma and beta of ``normed``.

    With xhat = (x - mean) / sigma, y = gamma xhat + beta and p_b = w_b / n, the share of a value in the statistics:
    dmean/dx_b = p_b and dsigma/dx_b = p_b xhat_b, hence dy_j/dx_b = gamma / sigma (1[j = b] - p_b - p_b xhat_b xhat_j).
    Summed over j with dy_j:

    dx_b = gamma / sigma * (dy_b - w_b / n * (sum dy + xhat_b * sum dy xhat)), n = frames * joints * sum of weights.
    The gradient that arrives at a body of weight w is the sum over the w bodies that it stands for.
    """
    backward = torch.ops.aten.native_batch_norm_backward
    if weight is None and x.is_cuda:  # one fused pass
        return backward(dy, x, gamma, None, None, mean, invstd, True, 0.0, [True, True, True])
    _, dgamma, dbeta = backward(dy, x, gamma, mean, invstd.pow(-2), None, None, False, 0.0, [False, True, True])
    values = x.flatten(2).to(gamma.dtype)  # slope * x + offset cancels: not in half precision
    share = _share(weight, values)
    scale = gamma * invstd
    slope = -scale * invstd * dgamma
    offset = -scale * dbeta - slope * mean
    # Two passes, faster here than the kernel's one: slope * x + offset row by row, as a norm of mean 0 and variance 1.
    rows = values.reshape(1, -1, values.shape[2])
    slope, offset = (t.expand(len(x), -1).flatten() for t in (share * slope, share * offset))
    dx = F.batch_norm(rows, torch.zeros_like(slope), torch.ones_like(slope), slope, offset, False, 0.0, 0.0)
    dx = dx.view_as(values).addcmul_(dy.flatten(2).to(gamma.dtype), scale[:, None])
    return dx.view_as(x).to(x.dtype), dgamma, dbeta


def normalised(x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float) -> Tensor:
    return F.batch_norm(x, mean, var, gamma, beta, False, 0.0, eps)


def norm_backward(
    dy: Tensor, x: Tensor, gamma: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """``normed_backward`` for a variance."""
    return normed_backward(dy, x, gamma, mean, torch.rsqrt(var + eps), weight)


def rectified(y: Tensor, slope: float) -> Tensor:
    """relu(y), leaky with a ``slope`` above 0, in the memory of y."""
    return F.leaky_relu_(y, slope) if slope else y.relu_()


def rectified_backward(dy: Tensor, y: Tensor, slope: float) -> Tensor:
    """Gradient of what went into ``rectified``, from the sign of its result y."""
    if slope:
        return torch.ops.aten.leaky_relu_backward(dy, y.to(dy.dtype), slope, True)
    return torch.ops.aten.threshold_backward(dy, y, 0)


class NormReLU(Function):
    """relu(norm(x) + residual), the residual and relu if wanted; also the batch's mean and 1 / sigma.

    ``slope`` is relu's below 0, where it is leaky.  Remembers x and, for the sign of what relu let through, the result.
    The residual gets what passes relu, the norm ``normed_backward`` of it.
    """

    @staticmethod
    def forward(ctx, x, gamma, beta, residual, weight, eps, relu, slope=0.0):
        y, mean, invstd = normed(x, gamma, beta, weight, eps)
        if residual is not None:
            y = y.add_(residual) if residual.dtype == y.dtype else y + residual
        ctx.slope = slope
        ctx.save_for_backward(x, gamma, mean, invstd, weight, rectified(y, slope) if relu else None)
        ctx.mark_non_differentiable(mean, invstd)
        ctx.set_materialize_grads(False)  # of these two
        return y, mean, invstd

    @staticmethod
    @once_differentiable
    def backward(ctx, dy, *_):
        if dy is None:
            return (None,) * 8
        x, gamma, mean, invstd, weight, y = ctx.saved_tensors
        dy = dy.contiguous()
        if y is not None:
            dy = rectified_backward(dy, y, ctx.slope)
        gradients = normed_backward(dy.to(x.dtype), x, gamma, mean, invstd, weight)
        return *gradients, dy if ctx.needs_input_grad[3] else None, None, None, None, None


class WithoutEffect(Function):
    """Returns its first argument; the others get a gradient of zero (not None, so weight decay still acts on them)."""

    @staticmethod
    def forward(ctx, x, *idle):
        ctx.save_for_backward(*idle)
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx, dx):
        idle = ctx.saved_tensors
        zeros = idle[0].new_zeros(sum(t.numel() for t in idle)).split([t.numel() for t in idle])  # one kernel for all
        return dx, *(zero.view_as(t) for zero, t in zip(zeros, idle))


def affine(bns: Sequence[_BatchNorm], biases: Sequence[Tensor | None] = ()) -> tuple[Tensor, Tensor]:
    """Concatenated gamma and beta of ``bns``; ``biases`` (removed by the batch mean) get zero gradients."""
    gamma, beta = concatenated([bn.weight for bn in bns], [bn.bias for bn in bns])
    idle = [bias for bias in biases if bias is not None]
    return gamma, (WithoutEffect.apply(beta, *idle) if idle else beta)


def check_values(x: Tensor, weight: Tensor | None) -> None:
    """ValueError where a channel of x (B, C, ...) has one value, which has no variance."""
    if x[0, 0].numel() * len(x) < 2 and weight is None:
        raise ValueError(f"batch norm in training needs more than one value per channel, got {tuple(x.shape)}")


def values_of(x: Tensor, weight: Tensor | None) -> Tensor | int:
    """How many values of x (B, C, ...) a channel's statistics are of."""
    return (len(x) if weight is None else weight.sum()) * x[0, 0].numel()


@torch.no_grad()
def batch_statistics(
    bns: Sequence[_BatchNorm], x: Tensor, weight: Tensor | None = None, biases: Sequence[Tensor | None] = ()
) -> tuple[Tensor, Tensor]:
    """Mean and variance of x (B, C, ...); moves the running statistics of ``bns`` unless they are switched off.

    ``biases[i]`` is the bias left out of the convolution before ``bns[i]``: it belongs to the running mean.
    """
    check_values(x, weight)
    mean, var = moments(x, weight, bns[0].eps)
    move_statistics(bns, mean, var, values_of(x, weight), biases)
    return mean, var


def batch_norm(
    bns: Sequence[_BatchNorm], x: Tensor, weight: Tensor | None = None, biases: Sequence[Tensor | None] = (),
    residual: Tensor | None = None, relu: bool = False, slope: float = 0.0,
) -> Tensor:  # fmt: skip
    """Training-mode normalisation of x by modules that own consecutive channels.

    Args:
        bns: modules with the same eps; their features add up to C.
        x: (B, C, T, V), without ``biases``.
        weight: (B,) how many equal bodies each body stands for; None for one each.
        biases: one (or None) per module, what the convolutions before left out.
        residual: (B, C, T, V), added to the result.
        relu: whether the sum passes ReLU; slope: of a leaky one, below 0.

    Returns:
        (B, C, T, V), joint-major.
    """
    x = x.transpose(2, 3).contiguous()
    check_values(x, weight)
    gamma, beta = affine(bns, biases)
    if residual is not None:
        residual = residual.transpose(2, 3)
    y, mean, invstd = NormReLU.apply(x, gamma, beta, residual, weight, bns[0].eps, relu, slope)
    move_statistics(bns, mean, invstd, values_of(x, weight), biases, inverse=True)
    return y.transpose(2, 3)


def fold(bns: Sequence[_BatchNorm], biases: Sequence[Tensor | None] = ()) -> tuple[Tensor, Tensor]:
    """Eval mode: scale and shift (C,) with bn(y + bias) = scale * y + shift; a bias of None counts as 0.

    The modules have the same eps.
    """
    gamma, beta, mean, var = concatenated(
        [bn.weight for bn in bns], [bn.bias for bn in bns], [bn.running_mean for bn in bns],
        [bn.running_var for bn in bns],
    )  # fmt: skip
    scale = gamma * torch.rsqrt(var + bns[0].eps)
    if any(bias is not None for bias in biases):
        given = zip(bns, biases)
        mean = mean - joined([bn.bias.new_zeros(bn.num_features) if bias is None else bias for bn, bias in given])
    return scale, torch.addcmul(beta, mean, scale, value=-1)
