"""ST-GCN: graph convolutions over joints and convolutions over frames, in turn.

Yan, Xiong, Lin, "Spatial Temporal Graph Convolutional Networks for Skeleton-Based Action Recognition", AAAI 2018.

Notation: N samples, C channels, T frames, V joints, M persons, K subsets of the graph, B = N*M bodies (row n*M + m).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from net.utils.graph import Graph
from net.utils.tgcn import ConvTemporalGraphical
from skeleton_lab.errors import UsageError

# channels, stride
BLOCKS = ((64, 1), (64, 1), (64, 1), (64, 1), (128, 2), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1))
TEMPORAL_KERNEL = 9


class st_gcn(nn.Module):
    """One block: relu(tcn(gcn(x, A)) + residual(x)).

    ``forward(x (B, C, T, V), A (K, V, V))`` -> (y (B, O, ceil(T / stride), V), A).

    Args:
        kernel_size: (frames of the temporal kernel, odd; subsets K).
        dropout: probability, at the end of ``tcn``.
        residual: False: nothing is added; True: x, projected where channels or frames differ.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: tuple[int, int], stride: int = 1, dropout: float = 0,
        residual: bool = True,
    ):  # fmt: skip
        super().__init__()
        frames, subsets = kernel_size
        if frames % 2 == 0:
            raise UsageError(f"the temporal kernel must have an odd number of frames, not {frames}")
        self.gcn = ConvTemporalGraphical(in_channels, out_channels, subsets)
        self.tcn = nn.Sequential(
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, (frames, 1), (stride, 1), ((frames - 1) // 2, 0)),
            nn.BatchNorm2d(out_channels),
            nn.Dropout(dropout),
        )
        if not residual:
            self.residual = None
        elif in_channels == out_channels and stride == 1:
            self.residual = nn.Identity()
        else:
            self.residual = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, (stride, 1)), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor, A: Tensor) -> tuple[Tensor, Tensor]:
        y = self.tcn(self.gcn(x, A)[0])
        return torch.relu(y if self.residual is None else y + self.residual(x)), A


class Model(nn.Module):
    """(N, C, T, V, M) -> logits (N, num_class).

    Args:
        graph_args: arguments of ``net.utils.graph.Graph``.
        edge_importance_weighting: a learnable factor for every edge of every block.
        dropout: probability within all blocks but the first.
    """

    def __init__(
        self, in_channels: int, num_class: int, graph_args: dict[str, Any], edge_importance_weighting: bool,
        dropout: float = 0,
    ):  # fmt: skip
        super().__init__()
        self.graph = Graph(**graph_args)
        A = torch.tensor(self.graph.A, dtype=torch.float32)
        self.register_buffer("A", A)  # published checkpoints hold it, and it is what is computed with
        self.data_bn = nn.BatchNorm1d(in_channels * A.shape[1])
        kernel, before, blocks = (TEMPORAL_KERNEL, len(A)), in_channels, []
        for i, (width, stride) in enumerate(BLOCKS):
            blocks.append(st_gcn(before, width, kernel, stride, dropout if i else 0, residual=i > 0))
            before = width
        self.st_gcn_networks = nn.ModuleList(blocks)
        if edge_importance_weighting:
            self.edge_importance = nn.ParameterList(torch.ones_like(A) for _ in blocks)
        else:
            self.edge_importance = [1] * len(blocks)
        self.dropout = dropout
        self.fcn = nn.Conv2d(before, num_class, 1)

    def forward(self, x: Tensor) -> Tensor:
        N, M = x.shape[0], x.shape[-1]
        x = self.blocks(self.normalised(x)).mean((2, 3), keepdim=True)  # (B, 256, 1, 1)
        return self.fcn(x.unflatten(0, (N, M)).mean(1)).flatten(1)

    def extract_feature(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, num_class, T', V, M) and features (N, 256, T', V, M) of every position, before any pooling."""
        N, M = x.shape[0], x.shape[-1]
        feature = self.blocks(self.normalised(x))
        output = self.fcn(feature)
        return tuple(t.unflatten(0, (N, M)).permute(0, 2, 3, 4, 1) for t in (output, feature))

    def normalised(self, x: Tensor) -> Tensor:
        """The bodies of x after ``data_bn``, whose statistics are per joint and channel: (B, C, T, V)."""
        N, C, T, V, M = x.shape
        x = self.data_bn(x.permute(0, 4, 3, 1, 2).reshape(N * M, V * C, T))
        return x.view(N * M, V, C, T).permute(0, 2, 3, 1)

    def blocks(self, x: Tensor) -> Tensor:
        for block, importance in zip(self.st_gcn_networks, self.edge_importance):
            x, _ = block(x, self.A * importance)
        return x
