"""The multi-scale temporal unit of Hyper-GCN as one function: ``MultiScaleTemporalConv``, residual and last ReLU.

Memory lies as the shapes say, (B, C, T, V).  With four branches of c channels, and all first convolutions as one
product of the rows W:

    (h, l) = W a                      a the input, h (B, 3c, T, V) of the branches with ReLU, l of the last branch
    n = relu(norm(h))                 its parts: n_1, n_2, n_3
    y_1, y_2 = convolutions over frames of n_1, n_2;  y_3 = the maximum of n_3 over three frames;  y_4 = l, strided
    out = relu((norm(y_1), ..., norm(y_4)) + residual)

Remembers a, (h, l), the y and the result; n is made again.  The way back is the chain rule from the last line to the
first, with ``norm_backward`` for the norms: d = dout where out > 0 is the residual's gradient and, part by part, that
of the norms.  Frames repeated to pad give what arrives at their copies to the first and the last frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from model.hypergcn_fused_norms import Statistics, norm, norm_backward
from skeleton_lab.nn.fused.batch_norm import fold, normed_again
from skeleton_lab.nn.fused.temporal_conv import left_product, weight_gradient
from skeleton_lab.nn.layers import MultiScaleTemporalConv


class Branches:
    """The modules of a ``MultiScaleTemporalConv`` with replicated padding, by what they do here.

    Without a stride the norm of y_4 is one with those of h, for y_4 is l: ``early`` are the norms of the product,
    ``late`` the others.
    """

    def __init__(self, unit: MultiScaleTemporalConv):
        *convs, pool, last = unit.branches
        self.first = [branch[0] for branch in (*convs, pool, last)]
        self.convs = [branch[3].conv for branch in convs]
        self.early = [branch[1] for branch in (*convs, pool)]
        self.late = [*(branch[3].bn for branch in convs), pool[4], last[1]]
        self.late_biases = [*(conv.bias for conv in self.convs), None, last[0].bias]
        self.stride = unit.stride
        if self.stride == 1:
            self.early.append(self.late.pop())
            self.late_biases.pop()
        self.width = last[0].out_channels

    def parts(self, y: Tensor) -> tuple[Tensor, ...]:
        return y.split(self.width, 1)

    @property
    def early_biases(self) -> list[Tensor | None]:
        return [conv.bias for conv in self.first[: len(self.early)]]

    def parameters(self) -> list[Tensor]:
        """Weights before the norms, gamma and then beta of all, and biases that a norm removes."""
        norms = [*self.early, *self.late]
        biases = [bias for bias in (*self.early_biases, *self.late_biases) if bias is not None]
        weights = [conv.weight for conv in (*self.first, *self.convs)]
        return [*weights, *(bn.weight for bn in norms), *(bn.bias for bn in norms), *biases]


def activated(n: Tensor, branches: Branches) -> list[Tensor]:
    """Of the first parts of n (B, 3c or more, T, V): relu of n_1 and n_2, with frames repeated around them, and n_3."""
    parts = branches.parts(n)
    return [*(padded(part, conv, 0) for part, conv in zip(parts, branches.convs)), parts[2]]


def padded(n: Tensor, conv: nn.Conv2d, least: Tensor | int) -> Tensor:
    """max(n, least), with as many frames repeated around it as the convolution pads."""
    p, (B, c, T, V) = conv.padding[0], n.shape
    source = n.new_empty(B, c, T + 2 * p, V)
    torch.clamp_min(n, least, out=source[:, :, p : p + T])
    ends(source, p).copy_(borders(source, p)[..., None])
    return source


def ends(source: Tensor, p: int) -> Tensor:
    """The first p and the last p frames of (B, c, T + 2p, V) as (B, c, 2, V, p), a view."""
    return source.unfold(2, p, source.shape[2] - p)


def borders(source: Tensor, p: int) -> Tensor:
    """The first and the last frame between the ``ends``, (B, c, 2, V), a view; (B, c, 1, V) if they are one."""
    return source[:, :, p:-p][:, :, :: max(1, source.shape[2] - 2 * p - 1)]


def along_frames(source: Tensor, conv: nn.Conv2d, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The convolution that ``conv`` describes, of padded frames, with ``weight`` and ``bias`` in place of its own."""
    return F.conv2d(source, weight.to(source.dtype), bias, conv.stride, 0, conv.dilation)


