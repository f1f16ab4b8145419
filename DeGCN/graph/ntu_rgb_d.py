"""The skeleton of NTU RGB+D: 25 joints of a Kinect v2."""

from __future__ import annotations

from skeleton_lab.skeletons.edges import NTU_RGB_D
from skeleton_lab.skeletons.partition import SpatialGraph


class Graph(SpatialGraph):
    skeleton = "ntu25"
    num_node = 25
    inward = NTU_RGB_D
