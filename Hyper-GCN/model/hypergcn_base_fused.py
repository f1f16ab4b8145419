"""The twin of base Hyper-GCN; its layers' are in ``hypergcn_fused.py``."""

from __future__ import annotations

from model import hypergcn_base
from model.hypergcn_fused import FusedHyperGCN
from skeleton_lab.nn.fuse import fuses


@fuses(hypergcn_base.Model)
class FusedModel(FusedHyperGCN, hypergcn_base.Model):
    pass
