"""The graph of CTR-GCN, and of networks that read it the same way, for any skeleton of the registry or one's own."""

from __future__ import annotations

from skeleton_lab.skeletons.layouts import layout
from skeleton_lab.skeletons.partition import SpatialGraph


class AnySpatialGraph(SpatialGraph):
    """The three subsets of a skeleton's tree of bones, which point as the registry has them.

    Args:
        skeleton: its name, or a YAML file.
        labeling_mode, scale: as of the published graphs; ``scale`` has no effect.

    Raises:
        UsageError: no such skeleton.
    """

    def __init__(self, skeleton: str = "ntu25", labeling_mode: str = "spatial", scale: int = 1):
        found = layout(skeleton)
        self.num_node, self.inward = found.V, found.bones
        super().__init__(labeling_mode)
