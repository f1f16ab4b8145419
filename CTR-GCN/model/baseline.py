"""The baseline that CTR-GCN's paper compares with: one learned topology per subset, shared by all channels.

Chen et al., "Channel-wise Topology Refinement Graph Convolution for Skeleton-Based Action Recognition", ICCV 2021,
section 4.3.  Notation as in ``ctrgcn.py``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from skeleton_lab.nn import init
from skeleton_lab.nn.backbone import Block, TenBlocks
from skeleton_lab.nn.layers import UnitTCN


class UnitGCN(nn.Module):
    """Graph unit: (B, C, T, V) -> relu(bn(sum_k conv_d.k(x An_k)) + down(x)), (B, O, T, V).

    An_k is PA_k with its columns divided by their length; row = source joint.
    """

    def __init__(self, in_channels: int, out_channels: int, A: Tensor, adaptive: bool = True):
        super().__init__()
        if adaptive:
            self.PA = nn.Parameter(A.clone())
        else:
            self.register_buffer("A", A.clone(), persistent=False)
        self.conv_d = nn.ModuleList(nn.Conv2d(in_channels, out_channels, 1) for _ in A)
        if in_channels != out_channels:
            self.down = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))
        else:
            self.down = nn.Identity()
        self.bn = nn.BatchNorm2d(out_channels)
        init.kaiming_fan_out(self)
        for conv in self.conv_d:
            nn.init.normal_(conv.weight, 0.0, math.sqrt(2.0 / (out_channels * in_channels * len(A))))
        nn.init.constant_(self.bn.weight, 1e-6)

    def topology(self) -> Tensor:
        if not hasattr(self, "PA"):
            return self.A
        return self.PA / (self.PA.square().sum(1, keepdim=True).sqrt() + 1e-4)

    def forward(self, x: Tensor) -> Tensor:
        y = sum(conv(x @ A) for conv, A in zip(self.conv_d, self.topology()))
        return torch.relu(self.bn(y) + self.down(x))


class Model(TenBlocks):
    """The baseline with the published arguments; see ``TenBlocks`` for input, output and the shared arguments.

    Args:
        graph, graph_args: as for CTR-GCN; the graph is built and kept, but the topologies start as identities.
        adaptive: learn the topologies (Parameter ``PA`` of each block) instead of keeping identities.
        num_set: number of topologies.
    """

    def __init__(
        self, num_class: int = 60, num_point: int = 25, num_person: int = 2, graph: str | None = None,
        graph_args: dict | None = None, in_channels: int = 3, drop_out: float = 0, adaptive: bool = True,
        num_set: int = 3,
    ):  # fmt: skip
        graph = self.build_graph(graph, graph_args)
        A = torch.eye(num_point).expand(num_set, -1, -1)

        def block(before: int, width: int, stride: int, residual: bool) -> Block:
            gcn1 = UnitGCN(before, width, A, adaptive)
            tcn1 = UnitTCN(width, width, 5, stride)
            init.kaiming_fan_out(tcn1)
            return Block(gcn1, tcn1, before, width, stride, residual)

        super().__init__(block, num_class, num_point, num_person, in_channels, drop_out)
        self.graph = graph
