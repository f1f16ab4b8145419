"""Bones of the published skeletons as (child, parent) pairs, numbered from 0, under the names that graphs import.

The lists themselves stand in ``layouts.yaml``.
"""

from __future__ import annotations

from skeleton_lab.skeletons.layouts import known
from skeleton_lab.skeletons.tree import Edges

__all__ = ["NTU_RGB_D", "OPENPOSE", "UCLA", "Edges", "from_one"]


def from_one(pairs: list[tuple[int, int]]) -> Edges:
    """Pairs as the papers print them, numbered from 1."""
    return [(child - 1, parent - 1) for child, parent in pairs]


NTU_RGB_D: Edges = list(known()["ntu25"].bones)  # Kinect v2, 25 joints; 20, between the shoulders, is the root
UCLA: Edges = list(known()["ucla20"].bones)  # Kinect v1, 20 joints; 2, between the shoulders, is the root
OPENPOSE: Edges = list(known()["coco18"].bones)  # 18 joints; 1, the neck, is the root
