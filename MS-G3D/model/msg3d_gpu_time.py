"""``msg3d.MSTCN`` in a training step on a GPU; see ``msg3d_gpu.py``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from model import msg3d
from model.msg3d_gpu import Norm, aten, cast, channels_first, channels_last, masked_, rows
from skeleton_lab.nn.fused.parameters import concatenated
from skeleton_lab.nn.fused.temporal_conv import product_dtype, setting


class Time(Function):
    """An MSTCN from its input to its output; remembers x and what the norms get (and the result, if there is a ReLU).

        h = E x,   a = relu(norm(h)),   z = [conv_1(a_1), ..., conv_4(a_4), max_pool(a_5), L x']
        y = norm(z) + x,   or   norm(z) + norm(R x');   x' holds every ``stride``-th frame of x

    One norm for all entries E, one for all exits.  With d, what arrives at y (0 where a last ReLU gave 0),

        dx = E^T dh + d,   or   E^T dh + R^T dr on the frames of x';   and L^T dz_6 on the frames of x'

    ``x`` (B, T, V, C); y (B, T', V, O).  ``unit`` is the layer.  ``kernels`` are those over frames.
    """

    @staticmethod
    def forward(ctx, x, unit, bodies, E, gamma, beta, exit_gamma, exit_beta, L, R, R_gamma, R_beta, *kernels):
        ctx.unit, ctx.norms = unit, norms(unit)
        source, *weights = cast(product_dtype(x), x, E, L, *kernels)
        h = (rows(source) @ weights[0].t()).view(*x.shape[:3], -1)
        a, *statistics = ctx.norms[0].forward(h, gamma, beta, bodies)
        a = a.relu_().view(h.shape)
        source = frames(source, unit.stride)
        last = (rows(source) @ weights[1].t()).view(*source.shape[:3], -1)
        z = torch.cat([*exits(unit, a, weights[2:]), last], 3)
        y, *exit_statistics = ctx.norms[1].forward(z, exit_gamma, exit_beta, bodies)
        r, residual, R_statistics = None, rows(source), (None, None)
        if R is not None:
            r = (residual @ R.to(source.dtype).t()).view(z.shape)
            residual, *R_statistics = ctx.norms[2].forward(r, R_gamma, R_beta, bodies)
        y = y.add_(residual).view(z.shape)
        relu = y.relu_() if unit.act else None
        ctx.save_for_backward(
            x, h, z, r, relu, bodies, E, gamma, beta, exit_gamma, L, R, R_gamma, *statistics, *exit_statistics,
            *R_statistics, *kernels,
        )  # fmt: skip
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, d):
        (x, h, z, r, relu, bodies, E, gamma, beta, exit_gamma, L, R, R_gamma, mean, invstd, exit_mean, exit_invstd,
         R_mean, R_invstd, *kernels) = ctx.saved_tensors  # fmt: skip
        unit, (entry_norm, exit_norm, *R_norm) = ctx.unit, ctx.norms
        x, E, L, *kernels = cast(d.dtype, x, E, L, *kernels)
        d = rows(d.contiguous())
        if relu is not None:
            d = aten.threshold_backward(d, rows(relu), 0)
        dz, dexit_gamma, dexit_beta = exit_norm.backward(d, z, exit_gamma, exit_mean, exit_invstd, bodies)
        a = entry_norm.again(h, gamma, beta, mean, invstd).relu_()
        da, dkernels = exits_backward(unit, dz.view(z.shape), a.view(h.shape), kernels)
        dh, dgamma, dbeta = entry_norm.backward(masked_(rows(da), a), h, gamma, mean, invstd, bodies)
        dE = dh.t() @ rows(x)
        source, dlast = rows(frames(x, unit.stride)), dz[:, -len(L) :]
        dL = dlast.t() @ source
        dR = dR_gamma = dR_beta = None
        if R is None:  # what arrives is what others get, too, unless a ReLU came between
            dx = torch.addmm(d, dh, E) if relu is None else d.addmm_(dh, E)
            dx.addmm_(dlast, L)
        else:
            dr, dR_gamma, dR_beta = R_norm[0].backward(d, r, R_gamma, R_mean, R_invstd, bodies)
            dR = dr.t() @ source
            dx = dh @ E
            frames_of(dx.view(x.shape), unit.stride).add_((dlast @ L).addmm_(dr, R.to(dr.dtype)).view(*z.shape[:3], -1))
        return (
            dx.view(x.shape), None, None, dE, dgamma, dbeta, dexit_gamma, dexit_beta, dL, dR, dR_gamma, dR_beta,
            *dkernels,
        )  # fmt: skip


def frames_of(x: Tensor, stride: int) -> Tensor:
    """Every ``stride``-th frame of x (B, T, V, C), a view."""
    return x[:, ::stride]


def frames(x: Tensor, stride: int) -> Tensor:
    """The same, contiguous."""
    return frames_of(x, stride).contiguous()


def parts(x: Tensor, count: int) -> list[Tensor]:
    """``count`` equal parts of the channels of x (B, T, V, C), as (B, c, T, V)."""
    return list(channels_first(x).split(x.shape[3] // count, 1))


def exits(unit: msg3d.MSTCN, a: Tensor, kernels: Sequence[Tensor]) -> list[Tensor]:
    """The branches of a (B, T, V, C) up to their exit norms, without biases, each (B, T', V, c)."""
    *inputs, pooled = parts(a, len(kernels) + 1)
    y = [torch.conv2d(part, W, None, *how) for part, W, how in zip(inputs, kernels, settings(unit))]
    y.append(aten.max_pool2d_with_indices(pooled, [3, 1], [unit.stride, 1], [1, 0])[0])
    return [part.permute(0, 2, 3, 1) for part in y]


def exits_backward(
    unit: msg3d.MSTCN, dz: Tensor, a: Tensor, kernels: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor]]:  # fmt: skip
    """Gradients of ``a`` and of the kernels; the last part of dz (B, T', V, O) belongs to another branch."""
    *inputs, pooled = parts(a, len(kernels) + 1)
    *given, dpooled, _ = parts(dz, len(kernels) + 2)
    da, dkernels = [], []
    for d, part, W, how in zip(given, inputs, kernels, settings(unit)):
        dpart, dW, _ = aten.convolution_backward(d, part, W, None, *how, False, [0, 0], 1, [True, True, False])
        da.append(dpart)
        dkernels.append(dW)
    how = [3, 1], [unit.stride, 1], [1, 0]
    where = aten.max_pool2d_with_indices(pooled, *how)[1]
    da.append(aten.max_pool2d_with_indices_backward(dpooled, pooled, *how, [1, 1], False, where))
    # in the kernels' own layout and one piece of memory, which autograd takes as it is
    together = dkernels[0].new_empty(sum(len(dW) for dW in dkernels), *dkernels[0].shape[1:])
    torch.cat(dkernels, out=together)
    return torch.cat([part.permute(0, 2, 3, 1) for part in da], 3), list(together.split([len(dW) for dW in dkernels]))


def settings(unit: msg3d.MSTCN) -> list[tuple[list[int], list[int], list[int]]]:
    """Stride, padding and dilation of the convolutions over frames."""
    every = [setting(branch[3].conv) for branch in unit.branches[:-2]]
    return [([how.stride, 1], [how.padding, 0], [how.dilation, 1]) for how in every]


def norms(unit: msg3d.MSTCN) -> list[Norm]:
    """Of the entries, of the exits, and of a residual that is a convolution."""
    branches, exit_norms = unit.parts()
    exit_biases = [*(branch[3].conv.bias for branch in branches[:-1]), None, unit.branches[-1][0].bias]
    found = [Norm([branch[1] for branch in branches], [branch[0].bias for branch in branches])]
    found.append(Norm(exit_norms, exit_biases))
    if not isinstance(unit.residual, nn.Identity):
        found.append(Norm([unit.residual.bn], [unit.residual.conv.bias]))
    return found


def temporal(unit: msg3d.MSTCN, x: Tensor, bodies: Tensor | None) -> Tensor:
    """(B, C, T, V) -> (B, O, T', V), channels last in memory."""
    branches, exit_norms = unit.parts()
    entry_norms = [branch[1] for branch in branches]
    merged = concatenated(
        [branch[0].weight.flatten(1) for branch in branches],
        [bn.weight for bn in entry_norms], [bn.bias for bn in entry_norms],
        [bn.weight for bn in exit_norms], [bn.bias for bn in exit_norms],
    )  # fmt: skip
    residual = unit.residual
    R = (None,) * 3
    if not isinstance(residual, nn.Identity):
        R = residual.conv.weight.flatten(1), residual.bn.weight, residual.bn.bias
    kernels = [branch[3].conv.weight for branch in branches[:-1]]
    last = unit.branches[-1][0].weight.flatten(1)
    return channels_first(Time.apply(channels_last(x), unit, bodies, *merged, last, *R, *kernels))
