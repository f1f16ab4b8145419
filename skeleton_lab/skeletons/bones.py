"""Which joint a bone starts from, per skeleton and paper.

A parent table has one entry per joint, 0-based: ``bone[v] = x[v] - x[parent[v]]``. A joint that is its own parent has
the zero bone.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from skeleton_lab.skeletons import rules
from skeleton_lab.skeletons.layouts import known


def parents(num_joints: int, pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    """(V,) int64 parent table from 1-based (joint, parent) pairs; of a joint listed twice the last pair counts."""
    table = np.arange(num_joints)
    for joint, parent in pairs:
        table[joint - 1] = parent - 1
    return table


def bone(x: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Each joint of (..., V, M) minus its parent, in all channels."""
    return x - x[..., parents, :]


_KINECT_2, _KINECT_1, _UAV = (known()[name] for name in ("ntu25", "ucla20", "uav17"))

# Kinect v2, 25 joints (CTR-GCN, FreqMixFormer). 22-23 and 24-25 chain hand tip to thumb, as published.
NTU = _KINECT_2.parent.copy()

# Hyper-GCN: hand tips and thumbs both start from the hand
NTU_HANDS = rules.star(_KINECT_2).parent.copy()

# Every joint relative to joint 21, the spine between the shoulders (Hyper-GCN's joint stream)
NTU_CENTRED = np.full(_KINECT_2.V, _KINECT_2.root)

# SkateFormer: as Hyper-GCN, but rooted in joint 2, the middle of the spine
NTU_SKATE = rules.tokens_parent(_KINECT_2).copy()

# Kinect v1, 20 joints
UCLA = _KINECT_1.parent.copy()

# UAV-Human, 17 joints (FreqMixFormer), not along its tree: the published list leaves some joints out
UAV = parents(_UAV.V, ((child + 1, parent + 1) for child, parent in _UAV.published["bones"]))

BY_JOINTS = {25: NTU, 20: UCLA, 17: UAV}

# SkateFormer's order of joints: groups of four for its partitions; NTU's joint 21 is left out
NTU_PARTS = rules.groups(_KINECT_2).order
UCLA_PARTS = rules.groups(_KINECT_1).order


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
