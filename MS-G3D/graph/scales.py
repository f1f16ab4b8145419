"""Disentangled multi-scale adjacency matrices (section 3.2 of the paper) and their windowed form (section 3.3)."""

from __future__ import annotations

import numpy as np

from skeleton_lab.skeletons.edges import Edges
from skeleton_lab.skeletons.partition import edge_matrix


def normalised(A: np.ndarray) -> np.ndarray:
    """D^-1/2 A D^-1/2 with D the row sums of A, (V, V) float32."""
    root = np.sqrt(A.sum(1))
    return (A / root[:, None] / root).astype(np.float32)


def exact_distance(A: np.ndarray, k: int) -> np.ndarray:
    """(V, V) bool: joints exactly k edges apart."""
    step = A + np.eye(len(A)) > 0
    within, before = np.eye(len(A), dtype=bool), np.zeros_like(A, dtype=bool)
    for _ in range(k):
        within, before = within @ step, within
    return within & ~before


def scales(A: np.ndarray, num_scales: int, window: int = 1) -> np.ndarray:
    """norm(K_0), norm(K_1) ... stacked along rows (equation 5), for the graph of ``window`` frames.

    K_k is 1 where the distance is exactly k, and on the diagonal.  Every joint of a window is linked to itself and
    to its neighbours in all frames, so distances within a window are those of the skeleton; only a joint and itself
    in another frame are one step apart.

    Args:
        A: (V, V), 1 at every edge, zero diagonal.

    Returns:
        (num_scales * W*V, W*V) float32; node w*V + v is joint v in frame w.
    """
    frames, eye = np.ones((window, window)), np.eye(window * len(A))
    matrices = []
    for k in range(num_scales):
        near = A + np.eye(len(A)) if k == 1 else exact_distance(A, k)
        matrices.append(normalised(np.maximum(np.kron(frames, near), eye) if k else eye))
    return np.concatenate(matrices)


class AdjacencyGraph:
    """What both skeletons of this room offer; arguments are accepted and ignored.

    Attributes: ``num_nodes`` V; ``edges``, pairs from 0, inward then outward; ``self_loops``; ``A_binary`` (V, V)
    float32, symmetric, 1 at every edge; ``A_binary_with_I``; ``A``, ``A_binary`` normalised.
    """

    num_nodes: int
    inward: Edges

    def __init__(self, *args, **kwargs):
        self.edges = self.inward + [(target, source) for source, target in self.inward]
        self.self_loops = [(i, i) for i in range(self.num_nodes)]
        self.A_binary = edge_matrix(self.edges, self.num_nodes).astype(np.float32)
        self.A_binary_with_I = edge_matrix(self.edges + self.self_loops, self.num_nodes).astype(np.float32)
        self.A = normalised(self.A_binary)
