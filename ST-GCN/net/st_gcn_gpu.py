"""A block of ST-GCN in training on a GPU: a few large kernels of PyTorch's libraries, and little kept for backward.

Bodies are joint-major, (B, C, V, T).  Notation otherwise as in ``st_gcn.py``.  The graph convolution is two products:
``targets`` (K*V, V), row k*V + w = A_k[:, w], makes z (B, C*K, V, T), channel c*K + k = x[c] A_k, and W (O, C*K) the
rest.  z, three times as large as x, is made of some bodies at a time and never kept.
"""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from net import st_gcn
from skeleton_lab.nn.fused.batch_norm import (
    affine,
    check_values,
    joined,
    normed,
    normed_again,
    normed_backward,
    values_of,
)
from skeleton_lab.nn.fused.graph_conv import slices
from skeleton_lab.nn.fused.parameters import concatenated
from skeleton_lab.nn.fused.running_statistics import move_statistics
from skeleton_lab.nn.fused.temporal_conv import (
    Setting,
    along_frames,
    along_frames_backward,
    joint_major,
    product_dtype,
)

aten = torch.ops.aten
MOST_IMAGES = 2**16 - 1  # of a convolution of cuDNN


class BlockSetting(NamedTuple):
    """``eps``: of the two norms.  ``identity``: the residual is x.  The others: see ``FusedBlock``."""

    eps: tuple[float, float]
    how: Setting
    dropout: float
    keep: Tensor | None  # (B', O, V, T')
    identity: bool
    bodies: Tensor | None
    owner: Tensor | None


class Block(Function):
    """relu(dropout(norm2(c)) + residual), c = W_t * relu(norm1(h)), h = sum_k W_k x A_k + offset; norms' statistics.

    x (B, C, V, T); targets and W as above; offset (O, V) or None; W_t (O, O, k, 1); residual (B', O, V, T') or None,
    also where it is x itself.  Returns (B', O, V, T') and (mean, 1 / sigma) of both norms, which get no gradient.
    Remembers x, h, c, the result and a byte for each value of dropout.

    The way back from dy:  g = dy where the result is not 0, which is the residual's, and d = g keep / share, norm2's.
    From norm2's dc the convolution's (da, dW_t), with a = relu(norm1(h)) made again; da where a > 0 is norm1's.  With
    its dh: doffset = sum over bodies and frames, and as z_k = x A_k, h = sum_k W_k z_k + offset,

        dW_k = dh z_k^T      dz_k = W_k^T dh      dA_k = x^T dz_k      dx = sum_k dz_k A_k^T,

    plus g if x is the residual.  Where one body stands for several (``owner``), it gets the sum of what they got.
    """

    @staticmethod
    def forward(ctx, x, targets, W, offset, gamma1, beta1, Wt, gamma2, beta2, residual, how):
        dtype = product_dtype(x)
        h = graph_conv(x.to(dtype), targets.to(dtype), W.to(dtype))
        if offset is not None:
            h += offset.to(dtype)[..., None]
        a, *statistics1 = normed(h, gamma1, beta1, how.bodies, how.eps[0])
        c = along_frames(a.relu_(), Wt.to(dtype), None, how.how)
        del a
        y, *statistics2 = normed(c, gamma2, beta2, how.bodies, how.eps[1])
        y, keep = drop_and_add(y, x if how.identity else residual, how)
        ctx.how, ctx.residual = how, residual is not None
        saved = (x, targets, W, gamma1, beta1, Wt, gamma2, h, c, y, keep, *statistics1, *statistics2)
        ctx.save_for_backward(*saved, offset)
        ctx.mark_non_differentiable(*statistics1, *statistics2)
        ctx.set_materialize_grads(False)  # for which zeros would be made
        return y, *statistics1, *statistics2

    @staticmethod
    @once_differentiable
    def backward(ctx, dy, *_):
        x, targets, W, gamma1, beta1, Wt, gamma2, h, c, y, keep, mean1, invstd1, mean2, invstd2, offset = (
            ctx.saved_tensors
        )
        how, dtype = ctx.how, h.dtype
        if dy is None:  # nothing depends on the result
            return (None,) * 11
        g = aten.threshold_backward(dy, y, 0).contiguous()
        d = g if keep is None else aten.native_dropout_backward(g, keep, 1 / share(how.dropout))
        dc, dgamma2, dbeta2 = normed_backward(
            collected(d, how.owner, c).to(dtype), c, gamma2, mean2, invstd2, how.bodies
        )
        a = normed_again(h, gamma1, beta1, mean1, invstd1).relu_()
        da, dWt = along_frames_backward(dc, a, Wt, how.how)
        da = aten.threshold_backward(da, a, 0)
        del a, d, dc
        dh, dgamma1, dbeta1 = normed_backward(da, h, gamma1, mean1, invstd1, how.bodies)
        doffset = None if offset is None else dh.sum((0, 3))
        start = collected(g, how.owner, x).to(dtype) if how.identity else None
        dx, dtargets, dW = graph_conv_backward(dh, x.to(dtype), targets.to(dtype), W.to(dtype), start)
        return dx, dtargets, dW, doffset, dgamma1, dbeta1, dWt, dgamma2, dbeta2, g if ctx.residual else None, None


