"""The twin of DeGCN's joint-bone fusion; its layers' are in ``degcn_fused.py``."""

from __future__ import annotations

import torch
from torch import Tensor

from model import jbf
from model.degcn_fused import FusedTrunks
from skeleton_lab.nn.fuse import fuses
from skeleton_lab.nn.fused.batch_norm import batch_norm, fold


@fuses(jbf.Model)
class FusedModel(FusedTrunks, jbf.Model):
    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.take(x)
        bodies = self.bodies_of(x)  # a body without joints has no bones
        x, people = torch.cat([x, x - x[..., self.parents, :]], 1), x.shape[-1]
        joints, bones = self.taken(x, bodies).chunk(2, 1)
        y = self.through(self.streams1[0], joints, bodies.count) + self.through(self.streams1[1], bones, bodies.count)
        if self.training:
            y = batch_norm([self.bn_mid], y, bodies.count)
        else:
            scale, shift = fold([self.bn_mid])
            y = torch.addcmul(shift.view(-1, 1, 1), y, scale.view(-1, 1, 1))
        return self.logits(self.streams2, y, bodies, people)
