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
from skeleton_lab.nn.fused.merge_empty import Bodies
from skeleton_lab.nn.fused.multi_scale_tcn import conv_norm
from skeleton_lab.nn.fused.network import FusedNetwork
from skeleton_lab.nn.fused.temporal_conv import (
    Setting,
    along_frames,
    along_frames_backward,
    joint_major,
    setting,
    temporal,
)

ALL = Bodies()  # each computed for itself
LEVELS = 2**16  # probabilities are rounded to multiples of 1 / LEVELS


class NormReLUConv(Function):
    """A convolution over frames of relu(norm(h)); remembers h alone, from which the rest is one cheap pass.

    h (B, C, V, T) or, ``frame_major``, (B, C, T, V); W (O, C, k, 1); ``how`` as in ``along_frames``.  The result is
    laid out as h is.

    With a = relu(n), n = norm(h), y = W * a, made again from h: (da, dW) are the convolution's, dn = da where a > 0 and
    else 0, and (dh, dgamma, dbeta) those of ``norm_backward``, for mean and variance are h's own.
    """

    @staticmethod
    def forward(ctx, h, gamma, beta, mean, var, bodies, eps, how, W, frame_major=False):
        ctx.save_for_backward(h, gamma, beta, mean, var, bodies, W)
        ctx.eps, ctx.how, ctx.frame_major = eps, how, frame_major
        a = normalised(h, gamma, beta, mean, var, eps).relu_()
        return frames_conv(a, W, None, how) if frame_major else along_frames(a, W, None, how)

    @staticmethod
    def backward(ctx, dy):
        h, gamma, beta, mean, var, bodies, W = ctx.saved_tensors
        a = normalised(h, gamma, beta, mean, var, ctx.eps).relu_()
        conv_backward = frames_conv_backward if ctx.frame_major else along_frames_backward
        da, dW = conv_backward(dy, a.to(dy.dtype), W, ctx.how)
        da = torch.ops.aten.threshold_backward(da, a, 0)
        dh, dgamma, dbeta = norm_backward(da, h, gamma, mean, var, bodies, ctx.eps)
        return dh, dgamma, dbeta, None, None, None, None, None, dW, None


def frames_conv(x: Tensor, W: Tensor, bias: Tensor | None, how: Setting) -> Tensor:
    """x (B, C, T, V), W (O, C, k, 1) -> (B, O, T', V); as fast as a CPU multiplies, unlike kernels along memory."""
    return F.conv2d(x, W, bias, (how.stride, 1), (how.padding, 0), (how.dilation, 1))


def frames_conv_backward(dy: Tensor, x: Tensor, W: Tensor, how: Setting) -> tuple[Tensor, Tensor]:
    """Gradients for x and W of ``frames_conv`` without bias."""
    dx, dW, _ = torch.ops.aten.convolution_backward(
        dy.contiguous(), x, W.to(dy.dtype), None, [how.stride, 1], [how.padding, 0], [how.dilation, 1], False, [0, 0],
        1, [True, True, False],
    )  # fmt: skip
    return dx, dW


def norm(bn: nn.BatchNorm2d, x: Tensor, bodies: Tensor | None, bias: Tensor | None) -> Tensor:
    """Training: ``batch_norm`` of x (B, C, T, V), laid out as x is."""
    if x.is_cuda:
        return batch_norm([bn], x, bodies, [bias])
    return batch_norm([bn], x.transpose(2, 3), bodies, [bias]).transpose(2, 3)  # joints and frames are alike to it


