"""Any skeleton: its three subsets, towards the root and away from it."""

from __future__ import annotations

from skeleton_lab.skeletons.any_skeleton import AnySpatialGraph


class Graph(AnySpatialGraph):
    """``graph.skeleton.Graph`` with ``graph_args: {skeleton: coco17}``."""
