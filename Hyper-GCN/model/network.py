"""Hyper-GCN: hyper-graphs that change with the motion, and virtual joints that take part in them.

Zhou, Xu, Wu, Wu, Kittler: "Adaptive Hyper-Graph Convolution Network for Skeleton-based Human Action Recognition with
Virtual Connections", ICCV 2025.

Notation: N samples, C channels, T frames, V joints, M people, B = N*M bodies, E = 128 embedding channels.
``bodies`` (B,) says how many equal bodies each body stands for (None: one).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from model.hypergraph import HEADS, NEIGHBOURS, HyperGraphConv
from skeleton_lab.errors import UsageError
from skeleton_lab.nn import init
from skeleton_lab.nn.activation_checkpoint import checkpointed
from skeleton_lab.nn.fused.merge_empty import merge_empty
from skeleton_lab.nn.fused.multi_scale_tcn import MultiScaleTemporalConv, UnitTCN
from skeleton_lab.utils.importing import import_class

EMBEDDING = 128
STAGE = 3  # blocks; the second one's input is added to the third one's


class TCN_GCN_unit(nn.Module):
    """A block: relu(tcn1(gcn1(x)) + residual(x)), and the virtual joints (h, C) of ``gcn1``."""

    def __init__(self, in_channels: int, out_channels: int, hyper_joints: int, A: Tensor, stride: int = 1):
        super().__init__()
        self.gcn1 = HyperGraphConv(in_channels, out_channels, hyper_joints, A)
        self.tcn1 = MultiScaleTemporalConv(
            out_channels, out_channels, 5, stride, dilations=(1, 2), residual=False, padding_mode="replicate"
        )
        init.kaiming_fan_out(self.tcn1)
        init.normal_norms(self.tcn1)
        if in_channels != out_channels or stride != 1:
            self.residual = UnitTCN(in_channels, out_channels, 1, stride)
            init.kaiming_fan_out(self.residual)
        else:
            self.residual = nn.Identity()

    def forward(self, x: Tensor, bodies: Tensor | None = None) -> tuple[Tensor, Tensor]:
        g, hyper_joint = self.gcn1(x, bodies)
        y = self.tcn1(g, bodies)
        residual = x if isinstance(self.residual, nn.Identity) else self.residual(x, bodies)
        return torch.relu_(y + residual), hyper_joint


class HyperGCN(nn.Module):
    """(N, C, T, V, M) -> (logits (N, num_class), virtual joints of the nine blocks, (h, C) each).

    Args:
        widths: channels of the three stages.
        graph, graph_args: dotted class name and keyword arguments of the graph, which gets ``hyper_joints`` first.
        hyper_joints: virtual joints h.
        drop_out: probability of the dropout between pooling and ``fc``.

    Attributes:
        activation_checkpointing: in training, keep only the blocks' inputs and compute the rest again in backward.
        merge_empty_bodies: compute the empty bodies of a batch once; the result is the same up to rounding.
    """

    activation_checkpointing: bool = False
    merge_empty_bodies: bool = True

    def __init__(
        self, widths: tuple[int, int, int], num_class: int, num_point: int, num_person: int, graph: str | None,
        graph_args: dict[str, Any], in_channels: int, hyper_joints: int, drop_out: float,
    ):  # fmt: skip
        super().__init__()
        if graph is None:
            raise UsageError("this model needs graph=, a dotted class name such as graph.ntu_rgb_d.Graph")
        self.graph = import_class(graph, "graph")(hyper_joints, **graph_args)
        if self.graph.num_node != num_point:
            raise UsageError(f"num_point is {num_point}, but {graph} has {self.graph.num_node} joints")
        U = num_point + hyper_joints
        if self.graph.A.shape != (HEADS, U, U) or U < NEIGHBOURS:
            raise UsageError(
                f"graph_args: A of {graph} is {self.graph.A.shape}; needed is {(HEADS, U, U)} with at least "
                f"{NEIGHBOURS} vertices; set labeling_mode: virtual_ensemble"
            )
        self.num_class, self.num_point, self.num_person = num_class, num_point, num_person
        self.embedding_channels = EMBEDDING
        A = torch.tensor(self.graph.A, dtype=torch.float32)
        self.pos_embedding = nn.Parameter(torch.randn(1, num_point, EMBEDDING))
        self.data_bn = nn.BatchNorm1d(num_person * EMBEDDING * num_point)
        self.to_joint_embedding = nn.Linear(in_channels, EMBEDDING)
        before, number = EMBEDDING, 1
        for stage, width in enumerate(widths):
            for first in (True, False, False):
                stride = 2 if first and stage > 0 else 1
                self.add_module(f"l{number}", TCN_GCN_unit(before, width, hyper_joints, A, stride))
                before, number = width, number + 1
        self.fc = nn.Linear(before, num_class)
        init.classifier(self.fc)
        self.drop_out = nn.Dropout(drop_out) if drop_out else nn.Identity()

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        N, C, _, V, M = x.shape
        expected = self.to_joint_embedding.in_features, self.num_point, self.num_person
        if expected != (C, V, M):
            raise UsageError(
                f"the input has {C} channels, {V} joints, {M} people; this network was built for {expected[0]}, "
                f"{expected[1]}, {expected[2]} (in_channels, num_point, num_person)"
            )
        merged = merge_empty(x) if self.merge_empty_bodies and N > 1 else None
        x, bodies = self.embedded(x), None
        if merged is not None:
            x, bodies = x[merged.kept], merged.count
        x = self.blocks(x.transpose(1, 2).contiguous().transpose(2, 3), bodies).mean((2, 3))
        if merged is not None:
            x = x[merged.owner]
        logits = self.fc(self.drop_out(x.view(N, M, -1).mean(1)))
        return logits, [getattr(self, f"l{i}").gcn1.hyper_joint for i in range(1, 3 * STAGE + 1)]

    def embedded(self, x: Tensor) -> Tensor:
        """data_bn(tanh(embedding + position)) of every joint: (B, V, E, T)."""
        N, C, T, V, M = x.shape
        x = x.permute(0, 4, 3, 1, 2).reshape(N * M, V, C, T)
        offset = self.to_joint_embedding.bias + self.pos_embedding[0]  # (V, E)
        e = torch.tanh(self.to_joint_embedding.weight @ x + offset[..., None])
        return self.data_bn(e.view(N, M * V * EMBEDDING, T)).view(N * M, V, EMBEDDING, T)

    def blocks(self, x: Tensor, bodies: Tensor | None) -> Tensor:
        for first in (1, 1 + STAGE, 1 + 2 * STAGE):
            skip = self.block(first, x, bodies)
            x = self.block(first + 1, skip, bodies)
            x = self.block(first + 2, x + skip, bodies)
        return x

    def block(self, number: int, x: Tensor, bodies: Tensor | None) -> Tensor:
        block = getattr(self, f"l{number}")
        checkpointing = self.activation_checkpointing and self.training and torch.is_grad_enabled()
        return (checkpointed(block, x, bodies) if checkpointing else block(x, bodies))[0]
