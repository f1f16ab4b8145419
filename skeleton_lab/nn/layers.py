"""Layers that two or more papers share, as they print them.

Activations are (B, C, T, V): bodies, channels, frames, joints.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class UnitTCN(nn.Module):
    """Convolution over frames and batch norm, no activation: (B, C, T, V) -> (B, O, ceil(T / stride), V).

    ``padding_mode``: ``zeros`` or ``replicate``, which repeats the first and the last frame.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 5, stride: int = 1, dilation: int = 1,
        padding_mode: str = "zeros",
    ):  # fmt: skip
        super().__init__()
        padding = (kernel_size - 1) * dilation // 2
        self.conv = nn.Conv2d(
            in_channels, out_channels, (kernel_size, 1), (stride, 1), (padding, 0), (dilation, 1),
            padding_mode=padding_mode,
        )  # fmt: skip
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class MultiScaleTemporalConv(nn.Module):
    """Convolutions of several dilations, max pooling and a 1x1 convolution side by side, concatenated over channels.

    (B, C, T, V) -> (B, O, ceil(T / stride), V).  Source: MS-G3D (Liu et al., CVPR 2020, section 3.4) in CTR-GCN's form.

    Args:
        kernel_size: one for all, or one per dilation.
        dilations: of the convolution branches; ``out_channels`` must be divisible by ``len(dilations) + 2``.
        residual: add x (projected if channels or stride differ) to the result.
        padding_mode: of the convolutions over frames, see ``UnitTCN``.

    Raises:
        ValueError: the channels cannot be divided among the branches, or kernel sizes and dilations differ in number.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int] = 3,
        stride: int = 1,
        dilations: Sequence[int] = (1, 2, 3, 4),
        residual: bool = True,
        residual_kernel_size: int = 1,
        padding_mode: str = "zeros",
    ):
        super().__init__()
        kernels = [kernel_size] * len(dilations) if isinstance(kernel_size, int) else list(kernel_size)
        if out_channels % (len(dilations) + 2) or len(kernels) != len(dilations):
            raise ValueError(
                f"{out_channels} channels for {len(dilations) + 2} branches, {len(kernels)} kernel sizes for "
                f"{len(dilations)} dilations: the first must divide, the second be equal"
            )
        width = out_channels // (len(dilations) + 2)
        self.stride = stride

        def entry() -> list[nn.Module]:
            return [nn.Conv2d(in_channels, width, 1), nn.BatchNorm2d(width), nn.ReLU()]

        self.branches = nn.ModuleList(
            nn.Sequential(*entry(), UnitTCN(width, width, kernel, stride, dilation, padding_mode))
            for kernel, dilation in zip(kernels, dilations)
        )
        pool = nn.MaxPool2d((3, 1), (stride, 1), (1, 0))
        self.branches.append(nn.Sequential(*entry(), pool, nn.BatchNorm2d(width)))
        last = nn.Conv2d(in_channels, width, 1, (stride, 1))
        self.branches.append(nn.Sequential(last, nn.BatchNorm2d(width)))
        if not residual:
            self.residual = None
        elif in_channels == out_channels and stride == 1:
            self.residual = nn.Identity()
        else:
            self.residual = UnitTCN(in_channels, out_channels, residual_kernel_size, stride, 1, padding_mode)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([branch(x) for branch in self.branches], 1)
        return y if self.residual is None else y + self.residual(x)
