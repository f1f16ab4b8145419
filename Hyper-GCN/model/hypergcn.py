"""Hyper-GCN: hyper-graphs that change with the motion, and virtual joints that take part in them.

Zhou, Xu, Wu, Wu, Kittler: "Adaptive Hyper-Graph Convolution Network for Skeleton-based Human Action Recognition with
Virtual Connections", ICCV 2025.

Notation: N samples, C channels, T frames, V joints, M people, B = N*M bodies; h virtual joints, U = V + h vertices;
K = 8 heads, E = 128 embedding channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from skeleton_lab.errors import UsageError
from skeleton_lab.nn import init
from skeleton_lab.nn.backbone import Block
from skeleton_lab.nn.layers import MultiScaleTemporalConv
from skeleton_lab.utils.importing import import_class

HEADS = 8
NEIGHBOURS = 9  # vertices of a hyper-edge
EMBEDDING = 128
STAGE = 3  # blocks; the second one's input is added to the third one's
EPS = 1e-8


def neighbours(D: Tensor) -> tuple[Tensor, Tensor]:
    """The nine smallest entries of each row of D (..., U, U) and where they are, (..., U, 9).

    Of equally near vertices the first counts: where features have died, whole rows are equal, and ``topk`` would choose
    otherwise on every device and in every exported file.
    """
    nearest, place = D.sort(stable=True)
    return nearest[..., :NEIGHBOURS], place[..., :NEIGHBOURS]


def hyperedges(D: Tensor) -> Tensor:
    """H (..., U, U): row i weighs the nine vertices nearest to i by a softmax of minus their distances D."""
    nearest, place = neighbours(D)
    return torch.zeros_like(D).scatter(-1, place, (-nearest).softmax(-1))


def normalised_rows(P: Tensor) -> Tensor:
    """Rows divided by the sum of their absolute values."""
    return P / (P.abs().sum(-1, keepdim=True) + EPS)


def hypergraph(H: Tensor, W: Tensor, V: int) -> Tensor:
    """G = diag(1/r) H diag(W) diag(W/q) H^T for the first V rows, q and r the sums of |H| over columns and of |H W|.

    Args:
        H: (B, K, U, U).
        W: (B, K, U), weights of the hyper-edges.

    Returns:
        (B, K, V, U).
    """
    q = H.sum(-2) + EPS
    real = H[..., :V, :]
    r = (real * W.abs()[..., None, :]).sum(-1, keepdim=True) + EPS
    return (real * (W.square() / q)[..., None, :]) @ H.transpose(-1, -2) / r


class HyperGraphConv(nn.Module):
    """Joints that move alike are tied together, head by head: (B, C, T, V) -> relu(bn(y) + down(x)), (B, O, T, V)::

    s = mean over frames of x and the virtual joints
    H = hyper-edges by the distances of to_V(s),  W = to_W(s)
    R = normalised learned links + relu(alpha) * hypergraph(H, W)
    y[u] = sum_v R[u, v] conv_d(x and virtual joints)[v]
    """

    def __init__(self, in_channels: int, out_channels: int, virtual_num: int, A: Tensor):
        super().__init__()
        relation = in_channels // HEADS // 4
        self.hyper_joint = nn.Parameter(torch.randn(1, in_channels).repeat(virtual_num, 1))
        self.alpha = nn.Parameter(torch.ones(1))
        self.PA = nn.Parameter(A.clone(), requires_grad=False)
        self.edge_importance = nn.Parameter(torch.ones_like(A))
        self.to_V = nn.Conv1d(in_channels, HEADS * relation, 1, groups=HEADS)
        self.to_W = nn.Sequential(
            nn.Conv1d(in_channels, HEADS * relation, 1, groups=HEADS),
            nn.LeakyReLU(),
            nn.Conv1d(HEADS * relation, HEADS, 1),
            nn.Tanh(),
        )
        self.conv_d = nn.Conv2d(in_channels, out_channels, 1, groups=HEADS)
        if in_channels != out_channels:
            self.down = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))
        else:
            self.down = nn.Identity()
        self.bn = nn.BatchNorm2d(out_channels)
        init.kaiming_fan_out(self, (nn.Conv1d, nn.Conv2d))
        nn.init.constant_(self.bn.weight, 1e-6)

    def forward(self, x: Tensor) -> Tensor:
        B, _, T, V = x.shape
        joints = torch.cat([x, self.hyper_joint.t()[:, None].expand(B, -1, T, -1)], 3)  # (B, C, T, U)
        H, W = self.incidence(x.mean(2))
        R = normalised_rows(self.PA * self.edge_importance)[:, :V] + self.alpha.relu() * hypergraph(H, W, V)
        z = self.conv_d(joints)  # (B, O, T, U)
        R = R.repeat_interleave(z.shape[1] // HEADS, 1)  # each channel has its head's, (B, O, V, U)
        y = z @ R.transpose(2, 3)
        return torch.relu(self.bn(y) + self.down(x))

    def incidence(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """From the joints' means over frames (B, C, V): H (B, K, U, U) and the weights of the hyper-edges (B, K, U).

        The distances are taken by direct differences: a product would leave noise on small ones.
        """
        s = torch.cat([pooled, self.hyper_joint.t().expand(pooled.shape[0], -1, -1)], 2)
        a = self.to_V(s).unflatten(1, (HEADS, -1)).transpose(2, 3)  # (B, K, U, C/4K)
        D = torch.cdist(a, a, compute_mode="donot_use_mm_for_euclid_dist")
        return hyperedges(D), self.to_W(s)


class Unit(Block):
    """relu(tcn1(gcn1(x)) + residual(x))."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, hyper_joints: int, A: Tensor):
        gcn1 = HyperGraphConv(in_channels, out_channels, hyper_joints, A)
        tcn1 = MultiScaleTemporalConv(
            out_channels, out_channels, 5, stride, dilations=(1, 2), residual=False, padding_mode="replicate"
        )
        init.kaiming_fan_out(tcn1)
        init.normal_norms(tcn1)
        super().__init__(gcn1, tcn1, in_channels, out_channels, stride, residual=True)


