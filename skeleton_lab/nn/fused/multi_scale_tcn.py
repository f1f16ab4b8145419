"""Temporal units: one convolution over frames, or several side by side (multi-scale)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from skeleton_lab.nn import layers
from skeleton_lab.nn.fuse import fuses
from skeleton_lab.nn.fused.batch_norm import (
    affine,
    batch_norm,
    check_values,
    fold,
    normed,
    normed_again,
    normed_backward,
    values_of,
)
from skeleton_lab.nn.fused.max_pool import MaxPool3, max3, max3_backward
from skeleton_lab.nn.fused.running_statistics import move_statistics
from skeleton_lab.nn.fused.temporal_conv import along_frames, along_frames_backward, pointwise, setting, temporal


def conv_norm(
    conv: nn.Conv2d, bn: _BatchNorm, x: Tensor, bodies: Tensor | None = None, residual: Tensor | None = None,
    relu: bool = False,
) -> Tensor:  # fmt: skip
    """bn(conv(x)) for a convolution with kernel (k, 1), in the mode of ``bn``; relu(... + residual) if wanted.

    Args:
        x: (B, C, T, V).
        bodies, residual, relu: see ``batch_norm``.

    Returns:
        (B, O, T', V), joint-major.
    """
    if bn.training:
        return batch_norm([bn], temporal(x, conv, conv.weight), bodies, [conv.bias], residual, relu)
    scale, shift = fold([bn], [conv.bias])
    return added(temporal(x, conv, conv.weight * scale.view(-1, 1, 1, 1), shift), residual, relu)


def added(y: Tensor, residual: Tensor | None, relu: bool = False, slope: float = 0.0) -> Tensor:
    """relu(y + residual) if wanted, leaky with ``slope``, in the memory of y where autograd and types let it."""
    if residual is not None:
        y = y + residual if y.requires_grad or y.dtype != residual.dtype else y.add_(residual)
    if not relu:
        return y
    inplace = residual is not None or not y.requires_grad
    return F.leaky_relu(y, slope, inplace) if slope else F.relu(y, inplace)


@fuses(layers.UnitTCN)
class FusedUnitTCN(layers.UnitTCN):
    """``bodies`` (B,) are multiplicities, see ``batch_norm``."""

    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        return conv_norm(self.conv, self.bn, x, bodies)


relu_backward = torch.ops.aten.threshold_backward.grad_input


class NormReLUBranches(Function):
    """a = relu(norm(h)); a convolution over frames of each part of a, max pooling of the last part.

    Remembers h alone: a is one cheap pass away.  ``h`` (B, C, V, T); ``settings``, one for every convolution, are
    those of ``along_frames``; parts have as many channels as the convolutions' inputs, the rest is pooled.  The
    last two results are the batch's mean and 1 / sigma.

    The way back is the chain rule part by part: ``along_frames_backward`` or ``max3_backward`` to a, 0 where relu gave
    0, then ``normed_backward``.  Equals norm, ReLU and the exits of the branches of plain ``MultiScaleTemporalConv``.
    """

    @staticmethod
    def forward(ctx, h, gamma, beta, bodies, eps, settings, *weights):
        a, mean, invstd = normed(h, gamma, beta, bodies, eps)
        ctx.save_for_backward(h, gamma, beta, mean, invstd, bodies, *weights)
        ctx.mark_non_differentiable(mean, invstd)
        ctx.set_materialize_grads(False)  # of these two
        ctx.settings = settings
        a.relu_()
        *parts, last = a.split(part_sizes(h, weights), dim=1)
        y = [along_frames(part, W, None, how) for part, W, how in zip(parts, weights, settings)]
        y.append(max3(last, settings[0].stride))
        ctx.shapes = [part.shape for part in y]
        return *y, mean, invstd

    @staticmethod
    @once_differentiable
    def backward(ctx, *dy):
        h, gamma, beta, mean, invstd, bodies, *weights = ctx.saved_tensors
        dy = [h.new_zeros(shape) if d is None else d for d, shape in zip(dy, ctx.shapes)]
        a = normed_again(h, gamma, beta, mean, invstd).relu_()
        *parts, last = a.split(part_sizes(h, weights), dim=1)
        dnorm, dweights = torch.empty_like(a, dtype=dy[0].dtype), []
        *dparts, dlast = dnorm.split(part_sizes(h, weights), dim=1)
        for d, part, dpart, W, how in zip(dy, parts, dparts, weights, ctx.settings):
            da, dW = along_frames_backward(d, part, W, how)
            relu_backward(da, part.to(da.dtype), 0, grad_input=dpart)
            dweights.append(dW)
        da = max3_backward(dy[-1], last, ctx.settings[0].stride)
        relu_backward(da.to(dlast.dtype), last.to(dlast.dtype), 0, grad_input=dlast)
        gradients = normed_backward(dnorm.to(h.dtype), h, gamma, mean, invstd, bodies)
        return *gradients, None, None, None, *dweights


def part_sizes(h: Tensor, weights: Sequence[Tensor]) -> list[int]:
    sizes = [W.shape[1] for W in weights]
    return [*sizes, h.shape[1] - sum(sizes)]


@fuses(layers.MultiScaleTemporalConv)
class FusedMultiScaleTemporalConv(layers.MultiScaleTemporalConv):
    """All entry convolutions read the same x, so they run as one product with one norm."""

    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        """(B, C, T, V) -> (B, O, ceil(T / stride), V); ``bodies`` (B,) are multiplicities, see ``batch_norm``."""
        residual = self.residual
        if residual is not None:
            residual = x if isinstance(residual, nn.Identity) else residual(x, bodies)
        return self.normed(x, bodies, residual) if self.training else added(self.folded(x), residual)

    def parts(self) -> tuple[list[nn.Sequential], list[_BatchNorm]]:
        """The branches with ReLU, and the exit norms of all branches."""
        *convs, pool, last = self.branches
        return [*convs, pool], [*(branch[3].bn for branch in convs), pool[4], last[1]]

    def normed(self, x: Tensor, bodies: Tensor | None, residual: Tensor | None) -> Tensor:
        branches, exit_norms = self.parts()
        last = self.branches[-1][0]
        y = relu_branches(branches, x, bodies)
        y = torch.cat([*y, pointwise(x, last.weight, None, self.stride).transpose(2, 3)], 1).transpose(2, 3)
        return batch_norm(exit_norms, y, bodies, [*exit_biases(branches), last.bias], residual)

    def folded(self, x: Tensor) -> Tensor:
        branches, exit_norms = self.parts()
        last = self.branches[-1][0]
        scale, shift = fold([exit_norms[-1]], [last.bias])
        y = folded_relu_branches(branches, exit_norms[:-1], x)
        y.append(pointwise(x, last.weight * scale.view(-1, 1, 1, 1), shift, self.stride).transpose(2, 3))
        return torch.cat(y, 1).transpose(2, 3)  # cat would not keep joint-major


# Branches with ReLU: nn.Sequential(1x1 convolution, norm, ReLU, then either a ``UnitTCN`` or max pooling and a norm);
# the pooled branch comes last.


def exit_biases(branches: Sequence[nn.Sequential]) -> list[Tensor | None]:
    """What ``relu_branches`` leaves out before the exit norms."""
    return [*(branch[3].conv.bias for branch in branches[:-1]), None]


def relu_branches(branches: Sequence[nn.Sequential], x: Tensor, bodies: Tensor | None) -> list[Tensor]:
    """Training: every branch up to its exit norm and without ``exit_biases``, each (B, c, V, T')."""
    h = pointwise(x, torch.cat([branch[0].weight for branch in branches])).transpose(2, 3)
    return relu_branches_of(branches, h, bodies)


def relu_branches_of(branches: Sequence[nn.Sequential], h: Tensor, bodies: Tensor | None) -> list[Tensor]:
    """The same of what the entry convolutions give without their biases, h (B, C, V, T)."""
    biases, entry_norms = [branch[0].bias for branch in branches], [branch[1] for branch in branches]
    exits = [branch[3].conv for branch in branches[:-1]]
    check_values(h, bodies)
    settings = [setting(conv) for conv in exits]
    weights = [conv.weight for conv in exits]
    gamma, beta = affine(entry_norms, biases)
    *y, mean, invstd = NormReLUBranches.apply(h, gamma, beta, bodies, entry_norms[0].eps, settings, *weights)
    move_statistics(entry_norms, mean, invstd, values_of(h, bodies), biases, inverse=True)
    return y


def folded_relu_branches(
    branches: Sequence[nn.Sequential], exit_norms: Sequence[_BatchNorm], x: Tensor
) -> list[Tensor]:  # fmt: skip
    """Eval: every branch with its norms folded into the convolutions, each (B, c, V, T')."""
    entries = [branch[0] for branch in branches]
    exits = [branch[3].conv for branch in branches[:-1]]
    scale, shift = fold([branch[1] for branch in branches], [conv.bias for conv in entries])
    a = pointwise(x, torch.cat([conv.weight for conv in entries]) * scale.view(-1, 1, 1, 1), shift).relu()
    *parts, pooled = a.split([conv.out_channels for conv in entries], 1)
    scales, shifts = fold(exit_norms, exit_biases(branches))
    sizes = [bn.num_features for bn in exit_norms]
    *scales, pool_scale = scales.view(-1, 1, 1, 1).split(sizes)
    *shifts, pool_shift = shifts.split(sizes)
    y = [
        temporal(part, conv, conv.weight * scale, shift).transpose(2, 3)
        for part, conv, scale, shift in zip(parts, exits, scales, shifts)
    ]
    pooled = MaxPool3.apply(pooled.transpose(2, 3), exits[0].stride[0])
    return [*y, torch.addcmul(pool_shift.view(-1, 1, 1), pooled, pool_scale.view(-1, 1, 1))]
