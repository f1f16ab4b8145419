"""ST-GCN++: ST-GCN with a free adjacency, a residual in the graph unit and a temporal unit of several branches.

Duan et al., "PYSKL: Towards Good Practices for Skeleton Action Recognition", ACM MM 2022, section 3.2.  Without keyword
arguments the constructor makes the paper's ST-GCN.  Notation as in ``blocks.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from graph.pyskl import Graph
from torch import Tensor, nn

from model import blocks
from model.blocks import MSTCN, Head, UnitTCN, bodies_of, data_norm, known, stages, units_options

GCN = ("type", "adaptive", "conv_pos", "with_res", "norm", "act")
TCN = ("type", "kernel_size", "dilation", "norm", "mid_channels", "ms_cfg", "act", "dropout")


class UnitGCN(nn.Module):
    """relu(bn(y) + residual) with y[w] = sum_k sum_v (W_k x)[v] A_k[v, w]: (B, C, T, V) -> (B, O, T, V).

    Args:
        A: (K, V, V), row = source.
        adaptive: 'init': A is learned; 'offset': A + PA; 'importance': A * PA; None: A.
        conv_pos: 'pre': W_k x, then A_k; 'post': A_k, then W over the K * C mixed channels.
        with_res: whether x (projected where channels differ) is added.
    """

    def __init__(
        self, in_channels: int, out_channels: int, A: Tensor, adaptive: str | None = "importance",
        conv_pos: str = "pre", with_res: bool = False, norm: str = "BN", act: str = "ReLU",
    ):  # fmt: skip
        super().__init__()
        self.adaptive = known("gcn_adaptive", adaptive, "init", "offset", "importance", None)
        self.conv_pos = known("gcn_conv_pos", conv_pos, "pre", "post")
        known("gcn_norm", norm, "BN")
        known("gcn_act", act, "ReLU")
        if adaptive == "init":
            self.A = nn.Parameter(A.clone())
        elif adaptive == "offset":
            self.PA = nn.Parameter(torch.empty_like(A).uniform_(-1e-6, 1e-6))
        elif adaptive == "importance":
            self.PA = nn.Parameter(torch.ones_like(A))
        if adaptive != "init":
            self.register_buffer("A", A.clone())
        K = len(A)
        self.bn = nn.BatchNorm2d(out_channels)
        sizes = (in_channels, K * out_channels) if conv_pos == "pre" else (K * in_channels, out_channels)
        self.conv = nn.Conv2d(*sizes, 1)
        self.down = blocks.projection(in_channels, out_channels) if with_res else None

    def adjacency(self) -> Tensor:
        """(K, V, V), what x is multiplied with."""
        if self.adaptive == "offset":
            return self.A + self.PA
        return self.A * self.PA if self.adaptive == "importance" else self.A

    def forward(self, x: Tensor) -> Tensor:
        A = self.adjacency()
        if self.conv_pos == "pre":
            z = self.conv(x).unflatten(1, (len(A), -1))  # (B, K, O, T, V), channel k*O + o
            y = torch.einsum("bkotv,kvw->botw", z, A)
        else:
            y = self.conv(torch.einsum("bctv,kvw->bkctw", x, A).flatten(1, 2))
        y = self.bn(y)
        return torch.relu(y if self.down is None else y + self.down(x))


class Block(nn.Module):
    """relu(tcn(gcn(x)) + residual(x)): (B, C, T, V) -> (B, O, ceil(T / stride), V)."""

    def __init__(
        self, in_channels: int, out_channels: int, A: Tensor, stride: int = 1, residual: bool = True, **options: Any
    ):
        super().__init__()
        given = units_options(options, gcn=GCN, tcn=TCN)
        gcn, tcn = given["gcn"], given["tcn"]
        known("gcn_type", gcn.pop("type", "unit_gcn"), "unit_gcn")
        kind = known("tcn_type", tcn.pop("type", "unit_tcn"), "unit_tcn", "mstcn")
        self.gcn = UnitGCN(in_channels, out_channels, A, **gcn)
        self.tcn = {"unit_tcn": UnitTCN, "mstcn": MSTCN}[kind](out_channels, out_channels, stride=stride, **tcn)
        self.residual = blocks.residual(in_channels, out_channels, stride, residual)

    def forward(self, x: Tensor) -> Tensor:
        y = self.tcn(self.gcn(x))
        return torch.relu(y if self.residual is None else y + self.residual(x))


class Backbone(nn.Module):
    """Input norm and blocks: (N, M, T, V, C) -> features (N, M, C', T', V)."""

    def __init__(
        self, graph_cfg: dict[str, Any], in_channels: int, base_channels: int, data_bn_type: str | None,
        ch_ratio: float, num_person: int, num_stages: int, inflate_stages: Sequence[int], down_stages: Sequence[int],
        options: dict[str, Any],
    ):  # fmt: skip
        super().__init__()
        self.graph = Graph(**graph_cfg)
        A = torch.tensor(self.graph.A, dtype=torch.float32)
        self.data_bn = data_norm(data_bn_type, num_person, A.shape[1], in_channels)

        def block(before: int, width: int, **own: Any) -> Block:
            return Block(before, width, A, **own)

        self.gcn, self.width = stages(
            block, in_channels, base_channels, ch_ratio, num_stages, inflate_stages, down_stages, options
        )

    def forward(self, x: Tensor) -> Tensor:
        N, M = x.shape[:2]
        x = bodies_of(x, self.data_bn).permute(0, 2, 3, 1)  # (B, C, T, V)
        for block in self.gcn:
            x = block(x)
        return x.unflatten(0, (N, M))


class Model(nn.Module):
    """Clips (N, M, T, V, C) to logits (N, num_classes).

    Args:
        graph_cfg: arguments of ``graph.pyskl.Graph``.
        data_bn_type: input norm: 'VC' shared by the persons, 'MVC' one of each of ``num_person``, else none.
        base_channels, ch_ratio, num_stages, inflate_stages, down_stages: see ``blocks.stages``.
        dropout, init_std: of the classifier.
        pretrained: taken for published configurations; weights are loaded with --weights.
        options: ``gcn_*`` of every ``UnitGCN``, ``tcn_*`` of every temporal unit ('tcn_type': 'unit_tcn' or 'mstcn').
    """

    axes = "MTVC"  # of a clip

    def __init__(
        self, graph_cfg: dict[str, Any], num_classes: int = 60, in_channels: int = 3, base_channels: int = 64,
        data_bn_type: str | None = "VC", ch_ratio: float = 2, num_person: int = 2, num_stages: int = 10,
        inflate_stages: Sequence[int] = (5, 8), down_stages: Sequence[int] = (5, 8), pretrained: str | None = None,
        dropout: float = 0.0, init_std: float = 0.01, **options: Any,
    ):  # fmt: skip
        super().__init__()
        self.backbone = Backbone(
            graph_cfg, in_channels, base_channels, data_bn_type, ch_ratio, num_person, num_stages, inflate_stages,
            down_stages, options,
        )  # fmt: skip
        self.cls_head = Head(num_classes, self.backbone.width, dropout, init_std)

    def forward(self, x: Tensor) -> Tensor:
        return self.cls_head(self.backbone(x))
