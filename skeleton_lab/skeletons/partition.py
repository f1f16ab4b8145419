"""Adjacency matrices of a skeleton, split into subsets as the papers do.

Convention: row = target joint, column = source joint; ``A[target, source]``.
"""

from __future__ import annotations

import numpy as np

from skeleton_lab.skeletons.edges import Edges


def edge_matrix(pairs: Edges, num_node: int) -> np.ndarray:
    """(V, V) float64 with ``E[p, c] = 1`` for every pair (c, p)."""
    E = np.zeros((num_node, num_node))
    for source, target in pairs:
        E[target, source] = 1.0
    return E


def column_normalised(E: np.ndarray) -> np.ndarray:
    """Every column divided by its sum; columns that sum to 0 stay 0."""
    total = E.sum(0)
    return E / np.where(total > 0, total, 1.0)


def spatial(num_node: int, self_link: Edges, inward: Edges, outward: Edges) -> np.ndarray:
    """(3, V, V) float64: the joint itself, towards the root, away from the root (ST-GCN's spatial configuration)."""
    return np.stack(
        [
            edge_matrix(self_link, num_node),
            column_normalised(edge_matrix(inward, num_node)),
            column_normalised(edge_matrix(outward, num_node)),
        ]
    )


class SpatialGraph:
    """A skeleton and its three subsets, as CTR-GCN and the models after it expect it.

    Attributes: ``num_node``; ``self_link``, ``inward``, ``outward``, ``neighbor``, lists of pairs from 0;
    ``A`` (3, V, V) float64.
    """

    num_node: int
    inward: Edges

    def __init__(self, labeling_mode: str = "spatial"):
        self.self_link = [(i, i) for i in range(self.num_node)]
        self.outward = [(parent, child) for child, parent in self.inward]
        self.neighbor = self.inward + self.outward
        self.A = self.get_adjacency_matrix(labeling_mode)

    def get_adjacency_matrix(self, labeling_mode: str | None = None) -> np.ndarray:
        """The matrices for ``labeling_mode``, the stored ones for None; only 'spatial' is known (else ValueError)."""
        if labeling_mode is None:
            return self.A
        if labeling_mode != "spatial":
            raise ValueError(f"labeling_mode '{labeling_mode}' is not known; this graph has 'spatial'")
        return spatial(self.num_node, self.self_link, self.inward, self.outward)
