"""The registry of skeletons: its data make sense, the published tables follow from it, wrong names are one line."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.errors import UsageError
from skeleton_lab.skeletons import layouts

EVERY = list(layouts.known().values())


@pytest.mark.parametrize("each", EVERY, ids=lambda each: each.name)
def test_bones_are_one_tree_and_sides_are_named(each):
    children = [child for child, _ in each.bones]
    assert sorted([*children, each.root]) == list(range(each.V))
    above = each.parent
    for _ in range(each.V):
        above = each.parent[above]
    assert (above == each.root).all()  # every joint leads there
    for left, right in each.pairs:
        assert each.joints[left].replace("left", "right") == each.joints[right]
    named = [i for i, name in enumerate(each.joints) if name.startswith(("left_", "right_"))]
    assert sorted(np.flatnonzero(each.mirror != np.arange(each.V))) == named


def test_parts_of_whole_bodies_keep_names_and_bones():
    parts = [(each, whole) for each in EVERY for whole in each.part_of]
    assert {each.V for each, whole in parts if whole == "wholebody133"} >= {17, 23, 42, 59}
    for each, name in parts:
        whole, taken = layouts.layout(name), each.part_of[name]
        assert [whole.joints[k] for k in taken] == list(each.joints)
        there = {frozenset((taken[a], taken[b])) for a, b in each.bones}
        assert len(there - {frozenset(bone) for bone in whole.bones}) <= {"hands42": 1}.get(each.name, 4)
    body = layouts.layout("wholebody59")
    assert body.joints[17] == "left_hand_wrist" and (17, 9) in body.bones and (9, 10) in body.pairs
    assert sorted([*body.trunk, *body.face, *(k for limb in body.limbs for k in limb)]) == list(range(59))
    for name, fingers in (("wholebody59", 10), ("hands42", 10)):
        limbs = layouts.layout(name).limbs
        assert sum(len(limb) == 4 and "hand" in layouts.layout(name).joints[limb[0]] for limb in limbs) == fingers


def test_names_and_numbers_of_joints():
    assert layouts.layout("COCO").name == "coco17"
    assert layouts.told_by_joints(17) is None  # five skeletons have so many
    assert layouts.told_by_joints(25).name == "ntu25"
    with pytest.raises(UsageError, match="Did you mean 'coco17'"):
        layouts.layout("coco177")
