"""Layers of ST-GCN that remember less than the chain of their parts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd import Function

from skeleton_lab.nn.convolution import along_frames, joint_major, joint_major_kernel, temporal
from skeleton_lab.nn.norm import affine, batch_norm, batch_statistics, fold, norm_backward, normalised


class NormReLUConv(Function):
    """A convolution over frames of relu(norm(h)); remembers h alone, from which the rest is one cheap pass.

    h (B, C, V, T), W (O, C, k, 1); ``setting`` is (stride, padding, dilation).  Returns (B, O, V, T').
    """

    @staticmethod
    def forward(ctx, h, gamma, beta, mean, var, bodies, eps, setting, W):
        ctx.save_for_backward(h, gamma, beta, mean, var, bodies, W)
        ctx.eps, ctx.setting = eps, setting
        return along_frames(normalised(h, gamma, beta, mean, var, eps).relu_(), W, None, *setting)

    @staticmethod
    def backward(ctx, dy):
        h, gamma, beta, mean, var, bodies, W = ctx.saved_tensors
        stride, padding, dilation = ctx.setting
        a = normalised(h, gamma, beta, mean, var, ctx.eps).relu_()
        da, dW, _ = torch.ops.aten.convolution_backward(
            dy.contiguous(), a.to(dy.dtype), joint_major_kernel(W.to(dy.dtype)), None,
            [1, stride], [0, padding], [1, dilation], False, [0, 0], 1, [True, True, False],
        )  # fmt: skip
        da = torch.ops.aten.threshold_backward(da, a, 0)
        dh, dgamma, dbeta = norm_backward(da, h, gamma, mean, var, bodies, ctx.eps)
        return dh, dgamma, dbeta, None, None, None, None, None, dW.view(W.shape)


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
    setting = (conv.stride[0], conv.padding[0], conv.dilation[0])
    y = NormReLUConv.apply(h, *affine([first]), mean, var, bodies, first.eps, setting, conv.weight)
    return batch_norm([second], y.transpose(2, 3), bodies, [conv.bias])
