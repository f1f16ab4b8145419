"""The first branch of a block between its linear layers, on CUDA: both convolutions and all four attentions.

    y = cat(graph convolution of g, temporal convolution of c, attention_i(f_i)),  f = cat(g, c, f_1 ... f_4)

PyTorch's memory-efficient attention never writes the maps (W, h, L, L), by far the largest tensors of the network:
it keeps the logarithm of a row's sum, draws dropout again from a seed and an offset, and gives the bias its gradient.
That comes as dS of every window, the only maps written; it is made for a few samples at a time and summed.

The kernel wants channels of a head in units of 16 bytes: 3 or 6 of them are filled up with zeros, in the copy that
gathers the tokens of windows anyway.  Attentions with windows of as many frames and tokens share a call, as more heads.
The rest is a copy of each slice of f or y to where it is used, and back into one tensor: nothing is concatenated.
Notation as in ``SkateFormer.py``.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from skeleton_lab.nn.fused.graph_conv import slices

from .attention_fused import Windows

UNIT = 16  # bytes to which the kernel aligns the channels of a head
BIAS_UNIT = 16  # values to which it aligns the rows of a bias
MOST_WINDOWS = 2**16 - 1  # of one call: an axis of a grid of CUDA has no more
BF16_FROM = 8  # compute capability from which the kernel takes bfloat16
NO_BIASES = itertools.repeat(None)


def has_kernel(x: Tensor) -> bool:
    """Whether PyTorch's memory-efficient attention takes tensors like x, and is not switched off."""
    return (
        x.is_cuda
        and x.dtype != torch.float64
        and torch.version.hip is None
        and torch.backends.cuda.mem_efficient_sdp_enabled()
        and (type_of_products(x) != torch.bfloat16 or takes_bf16())
    )


def type_of_products(x: Tensor) -> torch.dtype:
    """``product_dtype`` on CUDA, which launches nothing."""
    if not torch.is_autocast_enabled():
        return x.dtype
    now = getattr(torch, "get_autocast_dtype", None)  # PyTorch 2.3 has it under another name
    return torch.get_autocast_gpu_dtype() if now is None else now("cuda")


def takes_bf16() -> bool:
    """Of the current device; True without one, where operations are only counted."""
    return not torch.cuda.is_available() or torch.cuda.get_device_capability()[0] >= BF16_FROM


