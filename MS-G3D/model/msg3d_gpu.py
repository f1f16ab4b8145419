"""Training steps of MS-G3D's layers on a GPU: few large kernels, channels last in memory.

Activations are (B, T, V, C) here, contiguous: a 1x1 convolution and its two gradients are one matrix product each, for
all bodies, frames and joints, and none of them copies.  Each function below is a layer of ``msg3d.py`` from its input
to its output, so that what only leads from one kernel to the next is never kept.  Backward follows the chain rule from
layer to layer, by the library's kernels; what is cheap to make again is.

A batch's mean removes the biases of the convolutions before it: ``without_effect`` gives those of the whole network
their gradient of zero.  ``bodies`` (B,) says how many equal bodies each body stands for (None: one).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from skeleton_lab.nn.fused.batch_norm import WithoutEffect
from skeleton_lab.nn.fused.graph_conv import slices, total
from skeleton_lab.nn.fused.running_statistics import move_statistics
from skeleton_lab.nn.fused.temporal_conv import product_dtype

aten = torch.ops.aten


def on_gpu(layer: nn.Module, x: Tensor) -> bool:
    """Whether ``layer`` runs as in this file: in training on a GPU."""
    return layer.training and x.is_cuda


def channels_last(x: Tensor) -> Tensor:
    """(B, C, T, V) -> contiguous (B, T, V, C); free if the memory lies that way."""
    return x.permute(0, 2, 3, 1).contiguous()


def channels_first(x: Tensor) -> Tensor:
    """The inverse, a view."""
    return x.permute(0, 3, 1, 2)


def rows(x: Tensor) -> Tensor:
    """(..., C) -> (n, C)."""
    return x.reshape(-1, x.shape[-1])


def cast(dtype: torch.dtype, *tensors: Tensor) -> list[Tensor]:
    return [t.to(dtype) for t in tensors]


class Norm(NamedTuple):
    """Modules that own consecutive channels, normalised as one, and the biases left out of the products before them."""

    bns: Sequence[_BatchNorm]
    biases: Sequence[Tensor | None]

    @property
    def eps(self) -> float:
        return self.bns[0].eps

    def forward(
        self, x: Tensor, gamma: Tensor, beta: Tensor, bodies: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """x (B, ..., C) normalised by its own statistics, which move the running ones; (n, C), with mean and 1 / sigma.

        The library's kernels know no multiplicities: with them, moments of single bodies make those of all.
        """
        if bodies is None:
            y, mean, invstd = torch.native_batch_norm(rows(x), gamma, beta, None, None, True, 0.0, self.eps)
            n = len(y)
        else:
            n = bodies.to(gamma.dtype).sum() * x[0, ..., 0].numel()
            var, mean = torch.var_mean(x.flatten(1, -2).to(gamma.dtype), 1, correction=0)
            weight = bodies.to(gamma.dtype)
            share = (weight / weight.sum())[:, None]
            own, mean = mean, (share * mean).sum(0)
            var = (share * torch.addcmul(var, own - mean, own - mean)).sum(0)
            invstd = torch.rsqrt(var + self.eps)
            y = self.again(x, gamma, beta, mean, invstd)
        move_statistics(self.bns, mean, invstd, n, self.biases, inverse=True)
        return y, mean, invstd

    def again(self, x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, invstd: Tensor) -> Tensor:
        """The same normalised x (n, C), statistics known."""
        return torch.batch_norm_elemt(rows(x), gamma, beta, mean, invstd, self.eps)

    def backward(
        self, dy: Tensor, x: Tensor, gamma: Tensor, mean: Tensor, invstd: Tensor, bodies: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of x (n, C), gamma and beta; dy (n, C).  For ``bodies`` see ``batch_norm.norm_backward``."""
        backward = aten.native_batch_norm_backward
        if bodies is None:
            return backward(dy, rows(x), gamma, None, None, mean, invstd, True, self.eps, [True] * 3)
        var = invstd.pow(-2) - self.eps
        _, dgamma, dbeta = backward(
            dy, rows(x), gamma, mean, var, None, None, False, self.eps, [False, True, True]
        )  # fmt: skip
        scale = gamma * invstd
        slope = -scale * invstd * dgamma
        offset = -scale * dbeta - slope * mean
        values, dy = (
            t.view(len(bodies), -1, t.shape[-1]).to(gamma.dtype) for t in (x, dy)
        )  # what cancels: not in half
        share = shares(bodies, values)[:, None, None]
        dx = torch.addcmul(share * offset, values, share * slope).addcmul_(dy, scale)
        return rows(dx).to(x.dtype), dgamma, dbeta


