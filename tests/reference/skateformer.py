"""SkateFormer as its paper writes it, a line of code per equation and nothing merged: the oracle of the room's network.

Do, Kim, "SkateFormer: Skeletal-Temporal Transformer for Human Action Recognition", ECCV 2024.  The parameters carry the
published names in the published order, so that the parity fixtures can be replayed on it.  Partition lengths must
divide the frames of every stage.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def partition(x: Tensor, a: int, b: int, kind: int) -> Tensor:
    """(N, T, J, C) -> windows (W, a*b, C) of one of the types 1 to 4."""
    N, T, J, C = x.shape
    x = x.view(N, a, T // a, J, C).transpose(1, 2) if kind in (3, 4) else x.view(N, T // a, a, J, C)
    x = x.reshape(N, T // a, a, b, J // b, C).transpose(3, 4) if kind in (2, 4) else x.unflatten(3, (J // b, b))
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, a * b, C)  # from (N, T/a, a, J/b, b, C)


def reverse(x: Tensor, a: int, b: int, kind: int, N: int, T: int, J: int) -> Tensor:
    x = x.view(N, T // a, J // b, a, b, -1).permute(0, 1, 3, 2, 4, 5)
    x = (x.transpose(3, 4) if kind in (2, 4) else x).reshape(N, T // a, a, J, -1)
    return (x.transpose(1, 2) if kind in (3, 4) else x).reshape(N, T, J, -1)


class Attention(nn.Module):
    """Equations 4 to 8 for one type, on windows (W, L, 3*C/8)."""

    def __init__(self, a: int, b: int, kind: int, heads: int, drop: float):
        super().__init__()
        self.a, self.b, self.far, self.heads = a, b, kind in (2, 4), heads
        shape = (2 * a - 1, b, b, heads) if self.far else (2 * a - 1, heads)
        self.relative_position_bias_table = nn.Parameter(torch.randn(shape) * 0.02)
        p = torch.arange(a)
        self.register_buffer("relative_position_index", p[:, None] - p + a - 1)
        self.drop = nn.Dropout(drop)

    def bias(self) -> Tensor:
        a, b, h = self.a, self.b, self.heads
        B = self.relative_position_bias_table[self.relative_position_index]
        if self.far:
            return B.permute(4, 0, 2, 1, 3).reshape(h, a * b, a * b)
        return B.permute(2, 0, 1).repeat(1, b, b)

    def forward(self, x: Tensor) -> Tensor:
        W, L, _ = x.shape
        q, k, v = x.view(W, L, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        P = self.drop(torch.softmax(q * self.heads**-0.5 @ k.transpose(-2, -1) + self.bias(), -1))
        return (P @ v).transpose(1, 2).reshape(W, L, -1)


class MLP(nn.Module):
    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(channels, hidden), nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class DropPath(nn.Module):
    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p:
            return x
        return x * x.new_empty(len(x), 1, 1, 1).bernoulli_(1 - self.p) / (1 - self.p)


class Transformer(nn.Module):
    def __init__(
        self, C: int, J: int, kernel: int, H: int, types: list, attn_drop: float, drop_path: float, ratio: float
    ):  # fmt: skip
        super().__init__()
        self.types = types
        self.gconv = nn.Parameter(torch.randn(H // 4, J, J) * 0.02)
        self.norm_1 = nn.LayerNorm(C)
        self.mapping = nn.Linear(C, 2 * C)
        self.tconv = nn.Conv2d(C // 4, C // 4, (kernel, 1), padding=(kernel // 2, 0), groups=H // 4)
        self.attention = nn.ModuleList(
            Attention(a, b, kind, H // 8, attn_drop) for kind, (a, b) in enumerate(types, start=1)
        )
        self.proj = nn.Linear(C, C)
        self.norm_2 = nn.LayerNorm(C)
        self.mlp = MLP(C, int(ratio * C))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        N, T, J, C = x.shape
        f = self.mapping(self.norm_1(x))
        g, c, *parts = f.split([C // 4, C // 4, *4 * [3 * C // 8]], -1)
        g = g.chunk(len(self.gconv), -1)
        y = [torch.einsum("vu,ntuc->ntvc", A, group) for A, group in zip(self.gconv, g)]
        y.append(self.tconv(c.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        for kind, ((a, b), part, attention) in enumerate(zip(self.types, parts, self.attention), start=1):
            y.append(reverse(attention(partition(part, a, b, kind)), a, b, kind, N, T, J))
        x = x + self.drop_path(self.proj(torch.cat(y, -1)))
        return x + self.drop_path(self.mlp(self.norm_2(x)))


class Downsample(nn.Module):
    def __init__(self, before: int, C: int, kernel: int):
        super().__init__()
        self.reduction = nn.Conv2d(before, C, (kernel, 1), (2, 1), (kernel // 2, 0))
        self.bn = nn.BatchNorm2d(C)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.reduction(x))


class Block(nn.Module):
    def __init__(self, downsample: nn.Module | None, transformer: nn.Module):
        super().__init__()
        self.downsample = downsample or nn.Identity()
        self.transformer = transformer

    def forward(self, x: Tensor) -> Tensor:
        return self.transformer(self.downsample(x).permute(0, 2, 3, 1).contiguous()).permute(0, 3, 1, 2).contiguous()


class Stage(nn.Module):
    def __init__(self, blocks: list):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)


class Model(nn.Module):
    """(N, 3, T, V, M) and index_t (N, T) -> (N, num_classes); ``types`` are the sizes of the four partitions."""

    def __init__(
        self, types: list, J: int, num_classes: int = 60, kernel: int = 7, heads: int = 32, attn_drop: float = 0.0,
        drop_path: float = 0.0, mlp_ratio: float = 4.0, widths: tuple[int, ...] = (96, 192, 192, 192),
    ):  # fmt: skip
        super().__init__()
        C = widths[0]
        self.joint_person_embedding = nn.Parameter(torch.randn(C, J) * 0.02)
        self.stem = nn.Sequential(
            nn.Conv2d(3, 6, 1), nn.GELU(), nn.Conv2d(6, 9, 1), nn.GELU(), nn.Conv2d(9, C, 1)
        )  # fmt: skip
        rates = torch.linspace(0, drop_path, 2 * len(widths)).tolist()
        self.stages = nn.ModuleList()
        for s, width in enumerate(widths):
            blocks = []
            for b in range(2):
                downsample = Downsample(widths[s - 1], width, kernel) if s and b == 0 else None
                rest = (J, kernel, heads, types, attn_drop, rates[2 * s + b], mlp_ratio)
                blocks.append(Block(downsample, Transformer(width, *rest)))
            self.stages.append(Stage(blocks))
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor, index_t: Tensor) -> Tensor:
        N, _, T, V, M = x.shape
        x = self.stem(x.permute(0, 1, 2, 4, 3).reshape(N, 3, T, M * V))
        x = x + self.position(index_t)[..., None] * self.joint_person_embedding[:, None]
        for stage in self.stages:
            for block in stage.blocks:
                x = block(x)
        return self.head(x.mean((2, 3)))

    def position(self, index_t: Tensor) -> Tensor:
        """Equation 9: (N, T) -> (N, C, T)."""
        C = len(self.joint_person_embedding)
        omega = torch.exp(torch.arange(0, C, 2) * (-math.log(10000.0) / C)).to(index_t.device)
        te = index_t.new_empty(*index_t.shape, C)
        te[..., 0::2] = torch.sin(index_t[..., None] * omega)
        te[..., 1::2] = torch.cos(index_t[..., None] * omega)
        return te.transpose(1, 2)


def build(network: nn.Module) -> Model:
    """The reference of a network of the room, with equal weights."""
    first, last = network.stages[0].blocks[0].transformer, network.stages[-1].blocks[-1].transformer
    reference = Model(
        network.types,
        network.num_points * network.num_people,
        network.head.out_features,
        first.tconv.kernel_size[0],
        4 * len(first.gconv),
        first.attention[0].drop,
        last.drop_path,
        first.mlp.fc1.out_features / first.mlp.fc1.in_features,
    )
    reference.load_state_dict(network.state_dict())
    return reference
