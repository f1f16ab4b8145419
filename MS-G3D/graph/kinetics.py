"""The skeleton that OpenPose finds in videos, Kinetics' for example: 18 joints."""

from __future__ import annotations

from graph.scales import AdjacencyGraph
from skeleton_lab.skeletons.edges import OPENPOSE


class AdjMatrixGraph(AdjacencyGraph):
    skeleton = "coco18"
    num_nodes = 18
    inward = OPENPOSE
