"""What FreqMixFormer reads from a skeleton beside the three subsets of CTR-GCN, for any skeleton."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from skeleton_lab.skeletons import rules
from skeleton_lab.skeletons.edges import Edges
from skeleton_lab.skeletons.layouts import Layout, layout
from skeleton_lab.skeletons.partition import SpatialGraph, edge_matrix


class DirectedSkeleton(SpatialGraph):
    """A skeleton as directed pairs i -> j; the matrices have ``[j, i]`` set for each.

    Attributes, besides those of ``SpatialGraph``:
        A_outward_binary: (V, V) float32, 1 for every pair, not normalised.
        vector_power: k of ``A_vector`` where a configuration gives none.
    """

    pairs: Edges
    vector_power = 8

    def __init__(self, labeling_mode: str = "spatial", scale: int = 1):
        """``scale`` is accepted because published configurations may give it; it has no effect."""
        self.inward = self.pairs
        super().__init__(labeling_mode)
        self.A_outward_binary = edge_matrix(self.pairs, self.num_node).astype(np.float32)

    def A_vector(self, k: int | None = None) -> np.ndarray:
        """(V, V) float64, I - E^k: from every joint, subtract those k pairs before it (k = 1: bones)."""
        E = edge_matrix(self.pairs, self.num_node)
        return np.eye(self.num_node) - np.linalg.matrix_power(E, self.vector_power if k is None else k)


class Graph(DirectedSkeleton):
    """``graph.skeleton.Graph`` with ``graph_args: {skeleton: coco17}``: pairs that point away from the body's origin.

    Args:
        skeleton: its name, or a YAML file; labeling_mode, scale: see ``DirectedSkeleton``.

    Raises:
        UsageError: no such skeleton.
    """

    def __init__(self, skeleton: str = "ntu25", labeling_mode: str = "spatial", scale: int = 1):
        found = layout(skeleton)
        self.num_node = found.V
        self.pairs, self.vector_power = rules.directed(found)
        super().__init__(labeling_mode, scale)


def model_args(skeleton: Layout, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a network for this skeleton, besides those that all rooms have: where frequencies are high."""
    return {"freq_split": rules.frequency_split(skeleton)}
