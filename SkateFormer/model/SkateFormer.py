"""SkateFormer: self-attention within four kinds of skeletal-temporal relations.

Do, Kim, "SkateFormer: Skeletal-Temporal Transformer for Human Action Recognition", ECCV 2024.

Notation: N samples, C channels, T frames, V joints, M people, J = M*V tokens of a frame (token m*V + v), H = num_heads.
Activations are (N, T, J, C), or that memory seen as (N, C, T, J) where a convolution takes it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import sizes

# Far frames, far tokens of the four types of relations (equation 3).
FAR = ((False, False), (False, True), (True, False), (True, True))


def partition(x: Tensor, a: int, b: int, far_frames: bool, far_tokens: bool) -> Tensor:
    """(N, T, J, C) -> windows (W, L, C) of L = a*b tokens, numbered frame by frame, W = N * T/a * J/b.

    A window is a neighbouring frames by b tokens or, ``far``, every (T/a)-th frame and every (J/b)-th token.
    """
    N, T, J, C = x.shape
    x = x.view(N, a, T // a, J, C).transpose(1, 2) if far_frames else x.view(N, T // a, a, J, C)
    x = x.unflatten(3, (b, J // b)).transpose(3, 4) if far_tokens else x.unflatten(3, (J // b, b))
    return x.transpose(2, 3).reshape(-1, a * b, C)  # from (N, T/a, a, J/b, b, C)


def reverse(y: Tensor, a: int, b: int, far_frames: bool, far_tokens: bool, N: int, T: int, J: int) -> Tensor:
    """The inverse of ``partition``: (W, L, C) -> (N, T, J, C)."""
    y = y.reshape(N, T // a, J // b, a, b, -1).transpose(2, 3)
    y = (y.transpose(3, 4) if far_tokens else y).reshape(N, T // a, a, J, -1)
    return (y.transpose(1, 2) if far_frames else y).reshape(N, T, J, -1)


class WindowAttention(nn.Module):
    """Attention within the windows of one type (section 3.3, equations 4 to 8), and a bias for their tokens' places.

    ``forward(f (N, T, J, 3*h*d))`` -> (W, L, h*d); channel ``part * h*d + head * d + e`` of f is a query, key or value.
    The scale is h^-1/2, not d^-1/2: so the published networks were trained.

    Args:
        a, b: frames and tokens of a window.  Where a does not divide T, its largest divisor that is at most a does.
        drop: probability of the dropout on the maps.
        rel: learn the bias: a table over frame offsets and, with ``far_tokens``, over pairs of tokens.
    """

    def __init__(self, a: int, b: int, far_frames: bool, far_tokens: bool, heads: int, drop: float, rel: bool):
        super().__init__()
        self.a, self.b, self.far_frames, self.far_tokens = a, b, far_frames, far_tokens
        self.heads, self.drop, self.rel = heads, drop, rel
        if rel:
            shape = (2 * a - 1, b, b, heads) if far_tokens else (2 * a - 1, heads)
            self.relative_position_bias_table = nn.Parameter(torch.empty(shape))
            nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
            p = torch.arange(a)
            self.register_buffer("relative_position_index", p[:, None] - p + a - 1)

    def forward(self, f: Tensor) -> Tensor:
        x = partition(f, *self.windows(f.shape[1]))
        q, k, v = x.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (W, h, L, d) each
        scores = q * self.heads**-0.5 @ k.transpose(-2, -1) + self.bias(x.shape[1] // self.b)
        P = F.dropout(scores.softmax(-1), self.drop, self.training)
        return (P @ v).transpose(1, 2).flatten(2)

    def windows(self, T: int) -> tuple[int, int, bool, bool]:
        """How T frames are cut: arguments of ``partition``."""
        return sizes.largest_divisor(T, self.a), self.b, self.far_frames, self.far_tokens

    def bias(self, a: int, table: Tensor | None = None) -> Tensor | float:
        """(h, L, L) for windows of ``a`` frames; ``table``: in place of its own, with other heads.

        For near tokens the published code repeats the matrix over frame offsets with period a over tokens that are
        numbered frame by frame: it tells p mod a - p' mod a, not the frame offset.  Trained weights rely on it.
        """
        if not self.rel:
            return 0.0
        table = (self.relative_position_bias_table if table is None else table)[self.relative_position_index[:a, :a]]
        if self.far_tokens:  # (a, a, b, b, h)
            return table.permute(4, 0, 2, 1, 3).reshape(table.shape[-1], a * self.b, -1)
        return table.permute(2, 0, 1).repeat(1, self.b, self.b)


class MLP(nn.Module):
    """x (..., C) -> dropout(fc2(dropout(act(fc1(x)))))."""

    def __init__(self, channels: int, hidden: int, act_layer: type[nn.Module], drop: float):
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.act = act_layer()
        self.fc2 = nn.Linear(hidden, channels)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))


class Downsample(nn.Module):
    """bn(convolution over k frames with stride 2): (N, C, T, J) -> (N, O, ceil(T/2), J)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__()
        self.reduction = nn.Conv2d(in_channels, out_channels, (kernel_size, 1), (2, 1), (kernel_size // 2, 0))
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.reduction(x))


class Transformer(nn.Module):
    """The block of figure 3: (N, T, J, C) -> the same shape::

        f = mapping(norm_1(x)), cut into g, c and f_1 ... f_4
        x = x + proj(cat(graph convolution of g, temporal convolution of c, attention_i(f_i) for the four types))
        x = x + mlp(norm_2(x))

    Both sums with stochastic depth: in training a sample's branch is dropped with probability ``drop_path``.
    """

    def __init__(
        self, channels: int, num_tokens: int, kernel_size: int, num_heads: int, types: Sequence[Sequence[int]],
        attn_drop: float, drop: float, rel: bool, drop_path: float, mlp_ratio: float, act_layer: type[nn.Module],
        norm_layer: type[nn.Module],
    ):  # fmt: skip
        super().__init__()
        groups = num_heads // 4
        self.drop_path = drop_path
        self.gconv = nn.Parameter(torch.empty(groups, num_tokens, num_tokens))
        nn.init.trunc_normal_(self.gconv, std=0.02)
        self.norm_1 = norm_layer(channels)
        self.mapping = nn.Linear(channels, 2 * channels)
        width, padding = channels // 4, (kernel_size // 2, 0)
        self.tconv = nn.Conv2d(width, width, (kernel_size, 1), padding=padding, groups=groups)
        self.attention = nn.ModuleList(
            WindowAttention(*size, *far, num_heads // 8, attn_drop, rel) for size, far in zip(types, FAR)
        )
        self.proj = nn.Linear(channels, channels)
        self.proj_drop = nn.Dropout(drop)
        self.norm_2 = norm_layer(channels)
        self.mlp = MLP(channels, int(mlp_ratio * channels), act_layer, drop)

    def forward(self, x: Tensor) -> Tensor:
        x = self.add(x, self.mixed(self.mapping(self.norm_1(x))))
        return self.add(x, self.mlp(self.norm_2(x)))

    def mixed(self, f: Tensor) -> Tensor:
        """The first branch from f on: (N, T, J, 2*C) -> (N, T, J, C)."""
        N, T, J, C = f.shape
        g, c, *parts = f.split([C // 8, C // 8, *4 * [3 * C // 16]], -1)
        y = [self.graph_convolution(g), self.tconv(c.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)]
        y += [reverse(attend(part), *attend.windows(T), N, T, J) for attend, part in zip(self.attention, parts)]
        return self.proj_drop(self.proj(torch.cat(y, -1)))

    def graph_convolution(self, x: Tensor) -> Tensor:
        """y[n, t, v, c] = sum_u gconv[group of c, v, u] x[n, t, u, c]; groups of consecutive channels."""
        x = x.unflatten(-1, (len(self.gconv), -1))
        return torch.einsum("gvu,ntugc->ntvgc", self.gconv, x).flatten(-2)

    def add(self, x: Tensor, branch: Tensor) -> Tensor:
        """x plus the branch, which in training each sample drops with probability ``drop_path``."""
        if not self.training or not self.drop_path:
            return x + branch
        kept = x.new_empty(len(x), 1, 1, 1).bernoulli_(1 - self.drop_path)
        return torch.addcmul(x, branch, kept / (1 - self.drop_path))


class Block(nn.Module):
    """(N, C, T, J) -> (N, O, T', J): the transformer, in the first block of stages 2, 3 ... after the downsampling."""

    def __init__(self, downsample: nn.Module | None, transformer: Transformer):
        super().__init__()
        self.downsample = downsample or nn.Identity()
        self.transformer = transformer

    def forward(self, x: Tensor) -> Tensor:
        return self.transformer(self.downsample(x).permute(0, 2, 3, 1).contiguous()).permute(0, 3, 1, 2)


class SkateFormer(nn.Module):
    """(N, C, T, V, M) and the frames' positions (N, T) -> logits (N, num_classes).

    Args:
        depths, channels: blocks and channels of each stage; from the second stage on, frames are halved first.
        embed_dim: channels after the stem; must equal channels[0].
        num_people, num_points, num_frames: M, V and T; num_frames counts only where ``index_t`` is False.
        kernel_size: frames of the temporal convolutions, odd.
        num_heads: H; H // 8 heads in each of the four attentions, H // 4 groups in the convolutions.
        type_1_size ... type_4_size: frames and tokens of a window: all near, far tokens, far frames, both far.
        attn_drop, head_drop, drop: dropout on attention maps, before ``head``, and after a block's other linear layers.
        rel: learn relative positions within windows.
        drop_path: probability to drop a branch of the last block; it grows linearly from 0 in the first.
        mlp_ratio: hidden channels of a block's MLP, per channel.
        index_t: positions of frames come as second input, a multiple of 1 / T, and are embedded by sines; else the
            network learns an embedding of every frame and token.
        global_pool: ``avg`` or ``max`` over frames and tokens.

    Raises:
        UsageError (a ValueError): sizes that do not fit each other.
    """

    def __init__(
        self, in_channels: int = 3, depths: Sequence[int] = (2, 2, 2, 2),
        channels: Sequence[int] = (96, 192, 192, 192), num_classes: int = 60, embed_dim: int = 64, num_people: int = 2,
        num_frames: int = 64, num_points: int = 50, kernel_size: int = 7, num_heads: int = 32,
        type_1_size: Sequence[int] = (1, 1), type_2_size: Sequence[int] = (1, 1), type_3_size: Sequence[int] = (1, 1),
        type_4_size: Sequence[int] = (1, 1), attn_drop: float = 0.0, head_drop: float = 0.0, drop: float = 0.0,
        rel: bool = True, drop_path: float = 0.0, mlp_ratio: float = 4.0, act_layer: type[nn.Module] = nn.GELU,
        norm_layer_transformer: type[nn.Module] = nn.LayerNorm, index_t: bool = False, global_pool: str = "avg",
    ):  # fmt: skip
        super().__init__()
        self.types = [type_1_size, type_2_size, type_3_size, type_4_size]
        sizes.check_stages(depths, channels, embed_dim)
        sizes.check_heads(num_heads, channels)
        sizes.check_partitions(self.types, num_points, num_people)
        sizes.check_rest(
            kernel_size, global_pool, attn_drop=attn_drop, head_drop=head_drop, drop=drop, drop_path=drop_path
        )
        self.in_channels, self.num_points, self.num_people = in_channels, num_points, num_people
        self.num_frames, self.index_t, self.global_pool = num_frames, index_t, global_pool
        self._told: set[int] = set()  # windows whose reduced partitions were reported
        J = num_points * num_people
        if index_t:
            embedding = self.joint_person_embedding = nn.Parameter(torch.empty(embed_dim, J))
            frequencies = torch.exp(torch.arange(0, embed_dim, 2) * (-math.log(10000.0) / embed_dim))
            self.register_buffer("frequencies", frequencies, persistent=False)
        else:
            embedding = self.joint_person_temporal_embedding = nn.Parameter(torch.empty(1, embed_dim, num_frames, J))
        nn.init.trunc_normal_(embedding, std=0.02)
        widths = (in_channels, 2 * in_channels, 3 * in_channels, embed_dim)
        stem = [nn.Conv2d(before, width, 1) for before, width in itertools.pairwise(widths)]
        self.stem = nn.Sequential(stem[0], nn.GELU(), stem[1], nn.GELU(), stem[2])
        drop_paths, self.stages = iter(torch.linspace(0, drop_path, sum(depths)).tolist()), nn.ModuleList()
        for before, C, depth in zip((None, *channels), channels, depths):
            blocks = nn.ModuleList()
            for b in range(depth):
                downsample = Downsample(before, C, kernel_size) if before and b == 0 else None
                blocks.append(Block(downsample, Transformer(
                    C, J, kernel_size, num_heads, self.types, attn_drop, drop, rel, next(drop_paths), mlp_ratio,
                    act_layer, norm_layer_transformer,
                )))  # fmt: skip
            self.stages.append(nn.ModuleDict({"blocks": blocks}))
        self.head_drop = nn.Dropout(head_drop)
        self.head = nn.Linear(channels[-1], num_classes)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new, freshly drawn ``head``, and another pooling if named."""
        sizes.check_rest(1, global_pool or self.global_pool)
        self.global_pool = global_pool or self.global_pool
        self.head = nn.Linear(self.head.in_features, num_classes).to(self.head.weight)

    def no_weight_decay(self) -> set[str]:
        """Parameters that the authors meant to leave out of weight decay; no published training does."""
        return {name for name, _ in self.named_parameters() if "relative_position_bias_table" in name}

    def forward(self, x: Tensor, index_t: Tensor | None = None) -> Tensor:
        sizes.check_input(x.shape, self.in_channels, self.num_points, self.num_people)
        N, C, T, V, M = x.shape
        sizes.tell_reduced(T, len(self.stages), [a for a, _ in self.types], self._told)
        x = self.stem(x.permute(0, 2, 4, 3, 1).reshape(N, T, M * V, C).permute(0, 3, 1, 2))
        x = self.blocks(self.embed(x.permute(0, 2, 3, 1), index_t).permute(0, 3, 1, 2))
        x = x.mean((2, 3)) if self.global_pool == "avg" else x.amax((2, 3))
        return self.head(self.head_drop(x))

    def blocks(self, x: Tensor) -> Tensor:
        for block in (block for stage in self.stages for block in stage.blocks):
            x = block(x)
        return x

    def embed(self, x: Tensor, index_t: Tensor | None) -> Tensor:
        """x (N, T, J, C) plus where each token is in the clip and on the bodies (equation 10)."""
        N, T, _, _ = x.shape
        if not self.index_t:
            sizes.check_frames(self.num_frames, T)
            return x + self.joint_person_temporal_embedding.permute(0, 2, 3, 1)
        sizes.check_positions(None if index_t is None else index_t.shape, N, T)
        angles = index_t[..., None] * self.frequencies
        frame = torch.stack([angles.sin(), angles.cos()], -1).flatten(-2).unsqueeze(2)  # (N, T, 1, C)
        return torch.addcmul(x, frame.to(x.dtype), self.joint_person_embedding.t())


def SkateFormer_(**kwargs) -> SkateFormer:
    """SkateFormer with the published depths and widths; see ``SkateFormer`` for the other arguments."""
    return SkateFormer(depths=(2, 2, 2, 2), channels=(96, 192, 192, 192), embed_dim=96, **kwargs)
