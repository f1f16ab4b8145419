"""ProtoGCN: a topology per channel and body, described by prototypes so that similar actions are told apart.

Liu et al., "Revealing Key Details to See Differences: A Novel Prototypical Perspective for Skeleton-based Action
Recognition", CVPR 2025.  Notation as in ``blocks.py``; R channels of the relation between two joints, W = K*R.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from graph.pyskl import Graph
from torch import Tensor, nn

from model import blocks
from model.blocks import MSTCN, bodies_of, data_norm, known, stages, unit, units_options

GCN = ("ratio", "intra_act", "inter_act", "norm", "act")
TCN = ("ms_cfg", "mid_channels", "num_joints", "dropout", "norm", "act")
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid,
    "softmax": lambda s: s.softmax(-2),  # over the source joints
}  # fmt: skip


class UnitGCN(nn.Module):
    """Graph unit with motion topology enhancement (section 3.2): (B, C, T, V) -> (B, O, T, V), and the topology.

    With p = pre(x), a = mean_T conv1(x), c = mean_T conv2(x), all of K*R channels::

        inter[k, r, v, w] = alpha tanh(a[k, r, v] - c[k, r, w])
        intra[k, v, w] = beta softmax_v(sum_r a[k, r, v] c[k, r, w])
        y[k, r, w] = sum_v p[k, r, v] (A[k] + inter[k, r] + intra[k])[v, w]

    and the topology (B, K*R, V, V) is inter + intra.  Of ``alpha`` and ``beta`` (K,) the first entry counts.
    """

    def __init__(
        self, in_channels: int, out_channels: int, A: Tensor, ratio: float = 0.125, intra_act: str = "softmax",
        inter_act: str = "tanh", norm: str = "BN", act: str = "ReLU",
    ):  # fmt: skip
        super().__init__()
        self.intra_act = known("gcn_intra_act", intra_act, *ACTIVATIONS)
        self.inter_act = known("gcn_inter_act", inter_act, *ACTIVATIONS)
        known("gcn_norm", norm, "BN")
        known("gcn_act", act, "ReLU")
        K, inner = len(A), len(A) * int(ratio * out_channels)
        self.A = nn.Parameter(A.clone())
        self.alpha = nn.Parameter(torch.zeros(K))
        self.beta = nn.Parameter(torch.zeros(K))
        self.pre = nn.Sequential(nn.Conv2d(in_channels, inner, 1), nn.BatchNorm2d(inner), nn.ReLU())
        self.post = nn.Conv2d(inner, out_channels, 1)
        self.conv1 = nn.Conv2d(in_channels, inner, 1)
        self.conv2 = nn.Conv2d(in_channels, inner, 1)
        self.down = blocks.projection(in_channels, out_channels)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        K = len(self.A)
        p, a, c = (t.unflatten(1, (K, -1)) for t in (self.pre(x), self.conv1(x).mean(2), self.conv2(x).mean(2)))
        inter = self.alpha[0] * ACTIVATIONS[self.inter_act](a.unsqueeze(-1) - c.unsqueeze(-2))  # (B, K, R, V, V)
        intra = self.beta[0] * ACTIVATIONS[self.intra_act](torch.einsum("bkrv,bkrw->bkvw", a, c))
        topology = inter + intra.unsqueeze(2)
        y = torch.einsum("bkrtv,bkrvw->bkrtw", p, self.A.unsqueeze(1) + topology).flatten(1, 2)
        return torch.relu(self.bn(self.post(y)) + self.down(x)), topology.flatten(1, 2)


class GlobalMSTCN(MSTCN):
    """The branches over V joints and one more, their mean, which every joint v gets ``add_coeff[v]`` times."""

    def __init__(self, in_channels: int, out_channels: int, num_joints: int = 25, **options: Any):
        super().__init__(in_channels, out_channels, **options)
        self.add_coeff = nn.Parameter(torch.zeros(num_joints))

    def forward(self, x: Tensor) -> Tensor:
        V = x.shape[3]
        x = torch.cat([x, x.mean(3, keepdim=True)], 3)
        y = torch.cat([branch(x) for branch in self.branches], 1)
        return self.finish(y[..., :V] + self.add_coeff[:V] * y[..., V:])


class Block(nn.Module):
    """relu(tcn(gcn(x)) + residual(x)), (B, O, ceil(T / stride), V), and the graph unit's topology."""

    def __init__(
        self, in_channels: int, out_channels: int, A: Tensor, stride: int = 1, residual: bool = True, **options: Any
    ):
        super().__init__()
        given = units_options(options, gcn=GCN, tcn=TCN)
        self.gcn = UnitGCN(in_channels, out_channels, A, **given["gcn"])
        self.tcn = GlobalMSTCN(out_channels, out_channels, stride=stride, **given["tcn"])
        self.residual = blocks.residual(in_channels, out_channels, stride, residual)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z, topology = self.gcn(x)
        y = self.tcn(z)
        return torch.relu(y if self.residual is None else y + self.residual(x)), topology


