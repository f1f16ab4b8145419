"""``WindowAttention``, fused: self-attention within the windows of one partition, with a backward of its own.

A frame holds J tokens, all joints of all people.  A window is a frames by b tokens: neighbours or, ``far``, every
(T/a)-th frame and every (J/b)-th token.  There are W = N * T/a * J/b windows of L = a*b tokens, h heads of d channels.

The maps (W, h, L, L) are by far the largest tensors and d is 3 or 6: maps are made for a few windows at a time and made
again in backward.  Queries, keys and values lie channel by channel, (d, L): so their products are fastest.  A block
gives them as (N, T, J, C) in shape and (C, N, T, J) in memory: windows are then cut from each channel's own (T, J),
which is much faster than gathering single values from far apart.

Which values of a map dropout lets stay is drawn 64 to a random word, and kept so for backward.  A float of noise per
value and the product, which plain dropout remembers, would be the largest tensors of the network, and drawing one
random number per value its slowest operation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from skeleton_lab.nn.fused.graph_conv import slices

WORD = 64
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes of a value


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
        """The inverse of ``split``, (C, N, T, J) in memory."""
        y = y.reshape(len(y), N, T // self.a, J // self.b, *y.shape[2:4], self.a, self.b)
        frames = (6, 2) if self.far_frames else (2, 6)
        tokens = (7, 3) if self.far_tokens else (3, 7)
        return y.permute(0, 4, 5, 1, *frames, *tokens).reshape(-1, N, T, J).movedim(0, -1)


def portions(q: Tensor) -> Iterator[slice]:
    """Some of the windows of q (W, h, d, L) at a time."""
    W, h, _, L = q.shape
    return slices(W, 2 * h * L * L, q.device)  # a map and its mask, or its gradient


class Attention(Function):
    """o = dropout(softmax(h^-1/2 q^T k + bias)) v, (W, h, d, L), of f (N, T, J, 3*h*d); keeps f and what was drawn.

    P = softmax(S), S = h^-1/2 q^T k + bias (row: query), D = P kept / (1 - p) and o = v D^T.  So dD = do^T v,
    dP = dD kept / (1 - p), dS = P (dP - the sum over its row of dP P), and dq = h^-1/2 k dS^T, dk = h^-1/2 q dS,
    dv = do D, dbias = the sum of dS over windows.  h^-1/2 goes into the products; 1 / (1 - p) into that of o and, once,
    into do.
    """

    @staticmethod
    def forward(ctx, f, bias, windows: Windows, p: float):
        q, k, v = windows.split(f, 3)
        W, h, _, L = q.shape
        drawn = draw(W, h * L * L, p, f.device) if p else None
        o = v.new_empty(v.shape)
        for s in portions(q):
            P = softmax(q[s], k[s], bias)
            if p:
                drop_(P, unpack(drawn[s], P))
            product_into(o[s], v[s], P.transpose(2, 3), 1 / (1 - p))
        ctx.save_for_backward(f, bias, drawn)
        ctx.windows, ctx.p = windows, p
        return o

    @staticmethod
    @once_differentiable
    def backward(ctx, do):
        (f, bias, drawn), windows, p = ctx.saved_tensors, ctx.windows, ctx.p
        q, k, v = windows.split(f.to(do.dtype), 3)
        do = do.contiguous() / (1 - p)
        df, dbias, scale = q.new_empty(3, *q.shape), torch.zeros_like(bias), windows.heads**-0.5
        for s in portions(q):
            P = softmax(q[s], k[s], bias)
            dP = do[s].transpose(2, 3) @ v[s]
            mask = unpack(drawn[s], P) if p else None
            if p:
                drop_(dP, mask)
            dS = torch.ops.aten._softmax_backward_data(dP, P, -1, P.dtype)
            dbias += dS.sum(0)
            if p:
                drop_(P, mask)
            product_into(df[0, s], k[s], dS.transpose(2, 3), scale)
            product_into(df[1, s], q[s], dS, scale)
            product_into(df[2, s], do[s], P, 1.0)
        return windows.join(df, *f.shape[:3]), dbias, None, None


def product_into(out: Tensor, x: Tensor, y: Tensor, scale: float) -> None:
    """out = scale x @ y for (w, h, ...) matrices; ``out`` is contiguous."""
    out.flatten(0, 1).baddbmm_(x.flatten(0, 1), y.flatten(0, 1), beta=0, alpha=scale)


def softmax(q: Tensor, k: Tensor, bias: Tensor) -> Tensor:
    """Attention maps (w, h, L, L) of q and k (w, h, d, L), bias (h, L, L)."""
    scores = q.new_empty(len(q), *bias.shape).copy_(bias)
    scale = len(bias) ** -0.5
    scores.flatten(0, 1).baddbmm_(q.flatten(0, 1).transpose(1, 2), k.flatten(0, 1), alpha=scale)
    # In place, and in the type of the scores also under autocast, for the products.
    return torch.ops.aten._softmax.out(scores, -1, False, out=scores)


def draw(rows: int, values: int, p: float, device: torch.device) -> Tensor:
    """Which of (rows, values) stay, each with probability 1 - p, from torch's global generator of the device.

    Returns:
        p = 0.5: random words (rows, ceil(values / 64)) int64, a bit for each value; else (rows, values) bool.
    """
    if p == 0.5:
        words = torch.empty(rows, -(-values // WORD), dtype=torch.int64, device=device)
        return words.random_(torch.iinfo(torch.int64).min, None)
    return torch.rand(rows, values, device=device) >= p


def unpack(drawn: Tensor, like: Tensor) -> Tensor:
    """What ``drop_`` wants, for the rows of ``drawn`` and values of the type and number of ``like`` (rows, ...)."""
    if drawn.dtype == torch.bool:
        return drawn
    if drawn.is_cuda:  # a byte for each value: memory moved is what counts there
        bit = 1 << torch.arange(8, dtype=torch.uint8, device=drawn.device)
        return (drawn.view(torch.uint8)[:, None] & bit[:, None]).ne(0).flatten(1)[:, : like[0].numel()]
    bits = 8 * like.element_size()
    drawn = drawn.view(INTEGERS[like.element_size()])
    shifts = torch.arange(bits, dtype=drawn.dtype, device=drawn.device)
    mask = drawn[:, None] << shifts[:, None]  # bit k of each word becomes the sign ...
    mask >>= bits - 1  # ... and the sign every bit
    return mask.flatten(1)[:, : like[0].numel()]


def drop_(x: Tensor, mask: Tensor) -> Tensor:
    """Zero the dropped values of x (rows, ...) in place; what stays is not scaled."""
    rows = x.view(len(x), -1)
    if mask.dtype == torch.bool:
        rows *= mask
    else:  # an all-ones or all-zeros integer for each value: much cheaper than a comparison and a product
        rows.view(mask.dtype).bitwise_and_(mask)
    return x
