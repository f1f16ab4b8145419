"""Convolutions over channels and frames of joint-major bodies.

On a CPU the 1x1 ones are batched matrix products; on a GPU the library's convolutions, one kernel each way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def joint_major(x: Tensor) -> Tensor:
    """(B, C, T, V) -> contiguous (B, C, V, T); free if the memory lies that way."""
    return x.transpose(2, 3).contiguous()


def flat(x: Tensor, stride: int = 1) -> Tensor:
    """(B, C, T, V) -> (B, C, V * ceil(T / stride)), joint-major."""
    return x[:, :, ::stride].transpose(2, 3).flatten(2)


def left_product(W: Tensor, x: Tensor) -> Tensor:
    """``W @ x[b]`` for every b: (O, C), (B, C, L) -> (B, O, L)."""
    return torch.bmm(W.expand(x.shape[0], -1, -1), x)


def product_dtype(x: Tensor) -> torch.dtype:
    """The type of a matrix product of x: autocast, where on, decides.  (It leaves products into given memory alone.)"""
    if not torch._C._is_any_autocast_enabled():
        return x.dtype
    return torch.mm(x.new_zeros(1, 1), x.new_zeros(1, 1)).dtype


class Pointwise(Function):
    """W x over the channels, on every ``stride``-th frame; remembers x itself, whatever the stride.

    dx = W^T dy on the frames that were read and 0 on the others, dW = sum dy x^T, dbias = sum dy: nn.Conv2d, kernel 1.
    """

    @staticmethod
    def forward(ctx, x: Tensor, W: Tensor, bias: Tensor | None, stride: int) -> Tensor:
        ctx.save_for_backward(x, W)
        ctx.stride = stride
        if x.is_cuda:
            return F.conv2d(joint_major(x), W[..., None, None], bias, (1, stride)).transpose(2, 3)
        B, _, T, V = x.shape
        y = left_product(W, flat(x, stride))
        if bias is not None:
            y += bias[:, None]
        return y.view(B, W.shape[0], V, -(-T // stride)).transpose(2, 3)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor):
        x, W = ctx.saved_tensors
        if x.is_cuda:
            wanted = ctx.needs_input_grad[:3]
            dx, dW, dbias = pointwise_backward(joint_major(dy), joint_major(x), W, ctx.stride, wanted)
            return None if dx is None else dx.transpose(2, 3), dW, dbias, None
        dflat = flat(dy)
        dx = dW = dbias = None
        if ctx.needs_input_grad[0]:
            dsub = left_product(W.to(dy.dtype).t(), dflat).view(x.shape[0], x.shape[1], x.shape[3], -1).transpose(2, 3)
            if ctx.stride == 1:
                dx = dsub
            else:
                dx = torch.zeros_like(x, dtype=dy.dtype)
                dx[:, :, :: ctx.stride] = dsub
        if ctx.needs_input_grad[1]:
            dW = weight_gradient(dflat, flat(x, ctx.stride))
        if ctx.needs_input_grad[2]:
            dbias = dflat.sum((0, 2))
        return dx, dW, dbias, None


def pointwise_backward(
    dy: Tensor, x: Tensor, W: Tensor, stride: int = 1, wanted: Sequence[bool] = (True, True, True)
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients for x (B, C, V, T), W (O, C) and a bias of their convolution, of dy (B, O, V, T'), by the library."""
    dx, dW, dbias = torch.ops.aten.convolution_backward(
        dy, x.to(dy.dtype), W.to(dy.dtype)[..., None, None], [len(W)], [1, stride], [0, 0], [1, 1], False, [0, 0], 1,
        list(wanted),
    )  # fmt: skip
    return dx, None if dW is None else dW.flatten(1), dbias


def weight_gradient(dy: Tensor, x: Tensor) -> Tensor:
    """sum_b dy[b] x[b]^T: (B, O, L), (B, C, L) -> (O, C)."""
    return torch.bmm(dy, x.to(dy.dtype).transpose(1, 2)).sum(0)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1) -> Tensor:
    """A 1x1 convolution with stride (``stride``, 1).

    Args:
        x: (B, C, T, V).
        weight: (O, C, 1, 1) or (O, C).
        bias: (O,).

    Returns:
        (B, O, ceil(T / stride), V), joint-major.
    """
    return Pointwise.apply(x, weight.flatten(1), bias, stride)


def temporal(x: Tensor, conv: nn.Conv2d, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The convolution that ``conv`` describes, kernel (k, 1), with ``weight`` and ``bias`` in place of its own.

    Args:
        x: (B, C, T, V).
        weight: (O, C, k, 1).

    Returns:
        (B, O, T', V), joint-major.
    """
    stride = conv.stride[0]
    if conv.kernel_size == (1, 1):
        return pointwise(x, weight, bias, stride)
    return along_frames(joint_major(x), weight, bias, setting(conv)).transpose(2, 3)


class Setting(NamedTuple):
    """How a kernel runs over frames."""

    stride: int
    padding: int
    dilation: int
    replicate: bool  # pad with the first and the last frame instead of zeros


def setting(conv: nn.Conv2d) -> Setting:
    return Setting(conv.stride[0], conv.padding[0], conv.dilation[0], conv.padding_mode == "replicate")


def along_frames(x: Tensor, weight: Tensor, bias: Tensor | None, how: Setting) -> Tensor:
    """x (B, C, V, T), weight (O, C, k, 1) -> (B, O, V, T')."""
    x, padding = padded(x, how)
    return F.conv2d(x, joint_major_kernel(weight), bias, (1, how.stride), (0, padding), (1, how.dilation))


def along_frames_backward(dy: Tensor, x: Tensor, weight: Tensor, how: Setting) -> tuple[Tensor, Tensor]:
    """Gradients for x (B, C, V, T) and weight of ``along_frames`` without bias.

    Frames that were repeated to pad give what arrives at their copies to the first and the last frame.
    """
    source, padding = padded(x, how)
    dx, dW, _ = torch.ops.aten.convolution_backward(
        dy.contiguous(), source.to(dy.dtype).contiguous(), joint_major_kernel(weight.to(dy.dtype)), None,
        [1, how.stride], [0, padding], [1, how.dilation], False, [0, 0], 1, [True, True, False],
    )  # fmt: skip
    if source is not x:
        p = how.padding
        dsource, dx = dx, dx[..., p : p + x.shape[-1]].contiguous()
        dx[..., 0] += dsource[..., :p].sum(-1)
        dx[..., -1] += dsource[..., -p:].sum(-1)
    return dx, dW.view(weight.shape)


def padded(x: Tensor, how: Setting) -> tuple[Tensor, int]:
    """x (B, C, V, T) with the frames that the convolution cannot pad itself, and the padding left to it."""
    if not how.replicate or how.padding == 0:
        return x, how.padding
    return F.pad(x, (how.padding, how.padding, 0, 0), "replicate"), 0


def joint_major_kernel(weight: Tensor) -> Tensor:
    """(O, C, k, 1) -> (O, C, 1, k); a view, not a transposition, so that gradients keep the weight's strides."""
    return weight.reshape(weight.shape[0], weight.shape[1], 1, -1)