class HyperGCN(nn.Module):
    """(N, C, T, V, M) -> (logits (N, num_class), virtual joints of the nine blocks, (h, C) each).

    Args:
        widths: channels of the three stages.
        graph, graph_args: dotted class name and keyword arguments of the graph, which gets ``hyper_joints`` first.
        hyper_joints: virtual joints h.
        drop_out: probability of the dropout between pooling and ``fc``.

    Raises:
        UsageError (a ValueError): graph, joints or people do not fit each other.
    """

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
                self.add_module(f"l{number}", Unit(before, width, stride, hyper_joints, A))
                before, number = width, number + 1
        self.fc = nn.Linear(before, num_class)
        init.classifier(self.fc)
        self.drop_out = nn.Dropout(drop_out) if drop_out else nn.Identity()

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        N, _, _, _, M = x.shape
        self.check(x)
        pooled = self.blocks(self.embedded(x)).mean((2, 3))
        return self.fc(self.drop_out(pooled.view(N, M, -1).mean(1))), self.virtual_joints()

    def check(self, x: Tensor) -> None:
        """UsageError unless x is (N, in_channels, T, num_point, num_person)."""
        _, C, _, V, M = x.shape
        expected = self.to_joint_embedding.in_features, self.num_point, self.num_person
        if expected != (C, V, M):
            raise UsageError(
                f"the input has {C} channels, {V} joints, {M} people; this network was built for {expected[0]}, "
                f"{expected[1]}, {expected[2]} (in_channels, num_point, num_person)"
            )

    def embedded(self, x: Tensor) -> Tensor:
        """data_bn(tanh(embedding + position)) of every joint: (N, C, T, V, M) -> (B, E, T, V)."""
        N, _, T, V, M = x.shape
        e = torch.tanh(self.to_joint_embedding(x.permute(0, 4, 2, 3, 1)) + self.pos_embedding)  # (N, M, T, V, E)
        e = self.data_bn(e.permute(0, 1, 3, 4, 2).reshape(N, M * V * EMBEDDING, T))
        return e.view(N * M, V, EMBEDDING, T).permute(0, 2, 3, 1)

    def blocks(self, x: Tensor) -> Tensor:
        for first in (1, 1 + STAGE, 1 + 2 * STAGE):
            one, two, three = (getattr(self, f"l{first + i}") for i in range(STAGE))
            skip = one(x)
            x = three(two(skip) + skip)
        return x

    def virtual_joints(self) -> list[Tensor]:
        """Those of the nine blocks, (h, C) each; the training program keeps them apart."""
        return [getattr(self, f"l{i}").gcn1.hyper_joint for i in range(1, 3 * STAGE + 1)]
