"""``graph.tools`` under the names that the field's repositories use: 2s-AGCN, CTR-GCN, MS-G3D, InfoGCN, HD-GCN.

Graph files that people copy into a room import their matrices from here.  Pairs are (source, target) from 0; matrices
(V, V) have ``A[target, source]``.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from skeleton_lab.errors import UsageError
from skeleton_lab.skeletons.layouts import known
from skeleton_lab.skeletons.partition import column_normalised, edge_matrix, spatial

__all__ = [
    "edge2mat", "get_DAD_graph", "get_adjacency_matrix", "get_edgeset", "get_graph", "get_groups",
    "get_hierarchical_graph", "get_hop", "get_hop_distance", "get_k_scale_graph", "get_multiscale_spatial_graph",
    "get_sgp_mat", "get_spatial_graph", "get_uniform_distance_graph", "get_uniform_graph", "k_adjacency",
    "normalize_adjacency_matrix", "normalize_digraph", "normalize_undigraph",
]  # fmt: skip

Pairs = Sequence[tuple[int, int]]
SKELETONS = {  # HD-GCN hangs all fingers on the hands
    "NTU": (25, known()["ntu25"].variant("star").bones),
    "NW-UCLA": (20, known()["ucla20"].bones),
}


def edge2mat(link: Pairs, num_node: int) -> np.ndarray:
    """(V, V) float64 with ``A[j, i] = 1`` for every pair (i, j)."""
    return edge_matrix(list(link), num_node)


def normalize_digraph(A: np.ndarray) -> np.ndarray:
    """Every column divided by its sum; columns of zeros stay."""
    return column_normalised(np.asarray(A, np.float64))


def normalize_undigraph(A: np.ndarray) -> np.ndarray:
    """D^-1/2 A D^-1/2 with D the column sums; columns and rows without an edge stay zero."""
    A = np.asarray(A, np.float64)
    total = A.sum(0)
    root = np.where(total > 0, 1 / np.sqrt(np.where(total > 0, total, 1)), 0)
    return root[:, None] * A * root


def normalize_adjacency_matrix(A: np.ndarray) -> np.ndarray:
    """D^-1/2 A D^-1/2 with D the row sums, float32 (MS-G3D)."""
    return normalize_undigraph(np.asarray(A).T).T.astype(np.float32)


def get_adjacency_matrix(edges: Pairs, num_nodes: int) -> np.ndarray:
    """(V, V) float32 with ``A[i, j] = 1`` for every pair (i, j): the other way round than ``edge2mat`` (MS-G3D)."""
    return edge2mat(edges, num_nodes).T.astype(np.float32)


def get_spatial_graph(num_node: int, self_link: Pairs, inward: Pairs, outward: Pairs) -> np.ndarray:
    """(3, V, V): the joint itself, inward, outward; columns sum to 1 or 0."""
    return spatial(num_node, list(self_link), list(inward), list(outward))


def get_multiscale_spatial_graph(num_node: int, self_link: Pairs, inward: Pairs, outward: Pairs) -> np.ndarray:
    """(5, V, V): itself, inward, outward, and what is exactly two edges inward and outward, columns normalised."""
    In, Out = edge2mat(inward, num_node), edge2mat(outward, num_node)
    parts = [In, Out, k_adjacency(In, 2), k_adjacency(Out, 2)]
    return np.stack([edge2mat(self_link, num_node), *map(normalize_digraph, parts)])


def get_uniform_graph(num_node: int, self_link: Pairs, neighbor: Pairs) -> np.ndarray:
    """(V, V): all links together, columns sum to 1."""
    return normalize_digraph(edge2mat([*neighbor, *self_link], num_node))


def get_uniform_distance_graph(num_node: int, self_link: Pairs, neighbor: Pairs) -> np.ndarray:
    """(2, V, V): the joint itself, its neighbours (columns sum to 1)."""
    return np.stack([edge2mat(self_link, num_node), normalize_digraph(edge2mat(neighbor, num_node))])


def get_DAD_graph(num_node: int, self_link: Pairs, neighbor: Pairs) -> np.ndarray:
    """(V, V): all links together, normalised on both sides."""
    return normalize_undigraph(edge2mat([*neighbor, *self_link], num_node))


def get_sgp_mat(num_in: int, num_out: int, link: Pairs) -> np.ndarray:
    """(in, out): ``A[i, j] = 1`` for every pair, columns divided by their sum; CTR-GCN's map to coarser joints."""
    A = np.zeros((num_in, num_out))
    for i, j in link:
        A[i, j] = 1
    return normalize_digraph(A)


