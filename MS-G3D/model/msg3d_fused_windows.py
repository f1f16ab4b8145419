"""The two products of ``msg3d.MSG3D``, each one matrix product for all frames of a window, all scales and all joints.

    h[b, t', i, e] = sum_(w, v, k) A[i, (w, v, k)] y[b, stride * t' + w - pad, (v, k), e],     y_k = P_k x
    o[b, o, t', u] = sum_(w, e) O[o, (w, e)] relu(norm(h))[b, t', (u, w), e]

y holds frames first: the frames of a window lie one behind the other, so windows are overlapping views of y and are
never made.  i = (u, w), joint before frame, so that the W values of a joint, which o sums, lie side by side as well.
y is made for one body at a time on a CPU, whose cache it then fits, for many on a GPU, and again in backward.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from skeleton_lab.nn.fused.graph_conv import slices
from skeleton_lab.nn.fused.temporal_conv import product_dtype


class Windows(NamedTuple):
    """Windows of ``window`` frames (odd, at least ``stride``) around every ``stride``-th of T frames, zeros around."""

    T: int
    window: int
    stride: int

    @property
    def pad(self) -> int:
        return self.window // 2

    @property
    def out(self) -> int:
        """T'."""
        return -(-self.T // self.stride)

    @property
    def period(self) -> int:
        """Windows from body to body: T frames and at least ``pad`` frames of zeros, which neighbours share."""
        return -(-(self.T + self.pad) // self.stride)

    def frames(self, like: Tensor, bodies: int, width: int) -> tuple[Tensor, Tensor]:
        """Memory between zeros, as frames (bodies, T, width) to write to, and as windows (n, window * width) to read.

        n = bodies * period less the last ones, which hold no frame; so do those between two bodies.
        """
        period = self.period * self.stride
        memory = like.new_empty(self.pad + bodies * period, width)
        memory[: self.pad] = 0
        every = memory[self.pad :].view(bodies, period, width)
        every[:, self.T :] = 0
        n = (bodies - 1) * self.period + self.out
        return every[:, : self.T], memory.as_strided((n, self.window * width), (self.stride * width, 1))

    def holders(self, r: int) -> range:
        """The d of the windows t' = q + d that hold frame stride * q + r, as their frame w = r + pad - stride * d."""
        return range(-((self.window - 1 - self.pad - r) // self.stride), (r + self.pad) // self.stride + 1)


def sums_in_place(device: torch.device) -> bool:
    """Whether a sum of products is best added product by product: on a GPU that would be a kernel for each."""
    return device.type == "cpu"


def by_body(x: Tensor, values: int) -> Iterator[slice]:
    """Ranges of bodies: single ones on a CPU, else as many as fit the device's slice with ``values`` values each."""
    return slices(len(x), 2**62 if sums_in_place(x.device) else values, x.device)


def add_products(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += sum_n a[n] @ b[n]."""
    if sums_in_place(total.device):
        total.addbmm_(a, b)
    else:  # one product with a long sum
        total += torch.tensordot(a, b, ([0, 2], [0, 1]))


class WindowAggregate(Function):
    """h of the formula at the top; remembers x alone.

    Args: x (B, C, V, T), A (I, W*V*S), P (E, S, C), W, stride.  Backward, with t = stride * t' + w - pad for all
    (w, t', t), follows term by term:

        dA = sum_(b, t') dh[b, t'] y[b, window t']^T       dy[b, t, j] = sum_w A[:, (w, j)]^T dh[b, t']
        dx[b, :, v, t] = P dy[b, t, v]                     dP = sum_(b, v, t) x[b, :, v, t] dy[b, t, v]^T

    The windows that hold a frame lie one behind the other as well: dy is one product per remainder of t modulo stride.
    """

    @staticmethod
    def forward(ctx, x, A, P, window, stride):
        ctx.save_for_backward(x, A, P)
        ctx.windows = windows = Windows(x.shape[3], window, stride)
        x, A, P = cast(product_dtype(x), x, A, P)
        E, P = len(P), by_channel(P)
        h = x.new_empty(len(x), windows.out, len(A), E)
        for s in by_body(x, windows.out * A.shape[1] * E):
            Y = projected(frames_first(x[s]), P, windows, E)
            if len(h[s]) == 1:
                h[s][0].baddbmm_(A.expand(len(Y), -1, -1), Y, beta=0)
                continue
            every = h.new_empty(len(h[s]) * windows.period, *h.shape[2:])
            every[: len(Y)].baddbmm_(A.expand(len(Y), -1, -1), Y, beta=0)
            h[s] = every.view(-1, windows.period, *h.shape[2:])[:, : windows.out]
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx, dh):
        x, A, P = (t.to(dh.dtype) for t in ctx.saved_tensors)
        _, C, V, T = x.shape
        E, S, P = *P.shape[:2], by_channel(P)
        dx, dA, dP = torch.empty_like(x), torch.zeros_like(A), torch.zeros_like(P)
        for s in by_body(x, ctx.windows.out * A.shape[1] * E):
            xs = frames_first(x[s])
            Y = projected(xs, P, ctx.windows, E)
            dy = frames_gradient(dh[s], A, ctx.windows, dA, Y).reshape(len(xs), T * V, -1)
            dx[s] = torch.bmm(P.expand(len(xs), -1, -1), dy.transpose(1, 2)).view(-1, C, T, V).transpose(2, 3)
            add_products(dP, xs, dy)
        return dx, dA, dP.view(C, S, E).permute(2, 1, 0), None, None


def by_channel(P: Tensor) -> Tensor:
    """(E, S, C) -> (C, S*E)."""
    return P.permute(2, 1, 0).flatten(1)


def frames_first(x: Tensor) -> Tensor:
    """(b, C, V, T) -> (b, C, T*V)."""
    return x.transpose(2, 3).flatten(2)


def projected(x: Tensor, P: Tensor, windows: Windows, E: int) -> Tensor:
    """The windows (n, W*V*S, E) of y: x (b, C, T*V), P (C, S*E)."""
    own, Y = windows.frames(x, len(x), x.shape[2] // windows.T * P.shape[1])
    own.view(len(x), x.shape[2], -1).baddbmm_(x.transpose(1, 2), P.expand(len(x), -1, -1), beta=0)
    return Y.unflatten(1, (-1, E))


def frames_gradient(dh: Tensor, A: Tensor, windows: Windows, dA: Tensor, Y: Tensor) -> Tensor:
    """dy (b, T, V*S, E) from dh (b, T', I, E); adds to ``dA`` what the windows ``Y`` give."""
    b, _, I, E = dh.shape  # noqa: E741
    holders = [windows.holders(r) for r in range(windows.stride)]
    before, behind = -min(d.start for d in holders), max(d.stop for d in holders) - 1
    memory = dh.new_zeros(before + b * windows.period + behind, I, E)
    every = memory[before : before + b * windows.period]
    every.view(b, -1, I, E)[:, : windows.out] = dh
    add_products(dA, every[: len(Y)], Y.transpose(1, 2))
    by_frame = A.view(I, windows.window, -1).permute(1, 2, 0)  # (W, V*S, I)
    dy = dh.new_empty(len(every), windows.stride, by_frame.shape[1], E)
    for r, ds in enumerate(holders):
        A_r = torch.cat([by_frame[r + windows.pad - windows.stride * d] for d in ds], 1)
        D = memory.as_strided((len(every), len(ds) * I, E), (I * E, E, 1), (before + ds.start) * I * E)
        dy[:, r].baddbmm_(A_r.expand(len(dy), -1, -1), D, beta=0)
    return dy.view(b, -1, *dy.shape[2:])[:, : windows.T]


@torch.no_grad()
def moments(h: Tensor, project: Tensor | None, bodies: Tensor | None) -> tuple[Tensor, Tensor, Tensor | int]:
    """Mean and variance per channel of h (or of what ``project`` makes of it), and how many values a channel has.

    A projection is linear: its moments follow from the mean and the covariance of what it projects.
    """
    B, T, I, E = h.shape  # noqa: E741
    dtype = torch.promote_types(h.dtype, torch.float32)
    weight = torch.ones(B, dtype=dtype, device=h.device) if bodies is None else bodies.to(dtype)
    n = weight.sum() * (I * T)
    share = (weight / n).view(-1, 1)
    parts = list(slices(B, I * T * E, h.device))
    mean = sum((share[s] * h[s].flatten(1, 2).sum(1, dtype=dtype)).sum(0) for s in parts)
    if project is None:
        centred = (h[s].flatten(1, 2) - mean for s in parts)
        return mean, sum((share[s] * c.square_().sum(1)).sum(0) for s, c in zip(parts, centred)), n
    project = project.to(dtype)
    centred = (h[s].flatten(1, 2).sub(mean).mul_(share[s].sqrt().unsqueeze(2)).flatten(0, 1) for s in parts)
    with torch.autocast(h.device.type, enabled=False):
        covariance = sum(c.t() @ c for c in centred)
        return mean @ project, ((covariance @ project) * project).sum(0), n


class NormReLUCollapse(Function):
    """o of the formula at the top; remembers h alone, or what ``project`` makes it from.

    Backward, with a = relu(n), n = gamma * hhat + beta, hhat = (h - mean) / sigma, per frame t' and joint u:

        da[t', (u, w)] = O[w]^T do[t', u]           dO[w] = sum_(b, t', u) do[b, t', u] a[b, t', (u, w)]^T
        dn = da where a > 0, else 0                 dgamma = sum dn * hhat,  dbeta = sum dn
        dh_b = gamma / sigma * (dn_b - s_b * (dbeta + hhat_b * dgamma))

    s_b is the share of a value of body b in ``mean`` and ``var``, which move with h (0 where they are constants): the
    gradient that arrives at a body is the sum over the equal bodies that it stands for.  In h the last line is
    scale * dn + s_b * (slope * h + offset).  With h = f ``project``: df = dh project^T, dproject = sum f^T dh.

    ``h`` (B, T', V*W, E), or (B, T', V*W, F) with ``project`` (F, E); ``mean``, ``var`` (E,) are moments of the batch
    with multiplicities ``bodies`` if ``batch``, else constants; ``O`` (O, E, W); o (B, O, T', V).
    """

    @staticmethod
    def forward(ctx, h, project, gamma, beta, mean, var, bodies, eps, batch, O):  # noqa: E741
        ctx.save_for_backward(h, project, gamma, beta, mean, var, bodies, O)
        ctx.norm, ctx.batch = (mean, var, gamma, beta, False, 0.0, eps), batch
        project, O = cast(h.dtype, project, side_by_side(O))  # noqa: E741
        B, T, I, _ = h.shape  # noqa: E741
        o = h.new_empty(B, len(O), T * I * len(gamma) // O.shape[1])
        for s in slices(B, I * T * len(gamma), h.device):
            a = activation(made(h[s], project), ctx.norm).view(-1, o.shape[2], O.shape[1])
            o[s].baddbmm_(O.expand(len(a), -1, -1), a.transpose(1, 2), beta=0)
        return o.view(B, len(O), T, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx, do):
        h, project, gamma, beta, mean, var, bodies, O = ctx.saved_tensors  # noqa: E741
        h, do, project, O = cast(do.dtype, h, do.flatten(2), project, side_by_side(O))  # noqa: E741
        B, T, I, _ = h.shape  # noqa: E741
        E, eps = len(gamma), ctx.norm[-1]
        dn, dO = h.new_empty(B, T, I, E), torch.zeros_like(O)
        parts = list(slices(B, I * T * E, h.device))
        dgamma, dbeta = torch.zeros_like(gamma), torch.zeros_like(beta)
        for s in parts:
            hs = made(h[s], project)
            a = activation(hs, ctx.norm)
            dns, dos = dn[s], do[s]
            dns.view(len(dos), -1, O.shape[1]).baddbmm_(dos.transpose(1, 2), O.expand(len(dos), -1, -1), beta=0)
            add_products(dO, dos, a.view(len(dos), -1, O.shape[1]))
            torch.ops.aten.threshold_backward.grad_input(dns, a, 0, grad_input=dns)
            _, g, b = torch.ops.aten.native_batch_norm_backward(
                channels_first(dns), channels_first(hs), gamma, mean, var, None, None, False, eps, [False, True, True],
            )  # fmt: skip
            dgamma += g
            dbeta += b
        share = shares(bodies, h, gamma) if ctx.batch else gamma.new_zeros(B)
        scale = gamma * torch.rsqrt(var + eps)
        slope = -scale * torch.rsqrt(var + eps) * dgamma
        slope, offset = (share.view(-1, 1, 1, 1) * t for t in (slope, -scale * dbeta - slope * mean))
        dproject = None if project is None else torch.zeros_like(project)
        dh = dn if project is None else torch.empty_like(h)
        for s in parts:
            hs = made(h[s], project).to(gamma.dtype)
            d = torch.addcmul(offset[s], hs, slope[s]).addcmul_(dn[s].to(gamma.dtype), scale)
            if project is None:
                dh[s] = d
            else:
                d = d.to(dh.dtype)
                dh[s] = d @ project.t()
                dproject += h[s].flatten(0, 2).t() @ d.flatten(0, 2)
        return dh, dproject, dgamma, dbeta, None, None, None, None, None, as_stored(dO, E)


def relu_collapse(h: Tensor, project: Tensor | None, shift: Tensor, O: Tensor, out_shift: Tensor) -> Tensor:  # noqa: E741
    """O relu(h + shift) + out_shift without gradients, the norms folded into h, O and the shifts; overwrites h.

    relu(h + shift) = max(h, -shift) + shift: one pass over h, and what O makes of ``shift`` is the same everywhere.
    Shapes as in ``NormReLUCollapse``; ``shift`` (E,), ``out_shift`` (O,).
    """
    B, T, I, _ = h.shape  # noqa: E741
    E = len(shift)
    if project is None:
        out_shift = out_shift + (O.sum(2) * shift).sum(1)
    project, O, shift, out_shift = cast(h.dtype, project, side_by_side(O), shift, out_shift)  # noqa: E741
    o = h.new_empty(B, len(O), T * I * E // O.shape[1])
    for s in slices(B, I * T * E, h.device):
        a = torch.maximum(h[s], -shift, out=h[s]) if project is None else (h[s] @ project).add_(shift).relu_()
        a = a.view(-1, o.shape[2], O.shape[1])
        torch.baddbmm(out_shift[:, None], O.expand(len(a), -1, -1), a.transpose(1, 2), out=o[s])
    return o.view(B, len(O), T, -1)


def cast(dtype: torch.dtype, *tensors: Tensor | None) -> list[Tensor | None]:
    return [None if t is None else t.to(dtype) for t in tensors]


def side_by_side(O: Tensor) -> Tensor:  # noqa: E741
    """(O, E, W) -> (O, W*E)."""
    return O.transpose(1, 2).flatten(1)


def as_stored(dO: Tensor, E: int) -> Tensor:
    """The inverse."""
    return dO.unflatten(1, (-1, E)).transpose(1, 2)


def made(h: Tensor, project: Tensor | None) -> Tensor:
    return h if project is None else h @ project


def channels_first(h: Tensor) -> Tensor:
    """(B, T, I, E) -> (B, E, T*I, 1), channels last in memory."""
    return h.flatten(1, 2).unsqueeze(2).permute(0, 3, 1, 2)


def activation(h: Tensor, norm: tuple) -> Tensor:
    """relu(norm(h)), ``norm`` the arguments of F.batch_norm after the first."""
    return F.batch_norm(channels_first(h), *norm).squeeze(3).transpose(1, 2).view(h.shape).relu_()


def shares(bodies: Tensor | None, h: Tensor, like: Tensor) -> Tensor:
    """(B,) what one value of each body counts in a mean over bodies, frames and joints."""
    weight = like.new_ones(len(h)) if bodies is None else bodies.to(like.dtype)
    return weight / (weight.sum() * h[0, ..., 0].numel())
