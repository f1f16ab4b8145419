"""The graph unit of Hyper-GCN as one function: relations, mixture of joints, projection, norm, residual, ReLU.

Notation as in ``hypergcn.py``.  Memory lies as the shapes say, (B, C, T, V) with joints last: then the joints of all
channels and frames of a head are mixed by one matrix product, with no copy of R for each channel.

Mixture comes before projection, where virtual joints and bias, equal in all frames, are a few more channels of u::

    u[k] = [x[k] R[k]^T; 1 R_real^T; R_virtual^T]        y[k] = [W[k], b[k], W[k] J^T + b[k]] u[k] = M[k] u[k]

that is conv_d of all vertices, mixed.  Back from dy: dM = dy u^T, du = M^T dy; the first rows of du, e, give dx = e R
and dR_real = e^T x; the others, summed over frames, what R_real gets on every joint, and R_virtual.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from model.hypergcn import HEADS, HyperGraphConv
from model.hypergcn_fused_norms import Statistics, norm, norm_backward
from model.hypergcn_fused_relations import Kept, Weights, means, relate, relate_backward
from skeleton_lab.nn.fused.batch_norm import fold
from skeleton_lab.nn.fused.temporal_conv import product_dtype

Links = tuple[Tensor, Tensor]


def projection(W: Tensor, b: Tensor, joints: Tensor) -> Tensor:
    """M (K, c, i+1+h) of W (K, c, i), b (K, c) and virtual joints (h, K*i)."""
    virtual = torch.baddbmm(b[..., None], W, joints.view(len(joints), HEADS, W.shape[2]).permute(1, 2, 0))
    return torch.cat([W, b[..., None], virtual], 2)


def constant_rows(R: Tensor, V: int) -> Tensor:
    """The rows of u that are equal in all frames, (B*K, 1+h, 1, V), from R (B, K, V, U)."""
    R = R.flatten(0, 1)
    rows = R.new_empty(len(R), 1 + R.shape[2] - V, 1, V)
    torch.sum(R[..., :V], -1, out=rows[:, 0, 0])
    rows[:, 1:, 0] = R[..., V:].transpose(1, 2)
    return rows


def mixture(x: Tensor, R: Tensor, rows: Tensor) -> Tensor:
    """u (B*K, i+1+h, T*V) of x (B, C, T, V), R (B, K, V, U) and its constant rows."""
    B, C, T, V = x.shape
    i = C // HEADS
    u = x.new_empty(B * HEADS, i + rows.shape[1], T, V)
    torch.bmm(x.view(-1, i * T, V), R.flatten(0, 1)[..., :V].transpose(1, 2), out=u[:, :i].view(-1, i * T, V))
    u[:, i:] = rows
    return u.flatten(2)


def project(u: Tensor, M: Tensor) -> Tensor:
    """y (B*K, c, T*V)."""
    return torch.bmm(M.repeat(len(u) // HEADS, 1, 1), u)


class GraphUnit(Function):
    """relu(norm(y) + residual), see the top of this file; ``residual`` None: x itself.

    Remembers x, y, the result and tables without frames.
    """

    @staticmethod
    def forward(ctx, x, residual, bodies, bn, W, b, joints, gamma, beta, idle, *weights):
        w = Weights(*weights)
        with torch.autocast(x.device.type, enabled=False):  # distances and sums of a graph want full precision
            kept = relate(means(x, joints), w)
            dtype = product_dtype(x)
        B, _, T, V = x.shape
        M = projection(W, b, joints)
        rows = constant_rows(kept.R, V)
        y = project(mixture(x.to(dtype), kept.R.to(dtype), rows), M.to(dtype)).view(B, -1, T, V)
        out, statistics = norm([bn], y, gamma, beta, bodies)
        out.add_(x if residual is None else residual).relu_()
        ctx.save_for_backward(x, y, out, *statistics, bodies, W, M, rows, joints, gamma, idle, *weights, *kept)
        ctx.same = residual is None
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, dout):
        x, y, out, mean, invstd, bodies, W, M, rows, joints, gamma, idle, *rest = ctx.saved_tensors
        weights, kept = Weights(*rest[: len(Weights._fields)]), Kept(*rest[len(Weights._fields) :])
        d = torch.ops.aten.threshold_backward(dout, out, 0)
        dy, dgamma, dbeta = norm_backward(d, y, gamma, Statistics(mean, invstd), bodies)
        with torch.autocast(x.device.type, enabled=False):
            return unit_backward(ctx.same, d, dy, x, W, M, rows, joints, idle, weights, kept, dgamma, dbeta)


def unit_backward(
    same: bool, d: Tensor, dy: Tensor, x: Tensor, W: Tensor, M: Tensor, rows: Tensor, joints: Tensor, idle: Tensor,
    weights: Weights, kept: Kept, dgamma: Tensor, dbeta: Tensor,
) -> tuple[Any, ...]:  # fmt: skip
    """Gradients for the arguments of ``GraphUnit`` from those of the residual, d, and of y; writes to d if it may."""
    B, C, T, V = x.shape
    i, h = C // HEADS, len(joints)
    x, R = x.to(dy.dtype), kept.R.to(dy.dtype)
    dy = dy.reshape(B * HEADS, -1, T * V)
    M = M.to(dy.dtype)
    dM = torch.bmm(dy, mixture(x, R, rows).transpose(1, 2)).view(B, *M.shape).sum(0).to(W.dtype)
    du = project(dy, M.transpose(1, 2)).view(B * HEADS, -1, T, V)
    e = du[:, :i].view(-1, i * T, V)
    dR = du.new_empty(B * HEADS, V, V + h)
    torch.bmm(e.transpose(1, 2), x.view(-1, i * T, V), out=dR[..., :V])
    still = du[:, i:].sum(2)  # of what is equal in all frames
    dR[..., :V] += still[:, 0, :, None]
    dR[..., V:] = still[:, 1:].transpose(1, 2)
    ds, dweights = relate_backward(dR.view(kept.R.shape).to(kept.R.dtype), kept, weights)
    dx = d if same and d.dtype == e.dtype else d.to(e.dtype, copy=True) if same else torch.zeros_like(x)
    dx.view(-1, i * T, V).baddbmm_(e, R.flatten(0, 1)[..., :V], beta=1 if same else 0)
    dx.add_(ds[..., :V].transpose(0, 1)[:, :, None], alpha=1 / T)
    dW, db, djoints = projection_backward(dM, ds[..., V:].sum(1), W, joints)
    return dx, None if same else d, None, None, dW, db, djoints, dgamma, dbeta, torch.zeros_like(idle), *dweights


def projection_backward(dM: Tensor, dmeans: Tensor, W: Tensor, joints: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients for W, b and the virtual joints from that of M; ``dmeans`` (C, h) is what the joints have already."""
    i, h = W.shape[2], len(joints)
    dvirtual = dM[..., i + 1 :]
    dW = dM[..., :i].baddbmm(dvirtual, joints.view(h, HEADS, i).transpose(0, 1))
    djoints = dmeans.view(HEADS, i, h).baddbmm(W.transpose(1, 2), dvirtual)
    return dW, dM[..., i:].sum(2), djoints.view(HEADS * i, h).t().contiguous()


