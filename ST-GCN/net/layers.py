"""Layers of ST-GCN that remember less than the chain of their parts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd import Function

from skeleton_lab.nn.fused.batch_norm import affine, batch_norm, batch_statistics, fold, norm_backward, normalised
from skeleton_lab.nn.fused.temporal_conv import along_frames, along_frames_backward, joint_major, setting, temporal


class NormReLUConv(Function):
    """A convolution over frames of relu(norm(h)); remembers h alone, from which the rest is one cheap pass.

    h (B, C, V, T), W (O, C, k, 1), ``how`` as in ``along_frames``.  Returns (B, O, V, T').
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
