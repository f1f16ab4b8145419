"""The linear layers of a block: more than 80 % of the network's FLOPs, and most of what a plain version remembers.

Backward normalises x again, and computes the GELU again from what went into it, instead of keeping the results.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from skeleton_lab.nn.fused.graph_conv import slices


def norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Layer norm of x (..., C), mean and inverse standard deviation."""
    return torch.native_layer_norm(x, x.shape[-1:], gamma, beta, eps)


def norm_backward(dy: Tensor, x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, invstd: Tensor):
    """Gradients for x, gamma, beta."""
    backward = torch.ops.aten.native_layer_norm_backward
    return backward(dy.to(x.dtype), x, x.shape[-1:], mean, invstd, gamma, beta, [True, True, True])


class NormLinear(Function):
    """linear(norm(x)), remembering x."""

    @staticmethod
    def forward(ctx, x, gamma, beta, W, bias, eps):
        y, mean, invstd = norm(x, gamma, beta, eps)
        ctx.save_for_backward(x, gamma, beta, W, mean, invstd)
        ctx.eps = eps
        return F.linear(y, W, bias)

    @staticmethod
    def backward(ctx, dz):
        x, gamma, beta, W, mean, invstd = ctx.saved_tensors
        dz = dz.flatten(0, -2)
        y = norm(x, gamma, beta, ctx.eps)[0].to(dz.dtype).flatten(0, -2)
        dW, dbias = dz.t() @ y, dz.sum(0)
        dy = (dz @ W.to(dz.dtype)).view_as(x)
        return *norm_backward(dy, x, gamma, beta, mean, invstd), dW, dbias, None


class NormMLP(Function):
    """fc2(gelu(fc1(norm(x)))), remembering x and what goes into the GELU; the rest is made for few tokens at a time."""

    @staticmethod
    def forward(ctx, x, gamma, beta, W1, bias1, W2, bias2, eps):
        y, mean, invstd = norm(x, gamma, beta, eps)
        h = F.linear(y, W1, bias1).flatten(0, -2)
        ctx.save_for_backward(x, gamma, beta, W1, W2, mean, invstd, h)
        ctx.eps = eps
        W, bias = W2.to(h.dtype).t(), bias2.to(h.dtype)
        z = h.new_empty(len(h), len(W2))
        for s in slices(*h.shape, h.device):
            z[s] = torch.addmm(bias, F.gelu(h[s]), W)
        return z.view_as(x)

    @staticmethod
    def backward(ctx, dz):
        x, gamma, beta, W1, W2, mean, invstd, h = ctx.saved_tensors
        dz, tokens = dz.flatten(0, -2), x.flatten(0, -2)
        dW1, dW2, dbias1 = torch.zeros_like(W1), torch.zeros_like(W2), W1.new_zeros(len(W1))
        W1, W2 = W1.to(dz.dtype), W2.to(dz.dtype)
        dy = torch.empty_like(dz)
        for s in slices(*h.shape, h.device):
            dW2 += dz[s].t() @ F.gelu(h[s])
            dh = torch.ops.aten.gelu_backward(dz[s] @ W2, h[s])
            dW1 += dh.t() @ norm(tokens[s], gamma, beta, ctx.eps)[0].to(dh.dtype)
            dbias1 += dh.sum(0)
            dy[s].addmm_(dh, W1, beta=0)
        gradients = norm_backward(dy.view_as(x), x, gamma, beta, mean, invstd)
        return *gradients, dW1, dbias1, dW2, dz.sum(0), None


def norm_linear(x: Tensor, norm: nn.Module, linear: nn.Linear) -> Tensor:
    """``linear(norm(x))`` of x (..., C)."""
    if type(norm) is not nn.LayerNorm:
        return linear(norm(x))
    return NormLinear.apply(x, norm.weight, norm.bias, linear.weight, linear.bias, norm.eps)


class MLP(nn.Module):
    """The second half of a block: x (..., C) -> dropout(fc2(dropout(act(fc1(norm(x))))))."""

    def __init__(self, channels: int, hidden: int, act_layer: type[nn.Module], drop: float):
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.act = act_layer()
        self.fc2 = nn.Linear(hidden, channels)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor, norm: nn.Module) -> Tensor:
        dropping = self.training and self.drop.p > 0
        if (
            dropping
            or type(norm) is not nn.LayerNorm
            or type(self.act) is not nn.GELU
            or self.act.approximate != "none"
        ):
            return self.drop(self.fc2(self.drop(self.act(norm_linear(x, norm, self.fc1)))))
        fc1, fc2 = self.fc1, self.fc2
        return NormMLP.apply(x, norm.weight, norm.bias, fc1.weight, fc1.bias, fc2.weight, fc2.bias, norm.eps)
