"""The skeleton of UAV-Human: 17 joints of a pose estimator, as published; joint 10 ends two pairs."""

from __future__ import annotations

from graph.skeleton import DirectedSkeleton

# fmt: off
PAIRS = [
    (1, 2), (1, 4), (2, 3), (4, 5), (5, 6), (1, 7), (7, 8), (7, 10), (8, 9), (4, 10), (10, 11), (11, 12), (0, 13),
    (0, 14), (13, 15), (14, 16),
]
# fmt: on


class Graph(DirectedSkeleton):
    skeleton = "uav17"
    num_node = 17
    pairs = PAIRS
