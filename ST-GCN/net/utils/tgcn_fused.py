"""The graph convolution, fused: where its kernel is 1, the sum over joints goes first, and x alone is kept."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from net.utils import tgcn
from skeleton_lab.nn.fuse import fuses
from skeleton_lab.nn.fused.graph_conv import buffers, shared_aggregate
from skeleton_lab.nn.fused.temporal_conv import product_dtype, weight_gradient


class Aggregate(Function):
    """y = sum_k W_k x A_k of frame-major bodies, a few at a time; remembers x alone.

    x (B, C, T, V), W (O, K*C) with column k*C + c, A (K, V, V) with row = source -> (B, O, T, V).

    With s_k = x A_k, made again in backward: dW_k = dy s_k^T, ds_k = W_k^T dy, dA_k = x^T ds_k, dx = sum_k ds_k A_k^T.
    """

    @staticmethod
    def forward(ctx, x, W, A):
        ctx.save_for_backward(x, W, A)
        dtype = product_dtype(x)
        x, W, A = (t.to(dtype) for t in (x, W, A))
        B, _, T, V = x.shape
        y = x.new_empty(B, len(W), T, V)
        for s, z in buffers(x, len(A)):
            spread(x[s], A, z)
            y[s].flatten(2).baddbmm_(W.expand(len(z), -1, -1), z, beta=0)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        x, W, A = (t.to(dy.dtype) for t in ctx.saved_tensors)
        dy = dy.flatten(2)
        dx, dW, dA = torch.empty_like(x), torch.zeros_like(W), torch.zeros_like(A)
        for s, z in buffers(x, len(A)):
            spread(x[s], A, z)
            dW += weight_gradient(dy[s], z)
            z.baddbmm_(W.t().expand(len(z), -1, -1), dy[s], beta=0)  # z is ds from here on
            source, target = x[s].flatten(1, 2), dx[s].flatten(1, 2)
            for k, ds in enumerate(by_subset(z, x, len(A)).unbind(1)):
                dA[k] += torch.bmm(source.transpose(1, 2), ds).sum(0)
                target.baddbmm_(ds, A[k].t().expand(len(z), -1, -1), beta=min(k, 1))
        return dx, dW, dA


def spread(x: Tensor, A: Tensor, out: Tensor) -> None:
    """x (b, C, T, V) -> ``out`` (b, K*C, T*V), row k*C + c holds x[c] A_k."""
    parts = by_subset(out, x, len(A))
    for k in range(len(A)):
        parts[:, k].baddbmm_(x.flatten(1, 2), A[k].expand(len(x), -1, -1), beta=0)


def by_subset(z: Tensor, x: Tensor, K: int) -> Tensor:
    """(b, K*C, T*V) seen as (b, K, C*T, V)."""
    return z.view(len(z), K, -1, x.shape[3])


@fuses(tgcn.ConvTemporalGraphical)
class FusedConvTemporalGraphical(tgcn.ConvTemporalGraphical):
    """Frame-major on a CPU; joint-major on a GPU, where two large products are the whole.

    sum_k (W_k x + b_k) A_k = sum_k W_k (x A_k) + ``offset``, where the kernel is 1.
    """

    def forward(self, x: Tensor, A: Tensor) -> tuple[Tensor, Tensor]:
        conv = self.conv
        if len(A) != self.kernel_size or (conv.kernel_size, conv.stride, conv.padding) != ((1, 1), (1, 1), (0, 0)):
            return super().forward(x, A)
        y = self.product(x, A, self.by_channel())
        return y if conv.bias is None else y + self.offset(A).to(y.dtype)[:, None], A

    def scaled(
        self, x: Tensor, A: Tensor, W: Tensor | None, offset: Tensor | None, scale: Tensor, shift: Tensor
    ) -> Tensor:  # fmt: skip
        """``scale`` (O,) times the result of ``forward`` plus ``shift`` (O,), for a kernel of 1.

        On a CPU the channels are last in memory: there the convolution that follows is up to a third faster, and each
        product is one of a matrix as it lies, for all channels first and then for all subsets.

        Args:
            W, offset: on a GPU ``by_channel()`` and ``offset(A)``.
        """
        if not x.is_cuda:
            return self.scaled_channels_last(x, A, scale).add_(shift).permute(0, 3, 1, 2)
        y = self.product(x, A, W * scale[:, None, None])
        shift = shift[:, None] if offset is None else torch.addcmul(shift[:, None], offset, scale[:, None])
        return y.add_(shift.to(y.dtype)[:, None])

    def scaled_channels_last(self, x: Tensor, A: Tensor, scale: Tensor) -> Tensor:
        """(B, C, T, V) -> (B, T, V, O)."""
        conv, (K, V, _), frames = self.conv, A.shape, torch.Size((x.shape[0], x.shape[2]))
        W = conv.weight.view(K, -1, conv.in_channels) * scale[:, None]
        bias = conv.bias if conv.bias is None else (conv.bias.view(K, -1) * scale).flatten()
        z = F.linear(x.permute(0, 2, 3, 1), W.flatten(0, 1), bias).reshape(frames.numel(), V * K, -1)
        targets = A.permute(2, 1, 0).flatten(1)  # column v*K + k, as the rows of z
        return torch.bmm(targets.expand(len(z), -1, -1), z).view(*frames, V, -1)

    def product(self, x: Tensor, A: Tensor, W: Tensor) -> Tensor:
        """sum_k W_k (x A_k); W (O, C, K)."""
        if x.is_cuda:
            return shared_aggregate(x, W.flatten(1), A)
        return Aggregate.apply(x.contiguous(), W.transpose(1, 2).flatten(1), A)

    def by_channel(self) -> Tensor:
        """The weights as (O, C, K)."""
        return self.conv.weight.view(self.kernel_size, -1, self.conv.in_channels).permute(1, 2, 0)

    def offset(self, A: Tensor) -> Tensor | None:
        """(O, V) what the bias adds to each joint: sum_k b_k colsum(A_k)."""
        bias = self.conv.bias
        return bias if bias is None else bias.view(self.kernel_size, -1).t() @ A.sum(1)
