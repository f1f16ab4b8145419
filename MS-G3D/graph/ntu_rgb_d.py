"""The skeleton of NTU RGB+D: 25 joints of a Kinect v2."""

from __future__ import annotations

from graph.scales import AdjacencyGraph
from skeleton_lab.skeletons.edges import NTU_RGB_D


class AdjMatrixGraph(AdjacencyGraph):
    skeleton = "ntu25"
    num_nodes = 25
    inward = NTU_RGB_D
