"""Any skeleton: for networks of one's own as a graph, for SkateFormer as groups of joints and windows of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skeleton_lab.skeletons import rules
from skeleton_lab.skeletons.any_skeleton import AnySpatialGraph
from skeleton_lab.skeletons.layouts import Layout


class Graph(AnySpatialGraph):
    """``graph.skeleton.Graph`` with ``graph_args: {skeleton: coco17}``."""


def model_args(skeleton: Layout, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a network for this skeleton, besides those that all rooms have.

    The joints are those of ``partition: true`` of the feeder. Near windows (types 1 and 3) hold a group or two, distant
    ones (2 and 4) a joint of every group; their frames stay as given.
    """
    if "graph" in given:
        return {}
    partition = rules.groups(skeleton)
    near, distant = partition.windows(given.get("num_people", 2))
    sizes = {"type_1_size": near, "type_2_size": distant, "type_3_size": near, "type_4_size": distant}
    windows = {key: [given[key][0], tokens] for key, tokens in sizes.items() if key in given}
    return {"num_points": len(partition.order), **windows}