def trained_on_gpu(
    block: st_gcn.st_gcn, x: Tensor, A: Tensor, offset: Tensor | None, W: Tensor, residual: Tensor | None,
    how: BlockSetting,
) -> Tensor:  # fmt: skip
    """In training the whole block, joint-major; the convolution over frames lacks its bias, of no effect but on means.

    Args:
        residual: what is added, if it is not x itself.
    """
    first, _, conv, second, _ = block.tcn
    x = joint_major(x)
    check_values(x, how.bodies)
    residual = residual if residual is None else residual.transpose(2, 3)
    targets = A.transpose(1, 2).flatten(0, 1)
    y, mean1, invstd1, mean2, invstd2 = Block.apply(
        x, targets, W.flatten(1), offset, *affine([first]), conv.weight, *affine([second]), residual, how
    )
    n = values_of(x, how.bodies)
    move_statistics([first], mean1, invstd1, n, inverse=True)
    move_statistics([second], mean2, invstd2, n // x.shape[3] * y.shape[3], [conv.bias], inverse=True)
    return y.transpose(2, 3)


def drop_and_add(y: Tensor, residual: Tensor | None, how: BlockSetting) -> tuple[Tensor, Tensor | None]:
    """relu(dropout(y) + residual) and what dropout kept, both of all bodies; may use y's memory."""
    if how.owner is not None:
        y, residual = y[how.owner], residual if residual is None or not how.identity else residual[how.owner]
    keep = how.keep
    if how.dropout:
        keep = torch.empty_like(y, dtype=torch.bool).bernoulli_(1 - how.dropout) if keep is None else keep
        start = y.new_zeros(()) if residual is None else residual
        y = torch.addcmul(start, y, keep, value=1 / share(how.dropout))
    elif residual is not None:
        y += residual
    return y.relu_(), keep


def share(dropout: float) -> float:
    """What dropout keeps on average; 1 where it keeps nothing, and no value is to be scaled."""
    return 1 - dropout or 1.0


def collected(g: Tensor, owner: Tensor | None, like: Tensor) -> Tensor:
    """The gradients of all bodies summed for those that stand for them, of which ``like`` has a row each."""
    return g if owner is None else g.new_zeros(len(like), *g.shape[1:]).index_add_(0, owner, g)


def parts(x: Tensor, subsets: int) -> list[slice]:
    """Bodies at a time, so that z stays within the device's slice and their channels within a batch of cuDNN's."""
    B, C, V, T = x.shape
    size = max(1, MOST_IMAGES // C)
    ranges = (range(*s.indices(B)) for s in slices(B, subsets * C * V * T, x.device))
    return [slice(b, min(b + size, r.stop)) for r in ranges for b in range(r.start, r.stop, size)]


def spread(x: Tensor, targets: Tensor) -> Tensor:
    """z (B, C*K, V, T)."""
    B, C, V, T = x.shape
    return torch.bmm(targets.expand(B * C, -1, -1), x.reshape(B * C, V, T)).view(B, -1, V, T)


def graph_conv(x: Tensor, targets: Tensor, W: Tensor) -> Tensor:
    """sum_k W_k x A_k, (B, O, V, T)."""
    W = W[..., None, None]
    return joined([torch.conv2d(spread(x[s], targets), W) for s in parts(x, len(targets) // len(targets[0]))])


def graph_conv_backward(
    dh: Tensor, x: Tensor, targets: Tensor, W: Tensor, dx: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients for x, targets and W of ``graph_conv``; that for x is added to ``dx``, where given.

    Sums over all bodies and frames are weight gradients of 1x1 convolutions, for which cuDNN makes no partial results:
    over channels for W, over joints, with a channel of a body as an image, for the graph.
    """
    V, T = x.shape[2:]
    beta, dx = (0, torch.empty_like(x)) if dx is None else (1, dx)
    dtargets, dW = [], []
    for s in parts(x, len(targets) // V):
        dz, dW_s = conv_backward(dh[s], spread(x[s], targets), W, True)
        source, dz = x[s].reshape(-1, V, 1, T), dz.view(-1, len(targets), 1, T)
        dtargets.append(conv_backward(dz, source, targets, False)[1])
        dW.append(dW_s)
        dx[s].view(-1, V, T).baddbmm_(targets.t().expand(len(dz), -1, -1), dz.squeeze(2), beta=beta)
    return dx, sum(dtargets[1:], dtargets[0]), sum(dW[1:], dW[0])


def conv_backward(dy: Tensor, x: Tensor, W: Tensor, for_x: bool) -> tuple[Tensor | None, Tensor]:
    """Gradients for x, if wanted, and W (O, C) of a 1x1 convolution."""
    dx, dW, _ = aten.convolution_backward(
        dy, x, W[..., None, None], None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [for_x, True, False]
    )
    return dx, dW.flatten(1)


def graphs_on_gpu(network: st_gcn.Model) -> list[tuple[Tensor, Tensor, Tensor]]:
    """For ``FusedBlock``, of every block A (K, V, V) and ``gcn``'s offset (O, V) and weights (O, C, K).

    They are made together: it is their number that small things cost a GPU.
    """
    K = len(network.A)
    units = [block.gcn for block in network.st_gcn_networks]
    A = network.A.expand(len(units), -1, -1, -1)
    if isinstance(network.edge_importance, nn.ParameterList):
        A = A * concatenated(list(network.edge_importance))[0].view_as(A)
    same_width = [list(group) for _, group in groupby(units, lambda unit: unit.conv.out_channels)]
    biases = concatenated(*([unit.conv.bias.view(1, K, -1) for unit in group] for group in same_width))
    incoming = A.sum(2).transpose(1, 2).split([len(group) for group in same_width])  # (blocks, V, K) each
    offsets = [offset.t() for pair in zip(incoming, biases) for offset in torch.bmm(*pair).unbind()]
    A = A.transpose(2, 3).contiguous().transpose(2, 3)  # as the products read it
    weights = torch.cat([unit.conv.weight.view(K, -1) for unit in units], 1).t().contiguous()
    shapes = [(-1, unit.conv.in_channels, K) for unit in units]
    weights = weights.split([unit.conv.weight.numel() // K for unit in units])
    return list(zip(A.unbind(), offsets, (W.view(shape) for W, shape in zip(weights, shapes))))
