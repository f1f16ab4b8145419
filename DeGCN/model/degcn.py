"""DeGCN: several trunks of graph and deformable temporal convolutions beside each other, a head on each.

Myung, Su, Xue, Liu: "DeGCN: Deformable Graph Convolutional Networks for Skeleton-Based Action Recognition", IEEE
Transactions on Image Processing 33, 2024.  This is the network of the public code, which has the paper's deformable
convolution over time; in place of the one over joints, which it withholds, it has channel-wise topologies in groups.

Notation: N samples, M people, B = N*M bodies, C channels, T frames, V joints, K = 3 subsets of the graph, G = 4 groups
of channels, S trunks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_lab.nn import init
from skeleton_lab.nn.backbone import HALVING, WIDTHS, TenBlocks

SLOPE = 0.1  # of the leaky ReLU, the only activation
GROUPS = 4
SUBSETS = 3


class ConvNorm(nn.Module):
    """1x1 convolution, every ``stride``-th frame, and batch norm: (B, C, T, V) -> (B, O, ceil(T / stride), V)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, groups: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, (stride, 1), groups=groups)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


# --- over joints ---------------------------------------------------------------------------------------------------


class FirstGCN(nn.Module):
    """Graph unit of the coordinates, one topology for all channels: (B, C, T, V) -> (B, O, T, V).

    bn(sum_h A_h conv_h(x)), row of A = target joint.
    """

    def __init__(self, in_channels: int, out_channels: int, A: Tensor):
        super().__init__()
        self.A = nn.Parameter(A.clone())
        self.conv = nn.Conv2d(in_channels, SUBSETS * out_channels, 1)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        z = self.conv(x).unflatten(1, (SUBSETS, -1))
        return self.bn(torch.einsum("hvu,bhctu->bctv", self.A, z))


