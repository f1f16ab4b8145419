"""Coordinates to features: an embedding and the input norm, which together are one affine map per person and joint."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from skeleton_lab.nn.fused.batch_norm import WithoutEffect, move_statistics


class Embedded(NamedTuple):
    """Features weight x + shift of coordinates x, not made yet."""

    x: Tensor  # (M, V, I, N*T)
    weight: Tensor  # (M, V, C, I)
    shift: Tensor  # (M, V, C)
    samples: int  # N

    def features(self) -> Tensor:
        """(N*M, C, T, V), joint-major."""
        M, V, C, _ = self.weight.shape
        with torch.autocast(self.x.device.type, enabled=False):
            y = torch.baddbmm(self.shift.view(-1, C, 1), self.weight.flatten(0, 1), self.x.flatten(0, 1))
        y = y.view(M, V, C, self.samples, -1).permute(3, 0, 2, 1, 4)
        return y.flatten(0, 1).contiguous().transpose(2, 3)

    def projected(self, W: Tensor, bias: Tensor) -> Tensor:
        """``W features + bias`` from the coordinates: W (O, C), bias (O,) -> (N*M, O, T, V), joint-major."""
        with torch.autocast(self.x.device.type, enabled=False):
            weight, shift = W @ self.weight, self.shift @ W.t() + bias
        return Embedded(self.x, weight, shift, self.samples).features()


def embed(x: Tensor, linear: nn.Linear, position: Tensor, bn: nn.BatchNorm1d) -> Embedded:
    """bn(linear(x) + position) without making its argument.

    The variance of W x is W Cov(x) W^T and its mean W mean(x): in training three coordinates per joint tell the
    statistics of all features.  There the bias and the position cancel; their gradient is zero, not None, so that
    weight decay still acts on them.

    Args:
        x: (N, I, T, V, M) coordinates.
        linear: I -> C.
        position: (V, C).
        bn: M*V*C features, in that order; statistics over N and T.

    """
    N, _, T, V, M = x.shape
    W, C = linear.weight, linear.out_features
    offset = linear.bias + position
    gamma, shift = bn.weight.view(M, V, C), bn.bias.view(M, V, C)
    with torch.autocast(x.device.type, enabled=False):
        x = x.to(W.dtype).permute(4, 3, 1, 0, 2).flatten(3)  # (M, V, I, N*T)
        if bn.training:
            centre = x.mean(3, keepdim=True)
            x = x - centre
            var = (W @ (x @ x.transpose(2, 3) / (N * T)) * W).sum(3)  # (M, V, C)
            move_statistics([bn], ((W @ centre).squeeze(3) + offset).flatten(), var.flatten(), N * T)
            shift = WithoutEffect.apply(shift, linear.bias, position)
            scale = gamma * torch.rsqrt(var + bn.eps)
        else:
            scale = gamma * torch.rsqrt(bn.running_var + bn.eps).view(M, V, C)
            shift = shift + scale * (offset - bn.running_mean.view(M, V, C))
    return Embedded(x, scale.unsqueeze(3) * W, shift, N)
