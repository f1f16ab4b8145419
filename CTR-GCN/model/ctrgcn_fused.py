"""CTR-GCN's layers, fused: the subsets of a graph unit are one product, and little is kept for backward.

Notation as in ``ctrgcn.py``.  ``bodies`` (B,) says how many equal bodies each body stands for (None: one).
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from model import ctrgcn
from skeleton_lab.nn.fuse import fuses
from skeleton_lab.nn.fused.backbone import FusedTenBlocks
from skeleton_lab.nn.fused.batch_norm import batch_norm, fold
from skeleton_lab.nn.fused.graph_conv import aggregate
from skeleton_lab.nn.fused.multi_scale_tcn import added, conv_norm
from skeleton_lab.nn.fused.parameters import concatenated

# Units that widen this many channels or fewer project again in backward: 1.5 % of a step for 1/10 of the memory.
REPROJECT_CHANNELS = 64


def refined_graph_convolution(
    convs: Iterable[ctrgcn.CTRGC], x: Tensor, A: Tensor, alpha: Tensor | float, scale: Tensor | None = None
) -> Tensor:
    """sum_k convs[k](x, A[k], alpha), times ``scale`` (O,) per channel: all subsets at once.

    alpha scales conv4's small weights instead of the topologies; conv1 and conv2, and conv3, are one product each.
    """
    convs = list(convs)
    K, C, O = len(convs), convs[0].conv3.in_channels, convs[0].conv3.out_channels  # noqa: E741
    relate = [conv.conv1 for conv in convs] + [conv.conv2 for conv in convs]
    relate, relate_bias, mix, offset = concatenated(
        [conv.weight for conv in relate],
        [conv.bias for conv in relate],
        [conv.conv4.weight for conv in convs],
        [conv.conv4.bias for conv in convs],
    )
    # On their own: backward keeps the memory of those above, of these a copy in another order.
    weight, bias = concatenated([conv.conv3.weight for conv in convs], [conv.conv3.bias for conv in convs])
    weight, bias = weight.view(K, O, C).transpose(0, 1), bias.view(K, O).t()  # row o*K + k
    if scale is not None:
        weight, bias = weight * scale.view(-1, 1, 1), bias * scale.view(-1, 1)
    return aggregate(
        x,
        weight.reshape(O * K, C),
        bias.reshape(O * K),
        relate.flatten(1),
        relate_bias,
        alpha * mix.view(K, O, -1),
        alpha * offset.view(K, O),
        A,
        keep_projection=C == O or C > REPROJECT_CHANNELS,
    )


@fuses(ctrgcn.CTRGC)
class FusedCTRGC(ctrgcn.CTRGC):
    def forward(self, x: Tensor, A: Tensor | None = None, alpha: Tensor | float = 1.0) -> Tensor:
        if A is None:
            A = x.new_zeros(x.shape[-1], x.shape[-1])
        return refined_graph_convolution([self], x, A[None], alpha)


@fuses(ctrgcn.UnitGCN)
class FusedUnitGCN(ctrgcn.UnitGCN):
    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        A = self.PA if hasattr(self, "PA") else self.A
        down = x if isinstance(self.down, nn.Identity) else conv_norm(*self.down, x, bodies)
        if self.training:
            y = refined_graph_convolution(self.convs, x, A, self.alpha)
            return batch_norm([self.bn], y, bodies, (), down, relu=True)
        scale, shift = fold([self.bn])
        y = refined_graph_convolution(self.convs, x, A, self.alpha, scale)
        return added(y + shift.view(-1, 1, 1), down, relu=True)


@fuses(ctrgcn.Model)
class FusedModel(FusedTenBlocks, ctrgcn.Model):
    pass
