"""ST-GCN's layers, fused: little is kept for backward, and dropout draws cheaply and remembers one bit per value.

Notation as in ``st_gcn.py``.  ``bodies`` (B,) says how many equal bodies each body stands for (None: one).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from net import st_gcn
from skeleton_lab.nn.fuse import fuses, is_fused_layer
from skeleton_lab.nn.fused.batch_norm import affine, batch_norm, batch_statistics, fold, norm_backward, normalised
from skeleton_lab.nn.fused.multi_scale_tcn import conv_norm
from skeleton_lab.nn.fused.network import FusedNetwork
from skeleton_lab.nn.fused.temporal_conv import along_frames, along_frames_backward, joint_major, setting, temporal

LEVELS = 2**16  # probabilities are rounded to multiples of 1 / LEVELS


class NormReLUConv(Function):
    """A convolution over frames of relu(norm(h)); remembers h alone, from which the rest is one cheap pass.

    h (B, C, V, T), W (O, C, k, 1), ``how`` as in ``along_frames``.  Returns (B, O, V, T').

    With a = relu(n), n = norm(h), y = W * a, made again from h: (da, dW) are the convolution's, dn = da where a > 0 and
    else 0, and (dh, dgamma, dbeta) those of ``norm_backward``, for mean and variance are h's own.
    """

    @staticmethod
    def forward(ctx, h, gamma, beta, mean, var, bodies, eps, how, W):
        ctx.save_for_backward(h, gamma, beta, mean, var, bodies, W)
        ctx.eps, ctx.how = eps, how
        return along_frames(normalised(h, gamma, beta, mean, var, eps).relu_(), W, None, how)

    @staticmethod
    def backward(ctx, dy):
        h, gamma, beta, mean, var, bodies, W = ctx.saved_tensors
        a = normalised(h, gamma, beta, mean, var, ctx.eps).relu_()
        da, dW = along_frames_backward(dy, a.to(dy.dtype), W, ctx.how)
        da = torch.ops.aten.threshold_backward(da, a, 0)
        dh, dgamma, dbeta = norm_backward(da, h, gamma, mean, var, bodies, ctx.eps)
        return dh, dgamma, dbeta, None, None, None, None, None, dW


def norm_relu_conv_norm(tcn: nn.Sequential, x: Tensor, bodies: Tensor | None = None) -> Tensor:
    """A ``tcn`` of ST-GCN up to its second norm: BatchNorm2d, ReLU, Conv2d (k, 1), BatchNorm2d.

    Args:
        x: (B, C, T, V).
        bodies: (B,) how many equal bodies each stands for; None for one each.

    Returns:
        (B, O, T', V), joint-major.
    """
    first, _, conv, second = tcn[:4]
    if not first.training:
        scale, shift = fold([first])
        x = torch.addcmul(shift.view(-1, 1, 1), x, scale.view(-1, 1, 1)).relu_()
        scale, shift = fold([second], [conv.bias])
        return temporal(x, conv, conv.weight * scale.view(-1, 1, 1, 1), shift)
    h = joint_major(x)
    mean, var = batch_statistics([first], h, bodies)
    y = NormReLUConv.apply(h, *affine([first]), mean, var, bodies, first.eps, setting(conv), conv.weight)
    return batch_norm([second], y.transpose(2, 3), bodies, [conv.bias])


def keep_mask(x: Tensor, p: float) -> tuple[Tensor, float]:
    """A random mask of x's shape and layout, False with probability p, and the share that is kept on average.

    Four values share one 64-bit draw: ten times as fast on a CPU as a draw for each.
    """
    drop = round(p * LEVELS)
    size = x.numel()
    draws = torch.empty(-(-size // 4), dtype=torch.int64, device=x.device).random_(-(2**63), None)
    keep = draws.view(torch.int16)[:size] >= drop - LEVELS // 2
    strides = torch.empty_like(x, dtype=torch.bool, device="meta").stride()
    return keep.as_strided(x.shape, strides), 1 - drop / LEVELS


class Dropout(Function):
    """y = x keep / share: linear in x, so dx = dy keep / share, and the mask is all that backward needs."""

    @staticmethod
    def forward(ctx, x, p):
        keep, ctx.share = keep_mask(x, p)
        ctx.shape, ctx.stride = keep.shape, keep.stride()
        ctx.save_for_backward(packed(keep.as_strided((keep.numel(),), (1,))))
        return masked(x, keep, ctx.share)

    @staticmethod
    def backward(ctx, dy):
        keep = unpacked(*ctx.saved_tensors).as_strided(ctx.shape, ctx.stride)
        return masked(dy, keep, ctx.share), None


# Eight booleans are one 64-bit number with a 0 or 1 in each of its bytes.
GATHER = 0x0102040810204080  # times such a number: byte i's bit ends up as bit i of the highest byte
REPEAT = 0x0101010101010101  # times a byte: that byte eight times
ONE_EACH = 0x8040201008040201 - 2**64  # bit i of byte i


def packed(keep: Tensor) -> Tensor:
    """Booleans (n,) -> bytes (ceil(n / 8),), bit i of byte j from ``keep[8 j + i]``."""
    words = F.pad(keep, (0, -len(keep) % 8)).view(torch.int64)
    return ((words * GATHER) >> 56).to(torch.uint8)


def unpacked(bits: Tensor) -> Tensor:
    """Bytes (m,) -> the booleans (8 m,) that ``packed`` was given, and what filled up the last byte."""
    words = bits.to(torch.int64).mul_(REPEAT).bitwise_and_(ONE_EACH)
    return words.view(torch.uint8) != 0


def masked(x: Tensor, keep: Tensor, share: float) -> Tensor:
    return (x * keep).mul_(1 / share)


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """``F.dropout`` with p rounded to 1/65536: in training, zero with probability p, else divided by 1 - p."""
    if not training or p == 0:
        return x
    return Dropout.apply(x, p) if p < 1 else torch.zeros_like(x)


@fuses(st_gcn.st_gcn)
class FusedBlock(st_gcn.st_gcn):
    def forward(self, x: Tensor, A: Tensor, bodies: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y = norm_relu_conv_norm(self.tcn, self.gcn(x, A)[0], bodies)
        y = dropout(y, self.tcn[4].p, self.training)
        if self.residual is None:
            return F.relu(y), A
        residual = x if isinstance(self.residual, nn.Identity) else conv_norm(*self.residual, x, bodies)
        return F.relu(y + residual, inplace=True), A


@fuses(st_gcn.Model)
class FusedModel(FusedNetwork, st_gcn.Model):
    """Empty bodies are computed once where no dropout tells them apart."""

    @staticmethod
    def can_fuse(network: st_gcn.Model) -> bool:
        return all(is_fused_layer(block) for block in network.st_gcn_networks)

    def forward(self, x: Tensor) -> Tensor:
        N, M = x.shape[0], x.shape[-1]
        bodies = self.bodies_of(x, alike=not (self.training and self.dropout > 0))
        x = bodies.give(self.blocks(bodies.take(self.normalised(x)), bodies.count).mean((2, 3)))
        return F.linear(x.view(N, M, -1).mean(1), self.fcn.weight.flatten(1), self.fcn.bias)

    def normalised(self, x: Tensor) -> Tensor:
        x = super().normalised(x)
        return x.transpose(2, 3).contiguous().transpose(2, 3)  # joint-major

    def blocks(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        for block, importance in zip(self.st_gcn_networks, self.edge_importance):
            x, _ = self.run(block, x, self.A * importance, bodies)
        return x
