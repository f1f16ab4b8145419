"""The skeleton of NW-UCLA: 20 joints of a Kinect v1."""

from __future__ import annotations

from skeleton_lab.skeletons.edges import UCLA
from skeleton_lab.skeletons.partition import SpatialGraph


class Graph(SpatialGraph):
    skeleton = "ucla20"
    num_node = 20
    inward = UCLA

    def __init__(self, labeling_mode: str = "spatial", scale: int = 1):
        """``scale`` is accepted because published configurations may give it; it has no effect."""
        super().__init__(labeling_mode)
