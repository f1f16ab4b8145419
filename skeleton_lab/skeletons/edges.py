"""Bones of the recorded skeletons as (child, parent) pairs, numbered from 0."""

from __future__ import annotations

Edges = list[tuple[int, int]]


def from_one(pairs: list[tuple[int, int]]) -> Edges:
    """Pairs as the papers print them, numbered from 1."""
    return [(child - 1, parent - 1) for child, parent in pairs]


# fmt: off
NTU_RGB_D: Edges = from_one([  # 25 joints of a Kinect v2; joint 21, between the shoulders, is the root
    (1, 2), (2, 21), (3, 21), (4, 3), (5, 21), (6, 5), (7, 6), (8, 7), (9, 21), (10, 9), (11, 10), (12, 11),
    (13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18), (20, 19),
    (22, 23), (23, 8), (24, 25), (25, 12),
])
UCLA: Edges = from_one([  # 20 joints of a Kinect v1; joint 3, between the shoulders, is the root
    (1, 2), (2, 3), (4, 3), (5, 3), (6, 5), (7, 6), (8, 7), (9, 3), (10, 9), (11, 10), (12, 11),
    (13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18), (20, 19),
])
OPENPOSE: Edges = [  # 18 joints: nose, neck (the root), arms, legs, eyes, ears; each right before left
    (4, 3), (3, 2), (7, 6), (6, 5), (13, 12), (12, 11), (10, 9), (9, 8), (11, 5), (8, 2), (5, 1), (2, 1),
    (0, 1), (15, 0), (14, 0), (17, 15), (16, 14),
]
# fmt: on