def get_k_scale_graph(scale: int, A: np.ndarray) -> np.ndarray:
    """1 where a walk of 1 to ``scale`` edges leads; ``A`` itself for scale 1."""
    if scale == 1:
        return A
    power, total = np.eye(len(A)), np.zeros(np.shape(A))
    for _ in range(scale):
        power = power @ A
        total += power
    return (total > 0).astype(float)


def k_adjacency(A: np.ndarray, k: int, with_self: bool = False, self_factor: float = 1) -> np.ndarray:
    """1 where the distance is exactly k edges; the identity for k = 0; ``with_self`` adds the diagonal."""
    A = np.asarray(A)
    eye = np.eye(len(A), dtype=A.dtype)
    if k == 0:
        return eye
    within = [np.minimum(np.linalg.matrix_power(A + eye, power), 1) for power in (k, k - 1)]
    return within[0] - within[1] + (self_factor * eye if with_self else 0)


def get_hop_distance(num_node: int, edge: Pairs, max_hop: int = 1) -> np.ndarray:
    """(V, V) number of edges between two joints, infinite beyond ``max_hop``; edges count both ways (ST-GCN)."""
    A = np.minimum(edge2mat(edge, num_node) + edge2mat(edge, num_node).T, 1)
    distance = np.full((num_node, num_node), np.inf)
    for hop in range(max_hop, -1, -1):
        distance[np.linalg.matrix_power(A, hop) > 0] = hop
    return distance


get_hop = get_hop_distance


def get_groups(dataset: str = "NTU", CoM: int = 21) -> list[list[int]]:
    """Joints (numbered from 1) by their distance from joint ``CoM``, nearest first: HD-GCN's hierarchy.

    Raises:
        UsageError: no such skeleton or joint.
    """
    if dataset not in SKELETONS:
        raise UsageError(f"graph_args: dataset '{dataset}' is not one of {', '.join(SKELETONS)}")
    V, pairs = SKELETONS[dataset]
    if not 1 <= CoM <= V:
        raise UsageError(f"graph_args: CoM {CoM} is no joint of {dataset}, 1 to {V}")
    hops = get_hop_distance(V, pairs, V)[CoM - 1]
    return [(np.flatnonzero(hops == hop) + 1).tolist() for hop in range(int(hops.max()) + 1)]


def get_edgeset(dataset: str = "NTU", CoM: int = 21) -> list[list[list[tuple[int, int]]]]:
    """For every two neighbouring groups: self links, all pairs outward, all pairs inward; joints from 0 (HD-GCN)."""
    groups = [[joint - 1 for joint in group] for group in get_groups(dataset, CoM)]
    result = []
    for near, far in itertools.pairwise(groups):
        forward = [(i, j) for i in near for j in far]
        result.append([[(i, i) for i in near + far], forward, [(j, i) for i, j in reversed(forward)]])
    return result


def get_graph(num_node: int, edges: Sequence[Pairs]) -> np.ndarray:
    """(3, V, V) of self links, forward and backward pairs; columns of the latter sum to 1 or 0 (HD-GCN)."""
    return get_spatial_graph(num_node, *edges)


def get_hierarchical_graph(num_node: int, edges: Sequence[Sequence[Pairs]]) -> np.ndarray:
    """(L, 3, V, V): ``get_graph`` of every level of ``get_edgeset`` (HD-GCN, BlockGCN)."""
    return np.stack([get_graph(num_node, level) for level in edges])
