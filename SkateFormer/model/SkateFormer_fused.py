"""SkateFormer's layers, fused: a block's linear layers are more than 80 % of the FLOPs and of what is remembered.

Backward normalises x again, and computes the GELU again from what went into it, instead of keeping the results.
Notation as in ``SkateFormer.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from skeleton_lab.nn.activation_checkpoint import checkpointed
from skeleton_lab.nn.fuse import fuses, is_fused_layer
from skeleton_lab.nn.fused.batch_norm import batch_norm
from skeleton_lab.nn.fused.graph_conv import slices
from skeleton_lab.nn.fused.temporal_conv import product_dtype

from . import SkateFormer as plain
from .attention_fused import Attention, Windows
from .mixture_fused import Attentions, Mixing, Mixture, alike, has_kernel


def norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Layer norm of x (..., C), mean and inverse standard deviation."""
    return torch.native_layer_norm(x, x.shape[-1:], gamma, beta, eps)


def norm_backward(dy: Tensor, x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, invstd: Tensor):
    """Gradients for x, gamma, beta."""
    backward = torch.ops.aten.native_layer_norm_backward
    return backward(dy.to(x.dtype), x, x.shape[-1:], mean, invstd, gamma, beta, [True, True, True])


class NormLinear(Function):
    """z = W norm(x) + bias, remembering x.

    z is (..., O) in shape and, if ``channels_first``, (O, ...) in memory.
    With y = norm(x), made again: dW = dz^T y, dbias = sum dz, dy = dz W; and (dx, dgamma, dbeta) are layer norm's.
    """

    @staticmethod
    def forward(ctx, x, gamma, beta, W, bias, eps, channels_first):
        y, _, _ = norm(x, gamma, beta, eps)
        ctx.save_for_backward(x, gamma, beta, W)
        ctx.eps = eps
        if not channels_first:
            return F.linear(y, W, bias)
        z = torch.addmm(bias[:, None], W, y.flatten(0, -2).t())
        return z.view(-1, *x.shape[:-1]).movedim(0, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx, dz):
        x, gamma, beta, W = ctx.saved_tensors
        dz = dz.flatten(0, -2)
        y, mean, invstd = norm(x, gamma, beta, ctx.eps)
        dW, dbias = dz.t() @ y.to(dz.dtype).flatten(0, -2), dz.sum(0)
        dy = (dz @ W.to(dz.dtype)).view_as(x)
        return *norm_backward(dy, x, gamma, beta, mean, invstd), dW, dbias, None, None


class NormMLP(Function):
    """fc2(gelu(fc1(norm(x)))), remembering x and what goes into the GELU; the rest is made for few tokens at a time.

    With y = norm(x), h = W1 y + bias1, z = W2 gelu(h) + bias2: dW2 = dz^T gelu(h), dbias2 = sum dz,
    dh = gelu'(h) dz W2, dW1 = dh^T y, dbias1 = sum dh, dy = dh W1; and (dx, dgamma, dbeta) are layer norm's.
    """

    @staticmethod
    def forward(ctx, x, gamma, beta, W1, bias1, W2, bias2, eps):
        y, mean, invstd = norm(x, gamma, beta, eps)
        h = F.linear(y, W1, bias1).flatten(0, -2)
        ctx.save_for_backward(x, gamma, beta, W1, W2, mean, invstd, h)
        ctx.eps = eps
        W, bias = W2.to(h.dtype).t(), bias2.to(h.dtype)
        z = h.new_empty(len(h), len(W2))
        for s in slices(*h.shape, h.device):
            torch.addmm(bias, F.gelu(h[s]), W, out=z[s])
        return z.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx, dz):
        x, gamma, beta, W1, W2, mean, invstd, h = ctx.saved_tensors
        dz, tokens = dz.flatten(0, -2), x.flatten(0, -2)
        dW1, dW2, dbias1 = torch.zeros_like(W1), torch.zeros_like(W2), W1.new_zeros(len(W1))
        W1, W2 = W1.to(dz.dtype), W2.to(dz.dtype)
        dy = torch.empty_like(dz)
        for s in slices(*h.shape, h.device):
            add_product(dW2, dz[s].t(), F.gelu(h[s]))
            dh = torch.ops.aten.gelu_backward(dz[s] @ W2, h[s])
            add_product(dW1, dh.t(), norm(tokens[s], gamma, beta, ctx.eps)[0].to(dh.dtype))
            dbias1 += dh.sum(0)
            dy[s].addmm_(dh, W1, beta=0)
        gradients = norm_backward(dy.view_as(x), x, gamma, beta, mean, invstd)
        return *gradients, dW1, dbias1, dW2, dz.sum(0), None


