"""DeGCN's layers, fused: grouped graph units and temporal units that keep little for backward.

Notation as in ``degcn.py``.  ``bodies`` (B,) says how many equal bodies each body stands for (None: one).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model import degcn
from model.degcn import GROUPS, SLOPE, SUBSETS
from model.degcn_fused_graph import Weights, grouped_aggregate
from model.degcn_fused_temporal import Branches, NormBranches
from skeleton_lab.nn.fuse import fuses, is_fused_layer
from skeleton_lab.nn.fused.batch_norm import affine, batch_norm, check_values, fold, values_of
from skeleton_lab.nn.fused.graph_conv import shared_aggregate
from skeleton_lab.nn.fused.merge_empty import Bodies
from skeleton_lab.nn.fused.multi_scale_tcn import added
from skeleton_lab.nn.fused.network import FusedNetwork
from skeleton_lab.nn.fused.running_statistics import move_statistics
from skeleton_lab.nn.fused.temporal_conv import joint_major, pointwise


@fuses(degcn.ConvNorm)
class FusedConvNorm(degcn.ConvNorm):
    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        if self.training:
            return batch_norm([self.bn], self.product(x, self.conv.weight), bodies, [self.conv.bias])
        scale, shift = fold([self.bn], [self.conv.bias])
        return self.product(x, self.conv.weight * scale.view(-1, 1, 1, 1), shift)

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The convolution with other weights, joint-major."""
        stride, groups = self.conv.stride[0], self.conv.groups
        if groups == 1:
            return pointwise(x, weight, bias, stride)
        return F.conv2d(joint_major(x), weight, bias, (1, stride), groups=groups).transpose(2, 3)


# --- over joints ---------------------------------------------------------------------------------------------------


def graph_unit(unit: nn.Module, x: Tensor, bodies: Tensor | None, residual: Tensor | None, act: bool) -> Tensor:
    """bn(what ``unit.aggregated`` makes of x) + ``residual``, through the leaky ReLU with ``act``."""
    if unit.training:
        return batch_norm([unit.bn], unit.aggregated(x), bodies, (), residual, act, SLOPE)
    scale, shift = fold([unit.bn])
    return added(unit.aggregated(x, scale) + shift.view(-1, 1, 1), residual, act, SLOPE)


