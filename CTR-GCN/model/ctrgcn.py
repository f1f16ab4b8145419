"""CTR-GCN: a skeleton topology for every channel, refined from a shared one.

Chen et al., "Channel-wise Topology Refinement Graph Convolution for Skeleton-Based Action Recognition", ICCV 2021.

Notation: N samples, M people, B = N*M bodies, C channels, T frames, V joints, K = 3 subsets of the graph, R channels
of the relation between two joints.  ``bodies`` (B,) says how many equal bodies each body stands for (None: one).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_lab.nn import init
from skeleton_lab.nn.backbone import Block, TenBlocks
from skeleton_lab.nn.fused.batch_norm import batch_norm, fold
from skeleton_lab.nn.fused.graph_conv import aggregate
from skeleton_lab.nn.fused.multi_scale_tcn import MultiScaleTemporalConv, conv_norm

# Units that widen this many channels or fewer project again in backward: 1.5 % of a step for 1/10 of the memory.
REPROJECT_CHANNELS = 64


class CTRGC(nn.Module):
    """Channel-wise topology refinement graph convolution for one subset (section 3.2).

    ``forward(x (B, C, T, V), A (V, V) or None, alpha)`` -> (B, O, T, V)::

        p, q = mean_T conv1(x), mean_T conv2(x)
        S = alpha * conv4(tanh(p[u] - q[v])) + A
        z[u] = sum_v S[u, v] conv3(x)[v]
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        inner = 8 if in_channels in (3, 9) else in_channels // 8
        self.conv1 = nn.Conv2d(in_channels, inner, 1)
        self.conv2 = nn.Conv2d(in_channels, inner, 1)
        self.conv3 = nn.Conv2d(in_channels, out_channels, 1)
        self.conv4 = nn.Conv2d(inner, out_channels, 1)

    def forward(self, x: Tensor, A: Tensor | None = None, alpha: Tensor | float = 1.0) -> Tensor:
        if A is None:
            A = x.new_zeros(x.shape[-1], x.shape[-1])
        return refined_graph_convolution([self], x, A[None], alpha)


def refined_graph_convolution(
    convs: Iterable[CTRGC], x: Tensor, A: Tensor, alpha: Tensor | float, scale: Tensor | None = None
) -> Tensor:
    """sum_k convs[k](x, A[k], alpha), times ``scale`` (O,) per channel: all subsets at once.

    alpha scales conv4's small weights instead of the topologies; conv1 and conv2, and conv3, are one product each.
    """
    convs = list(convs)
    C, O = convs[0].conv3.in_channels, convs[0].conv3.out_channels  # noqa: E741
    relate = [conv.conv1 for conv in convs] + [conv.conv2 for conv in convs]
    mix = alpha * torch.stack([conv.conv4.weight.flatten(1) for conv in convs])
    offset = alpha * torch.stack([conv.conv4.bias for conv in convs])
    weight = torch.stack([conv.conv3.weight.flatten(1) for conv in convs], 1)  # (O, K, C)
    bias = torch.stack([conv.conv3.bias for conv in convs], 1)
    if scale is not None:
        weight, bias = weight * scale.view(-1, 1, 1), bias * scale.view(-1, 1)
    return aggregate(
        x,
        weight.flatten(0, 1),
        bias.flatten(),
        torch.cat([conv.weight for conv in relate]).flatten(1),
        torch.cat([conv.bias for conv in relate]),
        mix,
        offset,
        A,
        keep_projection=C == O or C > REPROJECT_CHANNELS,
    )


class UnitGCN(nn.Module):
    """Graph unit: (B, C, T, V) -> relu(bn(sum of the subsets) + down(x)), (B, O, T, V)."""

    def __init__(self, in_channels: int, out_channels: int, A: Tensor, adaptive: bool = True):
        super().__init__()
        if adaptive:
            self.PA = nn.Parameter(A.clone())
        else:
            self.register_buffer("A", A.clone(), persistent=False)
        self.alpha = nn.Parameter(torch.zeros(1))
        self.convs = nn.ModuleList(CTRGC(in_channels, out_channels) for _ in A)
        if in_channels != out_channels:
            self.down = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))
        else:
            self.down = nn.Identity()
        self.bn = nn.BatchNorm2d(out_channels)
        init.kaiming_fan_out(self)
        nn.init.constant_(self.bn.weight, 1e-6)

    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        A = self.PA if hasattr(self, "PA") else self.A
        if self.training:
            y = batch_norm([self.bn], refined_graph_convolution(self.convs, x, A, self.alpha), bodies)
        else:
            scale, shift = fold([self.bn])
            y = refined_graph_convolution(self.convs, x, A, self.alpha, scale) + shift.view(-1, 1, 1)
        down = x if isinstance(self.down, nn.Identity) else conv_norm(*self.down, x, bodies)
        return F.relu(y + down, inplace=True)


class Model(TenBlocks):
    """CTR-GCN with the published arguments; see ``TenBlocks`` for input, output and the shared arguments.

    Args:
        graph, graph_args: dotted class name and keyword arguments of the graph whose ``A`` (3, V, V) is refined.
        adaptive: learn the shared topology (Parameter ``PA`` of each block) instead of keeping it constant.
    """

    def __init__(
        self, num_class: int = 60, num_point: int = 25, num_person: int = 2, graph: str | None = None,
        graph_args: dict | None = None, in_channels: int = 3, drop_out: float = 0, adaptive: bool = True,
    ):  # fmt: skip
        graph = self.build_graph(graph, graph_args)
        A = torch.tensor(graph.A, dtype=torch.float32)

        def block(before: int, width: int, stride: int, residual: bool) -> Block:
            gcn1 = UnitGCN(before, width, A, adaptive)
            tcn1 = MultiScaleTemporalConv(width, width, 5, stride, dilations=(1, 2), residual=False)
            init.kaiming_fan_out(tcn1)
            init.normal_norms(tcn1)
            return Block(gcn1, tcn1, before, width, stride, residual)

        super().__init__(block, num_class, num_point, num_person, in_channels, drop_out)
        self.graph = graph
