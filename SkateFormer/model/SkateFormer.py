"""SkateFormer: self-attention within four kinds of skeletal-temporal relations.

Do, Kim, "SkateFormer: Skeletal-Temporal Transformer for Human Action Recognition", ECCV 2024.

Notation: N samples, C channels, T frames, V joints, M people, J = M*V tokens of a frame (token m*V + v), H = num_heads.
Activations are (N, T, J, C), or that memory seen as (N, C, T, J) where a convolution takes it.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_lab.errors import UsageError
from skeleton_lab.nn.activation_checkpoint import checkpointed
from skeleton_lab.nn.fused.batch_norm import batch_norm

from . import sizes
from .attention import WindowAttention, largest_divisor
from .dense import MLP, norm_linear


class Downsample(nn.Module):
    """bn(convolution over k frames with stride 2): (N, C, T, J) -> (N, O, ceil(T/2), J)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__()
        self.reduction = nn.Conv2d(in_channels, out_channels, (kernel_size, 1), (2, 1), (kernel_size // 2, 0))
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        conv = self.reduction
        if not self.training:
            return self.bn(conv(x))
        y = F.conv2d(x, conv.weight, None, conv.stride, conv.padding)
        return batch_norm([self.bn], y, biases=[conv.bias])


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
            WindowAttention(a, b, far_frames, far_tokens, num_heads // 8, attn_drop, rel)
            for (a, b), (far_frames, far_tokens) in zip(types, FAR)
        )
        self.proj = nn.Linear(channels, channels)
        self.proj_drop = nn.Dropout(drop)
        self.norm_2 = norm_layer(channels)
        self.mlp = MLP(channels, int(mlp_ratio * channels), act_layer, drop)

    def forward(self, x: Tensor) -> Tensor:
        N, T, J, C = x.shape
        f = norm_linear(x, self.norm_1, self.mapping)
        g, c, *parts = f.split([C // 4, C // 4, *4 * [3 * C // 8]], -1)
        mixed = [self.graph_convolution(g), self.tconv(c.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)]
        mixed += [attend.restore(attend(part), N, T, J) for attend, part in zip(self.attention, parts)]
        x = self.add(x, self.proj_drop(self.proj(torch.cat(mixed, -1))))
        return self.add(x, self.mlp(x, self.norm_2))

    def graph_convolution(self, x: Tensor) -> Tensor:
        """y[n, t, v, c] = sum_u gconv[group of c, v, u] x[n, t, u, c]; groups of consecutive channels."""
        N, T, J, _ = x.shape
        groups = len(self.gconv)
        x = x.unflatten(-1, (groups, -1)).permute(3, 2, 0, 1, 4)  # (G, J, N, T, C/G)
        y = torch.bmm(self.gconv, x.reshape(groups, J, -1)).view(x.shape)
        return y.permute(2, 3, 1, 0, 4).reshape(N, T, J, -1)

    def add(self, x: Tensor, branch: Tensor) -> Tensor:
        """x plus the branch, which in training each sample drops with probability ``drop_path``."""
        if not self.training or not self.drop_path:
            return x + branch
        kept = x.new_empty(len(x), 1, 1, 1).bernoulli_(1 - self.drop_path)
        return torch.addcmul(x, branch, kept / (1 - self.drop_path))


# Far frames, far tokens of the four types of relations (equation 3).
FAR = ((False, False), (False, True), (True, False), (True, True))


class Block(nn.Module):
    """(N, C, T, J) -> (N, O, T', J): the transformer, in the first block of stages 2, 3 ... after the downsampling."""

    def __init__(self, downsample: nn.Module | None, transformer: Transformer):
        super().__init__()
        if downsample is not None:
            self.downsample = downsample
        self.transformer = transformer

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self, "downsample"):
            x = self.downsample(x)
        return self.transformer(x.permute(0, 2, 3, 1).contiguous()).permute(0, 3, 1, 2)


class Stage(nn.Module):
    def __init__(self, blocks: Sequence[Block]):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)


class SkateFormer(nn.Module):
    """(N, C, T, V, M) and the frames' positions (N, T) -> logits (N, num_classes).

    Args:
        depths, channels: blocks and channels of each stage; from the second stage on, frames are halved first.
        embed_dim: channels after the stem; must equal channels[0].
        num_people, num_points, num_frames: M, V and T; num_frames counts only where ``index_t`` is False.
        kernel_size: frames of the temporal convolutions, odd.
        num_heads: H; H // 8 heads in each of the four attentions, H // 4 groups in the convolutions.
        type_1_size ... type_4_size: frames and tokens of a window for near joints and frames, far joints, far frames,
            and both far.  Frames that do not divide a stage's T are reduced to the largest divisor below.
        attn_drop, head_drop, drop: probabilities of the dropout on attention maps, before the classifier, and after
            every other linear layer of a block.
        rel: learn relative positions within windows.
        drop_path: probability to drop a branch of the last block; it grows linearly from 0 in the first.
        mlp_ratio: hidden channels of a block's MLP, per channel.
        index_t: positions of frames come as second input, a multiple of 1 / T, and are embedded by sines; else the
            network learns an embedding of every frame and token.
        global_pool: ``avg`` or ``max`` over frames and tokens.

    Attributes:
        activation_checkpointing: in training, keep only the blocks' inputs and compute the rest again in backward.

    Raises:
        UsageError (a ValueError): sizes that do not fit each other.
    """

    activation_checkpointing: bool = False

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
        rates = {"attn_drop": attn_drop, "head_drop": head_drop, "drop": drop, "drop_path": drop_path}
        sizes.check_stages(depths, channels, embed_dim)
        sizes.check_heads(num_heads, channels)
        sizes.check_partitions(self.types, num_points, num_people)
        sizes.check_rest(kernel_size, global_pool, rates)
        self.in_channels, self.num_points, self.num_people = in_channels, num_points, num_people
        self.num_frames, self.index_t, self.global_pool = num_frames, index_t, global_pool
        self._told: set[int] = set()  # windows whose reduced partitions were reported
        J = num_points * num_people
        self.add_embedding(embed_dim, num_frames, J)
        widths = (in_channels, 2 * in_channels, 3 * in_channels, embed_dim)
        stem = [nn.Conv2d(before, width, 1) for before, width in itertools.pairwise(widths)]
        self.stem = nn.ModuleList([stem[0], nn.GELU(), stem[1], nn.GELU(), stem[2]])

        drop_paths = iter(torch.linspace(0, drop_path, sum(depths)).tolist())

        def block(C: int, before: int | None) -> Block:
            downsample = None if before is None else Downsample(before, C, kernel_size)
            return Block(downsample, Transformer(
                C, J, kernel_size, num_heads, self.types, attn_drop, drop, rel, next(drop_paths), mlp_ratio,
                act_layer, norm_layer_transformer,
            ))  # fmt: skip

        self.stages = nn.ModuleList(
            Stage([block(C, channels[s - 1] if s and b == 0 else None) for b in range(depth)])
            for s, (depth, C) in enumerate(zip(depths, channels))
        )
        self.head_drop = nn.Dropout(head_drop)
        self.head = nn.Linear(channels[-1], num_classes)

    def add_embedding(self, C: int, T: int, J: int) -> None:
        if self.index_t:
            embedding = self.joint_person_embedding = nn.Parameter(torch.empty(C, J))
            frequencies = torch.exp(torch.arange(0, C, 2) * (-math.log(10000.0) / C))
            self.register_buffer("frequencies", frequencies, persistent=False)
        else:
            embedding = self.joint_person_temporal_embedding = nn.Parameter(torch.empty(1, C, T, J))
        nn.init.trunc_normal_(embedding, std=0.02)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new, freshly drawn ``head``, and another pooling if named."""
        sizes.check_rest(1, global_pool or self.global_pool, {})
        self.global_pool = global_pool or self.global_pool
        self.head = nn.Linear(self.head.in_features, num_classes).to(self.head.weight)

    def no_weight_decay(self) -> set[str]:
        """Parameters that the authors meant to leave out of weight decay; no published training does."""
        return {name for name, _ in self.named_parameters() if "relative_position_bias_table" in name}

    def forward(self, x: Tensor, index_t: Tensor | None = None) -> Tensor:
        sizes.check_input(x.shape, self.in_channels, self.num_points, self.num_people)
        N, C, T, V, M = x.shape
        self.tell_reduced(T)
        x = x.permute(0, 2, 4, 3, 1).reshape(N, T, M * V, C).permute(0, 3, 1, 2)
        for layer in self.stem:
            x = layer(x)
        x = self.embed(x.permute(0, 2, 3, 1), index_t).permute(0, 3, 1, 2)
        checkpointing = self.activation_checkpointing and self.training and torch.is_grad_enabled()
        for stage in self.stages:
            for block in stage.blocks:
                x = checkpointed(block, x) if checkpointing else block(x)
        x = x.mean((2, 3)) if self.global_pool == "avg" else x.amax((2, 3))
        return self.head(self.head_drop(x))

    def embed(self, x: Tensor, index_t: Tensor | None) -> Tensor:
        """x (N, T, J, C) plus where each token is in the clip and on the bodies (equation 10)."""
        N, T, _, _ = x.shape
        if not self.index_t:
            if self.num_frames != T:
                raise UsageError(f"num_frames={self.num_frames} but the window has {T} frames")
            return x + self.joint_person_temporal_embedding.permute(0, 2, 3, 1)
        sizes.check_positions(None if index_t is None else index_t.shape, N, T)
        angles = index_t[..., None] * self.frequencies
        frame = torch.stack([angles.sin(), angles.cos()], -1).flatten(-2).unsqueeze(2)  # (N, T, 1, C)
        return torch.addcmul(x, frame.to(x.dtype), self.joint_person_embedding.t())

    def tell_reduced(self, T: int) -> None:
        """One line for the log, the first time that a window's stages need smaller partitions."""
        if T in self._told:
            return
        self._told.add(T)
        frames = [-(-T // 2**s) for s in range(len(self.stages))]
        for a in sorted({a for a, _ in self.types}):
            used = [largest_divisor(n, a) for n in frames]
            if set(used) != {a}:
                logging.getLogger("skeleton_lab").info(
                    f"SkateFormer: window {T} gives stages of {', '.join(map(str, frames))} frames; "
                    f"partition length {a} is reduced to {', '.join(map(str, used))}"
                )


def SkateFormer_(**kwargs) -> SkateFormer:
    """SkateFormer with the published depths and widths; see ``SkateFormer`` for the other arguments."""
    return SkateFormer(depths=(2, 2, 2, 2), channels=(96, 192, 192, 192), embed_dim=96, **kwargs)
