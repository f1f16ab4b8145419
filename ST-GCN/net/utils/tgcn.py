"""The basic unit of ST-GCN: a convolution, then a sum over joints for each subset of the graph (equation 9)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skeleton_lab.errors import UsageError


class ConvTemporalGraphical(nn.Module):
    """y[c, t, w] = sum_k sum_v (conv(x))[k, c, t, v] A[k, v, w].

    ``forward(x (B, in, T, V), A (K, V, V))`` -> (y (B, out, T', V), A), with K = ``kernel_size``.

    Args:
        t_kernel_size, t_stride, t_padding, t_dilation: of the convolution over frames; ST-GCN itself uses 1, 1, 0, 1.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, t_kernel_size: int = 1, t_stride: int = 1,
        t_padding: int = 0, t_dilation: int = 1, bias: bool = True,
    ):  # fmt: skip
        super().__init__()
        self.kernel_size = kernel_size
        self.conv = nn.Conv2d(
            in_channels, out_channels * kernel_size, (t_kernel_size, 1), (t_stride, 1), (t_padding, 0),
            (t_dilation, 1), bias=bias,
        )  # fmt: skip

    def forward(self, x: Tensor, A: Tensor) -> tuple[Tensor, Tensor]:
        K = self.kernel_size
        if len(A) != K:
            raise UsageError(f"kernel_size is {K}, but A has {len(A)} subsets")
        z = self.conv(x).unflatten(1, (K, -1))
        return torch.einsum("nkctv,kvw->nctw", z, A), A
