"""What the fused twins of both networks are made of.  Notation as in ``blocks.py``; tensors here are (B, C, V, T).

A norm, what is added to it and the ReLU behind are one cheap pass: the products behind them remember the norm's input
alone and make the rest again in backward.  ``bodies`` (B,) says how many equal bodies each body stands for (None: one).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from model.blocks import MSTCN, UnitTCN, bodies_of
from skeleton_lab.nn.fused.batch_norm import (
    affine,
    batch_norm,
    check_values,
    fold,
    normed,
    normed_again,
    normed_backward,
    values_of,
)  # fmt: skip
from skeleton_lab.nn.fused.max_pool import MaxPool3
from skeleton_lab.nn.fused.merge_empty import Bodies
from skeleton_lab.nn.fused.multi_scale_tcn import added, conv_norm, relu_branches_of
from skeleton_lab.nn.fused.network import FusedNetwork
from skeleton_lab.nn.fused.running_statistics import move_statistics
from skeleton_lab.nn.fused.temporal_conv import (
    along_frames,
    left_product,
    pointwise,
    pointwise_backward,
    product_dtype,
    setting,
    weight_gradient,
)  # fmt: skip

threshold_backward = torch.ops.aten.threshold_backward


class Residual(NamedTuple):
    """What a graph unit adds: x (B, O, V, T), through a norm where there is one, whose input lacks ``bias``."""

    x: Tensor | None = None
    bn: _BatchNorm | None = None
    bias: Tensor | None = None


class NormReLUProducts(Function):
    """W_i z on every ``strides[i]``-th frame, for each i, with z = relu(norm(x) + residual).

    ``down``: gamma and beta of a norm of the residual's own, else None; ``extended``: the products have one more joint,
    the mean of the others, with which a product over channels commutes.  Remembers x and the residual.  The last
    results are the batch's mean and 1 / sigma of x, and where the residual has a norm, of that.

    With d_i the gradient of product i, to whose joints the mean one has given 1 / V each of its own: dW_i = sum_b d_i
    z^T and dz = sum_i W_i^T d_i (0 on frames that were left out); where relu gave 0 nothing passes, the residual gets
    what does, and the norms ``normed_backward`` of it.
    """

    @staticmethod
    def forward(ctx, x, gamma, beta, residual, down_gamma, down_beta, bodies, eps, extended, strides, *weights):
        y, *statistics = normed(x, gamma, beta, bodies, eps)
        added = residual
        if down_gamma is not None:
            added, *more = normed(residual, down_gamma, down_beta, bodies, eps)
            statistics += more
        ctx.save_for_backward(x, gamma, beta, residual, down_gamma, down_beta, bodies, *statistics, *weights)
        ctx.mark_non_differentiable(*statistics)
        ctx.set_materialize_grads(False)  # of these
        ctx.extended, ctx.strides = extended, strides
        z = activated(y, added)
        return *(product(W, z, stride, extended) for W, stride in zip(weights, strides)), *statistics

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):
        x, gamma, beta, residual, down_gamma, down_beta, bodies, mean, invstd, *weights = ctx.saved_tensors
        added = residual
        if down_gamma is not None:
            down_mean, down_invstd, *weights = weights
            added = normed_again(residual, down_gamma, down_beta, down_mean, down_invstd)
        z = activated(normed_again(x, gamma, beta, mean, invstd), added)
        if ctx.extended:
            V = x.shape[2]
            gradients = [torch.add(d[:, :, :V], d[:, :, V:], alpha=1 / V) for d in gradients[: len(weights)]]
        dz, dweights = products_backward(gradients, z, weights, ctx.strides)
        dz = threshold_backward(dz, z.to(dz.dtype), 0)
        given = normed_backward(dz.to(x.dtype), x, gamma, mean, invstd, bodies)
        if down_gamma is not None:
            rest = normed_backward(dz.to(residual.dtype), residual, down_gamma, down_mean, down_invstd, bodies)
        else:
            rest = None if residual is None else dz, None, None
        return *given, *rest, None, None, None, None, *dweights


def activated(y: Tensor, residual: Tensor | None) -> Tensor:
    """relu(y + residual), in the memory of y."""
    if residual is not None:
        y = y.add_(residual) if residual.dtype == y.dtype else y + residual
    return y.relu_()


def product(W: Tensor, z: Tensor, stride: int, extended: bool = False) -> Tensor:
    """W (O, C) times z (B, C, V, T) on every ``stride``-th frame, and the mean joint behind the others if wanted."""
    frames = z[..., ::stride]
    B, _, V, T = frames.shape
    y = z.new_empty(B, len(W), V + extended, T, dtype=product_dtype(z))
    multiply(W, frames.flatten(2), y[:, :, :V])
    if extended:
        torch.mean(y[:, :, :V], 2, keepdim=True, out=y[:, :, V:])
    return y


def multiply(W: Tensor, x: Tensor, out: Tensor) -> None:
    """W (O, C) times x (B, C, L) into ``out`` (B, O, ...), whose type, autocast's, is that of the product."""
    out.flatten(2).baddbmm_(W.to(out.dtype).expand(len(x), -1, -1), x.to(out.dtype), beta=0)


