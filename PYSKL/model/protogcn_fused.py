"""ProtoGCN's blocks, fused: topologies are rebuilt in backward, and those that nobody reads are not kept.

Tensors are (B, C, V, T) here.  The relation of two joints comes from means over frames, with which a 1x1 convolution
commutes: a = conv1(mean_T x), c = conv2(mean_T x).  Only the last block's topology is handed on, in evaluation none.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from model import protogcn
from model.blocks_fused import (
    BlockInput,
    FusedBodies,
    can_fuse,
    down_folded,
    down_of,
    multiply,
    residual_of,
    temporal_unit,
    temporal_unit_folded,
)  # fmt: skip
from skeleton_lab.nn.fuse import fuses, is_fused_layer
from skeleton_lab.nn.fused.batch_norm import (
    affine,
    check_values,
    fold,
    normed,
    normed_again,
    normed_backward,
    values_of,
)
from skeleton_lab.nn.fused.graph_conv import slices
from skeleton_lab.nn.fused.multi_scale_tcn import added
from skeleton_lab.nn.fused.running_statistics import move_statistics
from skeleton_lab.nn.fused.temporal_conv import left_product, pointwise, product_dtype, weight_gradient


def topologies(a: Tensor, c: Tensor, alpha: Tensor, shared: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """For some bodies at a time tanh(a[v] - c[w]) and G = alpha tanh + shared, (b, K, R, V, V) with row = source.

    tanh d = 2 sigmoid(2 d) - 1: a CPU has sigmoid in a third of the time.
    """
    B, K, R, V = a.shape
    a, c = 2 * a, 2 * c
    for s in slices(B, K * R * V * V, a.device):
        relation = torch.sub(a[s].unsqueeze(-1), c[s].unsqueeze(-2)).sigmoid_().mul_(2).sub_(1)
        yield s, relation, torch.addcmul(shared[s].unsqueeze(2), relation, alpha)


class NormReLURefine(Function):
    """W y with y[k, r, w] = sum_v p[k, r, v] G[k, r, v, w], p = relu(norm(q)), G of ``topologies``; mean, 1 / sigma.

    Remembers q, a, c and ``shared`` (B, K, V, V); p, G and y are made again.  With d the gradient of W y, dy = W^T d::

        dW = d y^T              dp = G dy               dG[v, w] = sum_t p[v, t] dy[w, t]
        dshared = sum_r dG                              dalpha = sum dG tanh
        dd = (1 - tanh^2) dG                            da[v] = alpha sum_w dd[v, w]  dc[w] = -alpha sum_v dd[v, w]

    and q gets ``normed_backward`` of dp where relu let p through.
    """

    @staticmethod
    def forward(ctx, q, gamma, beta, bodies, eps, a, c, alpha, shared, W):
        p, mean, invstd = normed(q, gamma, beta, bodies, eps)
        ctx.save_for_backward(q, gamma, beta, bodies, mean, invstd, a, c, alpha, shared, W)
        ctx.mark_non_differentiable(mean, invstd)
        ctx.set_materialize_grads(False)  # of these two
        p = p.relu_()
        V, T = p.shape[2:]
        z = p.new_empty(len(p), len(W), V, T, dtype=product_dtype(p))
        for s, _, G in topologies(a, c, alpha, shared):
            y = torch.bmm(G.view(-1, V, V).transpose(1, 2), p[s].view(-1, V, T))
            multiply(W, y.view(len(G), -1, V * T), z[s])
        return z, mean, invstd

    @staticmethod
    @once_differentiable
    def backward(ctx, dz, *_):
        q, gamma, beta, bodies, mean, invstd, a, c, alpha, shared, W = ctx.saved_tensors
        p = normed_again(q, gamma, beta, mean, invstd).relu_()
        V, T = p.shape[2:]
        dz = dz.to(p.dtype).flatten(2)
        dp, dshared, dW = torch.empty_like(p), torch.empty_like(shared), torch.zeros_like(W)
        da, dc, dalpha = torch.empty_like(a), torch.empty_like(c), torch.zeros_like(alpha)
        for s, relation, G in topologies(a, c, alpha, shared):
            G, ps = G.to(p.dtype).view(-1, V, V), p[s].view(-1, V, T)
            dW += weight_gradient(dz[s], torch.bmm(G.transpose(1, 2), ps).view(len(relation), -1, V * T))
            dy = left_product(W.t().to(p.dtype), dz[s]).view(-1, V, T)
            torch.bmm(G, dy, out=dp[s].view(-1, V, T))
            dG = torch.bmm(ps, dy.transpose(1, 2)).to(a.dtype).view_as(relation)
            torch.sum(dG, 2, out=dshared[s])
            dalpha += torch.dot(dG.flatten(), relation.flatten())
            dd = torch.ops.aten.tanh_backward(dG, relation)
            torch.sum(dd, -1, out=da[s])
            torch.sum(dd, -2, out=dc[s])
        dp = torch.ops.aten.threshold_backward(dp, p, 0)
        dq, dgamma, dbeta = normed_backward(dp.to(q.dtype), q, gamma, mean, invstd, bodies)
        return dq, dgamma, dbeta, None, None, da.mul_(alpha), dc.mul_(-alpha), dalpha, dshared, dW


def relation_of(gcn: protogcn.UnitGCN, mean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The mean over frames (B, C, V) -> a, c (B, K, R, V) and intra (B, K, V, V)."""
    K = len(gcn.A)
    weight = torch.cat([gcn.conv1.weight, gcn.conv2.weight]).flatten(1)
    bias = torch.cat([gcn.conv1.bias, gcn.conv2.bias])
    ac = torch.baddbmm(bias[:, None], weight.expand(len(mean), -1, -1), mean)
    a, c = (t.unflatten(1, (K, -1)) for t in ac.chunk(2, 1))
    score = torch.matmul(a.transpose(2, 3), c)
    return a, c, gcn.beta[0] * protogcn.ACTIVATIONS[gcn.intra_act](score)


