"""Graph convolution with a topology per channel, computed without keeping the topologies.

    z[o, u] = sum_k sum_v S[o, k, u, v] X[o, k, v]         X = the projection of x for every channel and subset
    S[o, k, u, v] = sum_r mix[k, o, r] tanh(p[k, r, u] - q[k, r, v]) + offset[k, o] + A[k, u, v]

p and q come from the mean of x over frames: a mean commutes with a 1x1 convolution, so it goes first.

X and S are the largest tensors of CTR-GCN.  S is rebuilt in backward from p and q, and X, where that is cheap, from x;
both are made for a few bodies at a time.  With d = tanh(p[u] - q[v]) and a gradient dz the way back is

    dX[o, k, v] = sum_u S[o, k, u, v] dz[o, u]                    dS[o, k, u, v] = sum_t dz[o, u, t] X[o, k, v, t]
    dmix[k, o, r] = sum_uv dS[o, k, u, v] d[k, r, u, v]           doffset[k, o] = sum_uv dS[o, k, u, v]
    dA[k, u, v] = sum_o dS[o, k, u, v]                            dd[k, r, u, v] = sum_o mix[k, o, r] dS[o, k, u, v]
    dp[k, r, u] = sum_v (1 - d^2) dd                              dq[k, r, v] = -sum_u (1 - d^2) dd

and x gets W^T dX plus relate^T (dp, dq) / T on every frame.  Equals CTRGC of plain CTR-GCN, summed over the subsets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from skeleton_lab.nn.fused.temporal_conv import left_product, pointwise_backward, product_dtype, weight_gradient

# Values of S or X made at once: on a CPU what stays in its caches, on a GPU what keeps it busy.
SLICE_VALUES = {"cpu": 2**19, "cuda": 2**25}


def slices(bodies: int, values: int, device: torch.device) -> list[slice]:
    """Ranges of bodies whose ``values`` values each stay within the device's slice."""
    size = max(1, SLICE_VALUES.get(device.type, 2**25) // values)
    return [slice(start, min(start + size, bodies)) for start in range(0, bodies, size)]


class Factors:
    """What S is a product of, for some bodies at a time: relation, A and ones below each other, (b, K, R + 2, V*V).

    ``mixed`` times it is S.  The last two parts are the same for all bodies and stay in the buffer.
    """

    def __init__(self, pq: Tensor, A: Tensor, bodies: int):
        _, _, K, R, V = pq.shape
        self.pq = pq  # (B, 2, K, R, V)
        self.buffer = pq.new_empty(bodies, K, R + 2, V, V)  # [..., v, u]
        self.buffer[:, :, R] = A.transpose(1, 2)
        self.buffer[:, :, R + 1].fill_(1)

    def of(self, bodies: slice) -> Tensor:
        """tanh(p[u] - q[v]) at index v * V + u, A and ones; overwrites what it gave before."""
        p, q = self.pq[bodies].unbind(1)
        factor = self.buffer[: len(p)]
        relation = factor[:, :, :-2]
        torch.sub(p.unsqueeze(-2), q.unsqueeze(-1), out=relation)
        relation.tanh_()
        return factor.flatten(-2)


def mixed(mix: Tensor, offset: Tensor) -> Tensor:
    """(K, O, R) and (K, O) -> (K, O, R + 2)."""
    return torch.cat([mix, torch.ones_like(offset)[..., None], offset[..., None]], 2)


def topologies(factor: Tensor, mix: Tensor) -> Tensor:
    """S (B, O, K, V*V) from ``Factors`` and ``mixed``."""
    B, K, _, L = factor.shape
    S = factor.new_empty(B, mix.shape[1], K, L)
    for k in range(K):  # each product writes straight into its subset's part
        S[:, :, k].baddbmm_(mix[k].expand(B, -1, -1), factor[:, k], beta=0)
    return S


def project(x: Tensor, W: Tensor, bias: Tensor) -> Tensor:
    """x (B, C, V, T), W (O*K, C) with row o*K + k -> X (B, O*K, V*T)."""
    if x.is_cuda:  # adding the bias there reads and writes X once more: x gets a channel of ones, it is smaller
        return left_product(torch.cat([W, bias[:, None]], 1), F.pad(x.flatten(2), (0, 0, 0, 1), value=1.0))
    return torch.baddbmm(bias[:, None], W.expand(len(x), -1, -1), x.flatten(2))


def project_backward(dX: Tensor, x: Tensor, W: Tensor, dx: Tensor, s: slice) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of ``project`` for bodies s of x, from their dX: dx, in which theirs are, and those of W and bias."""
    _, C, V, T = x.shape
    if not x.is_cuda:
        torch.bmm(W.t().expand(len(dX), -1, -1), dX, out=dx[s].view(-1, C, V * T))
        return dx, weight_gradient(dX, x[s].flatten(2)), dX.sum((0, 2))
    found, dW, dbias = pointwise_backward(dX.view(len(dX), -1, V, T), x[s], W)
    if len(found) == len(x):
        return found, dW, dbias
    dx[s] = found
    return dx, dW, dbias


class Aggregate(Function):
    """See the top of this file and ``aggregate``.  X and S of a body and channel are matrices (K*V, T) and (K*V, V)."""

    @staticmethod
    def forward(ctx, x, W, bias, relate, relate_bias, mix, offset, A, keep):
        mix = mixed(mix, offset)
        saved = [x, W, bias, relate, mix, A]
        B, _, V, T = x.shape
        K, O, R = mix.shape[0], mix.shape[1], mix.shape[2] - 2  # noqa: E741
        pooled = x.mean(3)
        pq = torch.baddbmm(
            relate_bias[:, None], relate.expand(B, -1, -1), pooled
        )  # autocast decides the precision here
        pq = pq.view(B, 2, K, R, V)
        x, W, bias, mix, A = (t.to(pq.dtype) for t in (x, W, bias, mix, A))
        z = x.new_empty(B, O, V, T)
        kept = []
        parts = slices(B, O * K * V * max(V, T), x.device)
        factors = Factors(pq, A, parts[0].stop)
        for s in parts:
            X = project(x[s], W, bias)
            if keep:
                kept.append(X)
            S = topologies(factors.of(s), mix).view(-1, K * V, V)
            torch.bmm(S.transpose(1, 2), X.view(-1, K * V, T), out=z[s].view(-1, V, T))
        ctx.save_for_backward(*saved, pooled, pq, *kept)
        return z

    @staticmethod
    @once_differentiable
    def backward(ctx, dz):
        x, W, bias, relate, mix, A, pooled, pq, *kept = (t.to(dz.dtype) for t in ctx.saved_tensors)
        B, _, V, T = x.shape
        K, O, R = mix.shape[0], mix.shape[1], mix.shape[2] - 2  # noqa: E741
        dx, dpq = torch.empty_like(x), torch.empty_like(pq)
        sums = []  # of W, bias, mix and A: one gradient for every slice
        parts = slices(B, O * K * V * max(V, T), x.device)
        factors = Factors(pq, A, parts[0].stop)
        for i, s in enumerate(parts):
            dzs = dz[s].reshape(-1, V, T)
            factor = factors.of(s)
            dX = torch.bmm(topologies(factor, mix).view(-1, K * V, V), dzs).view(-1, O * K, V * T)
            dx, dW, dbias = project_backward(dX, x, W, dx, s)
            del dX
            X = kept[i] if kept else project(x[s], W, bias)
            dS = torch.bmm(X.view(-1, K * V, T), dzs.transpose(1, 2)).view(-1, O, K, V * V)
            dmix, dA = mix_backward(dS, factor, mix, dpq[s])
            sums.append((dW, dbias, dmix, dA))
        dW, dbias, dmix, dA = (total(terms) for terms in zip(*sums))
        dpq = dpq.flatten(1, 3)
        dx.add_(left_product(relate.t(), dpq)[..., None], alpha=1 / T)
        drelate = weight_gradient(dpq, pooled)
        return dx, dW, dbias, drelate, dpq.sum((0, 2)), dmix[..., :R], dmix[..., R + 1], dA, None


def mix_backward(dS: Tensor, factor: Tensor, mix: Tensor, dpq: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients for ``mixed`` and A from dS (b, O, K, V*V); writes those of p and q (b, 2, K, R, V) to ``dpq``."""
    K, _, R2 = mix.shape
    V = dpq.shape[-1]
    dfactor = torch.empty_like(factor)
    for k in range(K):
        torch.bmm(mix[k].t().expand(len(dS), -1, -1), dS[:, :, k], out=dfactor[:, k])
    dmix = torch.stack([weight_gradient(dS[:, :, k], factor[:, k]) for k in range(K)])
    relation, drelation = factor[:, :, : R2 - 2], dfactor[:, :, : R2 - 2]
    drelation = torch.ops.aten.tanh_backward(drelation, relation).unflatten(-1, (V, V))  # (1 - d^2) dd
    torch.sum(drelation, -2, out=dpq[:, 0])
    torch.sum(drelation, -1, out=dpq[:, 1]).neg_()
    return dmix, dfactor[:, :, R2 - 2].sum(0).view(K, V, V).transpose(1, 2)


def total(terms: Sequence[Tensor]) -> Tensor:
    """Their sum, in the first one's memory."""
    first, *rest = terms
    for term in rest:
        first += term
    return first


def aggregate(
    x: Tensor, W: Tensor, bias: Tensor, relate: Tensor, relate_bias: Tensor, mix: Tensor, offset: Tensor, A: Tensor,
    keep_projection: bool,
) -> Tensor:  # fmt: skip
    """Project x for every subset, make every channel's topology, sum over source joints and subsets.

    Args:
        x: (B, C, T, V).
        W, bias: (O*K, C) and (O*K,), row o*K + k projects for channel o of subset k.
        relate, relate_bias: (2*K*R, C) and (2*K*R,), make p and then q, (B, K, R, V), from the mean of x over frames.
        mix, offset: (K, O, R) and (K, O).
        A: (K, V, V), row = target.
        keep_projection: keep X for backward (K * O * T * V values a body) instead of projecting again.

    Returns:
        (B, O, T, V), joint-major.
    """
    z = Aggregate.apply(
        x.transpose(2, 3).contiguous(), W, bias, relate, relate_bias, mix, offset, A, keep_projection
    )  # fmt: skip
    return z.transpose(2, 3)


class SharedAggregate(Function):
    """y = W [x A_1; x A_2; ...]: one product for all subsets and one for all channels; remembers x alone.

    With s_k = x A_k, made again in backward: dW_k = dy s_k^T, ds_k = W_k^T dy, dA_k = x^T ds_k, dx = sum_k ds_k A_k^T.
    Equals sum_k conv_k(x @ A_k) of plain graph units.
    """

    @staticmethod
    def forward(ctx, x, W, A):
        ctx.save_for_backward(x, W, A)
        dtype = product_dtype(x)
        x, W, A = (t.to(dtype) for t in (x, W, A))
        B, _, V, T = x.shape
        y = x.new_empty(B, len(W), V, T)  # not a view of anything: callers may write to it
        for s, z in buffers(x, len(A)):
            y[s].flatten(2).baddbmm_(W.expand(len(z), -1, -1), spread(x[s], A, z), beta=0)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        x, W, A = (t.to(dy.dtype) for t in ctx.saved_tensors)
        _, _, V, T = x.shape
        dy = dy.flatten(2)
        sources = A.transpose(1, 2).flatten(0, 1).t()
        dx, sums = torch.empty_like(x), []
        for s, z in buffers(x, len(A)):
            dW = weight_gradient(dy[s], spread(x[s], A, z))
            z.baddbmm_(W.t().expand(len(z), -1, -1), dy[s], beta=0)
            dz = z.view(-1, len(A) * V, T)
            sums.append((dW, weight_gradient(dz, x[s].flatten(0, 1))))
            dx[s].flatten(0, 1).baddbmm_(sources.expand(len(dz), -1, -1), dz, beta=0)
        dW, dA = (total(terms) for terms in zip(*sums))
        return dx, dW, dA.view(-1, V, V).transpose(1, 2)  # rows of dA: targets


def buffers(x: Tensor, K: int) -> Iterator[tuple[slice, Tensor]]:
    """Bodies of x (B, C, V, T) and room (b, C*K, V*T) for what ``spread`` makes of them, the same memory every time.

    Fresh memory would cost a CPU more than the products that fill it.
    """
    B, C, V, T = x.shape
    z = None
    for s in slices(B, K * C * V * T, x.device):
        z = x.new_empty(s.stop - s.start, C * K, V * T) if z is None else z[: s.stop - s.start]
        yield s, z


def spread(x: Tensor, A: Tensor, out: Tensor) -> Tensor:
    """x (B, C, V, T), A (K, V, V) with row = source -> ``out`` (B, C*K, V*T), channel c*K + k holds x[c] A_k."""
    K, V, _ = A.shape
    targets = A.transpose(1, 2).flatten(0, 1)
    x = x.flatten(0, 1)
    out.view(len(x), K * V, -1).baddbmm_(targets.expand(len(x), -1, -1), x, beta=0)
    return out


def shared_aggregate(x: Tensor, W: Tensor, A: Tensor) -> Tensor:
    """sum_k W_k (x A_k) with the same topologies for all channels.

    Args:
        x: (B, C, T, V).
        W: (O, C*K), column c*K + k.
        A: (K, V, V), row = source.

    Returns:
        (B, O, T, V), joint-major.
    """
    return SharedAggregate.apply(x.transpose(2, 3).contiguous(), W, A).transpose(2, 3)