class PrototypeReconstruction(nn.Module):
    """h (..., W) -> memory(softmax(query(h))): every row a mixture of prototypes (section 3.3)."""

    def __init__(self, channels: int, prototypes: int, dropout: float = 0.1):
        super().__init__()
        self.query_matrix = nn.Linear(channels, prototypes, bias=False)
        self.memory_matrix = nn.Linear(prototypes, channels, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        return self.dropout(self.memory_matrix(self.query_matrix(h).softmax(-1)))


class Backbone(nn.Module):
    """Clips (N, M, T, V, C) to features (N, M, C', T', V) and the reconstructed graph (N, V*V) of each sample."""

    def __init__(
        self, graph_cfg: dict[str, Any], in_channels: int, base_channels: int, data_bn_type: str | None,
        ch_ratio: float, num_person: int, num_stages: int, inflate_stages: Sequence[int], down_stages: Sequence[int],
        num_prototype: int, options: dict[str, Any],
    ):  # fmt: skip
        super().__init__()
        self.graph = Graph(**graph_cfg)
        A = torch.tensor(self.graph.A, dtype=torch.float32)
        self.data_bn = data_norm(data_bn_type, num_person, A.shape[1], in_channels)
        if A.shape[1] > options.get("tcn_num_joints", 25):
            options = {**options, "tcn_num_joints": A.shape[1]}

        def block(before: int, width: int, **own: Any) -> Block:
            return Block(before, width, A, **own)

        self.gcn, W = stages(
            block, in_channels, base_channels, ch_ratio, num_stages, inflate_stages, down_stages, options
        )
        inner = self.gcn[-1].gcn.conv1.out_channels
        if inner != W:
            raise ValueError(f"num_filter * int(gcn_ratio * {W}) is {inner}; the prototypes need it to be {W}")
        self.width = W
        self.post = nn.Conv2d(W, W, 1)
        self.bn = nn.BatchNorm2d(W)
        self.prn = PrototypeReconstruction(W, num_prototype)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        N, M = x.shape[:2]
        x = bodies_of(x, self.data_bn).permute(0, 2, 3, 1)  # (B, C, T, V)
        for block in self.gcn:
            x, topology = block(x)
        return x.unflatten(0, (N, M)), self.reconstructed(topology.unflatten(0, (N, M)))

    def reconstructed(self, topology: Tensor) -> Tensor:
        """The graph (N, V*V) of topologies (N, M, W, V, V) of the last block."""
        g = topology.mean(1)
        h = self.prn(g.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(g.shape)
        return torch.relu(self.bn(self.post(h))).mean(1).flatten(1)


class ClassSpecificContrast(nn.Module):
    """Graphs are drawn to the running mean of their class and away from those of the others (section 3.4).

    ``avg_f`` (256, K) holds the means: what is rightly classified moves them.
    """

    def __init__(
        self, num_classes: int, graph_size: int, channels: int = 256, temperature: float = 0.125, momentum: float = 0.9
    ):
        super().__init__()
        self.temperature, self.momentum = temperature, momentum
        self.cl_fc = nn.Linear(graph_size, channels)
        self.register_buffer("avg_f", torch.randn(channels, num_classes), persistent=False)

    def forward(self, graph: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
        """The mean contrastive loss of graphs (N, V*V); moves the memory, whose part of this batch has a gradient."""
        f = self.cl_fc(graph).to(self.avg_f.dtype)
        hits = F.one_hot(labels, logits.shape[1]) * (logits.detach().argmax(1) == labels).unsqueeze(1)
        hits = hits.to(f.dtype)  # (N, K)
        count = hits.sum(0)
        means = f.t() @ hits / (count + 1e-12)
        memory = torch.where(count > 0, self.momentum * self.avg_f + (1 - self.momentum) * means, self.avg_f)
        self.avg_f.copy_(memory.detach())
        return F.cross_entropy(unit(f, 1) @ unit(memory, 0) / self.temperature, labels)


class Head(blocks.Head):
    """The classifier, and beside it the contrast of the graphs."""

    def __init__(self, num_classes: int, in_channels: int, graph_size: int, dropout: float, init_std: float):
        super().__init__(num_classes, in_channels, dropout, init_std)
        fc_cls = self._modules.pop("fc_cls")  # published files have the contrast first
        self.csc_loss = ClassSpecificContrast(num_classes, graph_size)
        self.fc_cls = fc_cls


class Model(nn.Module):
    """Clips (N, M, T, V, C) to logits (N, num_classes); in training to (logits, graphs (N, V*V)).

    Args:
        weight: factor of the contrastive loss.
        num_prototype: prototypes that describe a topology.
        joint_cfg: taken for published configurations; the graph tells the number of joints.
        options: ``gcn_*`` of every ``UnitGCN``, ``tcn_*`` of every ``GlobalMSTCN``.
        Others as of ST-GCN++.

    Raises:
        ValueError: an argument that is not known; graph and ratio that do not give the last block's width.
    """

    axes = "MTVC"  # of a clip
    remembers = ("cls_head.csc_loss.avg_f",)  # buffers that training moves and no file of weights has

    def __init__(
        self, graph_cfg: dict[str, Any], num_classes: int = 60, weight: float = 0.2, joint_cfg: str | None = None,
        in_channels: int = 3, base_channels: int = 96, ch_ratio: float = 2, num_stages: int = 10,
        inflate_stages: Sequence[int] = (5, 8), down_stages: Sequence[int] = (5, 8), data_bn_type: str | None = "VC",
        num_person: int = 2, num_prototype: int = 100, pretrained: str | None = None, dropout: float = 0.0,
        init_std: float = 0.01, **options: Any,
    ):  # fmt: skip
        super().__init__()
        self.weight = weight
        self.backbone = Backbone(
            graph_cfg, in_channels, base_channels, data_bn_type, ch_ratio, num_person, num_stages, inflate_stages,
            down_stages, num_prototype, options,
        )  # fmt: skip
        self.cls_head = Head(num_classes, self.backbone.width, self.backbone.graph.num_node**2, dropout, init_std)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        features, graph = self.backbone(x)
        logits = self.cls_head(features)
        return (logits, graph) if self.training else logits

    def loss(self, logits: Tensor, graph: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy + weight * contrast; the memory moves."""
        return F.cross_entropy(logits, labels) + self.extra_loss((logits, graph), labels)

    def extra_loss(self, output: Any, labels: Tensor) -> Tensor | float:
        """What training adds to the cross entropy: weight * contrast of (logits, graph); 0 of logits alone."""
        if not isinstance(output, tuple):
            return 0.0
        logits, graph = output
        return self.weight * self.cls_head.csc_loss(graph, labels, logits)
