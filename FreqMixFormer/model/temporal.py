"""The temporal unit: two convolutions, pooling, attention and a gate over frames, side by side (section 3.4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_lab.nn.fused.batch_norm import batch_norm, fold
from skeleton_lab.nn.fused.multi_scale_tcn import UnitTCN, exit_biases, folded_relu_branches, relu_branches
from skeleton_lab.nn.fused.temporal_conv import pointwise


def per_frame(x: Tensor) -> Tensor:
    """(B, C, T, V), joint-major -> (B, C*V, T), free."""
    return x.transpose(2, 3).flatten(1, 2)


def largest(x: Tensor) -> Tensor:
    """The maximum of every frame, (B, C, T, V) -> (B, T); of equal values one gets the gradient."""
    return per_frame(x).max(1).values


class TemporalAttention(nn.Module):
    """Frames attend to frames: y P with P[t, t'] = sigmoid(relu(W a + b)[t] relu(W e + b)[t']), then ``bn``.

    ``a`` is the mean of the first half of the channels of y = conv(x), ``e`` the maximum of the second half.
    """

    def __init__(self, in_channels: int, out_channels: int, frames: int, stride: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, (stride, 1))
        self.bn = nn.BatchNorm2d(out_channels)
        self.linear = nn.Linear(frames, frames)

    def forward(self, y: Tensor) -> Tensor:
        """y = conv(x), (B, C, T, V), joint-major -> the same shape, before ``bn``."""
        first, second = y.chunk(2, 1)
        a, e = F.relu(self.linear(first.mean((1, 3)))), F.relu(self.linear(largest(second)))
        P = (a.unsqueeze(2) * e.unsqueeze(1)).sigmoid()
        z = torch.matmul(per_frame(y), P)
        return z.view(*y.shape[:2], y.shape[3], -1).transpose(2, 3)


class TemporalGate(nn.Module):
    """Every frame times sigmoid(w0 mean + w1 max + b) of itself; ``bn`` is unused, but checkpoints hold it."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, (stride, 1))
        self.bn = nn.BatchNorm2d(out_channels)
        self.combine_conv = nn.Conv2d(2, 1, 1)

    def forward(self, y: Tensor) -> Tensor:
        """y = conv(x), (B, C, T, V), joint-major -> the same shape."""
        w, b = self.combine_conv.weight.flatten(), self.combine_conv.bias
        return y * (w[0] * y.mean((1, 3)) + w[1] * largest(y) + b).sigmoid()[:, None, :, None]


class TemporalMix(nn.Module):
    """Five branches of C/5 channels: (B, C, T, V) -> (B, C, ceil(T / stride), V); no residual inside.

    Args:
        frames: T / stride, for the attention's linear layer.
    """

    def __init__(self, channels: int, frames: int, stride: int):
        super().__init__()
        width = channels // 5

        def entry() -> list[nn.Module]:
            return [nn.Conv2d(channels, width, 1), nn.BatchNorm2d(width), nn.ReLU()]

        pool = nn.MaxPool2d((3, 1), (stride, 1), (1, 0))
        self.branches = nn.ModuleList(
            [
                nn.Sequential(*entry(), UnitTCN(width, width, 5, stride, dilation=1)),
                nn.Sequential(*entry(), UnitTCN(width, width, 5, stride, dilation=2)),
                nn.Sequential(*entry(), pool, nn.BatchNorm2d(width)),
                nn.Sequential(TemporalAttention(channels, width, frames, stride), nn.BatchNorm2d(width)),
                nn.Sequential(TemporalGate(channels, width, stride), nn.BatchNorm2d(width)),
            ]
        )

    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        """``bodies`` (B,): multiplicities, see ``skeleton_lab.nn.fused.batch_norm.batch_norm``."""
        *relus, (attention, attention_norm), (gate, gate_norm) = self.branches
        convs = attention.conv, gate.conv
        weight, bias = torch.cat([conv.weight for conv in convs]), torch.cat([conv.bias for conv in convs])
        to_attend, to_gate = pointwise(x, weight, bias, attention.conv.stride[0]).chunk(2, 1)
        attended, gated = attention(to_attend), gate(to_gate)
        norms = [*(branch[3].bn for branch in relus[:-1]), relus[-1][4], attention_norm, gate_norm]
        if self.training:
            attended = batch_norm([attention.bn], attended, bodies)
            y = [*relu_branches(relus, x, bodies), attended.transpose(2, 3), gated.transpose(2, 3)]
            return batch_norm(norms, torch.cat(y, 1).transpose(2, 3), bodies, [*exit_biases(relus), None, None])
        y = folded_relu_branches(relus, norms[:3], x)
        for part, chain in ((attended, (attention.bn, attention_norm)), (gated, (gate_norm,))):
            for bn in chain:
                scale, shift = fold([bn])
                part = part * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)
            y.append(part.transpose(2, 3))
        return torch.cat(y, 1).transpose(2, 3)  # cat would not keep joint-major
