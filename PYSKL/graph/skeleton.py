"""Any skeleton: PYSKL's graph by the name that the engine has for it, and what the networks are told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graph import pyskl
from skeleton_lab.skeletons.layouts import Layout


class Graph(pyskl.Graph):
    """``graph.skeleton.Graph`` with ``graph_args: {skeleton: coco17}``, for networks of one's own."""

    def __init__(self, skeleton: str, mode: str = "spatial", **more: Any):
        super().__init__(skeleton, mode, **more)


def model_args(skeleton: Layout, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a network for this skeleton: the layout of its graph."""
    if "graph" in given:
        return {}
    return {"graph_cfg": {**given.get("graph_cfg", {}), "layout": name}}
