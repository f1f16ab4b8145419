"""ST-GCN++'s blocks, fused: all subsets of the graph are one product, and little is kept for backward.

A block remembers its input, the inputs of its norms and the concatenation of the branches; what lies between (the mixed
joints, the output of the graph unit, what passes a ReLU) is made again.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model import stgcnpp
from model.blocks_fused import (
    FusedBodies,
    can_fuse,
    down_folded,
    down_of,
    residual_of,
    temporal_unit,
    temporal_unit_folded,
)  # fmt: skip
from skeleton_lab.nn.fuse import fuses, is_fused_layer
from skeleton_lab.nn.fused.batch_norm import fold
from skeleton_lab.nn.fused.graph_conv import shared_aggregate
from skeleton_lab.nn.fused.multi_scale_tcn import added


def graph_product(gcn: stgcnpp.UnitGCN, x: Tensor, scale: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """The graph unit up to its norm: x (B, C, V, T) -> (B, O, V, T), and the bias that was left out.

    Neighbours are summed before they are projected: sum_k (W_k x + b_k) A_k = [W_1 W_2 ...] [x A_1; x A_2; ...] + bias,
    where the bias of 'pre' becomes sum_k b_k (sum_v A_k[v, w]), another one for every joint.

    Args:
        scale: (O,), times which the result is returned; the bias that is left out is not scaled.
    """
    A = gcn.adjacency()
    K, O = len(A), gcn.bn.num_features  # noqa: E741
    W, bias = gcn.conv.weight.flatten(1), gcn.conv.bias
    pre = gcn.conv_pos == "pre"
    W = W.view(K, O, -1).permute(1, 2, 0) if pre else W.view(O, K, -1).transpose(1, 2)  # (O, C, K)
    if scale is not None:
        W = W * scale.view(-1, 1, 1)
    y = shared_aggregate(x.transpose(2, 3), W.reshape(O, -1), A).transpose(2, 3)
    if not pre:
        return y, bias
    bias = torch.einsum("ko,kw->ow", bias.view(K, O), A.sum(1))
    y.add_((bias if scale is None else bias * scale[:, None])[..., None].to(y.dtype))
    return y, None


@fuses(stgcnpp.Block)
class FusedBlock(stgcnpp.Block):
    @staticmethod
    def can_fuse(block: stgcnpp.Block) -> bool:
        return can_fuse(block.tcn)

    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        """(B, C, T, V) -> (B, O, T', V), joint-major."""
        return self.of_joints(x.transpose(2, 3).contiguous(), bodies).transpose(2, 3)

    def of_joints(self, x: Tensor, bodies: Tensor | None) -> Tensor:
        """(B, C, V, T) -> (B, O, V, T')."""
        gcn, residual = self.gcn, residual_of(self.residual, x, bodies)
        if self.training:
            y, bias = graph_product(gcn, x)
            return temporal_unit(self.tcn, gcn.bn, y, down_of(gcn.down, x), residual, bodies, [bias])
        scale, shift = fold([gcn.bn])
        y, bias = graph_product(gcn, x, scale)
        shift = shift if bias is None else torch.addcmul(shift, bias, scale)
        z = added(y + shift.view(-1, 1, 1), down_folded(gcn.down, x), relu=True)
        return temporal_unit_folded(self.tcn, z, residual)


@fuses(stgcnpp.Model)
class FusedModel(FusedBodies, stgcnpp.Model):
    @staticmethod
    def can_fuse(network: stgcnpp.Model) -> bool:
        return all(is_fused_layer(block) for block in network.backbone.gcn)

    def forward(self, x: Tensor) -> Tensor:
        persons = x.shape[1]
        x, bodies = self.bodies_in(x)
        x = x.transpose(2, 3)
        for block in self.backbone.gcn:
            x = self.run(block, x, bodies.count)
        return self.classified(bodies.give(x.transpose(2, 3).mean((2, 3))), persons)
