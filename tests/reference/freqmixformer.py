"""FreqMixFormer as its paper and its published code compute it, nothing merged or moved: the oracle of the room.

Wu et al., "Frequency Guidance Matters: Skeletal Action Recognition by Frequency-Aware Mixed Transformer", ACM MM 2024.
The frequency copies are transforms of all features, by FFT; every map is repeated over its channels.  The parameters
carry the published names in the published order, so that the parity fixtures can be replayed on it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def dct(x: Tensor) -> Tensor:
    """DCT-II along the last axis without normalisation, by an FFT of the reordered values (Makhoul 1980)."""
    V = x.shape[-1]
    spectrum = torch.fft.fft(torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1))
    angle = -math.pi * torch.arange(V, dtype=x.dtype, device=x.device) / (2 * V)
    return 2 * (spectrum.real * angle.cos() - spectrum.imag * angle.sin())


def idct(X: Tensor) -> Tensor:
    """The inverse of ``dct``."""
    V = X.shape[-1]
    half = X / 2
    angle = math.pi * torch.arange(V, dtype=X.dtype, device=X.device) / (2 * V)
    imaginary = torch.cat([torch.zeros_like(half[..., :1]), -half.flip(-1)[..., :-1]], -1)
    real = half * angle.cos() - imaginary * angle.sin()
    imaginary = half * angle.sin() + imaginary * angle.cos()
    v = torch.fft.irfft(torch.view_as_complex(torch.stack([real, imaginary], -1)), n=V)
    x = torch.empty_like(v)
    x[..., ::2] = v[..., : V - V // 2]
    x[..., 1::2] = v.flip(-1)[..., : V // 2]
    return x


class Attention(nn.Module):
    def __init__(self, channels: int, V: int):
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.linear = nn.Linear(V, V)


def pooled(x: Tensor, how: str) -> Tensor:
    """Mean or maximum over all but the first axis and the last: (B, C, T, V) -> (B, V), on a copy with V in front."""
    pool = {"mean": F.adaptive_avg_pool2d, "max": F.adaptive_max_pool2d}[how]
    return pool(x.permute(0, 3, 1, 2).contiguous(), 1)[..., 0, 0]


def joint_map(rows: Tensor, columns: Tensor, linear: nn.Linear) -> Tensor:
    """Two halves of a quarter (B, C/8, T, V) -> the map between them, repeated over the quarter: (B, C/4, V, V)."""
    r, c = F.relu(linear(pooled(rows, "mean"))), F.relu(linear(pooled(columns, "mean")))
    return torch.softmax(r.unsqueeze(2) * c.unsqueeze(1), -1).unsqueeze(1).repeat(1, 2 * rows.shape[1], 1, 1)


class SpatialMix(nn.Module):
    def __init__(self, in_channels: int, channels: int, A: Tensor):
        super().__init__()
        V = A.shape[-1]
        self.register_buffer("A_SE", A.unsqueeze(1).repeat(1, 8, 1, 1), persistent=False)
        self.alpha = nn.Parameter(torch.ones(1))
        self.A_GEME = nn.Parameter(self.A_SE.clone())
        self.linear = nn.Linear(V, V)
        self.Spa_Att = Attention(channels // 4, V)
        self.ChaRef_conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)
        self.conv = nn.Conv2d(in_channels, 3 * channels, 1)
        if in_channels == channels:
            self.down = nn.Identity()
        else:
            self.down = nn.Sequential(nn.Conv2d(in_channels, channels, 1), nn.BatchNorm2d(channels))
        self.fc = nn.Linear(2 * V, V)
        self.bn = nn.BatchNorm2d(channels)

    def mixed(self, quarters: list[Tensor], emphasis: Tensor | float) -> list[Tensor]:
        """The four quarters' maps of one domain, (B, C/4, V, V) each."""
        halves = [quarter.chunk(2, 1) for quarter in quarters]
        own = [joint_map(q, k, self.Spa_Att.linear) for q, k in halves]
        cross = [joint_map(halves[i][1], halves[i + 1][0], self.linear) * emphasis for i in range(3)]
        cross = [torch.zeros_like(cross[0]), *cross, torch.zeros_like(cross[0])]
        return [own[i] / 2 + (cross[i] + cross[i + 1]) / 4 for i in range(4)]

    def forward(self, x: Tensor) -> Tensor:
        emphasis = torch.where(torch.arange(x.shape[-1], device=x.device) < 13, 0.5, 1.5).to(x.dtype)
        B, _, _, V = x.shape
        m = self.conv(x).unflatten(1, (3, -1))
        maps = x.new_zeros(B, 3, m.shape[2], V, V)
        for k in range(3):
            quarters = m[:, k].chunk(4, 1)
            space = self.mixed(list(quarters), 1.0)
            frequency = self.mixed([dct(quarter) for quarter in quarters], emphasis)
            graph = (self.A_SE[k] + self.A_GEME[k]).repeat(m.shape[2] // 8, 1, 1)
            maps[:, k] = torch.cat([u + idct(f) for u, f in zip(space, frequency)], 1) / 2 + graph
        out = torch.einsum("bkctv,bkcvw->bctw", m, maps)
        gate = torch.sigmoid(self.ChaRef_conv(out.mean((2, 3)).unsqueeze(1))).squeeze(1)
        out = out + out * gate[..., None, None]
        return torch.relu(self.bn(out) + self.down(x))


class TemporalConv(nn.Module):
    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int, dilation: int = 1):
        super().__init__()
        padding = (kernel - 1) * dilation // 2
        self.conv = nn.Conv2d(in_channels, channels, (kernel, 1), (stride, 1), (padding, 0), (dilation, 1))
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class TemporalAttention(nn.Module):
    def __init__(self, in_channels: int, channels: int, frames: int, stride: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 1, (stride, 1))
        self.bn = nn.BatchNorm2d(channels)
        self.linear = nn.Linear(frames, frames)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        first, second = y.transpose(2, 3).chunk(2, 1)  # (B, C/2, V, T)
        a = torch.relu(self.linear(pooled(first, "mean")))
        e = torch.relu(self.linear(pooled(second, "max")))
        P = torch.sigmoid(a.unsqueeze(2) * e.unsqueeze(1))
        return self.bn(torch.einsum("bctv,bts->bcsv", y, P))


