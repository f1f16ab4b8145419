"""The rules that give every network its graph: tables made by hand, and the graphs that the papers published."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab import registry
from skeleton_lab.errors import UsageError
from skeleton_lab.skeletons import layouts, rules, tree

KNOWN = layouts.known()

# name: longest path, its middle, joints of a group, order in groups, left out
TABLE = {
    "ntu25": (12, {20}, 4, "6 7 21 22/10 11 23 24/12 13 14 15/16 17 18 19/4 8 5 9/1 2 0 3", (20,)),
    "ucla20": (10, {1}, 4, "4 5 6 7/8 9 10 11/12 13 14 15/16 17 18 19/1 2 0 3", ()),
    "coco17": (8, {0}, 3, "5 7 9/6 8 10/11 13 15/12 14 16/0 1 2/3 4 4", ()),
    "halpe26": (9, {18, 19}, 4, "5 7 9 9/6 8 10 10/15 20 22 24/16 21 23 25/11 12 13 14/18 17 19 0/1 2 3 4", ()),
    "body25": (10, {8}, 4, "5 6 7 7/2 3 4 4/14 19 20 21/11 22 23 24/12 9 13 10/1 0 8 16/15 18 17 17", ()),
    "coco18": (8, {1}, 3, "5 6 7/2 3 4/11 12 13/8 9 10/1 0 15/14 17 16", ()),
    "mediapipe33": (
        12, {0}, 3,
        "17 19 21/18 20 22/27 29 31/28 30 32/0 11 12/13 14 15/16 23 24/25 26 1/4 2 5/3 6 7/8 9 10", (),
    ),
    "h36m17": (8, {7}, 3, "11 12 13/14 15 16/4 5 6/1 2 3/8 9 7/10 0 0", ()),
    "mpi28": (15, {0, 2}, 4, "9 10 11 12/14 15 16 17/19 20 21 22/24 25 26 27/8 13 18 23/0 1 2 5/3 6 4 7", ()),
    "mpi17": (8, {15}, 3, "5 6 7/2 3 4/11 12 13/8 9 10/1 16 15/0 14 14", ()),
    "smpl24": (12, {6}, 4, "16 18 20 22/17 19 21 23/1 4 7 10/2 5 8 11/6 9 3 12/0 15 13 14", ()),
    "smpl22": (11, {3, 6}, 4, "13 16 18 20/14 17 19 21/1 4 7 10/2 5 8 11/6 9 3 12/0 15 15 15", ()),
    "k4a32": (
        12, {2}, 4, "7 8 9 10/14 15 16 17/18 19 20 21/22 23 24 25/2 3 1 26/0 27 4 11/5 12 6 13/28 30 29 31", (),
    ),
    "hand21": (8, {0}, 3, "2 3 4/6 7 8/10 11 12/14 15 16/18 19 20/0 1 5/9 13 17", ()),
    "hand22": (9, {0, 1}, 4, "2 3 4 5/6 7 8 9/10 11 12 13/14 15 16 17/18 19 20 21/0 1 1 1", ()),
    "lcrnet13": (8, {12}, 3, "11 9 7/10 8 6/5 3 1/4 2 0/12 12 12", ()),
    "crowdpose14": (8, {13}, 3, "0 2 4/1 3 5/6 8 10/7 9 11/13 12 12", ()),
    "posetrack17": (8, {1}, 3, "5 7 9/6 8 10/11 13 15/12 14 16/0 2 1/3 4 4", ()),
    "posetrack15": (8, {12}, 3, "9 10 11/8 7 6/3 4 5/2 1 0/13 14 12", ()),
    "mpii16": (8, {7}, 3, "13 14 15/12 11 10/3 4 5/2 1 0/7 9 6", (8,)),
    "panoptic19": (7, {0, 2}, 3, "3 4 5/9 10 11/6 7 8/12 13 14/0 1 2/15 17 16/18 18 18", ()),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_middles_and_groups(name):
    longest, middle, group, order, dropped = TABLE[name]
    layout, made = KNOWN[name], rules.groups(KNOWN[name])
    assert rules.diameter(layout) == longest
    assert set(tree.middles(layout.bones, layout.V)) == middle
    assert made.group == group and made.dropped == dropped
    assert ["/".join(" ".join(map(str, part)) for part in made.order.reshape(-1, group))] == [order]
    for people in (1, 2):
        tokens = len(made.order) * people
        assert [tokens % width for width in made.windows(people)] == [0, 0]


@pytest.mark.parametrize("name", [*TABLE, "wholebody133", "smplh52"])
def test_distances_are_those_of_powers_of_the_matrix(name):
    layout = KNOWN[name]
    link = np.eye(layout.V)
    for child, parent in layout.bones:
        link[child, parent] = link[parent, child] = 1
    found = tree.distances(layout.bones, layout.V)
    within = np.eye(layout.V)
    for hops in range(rules.diameter(layout) + 1):
        np.testing.assert_array_equal(found <= hops, within > 0)
        within = np.minimum(within @ link, 1)


def test_published_centres_follow_from_the_rule():
    for name in ("coco18", "ntu25", "coco17", "hand21"):
        layout = KNOWN[name]
        assert tree.centre(layout.bones, layout.V, layout.root) == layout.centre, name
    smpl = KNOWN["smpl22"]
    assert tree.centre(smpl.bones, smpl.V, smpl.root) == 3  # of 3 and 6, both in the middle, nearer to the pelvis


def test_a_tree_takes_another_root():
    edges = tree.rerooted([(0, 1), (1, 2), (3, 2)], 4, 0)
    assert edges == [(1, 0), (2, 1), (3, 2)]


@pytest.mark.parametrize("name, module", [("ntu25", "ntu_rgb_d"), ("ucla20", "ucla")])
class TestPublishedGraphs:
    def test_three_subsets(self, name, module):
        published = registry.load("CTR-GCN", f"graph.{module}.Graph")()
        np.testing.assert_array_equal(rules.spatial(KNOWN[name]), published.A)

    def test_virtual_joints(self, name, module):
        published = registry.load("Hyper-GCN", f"graph.{module}.Graph")(3, "virtual_ensemble")
        assert rules.star(KNOWN[name]).bones == published.inward
        assert rules.virtual_joints(published.num_node) == 3

    def test_directed_pairs(self, name, module):
        published = registry.load("FreqMixFormer", f"graph.{module}.Graph")()
        pairs, power = rules.directed(KNOWN[name])
        assert sorted(pairs) == sorted(published.pairs) and power == published.vector_power
        assert rules.frequency_split(KNOWN[name]) == 13

    def test_windows(self, name, module):
        people, widths = {"ntu25": (2, (8, 12)), "ucla20": (1, (4, 5))}[name]
        assert rules.groups(KNOWN[name]).windows(people) == widths


def test_scales_are_the_published_ones():
    assert rules.scales(KNOWN["ntu25"]) == (13, 6)
    assert rules.scales(KNOWN["coco18"]) == (8, 8)  # published for Kinetics; the rule would say 9 and 6
    assert rules.scales(KNOWN["panoptic19"]) == (8, 6)
    assert rules.scales(KNOWN["mpi28"]) == (13, 6)


def test_directed_pairs_of_other_skeletons_lead_away_from_the_origin():
    human = KNOWN["h36m17"]
    pairs, power = rules.directed(human)
    assert human.origin == (0,) and {parent for parent, _ in pairs if parent == 0} == {0}
    assert sorted(child for _, child in pairs) == list(range(1, 17))
    assert power == 6  # pelvis, spine, thorax, shoulder, elbow, wrist: five bones
    E = np.zeros((17, 17))
    for i, j in pairs:
        E[j, i] = 1
    assert np.linalg.matrix_power(E, power - 1).any() and not np.linalg.matrix_power(E, power).any()
    assert rules.frequency_split(human) == 9


def test_small_skeletons_get_more_virtual_joints():
    assert rules.virtual_joints(5) == 4 and rules.virtual_joints(13) == 3


def test_a_whole_body_has_no_groups():
    with pytest.raises(UsageError, match="wholebody133: 116 of its joints are in no limb, trunk or face"):
        rules.groups(KNOWN["wholebody133"])
