"""Hyper-GCN's layers, fused: virtual joints never enter a tensor with frames, and little is kept for backward.

Notation as in ``hypergcn.py``.  ``bodies`` (B,) says how many equal bodies each body stands for (None: one).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd import Function

from model import hypergcn
from model.hypergcn import HEADS, STAGE
from skeleton_lab.nn.fuse import fuses, is_fused_layer
from skeleton_lab.nn.fused.batch_norm import WithoutEffect, batch_norm, fold
from skeleton_lab.nn.fused.multi_scale_tcn import conv_norm
from skeleton_lab.nn.fused.network import FusedNetwork
from skeleton_lab.nn.fused.temporal_conv import left_product


class Distances(Function):
    """Euclidean distances between the columns of a (..., d, U): (..., U, U), by direct differences.

    Exact at zero, where the derivative is 0, unlike the product form |a|^2 + |b|^2 - 2ab; remembers no differences.

    D[u, v] = |a_u - a_v| has the gradient (a_u - a_v) / D[u, v] for a_u and its negative for a_v.  With
    s[u, v] = dD[u, v] / D[u, v] + dD[v, u] / D[v, u], which is symmetric, all terms of one column are
    da_u = sum_v s[u, v] (a_u - a_v) = a_u sum_v s[v, u] - sum_v a_v s[v, u].
    """

    @staticmethod
    def forward(ctx, a: Tensor) -> Tensor:
        D = (a[..., :, None] - a[..., None, :]).square_().sum(-3).sqrt_()
        ctx.save_for_backward(a, D)
        return D

    @staticmethod
    def backward(ctx, dD: Tensor):
        a, D = ctx.saved_tensors
        slope = torch.where(D > 0, dD / D, 0)
        slope = slope + slope.transpose(-1, -2)
        return a * slope.sum(-2, keepdim=True) - a @ slope


class HeadMix(Function):
    """y[k, c, u] = sum_v R[k, u, v] z[k, c, v], z[k] = W[k] x[k] + b[k]; remembers x and R, not the projection z.

    x (B, C, V, T), W (K, c, C/K), b (K, c), R (B, K, V, V) -> (B, K*c, V, T).

    Two products, so with z made again: dR[k, u, v] = sum_{c, t} dy[k, c, u] z[k, c, v];
    dz[k, c, v] = sum_u R[k, u, v] dy[k, c, u]; dx[k] = W[k]^T dz[k]; dW[k] = sum dz[k] x[k]^T; db[k] = sum dz[k].
    """

    @staticmethod
    def forward(ctx, x, W, b, R):
        ctx.save_for_backward(x, W, b, R)
        return mix(project(x, W, b), R.to(x.dtype))

    @staticmethod
    def backward(ctx, dy):
        x, W, b, R = ctx.saved_tensors
        B, C, V, T = x.shape
        K, c, _ = W.shape
        dy = dy.contiguous()
        x, W, R = x.to(dy.dtype), W.to(dy.dtype), R.to(dy.dtype)
        z = project(x, W, b)
        dR = torch.bmm(dy.view(-1, V, T), z.view(-1, V, T).transpose(1, 2)).view(B, K, c, V, V).sum(2)
        dz = mix(dy, R.transpose(-1, -2)).view(B * K, c, V * T)
        grouped = x.view(B * K, C // K, V * T)
        dx = torch.bmm(W.transpose(1, 2).repeat(B, 1, 1), dz).view_as(x)
        dW = torch.bmm(dz, grouped.transpose(1, 2)).view(B, K, c, -1).sum(0)
        return dx, dW, dz.view(B, K, c, -1).sum((0, 3)), dR


def project(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """Each head's projection of its own channels: (B, K*c, V, T)."""
    B, C, V, T = x.shape
    K, c, _ = W.shape
    W, b = W.to(x.dtype).repeat(B, 1, 1), b.to(x.dtype).repeat(B, 1)
    return torch.baddbmm(b[..., None], W, x.reshape(B * K, C // K, V * T)).view(B, K * c, V, T)


def mix(z: Tensor, R: Tensor) -> Tensor:
    """sum_v R[k, u, v] z[k, c, v] for every head: z (B, K*c, V, T), R (B, K, V, V)."""
    B, O, V, T = z.shape  # noqa: E741
    K = R.shape[1]
    R = R[:, :, None].expand(-1, -1, O // K, -1, -1).reshape(-1, V, V)
    return torch.bmm(R, z.reshape(-1, V, T)).view(B, O, V, T)


@fuses(hypergcn.HyperGraphConv)
class FusedHyperGraphConv(hypergcn.HyperGraphConv):
    """Virtual joints are the same in all frames and bodies: what they add to a joint is added at the end."""

    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        x = x.transpose(2, 3).contiguous()  # joint-major
        V = x.shape[2]
        with torch.autocast(x.device.type, enabled=False):  # distances and sums of a graph want full precision
            R = self.relations(x, V)
        W = self.conv_d.weight.view(HEADS, -1, self.conv_d.in_channels // HEADS)
        b = self.conv_d.bias.view(HEADS, -1)
        shift = None
        if not self.training:
            scale, shift = fold([self.bn])
            W, b = W * scale.view(HEADS, -1, 1), b * scale.view(HEADS, -1)
        y = HeadMix.apply(x, W, b, R[..., :V])
        if len(self.hyper_joint):
            y = y + self.from_virtual(W, b, R[..., V:]).to(y.dtype)[..., None]
        y, x = y.transpose(2, 3), x.transpose(2, 3)
        y = batch_norm([self.bn], y, bodies) if shift is None else y + shift.view(-1, 1, 1)
        down = x if isinstance(self.down, nn.Identity) else conv_norm(*self.down, x, bodies)
        return torch.relu_(y + down)

    def from_virtual(self, W: Tensor, b: Tensor, R: Tensor) -> Tensor:
        """What the virtual joints add to every channel and joint, in all frames: (B, O, V)."""
        joints = self.hyper_joint.view(-1, HEADS, W.shape[2])
        z = torch.einsum("kci,hki->kch", W, joints) + b[..., None]
        return (R @ z.transpose(1, 2).to(R.dtype)).transpose(-1, -2).flatten(1, 2)

    def relations(self, x: Tensor, V: int) -> Tensor:
        """R (B, K, V, U): the learned links, and the hyper-graph of what the joints do in this recording."""
        P = hypergcn.normalised_rows((self.edge_importance * self.PA)[:, :V])
        H, W = self.incidence(x.mean(3))
        return P + self.alpha.relu() * hypergcn.hypergraph(H, W, V)

    def incidence(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        if pooled.dtype in (torch.float16, torch.bfloat16):
            pooled = pooled.float()
        virtual = self.hyper_joint.t().to(pooled.dtype).expand(len(pooled), -1, -1)
        s = torch.cat([pooled, virtual], 2)
        a = WithoutEffect.apply(grouped(self.to_V.weight, s), self.to_V.bias)  # distances do not see an offset
        W = grouped(self.to_W[0].weight, s) + self.to_W[0].bias.view(HEADS, -1, 1)
        W = self.to_W[1](W).flatten(1, 2)
        W = torch.tanh(left_product(self.to_W[2].weight[..., 0], W) + self.to_W[2].bias[:, None])
        return hypergcn.hyperedges(Distances.apply(a)), W


def grouped(weight: Tensor, s: Tensor) -> Tensor:
    """A Conv1d with kernel 1 and 8 groups, without bias: weight (8d, C/8, 1), s (B, C, U) -> (B, 8, d, U)."""
    B, _, U = s.shape
    return weight.view(HEADS, -1, weight.shape[1]) @ s.view(B, HEADS, -1, U)


class FusedHyperGCN(FusedNetwork, hypergcn.HyperGCN):
    """Base of the twins of both sizes."""

    @staticmethod
    def can_fuse(network: hypergcn.HyperGCN) -> bool:
        return all(is_fused_layer(getattr(network, f"l{i}")) for i in range(1, 3 * STAGE + 1))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        N, M = x.shape[0], x.shape[-1]
        self.check(x)
        bodies = self.bodies_of(x)
        x = bodies.take(self.embedded(x).permute(0, 3, 1, 2))  # (B, V, E, T)
        x = bodies.give(self.blocks(x.transpose(1, 2).contiguous().transpose(2, 3), bodies.count).mean((2, 3)))
        return self.fc(self.drop_out(x.view(N, M, -1).mean(1))), self.virtual_joints()

    def embedded(self, x: Tensor) -> Tensor:
        """Frames last throughout, so that nothing is copied between the embedding and its norm."""
        N, C, T, V, M = x.shape
        x = x.permute(0, 4, 3, 1, 2).reshape(N * M, V, C, T)
        offset = self.to_joint_embedding.bias + self.pos_embedding[0]  # (V, E)
        e = torch.tanh(self.to_joint_embedding.weight @ x + offset[..., None])
        return self.data_bn(e.view(N, -1, T)).view(N * M, V, -1, T).permute(0, 2, 3, 1)

    def blocks(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        for first in (1, 1 + STAGE, 1 + 2 * STAGE):
            skip = self.block(first, x, bodies)
            x = self.block(first + 1, skip, bodies)
            x = self.block(first + 2, x + skip, bodies)
        return x

    def block(self, number: int, x: Tensor, bodies: Tensor | None) -> Tensor:
        return self.run(getattr(self, f"l{number}"), x, bodies)