def graph_unit(
    layer: HyperGraphConv, x: Tensor, residual: Tensor | None, bodies: Tensor | None, links: Links
) -> Tensor:  # fmt: skip
    """relu(bn(y) + residual) in training.

    Args:
        x: (B, C, T, V), contiguous.
        residual: (B, O, T, V); None: x.
        bodies: (B,) multiplicities, see ``batch_norm``.
        links: alpha after its ReLU, and the normalised learned links P (K, V, U).
    """
    W, b = head_weights(layer)
    return GraphUnit.apply(
        x, residual, bodies, layer.bn, W, b, layer.hyper_joint, layer.bn.weight, layer.bn.bias, layer.to_V.bias,
        *relation_weights(layer, links),
    )  # fmt: skip


def folded_graph_unit(layer: HyperGraphConv, x: Tensor, residual: Tensor, links: Links) -> Tensor:
    """``graph_unit`` in eval mode without gradients: the norm is in M and u, its shift on a row of ones."""
    scale, shift = fold([layer.bn])
    W, b = (t * scale.view(HEADS, -1, *[1] * (t.dim() - 2)) for t in head_weights(layer))
    with torch.autocast(x.device.type, enabled=False):
        R = relate(means(x, layer.hyper_joint), relation_weights(layer, links)).R
    dtype = product_dtype(x)
    M = torch.cat([projection(W, b, layer.hyper_joint), shift.view(HEADS, -1, 1)], 2).to(dtype)
    rows = F.pad(constant_rows(R, x.shape[3]), (0, 0, 0, 0, 0, 1), value=1.0)
    u = mixture(x.to(dtype), R.to(dtype), rows)
    y = torch.baddbmm(residual.to(dtype).reshape(len(u), -1, u.shape[2]), M.repeat(len(x), 1, 1), u)
    return y.view(residual.shape).relu_()


def head_weights(layer: HyperGraphConv) -> tuple[Tensor, Tensor]:
    """conv_d's weight (K, c, C/K) and bias (K, c)."""
    conv = layer.conv_d
    return conv.weight.view(HEADS, -1, conv.in_channels // HEADS), conv.bias.view(HEADS, -1)


def relation_weights(layer: HyperGraphConv, links: Links) -> Weights:
    first, _, last, _ = layer.to_W
    return Weights(layer.to_V.weight, first.weight, first.bias, last.weight, last.bias, *links)
