"""ST-GCN as its paper writes it, one line of code per equation and nothing merged: the oracle of the room's network.

Yan, Xiong, Lin, "Spatial Temporal Graph Convolutional Networks for Skeleton-Based Action Recognition", AAAI 2018.
The parameters carry the published names in the published order, so that the parity fixtures can be replayed on it.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn


class GraphConv(nn.Module):
    """Equation 10 for all subsets: project, then sum over the neighbours."""

    def __init__(self, in_channels: int, out_channels: int, K: int):
        super().__init__()
        self.K = K
        self.conv = nn.Conv2d(in_channels, out_channels * K, 1)

    def forward(self, x: torch.Tensor, A: torch.Tensor) -> torch.Tensor:
        B, _, T, V = x.shape
        z = self.conv(x).view(B, self.K, -1, T, V)
        return torch.einsum("nkctv,kvw->nctw", z, A).contiguous()


class Block(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, K: int, stride: int, dropout: float, residual: bool):
        super().__init__()
        self.gcn = GraphConv(in_channels, out_channels, K)
        self.tcn = nn.Sequential(
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, (9, 1), (stride, 1), (4, 0)),
            nn.BatchNorm2d(out_channels),
            nn.Dropout(dropout, inplace=True),
        )
        if not residual:
            self.residual = lambda x: 0
        elif in_channels == out_channels and stride == 1:
            self.residual = lambda x: x
        else:
            self.residual = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, (stride, 1)), nn.BatchNorm2d(out_channels)
            )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor, A: torch.Tensor) -> torch.Tensor:
        residual = self.residual(x)
        return self.relu(self.tcn(self.gcn(x, A)) + residual)


class Model(nn.Module):
    def __init__(self, A: torch.Tensor, num_class: int = 60, in_channels: int = 3, dropout: float = 0.0):
        super().__init__()
        self.register_buffer("A", A)
        self.data_bn = nn.BatchNorm1d(in_channels * A.shape[1])
        widths = [in_channels] + [64] * 4 + [128] * 3 + [256] * 3
        self.st_gcn_networks = nn.ModuleList(
            Block(before, width, len(A), 2 if i in (4, 7) else 1, dropout if i else 0.0, i > 0)
            for i, (before, width) in enumerate(itertools.pairwise(widths))
        )
        self.edge_importance = nn.ParameterList(nn.Parameter(torch.ones_like(A)) for _ in self.st_gcn_networks)
        self.fcn = nn.Conv2d(256, num_class, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        N, C, T, V, M = x.shape
        x = x.permute(0, 4, 3, 1, 2).contiguous().view(N * M, V * C, T)
        x = self.data_bn(x).view(N, M, V, C, T).permute(0, 1, 3, 4, 2).contiguous().view(N * M, C, T, V)
        for block, importance in zip(self.st_gcn_networks, self.edge_importance):
            x = block(x, self.A * importance)
        x = x.mean((2, 3)).view(N, M, -1, 1, 1).mean(1)
        return self.fcn(x).flatten(1)


def build(network: nn.Module) -> Model:
    """The reference of a network of the room, with equal weights."""
    classes, _, _, _ = network.fcn.weight.shape
    channels = network.data_bn.num_features // network.A.shape[1]
    reference = Model(network.A, classes, channels, network.dropout)
    reference.load_state_dict(network.state_dict())
    return reference
