"""Skeleton graphs against their definition, entry by entry."""

from __future__ import annotations

import numpy as np
import pytest
from places import PARITY

from skeleton_lab import registry


@pytest.fixture(params=[("graph.ntu_rgb_d.Graph", 25, 21), ("graph.ucla.Graph", 20, 3)], ids=["ntu", "ucla"])
def case(request):
    name, joints, root = request.param
    return registry.load("CTR-GCN", name)(labeling_mode="spatial"), joints, root - 1


def test_every_joint_reaches_the_root(case):
    graph, joints, root = case
    parent = dict(graph.inward)
    assert graph.num_node == joints and set(parent) == set(range(joints)) - {root}
    for joint in range(joints):
        steps = 0
        while joint != root:
            joint, steps = parent[joint], steps + 1
            assert steps < joints, "the bones make a circle"


def test_matrices_follow_their_definition(case):
    graph, joints, _ = case
    A = graph.A
    assert A.shape == (3, joints, joints) and A.dtype == np.float64
    children = [parent for _, parent in graph.inward]
    expected = np.zeros_like(A)
    for joint in range(joints):
        expected[0, joint, joint] = 1
    for child, parent in graph.inward:
        expected[1, parent, child] = 1
        expected[2, child, parent] = 1 / children.count(parent)
    np.testing.assert_array_equal(A, expected)


def test_lists_of_pairs(case):
    graph, joints, _ = case
    assert graph.self_link == [(i, i) for i in range(joints)]
    assert graph.outward == [(b, a) for a, b in graph.inward]
    assert graph.neighbor == graph.inward + graph.outward


def test_stored_matrices_and_unknown_mode(case):
    graph, *_ = case
    assert graph.get_adjacency_matrix(None) is graph.A
    with pytest.raises(ValueError, match="uniform"):
        graph.get_adjacency_matrix("uniform")


def test_ntu_matches_the_published_matrices():
    A = registry.load("CTR-GCN", "graph.ntu_rgb_d.Graph")().A
    with np.load(PARITY / "ctrgcn.npz") as fixture:
        np.testing.assert_allclose(A, fixture["A/graph.A"], atol=1e-6)


def test_ucla_accepts_the_published_scale():
    Graph = registry.load("CTR-GCN", "graph.ucla.Graph")
    np.testing.assert_array_equal(Graph(scale=2).A, Graph().A)