def add_product(total: Tensor, x: Tensor, y: Tensor) -> None:
    """total += x @ y, in one kernel where no precision is lost by it."""
    if total.dtype == x.dtype:
        total.addmm_(x, y)
    else:
        total += x @ y


def norm_linear(x: Tensor, norm: nn.Module, linear: nn.Linear, channels_first: bool = False) -> Tensor:
    """``linear(norm(x))`` of x (..., C)."""
    if type(norm) is not nn.LayerNorm:
        return linear(norm(x))
    return NormLinear.apply(x, norm.weight, norm.bias, linear.weight, linear.bias, norm.eps, channels_first)


def watched(module: nn.Module) -> bool:
    """Whether a layer inside has a hook, which is to see whole batches."""
    return any(layer._forward_hooks or layer._forward_pre_hooks for layer in module.modules())


@fuses(plain.MLP)
class FusedMLP(plain.MLP):
    def forward(self, x: Tensor, norm: nn.Module | None = None) -> Tensor:
        """The plain MLP of norm(x), in one pass where nothing is dropped between its layers."""
        if norm is None:
            return super().forward(x)
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

    def add_to(self, x: Tensor, norm: nn.Module) -> None:
        """x += the plain MLP of norm(x), without gradients and dropout; hidden values of few tokens live at a time."""
        x, weight = x.view(-1, x.shape[-1]), self.fc2.weight.t()
        for s in slices(len(x), len(self.fc1.weight), x.device):
            hidden = self.act(self.fc1(norm(x[s])))
            x[s].add_(self.fc2.bias).addmm_(hidden, weight)


@fuses(plain.WindowAttention)
class FusedWindowAttention(plain.WindowAttention):
    def forward(self, f: Tensor, bias: Tensor | None = None) -> Tensor:
        """The plain form's; ``bias``: (h, L, L) where it is known already."""
        windows = self.cutting(f.shape[1])
        bias = self.matrix(f) if bias is None else bias
        o = Attention.apply(f, bias, windows, self.drop if self.training else 0.0)
        return o.flatten(1, 2).transpose(1, 2)

    def back(self, o: Tensor, N: int, T: int, J: int) -> Tensor:
        """The result (W, L, h*d) of ``forward`` where the tokens were: (h*d, N, T, J)."""
        o = o.transpose(1, 2).unflatten(1, (self.heads, -1))[None]
        return self.cutting(T).join(o, N, T, J).movedim(-1, 0)

    def matrix(self, f: Tensor) -> Tensor:
        """The bias (h, L, L) for f (N, T, J, 3*h*d), of zeros if none is learned."""
        windows = self.cutting(f.shape[1])
        L = windows.a * windows.b
        return self.bias(windows.a) if self.rel else f.new_zeros(self.heads, L, L)

    def cutting(self, T: int) -> Windows:
        return Windows(*self.windows(T), self.heads)