def shares(bodies: Tensor, x: Tensor) -> Tensor:
    """(B,) what one value of each body of x (B, ..., C) counts in a mean over bodies, frames and joints."""
    weight = bodies.to(x.dtype)
    return weight / (weight.sum() * x[0, ..., 0].numel())


def masked_(dy: Tensor, relu: Tensor) -> Tensor:
    """0 where a ReLU gave 0, in the memory of ``dy``."""
    return aten.threshold_backward.grad_input(dy, relu, 0, grad_input=dy)


def without_effect(network: nn.Module, logits: Tensor) -> Tensor:
    """``logits``, which hand zeros to the biases of all convolutions (not None, so weight decay still acts on them)."""
    convolutions = (m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Conv3d)))
    return WithoutEffect.apply(logits, *(m.bias for m in convolutions if m.bias is not None))


class Space(Function):
    """relu(norm(sum_k W_k A_k x)): one product for all scales of a frame, one for all channels.

    s[n, (v, k)] = A[(v, k)] x[n] holds the scales of a joint side by side: its rows (n, v) are W's inputs.

        dW = dy^T s,   ds = dy W,   dA = sum_n ds[n] x[n]^T,   dx[n] = A^T ds[n]

    ``x`` (B, T, V, C), ``A_scales`` and ``A_res`` (S*V, V), ``W`` (O, S*C); remembers x, y before the norm, the result.
    """

    @staticmethod
    def forward(ctx, x, A_scales, A_res, W, gamma, beta, bodies, norm):
        ctx.norm = norm
        A = joints_first = by_joint(A_scales, A_res)
        xs, A, Ws = cast(product_dtype(x), x, A, W)
        y = xs.new_empty(*x.shape[:3], len(W))
        for s in slices(len(x), x[0].numel() * len(A) // x.shape[2], x.device):
            torch.mm(rows(Space.scaled(xs[s], A)).view(-1, W.shape[1]), Ws.t(), out=rows(y[s]))
        z, *statistics = norm.forward(y, gamma, beta, bodies)
        z = z.relu_().view(y.shape)
        ctx.save_for_backward(x, joints_first, W, gamma, y, z, bodies, *statistics)
        return z

    @staticmethod
    @once_differentiable
    def backward(ctx, dz):
        x, A, W, gamma, y, z, bodies, mean, invstd = ctx.saved_tensors
        V, C = x.shape[2:]
        dz = aten.threshold_backward(dz.contiguous(), z, 0)
        dy, dgamma, dbeta = ctx.norm.backward(rows(dz), y, gamma, mean, invstd, bodies)
        dy = dy.view(y.shape)
        x, A, W = cast(dy.dtype, x, A, W)
        dx, sums = torch.empty_like(x), []
        for part in slices(len(x), x[0].numel() * len(A) // V, x.device):
            s = Space.scaled(x[part], A)
            dW = rows(dy[part]).t() @ s.view(-1, W.shape[1])
            torch.mm(rows(dy[part]), W, out=s.view(-1, W.shape[1]))  # ds
            xs = x[part].view(-1, V, C)
            if C < V:  # few channels: a product over all frames, for which s is copied
                dA = torch.tensordot(s, xs, ([0, 2], [0, 2]))
            else:
                dA = torch.bmm(s, xs.transpose(1, 2)).sum(0)
            sums.append((dW, dA))
            torch.bmm(A.t().expand(len(s), -1, -1), s, out=dx[part].view(-1, V, C))
        dW, dA = (total(terms) for terms in zip(*sums))
        dA = dA.view(V, -1, V).transpose(0, 1).flatten(0, 1)
        return dx, None, dA, dW, dgamma, dbeta, None, None

    @staticmethod
    def scaled(x: Tensor, A: Tensor) -> Tensor:
        """s (b*T, V*S, C) from x (b, T, V, C)."""
        x = x.flatten(0, 1)
        return torch.bmm(A.expand(len(x), -1, -1), x)


def by_joint(A_scales: Tensor, A_res: Tensor) -> Tensor:
    """Their sum (S*V, V), rows in the order (v, k) instead of (k, v)."""
    V = A_res.shape[1]
    A = A_res.new_empty(V, len(A_res) // V, V)
    torch.add(*(t.view(-1, V, V).transpose(0, 1) for t in (A_scales, A_res)), out=A)
    return A.flatten(0, 1)


def spatial(x: Tensor, A_scales: Tensor, A_res: Tensor, mlp: Sequence, bodies: Tensor | None) -> Tensor:
    """``msg3d.MultiScaleGraphConv``: (B, C, T, V) -> (B, O, T, V), channels last in memory."""
    conv, bn = mlp
    W = conv.weight.flatten(1)
    y = Space.apply(channels_last(x), A_scales, A_res, W, bn.weight, bn.bias, bodies, Norm([bn], [conv.bias]))
    return channels_first(y)
