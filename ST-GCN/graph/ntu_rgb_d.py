"""The skeleton of NTU RGB+D for networks of one's own: 25 joints of a Kinect v2, in the three subsets of CTR-GCN."""

from __future__ import annotations

from skeleton_lab.skeletons.edges import NTU_RGB_D
from skeleton_lab.skeletons.partition import SpatialGraph


class Graph(SpatialGraph):
    skeleton = "ntu25"
    num_node = 25
    inward = NTU_RGB_D
