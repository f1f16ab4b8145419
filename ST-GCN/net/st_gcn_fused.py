"""ST-GCN's layers, fused: little is kept for backward, and dropout draws cheaply and remembers one bit per value.

Notation as in ``st_gcn.py``.  ``bodies`` (B,) says how many equal bodies each body stands for (None: one).  Bodies are
frame-major on a CPU, as ``norm_relu_conv_norm`` and ``dropout`` take them; joint-major on a GPU (``st_gcn_gpu.py``).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from net import st_gcn
from net.st_gcn_gpu import BlockSetting, graphs_on_gpu, trained_on_gpu
from skeleton_lab.nn.fuse import fuses, is_fused_layer
from skeleton_lab.nn.fused.batch_norm import (
    WithoutEffect,
    affine,
    batch_norm,
    batch_statistics,
    fold,
    norm_backward,
    normalised,
)
from skeleton_lab.nn.fused.merge_empty import Bodies
from skeleton_lab.nn.fused.network import FusedNetwork
from skeleton_lab.nn.fused.temporal_conv import Setting, along_frames, joint_major, setting, temporal

ALL = Bodies()  # each computed for itself
LEVELS = 2**16  # probabilities are rounded to multiples of 1 / LEVELS


class NormReLUConv(Function):
    """A convolution over frames of relu(norm(h)); remembers h alone, from which the rest is one cheap pass.

    h (B, C, T, V), W (O, C, k, 1), ``how`` as in ``frames_conv``.

    With a = relu(n), n = norm(h), y = W * a, made again from h: (da, dW) are the convolution's, dn = da where a > 0 and
    else 0, and (dh, dgamma, dbeta) those of ``norm_backward``, for mean and variance are h's own.
    """

    @staticmethod
    def forward(ctx, h, gamma, beta, mean, var, bodies, eps, how, W):
        ctx.save_for_backward(h, gamma, beta, mean, var, bodies, W)
        ctx.eps, ctx.how = eps, how
        return frames_conv(normalised(h, gamma, beta, mean, var, eps).relu_(), W, None, how)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        h, gamma, beta, mean, var, bodies, W = ctx.saved_tensors
        a = normalised(h, gamma, beta, mean, var, ctx.eps).relu_()
        da, dW = frames_conv_backward(dy, a.to(dy.dtype), W, ctx.how)
        da = torch.ops.aten.threshold_backward(da, a, 0)
        dh, dgamma, dbeta = norm_backward(da, h, gamma, mean, var, bodies, ctx.eps)
        return dh, dgamma, dbeta, None, None, None, None, None, dW


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
    return batch_norm([bn], x.transpose(2, 3), bodies, [bias]).transpose(2, 3)  # joints and frames are alike to it


def projected(residual: nn.Sequential, x: Tensor, bodies: Tensor | None) -> Tensor:
    """A residual with a 1x1 convolution and a norm, laid out as the device's bodies are."""
    conv, bn = residual
    W, bias = conv.weight, None
    if not bn.training:
        scale, bias = fold([bn], [conv.bias])
        W = W * scale.view(-1, 1, 1, 1)
    if x.is_cuda:
        y = along_frames(joint_major(x), W, bias, setting(conv)).transpose(2, 3)
        return batch_norm([bn], y, bodies, [conv.bias]) if bn.training else y
    y = frames_conv(x, W, bias, setting(conv))
    return norm(bn, y, bodies, conv.bias) if bn.training else y


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
    @once_differentiable
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
        self, x: Tensor, A: Tensor, bodies: Tensor | None = None, owner: Tensor | None = None,
        keep: Tensor | None = None, offset: Tensor | None = None, W: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """As the plain block.

        Args:
            bodies: (B,) how many equal bodies each stands for; None for one each.
            owner: (N*M,) which body stands for each: up to the dropout; then every one is on its own.
            keep: what dropout keeps, on a GPU, where it is drawn already.
            offset, W: ``gcn.offset(A)`` and ``gcn.by_channel()``, where they are made already.
        """
        if W is None and x.is_cuda:
            offset, W = self.gcn.offset(A), self.gcn.by_channel()
        residual, identity = self.residual, isinstance(self.residual, nn.Identity)
        if residual is not None:
            residual = x if identity else projected(residual, x, bodies)
        if not self.training:
            y = folded(self, x, A, offset, W)
            return F.relu(y if residual is None else y.add_(residual), inplace=True), A
        if x.is_cuda:
            how = BlockSetting(
                (self.tcn[0].eps, self.tcn[3].eps), setting(self.tcn[2]), self.tcn[4].p, keep, identity, bodies, owner
            )
            return trained_on_gpu(self, x, A, offset, W, None if identity else residual, how), A
        y = norm_relu_conv_norm(self.tcn, self.gcn(x, A)[0], bodies)
        if owner is not None:
            y, residual = y[owner], residual if residual is None else residual[owner]
        y = dropout(y, self.tcn[4].p, self.training)
        return F.relu(y if residual is None else y.add_(residual), inplace=True), A


