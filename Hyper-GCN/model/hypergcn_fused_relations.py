"""The relations R of one block, and the way back through them, without autograd: few kernels, few tables kept.

Notation as in ``hypergcn.py``; alpha has passed its ReLU.  From s, the means of all vertices over frames, and the
learned links P:

    a = to_V s (its offset moves no distance),  D = |a_u - a_v|,  H = softmax of minus the nine least of each row of D
    W = tanh(to_W2 leaky(to_W0 s + b0) + b2)
    q = column sums of H,  r = H |W|,  f = alpha W^2 / q,  G = (H diag(f)) H^T,  R = P + G / r

with a small EPS added to q and r, and G and r for the V real rows.  The way back from dR, with E = dR / r:

    dP = sum over bodies of dR                dr = -sum_v E G / r = sum_v E (P - R)
    F = H diag(f):  dF = E H,  df = column sums of dF H,  dalpha = sum of df f / alpha
    dq = -df f / q                            dW = 2 df alpha W / q + sign(W) (H^T dr)
    dH = E^T F + dq on every row, and on the real rows dF diag(f) + dr |W|^T

then through softmax and choice to the distances.  D[u, v] has the gradient (a_u - a_v) / D[u, v] for a_u and its
negative for a_v, 0 where D is 0; so with the symmetric S = dD + dD^T, da_u = sum_v S[u, v] (a_u - a_v) / D[u, v].
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from model.hypergcn import EPS, HEADS, neighbours

SLOPE = 0.01  # of LeakyReLU
EUCLIDEAN, DIRECT = 2.0, 2  # norm of torch.cdist, and its mode that takes differences


class Weights(NamedTuple):
    """What makes relations from means, in single precision at least."""

    to_V: Tensor  # (K*d, C/K, 1)
    to_W0: Tensor  # (K*d, C/K, 1)
    b0: Tensor  # (K*d,)
    to_W2: Tensor  # (K, K*d, 1)
    b2: Tensor  # (K,)
    alpha: Tensor  # (1,), after its ReLU
    P: Tensor  # (K, V, U)


class Kept(NamedTuple):
    """Tables for the way back."""

    s: Tensor  # (C, B, U)
    a: Tensor  # (B*K, U, d)
    hidden: Tensor  # (K, d, B*U), after LeakyReLU
    D: Tensor  # (B*K, U, U)
    H: Tensor  # (B*K, U, U)
    place: Tensor  # (B*K, U, 9), and the weights there:
    near: Tensor
    W: Tensor  # (B, K, U)
    q: Tensor  # (B, K, U)
    slope: Tensor  # (B, K, U), alpha W / q
    r: Tensor  # (B*K, V, 1)
    R: Tensor  # (B, K, V, U)


def means(x: Tensor, joints: Tensor) -> Tensor:
    """s (C, B, U): the real joints' means over frames of x (B, C, T, V), then the virtual ``joints`` (h, C)."""
    B, C, _, V = x.shape
    dtype = torch.promote_types(x.dtype, torch.float32)
    s = x.new_empty(C, B, V + len(joints), dtype=dtype)
    torch.mean(x, 2, dtype=dtype, out=s[..., :V].transpose(0, 1))
    if len(joints):
        s[..., V:] = joints.t()[:, None]
    return s


def grouped(weight: Tensor) -> Tensor:
    """(K*d, C/K, 1) -> (K, d, C/K)."""
    return weight.view(HEADS, -1, weight.shape[1])


