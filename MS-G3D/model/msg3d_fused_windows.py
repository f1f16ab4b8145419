"""The two products of ``msg3d.MSG3D``, without unfolding windows and without transposing activations.

    h[b, i, t', e] = sum_w sum_(k, v) A[w, i, (k, v)] y[b, (k, v), stride * t' + w - pad, e],   y_k = P_k x
    o[b, o, v, t'] = sum_w sum_e O[w, o, e] relu(norm(h))[b, (w, v), t', e]

A window is not built: each of its frames w adds a matrix product over a *range* of output frames.  With the frames of
x sorted by their remainder modulo the stride, those ranges lie together in memory for every stride.  x and o are
joint-major, h and y hold channels last; the products themselves turn one into the other.  y is made for a few bodies
at a time, small enough for a CPU's cache, and again in backward.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd import Function

from skeleton_lab.nn.fused.graph_conv import slices
from skeleton_lab.nn.fused.temporal_conv import product_dtype


class Frames:
    """Which frames a window of ``window`` frames (odd), moved by ``stride``, combines; zero frames around T frames."""

    def __init__(self, T: int, window: int, stride: int):
        self.stride = stride
        self.out = -(-T // stride)
        lengths = [-(-(T - r) // stride) for r in range(stride)]
        self.taps: list[tuple[int, slice, slice]] = []  # w, range of output frames, range of sorted input frames
        for w in range(window):
            shift, r = divmod(w - window // 2, stride)
            start, end = max(0, -shift), min(self.out, lengths[r] - shift)
            if start < end:
                first = sum(lengths[:r]) + shift
                self.taps.append((w, slice(start, end), slice(first + start, first + end)))

    def sorted(self, x: Tensor) -> Tensor:
        """x (..., T) with the frames sorted by their remainder, contiguous."""
        if self.stride == 1:
            return x.contiguous()
        return torch.cat([x[..., r :: self.stride] for r in range(self.stride)], -1)

    def unsort(self, x: Tensor, out: Tensor) -> None:
        """The inverse, written to ``out``."""
        start = 0
        for r in range(self.stride):
            part = out[..., r :: self.stride]
            part.copy_(x[..., start : start + part.shape[-1]])
            start += part.shape[-1]

    def pairs(self, h: Tensor, y: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
        """w, and views of h (B, I, T', E) and y (B, J, T, E) as matrices of the frames that w connects."""
        for w, out, source in self.taps:
            yield w, h[:, :, out].flatten(2), y[:, :, source].flatten(2)


def projected(x: Tensor, P: Tensor | None) -> Tensor:
    """x (B, C, V, T), P (S, C, E) -> (B, S*V, T, E); without P (B, V, T, C)."""
    if P is None:
        return x.permute(0, 2, 3, 1).contiguous()
    B, _, V, T = x.shape
    y = x.new_empty(B, len(P), V * T, P.shape[2])
    for k, P_k in enumerate(P):
        y[:, k].baddbmm_(x.flatten(2).transpose(1, 2), P_k.expand(B, -1, -1), beta=0)
    return y.view(B, -1, T, P.shape[2])


def bodies_at_once(x: Tensor, h: Tensor, A: Tensor) -> Iterator[slice]:
    """Ranges of bodies whose y, or whose h if that is larger, fits the device's slice."""
    return slices(len(x), max(A.shape[2] * x.shape[3] * h.shape[3], h[0].numel()), x.device)


class WindowAggregate(Function):
    """h of the formula at the top, or without P the plain sum over scales' joints and frames; remembers x alone.

    Backward, with t = stride * t' + w - pad for every tap (w, t', t) and j = (k, v), follows term by term:

        dy[b, j, t] = sum_w A[w]^T dh[b, :, t']     dA[w] = sum_(b, t') dh[b, :, t'] y[b, :, t]^T
        dx[b, :, v, t] = sum_k P_k dy_k[b, v, t]    dP_k = sum_(b, v, t) x[b, :, v, t] dy_k[b, v, t]^T
    """

    @staticmethod
    def forward(ctx, x, A, P, stride):
        ctx.save_for_backward(x, A, P)
        ctx.stride = stride
        x, A, P = cast(product_dtype(x), x, A, P)
        B, C, _, T = x.shape
        frames = Frames(T, len(A), stride)
        h = x.new_zeros(B, A.shape[1], frames.out, C if P is None else P.shape[2])
        for s in bodies_at_once(x, h, A):
            for w, hw, yw in frames.pairs(h[s], projected(frames.sorted(x[s]), P)):
                hw.baddbmm_(A[w].expand(len(hw), -1, -1), yw)
        return h

    @staticmethod
    def backward(ctx, dh):
        x, A, P = cast(dh.dtype, *ctx.saved_tensors)
        V, T = x.shape[2:]
        frames = Frames(T, len(A), ctx.stride)
        dx, dA = torch.empty_like(x), torch.zeros_like(A)
        dP = None if P is None else torch.zeros_like(P)
        for s in bodies_at_once(x, dh, A):
            xs = frames.sorted(x[s])
            y = projected(xs, P)
            dy = torch.zeros_like(y)
            for (w, dhw, yw), (_, _, dyw) in zip(frames.pairs(dh[s], y), frames.pairs(dh[s], dy)):
                dyw.baddbmm_(A[w].t().expand(len(dyw), -1, -1), dhw)
                dA[w] += torch.bmm(dhw, yw.transpose(1, 2)).sum(0)
            if P is None:
                frames.unsort(dy.permute(0, 3, 1, 2), dx[s])
                continue
            dy, dxs = dy.view(len(xs), len(P), V * T, -1), torch.zeros_like(xs)
            for k, P_k in enumerate(P):
                dxs.flatten(2).baddbmm_(P_k.expand(len(xs), -1, -1), dy[:, k].transpose(1, 2))
                dP[k] += torch.bmm(xs.flatten(2), dy[:, k]).sum(0)
            frames.unsort(dxs, dx[s])
        return dx, dA, dP, None


def cast(dtype: torch.dtype, *tensors: Tensor | None) -> list[Tensor | None]:
    return [None if t is None else t.to(dtype) for t in tensors]


@torch.no_grad()
def moments(h: Tensor, project: Tensor | None, bodies: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance per channel of h (or of what ``project`` makes of it), and how many values a channel has.

    A projection is linear: its moments follow from the mean and the covariance of what it projects.
    """
    B, I, T, E = h.shape  # noqa: E741
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

    Backward, with a = relu(n), n = gamma * hhat + beta, hhat = (h - mean) / sigma, per joint v and frame t':

        da[(w, v), t'] = O[w]^T do[v, t']           dO[w] = sum_(b, v, t') do[b, v, t'] a[b, (w, v), t']^T
        dn = da where a > 0, else 0                 dgamma = sum dn * hhat,  dbeta = sum dn
        dh_b = gamma / sigma * (dn_b - s_b * (dbeta + hhat_b * dgamma))

    s_b is the share of a value of body b in ``mean`` and ``var``, which move with h (0 where they are constants): the
    gradient that arrives at a body is the sum over the equal bodies that it stands for.  In h the last line is
    scale * dn + s_b * (slope * h + offset).  With h = f ``project``: df = dh project^T, dproject = sum f^T dh.

    ``h`` (B, W*V, T', E), or (B, W*V, T', F) with ``project`` (F, E); ``mean``, ``var`` (E,) are moments of the batch
    with multiplicities ``bodies`` if ``batch``, else constants; ``O`` (W, O, E).
    """

    @staticmethod
    def forward(ctx, h, project, gamma, beta, mean, var, bodies, eps, batch, O):  # noqa: E741
        ctx.save_for_backward(h, project, gamma, beta, mean, var, bodies, O)
        ctx.eps, ctx.batch = eps, batch
        project, O = cast(h.dtype, project, O)  # noqa: E741
        B, I, T, _ = h.shape  # noqa: E741
        W, width, E = O.shape
        o = h.new_empty(B, width, I // W * T)
        scale, shift = line(gamma, beta, mean, var, eps)
        for s in slices(B, I * T * E, h.device):
            a = activation(made(h[s], project), scale, shift).view(-1, W, I // W * T, E)
            for w in range(W):
                o[s].baddbmm_(O[w].expand(len(a), -1, -1), a[:, w].transpose(1, 2), beta=w > 0)
        return o.view(B, width, -1, T)

    @staticmethod
    def backward(ctx, do):
        h, project, gamma, beta, mean, var, bodies, O = ctx.saved_tensors  # noqa: E741
        h, do, project, O = cast(do.dtype, h, do.flatten(2), project, O)  # noqa: E741
        B, I, T, _ = h.shape  # noqa: E741
        W, _, E = O.shape
        scale, shift = line(gamma, beta, mean, var, ctx.eps)
        dn, dO = h.new_empty(B, I, T, E), torch.zeros_like(O)
        dgamma, dbeta = torch.zeros_like(gamma), torch.zeros_like(beta)
        parts = list(slices(B, I * T * E, h.device))
        for s in parts:
            hs = made(h[s], project)
            a = activation(hs, scale, shift)
            da = torch.empty_like(hs)
            for w, (aw, daw) in enumerate(zip(by_frame(a, W), by_frame(da, W))):
                daw.baddbmm_(do[s].transpose(1, 2), O[w].expand(len(da), -1, -1), beta=0)
                dO[w] += torch.bmm(do[s], aw).sum(0)
            dn[s] = torch.ops.aten.threshold_backward(da, a, 0)
            _, g, b = torch.ops.aten.native_batch_norm_backward(
                channels_first(dn[s]), channels_first(hs), gamma, mean, var, None, None, False, ctx.eps,
                [False, True, True],
            )  # fmt: skip
            dgamma += g
            dbeta += b
        share = shares(bodies, h, gamma) if ctx.batch else gamma.new_zeros(B)
        slope = -scale * torch.rsqrt(var + ctx.eps) * dgamma
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
        return dh, dproject, dgamma, dbeta, None, None, None, None, None, dO


def made(h: Tensor, project: Tensor | None) -> Tensor:
    return h if project is None else h @ project


def by_frame(a: Tensor, W: int) -> tuple[Tensor, ...]:
    """(B, W*V, T', E) -> W views (B, V*T', E)."""
    return a.view(len(a), W, -1, a.shape[3]).unbind(1)


def channels_first(h: Tensor) -> Tensor:
    """(B, I, T, E) -> (B, E, I*T, 1), channels last in memory."""
    return h.flatten(1, 2).unsqueeze(2).permute(0, 3, 1, 2)


def line(gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Scale and shift of a norm."""
    scale = gamma * torch.rsqrt(var + eps)
    return scale, beta - mean * scale


def activation(h: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return torch.addcmul(shift, h.to(scale.dtype), scale).relu_().to(h.dtype)


def shares(bodies: Tensor | None, h: Tensor, like: Tensor) -> Tensor:
    """(B,) what one value of each body counts in a mean over bodies, joints and frames."""
    weight = like.new_ones(len(h)) if bodies is None else bodies.to(like.dtype)
    return weight / (weight.sum() * h[0, ..., 0].numel())
