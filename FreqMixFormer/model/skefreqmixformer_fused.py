"""FreqMixFormer's layers, fused: means go before transforms, neighbours merge, and little is kept for backward.

The frequency copies are a discrete cosine transform along the joints.  Queries and keys are means over channels and
frames, and both transform and mean are linear: the mean goes first, so that only (B, 24, V) values are transformed.

Notation as in ``skefreqmixformer.py``.  ``bodies`` (B,) says how many equal bodies each body stands for (None: one).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model import skefreqmixformer as plain
from model.cosine_transform import cosines
from model.skefreqmixformer_fused_aggregation import gated_aggregate
from skeleton_lab.nn.fuse import fuses
from skeleton_lab.nn.fused.batch_norm import WithoutEffect, batch_norm, fold, move_statistics
from skeleton_lab.nn.fused.multi_scale_tcn import added, conv_norm, exit_biases, folded_relu_branches, relu_branches
from skeleton_lab.nn.fused.network import FusedNetwork
from skeleton_lab.nn.fused.temporal_conv import pointwise

# Units of this many channels or more keep their projection: there it saves most FLOPs per byte.
KEEP_CHANNELS = 160
SUBSETS, QUARTERS = plain.SUBSETS, 4


# --- attention maps between joints -------------------------------------------------------------------------------


def queries_and_keys(pooled: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The means over channels and frames that the maps are made of.

    Args:
        pooled: (B, I, V), mean over frames of the unit's input.
        weight, bias: (3C, I, 1, 1) and (3C,) of the unit's 1x1 convolution; channels are subset, quarter, half (queries
            before keys), C/8 channels of a half.

    Returns:
        (B, 3, 4, 2, V).
    """
    halves = SUBSETS * QUARTERS * 2
    rows = weight.flatten(1).unflatten(0, (halves, -1)).mean(1)
    qk = torch.matmul(rows, pooled) + bias.unflatten(0, (halves, -1)).mean(1)[:, None]
    return qk.view(len(pooled), SUBSETS, QUARTERS, 2, -1)


def scores(rows: Tensor, columns: Tensor) -> Tensor:
    """softmax over w of rows[v] * columns[w]: (..., V) twice -> (..., V, V)."""
    return (rows.unsqueeze(-1) * columns.unsqueeze(-2)).softmax(-1)


def mixed_maps(qk: Tensor, within: nn.Linear, across: nn.Linear, emphasis: Tensor) -> Tensor:
    """Maps (B, 3, 4, V, V), the mean of both domains, row = source joint.

    Args:
        qk: (B, 3, 4, 2, V), see ``queries_and_keys``.
        within, across: V -> V, for maps within a quarter and across neighbouring quarters.
        emphasis: (V,), see ``plain.SpatialMix``.
    """
    domains, back = cosines(len(emphasis), emphasis.dtype, emphasis.device)
    emphasis = (torch.stack([torch.ones_like(emphasis), emphasis]) / 8)[:, None, None, None]  # a half of a quarter
    qk = qk.unsqueeze(1) @ domains.transpose(1, 2)[:, None, None]
    q, k = F.relu(within(qk)).unbind(-2)  # (B, 2, 3, 4, V) each, domain first
    own = scores(q, k)
    q, k = F.relu(across(qk[..., 1:, 0, :])), F.relu(across(qk[..., :-1, 1, :]))
    cross = scores(k, q) * emphasis  # rows from a quarter's keys, columns from the next one's queries
    across_both = F.pad(cross, (0, 0, 0, 0, 1, 0)) + F.pad(cross, (0, 0, 0, 0, 0, 1))
    mixed = torch.add(across_both, own, alpha=1 / 4)
    space, frequency = mixed.unbind(1)
    frequency = frequency @ back.t()
    return frequency + space.to(frequency.dtype)  # autocast, where on, decides the precision here


