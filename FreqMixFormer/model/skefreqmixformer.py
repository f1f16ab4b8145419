"""FreqMixFormer: attention between joints in space and in frequency, then attention between frames.

Wu et al., "Frequency Guidance Matters: Skeletal Action Recognition by Frequency-Aware Mixed Transformer", ACM MM 2024.

Notation: N samples, M people, B = N*M bodies, C channels, T frames, V joints.  Every quarter of the C channels has maps
between joints of its own; half of a quarter makes the queries, the other half the keys.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from model.cosine_transform import dct, idct
from model.frame_size import FrameSize
from skeleton_lab.errors import UsageError
from skeleton_lab.nn import init
from skeleton_lab.nn.layers import UnitTCN
from skeleton_lab.utils.importing import import_class

WIDTHS = (80, 80, 80, 80, 160, 160, 160, 320, 320, 320)
HALVING = (5, 8)  # blocks that halve the frame rate, numbered from 1
SUBSETS, GROUPS = 3, 8  # of the graph; of the channels: c, c + 8, ... share a learned graph


class SpatialMix(nn.Module):
    """Spatial unit (sections 3.2 and 3.3): (B, I, T, V) -> relu(bn(gate(sum_k x W_k map_k)) + down(x)), (B, C, T, V).

    A (3, V, V), the graph's subsets, are a constant part and the start of the learned part of all maps; emphasis (V,)
    are factors of the columns of the cross maps in the frequency domain.
    ``alpha``, ``fc`` and ``Spa_Att.bn`` are unused, but published checkpoints hold them.
    """

    def __init__(self, in_channels: int, out_channels: int, A: Tensor, emphasis: Tensor):
        super().__init__()
        V = A.shape[-1]
        self.register_buffer("A_SE", A.unsqueeze(1).repeat(1, GROUPS, 1, 1), persistent=False)
        self.register_buffer("emphasis", emphasis, persistent=False)
        self.alpha = nn.Parameter(torch.ones(1))
        self.A_GEME = nn.Parameter(self.A_SE.clone())
        self.linear = nn.Linear(V, V)
        self.Spa_Att = nn.ModuleDict({"bn": nn.BatchNorm2d(out_channels // 4), "linear": nn.Linear(V, V)})
        self.ChaRef_conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)
        self.conv = nn.Conv2d(in_channels, SUBSETS * out_channels, 1)
        self.down = nn.Identity()
        if in_channels != out_channels:
            self.down = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))
        self.fc = nn.Linear(2 * V, V)
        nn.init.normal_(self.fc.weight, 0.0, math.sqrt(2.0 / V))
        self.bn = nn.BatchNorm2d(out_channels)

    def mixed(self, m: Tensor, emphasis: Tensor | float = 1.0) -> Tensor:
        """Maps within every quarter and across neighbouring ones, of one domain: (B, 3, C, T, V) -> (B, 3, C, V, V)."""
        pooled = m.unflatten(2, (4, 2, -1)).mean((4, 5))  # (B, 3, 4, 2, V)
        q, k = torch.relu(self.Spa_Att["linear"](pooled)).unbind(3)
        within = torch.softmax(q.unsqueeze(-1) * k.unsqueeze(-2), -1)  # (B, 3, 4, V, V)
        q, k = torch.relu(self.linear(pooled[:, :, 1:, 0])), torch.relu(self.linear(pooled[:, :, :-1, 1]))
        across = torch.softmax(k.unsqueeze(-1) * q.unsqueeze(-2), -1) * emphasis
        none = torch.zeros_like(across[:, :, :1])
        maps = within / 2 + (torch.cat([none, across], 2) + torch.cat([across, none], 2)) / 4
        return maps.repeat_interleave(m.shape[2] // 4, 2)

    def forward(self, x: Tensor) -> Tensor:
        m = self.conv(x).unflatten(1, (SUBSETS, -1))  # (B, 3, C, T, V)
        maps = (self.mixed(m) + idct(self.mixed(dct(m), self.emphasis))) / 2
        maps = maps + (self.A_SE + self.A_GEME).repeat(1, m.shape[2] // GROUPS, 1, 1)
        y = torch.einsum("bkctv,bkcvw->bctw", m, maps)
        gate = torch.sigmoid(self.ChaRef_conv(y.mean((2, 3)).unsqueeze(1))).squeeze(1)
        y = y + y * gate[..., None, None]
        return torch.relu(self.bn(y) + self.down(x))


class TemporalAttention(nn.Module):
    """Frames attend to frames: bn(y P) with P[t, s] = sigmoid(relu(W a + b)[t] relu(W e + b)[s]), y = conv(x).

    ``a`` is the mean of the first half of the channels of y, ``e`` the maximum of the second half.
    """

    def __init__(self, in_channels: int, out_channels: int, frames: int, stride: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, (stride, 1))
        self.bn = nn.BatchNorm2d(out_channels)
        self.linear = nn.Linear(frames, frames)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        first, second = y.chunk(2, 1)
        a, e = torch.relu(self.linear(first.mean((1, 3)))), torch.relu(self.linear(largest(second)))
        P = torch.sigmoid(a.unsqueeze(2) * e.unsqueeze(1))
        return self.bn(torch.einsum("bctv,bts->bcsv", y, P))


def largest(x: Tensor) -> Tensor:
    """The maximum of every frame, (B, C, T, V) -> (B, T); of equal values one gets the gradient."""
    return x.transpose(2, 3).flatten(1, 2).max(1).values


class TemporalGate(nn.Module):
    """Every frame of conv(x) times sigmoid(w0 mean + w1 max + b) of itself; ``bn`` is unused, kept for checkpoints."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, (stride, 1))
        self.bn = nn.BatchNorm2d(out_channels)
        self.combine_conv = nn.Conv2d(2, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        told = torch.stack([y.mean((1, 3)), largest(y)], 1).unsqueeze(3)  # (B, 2, T, 1)
        return y * torch.sigmoid(self.combine_conv(told))


class TemporalMix(nn.Module):
    """Temporal unit (section 3.4), five branches of C/5 channels: (B, C, T, V) -> (B, C, T / stride = frames, V)."""

    def __init__(self, channels: int, frames: int, stride: int):
        super().__init__()
        width = channels // 5

        def entry() -> list[nn.Module]:
            return [nn.Conv2d(channels, width, 1), nn.BatchNorm2d(width), nn.ReLU()]

        self.branches = nn.ModuleList(
            [
                nn.Sequential(*entry(), UnitTCN(width, width, 5, stride, dilation=1)),
                nn.Sequential(*entry(), UnitTCN(width, width, 5, stride, dilation=2)),
                nn.Sequential(*entry(), nn.MaxPool2d((3, 1), (stride, 1), (1, 0)), nn.BatchNorm2d(width)),
                nn.Sequential(TemporalAttention(channels, width, frames, stride), nn.BatchNorm2d(width)),
                nn.Sequential(TemporalGate(channels, width, stride), nn.BatchNorm2d(width)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class Block(nn.Module):
    """relu(tem_mixf(spa_mixf(x)) + x), x projected, added or not: (B, I, T, V) -> (B, C, T / stride = frames, V)."""

    def __init__(
        self, in_channels: int, out_channels: int, frames: int, A: Tensor, emphasis: Tensor, stride: int, residual: bool
    ):
        super().__init__()
        self.spa_mixf = SpatialMix(in_channels, out_channels, A, emphasis)
        self.tem_mixf = TemporalMix(out_channels, frames, stride)
        self.residual = nn.Identity() if residual else None
        if residual and (in_channels != out_channels or stride != 1):
            self.residual = UnitTCN(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.tem_mixf(self.spa_mixf(x))
        return torch.relu(y if self.residual is None else y + self.residual(x))


class Tram(nn.Sequential):
    """An early block's output brought to the shape of the last one: pooled over ``window`` frames, projected."""

    def __init__(self, in_channels: int, out_channels: int, window: int):
        conv = nn.Conv2d(in_channels, out_channels, 1)
        super().__init__(nn.AvgPool2d((window, 1)), conv, nn.BatchNorm2d(out_channels), nn.ReLU())


class Model(FrameSize, nn.Module):
    """FreqMixFormer with the published arguments: (N, I, T, V, M) -> logits (N, num_class).

    Args:
        num_class, num_point, num_person, in_channels: K, V, M and I.
        graph, graph_args: dotted class name of the skeleton (``graph.ntu_rgb_d.Graph``), and its keyword arguments.
        frame_size: T, a multiple of 4; the temporal attention has a weight for every pair of frames.
        k: which joints ``A_vector`` subtracts, see ``DirectedSkeleton``; None: 8, on NW-UCLA 6 (as published).
        freq_split, freq_low, freq_high: cross maps of frequency get factor ``freq_low`` before column ``freq_split``.

    Raises:
        UsageError: no graph, one of other joints, a frame size that is no multiple of 4, an input of other sizes.
    """

    def __init__(
        self, num_class: int = 60, num_point: int = 25, num_person: int = 2, graph: str | None = None,
        graph_args: dict | None = None, in_channels: int = 3, frame_size: int = 64, k: int | None = None,
        freq_split: int = 13, freq_low: float = 0.5, freq_high: float = 1.5,
    ):  # fmt: skip
        super().__init__()
        if graph is None:
            raise UsageError("this model needs graph=, a dotted class name such as graph.ntu_rgb_d.Graph")
        self.check_frame_size(frame_size)
        self.graph = import_class(graph, "graph")(**(graph_args or {}))
        if self.graph.num_node != num_point:
            raise UsageError(f"FreqMixFormer: num_point {num_point}, but {graph} has {self.graph.num_node} joints")
        self.sizes = in_channels, frame_size, num_point, num_person
        A = torch.tensor(self.graph.A, dtype=torch.float32)
        A_vector = torch.tensor(self.graph.A_vector(k), dtype=torch.float32)
        self.relative = not torch.equal(A_vector, torch.eye(num_point))  # some joint is given relative to another
        self.register_buffer("A_vector", A_vector, persistent=False)
        self.pos_embedding = nn.Parameter(torch.randn(1, num_point, WIDTHS[0]))
        self.data_bn = nn.BatchNorm1d(num_person * WIDTHS[0] * num_point)
        self.to_joint_embedding = nn.Linear(in_channels, WIDTHS[0])
        emphasis = torch.where(torch.arange(num_point) < freq_split, freq_low, freq_high)
        frames = frame_size
        for i, (before, width) in enumerate(zip((WIDTHS[0], *WIDTHS), WIDTHS), start=1):
            stride = 2 if i in HALVING else 1
            frames //= stride
            self.add_module(f"l{i}", Block(before, width, frames, A, emphasis, stride, residual=i > 1))
        self.fc = nn.Linear(WIDTHS[-1], num_class)
        self.first_tram = Tram(WIDTHS[3], WIDTHS[-1], 4)
        self.second_tram = Tram(WIDTHS[6], WIDTHS[-1], 2)
        init.kaiming_fan_out(self)
        init.classifier(self.fc)

    def forward(self, x: Tensor) -> Tensor:
        self.check_shape(x)
        N, I, T, V, M = x.shape  # noqa: E741
        x = self.A_vector @ x.permute(0, 4, 2, 3, 1).reshape(N * M * T, V, I)
        x = self.to_joint_embedding(x) + self.pos_embedding
        x = self.data_bn(x.view(N, M, T, V, -1).permute(0, 1, 3, 4, 2).reshape(N, -1, T))
        x = x.view(N, M, V, -1, T).permute(0, 1, 3, 4, 2).reshape(N * M, -1, T, V)
        trams, early = {4: self.first_tram, 7: self.second_tram}, 0
        for i in range(1, len(WIDTHS) + 1):
            x = getattr(self, f"l{i}")(x)
            if i in trams:
                early = early + trams[i](x)
        return self.fc((x + early).mean((2, 3)).view(N, M, -1).mean(1))
