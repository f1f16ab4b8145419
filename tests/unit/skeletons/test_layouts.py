"""The registry of skeletons: its data make sense, the published tables follow from it, wrong names are one line."""

from __future__ import annotations

import numpy as np
import pytest

from skeleton_lab.errors import UsageError
from skeleton_lab.skeletons import bones, layouts

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


def test_published_bone_tables_follow():
    assert (layouts.layout("ntu25").parent == bones.NTU).all()
    assert (layouts.layout("NW-UCLA").parent == bones.UCLA).all()


def test_names_and_numbers_of_joints():
    assert layouts.layout("COCO").name == "coco17"
    assert layouts.told_by_joints(17) is None  # five skeletons have so many
    assert layouts.told_by_joints(25).name == "ntu25"
    assert layouts.resolve(None, "h36m17", 17, "x.npz").name == "h36m17"
    with pytest.raises(UsageError, match="Did you mean 'coco17'"):
        layouts.layout("coco177")
    with pytest.raises(UsageError, match=r"x.npz: 17 joints do not tell the skeleton \(coco17, .*--skeleton NAME"):
        layouts.resolve(None, None, 17, "x.npz")
    with pytest.raises(UsageError, match=r"x\.npz has 17 joints, and the skeleton ntu25 has 25"):
        layouts.resolve("ntu25", None, 17, "x.npz")
