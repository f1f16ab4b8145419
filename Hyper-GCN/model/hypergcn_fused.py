"""Hyper-GCN's layers, fused: virtual joints never enter a tensor with frames, and little is kept for backward.

Notation as in ``hypergcn.py``; activations lie in memory as they are written, (B, C, T, V).  ``bodies`` (B,) says how
many equal bodies each body stands for (None: one), ``own`` are a unit's parts of ``links``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model import hypergcn
from model.hypergcn import STAGE
from model.hypergcn_fused_graph import folded_graph_unit, graph_unit
from model.hypergcn_fused_temporal import folded_temporal_unit, temporal_unit
from skeleton_lab.nn.fuse import fuses, is_fused_layer
from skeleton_lab.nn.fused.batch_norm import NormReLU, affine, check_values, fold, values_of
from skeleton_lab.nn.fused.network import FusedNetwork
from skeleton_lab.nn.fused.running_statistics import move_statistics
from skeleton_lab.nn.fused.temporal_conv import left_product


@fuses(hypergcn.Unit)
class FusedUnit(hypergcn.Unit):
    """Without gradients in eval mode, or in training; else, where nobody counts, the plain form."""

    @staticmethod
    def can_fuse(unit: hypergcn.Unit) -> bool:
        """Not around layers of somebody's own, whose modules are not read here."""
        return (
            type(unit.gcn1) is hypergcn.HyperGraphConv
            and is_fused_layer(unit.tcn1)
            and (isinstance(unit.residual, nn.Identity) or is_fused_layer(unit.residual))
        )

    def forward(self, x: Tensor, bodies: Tensor | None = None, *own: Tensor) -> Tensor:
        if not self.training and torch.is_grad_enabled():
            return super().forward(x)
        own = own or links([self])[0]
        gcn1, x = self.gcn1, x.contiguous()
        down = None if isinstance(gcn1.down, nn.Identity) else conv_norm(*gcn1.down, x, bodies)
        residual = x if isinstance(self.residual, nn.Identity) else conv_norm(*self.residual.children(), x, bodies)
        if self.training:
            return temporal_unit(self.tcn1, graph_unit(gcn1, x, down, bodies, own), residual, bodies)
        return folded_temporal_unit(self.tcn1, folded_graph_unit(gcn1, x, x if down is None else down, own), residual)


def conv_norm(conv: nn.Conv2d, bn: nn.BatchNorm2d, x: Tensor, bodies: Tensor | None) -> Tensor:
    """bn(conv(x)), the norm in training with the statistics of ``bodies``."""
    if not bn.training:
        scale, shift = fold([bn], [conv.bias])
        x = x[:, :, :: conv.stride[0]]
        y = left_product(conv.weight.flatten(1) * scale[:, None], x.flatten(2)).add_(shift[:, None])
        return y.view(len(x), -1, *x.shape[2:])
    y = F.conv2d(x, conv.weight, None, conv.stride)
    check_values(y, bodies)
    y, mean, invstd = NormReLU.apply(y, *affine([bn], [conv.bias]), None, bodies, bn.eps, False)
    move_statistics([bn], mean, invstd, values_of(y, bodies), [conv.bias], inverse=True)
    return y


def links(units: list[hypergcn.Unit]) -> list[tuple[Tensor, Tensor]]:
    """alpha after its ReLU (1,) and P (K, V, U) of every unit, in a few kernels for all."""
    gcns = [unit.gcn1 for unit in units]
    importance = torch.stack([gcn.edge_importance for gcn in gcns])
    P = hypergcn.normalised_rows(importance * torch.stack([gcn.PA for gcn in gcns]))
    real = P.shape[-1] - len(gcns[0].hyper_joint)
    return list(zip(torch.stack([gcn.alpha for gcn in gcns]).relu().unbind(), P[:, :, :real].unbind()))


class FusedHyperGCN(FusedNetwork, hypergcn.HyperGCN):
    """Base of the twins of both sizes."""

    @staticmethod
    def can_fuse(network: hypergcn.HyperGCN) -> bool:
        return all(is_fused_layer(getattr(network, f"l{i}")) for i in range(1, 3 * STAGE + 1))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        N, M = x.shape[0], x.shape[-1]
        self.check(x)
        bodies = self.bodies_of(x)
        x = bodies.give(self.units(bodies.take(self.embedded(x)), bodies.count).mean((2, 3)))
        return self.fc(self.drop_out(x.view(N, M, -1).mean(1))), self.virtual_joints()

    def embedded(self, x: Tensor) -> Tensor:
        """Frames last in memory up to the norm: nothing is copied between the embedding and it."""
        N, C, T, V, M = x.shape
        x = x.permute(0, 4, 3, 1, 2).reshape(N * M, V, C, T)
        offset = self.to_joint_embedding.bias + self.pos_embedding[0]  # (V, E)
        e = torch.tanh(self.to_joint_embedding.weight @ x + offset[..., None])
        return self.data_bn(e.view(N, -1, T)).view(N * M, V, -1, T).permute(0, 2, 3, 1)

    def units(self, x: Tensor, bodies: Tensor | None) -> Tensor:
        units = [getattr(self, f"l{i}") for i in range(1, 3 * STAGE + 1)]
        own = links(units)
        for first in range(0, len(units), STAGE):
            skip = self.run(units[first], x, bodies, *own[first])
            x = self.run(units[first + 1], skip, bodies, *own[first + 1])
            x = self.run(units[first + 2], x + skip, bodies, *own[first + 2])
        return x
