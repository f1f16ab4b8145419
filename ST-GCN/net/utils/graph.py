"""The skeleton as a graph, split into subsets by hop distance and by distance from the body's centre.

Yan, Xiong, Lin, "Spatial Temporal Graph Convolutional Networks for Skeleton-Based Action Recognition", AAAI 2018,
section 3.3 and figure 3.  Convention of the paper's code: row = source joint, column = target joint, columns sum to 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from skeleton_lab.errors import UsageError, nearest
from skeleton_lab.skeletons import layouts
from skeleton_lab.skeletons.edges import NTU_RGB_D, OPENPOSE, Edges, from_one

# fmt: off
NTU_EDGE: Edges = from_one([  # NTU RGB+D without joint 21, whose neighbours hang on joint 2
    (1, 2), (3, 2), (4, 3), (5, 2), (6, 5), (7, 6), (8, 7), (9, 2), (10, 9), (11, 10), (12, 11), (13, 1), (14, 13),
    (15, 14), (16, 15), (17, 1), (18, 17), (19, 18), (20, 19), (21, 22), (22, 8), (23, 24), (24, 12),
])
# fmt: on


class Layout(NamedTuple):
    joints: int
    centre: int
    edges: Edges


LAYOUTS = {
    "openpose": Layout(18, 1, OPENPOSE),
    "ntu-rgb+d": Layout(25, 20, NTU_RGB_D),
    "ntu_edge": Layout(24, 2, NTU_EDGE),
}
STRATEGIES = ("uniform", "distance", "spatial")


class Graph:
    """The subsets ``A`` (K, V, V) float64 of a layout under a partition strategy.

    Args:
        layout: ``openpose`` (18 joints), ``ntu-rgb+d`` (25) or ``ntu_edge`` (24), as published; or any skeleton: its
            name, or a YAML file.
        strategy: ``uniform``: one subset; ``distance``: one for every hop; ``spatial``: hops, split into joints as near
            to the centre as the target or farther from it, and nearer ones.
        max_hop: neighbours up to this many edges away.
        dilation: only every ``dilation``-th hop counts.

    Attributes: ``num_node``, ``edge`` (self links first), ``center``, ``hop_dis`` (V, V), ``A``, ``max_hop``,
    ``dilation``.  An unknown layout or strategy is a UsageError (a ValueError).
    """

    def __init__(self, layout: str = "openpose", strategy: str = "uniform", max_hop: int = 1, dilation: int = 1):
        if strategy not in STRATEGIES:
            close = nearest(strategy, STRATEGIES)
            raise UsageError(f"graph_args: strategy '{strategy}' is not one of {', '.join(STRATEGIES)}.{close}")
        self.layout, self.strategy = layout, strategy
        self.max_hop, self.dilation = max_hop, dilation
        self.num_node, self.center, edges = found(layout)
        self.edge = [(i, i) for i in range(self.num_node)] + list(edges)
        self.hop_dis = hop_distance(self.num_node, self.edge, max_hop)
        self.A = self.subsets()

    def __str__(self) -> str:
        return f"{self.layout} graph of {self.num_node} joints, {self.strategy} partition, {len(self.A)} subsets"

    def subsets(self) -> np.ndarray:
        hops = range(0, self.max_hop + 1, self.dilation)
        adjacency = np.isin(self.hop_dis, list(hops)).astype(float)
        normalised = adjacency / adjacency.sum(0)
        if self.strategy == "uniform":
            return normalised[None]
        rings = [np.where(self.hop_dis == hop, normalised, 0) for hop in hops]
        if self.strategy == "distance":
            return np.stack(rings)
        # Distances from the centre are cut at max_hop too: of two joints that are both beyond, none is the nearer.
        centre = self.hop_dis[:, self.center]
        nearer = centre[:, None] < centre[None, :]  # [source, target]
        parts = [rings[0]]
        for ring in rings[1:]:
            parts += [np.where(nearer, 0, ring), np.where(nearer, ring, 0)]
        return np.stack(parts)


def found(name: str) -> Layout:
    """A published layout, or a skeleton of the registry or of a file.

    Raises:
        UsageError: neither.
    """
    if name in LAYOUTS:
        return LAYOUTS[name]
    try:
        skeleton = layouts.layout(name)
    except UsageError as error:
        close = nearest(name, LAYOUTS)
        if Path(name).suffix in layouts.OWN:
            raise
        raise UsageError(
            f"graph_args: layout '{name}' is not one of {', '.join(LAYOUTS)}, nor a skeleton that `skeleton-lab "
            f"skeletons` lists.{close}"
        ) from error
    return Layout(skeleton.V, skeleton.centre, skeleton.bones)


def hop_distance(num_node: int, edges: Edges, max_hop: int) -> np.ndarray:
    """(V, V) length of the shortest path between two joints, infinite beyond ``max_hop``."""
    link = np.zeros((num_node, num_node))
    for i, j in edges:
        link[i, j] = link[j, i] = 1
    distance = np.full((num_node, num_node), np.inf)
    for hop in reversed(range(max_hop + 1)):
        distance[np.linalg.matrix_power(link, hop) > 0] = hop
    return distance