def products_backward(
    gradients: Sequence[Tensor], z: Tensor, weights: Sequence[Tensor], strides: Sequence[int]
) -> tuple[Tensor, list[Tensor]]:
    """Gradients for z and the weights of ``product``s of z; the first of them reads every frame."""
    dz, dweights = None, []
    for d, W, stride in zip(gradients, weights, strides):
        if z.is_cuda:  # the library has both in one kernel
            found, dW, _ = pointwise_backward(d, z, W, stride, (True, True, False))
            dz = found if dz is None else dz.add_(found)
            dweights.append(dW)
            continue
        d, W = d.flatten(2), W.t().to(d.dtype)
        dweights.append(weight_gradient(d, z[..., ::stride].flatten(2)))
        if dz is None:
            dz = left_product(W, d).view(z.shape)
        elif stride == 1:
            dz.flatten(2).baddbmm_(W.expand(len(d), -1, -1), d)
        else:
            dz[..., ::stride] += left_product(W, d).view(*z.shape[:3], -1)
    return dz, dweights


def norm_relu_products(
    bn: _BatchNorm, x: Tensor, weights: Sequence[Tensor], strides: Sequence[int] = (1,), *,
    bodies: Tensor | None = None, biases: Sequence[Tensor | None] = (), residual: Residual | None = None,
    extended: bool = False,
) -> list[Tensor]:  # fmt: skip
    """Training: ``NormReLUProducts`` of x (B, C, V, T); the norms' running statistics move.

    Args:
        biases: what the layer before left out of x.
    """
    x = x.contiguous()
    check_values(x, bodies)
    residual = residual or Residual()
    down = (None, None) if residual.bn is None else affine([residual.bn], [residual.bias])
    results = NormReLUProducts.apply(
        x, *affine([bn], biases), residual.x, *down, bodies, bn.eps, extended, strides,
        *(W.flatten(1) for W in weights),
    )  # fmt: skip
    y, statistics = results[: len(weights)], results[len(weights) :]
    n = values_of(x, bodies)
    move_statistics([bn], *statistics[:2], n, biases, inverse=True)
    if residual.bn is not None:
        move_statistics([residual.bn], *statistics[2:], n, [residual.bias], inverse=True)
    return list(y)


class BlockInput(Function):
    """W x, the mean of x (B, C, V, T) over frames, and x itself for ``times`` sums: what a block reads of its input.

    With dq, dm and d_i the gradients of these: dW = sum_b dq x^T and dx = W^T dq + dm / T + sum d_i, the first product
    added to what the sums give while it is made.
    """

    @staticmethod
    def forward(ctx, x, W, times):
        ctx.save_for_backward(x, W)
        ctx.set_materialize_grads(False)
        return product(W, x, 1), x.mean(3), *(x.view_as(x) for _ in range(times))

    @staticmethod
    @once_differentiable
    def backward(ctx, dq, dmean, *sums):
        x, W = ctx.saved_tensors
        dq = dq.flatten(2)
        dW = weight_gradient(dq, x.flatten(2))
        if not ctx.needs_input_grad[0]:
            return None, dW, None
        first, *rest = [d.contiguous() for d in sums if d is not None] or [None]
        if first is None or first.dtype != dq.dtype:
            dx = left_product(W.t().to(dq.dtype), dq).view(x.shape).to(x.dtype)
            rest = [] if first is None else [first, *rest]
        else:
            dx = torch.add(first, rest.pop()) if rest else first.clone()
            dx.flatten(2).baddbmm_(W.t().to(dq.dtype).expand(len(dq), -1, -1), dq)
        for d in rest:
            dx += d
        if dmean is not None:
            dx.add_(dmean.unsqueeze(3), alpha=1 / x.shape[3])
        return dx, dW, None


