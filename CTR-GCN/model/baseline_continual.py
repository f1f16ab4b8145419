"""The baseline frame by frame (``skeleton_lab.nn.continual``): its topologies are parameters, alike in all frames."""

from __future__ import annotations

from model import baseline
from skeleton_lab.nn.continual import Framewise, Node, node


@node.register(baseline.UnitGCN)
def _unit_gcn(unit: baseline.UnitGCN) -> Node:
    return Framewise(unit)
