"""The tables of the published graphs, feeders and key-point readers, written out, against the registry."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.skeletons import bones, edges, graph_tools, layouts, sides
from skeleton_lab.skeletons.schemes import SCHEMES

# Bones as (child, parent) from 1, as the papers' graph files print them
NTU = """
1-2 2-21 3-21 4-3 5-21 6-5 7-6 8-7 9-21 10-9 11-10 12-11 13-1 14-13 15-14 16-15 17-1 18-17 19-18 20-19 22-23
23-8 24-25 25-12
"""
UCLA = """
1-2 2-3 4-3 5-3 6-5 7-6 8-7 9-3 10-9 11-10 12-11 13-1 14-13 15-14 16-15 17-1 18-17 19-18 20-19
"""
# Of OpenPose from 0
OPENPOSE = "4-3 3-2 7-6 6-5 13-12 12-11 10-9 9-8 11-5 8-2 5-1 2-1 0-1 15-0 14-0 17-15 16-14"
UAV = "2-8 3-4 5-11 6-7 8-11 9-10 11-12 12-13 1-1 14-16 15-17"  # FreqMixFormer, from 1

# What key points are drawn and filled along, from 0, in this order
DRAWN = {
    "coco17": (
        "1-0 3-1 7-5 9-7 13-11 15-13 5-0 11-5 2-0 4-2 8-6 10-8 14-12 16-14 6-0 12-6 6-5 12-11"
    ),
    "body25": (
        "0-1 8-1 16-0 18-16 6-5 7-6 13-12 14-13 5-1 15-0 17-15 3-2 4-3 10-9 11-10 2-1 12-8 19-14 20-19 21-14 9-8 "
        "22-11 23-22 24-11"
    ),
    "coco18": (
        "0-1 15-0 17-15 6-5 7-6 12-11 13-12 5-1 14-0 16-14 3-2 4-3 9-8 10-9 2-1 11-1 8-1"
    ),
    "mediapipe33": (
        "1-0 2-1 3-2 7-3 9-0 11-0 23-11 13-11 15-13 25-23 27-25 17-15 19-15 21-15 29-27 31-29 4-0 5-4 6-5 8-6 "
        "10-0 12-0 24-12 14-12 16-14 26-24 28-26 18-16 20-16 22-16 30-28 32-30 12-11 24-23"
    ),
    "h36m17": (
        "7-0 8-7 9-8 10-9 4-0 11-8 12-11 13-12 5-4 6-5 1-0 14-8 15-14 16-15 2-1 3-2"
    ),
    "ntu25": (
        "1-0 20-1 2-20 3-2 5-4 6-5 13-12 14-13 7-6 15-14 12-0 4-20 21-7 22-7 9-8 10-9 17-16 18-17 11-10 19-18 "
        "16-0 8-20 23-11 24-11"
    ),
    "ucla20": (
        "1-0 2-1 3-2 5-4 6-5 13-12 14-13 7-6 15-14 12-0 4-2 9-8 10-9 17-16 18-17 11-10 19-18 16-0 8-2"
    ),
}  # fmt: skip


def read(text: str, first: int = 0) -> list[tuple[int, int]]:
    """``"2-1 3-2"`` as pairs of joints from 0, where the text counts from ``first``."""
    return [(int(a) - first, int(b) - first) for a, b in (pair.split("-") for pair in text.split())]


STAR = [*read(NTU, 1)[:-4], (21, 7), (22, 7), (23, 11), (24, 11)]  # fingers on the hands


def table(V: int, pairs: list[tuple[int, int]]) -> list[int]:
    parent = list(range(V))
    for child, above in pairs:
        parent[child] = above
    return parent


def test_graphs():
    assert edges.NTU_RGB_D == layouts.layout("ntu25").bones == read(NTU, 1)
    assert edges.UCLA == layouts.layout("ucla20").bones == read(UCLA, 1)
    assert edges.OPENPOSE == layouts.layout("coco18").bones == read(OPENPOSE)


def test_parents():
    about_the_spine = [(0, 1), (20, 1), *(bone for bone in STAR if bone not in ((0, 1), (1, 20)))]
    expected = {
        "NTU": table(25, read(NTU, 1)),
        "NTU_HANDS": table(25, STAR),
        "NTU_SKATE": table(25, about_the_spine),
        "NTU_CENTRED": [20] * 25,
        "UCLA": table(20, read(UCLA, 1)),
        "UAV": table(17, read(UAV, 1)),
    }
    for name, parent in expected.items():
        assert getattr(bones, name).tolist() == parent, name
    assert graph_tools.SKELETONS["NTU"] == (25, STAR)


@pytest.mark.parametrize("name", DRAWN)
def test_key_points_are_drawn_and_filled_along(name):
    assert SCHEMES[name].edges == read(DRAWN[name])


def test_what_the_viewer_draws():
    for V, expected in ((25, STAR), (20, read(UCLA, 1)), (18, read(OPENPOSE)), (17, read(DRAWN["coco17"]))):
        told = sides.skeleton(V)
        assert {frozenset(edge) for edge in told.edges} == {frozenset(edge) for edge in expected}
    assert np.flatnonzero(np.equal(sides.skeleton(25).sides, sides.LEFT)).tolist() == [
        4,
        5,
        6,
        7,
        12,
        13,
        14,
        15,
        21,
        22,
    ]
    assert np.flatnonzero(np.equal(sides.skeleton(18).sides, sides.RIGHT)).tolist() == [2, 3, 4, 8, 9, 10, 14, 16]
    assert sides.SPINE == {25: (0, 20), 20: (0, 2)}
    assert {V: (nose, sorted(feet)) for V, (nose, feet) in sides.IN_THE_IMAGE.items()} == {
        17: (0, [15, 16]),
        18: (0, [10, 13]),
    }