def norm_relu_conv_norm(tcn: nn.Sequential, x: Tensor, bodies: Tensor | None = None) -> Tensor:
    """In training on a CPU a ``tcn`` up to its second norm: (B, C, T, V) -> (B, O, T', V)."""
    first, _, conv, second = tcn[:4]
    h = x.contiguous()
    mean, var = batch_statistics([first], h, bodies)
    y = NormReLUConv.apply(h, *affine([first]), mean, var, bodies, first.eps, setting(conv), conv.weight)
    return norm(second, y, bodies, conv.bias)


def folded(block: FusedBlock, x: Tensor, A: Tensor, offset: Tensor | None, W: Tensor | None) -> Tensor:
    """In eval ``tcn(gcn(x, A))``, with the norms in the products before them.

    Laid out as the device's bodies are, on a CPU with the channels last: (B, T, V, O) in memory.
    """
    first, _, conv, second = block.tcn[:4]
    if block.gcn._forward_hooks:  # somebody looks at what it makes
        h = block.gcn(x, A)[0]
        a = normalised(h, first.weight, first.bias, first.running_mean, first.running_var, first.eps).relu_()
    else:
        a = block.gcn.scaled(x, A, W, offset, *fold([first])).relu_()
    scale, shift = fold([second], [conv.bias])
    W = conv.weight * scale.view(-1, 1, 1, 1)
    return temporal(a, conv, W, shift) if x.is_cuda else frames_conv(a, W, shift, setting(conv))


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
        if self.training and x.is_cuda:
            x = WithoutEffect.apply(x, *(block.tcn[2].bias for block in self.st_gcn_networks))
        return F.linear(x.view(N, M, -1).mean(1), self.fcn.weight.flatten(1), self.fcn.bias)

    def normalised(self, x: Tensor) -> Tensor:
        x = super().normalised(x)
        return x.transpose(2, 3).contiguous().transpose(2, 3) if x.is_cuda else x.contiguous()

    def blocks(self, x: Tensor, bodies: Bodies = ALL) -> Tensor:
        """(B, C, T, V) -> (B, 256, T', V), or of all bodies once a block has dropped values."""
        graphs = graphs_on_gpu(self) if x.is_cuda else [(self.A * each,) for each in self.edge_importance]
        drawn = iter(self.drawn(x, bodies))
        for block, (A, *made) in zip(self.st_gcn_networks, graphs):
            drops = self.drops(block)
            owner = bodies.owner if drops and not self.merge_under_dropout else None
            x, _ = self.run(block, x, A, bodies.count, owner, next(drawn, None) if drops else None, *made)
            if owner is not None:
                bodies = ALL
        return x

    def drops(self, block: FusedBlock) -> bool:
        return self.training and block.tcn[4].p > 0

    def drawn(self, x: Tensor, bodies: Bodies) -> Iterable[Tensor]:
        """What dropout keeps in each block that drops, drawn at once on a GPU, if it is to be kept and all drop alike.

        (B, O, V, T') each; none where each block is to draw for itself.
        """
        blocks = [block for block in self.st_gcn_networks if self.drops(block)]
        if not x.is_cuda or self.activation_checkpointing or len({block.tcn[4].p for block in blocks}) != 1:
            return []
        merged = bodies.owner is None or self.merge_under_dropout
        B, frames, shapes = len(x) if merged else len(bodies.owner), x.shape[2], []
        for block in self.st_gcn_networks:
            frames = -(-frames // block.tcn[2].stride[0])
            if self.drops(block):
                shapes.append(torch.Size((B, block.tcn[2].out_channels, x.shape[3], frames)))
        keep = torch.empty(sum(shape.numel() for shape in shapes), dtype=torch.bool, device=x.device)
        parts = keep.bernoulli_(1 - blocks[0].tcn[4].p).split([shape.numel() for shape in shapes])
        return (part.view(shape) for part, shape in zip(parts, shapes))