def along_frames_backward(dy: Tensor, source: Tensor, conv: nn.Conv2d, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients for the frames that were padded, a view, and for the weight."""
    p = conv.padding[0]
    dsource, dweight, _ = torch.ops.aten.convolution_backward(
        dy, source.to(dy.dtype), weight.to(dy.dtype), None, conv.stride, [0, 0], conv.dilation, False, [0, 0], 1,
        [True, True, False],
    )  # fmt: skip
    border = borders(dsource, p)
    border.add_(ends(dsource, p).sum(-1).sum_to_size(border.shape))
    return dsource[:, :, p:-p], dweight


def pooled(x: Tensor, stride: int) -> Tensor:
    """Maxima over the frames t-1, t, t+1 of x, absent ones left out, for t = 0, stride, 2 * stride ..."""
    if x.is_cuda:
        return F.max_pool2d(x, (3, 1), (stride, 1), (1, 0))
    before, at, after = neighbours(x, stride)
    y = at.clone(memory_format=torch.contiguous_format)
    torch.maximum(y[:, :, 1:], before, out=y[:, :, 1:])
    torch.maximum(y[:, :, : after.shape[2]], after, out=y[:, :, : after.shape[2]])
    return y


def neighbours(x: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """Views of the frames before, at and after t; the first t has no frame before, the last may have none after."""
    count = -(-x.shape[2] // stride)
    return x[:, :, stride - 1 :: stride][:, :, : count - 1], x[:, :, ::stride], x[:, :, 1::stride]


def pooled_backward(dy: Tensor, x: Tensor, stride: int) -> Tensor:
    """Gradient for x of ``pooled``; of equal values the earliest frame gets it, as in torch's pooling."""
    if x.is_cuda:
        how = [3, 1], [stride, 1], [1, 0], [1, 1], False
        where = torch.ops.aten.max_pool2d_with_indices(x, *how)[1]
        return torch.ops.aten.max_pool2d_with_indices_backward(dy, x.to(dy.dtype), *how, where)
    y, dx, rest = pooled(x, stride), torch.zeros_like(x, dtype=dy.dtype), dy.clone()
    before, at, after = neighbours(x, stride)
    dbefore, dat, dafter = neighbours(dx, stride)
    taken = rest[:, :, 1:] * (before == y[:, :, 1:])
    dbefore += taken
    rest[:, :, 1:] -= taken
    taken = rest * (at == y)
    dat += taken
    rest -= taken
    dafter += rest[:, :, : after.shape[2]]
    return dx


class TemporalUnit(Function):
    """See the top of this file; ``parameters`` are those of ``Branches``."""

    @staticmethod
    def forward(ctx, a, residual, bodies, branches, *parameters):
        c, early = branches.width, len(branches.early)
        gammas, betas = parameters[6:13], parameters[13:20]
        W = torch.cat(parameters[:4]).flatten(1)
        gamma, beta = torch.cat([*gammas[:early], *betas[:early]]).chunk(2)
        hl, last = products(W, a, branches)
        n, first = norm(branches.early, hl, gamma, beta, bodies, branches.early_biases)
        sources = activated(n, branches)
        y = [along_frames(source, *layer) for source, *layer in zip(sources, branches.convs, parameters[4:6])]
        y.append(pooled(sources[-1], branches.stride).relu_())  # the maximum of relu is relu of the maximum
        out = hl.new_empty(residual.shape)
        statistics = [
            norm([bn], part, g, b, bodies, [bias], room)[1]
            for bn, part, g, b, bias, room in zip(
                branches.late, [*y, last], gammas[early:], betas[early:], branches.late_biases,
                branches.parts(out),
            )
        ]  # fmt: skip
        if branches.stride == 1:
            torch.add(n[:, -c:], residual[:, -c:], out=out[:, -c:])
            out[:, :-c].add_(residual[:, :-c])
        else:
            out.add_(residual)
        out.relu_()
        moments = [t for pair in (first, *statistics) for t in pair]
        last = None if branches.stride == 1 else last
        ctx.save_for_backward(a, hl, *y, last, out, bodies, W, gamma, beta, *moments, *parameters)
        ctx.branches = branches
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, dout):
        a, hl, y1, y2, y3, last, out, bodies, W, gamma, beta, *rest = ctx.saved_tensors
        branches, c, early, late = ctx.branches, ctx.branches.width, len(ctx.branches.early), len(ctx.branches.late)
        moments, parameters = rest[: 2 + 2 * late], rest[2 + 2 * late :]
        first, *statistics = (Statistics(*pair) for pair in zip(moments[::2], moments[1::2]))
        entry = Statistics(*(t[: 3 * c] for t in first))  # of h
        if branches.stride == 1:
            statistics.append(Statistics(*(t[3 * c :] for t in first)))
        gammas = [*parameters[6 + early : 13], *parameters[9 : 6 + early]]  # of y_1 ... y_4
        d = torch.ops.aten.threshold_backward(dout, out, 0)
        dhl = torch.empty_like(hl)
        whole = branches.stride == 1
        rooms = None, None, None, dhl[:, 3 * c :] if whole else None
        rows = zip(branches.parts(d), (y1, y2, y3, hl[:, 3 * c :] if whole else last), gammas, statistics, rooms)
        dy, dgammas, dbetas = zip(*(norm_backward(dpart, part, g, s, bodies, room) for dpart, part, g, s, room in rows))
        h = hl[:, : 3 * c]
        n = normed_again(h, gamma[: 3 * c], beta[: 3 * c], *entry)
        dn, dweights = exits_backward(branches, activated(n, branches), dy, parameters[4:6])
        _, *affine = norm_backward(dn, h, gamma[: 3 * c], entry, bodies, dhl[:, : 3 * c])
        dgamma, dbeta = (t.split(c) for t in affine)
        if branches.stride == 1:
            dgammas, dbetas = (dgammas[3], *dgammas[:3]), (dbetas[3], *dbetas[:3])
        da, dW = products_backward(dhl, dy[3], W.to(dhl.dtype), a, branches)
        dW = (t.view(w.shape) for t, w in zip(dW.split(c), parameters))
        return da, d, None, None, *dW, *dweights, *dgamma, *dgammas, *dbeta, *dbetas, *zeros_like(parameters[20:])