class JoinGlobal(Function):
    """Branches of V + 1 joints side by side, the last joint added to the others: f[v] = g[v] + add[v] (g[V] + bias).

    g is the concatenation of the parts, ``bias`` (C,) what their convolutions left out; g[v] lacks it still, for the
    norm behind removes what all joints have.  Remembers the last joint.  df passes to g[v], and dg[V] = sum_v add[v]
    df[v], dbias = sum dg[V], dadd[v] = sum df[v] (g[V] + bias).
    """

    @staticmethod
    def forward(ctx, add, bias, *parts):
        V = len(add)
        f = torch.cat([part[:, :, :V] for part in parts], 1)
        last = torch.cat([part[:, :, V:] for part in parts], 1) + bias[:, None, None].to(f.dtype)
        ctx.save_for_backward(add, last)
        ctx.sizes = [part.shape[1] for part in parts]
        return f.addcmul_(add[:, None].to(f.dtype), last)

    @staticmethod
    @once_differentiable
    def backward(ctx, df):
        add, last = ctx.saved_tensors
        B, C, V, T = df.shape
        rows = df.reshape(B * C, V, T)
        dadd = torch.bmm(rows, last.to(df.dtype).view(B * C, T, 1)).sum((0, 2))
        dlast = torch.bmm(add.to(df.dtype).expand(B * C, 1, V), rows).view(B, C, 1, T)
        dg = [torch.cat(pair, 2) for pair in zip(df.split(ctx.sizes, 1), dlast.split(ctx.sizes, 1))]
        return dadd, dlast.sum((0, 2, 3)), *dg


class Parts(NamedTuple):
    """The layers of a multi-branch unit."""

    relu: list[nn.Sequential]  # convolutions over frames, then the pooled one
    last: nn.Conv2d
    stride: int


def parts_of(tcn: MSTCN) -> Parts:
    *branches, last = tcn.branches
    return Parts(branches, last, last.stride[0])


def can_fuse(tcn: nn.Module) -> bool:
    """Convolutions over frames, then a pool of three, then '1x1': the published order."""
    if not isinstance(tcn, MSTCN) or len(tcn.branches) < 3:
        return False
    *convs, pool, last = tcn.branches
    return (
        isinstance(last, nn.Conv2d)
        and isinstance(pool, nn.Sequential)
        and isinstance(pool[3], nn.MaxPool2d)
        and pool[3].kernel_size == (3, 1)
        and all(isinstance(branch, nn.Sequential) and isinstance(branch[3], UnitTCN) for branch in convs)
    )


