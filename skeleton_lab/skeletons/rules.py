"""What each family of networks needs of a skeleton, by rules that give the published graphs where there are such.

All start from the tree of bones of a ``Layout``.  Where a paper does otherwise than its own rule on another data set,
the layout's ``published`` in ``layouts.yaml`` says so, and these functions return that.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from skeleton_lab.errors import UsageError
from skeleton_lab.skeletons import partition
from skeleton_lab.skeletons.edges import Edges
from skeleton_lab.skeletons.layouts import Layout
from skeleton_lab.skeletons.tree import distances, rerooted

HYPEREDGES = 8  # of the networks with virtual joints, which choose that many neighbours and one joint itself
GROUP, OTHER_GROUPS, WORTH = 4, (3, 5, 6), 2  # joints of a group: four, unless another size costs so much less


def diameter(layout: Layout) -> int:
    """Bones of the longest path."""
    return int(distances(layout.bones, layout.V).max())


def spatial(layout: Layout) -> np.ndarray:
    """(3, V, V) float64: the joint itself, towards the root, away from it (CTR-GCN and the networks after it)."""
    outward = [(parent, child) for child, parent in layout.bones]
    return partition.spatial(layout.V, [(i, i) for i in range(layout.V)], layout.bones, outward)


def scales(layout: Layout) -> tuple[int, int]:
    """Distances that MS-G3D's graph convolutions and its windowed ones see: all up to 13, and up to 6."""
    whole = diameter(layout) + 1
    return tuple(layout.published.get("scales", (min(13, whole), min(6, whole))))


def star(layout: Layout) -> Layout:
    """The skeleton with all fingers on the hands (Hyper-GCN, SkateFormer, PYSKL) where the papers draw it both ways."""
    return layout.variant("star") if "star" in layout.variants else layout


def virtual_joints(V: int) -> int:
    """Hyper-GCN's virtual joints: three, or as many as its networks need to find their neighbours."""
    return max(3, HYPEREDGES + 1 - V)


def directed(layout: Layout) -> tuple[Edges, int]:
    """FreqMixFormer's pairs i -> j, and the power k that it gives plain joints (one above the longest chain: I - 0).

    NTU's pairs lead away from the middle of the spine, and so do those of other skeletons, from ``origin`` or, where
    that is a mean, from ``root``; NW-UCLA's, as published, lead to the root.
    """
    told = layout.published.get("directed")
    if told == "inward":
        return layout.bones, layout.published["power"]
    start = layout.origin[0] if len(layout.origin) == 1 else layout.root
    outward = [(parent, child) for child, parent in rerooted(layout.bones, layout.V, start)]
    return outward, int(distances(layout.bones, layout.V)[start].max()) + 1


def frequency_split(layout: Layout) -> int:
    """The column of FreqMixFormer's maps from which frequencies are high."""
    return layout.published.get("frequency_split", (layout.V + 1) // 2)


def tokens_parent(layout: Layout) -> np.ndarray:
    """(V,) int64 parents for SkateFormer's bones and augmentations: for NTU the star, from the middle of the spine."""
    if "star" not in layout.variants:
        return layout.parent
    table = np.arange(layout.V)
    for child, parent in rerooted(star(layout).bones, layout.V, layout.origin[0]):
        table[child] = parent
    return table


class Partition(NamedTuple):
    """SkateFormer's order of joints, in equal groups that are parts of the body.

    Attributes:
        order: (G * g,) int64 joints; some are there twice to fill their group.
        group: g; groups: G; dropped: joints that are in no group.
    """

    order: np.ndarray
    group: int
    dropped: tuple[int, ...]

    @property
    def groups(self) -> int:
        return len(self.order) // self.group

    def windows(self, people: int) -> tuple[int, int]:
        """Tokens of a near window (types 1 and 3) and of a distant one (types 2 and 4)."""
        return self.group * (2 if self.groups % 2 == 0 else 1), self.groups * people

    @property
    def cost(self) -> int:
        """What it does to the joints: how many are repeated, and twice those left out."""
        return len(self.order) - len(set(self.order.tolist())) + 2 * len(self.dropped)


def groups(layout: Layout) -> Partition:
    """The partition of any skeleton: of four joints a group, unless three, five or six fit better.

    Raises:
        UsageError: the layout has joints that belong to no part, as faces and hands of a whole body.
    """
    loose = set(range(layout.V)) - {*layout.trunk, *layout.face, *(joint for limb in layout.limbs for joint in limb)}
    if loose:
        raise UsageError(
            f"skeleton {layout.name}: {len(loose)} of its joints are in no limb, trunk or face, which a partition into "
            "groups needs; take a skeleton of fewer joints"
        )
    usual = groups_of(layout, GROUP)
    other = min((groups_of(layout, size) for size in OTHER_GROUPS), key=lambda made: made.cost)
    return other if usual.cost - other.cost >= WORTH else usual


def groups_of(layout: Layout, g: int) -> Partition:
    """The partition into groups of ``g`` joints.

    The ends of each limb are a group; shoulders and hips, left and right in turn, follow the trunk unless they fill
    groups of their own; a trunk with one joint too many loses the one that most bones meet in.
    """
    order: list[int] = []
    rest: list[int] = []
    for left, right in zip_longest(layout.limbs[::2], layout.limbs[1::2], fillvalue=()):
        for limb in filter(None, (left, right)):
            order += [*limb[-g:], *[limb[-1]] * (g - len(limb))]
        for two in zip_longest(left[:-g], right[:-g]):
            rest += [joint for joint in two if joint is not None]
    trunk, dropped = list(layout.trunk), []
    if len(trunk) > g and len(trunk) % g == 1:
        ends = [joint for bone in layout.bones for joint in bone]
        dropped = [max(trunk, key=ends.count)]
        trunk.remove(dropped[0])
    parts = [rest, _from_the_middle(trunk)]
    order += [joint for part in (parts if len(rest) % g == 0 else parts[::-1]) for joint in part]
    order += layout.face
    order += [order[-1]] * (-len(order) % g)
    return Partition(np.array(order), g, tuple(dropped))


def _from_the_middle(joints: list[int]) -> list[int]:
    """The lower of the two in the middle, the upper, the next below, the next above ..."""
    low = (len(joints) + 1) // 2
    pairs = zip_longest(reversed(joints[:low]), joints[low:])
    return [joint for two in pairs for joint in two if joint is not None]