def products(W: Tensor, a: Tensor, branches: Branches) -> tuple[Tensor, Tensor]:
    """(h, l) and y_4, which is l; with a stride h alone, and of l only y_4."""
    c = branches.width
    if branches.stride == 1:
        hl = left_product(W, a.flatten(2)).view(len(a), -1, *a.shape[2:])
        return hl, hl[:, 3 * c :]
    some = a[:, :, :: branches.stride]
    h, last = left_product(W[: 3 * c], a.flatten(2)), left_product(W[3 * c :], some.flatten(2))
    return h.view(len(a), -1, *a.shape[2:]), last.view(len(a), -1, *some.shape[2:])


def products_backward(
    dhl: Tensor, dlast: Tensor, W: Tensor, a: Tensor, branches: Branches
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Gradients for a and W from that of what ``products`` returns first, and of y_4 where it is no part of that."""
    rows, stride = dhl.shape[1], branches.stride
    dhl = dhl.flatten(2)
    da, dW = left_product(W[:rows].t(), dhl).view(a.shape), weight_gradient(dhl, a.flatten(2))
    if stride == 1:
        return da, dW
    some, dlast = a[:, :, ::stride], dlast.flatten(2)
    da[:, :, ::stride] += left_product(W[rows:].t(), dlast).view(some.shape)
    return da, torch.cat([dW, weight_gradient(dlast, some.flatten(2))])


def exits_backward(
    branches: Branches, sources: Sequence[Tensor], dy: Sequence[Tensor], weights: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor]]:  # fmt: skip
    """Gradients for norm(h), 0 where relu gave 0, and for the weights."""
    *padded, last = sources
    dn = last.new_empty(len(last), len(sources) * branches.width, *last.shape[2:], dtype=dy[0].dtype)
    *rooms, room = branches.parts(dn)
    dweights = []
    for d, source, conv, weight, part in zip(dy, padded, branches.convs, weights, rooms):
        dsource, dweight = along_frames_backward(d, source, conv, weight)
        backward_of_relu(dsource, source[:, :, conv.padding[0] : -conv.padding[0]], part)
        dweights.append(dweight)
    backward_of_relu(pooled_backward(dy[2], last, branches.stride), last, room)
    return dn, dweights


def backward_of_relu(dy: Tensor, y: Tensor, out: Tensor) -> None:
    torch.ops.aten.threshold_backward.grad_input(dy, y.to(dy.dtype), 0, grad_input=out)


def zeros_like(tensors: Sequence[Tensor]) -> list[Tensor]:
    """A zero for every one, in one kernel."""
    sizes = [t.numel() for t in tensors]
    zeros = tensors[0].new_zeros(sum(sizes)).split(sizes)
    return [zero.view_as(t) for zero, t in zip(zeros, tensors)]


def temporal_unit(unit: MultiScaleTemporalConv, a: Tensor, residual: Tensor, bodies: Tensor | None) -> Tensor:
    """relu(unit(a) + residual) in training.

    Args:
        unit: of two dilations, with replicated padding and without a residual of its own.
        a: (B, C, T, V), contiguous.
        residual: (B, O, ceil(T / stride), V).
        bodies: (B,) multiplicities, see ``batch_norm``.
    """
    branches = Branches(unit)
    return TemporalUnit.apply(a, residual, bodies, branches, *branches.parameters())


def folded_temporal_unit(unit: MultiScaleTemporalConv, a: Tensor, residual: Tensor) -> Tensor:
    """relu(unit(a) + residual) in eval mode without gradients, the norms folded into what is before them.

    With the first norms' scale in W, relu(W a + s) = max(W a, -s) + s.  The s behind the maximum is equal in all
    frames, repeated ones too: a convolution makes a bias of it.
    """
    branches = Branches(unit)
    c, stride = branches.width, branches.stride
    scale, shift = fold(branches.early, branches.early_biases)
    late = [fold([bn], [bias]) for bn, bias in zip(branches.late, branches.late_biases)]
    if stride > 1:
        scale, shift = torch.cat([scale, late[3][0]]), torch.cat([shift, late[3][1]])
    W = torch.cat([conv.weight for conv in branches.first]).flatten(1) * scale[:, None]
    hl, last = products(W, a, branches)
    first, second, third, fourth = (s.view(-1, 1, 1) for s in shift.split(c))
    y = []
    for part, s, conv, (scale, shift) in zip(branches.parts(hl), (first, second), branches.convs, late):
        weight = conv.weight * scale.view(-1, 1, 1, 1)
        y.append(along_frames(padded(part, conv, -s), conv, weight, shift + weight.sum((2, 3)) @ s.flatten()))
    scale, shift = (t.view(-1, 1, 1) for t in late[2])
    y.append(torch.addcmul(third * scale + shift, pooled(branches.parts(hl)[2], stride).clamp_min_(-third), scale))
    y.append(last.add_(fourth))
    out = torch.empty_like(residual)
    for part, add, room in zip(y, branches.parts(residual), branches.parts(out)):
        torch.add(part, add, out=room)
    return out.relu_()
