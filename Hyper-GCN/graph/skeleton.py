"""Any skeleton with virtual joints; NTU's fingers all hang on the hands, as published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graph.virtual import VirtualGraph
from skeleton_lab.skeletons import rules
from skeleton_lab.skeletons.layouts import Layout, layout


class Graph(VirtualGraph):
    """``graph.skeleton.Graph`` with ``graph_args: {skeleton: coco17, labeling_mode: virtual_ensemble}``.

    Args:
        hyper_joints, labeling_mode: see ``VirtualGraph``; scale: no effect.
        skeleton: its name, or a YAML file.

    Raises:
        UsageError: no such skeleton, or what ``VirtualGraph`` raises.
    """

    def __init__(
        self, hyper_joints: int = 0, labeling_mode: str = "spatial", skeleton: str = "ntu25", scale: float = 1
    ):
        found = rules.star(layout(skeleton))
        self.num_node, self.inward = found.V, found.bones
        super().__init__(hyper_joints, labeling_mode)


def model_args(skeleton: Layout, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a network for this skeleton, besides those that all rooms have: enough virtual joints."""
    h = given.get("hyper_joints", 0)
    return {} if skeleton.V + h >= rules.HYPEREDGES + 1 else {"hyper_joints": rules.virtual_joints(skeleton.V)}