@fuses(plain.Transformer)
class FusedTransformer(plain.Transformer):
    @staticmethod
    def can_fuse(transformer: plain.Transformer) -> bool:
        return is_fused_layer(transformer.mlp)  # which takes the norm before it

    def forward(self, x: Tensor) -> Tensor:
        by_kernel = has_kernel(x)
        if not (by_kernel or self.training or torch.is_grad_enabled() or watched(self)) and product_dtype(x) == x.dtype:
            return self.infer(x)
        f = norm_linear(x, self.norm_1, self.mapping, channels_first=not by_kernel)
        x = self.add(x, self.mixed_by_kernel(f) if by_kernel else self.mixed(f))
        return self.add(x, self.mlp(x, self.norm_2))

    def infer(self, x: Tensor) -> Tensor:
        """Eval mode, without gradients: few samples at a time, whose tensors stay in the caches and in one memory."""
        z, biases = x + self.proj.bias, [attend.matrix(x) for attend in self.attention]
        for s in slices(len(x), x[0].numel(), x.device):
            f = norm_linear(x[s], self.norm_1, self.mapping, channels_first=True)
            y = self.mixture(f.movedim(-1, 0), biases)
            z[s].view(-1, x.shape[-1]).addmm_(y.flatten(1).t(), self.proj.weight.t())
            self.mlp.add_to(z[s], self.norm_2)
        return z

    def mixed_by_kernel(self, f: Tensor) -> Tensor:
        """The plain form's, token by token: ``Mixture``."""
        together = alike(
            [attend.cutting(f.shape[1]) for attend in self.attention], [attend.a for attend in self.attention]
        )
        mixing = Mixing(together, self.attention[0].drop if self.training else 0.0, self.tconv.groups)
        biases = [self.bias(attentions) for attentions in together if self.attention[0].rel]
        y = Mixture.apply(f, self.gconv, self.tconv.weight, self.tconv.bias, mixing, *biases)
        return self.proj_drop(self.proj(y))

    def bias(self, attentions: Attentions) -> Tensor:
        """(H, L, L) of attentions whose windows have as many frames and tokens."""
        members, a = [self.attention[i] for i in attentions.members], attentions.windows[0][0]
        table = torch.cat([attend.relative_position_bias_table for attend in members], -1)
        return members[0].bias(a, table)

    def mixed(self, f: Tensor) -> Tensor:
        """The plain form's, channel by channel: f and the five results are (C, N, T, J) in memory."""
        return self.proj_drop(self.proj(self.mixture(f.movedim(-1, 0)).movedim(0, -1)))

    def mixture(self, f: Tensor, biases: Sequence[Tensor | None] = 4 * (None,)) -> Tensor:
        """The five results before the projection: (2*C, N, T, J) -> (C, N, T, J)."""
        C = len(f)
        g, c, *parts = f.split([C // 8, C // 8, *4 * [3 * C // 16]])
        y = [self.graph_convolution(g), self.tconv(c.transpose(0, 1)).transpose(0, 1)]
        for attend, part, bias in zip(self.attention, parts, biases):
            y.append(attend.back(attend(part.movedim(0, -1), bias), *f.shape[1:]))
        return torch.cat(y)

    def graph_convolution(self, x: Tensor) -> Tensor:
        """The plain form's of x (C, N, T, J), in the same layout."""
        y = torch.bmm(x.reshape(len(self.gconv), -1, x.shape[-1]), self.gconv.transpose(1, 2))
        return y.view(x.shape)


@fuses(plain.Downsample)
class FusedDownsample(plain.Downsample):
    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        conv = self.reduction
        y = F.conv2d(x, conv.weight, None, conv.stride, conv.padding)
        if not x.is_cuda:
            return batch_norm([self.bn], y, biases=[conv.bias])
        tokens = y.permute(0, 2, 3, 1)  # on CUDA channels lie together, before and after: no copy
        y = batch_norm([self.bn], tokens.flatten(0, 2)[..., None, None], biases=[conv.bias])
        return y.view(tokens.shape).permute(0, 3, 1, 2)


@fuses(plain.SkateFormer)
class FusedSkateFormer(plain.SkateFormer):
    """SkateFormer with a switch.

    Attributes:
        activation_checkpointing: in training, keep only the blocks' inputs and compute the rest again in backward.
    """

    activation_checkpointing: bool = False

    def blocks(self, x: Tensor) -> Tensor:
        if not (self.activation_checkpointing and self.training and torch.is_grad_enabled()):
            return super().blocks(x)
        for block in (block for stage in self.stages for block in stage.blocks):
            x = checkpointed(block, x)
        return x
