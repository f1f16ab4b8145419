"""The graph convolution, fused: where its kernel is 1, the sum over joints goes first, and x alone is kept."""

from __future__ import annotations

from torch import Tensor

from net.utils import tgcn
from skeleton_lab.nn.fuse import fuses
from skeleton_lab.nn.fused.graph_conv import shared_aggregate


@fuses(tgcn.ConvTemporalGraphical)
class FusedConvTemporalGraphical(tgcn.ConvTemporalGraphical):
    def forward(self, x: Tensor, A: Tensor) -> tuple[Tensor, Tensor]:
        conv, K = self.conv, self.kernel_size
        if len(A) != K or (conv.kernel_size, conv.stride, conv.padding) != ((1, 1), (1, 1), (0, 0)):
            return super().forward(x, A)
        # sum_k (W_k x + b_k) A_k = sum_k W_k (x A_k) + sum_k b_k colsum(A_k)
        W = conv.weight.view(K, -1, x.shape[1])  # (K, O, C)
        y = shared_aggregate(x, W.permute(1, 2, 0).flatten(1), A)
        if conv.bias is None:
            return y, A
        offset = conv.bias.view(K, -1).t() @ A.sum(1)  # (O, V)
        return y + offset.to(y.dtype)[:, None, :], A