@fuses(plain.SpatialMix)
class FusedSpatialMix(plain.SpatialMix):
    def projection(self) -> tuple[Tensor, Tensor]:
        """Weight (C*3, I) and bias (C*3,) of ``conv``, the three subsets of a channel side by side."""
        weight = self.conv.weight.flatten(1).unflatten(0, (SUBSETS, -1)).transpose(0, 1).flatten(0, 1)
        return weight, self.conv.bias.view(SUBSETS, -1).t().flatten()

    def forward(self, x: Tensor, bodies: Tensor | None = None, projected: Tensor | None = None) -> Tensor:
        """``projected`` (B, C*3, T, V): what ``projection`` makes of x, where it is known already."""
        qk = queries_and_keys(x.mean(2), self.conv.weight, self.conv.bias)
        M = mixed_maps(qk, self.Spa_Att["linear"], self.linear, self.emphasis)
        A, taps = self.A_SE + self.A_GEME, self.ChaRef_conv.weight
        if projected is None:
            keep = self.conv.in_channels == self.bn.num_features >= KEEP_CHANNELS
            z = gated_aggregate(x, *self.projection(), M, A, taps, keep)
        else:
            z = gated_aggregate(projected, None, None, M, A, taps)
        down = x if isinstance(self.down, nn.Identity) else conv_norm(*self.down, x, bodies)
        if self.training:
            return batch_norm([self.bn], z, bodies, (), down, relu=True)
        scale, shift = fold([self.bn])
        return added(torch.addcmul(shift.view(-1, 1, 1), z, scale.view(-1, 1, 1)), down, relu=True)


# --- frames ------------------------------------------------------------------------------------------------------


def attended(unit: plain.TemporalAttention, y: Tensor) -> Tensor:
    """What ``unit`` makes of y = conv(x), (B, C, T, V), joint-major, before ``bn``."""
    first, second = y.chunk(2, 1)
    a, e = F.relu(unit.linear(first.mean((1, 3)))), F.relu(unit.linear(plain.largest(second)))
    P = (a.unsqueeze(2) * e.unsqueeze(1)).sigmoid()
    z = torch.matmul(y.transpose(2, 3).flatten(1, 2), P)  # joint-major: the transposition is free
    return z.view(*y.shape[:2], y.shape[3], -1).transpose(2, 3)


def gated(unit: plain.TemporalGate, y: Tensor) -> Tensor:
    """What ``unit`` makes of y = conv(x), (B, C, T, V), joint-major."""
    w, b = unit.combine_conv.weight.flatten(), unit.combine_conv.bias
    return y * (w[0] * y.mean((1, 3)) + w[1] * plain.largest(y) + b).sigmoid()[:, None, :, None]


@fuses(plain.TemporalMix)
class FusedTemporalMix(plain.TemporalMix):
    """The entries of three branches are one product, those of the other two another; one norm for all exits."""

    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        *relus, (attention, attention_norm), (gate, gate_norm) = self.branches
        convs = attention.conv, gate.conv
        weight, bias = torch.cat([conv.weight for conv in convs]), torch.cat([conv.bias for conv in convs])
        to_attend, to_gate = pointwise(x, weight, bias, attention.conv.stride[0]).chunk(2, 1)
        attention_out, gate_out = attended(attention, to_attend), gated(gate, to_gate)
        norms = [*(branch[3].bn for branch in relus[:-1]), relus[-1][4], attention_norm, gate_norm]
        if self.training:
            attention_out = batch_norm([attention.bn], attention_out, bodies)
            y = [*relu_branches(relus, x, bodies), attention_out.transpose(2, 3), gate_out.transpose(2, 3)]
            return batch_norm(norms, torch.cat(y, 1).transpose(2, 3), bodies, [*exit_biases(relus), None, None])
        y = folded_relu_branches(relus, norms[:3], x)
        for part, chain in ((attention_out, (attention.bn, attention_norm)), (gate_out, (gate_norm,))):
            for bn in chain:
                scale, shift = fold([bn])
                part = torch.addcmul(shift.view(-1, 1, 1), part, scale.view(-1, 1, 1))
            y.append(part.transpose(2, 3))
        return torch.cat(y, 1).transpose(2, 3)  # cat would not keep joint-major


@fuses(plain.Block)
class FusedBlock(plain.Block):
    def forward(self, x: Tensor, bodies: Tensor | None = None, projected: Tensor | None = None) -> Tensor:
        """``projected``: see ``FusedSpatialMix``."""
        y = self.tem_mixf(self.spa_mixf(x, bodies, projected), bodies)
        if self.residual is None:
            return F.relu(y)
        return F.relu(y + (x if isinstance(self.residual, nn.Identity) else self.residual(x, bodies)), inplace=True)


@fuses(plain.Tram)
class FusedTram(plain.Tram):
    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        window, _ = self[0].kernel_size
        pooled = x.transpose(2, 3).unflatten(3, (-1, window)).mean(4).transpose(2, 3)
        return conv_norm(self[1], self[2], pooled, bodies, relu=True)


