"""Any skeleton: for networks of one's own as a graph, for ST-GCN as a layout of its graph (``net.utils.graph``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skeleton_lab.skeletons.any_skeleton import AnySpatialGraph
from skeleton_lab.skeletons.layouts import Layout


class Graph(AnySpatialGraph):
    """``graph.skeleton.Graph`` with ``graph_args: {skeleton: coco17}``."""


def model_args(skeleton: Layout, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a network for this skeleton, besides those that all rooms have; ``name``: as a graph takes it."""
    if "graph" in given:
        return {}
    return {"graph_args": {**given.get("graph_args", {}), "layout": name}}