@fuses(degcn.FirstGCN)
class FusedFirstGCN(degcn.FirstGCN):
    """Joints are summed before they are projected; a channel of ones carries the bias, which A makes unequal."""

    def forward(
        self, x: Tensor, bodies: Tensor | None = None, residual: Tensor | None = None, act: bool = False
    ) -> Tensor:
        return graph_unit(self, x, bodies, residual, act)

    def aggregated(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        """(B, C, T, V) -> (B, O, T, V) without the norm; ``scale`` (O,) times that."""
        W = torch.cat([self.conv.weight.flatten(1), self.conv.bias[:, None]], 1)  # row h*O + c
        W = W.unflatten(0, (SUBSETS, -1)).permute(1, 2, 0).flatten(1)  # column i*3 + h
        W = W if scale is None else W * scale[:, None]
        return shared_aggregate(F.pad(x, (0, 0, 0, 0, 0, 1), value=1.0), W, self.A.transpose(1, 2))


@fuses(degcn.GroupedGCN)
class FusedGroupedGCN(degcn.GroupedGCN):
    def forward(
        self, x: Tensor, bodies: Tensor | None = None, residual: Tensor | None = None, act: bool = False
    ) -> Tensor:
        return graph_unit(self, x, bodies, residual, act)

    def aggregated(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        """(B, C, T, V) -> (B, O, T, V) without the norm; ``scale`` (O,) times that."""
        return grouped_aggregate(x, self.weights(scale))

    def weights(self, scale: Tensor | None = None) -> Weights:
        """Channels of a group lie subset by subset; ``scale`` (O,) is of the result's channels."""
        by_subset = (GROUPS, SUBSETS, -1)
        project = self.conv3.weight.flatten(1).unflatten(0, by_subset).transpose(1, 2)  # (G, O/G, 3, I)
        bias = self.conv3.bias.view(by_subset).transpose(1, 2)
        if scale is not None:
            scale = scale.view(GROUPS, -1, 1)
            project, bias = project * scale[..., None], bias * scale
        relate = [conv.weight.flatten(1).unflatten(0, (GROUPS, -1)) for conv in (self.conv1, self.conv2)]
        return Weights(
            project.flatten(1, 2),
            bias.flatten(1, 2),
            torch.cat(relate, 1),
            torch.cat([self.conv1.bias.view(GROUPS, -1), self.conv2.bias.view(GROUPS, -1)], 1),
            self.alpha * self.conv4.weight.flatten(1).unflatten(0, by_subset),
            self.alpha * self.conv4.bias.view(by_subset),
            self.A,
        )


# --- over frames ---------------------------------------------------------------------------------------------------


@fuses(degcn.TemporalUnit)
class FusedTemporalUnit(degcn.TemporalUnit):
    """The first three branches read the same x: one product with one norm; the exit norms are one, too."""

    def forward(
        self, x: Tensor, bodies: Tensor | None = None, residual: Tensor | None = None, act: bool = False
    ) -> Tensor:
        """The unit's result + ``residual``, through the leaky ReLU with ``act``."""
        entries = [branch[0] for branch in (self.tcn1, self.tcn2, self.maxpool3x1)]
        W = torch.cat([entry.conv.weight for entry in entries])
        norms, biases = [entry.bn for entry in entries], [entry.conv.bias for entry in entries]
        if self.training:
            h = pointwise(x, W).transpose(2, 3)
            check_values(h, bodies)
            gamma, beta = affine(norms, biases)
            *y, mean, invstd = NormBranches.apply(
                h, gamma, beta, bodies, norms[0].eps, SLOPE, self.stride, *self.taps()
            )
            move_statistics(norms, mean, invstd, values_of(h, bodies), biases, inverse=True)
            y.append(pointwise(x, self.conv1x1.conv.weight, None, self.stride).transpose(2, 3))
            y = torch.cat(y, 1).transpose(2, 3)
            return batch_norm(self.exits, y, bodies, self.exit_biases, residual, act, SLOPE)
        scale, shift = fold(norms, biases)
        a = F.leaky_relu(pointwise(x, W * scale.view(-1, 1, 1, 1), shift).transpose(2, 3), SLOPE)
        y = Branches.apply(a, self.stride, *self.taps())
        scale, shift = fold(self.exits, self.exit_biases)
        y = [*y, pointwise(x, self.conv1x1.conv.weight, None, self.stride).transpose(2, 3)]
        y = torch.addcmul(shift.view(-1, 1, 1), torch.cat(y, 1), scale.view(-1, 1, 1)).transpose(2, 3)
        return added(y, residual, act, SLOPE)

    @property
    def stride(self) -> int:
        return self.conv1x1.conv.stride[0]

    @property
    def exits(self) -> list[nn.Module]:
        return [self.tcn1[2].conv_out[1], self.tcn2[2].conv_out[1], self.maxpool3x1[3], self.conv1x1.bn]

    @property
    def exit_biases(self) -> list[Tensor | None]:
        return [self.tcn1[2].conv_out[0].bias, self.tcn2[2].conv_out[0].bias, None, self.conv1x1.conv.bias]

    def taps(self) -> list[Tensor]:
        """The offsets of both sampled branches, then their weights (w, w*eta)."""
        samplings = self.tcn1[2], self.tcn2[2]
        return [*(each.tr for each in samplings), *(each.conv_out[0].weight.flatten(1) for each in samplings)]


# --- the network ---------------------------------------------------------------------------------------------------


@fuses(degcn.Block)
class FusedBlock(degcn.Block):
    @staticmethod
    def can_fuse(block: degcn.Block) -> bool:
        """Not around layers of somebody's own, which know nothing of bodies."""
        parts = (block.gcn, block.tcn, block.residual1, block.residual2)
        return all(part is None or isinstance(part, nn.Identity) or is_fused_layer(part) for part in parts)

    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        first, second = (
            part if part is None else x if isinstance(part, nn.Identity) else part(x, bodies)
            for part in (self.residual1, self.residual2)
        )
        return self.tcn(self.gcn(x, bodies, first, act=True), bodies, second, act=True)


class FusedTrunks(FusedNetwork, degcn.Network):
    """Base of the twins of networks whose bodies go through trunks of blocks; empty ones are computed once."""

    @staticmethod
    def can_fuse(network: nn.Module) -> bool:
        return all(is_fused_layer(module) for module in network.modules() if isinstance(module, degcn.Block))

    def taken(self, x: Tensor, bodies: Bodies) -> Tensor:
        """The bodies to compute of (N, C, T, V, M), normed, joint-major."""
        return joint_major(bodies.take(self.normed(x))).transpose(2, 3)

    def through(self, trunk: nn.Sequential, x: Tensor, bodies: Tensor | None) -> Tensor:
        for block in trunk:
            x = self.run(block, x, bodies)
        return x

    def logits(self, trunks: nn.ModuleList, x: Tensor, bodies: Bodies, people: int) -> list[Tensor]:
        heads = []
        for fc, trunk in zip(self.fc, trunks):
            # A mean over joint-major memory has a gradient of the same order.
            y = bodies.give(self.through(trunk, x, bodies.count).transpose(2, 3).mean((2, 3)))
            heads.append(fc(self.drop_out(y.unflatten(0, (-1, people)).mean(1))))
        return heads


@fuses(degcn.Model)
class FusedModel(FusedTrunks, degcn.Model):
    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.take(x)
        bodies = self.bodies_of(x)
        return self.logits(self.streams, self.taken(x, bodies), bodies, x.shape[-1])
