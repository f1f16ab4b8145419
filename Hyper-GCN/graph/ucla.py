"""The skeleton of NW-UCLA: 20 joints of a Kinect v1."""

from __future__ import annotations

from graph.virtual import VirtualGraph
from skeleton_lab.skeletons.edges import UCLA


class Graph(VirtualGraph):
    """``scale`` has no effect, as published."""

    skeleton = "ucla20"
    num_node = 20
    inward = UCLA

    def __init__(self, hyper_joints: int = 0, labeling_mode: str = "spatial", scale: float = 1):
        super().__init__(hyper_joints, labeling_mode)
