"""The baseline's layers, fused; ``bodies`` (B,) says how many equal bodies each body stands for (None: one)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model import baseline
from skeleton_lab.nn.fuse import fuses
from skeleton_lab.nn.fused.backbone import FusedTenBlocks
from skeleton_lab.nn.fused.batch_norm import batch_norm, fold
from skeleton_lab.nn.fused.graph_conv import shared_aggregate
from skeleton_lab.nn.fused.multi_scale_tcn import added, conv_norm


@fuses(baseline.UnitGCN)
class FusedUnitGCN(baseline.UnitGCN):
    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        W = torch.stack([conv.weight.flatten(1) for conv in self.conv_d], 2).flatten(1)
        bias = torch.stack([conv.bias for conv in self.conv_d]).sum(0)
        down = x if isinstance(self.down, nn.Identity) else conv_norm(*self.down, x, bodies)
        if self.training:
            return batch_norm([self.bn], shared_aggregate(x, W, self.topology()), bodies, [bias], down, relu=True)
        scale, shift = fold([self.bn], [bias])
        y = shared_aggregate(x, W * scale[:, None], self.topology()) + shift.view(-1, 1, 1)
        return added(y, down, relu=True)


@fuses(baseline.Model)
class FusedModel(FusedTenBlocks, baseline.Model):
    pass
