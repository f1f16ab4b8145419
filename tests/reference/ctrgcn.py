"""CTR-GCN as its paper writes it, one line of code per equation and nothing merged: the oracle of the room's network.

Chen et al., "Channel-wise Topology Refinement Graph Convolution for Skeleton-Based Action Recognition", ICCV 2021.
The parameters carry the published names in the published order, so that the parity fixtures can be replayed on it.
"""

from __future__ import annotations

import torch
from torch import nn


def pointwise(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 1, stride=(stride, 1))


class CTRGC(nn.Module):
    """Equations 7 to 12: a topology per channel, refined from the shared one."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        inner = 8 if in_channels in (3, 9) else in_channels // 8
        self.conv1 = pointwise(in_channels, inner)
        self.conv2 = pointwise(in_channels, inner)
        self.conv3 = pointwise(in_channels, out_channels)
        self.conv4 = pointwise(inner, out_channels)

    def forward(self, x: torch.Tensor, A: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
        p, q = self.conv1(x).mean(2), self.conv2(x).mean(2)
        d = torch.tanh(p.unsqueeze(-1) - q.unsqueeze(-2))
        S = self.conv4(d) * alpha + A
        return torch.einsum("bouv,botv->botu", S, self.conv3(x))


class GraphUnit(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, A: torch.Tensor):
        super().__init__()
        self.PA = nn.Parameter(A.clone())
        self.alpha = nn.Parameter(torch.zeros(1))
        self.convs = nn.ModuleList(CTRGC(in_channels, out_channels) for _ in A)
        if in_channels != out_channels:
            self.down = nn.Sequential(pointwise(in_channels, out_channels), nn.BatchNorm2d(out_channels))
        else:
            self.down = nn.Identity()
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = sum(conv(x, A, self.alpha) for conv, A in zip(self.convs, self.PA))
        return torch.relu(self.bn(y) + self.down(x))


class TemporalConv(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, dilation: int = 1):
        super().__init__()
        padding = (kernel - 1) * dilation // 2
        self.conv = nn.Conv2d(in_channels, out_channels, (kernel, 1), (stride, 1), (padding, 0), (dilation, 1))
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(self.conv(x))


class TemporalUnit(nn.Module):
    def __init__(self, channels: int, stride: int):
        super().__init__()
        w = channels // 4

        def entry() -> list[nn.Module]:
            return [pointwise(channels, w), nn.BatchNorm2d(w), nn.ReLU()]

        self.branches = nn.ModuleList(
            [nn.Sequential(*entry(), TemporalConv(w, w, 5, stride, dilation)) for dilation in (1, 2)]
        )
        self.branches.append(nn.Sequential(*entry(), nn.MaxPool2d((3, 1), (stride, 1), (1, 0)), nn.BatchNorm2d(w)))
        self.branches.append(nn.Sequential(pointwise(channels, w, stride), nn.BatchNorm2d(w)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class Block(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, A: torch.Tensor, stride: int = 1, residual: bool = True):
        super().__init__()
        self.gcn1 = GraphUnit(in_channels, out_channels, A)
        self.tcn1 = TemporalUnit(out_channels, stride)
        self.skip = residual
        if residual and (in_channels != out_channels or stride != 1):
            self.residual = TemporalConv(in_channels, out_channels, 1, stride)
        else:
            self.residual = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.tcn1(self.gcn1(x))
        return torch.relu(y + self.residual(x) if self.skip else y)


class Model(nn.Module):
    """(N, C, T, V, M) -> (N, num_class); ``A`` (3, V, V)."""

    def __init__(self, A: torch.Tensor, num_class: int = 60, num_person: int = 2, in_channels: int = 3):
        super().__init__()
        self.data_bn = nn.BatchNorm1d(num_person * in_channels * A.shape[-1])
        widths = [64] * 4 + [128] * 3 + [256] * 3
        for i, (before, width) in enumerate(zip([in_channels, *widths], widths), start=1):
            self.add_module(f"l{i}", Block(before, width, A, stride=2 if i in (5, 8) else 1, residual=i > 1))
        self.fc = nn.Linear(256, num_class)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        N, C, T, V, M = x.shape
        x = self.data_bn(x.permute(0, 4, 3, 1, 2).reshape(N, M * V * C, T))
        x = x.view(N, M, V, C, T).permute(0, 1, 3, 4, 2).reshape(N * M, C, T, V)
        for i in range(1, 11):
            x = getattr(self, f"l{i}")(x)
        return self.fc(x.mean((2, 3)).view(N, M, -1).mean(1))


def build(network: nn.Module) -> Model:
    """The reference of a network of the room, with equal weights."""
    reference = Model(torch.tensor(network.graph.A, dtype=torch.float32), num_class=network.fc.out_features)
    reference.load_state_dict(network.state_dict())
    return reference
