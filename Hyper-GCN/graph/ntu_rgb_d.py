"""The skeleton of NTU RGB+D as Hyper-GCN draws it: all finger joints hang on the hands."""

from __future__ import annotations

from graph.virtual import VirtualGraph
from skeleton_lab.skeletons.edges import NTU_RGB_D, from_one

FINGERS = from_one([(22, 8), (23, 8), (24, 12), (25, 12)])


class Graph(VirtualGraph):
    skeleton = "ntu25"
    num_node = 25
    inward = NTU_RGB_D[:-4] + FINGERS
