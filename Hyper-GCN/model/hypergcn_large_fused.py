"""The twin of large Hyper-GCN; its layers' are in ``hypergcn_fused.py``."""

from __future__ import annotations

from model import hypergcn_large
from model.hypergcn_fused import FusedHyperGCN
from skeleton_lab.nn.fuse import fuses


@fuses(hypergcn_large.Model)
class FusedModel(FusedHyperGCN, hypergcn_large.Model):
    pass
