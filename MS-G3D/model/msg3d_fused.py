"""MS-G3D's layers, fused: large windows are not unfolded, scales are one product, and little is kept for backward.

Training steps on a GPU, where the number of kernels counts, are those of ``msg3d_gpu.py`` and its neighbours.

Notation as in ``msg3d.py``.  ``bodies`` (B,) says how many equal bodies each body stands for (None: one).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from model import msg3d
from model.msg3d_fused_windows import NormReLUCollapse, WindowAggregate, moments, relu_collapse
from model.msg3d_gpu import on_gpu, spatial, without_effect
from model.msg3d_gpu_collapse import windows
from model.msg3d_gpu_time import temporal
from model.msg3d_gpu_windows import aggregate
from skeleton_lab.nn.fuse import fuses
from skeleton_lab.nn.fused.batch_norm import affine, batch_norm, fold, move_statistics
from skeleton_lab.nn.fused.graph_conv import shared_aggregate
from skeleton_lab.nn.fused.multi_scale_tcn import FusedMultiScaleTemporalConv
from skeleton_lab.nn.fused.network import FusedNetwork
from skeleton_lab.nn.fused.temporal_conv import joint_major


@fuses(msg3d.MultiScaleGraphConv)
class FusedMultiScaleGraphConv(msg3d.MultiScaleGraphConv):
    """One product for all scales; those of windows are called by ``FusedMSG3D``, in parts."""

    def matrices(self) -> Tensor:
        """(S, J, J), row = target."""
        A = self.A_scales + self.A_res
        return A.view(-1, A.shape[1], A.shape[1])

    def weights(self) -> Tensor:
        """(O, S, C)."""
        conv, _ = self.mlp.layers
        return conv.weight.view(conv.out_channels, len(self.A_res) // self.A_res.shape[1], -1)

    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        if on_gpu(self, x):
            return spatial(x, self.A_scales, self.A_res, self.mlp.layers, bodies)
        conv, bn = self.mlp.layers
        W, A = self.weights().transpose(1, 2).flatten(1), self.matrices().transpose(1, 2)
        if self.training:
            y = batch_norm([bn], shared_aggregate(x, W, A), bodies, [conv.bias])
        else:
            scale, shift = fold([bn], [conv.bias])
            y = shared_aggregate(x, W * scale[:, None], A) + shift.view(-1, 1, 1)
        return F.relu(y, inplace=True)


@fuses(msg3d.MSG3D)
class FusedMSG3D(msg3d.MSG3D):
    """The two products of ``msg3d_fused_windows``, with the norm between them."""

    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        if not (self.training or torch.is_grad_enabled()):
            return self.folded(x)
        h, project = self.aggregate(x)
        if on_gpu(self, x):
            return windows(self, h, project, bodies)
        norm = self.norm(h, project, bodies)
        eps = self.gcn3d[1].mlp.layers[1].eps
        collapse = self.out_conv.weight[:, :, 0, :, 0]
        batch = self.training
        if not batch:
            scale, shift = fold([self.out_bn], [self.out_conv.bias])
            collapse = collapse * scale.view(-1, 1, 1)
        y = NormReLUCollapse.apply(h, project, *norm, bodies, eps, batch, collapse)
        return batch_norm([self.out_bn], y, bodies, [self.out_conv.bias]) if batch else y + shift.view(-1, 1, 1)

    def folded(self, x: Tensor) -> Tensor:
        """Without gradients: the norms are in the weights, see ``relu_collapse``."""
        conv, bn = self.gcn3d[1].mlp.layers
        scale, shift = fold([bn], [conv.bias])
        out_scale, out_shift = fold([self.out_bn], [self.out_conv.bias])
        h, project = self.aggregate(x, scale)
        collapse = self.out_conv.weight[:, :, 0, :, 0] * out_scale.view(-1, 1, 1)
        return relu_collapse(h, project, shift, collapse, out_shift)

    def aggregate(self, x: Tensor, scale: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """What the norm gets: (B, C, T, V) -> h (B, T', V*W, E), None; or (B, T', V*W, S*C) and W (S*C, E), h = . @ W.

        The graphs sum over C or E channels, whichever are fewer.  ``scale`` (E,) multiplies h.
        """
        unfold, gcn = self.gcn3d
        W = gcn.weights() if scale is None else gcn.weights() * scale.view(-1, 1, 1)
        if W.shape[2] >= len(W) and on_gpu(self, x):
            return aggregate(self, x), None
        A = gcn.matrices()
        A = A.unflatten(1, (unfold.window, -1)).permute(2, 1, 3, 0).flatten(0, 1)  # (V*W, W*V, S)
        if W.shape[2] >= len(W):
            return WindowAggregate.apply(joint_major(x), A.flatten(1), W, unfold.window, unfold.stride), None
        # The windows of a few channels are small, and made again in backward.
        f = checkpoint(self.summed, x, A, use_reentrant=False, preserve_rng_state=False)
        return f, W.flatten(1).t()

    def summed(self, x: Tensor, A: Tensor) -> Tensor:
        """(B, C, T, V), (V*W, W*V, S) -> (B, T', V*W, S*C)."""
        f = self.gcn3d[0](x) @ A.transpose(0, 1).flatten(1)
        return f.unflatten(3, (len(A), -1)).permute(0, 2, 3, 4, 1).flatten(3)

    def norm(self, h: Tensor, project: Tensor | None, bodies: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """gamma, beta, mean and variance of the norm; in training those of the batch, and the running ones move."""
        conv, bn = self.gcn3d[1].mlp.layers
        if not self.training:
            scale, _ = fold([bn])
            return bn.weight, bn.bias + scale * conv.bias, bn.running_mean, bn.running_var
        mean, var, n = moments(h, project, bodies)
        move_statistics([bn], mean, var, n, [conv.bias])
        return *affine([bn], [conv.bias]), mean, var


@fuses(msg3d.MultiWindowMSG3D)
class FusedMultiWindowMSG3D(msg3d.MultiWindowMSG3D):
    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        first, second = (window(x, bodies) for window in self.gcn3d)
        return first + second


@fuses(msg3d.MSTCN)
class FusedMSTCN(FusedMultiScaleTemporalConv, msg3d.MSTCN):
    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        if on_gpu(self, x):
            return temporal(self, x, bodies)
        y = super().forward(x, bodies)
        return F.relu(y, inplace=True) if self.act else y


@fuses(msg3d.FactorizedPath)
class FusedFactorizedPath(msg3d.FactorizedPath):
    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        for unit in self:
            x = unit(x, bodies)
        return x


@fuses(msg3d.Model)
class FusedModel(FusedNetwork, msg3d.Model):
    def forward(self, x: Tensor) -> Tensor:
        N, C, T, V, M = x.shape
        bodies = self.bodies_of(x)
        x = self.data_bn(x.permute(0, 4, 3, 1, 2).reshape(N, M * V * C, T))
        x = bodies.take(x.view(N * M, V, C, T)).permute(0, 2, 3, 1)
        if not on_gpu(self, x):
            x = joint_major(x).transpose(2, 3)
        x = bodies.give(self.stages(x, bodies.count).mean((2, 3)))
        logits = self.fc(x.view(N, M, -1).mean(1))
        return without_effect(self, logits) if on_gpu(self, x) else logits

    def stages(self, x: Tensor, bodies: Tensor | None) -> Tensor:
        for i in range(1, len(msg3d.WIDTHS) + 1):
            x = F.relu(
                self.run(getattr(self, f"sgcn{i}"), x, bodies) + self.run(getattr(self, f"gcn3d{i}"), x, bodies),
                inplace=True,
            )
            x = self.run(getattr(self, f"tcn{i}"), x, bodies)
        return x
