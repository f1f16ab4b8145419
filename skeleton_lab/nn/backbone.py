"""The frame that CTR-GCN and the networks after it put around ten blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_lab.errors import UsageError
from skeleton_lab.nn import init
from skeleton_lab.nn.layers import UnitTCN
from skeleton_lab.utils.importing import import_class

WIDTHS = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)
HALVING = (5, 8)  # blocks that halve the frame rate, numbered from 1


class Block(nn.Module):
    """relu(tcn1(gcn1(x)) + residual(x)): (B, C, T, V) -> (B, O, ceil(T / stride), V).

    Args:
        gcn1: graph unit, C -> O channels.
        tcn1: temporal unit, O -> O channels with the stride.
        residual: False: nothing is added; True: x, projected where channels or frames differ.
    """

    def __init__(
        self, gcn1: nn.Module, tcn1: nn.Module, in_channels: int, out_channels: int, stride: int, residual: bool
    ):
        super().__init__()
        self.gcn1 = gcn1
        self.tcn1 = tcn1
        if not residual:
            self.residual = None
        elif in_channels == out_channels and stride == 1:
            self.residual = nn.Identity()
        else:
            self.residual = UnitTCN(in_channels, out_channels, 1, stride)
            init.kaiming_fan_out(self.residual)

    def forward(self, x: Tensor) -> Tensor:
        y = self.tcn1(self.gcn1(x))
        return torch.relu(y if self.residual is None else y + self.residual(x))


class TenBlocks(nn.Module):
    """Input norm, ten blocks ``l1`` ... ``l10``, pooling, classifier: (N, C, T, V, M) -> logits (N, num_class).

    An input (N, T, V*C), joint-major, is read as one person's.

    Args:
        block: ``block(in_channels, out_channels, stride=, residual=)`` makes a module of a body tensor (B, C, T, V),
            a ``Block`` say.
        drop_out: probability of the dropout between pooling and ``fc``.
    """

    def __init__(
        self, block: Callable[..., nn.Module], num_class: int, num_point: int, num_person: int, in_channels: int,
        drop_out: float,
    ):  # fmt: skip
        super().__init__()
        self.num_point = num_point
        self.data_bn = nn.BatchNorm1d(num_person * in_channels * num_point)
        for i, (before, width) in enumerate(zip((in_channels, *WIDTHS), WIDTHS), start=1):
            self.add_module(f"l{i}", block(before, width, stride=2 if i in HALVING else 1, residual=i > 1))
        self.fc = nn.Linear(WIDTHS[-1], num_class)
        init.classifier(self.fc)
        self.drop_out = nn.Dropout(drop_out) if drop_out else nn.Identity()

    @staticmethod
    def build_graph(name: str | None, arguments: dict | None) -> Any:
        """The graph object of a dotted class name; UsageError (a ValueError) without a name."""
        if name is None:
            raise UsageError("this model needs graph=, a dotted class name such as graph.ntu_rgb_d.Graph")
        return import_class(name, "graph")(**(arguments or {}))

    def one_by_one(self, x: Tensor) -> Tensor:
        """(N, C, T, V, M), after ``data_bn``, as bodies (N*M, C, T, V)."""
        N, C, T, V, M = x.shape
        x = self.data_bn(x.permute(0, 4, 3, 1, 2).reshape(N, M * V * C, T))
        return x.view(N, M, V, C, T).permute(0, 1, 3, 4, 2).reshape(N * M, C, T, V)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 3:  # (N, T, V*C)
            N, T, _ = x.shape
            x = x.reshape(N, T, self.num_point, -1).permute(0, 3, 1, 2).unsqueeze(-1)
        N, M = x.shape[0], x.shape[-1]
        x = self.one_by_one(x)
        for i in range(1, len(WIDTHS) + 1):
            x = getattr(self, f"l{i}")(x)
        return self.fc(self.drop_out(x.mean((2, 3)).view(N, M, -1).mean(1)))
