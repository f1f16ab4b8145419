"""The frame around ten blocks: empty bodies are computed once, blocks are computed again in backward on demand."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_lab.nn import backbone
from skeleton_lab.nn.fuse import fuses, is_fused_layer
from skeleton_lab.nn.fused.network import FusedNetwork


@fuses(backbone.Block)
class FusedBlock(backbone.Block):
    """``gcn1``, ``tcn1`` and ``residual`` are fused too: they take the multiplicities of the bodies (B,) or None."""

    @staticmethod
    def can_fuse(block: backbone.Block) -> bool:
        """Not around layers of somebody's own, which know nothing of bodies."""
        return all(is_fused_layer(part) for part in (block.gcn1, block.tcn1)) and (
            block.residual is None or isinstance(block.residual, nn.Identity) or is_fused_layer(block.residual)
        )

    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        y = self.tcn1(self.gcn1(x, bodies), bodies)
        if self.residual is None:
            return F.relu(y)
        return F.relu(y + (x if isinstance(self.residual, nn.Identity) else self.residual(x, bodies)), inplace=True)


class FusedTenBlocks(FusedNetwork, backbone.TenBlocks):
    """Base of the twins of networks that are ``TenBlocks``."""

    @staticmethod
    def can_fuse(network: backbone.TenBlocks) -> bool:
        return all(is_fused_layer(getattr(network, f"l{i}")) for i in range(1, len(backbone.WIDTHS) + 1))

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 3:
            N, T, _ = x.shape
            x = x.reshape(N, T, self.num_point, -1).permute(0, 3, 1, 2).unsqueeze(-1)
        N, C, T, V, M = x.shape
        bodies = self.bodies_of(x)
        x = self.data_bn(x.permute(0, 4, 3, 1, 2).reshape(N, M * V * C, T))
        x = bodies.take(x.view(N * M, V, C, T)).transpose(1, 2).contiguous().transpose(2, 3)  # joint-major
        # A mean over joint-major memory has a gradient of the same order.
        x = bodies.give(self.blocks(x, bodies.count).transpose(2, 3).mean((2, 3)))
        return self.fc(self.drop_out(x.view(N, M, -1).mean(1)))

    def blocks(self, x: Tensor, bodies: Tensor | None) -> Tensor:
        for i in range(1, len(backbone.WIDTHS) + 1):
            x = self.run(getattr(self, f"l{i}"), x, bodies)
        return x
