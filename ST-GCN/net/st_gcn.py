"""ST-GCN: graph convolutions over joints and convolutions over frames, in turn.

Yan, Xiong, Lin, "Spatial Temporal Graph Convolutional Networks for Skeleton-Based Action Recognition", AAAI 2018.

Notation: N samples, C channels, T frames, V joints, M persons, K subsets of the graph, B = N*M bodies (row n*M + m).
``bodies`` (B,) says how many equal bodies each body stands for (None: one).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from net.dropout import dropout
from net.layers import norm_relu_conv_norm
from net.utils.graph import Graph
from net.utils.tgcn import ConvTemporalGraphical
from skeleton_lab.errors import UsageError
from skeleton_lab.nn.activation_checkpoint import checkpointed
from skeleton_lab.nn.fused.merge_empty import merge_empty
from skeleton_lab.nn.fused.multi_scale_tcn import conv_norm

# in and out channels, stride
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

    def forward(self, x: Tensor, A: Tensor, bodies: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y = norm_relu_conv_norm(self.tcn, self.gcn(x, A)[0], bodies)
        y = dropout(y, self.tcn[4].p, self.training)
        if self.residual is None:
            return F.relu(y), A
        residual = x if isinstance(self.residual, nn.Identity) else conv_norm(*self.residual, x, bodies)
        return F.relu(y + residual, inplace=True), A


class Model(nn.Module):
    """(N, C, T, V, M) -> logits (N, num_class).

    Args:
        graph_args: arguments of ``net.utils.graph.Graph``.
        edge_importance_weighting: a learnable factor for every edge of every block.
        dropout: probability within all blocks but the first.

    Attributes:
        activation_checkpointing: in training, keep only the blocks' inputs and compute the rest again in backward.
        merge_empty_bodies: compute the empty bodies of a batch once, where no dropout tells them apart; the result is
            the same up to rounding.
    """

    activation_checkpointing: bool = False
    merge_empty_bodies: bool = True

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
        alike = self.merge_empty_bodies and N > 1 and not (self.training and self.dropout > 0)
        merged = merge_empty(x) if alike else None
        x = self.normalised(x)
        if merged is not None:
            x = x[merged.kept]
        x = self.blocks(x, None if merged is None else merged.count).mean((2, 3))
        if merged is not None:
            x = x[merged.owner]
        return F.linear(x.view(N, M, -1).mean(1), self.fcn.weight.flatten(1), self.fcn.bias)

    def extract_feature(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, num_class, T', V, M) and features (N, 256, T', V, M) of every position, before any pooling."""
        N, M = x.shape[0], x.shape[-1]
        feature = self.blocks(self.normalised(x), None)
        output = self.fcn(feature)
        return tuple(t.unflatten(0, (N, M)).permute(0, 2, 3, 4, 1) for t in (output, feature))

    def normalised(self, x: Tensor) -> Tensor:
        """The bodies of x after ``data_bn``, whose statistics are per joint and channel: (B, C, T, V), joint-major."""
        N, C, T, V, M = x.shape
        x = self.data_bn(x.permute(0, 4, 3, 1, 2).reshape(N * M, V * C, T))
        return x.view(N * M, V, C, T).transpose(1, 2).contiguous().transpose(2, 3)

    def blocks(self, x: Tensor, bodies: Tensor | None) -> Tensor:
        checkpointing = self.activation_checkpointing and self.training and torch.is_grad_enabled()
        for block, importance in zip(self.st_gcn_networks, self.edge_importance):
            A = self.A * importance
            x, _ = checkpointed(block, x, A, bodies) if checkpointing else block(x, A, bodies)
        return x
