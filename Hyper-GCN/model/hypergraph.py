"""The hyper-graph convolution of Hyper-GCN: joints that move alike are tied together, head by head.

Notation: B bodies, K = 8 heads, V real joints, h virtual ones, U = V + h vertices, T frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd import Function

from skeleton_lab.nn import init
from skeleton_lab.nn.fused.batch_norm import WithoutEffect, batch_norm, fold
from skeleton_lab.nn.fused.multi_scale_tcn import conv_norm
from skeleton_lab.nn.fused.temporal_conv import left_product

HEADS = 8
NEIGHBOURS = 9  # vertices of a hyper-edge
EPS = 1e-8


class Distances(Function):
    """Euclidean distances between the columns of a (..., d, U): (..., U, U), by direct differences.

    Exact at zero, where the derivative is 0, unlike the product form |a|^2 + |b|^2 - 2ab; remembers no differences.
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


def hyperedges(D: Tensor) -> Tensor:
    """H (..., U, U): row i weighs the nine vertices nearest to i by a softmax of minus their distances."""
    nearest, place = D.topk(NEIGHBOURS, largest=False)
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


class HeadMix(Function):
    """y[k, c, u] = sum_v R[k, u, v] (W[k] x[k] + b[k])[c, v]; remembers x and R, not the projection.

    x (B, C, V, T), W (K, c, C/K), b (K, c), R (B, K, V, V) -> (B, K*c, V, T).
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


class HyperGraphConv(nn.Module):
    """``gcn1``: (B, C, T, V) -> relu(bn(y) + down(x)), (B, O, T, V), and the virtual joints (h, C).

    Virtual joints are the same in all frames and bodies, so they never enter a tensor with frames: what they add to a
    joint is added at the end.
    """

    def __init__(self, in_channels: int, out_channels: int, virtual_num: int, A: Tensor):
        super().__init__()
        inner = in_channels // HEADS
        relation = inner // 4
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

    def forward(self, x: Tensor, bodies: Tensor | None = None) -> tuple[Tensor, Tensor]:
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
        return torch.relu_(y + down), self.hyper_joint

    def from_virtual(self, W: Tensor, b: Tensor, R: Tensor) -> Tensor:
        """What the virtual joints add to every channel and joint, in all frames: (B, O, V)."""
        joints = self.hyper_joint.view(-1, HEADS, W.shape[2])
        z = torch.einsum("kci,hki->kch", W, joints) + b[..., None]
        return (R @ z.transpose(1, 2).to(R.dtype)).transpose(-1, -2).flatten(1, 2)

    def relations(self, x: Tensor, V: int) -> Tensor:
        """R (B, K, V, U): the learned links, and the hyper-graph of what the joints do in this recording."""
        P = normalised_rows((self.edge_importance * self.PA)[:, :V])
        H, W = self.incidence(x.mean(3))
        return P + self.alpha.relu() * hypergraph(H, W, V)

    def incidence(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """From the joints' means over frames (B, C, V): H (B, K, U, U) and the weights of the hyper-edges (B, K, U)."""
        if pooled.dtype in (torch.float16, torch.bfloat16):
            pooled = pooled.float()
        virtual = self.hyper_joint.t().to(pooled.dtype).expand(len(pooled), -1, -1)
        s = torch.cat([pooled, virtual], 2)
        a = WithoutEffect.apply(grouped(self.to_V.weight, s), self.to_V.bias)  # distances do not see an offset
        W = grouped(self.to_W[0].weight, s) + self.to_W[0].bias.view(HEADS, -1, 1)
        W = self.to_W[1](W).flatten(1, 2)
        W = torch.tanh(left_product(self.to_W[2].weight[..., 0], W) + self.to_W[2].bias[:, None])
        return hyperedges(Distances.apply(a)), W


def grouped(weight: Tensor, s: Tensor) -> Tensor:
    """A Conv1d with kernel 1 and 8 groups, without bias: weight (8d, C/8, 1), s (B, C, U) -> (B, 8, d, U)."""
    B, _, U = s.shape
    return weight.view(HEADS, -1, weight.shape[1]) @ s.view(B, HEADS, -1, U)
