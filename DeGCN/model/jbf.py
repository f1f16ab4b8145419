"""DeGCN's joint-bone fusion: trunks for joints and bones whose first blocks are added up, then two trunks and heads.

Notation and layers as in ``degcn.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.degcn import Network, classifier, trunk
from skeleton_lab.nn.backbone import TenBlocks

TRUNKS = 2
TOGETHER = 3  # the first block behind the sum


def parents(A: np.ndarray) -> Tensor:
    """(V,) the parent of every joint in a graph (3, V, V), whose second subset leads to it; of a root the root."""
    inward = torch.from_numpy(np.asarray(A[1]))
    return inward.argmax(0).where(inward.any(0), torch.arange(len(inward)))


class Model(Network):
    """``model.jbf.Model`` with the published arguments: joints (N, C, T, V, M) -> list of two logits (N, num_class).

    The bones are made of the joints here: ``x[v] - x[parent of v]``, along the graph.  Arguments and errors as of
    ``model.degcn.Model``; ``num_stream`` has no effect.
    """

    def __init__(
        self, num_class: int = 60, num_point: int = 25, num_person: int = 2, k: int = 8, eta: int = 4,
        num_stream: int = 2, graph: str | None = None, graph_args: dict[str, Any] | None = None, in_channels: int = 3,
        drop_out: float = 0,
    ):  # fmt: skip
        super().__init__()
        self.graph = TenBlocks.build_graph(graph, graph_args)
        self.num_point = num_point
        A = torch.tensor(self.graph.A, dtype=torch.float32)
        self.register_buffer("parents", parents(self.graph.A), persistent=False)
        self.data_bn = nn.BatchNorm1d(num_person * num_point * 2 * in_channels)
        self.bn_mid = nn.BatchNorm2d(64)
        self.streams1 = nn.ModuleList(trunk(range(TOGETHER), in_channels, eta, A) for _ in range(TRUNKS))
        self.streams2 = nn.ModuleList(trunk(range(TOGETHER, 10), in_channels, eta, A) for _ in range(TRUNKS))
        self.fc = nn.ModuleList(classifier(num_class) for _ in range(TRUNKS))
        self.drop_out = nn.Dropout(drop_out) if drop_out else nn.Identity()

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.take(x)
        people = x.shape[-1]
        joints, bones = self.normed(torch.cat([x, x - x[..., self.parents, :]], 1)).chunk(2, 1)
        x = self.bn_mid(self.streams1[0](joints) + self.streams1[1](bones))
        return [self.head(s, stream(x), people) for s, stream in enumerate(self.streams2)]
