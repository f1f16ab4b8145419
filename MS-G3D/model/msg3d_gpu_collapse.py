"""What ``msg3d.MSG3D`` does with its windows in a training step on a GPU: norm, ReLU, collapse, norm.

    o[b, t', u] = sum_(w, e) O[o, (w, e)] a[b, t', (u, w), e],   a = relu(norm(h)): rows (b, t', u) of a are O's inputs.

See ``msg3d_gpu.py``.  h (B, T', V*W, E) is given, or it is f (B, T', V*W, F) @ ``project`` (F, E), F < E, and never
made: its mean and variance follow from those of f, and a is one product of f with a ReLU at its end.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from model import msg3d
from model.msg3d_fused_windows import side_by_side
from model.msg3d_gpu import Norm, channels_first, masked_, rows, shares
from skeleton_lab.nn.fused.running_statistics import move_statistics


class GivenNorm(NamedTuple):
    """a (n, E) of h; keeps h and its statistics."""

    norm: Norm

    def forward(self, h: Tensor, project: None, gamma: Tensor, beta: Tensor, bodies: Tensor | None):
        a, *statistics = self.norm.forward(h, gamma, beta, bodies)
        return a.relu_(), (h, *statistics)

    def again(self, kept: tuple[Tensor, ...], project: None, gamma: Tensor, beta: Tensor) -> Tensor:
        h, mean, invstd = kept
        return self.norm.again(h, gamma, beta, mean, invstd).relu_()

    def backward(self, dn: Tensor, kept: tuple[Tensor, ...], project: None, gamma: Tensor, bodies: Tensor | None):
        """Gradients of h, of nothing, of gamma and beta from that of norm(h)."""
        h, mean, invstd = kept
        dh, dgamma, dbeta = self.norm.backward(dn, h, gamma, mean, invstd, bodies)
        return dh, None, dgamma, dbeta


class ProjectedNorm(NamedTuple):
    """a (n, E) of f, with P = ``project``; keeps c = f - mean(f) and the covariance of f.

    h - mean(h) = c P, so var(h) = diag(P^T cov P), and with Q = P gamma / sigma: a = relu(c Q + beta).  With dn, the
    gradient of norm(h), and p_b, the share of a value of body b in the moments (``batch_norm.norm_backward``):

        G = sum c^T dn,   dbeta = sum dn,   dgamma = sum dn (c P) / sigma = diag(P^T G) / sigma
        dh_b = gamma / sigma * (dn_b - p_b (dbeta + c_b P dgamma / sigma))
        df_b = dh_b P^T = dn_b Q^T - p_b (dbeta Q^T + c_b R P^T),   R = Q dgamma / sigma
        dP = sum f^T dh = sum c^T dh = G gamma / sigma - cov R,   as sum dh = 0 and sum p c = 0
    """

    norm: Norm

    def forward(self, f: Tensor, project: Tensor, gamma: Tensor, beta: Tensor, bodies: Tensor | None):
        dtype = torch.promote_types(f.dtype, torch.float32)
        with torch.autocast(f.device.type, enabled=False):
            if bodies is None:
                n, mean = rows(f).shape[0], rows(f).mean(0, dtype=dtype)
                c = rows(f) - mean
                cov = (c.t() @ c).div_(n)
            else:
                n, share = bodies.to(dtype).sum() * f[0, ..., 0].numel(), shares(bodies, f.to(dtype)).view(-1, 1)
                mean = (share * f.flatten(1, 2).sum(1, dtype=dtype)).sum(0)
                c = f - mean
                cov = rows(c).t() @ rows(share.view(-1, 1, 1, 1) * c)
            var = ((cov @ project) * project).sum(0)
            move_statistics(self.norm.bns, mean @ project, var, n, self.norm.biases)
        kept = rows(c).to(f.dtype), torch.rsqrt(var + self.norm.eps), cov
        return self.again(kept, project, gamma, beta), kept

    def again(self, kept: tuple[Tensor, ...], project: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        c, invstd, _ = kept
        return torch._addmm_activation(beta.to(c.dtype), c, (project * (gamma * invstd)).to(c.dtype))

    def backward(self, dn: Tensor, kept: tuple[Tensor, ...], project: Tensor, gamma: Tensor, bodies: Tensor | None):
        """Gradients of f, ``project``, gamma and beta."""
        c, invstd, cov = kept
        c = c.to(dn.dtype)
        G, dbeta = (c.t() @ dn).to(gamma.dtype), dn.sum(0, dtype=gamma.dtype)
        dgamma = (project * G).sum(0).mul_(invstd)
        scale = gamma * invstd
        Q = project * scale
        R = Q * (dgamma * invstd)
        M, v = (R @ project.t()).to(c.dtype), (Q @ dbeta).to(c.dtype)
        if bodies is None:
            df = torch.addmm(v, c, M, beta=-1 / len(c), alpha=-1 / len(c))
        else:
            share = shares(bodies, c.view(len(bodies), -1, c.shape[1])).view(-1, 1)
            df = torch.addmm(v, c, M).view(len(bodies), -1).mul_(-share).view_as(c)
        df.addmm_(dn, Q.t().to(dn.dtype))
        return df, torch.addmm(G * scale, cov, R, alpha=-1), dgamma, dbeta


class Collapse(Function):
    """norm(O relu(norm(h))); remembers what ``inner`` keeps, and the product with O.

    ``f`` (B, T', V*W, E or F), ``project`` (F, E) or None, ``O`` (O, E, W); result (B, T', V, O).  ``inner``:
    ``GivenNorm`` or ``ProjectedNorm``; ``outer``: the norm of the result.
    """

    @staticmethod
    def forward(ctx, f, project, gamma, beta, O, out_gamma, out_beta, bodies, inner, outer):  # noqa: E741
        ctx.inner, ctx.outer, ctx.shape = inner, outer, f.shape
        collapse = side_by_side(O)
        a, kept = inner.forward(f, project, gamma, beta, bodies)
        z = a.view(-1, collapse.shape[1]) @ collapse.t().to(a.dtype)
        z = z.view(*f.shape[:2], -1, len(O))
        y, *statistics = outer.forward(z, out_gamma, out_beta, bodies)
        ctx.save_for_backward(project, gamma, beta, collapse, out_gamma, z, bodies, *statistics, *kept)
        return y.view(z.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        project, gamma, beta, collapse, out_gamma, z, bodies, mean, invstd, *kept = ctx.saved_tensors
        dz, dout_gamma, dout_beta = ctx.outer.backward(rows(dy), z, out_gamma, mean, invstd, bodies)
        a = ctx.inner.again(kept, project, gamma, beta)
        dO = dz.t() @ a.view(-1, collapse.shape[1]).to(dz.dtype)
        dn = masked_((dz @ collapse.to(dz.dtype)).view(a.shape), a)
        del a
        df, dproject, dgamma, dbeta = ctx.inner.backward(dn, kept, project, gamma, bodies)
        dO = dO.unflatten(1, (-1, len(gamma))).transpose(1, 2)
        return df.view(ctx.shape), dproject, dgamma, dbeta, dO, dout_gamma, dout_beta, None, None, None


def windows(unit: msg3d.MSG3D, f: Tensor, project: Tensor | None, bodies: Tensor | None) -> Tensor:
    """(B, O, T', V), channels last in memory; ``f`` and ``project`` as for ``Collapse``."""
    conv, bn = unit.gcn3d[1].mlp.layers
    out_conv, out_bn = unit.out_conv, unit.out_bn
    O = out_conv.weight.view(*out_conv.weight.shape[:2], -1)  # noqa: E741
    norm, outer = Norm([bn], [conv.bias]), Norm([out_bn], [out_conv.bias])
    inner = GivenNorm(norm) if project is None else ProjectedNorm(norm)
    y = Collapse.apply(f, project, bn.weight, bn.bias, O, out_bn.weight, out_bn.bias, bodies, inner, outer)
    return channels_first(y)
