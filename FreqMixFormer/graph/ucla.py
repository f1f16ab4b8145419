"""The skeleton of NW-UCLA: 20 joints of a Kinect v1, pairs pointing towards joint 2, between the shoulders."""

from __future__ import annotations

from graph.skeleton import DirectedSkeleton
from skeleton_lab.skeletons.edges import UCLA


class Graph(DirectedSkeleton):
    skeleton = "ucla20"
    num_node = 20
    pairs = UCLA
    vector_power = 6
