"""Skeletons with virtual joints: vertices that are linked to every real joint (section 3.3 of the paper)."""

from __future__ import annotations

import numpy as np

from skeleton_lab.errors import UsageError
from skeleton_lab.skeletons.edges import Edges
from skeleton_lab.skeletons.partition import edge_matrix

HEADS = 8


class VirtualGraph:
    """A skeleton and ``hyper_joints`` virtual joints behind its ``num_node`` real ones.

    Args:
        hyper_joints: h, may be 0.
        labeling_mode: ``virtual_ensemble``: A (8, V+h, V+h), eight equal copies of links, self-links and the links of
            the virtual joints (every published configuration); ``spatial_ensemble``: A (8, V, V) without virtual
            joints; ``spatial``: A (3, V, V), self-links, inward, outward, which the networks cannot use.

    Attributes: ``num_node``, ``self_link``, ``inward``, ``outward``, ``neighbor`` (pairs from 0), ``hyper_joints``,
    ``A`` float64. An unknown mode or a negative h is a UsageError (a ValueError).
    """

    num_node: int
    inward: Edges

    def __init__(self, hyper_joints: int = 0, labeling_mode: str = "spatial"):
        if hyper_joints < 0:
            raise UsageError(f"hyper_joints must be 0 or more, not {hyper_joints}")
        self.hyper_joints = hyper_joints
        self.self_link = [(i, i) for i in range(self.num_node)]
        self.outward = [(parent, child) for child, parent in self.inward]
        self.neighbor = self.inward + self.outward
        self.A = self.get_adjacency_matrix(labeling_mode)

    def get_adjacency_matrix(self, labeling_mode: str) -> np.ndarray:
        V, h = self.num_node, self.hyper_joints
        parts = [np.eye(V), edge_matrix(self.inward, V), edge_matrix(self.outward, V)]
        if labeling_mode == "spatial":
            return np.stack(parts)
        if labeling_mode == "spatial_ensemble":
            return np.stack([sum(parts)] * HEADS)
        if labeling_mode == "virtual_ensemble":
            A = np.eye(V + h)
            A[:V, :V] = sum(parts)
            A[:V, V:] = A[V:, :V] = 1
            return np.stack([A] * HEADS)
        raise UsageError(
            f"graph_args: labeling_mode '{labeling_mode}' is not known; this graph has virtual_ensemble (the one that "
            "the networks use), spatial_ensemble and spatial"
        )
