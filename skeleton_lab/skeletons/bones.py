"""Which joint a bone starts from, per skeleton and paper.

A parent table has one entry per joint, 0-based: ``bone[v] = x[v] - x[parent[v]]``. A joint that is its own parent has
the zero bone.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def parents(num_joints: int, pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    """(V,) int64 parent table from 1-based (joint, parent) pairs; of a joint listed twice the last pair counts."""
    table = np.arange(num_joints)
    for joint, parent in pairs:
        table[joint - 1] = parent - 1
    return table


def bone(x: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Each joint of (..., V, M) minus its parent, in all channels."""
    return x - x[..., parents, :]


# Kinect v2, 25 joints (CTR-GCN, FreqMixFormer). 22-23 and 24-25 chain hand tip to thumb, as published.
NTU = parents(25, (
    (1, 2), (2, 21), (3, 21), (4, 3), (5, 21), (6, 5), (7, 6), (8, 7), (9, 21), (10, 9), (11, 10), (12, 11), (13, 1),
    (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18), (20, 19), (22, 23), (21, 21), (23, 8), (24, 25),
    (25, 12),
))  # fmt: skip

# Hyper-GCN: hand tips and thumbs both start from the hand
NTU_HANDS = NTU.copy()
NTU_HANDS[[21, 23]] = 7, 11

# Every joint relative to joint 21, the spine between the shoulders (Hyper-GCN's joint stream)
NTU_CENTRED = np.full(25, 20)

# SkateFormer: as Hyper-GCN, but rooted in joint 2, the middle of the spine
NTU_SKATE = NTU_HANDS.copy()
NTU_SKATE[[1, 20]] = 1, 1

# Kinect v1, 20 joints
UCLA = parents(20, (
    (1, 2), (2, 3), (3, 3), (4, 3), (5, 3), (6, 5), (7, 6), (8, 7), (9, 3), (10, 9), (11, 10), (12, 11), (13, 1),
    (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18), (20, 19),
))  # fmt: skip

# UAV-Human, 17 joints (FreqMixFormer). The published list names 2 and others twice and leaves some joints out.
UAV = parents(17, (
    (2, 8), (3, 4), (5, 11), (6, 7), (8, 11), (9, 10), (11, 12), (12, 13), (1, 1), (14, 16), (15, 17),
))  # fmt: skip

BY_JOINTS = {25: NTU, 20: UCLA, 17: UAV}


# SkateFormer's order of joints: groups of four for its partitions; NTU's joint 21 is left out
NTU_PARTS = np.array([6, 7, 21, 22, 10, 11, 23, 24, 12, 13, 14, 15, 16, 17, 18, 19, 4, 8, 5, 9, 1, 2, 0, 3])
UCLA_PARTS = np.array([4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 1, 2, 0, 3])


def ordered_edges(parent: np.ndarray, order: np.ndarray) -> list[tuple[int, int]]:
    """``edges`` of joints in another order; over a joint that is left out an edge goes on to the next one."""
    place = {int(joint): k for k, joint in enumerate(order)}
    pairs = []
    for joint, k in place.items():
        above = int(parent[joint])
        while above not in place:
            above = int(parent[above])
        if above != joint:
            pairs.append((k, place[above]))
    return pairs


def edges(parent: np.ndarray) -> list[tuple[int, int]]:
    """The (joint, parent) pairs, 0-based, without the roots: what to draw between joints."""
    return [(joint, int(above)) for joint, above in enumerate(parent) if joint != above]
