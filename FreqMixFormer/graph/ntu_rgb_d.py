"""The skeleton of NTU RGB+D: 25 joints of a Kinect v2, pairs pointing away from joint 1, the middle of the spine."""

from __future__ import annotations

from graph.skeleton import DirectedSkeleton

# fmt: off
PAIRS = [
    (1, 0), (1, 20), (20, 2), (2, 3), (20, 4), (4, 5), (5, 6), (6, 7), (7, 22), (22, 21), (20, 8), (8, 9), (9, 10),
    (10, 11), (11, 24), (24, 23), (0, 12), (12, 13), (13, 14), (14, 15), (0, 16), (16, 17), (17, 18), (18, 19),
]
# fmt: on


class Graph(DirectedSkeleton):
    skeleton = "ntu25"
    num_node = 25
    pairs = PAIRS