def norm_relu_conv_norm(tcn: nn.Sequential, x: Tensor, bodies: Tensor | None = None) -> Tensor:
    """A ``tcn`` of ST-GCN up to its second norm: BatchNorm2d, ReLU, Conv2d (k, 1), BatchNorm2d.

    Args:
        x: (B, C, T, V).
        bodies: (B,) how many equal bodies each stands for; None for one each.

    Returns:
        (B, O, T', V), laid out as the device's bodies are.
    """
    first, _, conv, second = tcn[:4]
    if not first.training:
        scale, shift = fold([first])
        x = torch.addcmul(shift.view(-1, 1, 1), x, scale.view(-1, 1, 1)).relu_()
        scale, shift = fold([second], [conv.bias])
        W = conv.weight * scale.view(-1, 1, 1, 1)
        return temporal(x, conv, W, shift) if x.is_cuda else frames_conv(x.contiguous(), W, shift, setting(conv))
    h = joint_major(x) if x.is_cuda else x.contiguous()
    mean, var = batch_statistics([first], h, bodies)
    how = setting(conv)
    y = NormReLUConv.apply(h, *affine([first]), mean, var, bodies, first.eps, how, conv.weight, not x.is_cuda)
    return norm(second, y.transpose(2, 3) if x.is_cuda else y, bodies, conv.bias)


def projected(residual: nn.Sequential, x: Tensor, bodies: Tensor | None) -> Tensor:
    """A residual with a 1x1 convolution and a norm, laid out as the device's bodies are."""
    conv, bn = residual
    if x.is_cuda:
        return conv_norm(conv, bn, x, bodies)
    if bn.training:
        return norm(bn, F.conv2d(x, conv.weight, None, conv.stride), bodies, conv.bias)
    scale, shift = fold([bn], [conv.bias])
    return F.conv2d(x, conv.weight * scale.view(-1, 1, 1, 1), shift, conv.stride)


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
    if p < 1 and x.is_cuda:  # one kernel each way, and a byte per value
        return torch.native_dropout(x, p, True)[0]
    return Dropout.apply(x, p) if p < 1 else torch.zeros_like(x)


@fuses(st_gcn.st_gcn)
class FusedBlock(st_gcn.st_gcn):
    def forward(
        self, x: Tensor, A: Tensor, bodies: Tensor | None = None, owner: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """``owner`` (N*M,) says which body stands for each: up to the dropout; then every one is on its own."""
        y = norm_relu_conv_norm(self.tcn, self.gcn(x, A)[0], bodies)
        residual = self.residual
        if residual is not None:
            residual = x if isinstance(residual, nn.Identity) else projected(residual, x, bodies)
        if owner is not None:
            y, residual = y[owner], residual if residual is None else residual[owner]
        y = dropout(y, self.tcn[4].p, self.training)
        return F.relu(y if residual is None else y.add_(residual), inplace=True), A


@fuses(st_gcn.Model)
class FusedModel(FusedNetwork, st_gcn.Model):
    """Empty bodies are computed once until dropout tells them apart.

    ``merge_empty_bodies``: without dropout and in eval, one body stands for all empty ones throughout.  In training
    with dropout it stands for them in the first block, which has none, and in the second up to its dropout; from there
    on each has draws of its own.  No draw is shared, so what a batch gives has the plain form's joint distribution.
    ``merge_under_dropout`` goes on with one body and its draws, at less cost.  That is another distribution: absent
    people of different samples are no longer independent, and the norms' statistics vary more from batch to batch.
    """

    @staticmethod
    def can_fuse(network: st_gcn.Model) -> bool:
        return all(is_fused_layer(block) for block in network.st_gcn_networks)

    def forward(self, x: Tensor) -> Tensor:
        N, M = x.shape[0], x.shape[-1]
        bodies = self.bodies_of(x)
        x = self.blocks(bodies.take(self.normalised(x)), bodies).mean((2, 3))
        x = x if len(x) == N * M else bodies.give(x)
        return F.linear(x.view(N, M, -1).mean(1), self.fcn.weight.flatten(1), self.fcn.bias)

    def normalised(self, x: Tensor) -> Tensor:
        x = super().normalised(x)
        return x.transpose(2, 3).contiguous().transpose(2, 3) if x.is_cuda else x.contiguous()

    def blocks(self, x: Tensor, bodies: Bodies = ALL) -> Tensor:
        """(B, C, T, V) -> (B, 256, T', V), or of all bodies once a block has dropped values."""
        for block, importance in zip(self.st_gcn_networks, self.edge_importance):
            drops = self.training and block.tcn[4].p > 0 and not self.merge_under_dropout
            x, _ = self.run(block, x, self.A * importance, bodies.count, bodies.owner if drops else None)
            if drops:
                bodies = ALL
        return x