def temporal_unit(
    tcn: MSTCN, bn: _BatchNorm, x: Tensor, added_to: Residual, residual: Tensor | None, bodies: Tensor | None,
    biases: Sequence[Tensor | None] = (), add_coeff: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Training: relu(tcn(relu(bn(x) + added_to)) + residual), (B, C, V, T) -> (B, O, V, T').

    Args:
        biases: what the layer before left out of x; add_coeff: (V,), of units with a global joint.
    """
    branches, last, stride = parts_of(tcn)
    entries = torch.cat([branch[0].weight for branch in branches])
    h, y = norm_relu_products(
        bn, x, [entries, last.weight], (1, stride), bodies=bodies, biases=biases, residual=added_to,
        extended=add_coeff is not None,
    )  # fmt: skip
    y = [*relu_branches_of(branches, h, bodies), y]
    exits = [branch[3].conv.bias for branch in branches[:-1]]
    exits = torch.cat([*exits, exits[0].new_zeros(branches[-1][0].out_channels), last.bias])
    norm, _, conv = tcn.transform
    if add_coeff is None:
        (y,) = norm_relu_products(norm, torch.cat(y, 1), [conv.weight], bodies=bodies, biases=[exits])
    else:
        y = JoinGlobal.apply(add_coeff, exits, *y)
        (y,) = norm_relu_products(norm, y, [conv.weight], bodies=bodies, biases=[exits])
    residual = None if residual is None else residual.transpose(2, 3)
    if tcn.drop.p:
        y = tcn.drop(batch_norm([tcn.bn], y.transpose(2, 3), bodies, [conv.bias]))
        return added(y, residual, relu=True).transpose(2, 3)
    return batch_norm([tcn.bn], y.transpose(2, 3), bodies, [conv.bias], residual, relu=True).transpose(2, 3)


def temporal_unit_folded(tcn: MSTCN, z: Tensor, residual: Tensor | None, add_coeff: Tensor | None = None) -> Tensor:
    """Evaluation: relu(tcn(z) + residual), the norms folded into the products where they can be."""
    branches, last, stride = parts_of(tcn)
    if add_coeff is not None:
        z = torch.cat([z, z.mean(2, keepdim=True)], 2)
    entries = [branch[0] for branch in branches]
    scale, shift = fold([branch[1] for branch in branches], [conv.bias for conv in entries])
    weight = torch.cat([conv.weight for conv in entries]) * scale.view(-1, 1, 1, 1)
    x = z.transpose(2, 3)
    *a, pooled = pointwise(x, weight, shift).relu().transpose(2, 3).split([conv.out_channels for conv in entries], 1)
    convs = [branch[3].conv for branch in branches[:-1]]
    y = [along_frames(part.contiguous(), conv.weight, conv.bias, setting(conv)) for part, conv in zip(a, convs)]
    y += [MaxPool3.apply(pooled.contiguous(), stride), pointwise(x, last.weight, last.bias, stride).transpose(2, 3)]
    f = torch.cat(y, 1)
    if add_coeff is not None:
        V = len(add_coeff)
        f = torch.addcmul(f[:, :, :V], add_coeff[:, None], f[:, :, V:])
    norm, _, conv = tcn.transform
    scale, shift = (t.view(-1, 1, 1) for t in fold([norm]))
    f = torch.addcmul(shift, f, scale).relu()
    scale, shift = fold([tcn.bn], [conv.bias])
    y = pointwise(f.transpose(2, 3), conv.weight * scale.view(-1, 1, 1, 1), shift).transpose(2, 3)
    return added(y, residual, relu=True)


def down_of(layer: nn.Module | None, x: Tensor) -> Residual:
    """Training: what a graph unit adds; the norm of a projection is left to the product behind."""
    if not isinstance(layer, nn.Sequential):
        return Residual(None if layer is None else x)
    conv, bn = layer
    return Residual(pointwise(x.transpose(2, 3), conv.weight).transpose(2, 3), bn, conv.bias)


def down_folded(layer: nn.Module | None, x: Tensor) -> Tensor | None:
    """Evaluation: the same, normed."""
    if not isinstance(layer, nn.Sequential):
        return None if layer is None else x
    return conv_norm(*layer, x.transpose(2, 3)).transpose(2, 3)


def residual_of(layer: nn.Module | None, x: Tensor, bodies: Tensor | None) -> Tensor | None:
    """What a fused block adds, (B, C, V, T) -> the same, frames by its stride."""
    if layer is None or isinstance(layer, nn.Identity):
        return None if layer is None else x
    return layer(x.transpose(2, 3), bodies).transpose(2, 3)


class FusedBodies(FusedNetwork):
    """Base of the twins of both networks: clips to bodies and back, the empty ones computed once."""

    def bodies_in(self, x: Tensor) -> tuple[Tensor, Bodies]:
        """x (N, M, T, V, C) -> normalised bodies (B, C, V, T), and which they are."""
        alike = not any(block.tcn.drop.p for block in self.backbone.gcn) or not self.training
        bodies = self.bodies_of(x.permute(0, 4, 2, 3, 1), alike)
        return bodies.take(bodies_of(x, self.backbone.data_bn)).transpose(1, 2).contiguous(), bodies

    def classified(self, features: Tensor, persons: int) -> Tensor:
        """Logits (N, K) of what the mean of each of N*M bodies is (N*M, C)."""
        head = self.cls_head
        return head.fc_cls(head.drop(features.unflatten(0, (-1, persons)).mean(1)))
