"""Graph convolution with maps per quarter and per channel group, and the channel gate, in one pass over the bodies.

    u[c, w] = sum_k sum_v (M[k, q(c), v, w] + A[k, c mod 8, v, w]) X[k, c, v]       X = W x + bias
    z = u * s                                                                        s = 1 + sigmoid(conv(mean u))

X and the maps of every channel are the largest tensors of FreqMixFormer.  The maps are put together for a few bodies at
a time and again in backward; so is X, unless it is kept.  Of u only the gated form is kept, which the norm behind it
keeps anyway.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from model.skefreqmixformer import GROUPS
from skeleton_lab.nn.fused.graph_conv import project, project_backward, slices


def channel_maps(M: Tensor, A: Tensor) -> Tensor:
    """M (B, K, Q, V, V) and A per channel (C, K, V, V) -> the maps of all channels, (B*C, K*V, V)."""
    _, K, Q, V, _ = M.shape
    maps = A.unflatten(0, (Q, -1)) + M.transpose(1, 2).unsqueeze(2)
    return maps.view(-1, K * V, V)


def gate(u: Tensor, taps: Tensor) -> Tensor:
    """s (B, C) from u (B, C, V, T): mixes the means of neighbouring channels, taps (1, 1, 3)."""
    return 1 + F.conv1d(u.mean((2, 3)).unsqueeze(1), taps, padding=1).squeeze(1).sigmoid_()


def gate_backward(dz: Tensor, z: Tensor, s: Tensor, taps: Tensor, dtaps: Tensor) -> Tensor:
    """du from dz, where z = u * s; adds to ``dtaps``.

    s = 1 + g, g = sigmoid(conv(mean u)) and u = z / s, so that u itself need not be kept:

        ds = sum_(v, t) dz u = sum_(v, t) dz z / s
        dconv = ds g (1 - g) = ds (s - 1) (2 - s)       dmean, dtaps: backward of the convolution, mean u = mean z / s
        du = dz s + dmean / (T V)
    """
    size = z[0, 0].numel()
    ds = (dz * z).sum((2, 3)) / s
    means = z.mean((2, 3)) / s
    dmeans, more, _ = torch.ops.aten.convolution_backward(
        (ds * (s - 1) * (2 - s)).unsqueeze(1), means.unsqueeze(1), taps, None, [1], [1], [1], False, [0], 1,
        [True, True, False],
    )  # fmt: skip
    dtaps += more
    return torch.addcmul((dmeans.squeeze(1) / size)[..., None, None], dz, s[..., None, None])


class GatedAggregate(Function):
    """See the top of this file and ``gated_aggregate``; X and maps of a body and channel are (K*V, T) and (K*V, V).

    Backward, with the map S[c] (K*V, V) of a body and channel, u[c] = S[c]^T X[c] and du from ``gate_backward``:

        dX[c] = S[c] du[c]                  dx = W^T dX, dW = sum_b dX x^T, dbias = sum dX
        dS[c] = X[c] du[c]^T                dM[q] = sum of dS over the channels of q, dA = sum_b dS
    """

    @staticmethod
    def forward(ctx, x, W, bias, M, A, taps, keep):
        inputs = x, W, bias, M, A, taps
        x, W, bias, A, taps = (None if t is None else t.to(M.dtype) for t in (x, W, bias, A, taps))
        B, _, V, T = x.shape
        C, K = A.shape[:2]
        z, s = x.new_empty(B, C, V, T), x.new_empty(B, C)
        kept = []
        for part in slices(B, C * K * V * max(V, T), x.device):
            X = x[part] if W is None else project(x[part], W, bias)
            if keep and W is not None:
                kept.append(X)
            u = z[part]
            u.view(-1, V, T).baddbmm_(channel_maps(M[part], A).transpose(1, 2), X.view(-1, K * V, T), beta=0)
            s[part] = gate(u, taps)
            u.mul_(s[part, :, None, None])
        ctx.save_for_backward(*inputs, z, s, *kept)
        return z

    @staticmethod
    @once_differentiable
    def backward(ctx, dz):
        x, W, bias, M, A, taps, z, s, *kept = (None if t is None else t.to(dz.dtype) for t in ctx.saved_tensors)
        B, _, V, T = x.shape
        C, K = A.shape[:2]
        dx, dM = torch.empty_like(x), torch.empty_like(M)
        dW, dbias, dA, dtaps = (None if t is None else torch.zeros_like(t) for t in (W, bias, A, taps))
        for i, part in enumerate(slices(B, C * K * V * max(V, T), x.device)):
            du = gate_backward(dz[part], z[part], s[part], taps, dtaps).view(-1, V, T)
            dX = torch.bmm(channel_maps(M[part], A), du).view(-1, C * K, V * T)
            if W is None:
                dx[part], X = dX.view_as(x[part]), x[part]
            else:
                dx, more, more_bias = project_backward(dX, x, W, dx, part)
                dW += more
                dbias += more_bias
                X = kept[i] if kept else project(x[part], W, bias)
            del dX
            dmaps = torch.bmm(X.view(-1, K * V, T), du.transpose(1, 2)).view(-1, C, K, V, V)
            dM[part] = dmaps.unflatten(1, (M.shape[2], -1)).sum(2).transpose(1, 2)
            for one in [dmaps.sum(0)] if x.is_cuda else dmaps:  # a kernel for all there, no memory for it here
                dA += one
        return dx, dW, dbias, dM, dA, dtaps, None


def gated_aggregate(
    x: Tensor, W: Tensor | None, bias: Tensor | None, M: Tensor, A: Tensor, taps: Tensor, keep_projection: bool = False
) -> Tensor:
    """Project x for every subset, sum over source joints and subsets with every channel's maps, gate the channels.

    Args:
        x: (B, I, T, V); without W, the projection itself, I = C*K.
        W, bias: (C*K, I) and (C*K,), row c*K + k projects for channel c of subset k.
        M: (B, K, Q, V, V), row = source; one map for each of Q runs of C/Q channels.
        A: (K, 8, V, V), row = source; channel c takes ``A[:, c % 8]``.
        taps: (1, 1, 3) of the gate's convolution over channels.
        keep_projection: keep X for backward (K * C * T * V values a body) instead of projecting again.

    Returns:
        (B, C, T, V), joint-major.
    """
    C = (x.shape[1] if W is None else len(W)) // len(A)
    A = A.transpose(0, 1).repeat(C // GROUPS, 1, 1, 1)
    z = GatedAggregate.apply(x.transpose(2, 3).contiguous(), W, bias, M, A, taps, keep_projection)
    return z.transpose(2, 3)
