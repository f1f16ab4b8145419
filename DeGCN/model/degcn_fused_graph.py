"""DeGCN's grouped graph unit without its topologies in memory: CTR-GCN's way (``skeleton_lab.nn.fused.graph_conv``).

    z[c, v] = sum_h sum_u S[c, h, v, u] X[c, h, u]         X = conv3(x), h = subset of the graph
    S[c, h, v, u] = sum_r mix[h, c, r] tanh(q[h, r, v] - k[h, r, u]) + offset[h, c] + A[h, v, u]

A group of channels reads nothing of the others, so the groups of a body are bodies here, G of them with 1/G of the
channels, each group with weights of its own; in memory nothing moves.  S is rebuilt in backward from q and k, and X
from x, for a few bodies at a time.  With d = tanh(q[v] - k[u]) and a gradient dz the way back is, in every group,

    dX[c, h, u] = sum_v S[c, h, v, u] dz[c, v]                    dS[c, h, v, u] = sum_t dz[c, v, t] X[c, h, u, t]
    dmix[h, c, r] = sum_vu dS[c, h, v, u] d[h, r, v, u]           doffset[h, c] = sum_vu dS[c, h, v, u]
    dA[h, v, u] = sum_c dS[c, h, v, u]                            dd[h, r, v, u] = sum_c mix[h, c, r] dS[c, h, v, u]
    dq[h, r, v] = sum_u (1 - d^2) dd                              dk[h, r, u] = -sum_v (1 - d^2) dd

summed over bodies for weights, over bodies and groups for A; x gets W^T dX plus relate^T (dq, dk) / T on every frame.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from skeleton_lab.nn.fused.graph_conv import Factors, mixed, slices, total


class Weights(NamedTuple):
    """Of a grouped unit: G groups, K subsets, I channels in and O out of a group, R relations of a subset in it."""

    project: Tensor  # (G, O*K, I), row c*K + h
    project_bias: Tensor  # (G, O*K)
    relate: Tensor  # (G, 2*K*R, I), the rows of q before those of k
    relate_bias: Tensor  # (G, 2*K*R)
    mix: Tensor  # (G, K, O, R)
    offset: Tensor  # (G, K, O)
    A: Tensor  # (K, V, V), row = target

    def per_body(self, bodies: int) -> tuple[Tensor, Tensor, Tensor]:
        """``project``, its bias as a column, and ``mixed`` (K, ...), repeated for the groups of so many bodies."""
        parts = self.project, self.project_bias[..., None], mixed_groups(self)
        project, bias, mix = (t.expand(bodies, *t.shape).flatten(0, 1) for t in parts)
        return project, bias, mix.transpose(0, 1)


def mixed_groups(weights: Weights) -> Tensor:
    """(G, K, O, R + 2), see ``mixed``."""
    flat = mixed(weights.mix.flatten(0, 1), weights.offset.flatten(0, 1))
    return flat.unflatten(0, weights.offset.shape[:2])


def relations(pooled: Tensor, weights: Weights, V: int) -> Tensor:
    """q and k (B*G, 2, K, R, V) of the mean over frames (B, C, V)."""
    G, K, _, R = weights.mix.shape
    pooled = pooled.unflatten(1, (G, -1))
    pq = torch.matmul(weights.relate, pooled) + weights.relate_bias[..., None]
    return pq.view(-1, 2, K, R, V)


def topologies(factor: Tensor, mix: Tensor) -> Tensor:
    """S (b, O, K, V*V) from factors (b, K, R + 2, V*V) and mix (K, b, O, R + 2)."""
    b, K, _, L = factor.shape
    S = factor.new_empty(b, mix.shape[2], K, L)
    for h in range(K):  # each product writes straight into its subset's part
        S[:, :, h].baddbmm_(mix[h], factor[:, h], beta=0)
    return S


class GroupedAggregate(Function):
    """See the top of this file.  x (B, C, V, T), contiguous -> z (B, G*O, V, T); remembers x, q and k alone."""

    @staticmethod
    def forward(ctx, x, *weights):
        dtype = torch.bmm(x.new_zeros(1, 1, 1), x.new_zeros(1, 1, 1)).dtype  # autocast decides the precision here
        pooled = x.mean(3)
        ctx.save_for_backward(x, pooled, *weights)
        x, pooled, *weights = (t.to(dtype) for t in (x, pooled, *weights))
        weights = Weights(*weights)
        B, C, V, T = x.shape
        G, K, O, _ = weights.mix.shape  # noqa: E741
        pq = relations(pooled, weights, V)
        z = x.new_empty(B, G * O, V, T)
        for s, groups, factors in parts(x, pq, weights):
            W, bias, mix = weights.per_body(s.stop - s.start)
            X = torch.baddbmm(bias, W, x[s].view(-1, C // G, V * T)).view(-1, K * V, T)
            S = topologies(factors.of(groups), mix).view(-1, K * V, V)
            z[s].view(-1, V, T).baddbmm_(S.transpose(1, 2), X, beta=0)
        return z

    @staticmethod
    @once_differentiable
    def backward(ctx, dz):
        x, pooled, *weights = (t.to(dz.dtype) for t in ctx.saved_tensors)
        weights = Weights(*weights)
        B, C, V, T = x.shape
        G, K, O, R = weights.mix.shape  # noqa: E741
        pq = relations(pooled, weights, V)
        dx, dpq = torch.empty_like(x), torch.empty_like(pq)
        sums = []
        for s, groups, factors in parts(x, pq, weights):
            W, bias, mix = weights.per_body(s.stop - s.start)
            source, factor = x[s].view(-1, C // G, V * T), factors.of(groups)
            dzs = dz[s].reshape(-1, V, T)
            dX = torch.bmm(topologies(factor, mix).view(-1, K * V, V), dzs).view(-1, O * K, V * T)
            torch.bmm(W.mT, dX, out=dx[s].view(-1, C // G, V * T))
            dW, dbias = of_groups(torch.bmm(dX, source.mT), G), of_groups(dX.sum(2), G)
            del dX
            X = torch.baddbmm(bias, W, source).view(-1, K * V, T)
            dS = torch.bmm(X, dzs.mT).view(-1, O, K, V * V)
            dmix, dA = mix_backward(dS, factor, mix, dpq[groups], G)
            sums.append((dW, dbias, dmix, dA))
        dW, dbias, dmix, dA = (total(terms) for terms in zip(*sums))
        dpq = dpq.view(B, G, 2 * K * R, V)
        dpooled = torch.matmul(weights.relate.mT, dpq)
        dx += dpooled.flatten(1, 2)[..., None] / T
        drelate = torch.matmul(dpq, pooled.unflatten(1, (G, -1)).mT).sum(0)
        return dx, dW, dbias, drelate, dpq.sum((0, 3)), dmix[..., :R], dmix[..., R + 1], dA


def parts(x: Tensor, pq: Tensor, weights: Weights):
    """Ranges of bodies of x (B, C, V, T) to compute at once, of their groups, and the factors of S."""
    B, _, V, T = x.shape
    G, K, O, _ = weights.mix.shape  # noqa: E741
    bodies = slices(B, G * O * K * V * max(V, T), x.device)
    factors = Factors(pq, weights.A, bodies[0].stop * G)
    for s in bodies:
        yield s, slice(s.start * G, s.stop * G), factors


def of_groups(terms: Tensor, G: int) -> Tensor:
    """(b*G, ...) of bodies and groups -> (G, ...), summed over bodies."""
    return terms.unflatten(0, (-1, G)).sum(0)


def mix_backward(dS: Tensor, factor: Tensor, mix: Tensor, dpq: Tensor, G: int) -> tuple[Tensor, Tensor]:
    """Gradients (G, K, O, R + 2) for ``mixed_groups`` and (K, V, V) for A; those of q and k are written to ``dpq``."""
    K, V = len(mix), dpq.shape[-1]
    dfactor = torch.empty_like(factor)
    for h in range(K):
        torch.bmm(mix[h].mT, dS[:, :, h], out=dfactor[:, h])
    dmix = torch.stack([of_groups(torch.bmm(dS[:, :, h], factor[:, h].mT), G) for h in range(K)], 1)
    relation, drelation = factor[:, :, :-2], dfactor[:, :, :-2]
    drelation = torch.ops.aten.tanh_backward(drelation, relation).unflatten(-1, (V, V))  # (1 - d^2) dd
    torch.sum(drelation, -2, out=dpq[:, 0])
    torch.sum(drelation, -1, out=dpq[:, 1]).neg_()
    return dmix, dfactor[:, :, -2].sum(0).view(K, V, V).transpose(1, 2)


def grouped_aggregate(x: Tensor, weights: Weights) -> Tensor:
    """(B, G*I, T, V) -> (B, G*O, T, V), joint-major."""
    return GroupedAggregate.apply(x.transpose(2, 3).contiguous(), *weights).transpose(2, 3)