def refine(
    gcn: protogcn.UnitGCN, q: Tensor, mean: Tensor, bodies: Tensor | None, wanted: bool
) -> tuple[Tensor, Tensor | None]:
    """Training: the graph unit up to ``post``'s norm without its bias, and the topology (B, K*R, V, V) if wanted.

    Args:
        q: what the convolution of ``pre`` makes of x, without its bias.
        mean: of x over frames.
    """
    conv, bn, _ = gcn.pre
    a, c, intra = relation_of(gcn, mean)
    check_values(q, bodies)
    gamma, beta = affine([bn], [conv.bias])
    alpha, shared = gcn.alpha[0], gcn.A.to(intra.dtype) + intra
    W = gcn.post.weight.flatten(1)
    y, mean, invstd = NormReLURefine.apply(q, gamma, beta, bodies, bn.eps, a, c, alpha, shared, W)
    move_statistics([bn], mean, invstd, values_of(q, bodies), [conv.bias], inverse=True)
    return y, topology_of(gcn, a, c, intra) if wanted else None


def topology_of(gcn: protogcn.UnitGCN, a: Tensor, c: Tensor, intra: Tensor) -> Tensor:
    relation = torch.tanh(a.unsqueeze(-1) - c.unsqueeze(-2))
    return torch.addcmul(intra.unsqueeze(2), relation, gcn.alpha[0]).flatten(1, 2)


def refine_folded(gcn: protogcn.UnitGCN, x: Tensor, wanted: bool) -> tuple[Tensor, Tensor | None]:
    """Evaluation: relu(bn(post(...)) + down(x)), and the topology if wanted."""
    conv, bn, _ = gcn.pre
    a, c, intra = relation_of(gcn, x.mean(3))
    topology = topology_of(gcn, a, c, intra)
    scale, shift = fold([bn], [conv.bias])
    p = pointwise(x.transpose(2, 3), conv.weight * scale.view(-1, 1, 1, 1), shift).transpose(2, 3).relu()
    G = topology.unflatten(1, (len(gcn.A), -1)) + gcn.A.unsqueeze(1)
    y = torch.matmul(G.flatten(1, 2).transpose(2, 3), p)
    scale, shift = fold([gcn.bn], [gcn.post.bias])
    y = pointwise(y.transpose(2, 3), gcn.post.weight * scale.view(-1, 1, 1, 1), shift).transpose(2, 3)
    return added(y, down_folded(gcn.down, x), relu=True), topology if wanted else None


@fuses(protogcn.Block)
class FusedBlock(protogcn.Block):
    @staticmethod
    def can_fuse(block: protogcn.Block) -> bool:
        return can_fuse(block.tcn) and block.gcn.inter_act == "tanh"

    def forward(self, x: Tensor, bodies: Tensor | None = None, wanted: bool = True) -> tuple[Tensor, Tensor | None]:
        """(B, C, T, V) -> (B, O, T', V), joint-major, and the topology (B, K*R, V, V) where ``wanted``, else None."""
        x = x.transpose(2, 3).contiguous()
        gcn, coefficients = self.gcn, self.tcn.add_coeff[: x.shape[2]]
        if not self.training:
            z, topology = refine_folded(gcn, x, wanted)
            residual = residual_of(self.residual, x, bodies)
            return temporal_unit_folded(self.tcn, z, residual, coefficients).transpose(2, 3), topology
        q, mean, to_gcn, to_block = BlockInput.apply(x, gcn.pre[0].weight.flatten(1), 2)
        y, topology = refine(gcn, q, mean, bodies, wanted)
        down, residual = down_of(gcn.down, to_gcn), residual_of(self.residual, to_block, bodies)
        y = temporal_unit(self.tcn, gcn.bn, y, down, residual, bodies, [gcn.post.bias], coefficients)
        return y.transpose(2, 3), topology


@fuses(protogcn.Model)
class FusedModel(FusedBodies, protogcn.Model):
    """In evaluation the graphs, which the logits do not use, are not made."""

    @staticmethod
    def can_fuse(network: protogcn.Model) -> bool:
        return all(is_fused_layer(block) for block in network.backbone.gcn)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        persons, topology = x.shape[1], None
        x, bodies = self.bodies_in(x)
        x = x.transpose(2, 3)
        *blocks, last = self.backbone.gcn
        for block in blocks:
            x, _ = self.run(block, x, bodies.count, False)
        x, topology = self.run(last, x, bodies.count, self.training)
        logits = self.classified(bodies.give(x.transpose(2, 3).mean((2, 3))), persons)
        if not self.training:
            return logits
        return logits, self.backbone.reconstructed(bodies.give(topology).unflatten(0, (-1, persons)))