def incidence(s: Tensor, w: Weights) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """H (B*K, U, U) and W (B, K, U) of s (C, B, U), and (a, hidden, D, place, near) of ``Kept``."""
    C, B, U = s.shape
    source = s.view(HEADS, C // HEADS, B * U)
    a = torch.bmm(grouped(w.to_V), source).view(HEADS, -1, B, U).permute(2, 0, 3, 1).flatten(0, 1).contiguous()
    hidden = torch.baddbmm(w.b0.view(HEADS, -1, 1), grouped(w.to_W0), source)
    hidden = torch.ops.aten.leaky_relu_(hidden, SLOPE)
    before = torch.addmm(w.b2[:, None], w.to_W2[..., 0], hidden.view(-1, B * U))
    W = torch.tanh(before.view(HEADS, B, U).transpose(0, 1), out=s.new_empty(B, HEADS, U))
    D = torch.ops.aten._cdist_forward(a, a, EUCLIDEAN, DIRECT)
    near, place = (part.contiguous() for part in neighbours(D))
    near = near.neg_().softmax(-1)
    return torch.zeros_like(D).scatter_(-1, place, near), W, (a, hidden, D, place, near)


def relate(s: Tensor, w: Weights) -> Kept:
    """R, with all that its way back needs."""
    H, W, tables = incidence(s, w)
    _, B, U = s.shape
    V = w.P.shape[1]
    real = H[:, :V]
    q = H.sum(1).add_(EPS).view(B, HEADS, U)
    r = torch.bmm(real, W.abs().view(-1, U, 1)).add_(EPS)
    slope = w.alpha * W / q
    G = torch.bmm(real * (slope * W).view(-1, 1, U), H.transpose(1, 2))
    R = torch.addcdiv(w.P, G.view(B, HEADS, V, U), r.view(B, HEADS, V, 1))
    a, hidden, D, place, near = tables
    return Kept(s, a, hidden, D, H, place, near, W, q, slope, r, R)


def relate_backward(dR: Tensor, kept: Kept, w: Weights) -> tuple[Tensor, Weights]:
    """Gradients for s (C, B, U) and for the weights."""
    _, _, V, U = dR.shape
    H, W, r, slope = kept.H, kept.W, kept.r, kept.slope
    real = H[:, :V]
    f = slope * W
    row = f.view(-1, 1, U)
    E = dR.reshape(-1, V, U) / r
    dr = (E.view(dR.shape) * (w.P - kept.R)).sum(-1).view(r.shape)
    dF = torch.bmm(E, H)
    df = (dF * real).sum(1).view(W.shape)
    share = df * f
    # minus dH throughout: distances enter the softmax with a minus
    minus = torch.baddbmm((share / kept.q).view(-1, 1, U), E.transpose(1, 2), real * row, alpha=-1)
    minus[:, :V].addcmul_(dF, row, value=-1).addcmul_(dr, W.abs().view(-1, 1, U), value=-1)
    dW = torch.bmm(real.transpose(1, 2), dr).view(W.shape) * W.sgn()
    dW = dW.addcmul_(df, slope, value=2)
    dalpha = share.sum().view(1) / w.alpha  # not a number at 0, where ReLU lets nothing back
    ds, dweights = incidence_backward(minus, dW, kept, w)
    return ds, dweights._replace(alpha=dalpha, P=dR.sum(0))


def incidence_backward(minus: Tensor, dW: Tensor, kept: Kept, w: Weights) -> tuple[Tensor, Weights]:
    """Gradients for s and the weights before H and W, from minus dH (B*K, U, U) and dW (B, K, U)."""
    C, B, U = kept.s.shape
    source = kept.s.view(HEADS, C // HEADS, B * U)
    dnear = torch._softmax_backward_data(minus.gather(-1, kept.place), kept.near, -1, minus.dtype)
    dD = torch.zeros_like(kept.D).scatter_(-1, kept.place, dnear)
    da = torch.ops.aten._cdist_backward(dD + dD.transpose(1, 2), kept.a, kept.a, EUCLIDEAN, kept.D)
    da = da.view(B, HEADS, U, -1).permute(1, 3, 0, 2).flatten(2)
    before = dW.new_empty(HEADS, B, U)
    torch.ops.aten.tanh_backward.grad_input(dW, kept.W, grad_input=before.transpose(0, 1))
    before = before.view(HEADS, B * U)
    hidden = kept.hidden.view(-1, B * U)
    dhidden = torch.mm(w.to_W2[..., 0].t(), before)
    dhidden = torch.ops.aten.leaky_relu_backward(dhidden, hidden, SLOPE, True).view(kept.hidden.shape)
    ds = torch.bmm(grouped(w.to_V).transpose(1, 2), da)
    ds.baddbmm_(grouped(w.to_W0).transpose(1, 2), dhidden)
    return ds.view(kept.s.shape), Weights(
        to_V=torch.bmm(da, source.transpose(1, 2)).view(w.to_V.shape),
        to_W0=torch.bmm(dhidden, source.transpose(1, 2)).view(w.to_W0.shape),
        b0=dhidden.sum(-1).flatten(),
        to_W2=torch.mm(before, hidden.t()).view(w.to_W2.shape),
        b2=before.sum(1),
        alpha=w.alpha,
        P=w.P,
    )  # fmt: skip