class GroupedGCN(nn.Module):
    """Graph unit with a topology for every channel, refined from a shared one; groups of channels stay apart.

    (B, C, T, V) -> (B, O, T, V), per group of channels and subset h (CTR-GCN's unit, in groups)::

        d[v, u] = tanh(mean_T conv1(x)[v] - mean_T conv2(x)[u])
        y[v] = sum_h sum_u (alpha conv4(d) + A_h)[v, u] conv3(x)[u]
    """

    def __init__(self, in_channels: int, out_channels: int, A: Tensor):
        super().__init__()
        relations = SUBSETS * (in_channels // 8)
        self.A = nn.Parameter(A.clone())
        self.alpha = nn.Parameter(torch.zeros(1))
        self.conv1 = nn.Conv2d(in_channels, relations, 1, groups=GROUPS)
        self.conv2 = nn.Conv2d(in_channels, relations, 1, groups=GROUPS)
        self.conv3 = nn.Conv2d(in_channels, SUBSETS * out_channels, 1, groups=GROUPS)
        self.conv4 = nn.Conv2d(relations, SUBSETS * out_channels, 1, groups=GROUPS * SUBSETS)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        q, k = self.conv1(x).mean(2), self.conv2(x).mean(2)  # (B, 3R, V)
        d = torch.tanh(q.unsqueeze(-1) - k.unsqueeze(-2))  # (B, 3R, V, V)
        S = (self.alpha * self.conv4(d)).unflatten(1, (GROUPS, SUBSETS, -1)) + self.A[:, None]
        z = self.conv3(x).unflatten(1, (GROUPS, SUBSETS, -1))  # (B, G, 3, O/G, T, V)
        return self.bn(torch.einsum("bghcvu,bghctu->bgctv", S, z).flatten(1, 2))


# --- over frames ---------------------------------------------------------------------------------------------------


class DeformableSampling(nn.Module):
    """Convolution over frames whose taps lie where they were learned to: (B, C, T, V) -> (B, C, ceil(T / stride), V).

    Output frame j reads the frames ``stride * j + tr[e]``, e = 0 .. eta - 1, by linear interpolation; beyond an end the
    frame at the end.  The offsets ``tr`` are of the branch: the same for all frames, joints and channels.
    """

    def __init__(self, channels: int, eta: int, stride: int, dilation: int):
        super().__init__()
        reach = 2 * dilation  # half the width of a kernel of 5 with this dilation
        self.stride = stride
        self.tr = nn.Parameter(torch.linspace(-reach, reach, eta))
        self.conv_out = nn.Sequential(nn.Conv3d(channels, channels, (eta, 1, 1)), nn.BatchNorm3d(channels))

    def forward(self, x: Tensor) -> Tensor:
        last = x.shape[2] - 1
        tr = self.tr.to(torch.promote_types(x.dtype, torch.float32))  # half precision has no room for positions
        p = self.stride * torch.arange(last // self.stride + 1, device=x.device) + tr[:, None]  # (eta, T')
        before = p.detach().floor()
        share = (before + 1 - p).unsqueeze(-1).to(x.dtype)
        after = (before + 1).clamp(0, last).long()
        z = share * x[:, :, before.clamp(0, last).long()] + (1 - share) * x[:, :, after]  # (B, C, eta, T', V)
        return self.conv_out(z).squeeze(2)


class TemporalUnit(nn.Module):
    """Four branches of C/4 channels, concatenated: (B, C, T, V) -> (B, C, ceil(T / stride), V).

    Deformable sampling that begins with reach 2 and with reach 4, max pooling, and a 1x1 convolution.
    """

    def __init__(self, channels: int, eta: int, stride: int):
        super().__init__()
        width = channels // 4

        def entry() -> list[nn.Module]:
            return [ConvNorm(channels, width), nn.LeakyReLU(SLOPE)]

        self.tcn1 = nn.Sequential(*entry(), DeformableSampling(width, eta, stride, 1))
        self.tcn2 = nn.Sequential(*entry(), DeformableSampling(width, eta, stride, 2))
        pool = nn.MaxPool2d((3, 1), (stride, 1), (1, 0))
        self.maxpool3x1 = nn.Sequential(*entry(), pool, nn.BatchNorm2d(width))
        self.conv1x1 = ConvNorm(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.tcn1(x), self.tcn2(x), self.maxpool3x1(x), self.conv1x1(x)], 1)


# --- the network ---------------------------------------------------------------------------------------------------


class Block(nn.Module):
    """u = leaky(gcn(x) + residual1(x)), then leaky(tcn(u) + residual2(x)): (B, C, T, V) -> (B, O, ceil(T / s), V).

    Args:
        first: the block of the coordinates: one group, and nothing added to what ``tcn`` gives.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, eta: int, A: Tensor, first: bool = False):
        super().__init__()
        self.gcn = (FirstGCN if first else GroupedGCN)(in_channels, out_channels, A)
        self.tcn = TemporalUnit(out_channels, eta, stride)
        self.residual1: nn.Module = nn.Identity()
        self.residual2: nn.Module | None = None if first else nn.Identity()
        groups = 1 if first else GROUPS
        if first or in_channels != out_channels:
            self.residual1 = ConvNorm(in_channels, out_channels, 1, groups)
        if not first and (in_channels != out_channels or stride > 1):
            self.residual2 = ConvNorm(in_channels, out_channels, stride, groups)
        self.act = nn.LeakyReLU(SLOPE)
        init.kaiming_fan_out(self, (nn.Conv2d, nn.Conv3d), SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        y = self.tcn(self.act(self.gcn(x) + self.residual1(x)))
        return self.act(y if self.residual2 is None else y + self.residual2(x))


def trunk(blocks: Sequence[int], in_channels: int, eta: int, A: Tensor) -> nn.Sequential:
    """The blocks of these numbers (from 0) of the ten, named ``block-0_tcngcn`` and so on."""
    made = OrderedDict()
    for i, number in enumerate(blocks):
        before = WIDTHS[number - 1] if number else in_channels
        stride = 2 if number + 1 in HALVING else 1
        made[f"block-{i}_tcngcn"] = Block(before, WIDTHS[number], stride, eta, A, first=number == 0)
    return nn.Sequential(made)


def classifier(num_class: int) -> nn.Linear:
    fc = nn.Linear(WIDTHS[-1], num_class)
    init.classifier(fc)
    return fc


class Network(nn.Module):
    """What ``degcn`` and ``jbf`` share: the way in and the way out."""

    data_bn: nn.BatchNorm1d
    fc: nn.ModuleList
    drop_out: nn.Module
    num_point: int

    def take(self, x: Tensor) -> Tensor:
        """(N, C, T, V, M); an input (N, T, V*C), joint-major, is one person's."""
        if x.dim() == 3:
            x = x.unflatten(2, (self.num_point, -1)).permute(0, 3, 1, 2).unsqueeze(-1)
        return x

    def normed(self, x: Tensor) -> Tensor:
        """The bodies (N*M, C, T, V) of (N, C, T, V, M), every coordinate of every joint normed over frames."""
        N, C, T, V, M = x.shape
        x = self.data_bn(x.permute(0, 4, 3, 1, 2).reshape(N, M * V * C, T))
        return x.view(N, M, V, C, T).permute(0, 1, 3, 4, 2).reshape(N * M, C, T, V)

    def head(self, s: int, x: Tensor, people: int) -> Tensor:
        """Logits (N, num_class) of trunk s from its bodies (N*M, 256, T, V); empty ones count."""
        return self.fc[s](self.drop_out(x.mean((2, 3)).unflatten(0, (-1, people)).mean(1)))


class Model(Network):
    """With the published arguments: (N, C, T, V, M) -> list of logits (N, num_class), one a trunk.

    Args:
        k: number of joints that the withheld unit samples; has no effect.
        eta: frames that every output frame of a deformable branch samples.
        num_stream: trunks, which share nothing but the input norm.
        graph, graph_args: dotted class name and keyword arguments of the graph whose ``A`` (3, V, V) is refined.
        drop_out: between pooling and the classifiers.

    Raises:
        UsageError: no graph.
    """

    def __init__(
        self, num_class: int = 60, num_point: int = 25, num_person: int = 2, k: int = 8, eta: int = 4,
        num_stream: int = 2, graph: str | None = None, graph_args: dict[str, Any] | None = None, in_channels: int = 3,
        drop_out: float = 0,
    ):  # fmt: skip
        super().__init__()
        self.graph = TenBlocks.build_graph(graph, graph_args)
        self.num_point = num_point
        A = torch.tensor(self.graph.A, dtype=torch.float32)
        self.data_bn = nn.BatchNorm1d(num_person * num_point * in_channels)
        self.streams = nn.ModuleList(trunk(range(10), in_channels, eta, A) for _ in range(num_stream))
        self.fc = nn.ModuleList(classifier(num_class) for _ in range(num_stream))
        self.drop_out = nn.Dropout(drop_out) if drop_out else nn.Identity()

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.take(x)
        people, x = x.shape[-1], self.normed(x)
        return [self.head(s, stream(x), people) for s, stream in enumerate(self.streams)]
