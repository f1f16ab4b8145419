"""Max pooling over three frames: on a CPU as two elementwise passes, much faster than the general kernel.

On a GPU, where the number of kernels counts, by the general one.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

max_pool_backward = torch.ops.aten.max_pool2d_with_indices_backward


def neighbours(x: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """Views of the frames before, at and after the frames 0, stride, 2 * stride ... of x (..., T).

    The first window has no frame before, the last may have none after: their views are shorter.
    """
    return x[..., stride - 1 :: stride][..., : -(-x.shape[-1] // stride) - 1], x[..., ::stride], x[..., 1::stride]


def pooled(x: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """The maxima, where they were, and x (..., T), each as rows (1, ..., T)."""
    rows = x.reshape(1, -1, x.shape[-1])
    y, where = torch.ops.aten.max_pool2d_with_indices(rows, [1, 3], [1, stride], [0, 1])
    return y, where, rows


def max3(x: Tensor, stride: int) -> Tensor:
    """x (..., T) -> (..., ceil(T / stride)): max over t-1, t, t+1, absent frames left out."""
    if x.is_cuda:
        return pooled(x, stride)[0].view(*x.shape[:-1], -1)
    before, at, after = neighbours(x, stride)
    y = at.clone(memory_format=torch.contiguous_format)
    if before.shape[-1]:
        torch.maximum(y[..., 1:], before, out=y[..., 1:])
    if after.shape[-1]:
        head = y[..., : after.shape[-1]]
        torch.maximum(head, after, out=head)
    return y


def max3_backward(dy: Tensor, x: Tensor, stride: int) -> Tensor:
    """Gradient of x; of equal values the earliest frame gets it, as in torch's pooling."""
    if x.is_cuda:
        _, where, rows = pooled(x, stride)
        dy = dy.to(x.dtype).reshape(where.shape)
        return max_pool_backward(dy, rows, [1, 3], [1, stride], [0, 1], [1, 1], False, where).view(x.shape)
    y = max3(x, stride)
    dx = torch.zeros_like(x, dtype=dy.dtype)
    before, at, after = neighbours(x, stride)
    dbefore, dat, dafter = neighbours(dx, stride)
    rest = dy.contiguous().clone()
    taken = rest[..., 1:] * (before == y[..., 1:])
    dbefore += taken
    rest[..., 1:] -= taken
    taken = rest * (at == y)
    dat += taken
    rest -= taken
    dafter += rest[..., : after.shape[-1]]
    return dx


class MaxPool3(Function):
    """nn.MaxPool2d over three frames; dy goes to the frame that was the greatest, see ``max3_backward``."""

    @staticmethod
    def forward(ctx, x, stride):
        ctx.save_for_backward(x)
        ctx.stride = stride
        return max3(x, stride)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return max3_backward(dy, x, ctx.stride), None