# --- coordinates to features, and the whole ----------------------------------------------------------------------


class Embedded(NamedTuple):
    """Features weight x + shift of coordinates x, not made yet."""

    x: Tensor  # (M, V, I, N*T)
    weight: Tensor  # (M, V, C, I)
    shift: Tensor  # (M, V, C)
    samples: int  # N

    def features(self) -> Tensor:
        """(N*M, C, T, V), joint-major."""
        M, V, C, _ = self.weight.shape
        with torch.autocast(self.x.device.type, enabled=False):
            y = torch.baddbmm(self.shift.view(-1, C, 1), self.weight.flatten(0, 1), self.x.flatten(0, 1))
        y = y.view(M, V, C, self.samples, -1).permute(3, 0, 2, 1, 4)
        return y.flatten(0, 1).contiguous().transpose(2, 3)

    def projected(self, W: Tensor, bias: Tensor) -> Tensor:
        """``W features + bias`` from the coordinates: W (O, C), bias (O,) -> (N*M, O, T, V), joint-major."""
        with torch.autocast(self.x.device.type, enabled=False):
            weight, shift = W @ self.weight, self.shift @ W.t() + bias
        return Embedded(self.x, weight, shift, self.samples).features()


def embed(x: Tensor, linear: nn.Linear, position: Tensor, bn: nn.BatchNorm1d) -> Embedded:
    """bn(linear(x) + position) without making its argument.

    The variance of W x is W Cov(x) W^T and its mean W mean(x): in training three coordinates per joint tell the
    statistics of all features.  There the bias and the position cancel; their gradient is zero, not None, so that
    weight decay still acts on them.

    Args:
        x: (N, I, T, V, M) coordinates.
        linear: I -> C.
        position: (V, C).
        bn: M*V*C features, in that order; statistics over N and T.
    """
    N, _, T, V, M = x.shape
    W, C = linear.weight, linear.out_features
    offset = linear.bias + position
    gamma, shift = bn.weight.view(M, V, C), bn.bias.view(M, V, C)
    with torch.autocast(x.device.type, enabled=False):
        x = x.to(W.dtype).permute(4, 3, 1, 0, 2).flatten(3)  # (M, V, I, N*T)
        if bn.training:
            centre = x.mean(3, keepdim=True)
            x = x - centre
            var = (W @ (x @ x.transpose(2, 3) / (N * T)) * W).sum(3)  # (M, V, C)
            move_statistics([bn], ((W @ centre).squeeze(3) + offset).flatten(), var.flatten(), N * T)
            shift = WithoutEffect.apply(shift, linear.bias, position)
            scale = gamma * torch.rsqrt(var + bn.eps)
        else:
            scale = gamma * torch.rsqrt(bn.running_var + bn.eps).view(M, V, C)
            shift = shift + scale * (offset - bn.running_mean.view(M, V, C))
    return Embedded(x, scale.unsqueeze(3) * W, shift, N)


@fuses(plain.Model)
class FusedModel(FusedNetwork, plain.Model):
    def forward(self, x: Tensor) -> Tensor:
        self.check_shape(x)
        N, M = len(x), x.shape[-1]
        bodies = self.bodies_of(x)
        if self.relative:
            x = torch.einsum("vu,nctum->nctvm", self.A_vector, x)
        embedded = embed(x, self.to_joint_embedding, self.pos_embedding, self.data_bn)
        # Three coordinates tell l1's 80 input channels: its projection costs next to nothing when made from them.
        x, projected = embedded.features(), embedded.projected(*self.l1.spa_mixf.projection())
        x = self.blocks(bodies.take(x), bodies.count, bodies.take(projected))
        return self.fc(bodies.give(x).view(N, M, -1).mean(1))

    def blocks(self, x: Tensor, bodies: Tensor | None, projected: Tensor) -> Tensor:
        """Features (B, C) of bodies: means over frames and joints of the last block and of two early ones."""
        features, trams = 0, {4: self.first_tram, 7: self.second_tram}
        for i in range(1, len(plain.WIDTHS) + 1):
            x = self.run(getattr(self, f"l{i}"), x, bodies, projected if i == 1 else None)
            if i in trams:
                features = features + self.run(trams[i], x, bodies).mean((2, 3))
        return features + x.mean((2, 3))
