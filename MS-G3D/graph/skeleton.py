"""Any skeleton, and how many distances between its joints the network tells apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graph.scales import AdjacencyGraph
from skeleton_lab.skeletons import rules
from skeleton_lab.skeletons.layouts import Layout, layout


class Graph(AdjacencyGraph):
    """``graph.skeleton.Graph`` with ``graph_args: {skeleton: coco17}``.

    Args:
        skeleton: its name, or a YAML file.

    Raises:
        UsageError: no such skeleton.
    """

    def __init__(self, skeleton: str = "ntu25"):
        found = layout(skeleton)
        self.num_nodes, self.inward = found.V, found.bones
        super().__init__()


def model_args(skeleton: Layout, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a network for this skeleton, besides those that all rooms have: one scale for each distance."""
    return dict(zip(("num_gcn_scales", "num_g3d_scales"), rules.scales(skeleton)))
