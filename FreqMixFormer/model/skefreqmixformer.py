"""FreqMixFormer: attention between joints in space and in frequency, then attention between frames.

Wu et al., "Frequency Guidance Matters: Skeletal Action Recognition by Frequency-Aware Mixed Transformer", ACM MM 2024.

Notation: N samples, M people, B = N*M bodies, C channels, T frames, V joints.  ``bodies`` (B,) says how many equal
bodies each body stands for (None: one).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.embedding import embed
from model.frequency import FrequencyMixing
from model.spatial import SpatialMix
from model.temporal import TemporalMix
from skeleton_lab.errors import UsageError
from skeleton_lab.nn import init
from skeleton_lab.nn.activation_checkpoint import checkpointed
from skeleton_lab.nn.fused.merge_empty import merge_empty
from skeleton_lab.nn.fused.multi_scale_tcn import UnitTCN, conv_norm
from skeleton_lab.utils.importing import import_class

WIDTHS = (80, 80, 80, 80, 160, 160, 160, 320, 320, 320)
HALVING = (5, 8)  # blocks that halve the frame rate, numbered from 1
SHRINK = 2 ** len(HALVING)
FRAMES_OF = "tem_mixf.branches.3.0.linear.weight"  # of a block; (frames, frames)


class Block(nn.Module):
    """relu(tem_mixf(spa_mixf(x)) + residual(x)): (B, I, T, V) -> (B, C, T / stride, V).

    Args:
        frames: T / stride.
        residual: False: nothing is added; True: x, projected where channels or frames differ.
    """

    def __init__(
        self, in_channels: int, out_channels: int, frames: int, A: Tensor, mixing: FrequencyMixing, stride: int,
        residual: bool,
    ):  # fmt: skip
        super().__init__()
        self.spa_mixf = SpatialMix(in_channels, out_channels, A, mixing)
        self.tem_mixf = TemporalMix(out_channels, frames, stride)
        if not residual:
            self.residual = None
        elif in_channels == out_channels and stride == 1:
            self.residual = nn.Identity()
        else:
            self.residual = UnitTCN(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor, bodies: Tensor | None = None, projected: Tensor | None = None) -> Tensor:
        """``projected``: see ``SpatialMix``."""
        y = self.tem_mixf(self.spa_mixf(x, bodies, projected), bodies)
        if self.residual is None:
            return F.relu(y)
        return F.relu(y + (x if isinstance(self.residual, nn.Identity) else self.residual(x, bodies)), inplace=True)


class Tram(nn.Sequential):
    """An early block's output brought to the shape of the last one: pooled over ``window`` frames, projected."""

    def __init__(self, in_channels: int, out_channels: int, window: int):
        super().__init__(
            nn.AvgPool2d((window, 1)), nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels), nn.ReLU()
        )
        self.window = window

    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        pooled = x.transpose(2, 3).unflatten(3, (-1, self.window)).mean(4).transpose(2, 3)
        return F.relu(conv_norm(self[1], self[2], pooled, bodies))


def check_frame_size(frame_size: int) -> None:
    if frame_size < SHRINK or frame_size % SHRINK:
        below = frame_size // SHRINK * SHRINK
        advice = f"{below} or {below + SHRINK}" if below > 0 else f"{SHRINK}"
        raise UsageError(f"FreqMixFormer: frame_size {frame_size} is not a multiple of {SHRINK} (try {advice})")


def misshapen(given: torch.Size, built: tuple[int, ...]) -> str:
    if len(given) == len(built):
        names = ("in_channels", "frame_size", "num_point", "num_person")
        wrong = [(n, b, g) for n, b, g in zip(names, built, given) if b != g]
        told = ", ".join(f"{name} {b} but the input has {g}" for name, b, g in wrong)
        advice = ", ".join(f"model_args.{name}={g}" for name, _, g in wrong)
        return f"FreqMixFormer: {told}; set {advice}"
    return f"FreqMixFormer: the input is (N, {', '.join(map(str, given))}), expected (N, C, T, V, M)"


