"""Skeletal-temporal self-attention within the windows of one partition (paper, section 3.3; equations 4 to 8).

A frame holds J tokens, all joints of all people.  A window is a frames by b tokens: neighbours or, ``far``, every
(T/a)-th frame and every (J/b)-th token.  There are W = N * T/a * J/b windows of L = a*b tokens, h heads of d channels.

The maps (W, h, L, L) are by far the largest tensors and d is 3 or 6: maps are made for a few windows at a time and made
again in backward.  Queries, keys and values lie channel by channel, (d, L): so their products are fastest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function

from skeleton_lab.nn.fused.graph_conv import slices

from .dropout import draw, drop_, unpack


class Windows(NamedTuple):
    """How T frames of J tokens fall into windows."""

    a: int  # frames of a window
    b: int  # tokens of a frame in a window
    far_frames: bool  # every (T/a)-th frame instead of a neighbouring ones
    far_tokens: bool
    heads: int

    def of(self, x: Tensor, parts: int) -> Tensor:
        """View x (N, T, J, parts*h*d) as (parts, N, T/a, J/b, h, d, a, b)."""
        N, T, J, _ = x.shape
        frames = (self.a, T // self.a) if self.far_frames else (T // self.a, self.a)
        tokens = (self.b, J // self.b) if self.far_tokens else (J // self.b, self.b)
        x = x.view(N, *frames, *tokens, parts, self.heads, -1)
        i, n = (2, 1) if self.far_frames else (1, 2)
        u, m = (4, 3) if self.far_tokens else (3, 4)
        return x.permute(5, 0, i, u, 6, 7, n, m)

    def split(self, x: Tensor, parts: int) -> Tensor:
        """Copy x (N, T, J, parts*h*d) to (parts, W, h, d, L)."""
        x = self.of(x, parts)
        return x.reshape(parts, -1, *x.shape[4:6], self.a * self.b)

    def join(self, y: Tensor, N: int, T: int, J: int) -> Tensor:
        """The inverse of ``split``."""
        y = y.reshape(len(y), N, T // self.a, J // self.b, *y.shape[2:4], self.a, self.b)
        frames = (6, 2) if self.far_frames else (2, 6)
        tokens = (7, 3) if self.far_tokens else (3, 7)
        return y.permute(1, *frames, *tokens, 0, 4, 5).reshape(N, T, J, -1)

    def scaled(self, f: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries times h^-1/2, keys and values, each (W, h, d, L), of f (N, T, J, 3*h*d)."""
        q, k, v = self.split(f, 3)
        return q * self.heads**-0.5, k, v


