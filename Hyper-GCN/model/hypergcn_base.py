"""Hyper-GCN, base: stages of 128, 256 and 256 channels."""

from __future__ import annotations

from typing import Any

from model.hypergcn import HyperGCN


class Model(HyperGCN):
    """``model.hypergcn_base.Model`` with the published arguments; see ``HyperGCN``."""

    def __init__(
        self, num_class: int = 60, num_point: int = 25, num_person: int = 2, graph: str | None = None,
        graph_args: dict[str, Any] | None = None, in_channels: int = 3, hyper_joints: int = 0, drop_out: float = 0,
    ):  # fmt: skip
        widths = (128, 256, 256)
        super().__init__(
            widths, num_class, num_point, num_person, graph, graph_args or {}, in_channels, hyper_joints, drop_out
        )
