"""PYSKL's graph: ``A`` (K, V, V) of a skeleton, in four modes (Duan et al., PYSKL, 2022; ProtoGCN, CVPR 2025).

Row = source joint, column = target joint: y[w] = sum_v x[v] A[k][v, w].
"""

from __future__ import annotations

import numpy as np

from skeleton_lab.skeletons import layouts
from skeleton_lab.skeletons.edges import Edges
from skeleton_lab.skeletons.partition import column_normalised, edge_matrix

# (child, parent) where they are not those of the registry, and the centre.  Finger tips and thumbs hang on the hand.
STAR = {(21, 22): (21, 7), (23, 24): (23, 11)}
COCO_NEW = [(15, 13), (13, 11), (16, 14), (14, 12), (11, 17), (12, 17), (9, 7), (7, 5), (10, 8), (8, 6), (5, 19),
            (6, 19), (1, 0), (3, 1), (2, 0), (4, 2), (0, 19), (17, 18), (18, 19)]  # fmt: skip
OPENPOSE_NEW = [(4, 3), (3, 2), (7, 6), (6, 5), (13, 12), (12, 11), (10, 9), (9, 8), (11, 18), (8, 18), (5, 1), (2, 1),
                (0, 1), (15, 0), (14, 0), (17, 15), (16, 14), (18, 19), (19, 1)]  # fmt: skip
# ProtoGCN's 20 joints: those of ``coco`` or ``openpose`` with the middle of the hips, of the trunk, of the shoulders
EXTENDED = {"coco_new": (20, 19, COCO_NEW), "openpose_new": (20, 1, OPENPOSE_NEW)}
MODES = ("spatial", "stgcn_spatial", "binary_adj", "random")


def skeleton(layout: str) -> tuple[int, int, Edges]:
    """Joints, centre, and (child, parent) pairs of a published name, of a registered skeleton, or of a YAML file.

    Raises:
        UsageError: (a ValueError) no such skeleton.
    """
    if layout in EXTENDED:
        return EXTENDED[layout]
    found = layouts.layout(layout)
    bones = [tuple(bone) for bone in found.bones]
    return found.V, found.centre, [STAR.get(bone, bone) for bone in bones] if found.name == "ntu25" else bones


class Graph:
    """A skeleton and its matrices.

    Args:
        layout: 'nturgb+d', 'coco', 'openpose', 'handmp', 'coco_new', 'openpose_new', any name that
            ``skeleton_lab.skeletons.layouts`` knows, or a YAML file.
        mode: 'spatial': itself, towards the centre, away from it; 'stgcn_spatial': by hops and distance to the centre;
            'binary_adj': neighbours, not normalised; 'random': ``num_filter`` Gaussian draws of NumPy's generator.
        max_hop: of 'stgcn_spatial', which has 2 * max_hop + 1 matrices.
        nx_node, num_filter, init_std, init_off: of 'random': frames per matrix, matrices, deviation, mean.

    Attributes:
        num_node, center, inward, outward, neighbor, self_link: as usual; hop_dis (V, V), infinite behind ``max_hop``;
        A (K, V, V) float64.

    Raises:
        ValueError: an unknown layout or mode, or ``nx_node`` > 1 in another mode than 'random'.
    """

    def __init__(
        self, layout: str = "coco", mode: str = "spatial", max_hop: int = 1, nx_node: int = 1, num_filter: int = 3,
        init_std: float = 0.02, init_off: float = 0.04,
    ):  # fmt: skip
        if mode not in MODES:
            raise ValueError(f"graph_cfg: mode '{mode}' is not known; there are {', '.join(MODES)}")
        if nx_node != 1 and mode != "random":
            raise ValueError(f"graph_cfg: nx_node {nx_node} belongs to mode 'random', not to '{mode}'")
        self.num_node, self.center, inward = skeleton(layout)
        self.inward = list(inward)
        self.outward = [(parent, child) for child, parent in self.inward]
        self.neighbor = self.inward + self.outward
        self.self_link = [(joint, joint) for joint in range(self.num_node)]
        self.max_hop = max_hop
        self.hop_dis = self._hops()
        if mode == "random":
            size = self.num_node * nx_node
            self.A = np.random.randn(num_filter, size, size) * init_std + init_off
        else:
            self.A = getattr(self, f"_{mode}")()

    def _hops(self) -> np.ndarray:
        """Length of the shortest path between two joints, infinite where it is longer than ``max_hop``."""
        near = edge_matrix(self.neighbor, self.num_node) + np.eye(self.num_node)
        reached = [np.linalg.matrix_power(near, hops) > 0 for hops in range(self.max_hop + 1)]
        hops = np.full(near.shape, np.inf)
        for distance in range(self.max_hop, -1, -1):
            hops[reached[distance]] = distance
        return hops

    def _spatial(self) -> np.ndarray:
        toward, away = (column_normalised(edge_matrix(pairs, self.num_node)) for pairs in (self.inward, self.outward))
        return np.stack([np.eye(self.num_node), toward, away])

    def _stgcn_spatial(self) -> np.ndarray:
        """Per hop the sources at least as far from the centre as the target (close), then the others (further)."""
        within = column_normalised((self.hop_dis <= self.max_hop).astype(float))
        far = self.hop_dis[:, self.center]
        close = far[:, None] >= far[None, :]
        split = [(self.hop_dis == hop, part) for hop in range(1, self.max_hop + 1) for part in (close, ~close)]
        return np.stack([np.where(at & part, within, 0) for at, part in [(self.hop_dis == 0, close), *split]])

    def _binary_adj(self) -> np.ndarray:
        return edge_matrix(self.neighbor, self.num_node)[None]