def portions(q: Tensor, bias: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Some of the windows of q (W, h, d, L) at a time, and bias (h, L, L) once for each of them, (w * h, L, L)."""
    W, h, _, L = q.shape
    tiles = None
    for s in slices(W, 2 * h * L * L, q.device):  # a map and its mask, or its gradient
        w = s.stop - s.start
        tiles = bias.to(q.dtype).repeat(w, 1, 1) if tiles is None else tiles[: w * h]
        yield s, tiles


class Attention(Function):
    """o = dropout(softmax(q^T k + bias)) v, as (W, h, d, L), of f (N, T, J, 3*h*d); remembers f and what was drawn."""

    @staticmethod
    def forward(ctx, f, bias, windows: Windows, p: float):
        q, k, v = windows.scaled(f)
        W, h, _, L = q.shape
        drawn = draw(W, h * L * L, p, f.device) if p else None
        o = v.new_empty(v.shape)
        for s, tiles in portions(q, bias):
            P = softmax(q[s], k[s], tiles)
            if p:
                drop_(P, unpack(drawn[s], P))
            product_into(o[s], v[s], P.transpose(2, 3))
        if p:
            o /= 1 - p
        ctx.save_for_backward(f, bias, drawn)
        ctx.windows, ctx.p = windows, p
        return o

    @staticmethod
    def backward(ctx, do):
        (f, bias, drawn), windows, p = ctx.saved_tensors, ctx.windows, ctx.p
        f = f.to(do.dtype)
        q, k, v = windows.scaled(f)
        do = do.contiguous() / (1 - p)
        df, dbias = q.new_empty(3, *q.shape), torch.zeros_like(bias)
        for s, tiles in portions(q, bias):
            P = softmax(q[s], k[s], tiles)
            dP = do[s].transpose(2, 3) @ v[s]
            mask = unpack(drawn[s], P) if p else None
            if p:
                drop_(dP, mask)
            dS = torch.ops.aten._softmax_backward_data(dP, P, -1, P.dtype)
            dbias += dS.sum(0)
            if p:
                drop_(P, mask)
            product_into(df[0, s], k[s], dS.transpose(2, 3))
            product_into(df[1, s], q[s], dS)
            product_into(df[2, s], do[s], P)
        df[0] *= windows.heads**-0.5
        return windows.join(df, *f.shape[:3]), dbias, None, None


def product_into(out: Tensor, x: Tensor, y: Tensor) -> None:
    """out = x @ y for (w, h, ...) matrices; ``out`` is contiguous."""
    out.flatten(0, 1).baddbmm_(x.flatten(0, 1), y.flatten(0, 1), beta=0)


def softmax(q: Tensor, k: Tensor, bias: Tensor) -> Tensor:
    """Attention maps (w, h, L, L) of q and k (w, h, d, L), bias (w * h, L, L)."""
    scores = torch.baddbmm(bias, q.flatten(0, 1).transpose(1, 2), k.flatten(0, 1))
    P = torch.ops.aten._softmax(scores, -1, False)  # the type of the scores also under autocast, for the products
    return P.view(*q.shape[:2], *scores.shape[1:])


def largest_divisor(T: int, a: int) -> int:
    """The largest divisor of T that is at most a: the frames of a window where a does not divide T."""
    return next(n for n in range(min(a, T), 0, -1) if T % n == 0)


class WindowAttention(nn.Module):
    """Attention within the windows of one type, with a bias for the places that two tokens have in a window.

    ``forward(f (N, T, J, 3*h*d))`` -> (W, L, h*d); channel ``part * h*d + head * d + e`` of f is a query, key or value.
    The scale is h^-1/2, not d^-1/2: so the published networks were trained.

    Args:
        a, b: frames and tokens of a window.  Where a does not divide T, its largest divisor that is at most a does.
        far_frames, far_tokens: see ``Windows``.
        heads: h.
        drop: probability of the dropout on the maps.
        rel: learn the bias: a table over frame offsets and, with ``far_tokens``, over pairs of tokens.
    """

    def __init__(
        self, a: int, b: int, far_frames: bool, far_tokens: bool, heads: int, drop: float, rel: bool
    ):  # fmt: skip
        super().__init__()
        self.windows = Windows(a, b, far_frames, far_tokens, heads)
        self.drop = drop
        self.rel = rel
        if rel:
            shape = (2 * a - 1, b, b, heads) if far_tokens else (2 * a - 1, heads)
            self.relative_position_bias_table = nn.Parameter(torch.empty(shape))
            nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
            p = torch.arange(a)
            self.register_buffer("relative_position_index", p[:, None] - p + a - 1)

    def bias(self, a: int) -> Tensor:
        """(h, L, L) for windows of ``a`` frames.

        For near tokens the published code repeats the matrix over frame offsets with period a over tokens that are
        numbered frame by frame: it tells p mod a - p' mod a, not the frame offset.  Trained weights rely on it.
        """
        _, b, _, far_tokens, h = self.windows
        table = self.relative_position_bias_table[self.relative_position_index[:a, :a]]
        if far_tokens:  # (a, a, b, b, h)
            return table.permute(4, 0, 2, 1, 3).reshape(h, a * b, a * b)
        return table.permute(2, 0, 1).repeat(1, b, b)

    def forward(self, f: Tensor) -> Tensor:
        windows = self.partition(f.shape[1])
        L = windows.a * windows.b
        bias = self.bias(windows.a) if self.rel else f.new_zeros(windows.heads, L, L)
        o = Attention.apply(f, bias, windows, self.drop if self.training else 0.0)
        return o.flatten(1, 2).transpose(1, 2)

    def partition(self, T: int) -> Windows:
        """The windows of T frames."""
        return self.windows._replace(a=largest_divisor(T, self.windows.a))

    def restore(self, y: Tensor, N: int, T: int, J: int) -> Tensor:
        """Tokens of ``forward``'s result back in their places, (N, T, J, h*d)."""
        windows = self.partition(T)
        return windows.join(y.transpose(1, 2).unflatten(1, (windows.heads, -1))[None], N, T, J)
