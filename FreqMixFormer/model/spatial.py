"""The spatial unit: graph convolution with maps from both domains (sections 3.2 and 3.3 of the paper)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.aggregation import GROUPS, gated_aggregate
from model.frequency import QUARTERS, SUBSETS, FrequencyMixing, queries_and_keys
from skeleton_lab.nn.fused.batch_norm import batch_norm, fold
from skeleton_lab.nn.fused.multi_scale_tcn import conv_norm

# Units of this many channels or more keep their projection: there it saves most FLOPs per byte.
KEEP_CHANNELS = 160


class SpatialAttention(nn.Module):
    """Parameters of the maps within a quarter; ``bn`` is unused, but published checkpoints hold it."""

    def __init__(self, channels: int, V: int):
        super().__init__()
        self.bn = nn.BatchNorm2d(channels // QUARTERS)
        self.linear = nn.Linear(V, V)


class SpatialMix(nn.Module):
    """(B, I, T, V) -> relu(bn(gated sum over the subsets) + down(x)), (B, C, T, V).

    Args:
        A: (3, V, V), the subsets of the graph: a constant part and the start of the learned part of all maps.
        mixing: makes the maps; the same for all units.

    ``alpha`` and ``fc`` are unused, but published checkpoints hold them.
    """

    def __init__(self, in_channels: int, out_channels: int, A: Tensor, mixing: FrequencyMixing):
        super().__init__()
        V = A.shape[-1]
        self.keep_projection = in_channels == out_channels >= KEEP_CHANNELS
        self.register_buffer("A_SE", A.unsqueeze(1).repeat(1, GROUPS, 1, 1), persistent=False)
        self.alpha = nn.Parameter(torch.ones(1))
        self.A_GEME = nn.Parameter(self.A_SE.clone())
        self.linear = nn.Linear(V, V)
        self.Spa_Att = SpatialAttention(out_channels, V)
        self.ChaRef_conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)
        self.conv = nn.Conv2d(in_channels, SUBSETS * out_channels, 1)
        if in_channels == out_channels:
            self.down = nn.Identity()
        else:
            self.down = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))
        self.fc = nn.Linear(2 * V, V)
        nn.init.normal_(self.fc.weight, 0.0, math.sqrt(2.0 / V))
        self.bn = nn.BatchNorm2d(out_channels)
        self.mixing = mixing

    def projection(self) -> tuple[Tensor, Tensor]:
        """Weight (C*3, I) and bias (C*3,) of ``conv``, the three subsets of a channel side by side."""
        weight = self.conv.weight.flatten(1).unflatten(0, (SUBSETS, -1)).transpose(0, 1).flatten(0, 1)
        return weight, self.conv.bias.view(SUBSETS, -1).t().flatten()

    def forward(self, x: Tensor, bodies: Tensor | None = None, projected: Tensor | None = None) -> Tensor:
        """``bodies`` (B,): multiplicities, see ``skeleton_lab.nn.fused.batch_norm.batch_norm``.

        ``projected`` (B, C*3, T, V): what ``projection`` makes of x, where it is known already.
        """
        qk = queries_and_keys(x.mean(2), self.conv.weight, self.conv.bias)
        M = self.mixing(qk, self.Spa_Att.linear, self.linear) / 2
        A, taps = self.A_SE + self.A_GEME, self.ChaRef_conv.weight
        if projected is None:
            z = gated_aggregate(x, *self.projection(), M, A, taps, self.keep_projection)
        else:
            z = gated_aggregate(projected, None, None, M, A, taps)
        if self.training:
            y = batch_norm([self.bn], z, bodies)
        else:
            scale, shift = fold([self.bn])
            y = z * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)
        down = x if isinstance(self.down, nn.Identity) else conv_norm(*self.down, x, bodies)
        return F.relu(y + down, inplace=True)