class TemporalGate(nn.Module):
    def __init__(self, in_channels: int, channels: int, stride: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 1, (stride, 1))
        self.bn = nn.BatchNorm2d(channels)
        self.combine_conv = nn.Conv2d(2, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        frames = y.transpose(2, 3)
        told = torch.stack([pooled(frames, "mean"), pooled(frames, "max")], 1).unsqueeze(3)  # (B, 2, T, 1)
        return y * torch.sigmoid(self.combine_conv(told))


class TemporalMix(nn.Module):
    def __init__(self, channels: int, frames: int, stride: int):
        super().__init__()
        w = channels // 5

        def entry() -> list[nn.Module]:
            return [nn.Conv2d(channels, w, 1), nn.BatchNorm2d(w), nn.ReLU()]

        self.branches = nn.ModuleList(
            [
                nn.Sequential(*entry(), TemporalConv(w, w, 5, stride, 1)),
                nn.Sequential(*entry(), TemporalConv(w, w, 5, stride, 2)),
                nn.Sequential(*entry(), nn.MaxPool2d((3, 1), (stride, 1), (1, 0)), nn.BatchNorm2d(w)),
                nn.Sequential(TemporalAttention(channels, w, frames, stride), nn.BatchNorm2d(w)),
                nn.Sequential(TemporalGate(channels, w, stride), nn.BatchNorm2d(w)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class Block(nn.Module):
    def __init__(self, in_channels: int, channels: int, A: Tensor, frames: int, stride: int, residual: bool):
        super().__init__()
        self.spa_mixf = SpatialMix(in_channels, channels, A)
        self.tem_mixf = TemporalMix(channels, frames, stride)
        self.skip = residual
        if residual and in_channels != channels:
            self.residual = TemporalConv(in_channels, channels, 1, stride)
        else:
            self.residual = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.tem_mixf(self.spa_mixf(x))
        return torch.relu(y + self.residual(x) if self.skip else y)


class Model(nn.Module):
    """(N, 3, T, V, M) -> (N, num_class); ``A`` (3, V, V), ``A_vector`` (V, V)."""

    def __init__(
        self, A: Tensor, A_vector: Tensor, num_class: int = 60, num_person: int = 2, frame_size: int = 64
    ):  # fmt: skip
        super().__init__()
        V = A.shape[-1]
        self.register_buffer("A_vector", A_vector, persistent=False)
        self.pos_embedding = nn.Parameter(torch.randn(1, V, 80))
        self.data_bn = nn.BatchNorm1d(num_person * 80 * V)
        self.to_joint_embedding = nn.Linear(3, 80)
        widths, frames = [80] * 4 + [160] * 3 + [320] * 3, frame_size
        for i, (before, width) in enumerate(zip([80, *widths], widths), start=1):
            stride = 2 if i in (5, 8) else 1
            frames //= stride
            self.add_module(f"l{i}", Block(before, width, A, frames, stride, residual=i > 1))
        self.fc = nn.Linear(320, num_class)
        self.first_tram = nn.Sequential(
            nn.AvgPool2d((4, 1)), nn.Conv2d(80, 320, 1), nn.BatchNorm2d(320), nn.ReLU()
        )  # fmt: skip
        self.second_tram = nn.Sequential(
            nn.AvgPool2d((2, 1)), nn.Conv2d(160, 320, 1), nn.BatchNorm2d(320), nn.ReLU()
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        N, C, T, V, M = x.shape
        x = self.A_vector @ x.permute(0, 4, 2, 3, 1).reshape(N * M * T, V, C)
        x = self.to_joint_embedding(x) + self.pos_embedding
        x = x.view(N, M, T, V, -1).permute(0, 1, 3, 4, 2).reshape(N, -1, T)
        x = self.data_bn(x)
        x = x.view(N, M, V, -1, T).permute(0, 1, 3, 4, 2).reshape(N * M, -1, T, V)
        early = 0
        for i in range(1, 11):
            x = getattr(self, f"l{i}")(x)
            if i in (4, 7):
                early = early + (self.first_tram if i == 4 else self.second_tram)(x)
        x = x + early
        return self.fc(x.mean((2, 3)).view(N, M, -1).mean(1))


def build(network: nn.Module) -> Model:
    """The reference of a network of the room, with equal weights."""
    _, frames, _, persons = network.sizes
    A = torch.tensor(network.graph.A, dtype=torch.float32)
    reference = Model(A, network.A_vector.clone(), network.fc.out_features, persons, frames)
    reference.load_state_dict(network.state_dict())
    return reference