class Model(nn.Module):
    """FreqMixFormer with the published arguments: (N, I, T, V, M) -> logits (N, num_class).

    Args:
        num_class, num_point, num_person, in_channels: K, V, M and I.
        graph: dotted class name of the skeleton, e.g. ``graph.ntu_rgb_d.Graph``.
        graph_args: its keyword arguments.
        frame_size: T, a multiple of 4; the temporal attention has a weight for every pair of frames.
        k: which joints ``A_vector`` subtracts, see ``DirectedSkeleton``; None: 8, on NW-UCLA 6 (as published).
        freq_split, freq_low, freq_high: factors in the frequency domain, see ``FrequencyMixing``.

    Attributes:
        activation_checkpointing: in training, keep only the blocks' inputs and compute the rest again in backward.
        merge_empty_bodies: compute the empty bodies of a batch once; the result is the same up to rounding.

    Raises:
        UsageError: no graph, a graph of other joints, a frame size that is no multiple of 4; in ``forward``, an input
            of other frames, joints or people.
    """

    activation_checkpointing: bool = False
    merge_empty_bodies: bool = True

    def __init__(
        self, num_class: int = 60, num_point: int = 25, num_person: int = 2, graph: str | None = None,
        graph_args: dict | None = None, in_channels: int = 3, frame_size: int = 64, k: int | None = None,
        freq_split: int = 13, freq_low: float = 0.5, freq_high: float = 1.5,
    ):  # fmt: skip
        super().__init__()
        if graph is None:
            raise UsageError("this model needs graph=, a dotted class name such as graph.ntu_rgb_d.Graph")
        check_frame_size(frame_size)
        self.graph = import_class(graph, "graph")(**(graph_args or {}))
        if self.graph.num_node != num_point:
            raise UsageError(f"FreqMixFormer: num_point {num_point}, but {graph} has {self.graph.num_node} joints")
        self.sizes = in_channels, frame_size, num_point, num_person
        A = torch.tensor(self.graph.A, dtype=torch.float32)
        A_vector = torch.tensor(self.graph.A_vector(k), dtype=torch.float32)
        self.plain = torch.equal(A_vector, torch.eye(num_point))
        self.register_buffer("A_vector", A_vector, persistent=False)
        self.pos_embedding = nn.Parameter(torch.randn(1, num_point, WIDTHS[0]))
        self.data_bn = nn.BatchNorm1d(num_person * WIDTHS[0] * num_point)
        self.to_joint_embedding = nn.Linear(in_channels, WIDTHS[0])
        mixing = FrequencyMixing(num_point, freq_split, freq_low, freq_high)
        frames = frame_size
        for i, (before, width) in enumerate(zip((WIDTHS[0], *WIDTHS), WIDTHS), start=1):
            stride = 2 if i in HALVING else 1
            frames //= stride
            self.add_module(f"l{i}", Block(before, width, frames, A, mixing, stride, residual=i > 1))
        self.fc = nn.Linear(WIDTHS[-1], num_class)
        self.first_tram = Tram(WIDTHS[3], WIDTHS[-1], 4)
        self.second_tram = Tram(WIDTHS[6], WIDTHS[-1], 2)
        init.kaiming_fan_out(self)
        init.classifier(self.fc)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.sizes:
            raise UsageError(misshapen(x.shape[1:], self.sizes))
        N, M = len(x), self.sizes[-1]
        merged = merge_empty(x) if self.merge_empty_bodies and N > 1 else None
        if not self.plain:
            x = torch.einsum("vu,nctum->nctvm", self.A_vector, x)
        embedded = embed(x, self.to_joint_embedding, self.pos_embedding, self.data_bn)
        # Three coordinates tell l1's 80 input channels: its projection costs next to nothing when made from them.
        x, projected = embedded.features(), embedded.projected(*self.l1.spa_mixf.projection())
        bodies = None
        if merged is not None:
            x, projected, bodies = x[merged.kept], projected[merged.kept], merged.count
        x = self.blocks(x, bodies, projected)
        if merged is not None:
            x = x[merged.owner]
        return self.fc(x.view(N, M, -1).mean(1))

    def blocks(self, x: Tensor, bodies: Tensor | None, projected: Tensor) -> Tensor:
        """Features (B, C) of bodies: means over frames and joints of the last block and of two early ones."""
        checkpointing = self.activation_checkpointing and self.training and torch.is_grad_enabled()

        def run(module: nn.Module, *inputs: Tensor | None) -> Tensor:
            return checkpointed(module, *inputs) if checkpointing else module(*inputs)

        features = 0
        for i in range(1, len(WIDTHS) + 1):
            x = run(getattr(self, f"l{i}"), x, bodies, projected if i == 1 else None)
            if i == 4:
                features = features + run(self.first_tram, x, bodies).mean((2, 3))
            if i == 7:
                features = features + run(self.second_tram, x, bodies).mean((2, 3))
        return features + x.mean((2, 3))

    @staticmethod
    def fitted_arguments(
        model_args: dict[str, Any], train_feeder_args: dict[str, Any] | None, test_feeder_args: dict[str, Any] | None
    ) -> dict[str, Any]:
        """``model_args`` with ``frame_size`` from the clips' ``window_size`` where they do not name it.

        Raises:
            UsageError: windows and frame size differ.
        """
        windows = {"train": train_feeder_args, "test": test_feeder_args}
        windows = {split: (given or {}).get("window_size") for split, given in windows.items()}
        windows = {split: window for split, window in windows.items() if isinstance(window, int) and window > 0}
        frames = model_args.get("frame_size")
        if frames is None and windows:
            frames = next(iter(windows.values()))
            model_args = {**model_args, "frame_size": frames}
        if windows and set(windows.values()) != {frames}:
            split, window = next((split, window) for split, window in windows.items() if window != frames)
            equal = len(set(windows.values())) == 1
            advice = f"model_args.frame_size={window}" if equal else f"{split}_feeder_args.window_size={frames}"
            which = "" if equal else f"{split} "
            raise UsageError(f"FreqMixFormer: {which}window_size {window} but frame_size {frames}; set {advice}")
        return model_args

    def misfit(self, weights: Mapping[str, Tensor]) -> str | None:
        """Why weights cannot be loaded, where a better reason than their shapes is known: another ``frame_size``."""
        key = f"l1.{FRAMES_OF}"
        if key in weights and len(weights[key]) != self.sizes[1]:
            return f"weights were trained with {len(weights[key])} frames, this model has {self.sizes[1]}"
        return None