class Attentions(NamedTuple):
    """Those of a block's attentions whose windows have as many frames and tokens, all near or all far ones."""

    members: tuple[int, ...]  # which of the block's
    windows: tuple[Windows, ...]

    @property
    def tokens(self) -> int:
        return self.windows[0].a * self.windows[0].b

    @property
    def heads(self) -> int:
        return sum(windows.heads for windows in self.windows)

    @property
    def scale(self) -> float:
        return self.windows[0].heads ** -0.5

    def portions(self, f: Tensor) -> list[slice]:
        """Some samples of f (N, T, J, ...) at a time, as many as one call takes."""
        N, T, J, _ = f.shape
        most = max(1, MOST_WINDOWS * self.tokens // (T * J))
        ranges = (range(*s.indices(N)) for s in slices(N, T * J * self.heads * self.tokens, f.device))
        return [slice(n, min(n + most, r.stop)) for r in ranges for n in range(r.start, r.stop, most)]

    def gather(self, *sources: tuple[Sequence[Tensor], int], of: slice) -> tuple[Tensor, ...]:
        """The members' slices of f or y, of the samples ``of``, as the kernel wants them.

        Args:
            sources: slices (N, T, J, channels) of all attentions, and how many parts of h*d channels they have.

        Returns:
            every part as (W, H, L, e), e >= d.
        """
        N, T, J, C = sources[0][0][0][of].shape
        d, unit = C // sources[0][1] // self.windows[0].heads, UNIT // sources[0][0][0].element_size()
        parts = sum(number for _, number in sources)
        W, e = N * T * J // self.tokens, -(-d // unit) * unit
        y = sources[0][0][0].new_empty(W, self.tokens, parts, self.heads, e)
        if e > d:
            y[..., d:].zero_()
        for part, (xs, number) in zip(y.split([number for _, number in sources], 2), sources):
            for places, x in self.pairs(part, [xs[i][of] for i in self.members], number):
                places.copy_(x)
        return y.transpose(1, 3).unbind(2)

    def scatter(self, y: Tensor, xs: Sequence[Tensor], of: slice) -> None:
        """The inverse of ``gather`` for one part: y (W, H, L, e) into the members' of xs (N, T, J, h*d)."""
        for places, x in self.pairs(y.transpose(1, 2).unsqueeze(2), [xs[i][of] for i in self.members], 1):
            x.copy_(places)

    def pairs(self, y: Tensor, xs: Sequence[Tensor], parts: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The same values in y (W, L, parts, H, e) and in each x, as (N, T/a, J/b, a, b, parts, h, d)."""
        for k, (windows, x) in enumerate(zip(self.windows, xs)):
            x = windows.of(x, parts).permute(1, 2, 3, 6, 7, 0, 4, 5)
            y_k = y[..., k * windows.heads : (k + 1) * windows.heads, : x.shape[-1]]
            yield y_k.unflatten(0, x.shape[:3]).unflatten(3, x.shape[3:5]), x


def alike(windows: Sequence[Windows], lengths: Sequence[int]) -> list[Attentions]:
    """The attentions of a block, those together that can share a call and a gathering of their biases.

    ``lengths``: frames of their windows where T allows so many, on which the sizes of their tables depend.
    """
    kinds = [(length, each.a, each.b, each.far_tokens) for each, length in zip(windows, lengths)]
    members = [tuple(i for i, other in enumerate(kinds) if other == kind) for kind in dict.fromkeys(kinds)]
    return [Attentions(each, tuple(windows[i] for i in each)) for each in members]


class Mixing(NamedTuple):
    """What ``Mixture`` computes: the attentions, how their maps are dropped, groups of the temporal convolution."""

    together: Sequence[Attentions]
    p: float
    groups: int


def cut(x: Tensor, parts: int) -> tuple[Tensor, ...]:
    """The slices of f (parts=3: an attention takes queries, keys, values) or of y (parts=1)."""
    w = x.shape[-1] // (4 + 4 * parts)
    return x.split([2 * w, 2 * w, *4 * [parts * w]], -1)


def rows(g: Tensor, groups: int) -> Tensor:
    """Copy g (N, T, J, c) to (groups, c/groups * N * T, J)."""
    return g.permute(3, 0, 1, 2).reshape(groups, -1, g.shape[2])


def put_rows(g: Tensor, x: Tensor) -> None:
    """The inverse of ``rows``, into g."""
    g.copy_(x.view(g.shape[3], *g.shape[:3]).permute(1, 2, 3, 0))


def planes(c: Tensor) -> Tensor:
    """Copy c (N, T, J, c) to (N, c, T, J)."""
    return c.permute(0, 3, 1, 2).contiguous()


class Mixture(Function):
    """y (N, T, J, C) of f (N, T, J, 2*C); keeps f and y, and of the attentions the logarithms of the sums.

    Graph convolution: Y = X G^T for each group, rows X: so dX = dY G and dG = dY^T X.  The temporal convolution's and
    the attentions' gradients are PyTorch's own; what they need besides is gathered again from f and y.

    ``biases``: (H, L, L) for each of ``mixing.together``, or none.
    """

    @staticmethod
    def forward(ctx, f, gconv, weight, shift, mixing: Mixing, *biases):
        N, T, J, C = f.shape
        y = f.new_empty(N, T, J, C // 2)
        (g, c, *parts), (yg, yc, *results) = cut(f, 3), cut(y, 1)
        put_rows(yg, rows(g, len(gconv)) @ gconv.to(f.dtype).transpose(1, 2))
        weight, shift = weight.to(f.dtype), shift.to(f.dtype)
        convolved = F.conv2d(planes(c), weight, shift, padding=(weight.shape[2] // 2, 0), groups=mixing.groups)
        yc.copy_(convolved.permute(0, 2, 3, 1))
        kept = []
        for attentions, bias in zip(mixing.together, biases or NO_BIASES):
            for s in attentions.portions(f):
                o, *drawn = kernel(*attentions.gather((parts, 3), of=s), bias, mixing.p, attentions.scale)
                attentions.scatter(o, results, s)
                kept += drawn
        ctx.save_for_backward(f, y, gconv, weight, *biases, *kept)
        ctx.mixing, ctx.biases = mixing, len(biases)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        f, y, gconv, weight, *kept = ctx.saved_tensors
        mixing, df = ctx.mixing, torch.empty_like(f)
        (g, c, *parts), (dg, dc, *dparts) = cut(f, 3), cut(df, 3)
        (_, _, *results), (dyg, dyc, *dresults) = cut(y, 1), cut(dy, 1)
        dY = rows(dyg, len(gconv))
        put_rows(dg, dY @ gconv.to(f.dtype))
        dgconv = dY.transpose(1, 2) @ rows(g, len(gconv))
        dplanes, dweight, dshift = torch.ops.aten.convolution_backward(
            planes(dyc), planes(c), weight, weight.shape[:1], (1, 1), (weight.shape[2] // 2, 0), (1, 1),
            False, (0, 0), mixing.groups, (True, True, True),
        )  # fmt: skip
        dc.copy_(dplanes.permute(0, 2, 3, 1))
        biases = [kept.pop(0) for _ in range(ctx.biases)]
        drawn, dbiases = iter(kept), []
        for attentions, bias in zip(mixing.together, biases or NO_BIASES):
            dbiases.append(attend_backward(attentions, bias, parts, results, dresults, dparts, drawn, mixing.p))
        return df, dgconv, dweight, dshift, None, *dbiases[: len(biases)]


def attend_backward(attentions: Attentions, bias, parts, results, dresults, dparts, drawn: Iterator, p: float):
    """Writes the gradients for queries, keys and values into ``dparts``; returns that of the bias."""
    targets, dbiases = list(zip(*(part.chunk(3, -1) for part in dparts))), []
    for s in attentions.portions(parts[0]):
        *qkv, o, do = attentions.gather((parts, 3), (results, 1), (dresults, 1), of=s)
        *gradients, dS = kernel_backward(do, *qkv, bias, o, next(drawn), next(drawn), next(drawn), p, attentions.scale)
        for gradient, places in zip(gradients, targets):
            attentions.scatter(gradient, places, s)
        if bias is not None:
            dbiases.append(dS.sum(0, dtype=bias.dtype))
    return functools.reduce(torch.add, dbiases) if dbiases else None


def kernel(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, p: float, scale: float) -> tuple[Tensor, ...]:
    """Output (W, H, L, e), logarithms of the sums, seed and offset of the dropout."""
    bias = laid_out(bias, q)
    return torch.ops.aten._scaled_dot_product_efficient_attention(q, k, v, bias, True, p, scale=scale)


def kernel_backward(do, q, k, v, bias, o, sums, seed, offset, p: float, scale: float) -> tuple[Tensor, ...]:
    """Gradients for q, k, v and, window by window, for the bias."""
    wanted, bias = [True, True, True, bias is not None], laid_out(bias, q)
    backward = torch.ops.aten._scaled_dot_product_efficient_attention_backward
    return backward(do, q, k, v, bias, o, sums, seed, offset, p, wanted, scale=scale)


def laid_out(bias: Tensor | None, q: Tensor) -> Tensor | None:
    """A bias (H, L, L) as the kernel wants it, for queries q (W, H, L, e)."""
    if bias is None:
        return None
    L = bias.shape[-1]
    bias = bias.to(q.dtype)  # before rows are filled up: a cast packs them
    if L % BIAS_UNIT:
        bias = F.pad(bias, (0, -L % BIAS_UNIT))[..., :L]
    return bias.expand(len(q), -1, -1, -1)
