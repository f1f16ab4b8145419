"""DeGCN's temporal unit in a few products, of which the largest tensors are made again in backward.

The offsets tr[e] of a deformable branch are the same for all output frames, so floor(s j + tr[e]) = s j + f_e with
f_e = floor(tr[e]), and with a_e = f_e + 1 - tr[e]

    z[c, e, j] = a_e x[c, cl(s j + f_e)] + (1 - a_e) x[c, cl(s j + f_e + 1)]          cl: clamp to the frames there are
    y[o, j] = sum_c sum_e W[o, c, e] z[c, e, j]

is, for every e, a weighted sum of two shifted copies of x with its edge frames repeated, and one product.  With dz =
W^T dy the way back is

    dx[c, t] = sum_e a_e sum_(j: cl(s j + f_e) = t) dz[c, e, j] + (1 - a_e) sum_(j: cl(s j + f_e + 1) = t) dz[c, e, j]
    dtr[e] = sum_(c, j) dz[c, e, j] (x[c, cl(s j + f_e + 1)] - x[c, cl(s j + f_e)])          (da_e / dtr[e] = -1)

On a CPU the copies are slices, for which the host reads tr.  On a GPU, which that would stop, z = x P with the matrix
P[t, (e, j)] = a_e [t = cl(s j + f_e)] + (1 - a_e) [t = cl(s j + f_e + 1)], made there: dx = dz P^T, dP = x^T dz.  It is
small and the same for all bodies: both branches' are made at once, and kept for backward.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from skeleton_lab.nn.fused.batch_norm import normed, normed_again, normed_backward, rectified, rectified_backward
from skeleton_lab.nn.fused.graph_conv import slices
from skeleton_lab.nn.fused.max_pool import max3, max3_backward
from skeleton_lab.nn.fused.temporal_conv import weight_gradient


class Taps(NamedTuple):
    """Where a branch reads frames of x (..., F): output frame j at stride * j + left[e], in x padded on both sides."""

    left: list[int]  # f_e + padding in front
    share: list[float]  # a_e
    padding: tuple[int, int]
    stride: int
    frames: int  # of the output

    @classmethod
    def of(cls, tr: Tensor, frames: int, stride: int) -> Taps:
        out = -(-frames // stride)
        offsets = [float(t) for t in tr.detach().cpu().double()]
        # Offsets further out than all frames read an end alone, wherever they are; of a run that diverged all is NaN.
        floors = [max(-stride * out - 1, min(frames, math.floor(t))) if math.isfinite(t) else 0 for t in offsets]
        shares = [1.0 - (t - math.floor(t)) if math.isfinite(t) else math.nan for t in offsets]
        front = max(0, -min(floors))
        back = max(0, stride * (out - 1) + max(floors) + 1 - (frames - 1))
        return cls([f + front for f in floors], shares, (front, back), stride, out)

    def pad(self, x: Tensor) -> Tensor:
        return F.pad(x, (*self.padding, 0, 0), "replicate").to(x.dtype)  # autocast pads in single precision

    def pair(self, x: Tensor, e: int) -> tuple[Tensor, Tensor]:
        """Views of padded x (..., F'), the frames before and after every position of sample e, (..., T') each."""
        span = self.stride * (self.frames - 1) + 1
        start = self.left[e]
        return tuple(x[..., i : i + span : self.stride] for i in (start, start + 1))


def interpolated(x: Tensor, taps: Taps) -> Tensor:
    """x (B, C, V, F) -> z (B, C, eta, V, T')."""
    x = taps.pad(x)
    z = x.new_empty(*x.shape[:2], len(taps.left), x.shape[2], taps.frames)
    for e, share in enumerate(taps.share):
        before, after = taps.pair(x, e)
        torch.lerp(after, before, share, out=z[:, :, e])
    return z


def interpolated_backward(dz: Tensor, x: Tensor, taps: Taps) -> tuple[Tensor, list[Tensor]]:
    """Gradients for x, and for every tr[e] a number."""
    x, dtr = taps.pad(x), []
    dx = torch.zeros_like(x)
    for e, share in enumerate(taps.share):
        d = dz[:, :, e]
        before, after = taps.pair(x, e)
        dtr.append((d * (after - before)).sum())
        dbefore, dafter = taps.pair(dx, e)
        dbefore.add_(d, alpha=share)
        dafter.add_(d, alpha=1.0 - share)
    front, back = taps.padding  # what arrives at copies is the end's
    if front:
        dx[..., front] += dx[..., :front].sum(-1)
    if back:
        dx[..., -back - 1] += dx[..., -back:].sum(-1)
    return dx[..., front : dx.shape[-1] - back], dtr


class Sampling(NamedTuple):
    """The matrix P (F, eta * T') of the top of this file, and for dtr the rows of its entries."""

    P: Tensor
    before: Tensor  # (eta, T') int64
    after: Tensor

    @classmethod
    def of(cls, tr: Tensor, frames: int, stride: int, dtype: torch.dtype) -> Sampling:
        floor = tr.floor()
        at = torch.arange(0, frames, stride, device=tr.device) + floor.long()[:, None]
        before, after = at.clamp(0, frames - 1), (at + 1).clamp(0, frames - 1)
        share = (floor + 1 - tr)[:, None].expand(at.shape)
        P = tr.new_zeros(frames, *at.shape)
        P.scatter_add_(0, before[None], share[None]).scatter_add_(0, after[None], 1 - share[None])
        return cls(P.flatten(1).to(dtype), before, after)

    @classmethod
    def of_branches(cls, trs: Sequence[Tensor], a: Tensor, stride: int) -> Sampling | None:
        """Those of several branches of a (B, ..., F) one after the other; None on a CPU, which does without."""
        return cls.of(torch.cat(list(trs)), a.shape[-1], stride, a.dtype) if a.is_cuda else None

    def split(self, branches: int) -> list[Sampling]:
        return [Sampling(*parts) for parts in zip(self.P.chunk(branches, 1), *(t.chunk(branches) for t in self[1:]))]

    def interpolated(self, x: Tensor) -> Tensor:
        z = torch.matmul(x, self.P).unflatten(-1, self.before.shape)
        return z.transpose(2, 3).contiguous()

    def backward(self, dz: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients for x and tr."""
        dz = dz.transpose(2, 3).flatten(3)
        dP = torch.matmul(x.flatten(0, 2).t(), dz.flatten(0, 2)).view(-1, *self.before.shape)
        dtr = (dP.gather(0, self.after[None]) - dP.gather(0, self.before[None])).sum((0, 2))
        return torch.matmul(dz, self.P.t()), dtr


def sampled(x: Tensor, tr: Tensor, W: Tensor, stride: int, sampling: Sampling | None = None) -> Tensor:
    """y (B, O, V, T') of x (B, C, V, F), tr (eta,) and W (O, C*eta), without a bias; by the matrix if there is one."""
    B, _, V, frames = x.shape
    out = -(-frames // stride)
    if sampling is not None:
        z = sampling.interpolated(x)
        return torch.matmul(W, z.view(B, -1, V * out)).view(B, -1, V, out)
    taps = Taps.of(tr, frames, stride)
    y = x.new_empty(B, len(W), V, out)
    for s in slices(B, W.shape[1] * V * out, x.device):
        z = interpolated(x[s], taps).view(-1, W.shape[1], V * out)
        y[s].view(len(z), -1, V * out).baddbmm_(W.expand(len(z), -1, -1), z, beta=0)
    return y


def sampled_backward(
    dy: Tensor, x: Tensor, tr: Tensor, W: Tensor, stride: int, sampling: Sampling | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients for x, tr and W of ``sampled``."""
    B, C, V, frames = x.shape
    out = dy.shape[3]
    if sampling is not None:
        dflat = dy.reshape(B, -1, V * out)
        dW = weight_gradient(dflat, sampling.interpolated(x).view(B, -1, V * out))
        dz = torch.matmul(W.t(), dflat).view(B, C, -1, V, out)
        dx, dtr = sampling.backward(dz, x)
        return dx, dtr.to(tr.dtype), dW
    taps = Taps.of(tr, frames, stride)
    dx, dtr, dW = torch.empty_like(x), torch.zeros_like(tr), torch.zeros_like(W)
    for s in slices(B, W.shape[1] * V * out, x.device):
        dflat = dy[s].reshape(-1, len(W), V * out)
        dW += weight_gradient(dflat, interpolated(x[s], taps).view(len(dflat), -1, V * out))
        dz = torch.bmm(W.t().expand(len(dflat), -1, -1), dflat).view(-1, C, len(tr), V, out)
        dx[s], found = interpolated_backward(dz, x[s], taps)
        dtr += torch.stack(found)
    return dx, dtr, dW


def branches(a: Tensor, stride: int, taps: Sequence[Tensor], sampling: Sampling | None) -> list[Tensor]:
    """Of a (B, 3w, V, F) two parts sampled and the last pooled, (B, w, V, T') each; taps: two offsets, two weights."""
    first, second, last = a.chunk(3, 1)
    how = [None, None] if sampling is None else sampling.split(2)
    y = [
        sampled(part, tr, W.to(a.dtype), stride, each)
        for part, tr, W, each in zip((first, second), taps[:2], taps[2:], how)
    ]
    return [*y, max3(last, stride)]


def branches_backward(
    dy: Sequence[Tensor | None], a: Tensor, stride: int, taps: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor]]:  # fmt: skip
    """Gradients for a and for the taps, behind which the parts of a ``Sampling`` may follow; None in ``dy`` is zero."""
    taps, sampling = taps[:4], taps[4:]
    how = Sampling(*sampling).split(2) if sampling else [None, None]
    *parts, last = a.chunk(3, 1)
    *dsampled, dpooled = dy
    found = []  # gradients of a part, its offsets and its weights
    for d, part, tr, W, each in zip(dsampled, parts, taps[:2], taps[2:], how):
        if d is None:
            found.append((torch.zeros_like(part), torch.zeros_like(tr), torch.zeros_like(W)))
        else:
            dpart, dtr, dW = sampled_backward(d.to(a.dtype), part, tr, W.to(a.dtype), stride, each)
            found.append((dpart, dtr, dW.to(W.dtype)))
    dparts, dtrs, dweights = zip(*found)
    dlast = torch.zeros_like(last) if dpooled is None else max3_backward(dpooled, last, stride)
    return torch.cat([*dparts, dlast.to(a.dtype)], 1), [*dtrs, *dweights]


class Branches(Function):
    """``branches``, its backward as written there; remembers a and the taps."""

    @staticmethod
    def forward(ctx, a, stride, *taps):
        sampling = Sampling.of_branches(taps[:2], a, stride)
        ctx.save_for_backward(a, *taps, *(sampling or ()))
        ctx.set_materialize_grads(False)
        ctx.stride = stride
        return tuple(branches(a, stride, taps, sampling))

    @staticmethod
    @once_differentiable
    def backward(ctx, *dy):
        a, *taps = ctx.saved_tensors
        da, dtaps = branches_backward(dy, a, ctx.stride, taps)
        return da, None, *dtaps


class NormBranches(Function):
    """``branches`` of a = leaky(norm(h)); remembers h alone: a is one cheap pass away.

    The last two results are the batch's mean and 1 / sigma.  The way back is that of ``branches``, then of the leaky
    ReLU, whose result has the sign of its input, then ``normed_backward``.
    """

    @staticmethod
    def forward(ctx, h, gamma, beta, bodies, eps, slope, stride, *taps):
        a, mean, invstd = normed(h, gamma, beta, bodies, eps)
        sampling = Sampling.of_branches(taps[:2], a, stride)
        ctx.save_for_backward(h, gamma, beta, mean, invstd, bodies, *taps, *(sampling or ()))
        ctx.mark_non_differentiable(mean, invstd)
        ctx.set_materialize_grads(False)
        ctx.slope, ctx.stride = slope, stride
        return *branches(rectified(a, slope), stride, taps, sampling), mean, invstd

    @staticmethod
    @once_differentiable
    def backward(ctx, *dy):
        h, gamma, beta, mean, invstd, bodies, *taps = ctx.saved_tensors
        a = rectified(normed_again(h, gamma, beta, mean, invstd), ctx.slope)
        da, dtaps = branches_backward(dy[:3], a, ctx.stride, taps)
        dnorm = rectified_backward(da, a, ctx.slope).to(h.dtype)
        gradients = normed_backward(dnorm, h, gamma, mean, invstd, bodies)
        return *gradients, None, None, None, None, *dtaps
