"""CTR-GCN: a skeleton topology for every channel, refined from a shared one.

Chen et al., "Channel-wise Topology Refinement Graph Convolution for Skeleton-Based Action Recognition", ICCV 2021.

Notation: N samples, M people, B = N*M bodies, C channels, T frames, V joints, K = 3 subsets of the graph, R channels
of the relation between two joints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skeleton_lab.nn import init
from skeleton_lab.nn.backbone import Block, TenBlocks
from skeleton_lab.nn.layers import MultiScaleTemporalConv


class CTRGC(nn.Module):
    """Channel-wise topology refinement graph convolution for one subset (section 3.2).

    ``forward(x (B, C, T, V), A (V, V) or None, alpha)`` -> (B, O, T, V)::

        p, q = mean_T conv1(x), mean_T conv2(x)
        S = alpha * conv4(tanh(p[u] - q[v])) + A
        z[u] = sum_v S[u, v] conv3(x)[v]
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        inner = 8 if in_channels in (2, 3, 9) else in_channels // 8  # of coordinates
        self.conv1 = nn.Conv2d(in_channels, inner, 1)
        self.conv2 = nn.Conv2d(in_channels, inner, 1)
        self.conv3 = nn.Conv2d(in_channels, out_channels, 1)
        self.conv4 = nn.Conv2d(inner, out_channels, 1)

    def forward(self, x: Tensor, A: Tensor | None = None, alpha: Tensor | float = 1.0) -> Tensor:
        p, q = self.conv1(x).mean(2), self.conv2(x).mean(2)  # (B, R, V)
        S = alpha * self.conv4(torch.tanh(p.unsqueeze(-1) - q.unsqueeze(-2)))  # (B, O, V, V)
        if A is not None:
            S = S + A
        return torch.einsum("bouv,botv->botu", S, self.conv3(x))


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

    def forward(self, x: Tensor) -> Tensor:
        topologies = self.PA if hasattr(self, "PA") else self.A
        y = sum(conv(x, A, self.alpha) for conv, A in zip(self.convs, topologies))
        return torch.relu(self.bn(y) + self.down(x))


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
