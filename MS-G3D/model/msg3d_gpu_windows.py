"""``msg3d.MSG3D`` in a training step on a GPU; see ``msg3d_gpu.py`` and, for the formulas, ``msg3d_fused_windows.py``.

y holds the frames of a body one behind the other, each (V*S, E): the frames of a window lie side by side, so windows
are overlapping views of y, and one product makes those of all bodies.  A window at a body's first or last frames, of
which some do not exist, would reach into the neighbour's: it is made anew from those that exist.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from model import msg3d
from model.msg3d_fused_windows import Windows
from model.msg3d_gpu import cast, channels_last, rows
from skeleton_lab.nn.fused.graph_conv import slices, total
from skeleton_lab.nn.fused.temporal_conv import product_dtype


def slide(A: Tensor, x: Tensor, out: Tensor, step: int, first: int) -> None:
    """out[b, t'] = sum_w A[w] x[b, step * t' + first + w], the frames of ``x`` outside 0 ... T - 1 left out.

    Args:
        A: (I, W*J), column w*J + j.
        x: (B, T, J, E), contiguous.
        out: (B, T', I, E), T = step * T'; may be every n-th frame of something.
    """
    B, T, J, E = x.shape
    n, W = out.shape[1], A.shape[1] // J
    # All bodies at once: whole windows of what lies in memory.
    every = out.view(B * n, *out.shape[2:])
    low, high = max(0, -(first // step)), min(B * n, (B * T - first - W) // step + 1)
    if low < high:
        start = x.storage_offset() + (step * low + first) * J * E
        windows = x.as_strided((high - low, W * J, E), (step * J * E, E, 1), start)
        torch.bmm(A.expand(high - low, -1, -1), windows, out=every[low:high])
    for t in range(n):
        start = step * t + first
        v, w = max(0, -start), min(W, T - start)
        if v == 0 and w == W:
            continue
        if v < w:
            part = x[:, start + v : start + w].flatten(1, 2)
            torch.bmm(A[:, v * J : w * J].expand(B, -1, -1), part, out=out[:, t])
        else:
            out[:, t] = 0


class Aggregate(Function):
    """h (B, T', V*W, E) of the formula; remembers x alone.

    y (B, T, V*S, E) is x's projection, one product.  dy comes from the windows of dh that hold a frame, dA from frames
    laid out otherwise, (T, V*S, B*E): then its sum over bodies is one product for each t', and only that over t' is
    left.  See ``msg3d_fused_windows.WindowAggregate`` for the gradients.

    ``x`` (B, T, V, C), T a multiple of ``stride``; ``A_scales`` and ``A_res`` (S*W*V, W*V); ``P`` (E, S, C).
    """

    @staticmethod
    def forward(ctx, x, A_scales, A_res, P, window, stride):
        ctx.windows = windows = Windows(x.shape[1], window, stride)
        (B, _, V, _), (E, S, _) = x.shape, P.shape
        A, P = by_window(A_scales, A_res, V, window), by_scale(P)
        ctx.save_for_backward(x, A, P)
        x, A, P = cast(product_dtype(x), x, A, P)
        h = x.new_empty(B, windows.out, len(A), E)
        for s in slices(B, x[0, ..., 0].numel() * S * E, x.device):
            slide(A, torch.mm(rows(x[s]), P.t()).view(-1, windows.T, V * S, E), h[s], stride, -windows.pad)
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx, dh):
        windows, (x, A, P) = ctx.windows, cast(dh.dtype, *ctx.saved_tensors)
        (B, T, V, C), E = x.shape, dh.shape[3]
        S = len(P) // E
        by_frame = A.view(len(A), windows.window, -1).permute(1, 2, 0)  # (W, V*S, I)
        holders = [windows.holders(r) for r in range(windows.stride)]
        A_r = [
            torch.cat([by_frame[r + windows.pad - windows.stride * d] for d in ds], 1) for r, ds in enumerate(holders)
        ]
        dx, sums = torch.empty_like(x), []
        for s in slices(B, T * V * S * E, x.device):
            dhs = dh[s].contiguous()
            dA = window_gradient(dhs, x[s], P, windows)
            dy = x.new_empty(len(dhs), windows.out, windows.stride, V * S, E)
            for r, ds in enumerate(holders):
                slide(A_r[r], dhs, dy[:, :, r], 1, ds.start)
            dy = dy.view(-1, S * E)
            torch.mm(dy, P, out=rows(dx[s]))
            sums.append((dA, dy.t() @ rows(x[s])))
        dA, dP = (total(terms) for terms in zip(*sums))
        dA = dA.view(V, windows.window, windows.window, V, S).permute(4, 1, 0, 2, 3).flatten(0, 2).flatten(1)
        return dx, None, dA, dP.view(S, E, C).transpose(0, 1), None, None


def window_gradient(dh: Tensor, x: Tensor, P: Tensor, windows: Windows) -> Tensor:
    """dA (I, W*V*S) from dh (b, T', I, E), x (b, T, V, C) and P (S*E, C)."""
    (b, T, V, C), E = x.shape, dh.shape[3]
    S, width = len(P) // E, V * len(P) * b
    behind = max(0, windows.stride * (windows.out - 1) - windows.pad + windows.window - T)
    y = x.new_empty(windows.pad + T + behind, width)
    y[: windows.pad].zero_()
    if behind:
        y[windows.pad + T :].zero_()
    own = y[windows.pad : windows.pad + T].view(T * V, S, b, E)
    source = x.permute(1, 2, 0, 3).view(T * V, b, C)
    for k in range(S):
        torch.bmm(source, P[k * E : (k + 1) * E].t().expand(T * V, -1, -1), out=own[:, k])
    y = y.as_strided((windows.out, windows.window * V * S, b * E), (windows.stride * width, b * E, 1))
    dh = dh.permute(1, 2, 0, 3).flatten(2)  # (T', I, b*E)
    return torch.bmm(dh, y.transpose(1, 2)).sum(0)


def by_window(A_scales: Tensor, A_res: Tensor, V: int, window: int) -> Tensor:
    """Their sum (S*W*V, W*V) as (V*W, W*V*S): rows in the order (v, w), columns in the order (w, v, k)."""
    A = A_res.new_empty(V, window, window, V, len(A_res) // (window * V))
    torch.add(*(t.view(-1, window, V, window, V).permute(2, 1, 3, 4, 0) for t in (A_scales, A_res)), out=A)
    return A.view(V * window, -1)


def by_scale(P: Tensor) -> Tensor:
    """(E, S, C) -> (S*E, C)."""
    return P.transpose(0, 1).flatten(0, 1)


def aggregate(unit: msg3d.MSG3D, x: Tensor) -> Tensor:
    """h (B, T', V*W, E) from x (B, C, T, V)."""
    unfold, gcn = unit.gcn3d
    x = channels_last(x)
    missing = -x.shape[1] % unfold.stride
    if missing:
        x = F.pad(x, (0, 0, 0, 0, 0, missing))
    return Aggregate.apply(x, gcn.A_scales, gcn.A_res, gcn.weights(), unfold.window, unfold.stride)
