"""What ST-GCN++ and ProtoGCN share: input norm, the rule of stages, the multi-branch temporal unit, the head.

Duan et al., "PYSKL: Towards Good Practices for Skeleton Action Recognition", ACM MM 2022.

Notation: N samples, M persons, B = N*M bodies, C channels, T frames, V joints, K matrices of the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_lab.nn.layers import UnitTCN as ConvNorm

MS_CFG = ((3, 1), (3, 2), (3, 3), (3, 4), ("max", 3), "1x1")


class UnitTCN(nn.Module):
    """Convolution over frames, norm, dropout: (B, C, T, V) -> (B, O, ceil(T / stride), V).

    ``norm`` None: none, and no parameters of one.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 9, stride: int = 1, dilation: int = 1,
        norm: str | None = "BN", dropout: float = 0.0,
    ):  # fmt: skip
        super().__init__()
        padding = (kernel_size - 1) * dilation // 2
        self.conv = nn.Conv2d(
            in_channels, out_channels, (kernel_size, 1), (stride, 1), (padding, 0), (dilation, 1)
        )  # fmt: skip
        self.bn = nn.Identity() if known("norm", norm, "BN", None) is None else nn.BatchNorm2d(out_channels)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.bn(self.conv(x)))


class MSTCN(nn.Module):
    """Branches of other receptive fields over the same input, side by side, then norm, ReLU and a 1x1 convolution.

    Args:
        mid_channels: share of ``out_channels`` that every branch has; None: as many as there are, divided, and the
            rest to the first branch.
        ms_cfg: one branch each: (kernel, dilation), ('max', kernel) or '1x1'.
    """

    def __init__(
        self, in_channels: int, out_channels: int, mid_channels: float | None = None, dropout: float = 0.0,
        ms_cfg: Sequence[Any] = MS_CFG, stride: int = 1, norm: str = "BN", act: str = "ReLU",
    ):  # fmt: skip
        super().__init__()
        known("norm", norm, "BN")
        known("act", act, "ReLU")
        each = out_channels // len(ms_cfg) if mid_channels is None else int(out_channels * mid_channels)
        first = each if mid_channels is not None else out_channels - each * (len(ms_cfg) - 1)
        widths = [first, *[each] * (len(ms_cfg) - 1)]
        self.branches = nn.ModuleList(
            self._branch(in_channels, width, stride, entry) for width, entry in zip(widths, ms_cfg)
        )
        total = sum(widths)
        self.transform = nn.Sequential(nn.BatchNorm2d(total), nn.ReLU(), nn.Conv2d(total, out_channels, 1))
        self.bn = nn.BatchNorm2d(out_channels)
        self.drop = nn.Dropout(dropout)

    @staticmethod
    def _branch(in_channels: int, width: int, stride: int, entry: Any) -> nn.Module:
        if entry == "1x1":
            return nn.Conv2d(in_channels, width, 1, (stride, 1))
        if not isinstance(entry, (list, tuple)) or len(entry) != 2:
            raise ValueError(f"tcn_ms_cfg: '{entry}' is no branch; one is (kernel, dilation), ('max', kernel) or '1x1'")
        kind, size = entry
        if kind == "max":
            last: nn.Module = nn.MaxPool2d((size, 1), (stride, 1), (1, 0))
        else:
            last = UnitTCN(width, width, kind, stride, size, norm=None)
        return nn.Sequential(nn.Conv2d(in_channels, width, 1), nn.BatchNorm2d(width), nn.ReLU(), last)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, T, V) -> (B, O, ceil(T / stride), V)
        return self.finish(torch.cat([branch(x) for branch in self.branches], 1))

    def finish(self, branches: Tensor) -> Tensor:
        return self.drop(self.bn(self.transform(branches)))


def data_norm(kind: str | None, persons: int, joints: int, channels: int) -> nn.Module:
    """Of the input, per joint and channel: 'VC' shared by the persons, 'MVC' one of each; else nothing."""
    sizes = {"VC": joints * channels, "MVC": persons * joints * channels}
    return nn.BatchNorm1d(sizes[kind]) if kind in sizes else nn.Identity()


def bodies_of(x: Tensor, norm: nn.Module) -> Tensor:
    """Clips (N, M, T, V, C), through their ``data_norm``, as bodies (N*M, V, C, T).

    Raises:
        ValueError: another number of persons than a norm of each is made for.
    """
    N, M, T, V, C = x.shape
    x = x.permute(0, 1, 3, 4, 2).reshape(N * M, V * C, T)
    size = getattr(norm, "num_features", V * C)
    if size == V * C:
        return norm(x).view(N * M, V, C, T)
    if size != M * V * C:
        raise ValueError(f"the input norm is made for {size // (V * C)} persons, not for {M}")
    return norm(x.reshape(N, size, T)).view(N * M, V, C, T)


def projection(in_channels: int, out_channels: int) -> nn.Module:
    """What a graph unit adds: x, or x projected and normed where channels differ."""
    if in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))


def residual(in_channels: int, out_channels: int, stride: int, wanted: bool) -> nn.Module | None:
    """Of a block: None, x, or x projected where channels or frames differ."""
    if not wanted:
        return None
    same = in_channels == out_channels and stride == 1
    return nn.Identity() if same else ConvNorm(in_channels, out_channels, 1, stride)


class Head(nn.Module):
    """Mean over frames and joints, then over persons, classifier: (N, M, C, T, V) -> logits (N, num_classes)."""

    def __init__(self, num_classes: int, in_channels: int, dropout: float = 0.0, init_std: float = 0.01):
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.fc_cls = nn.Linear(in_channels, num_classes)
        nn.init.normal_(self.fc_cls.weight, 0.0, init_std)
        nn.init.zeros_(self.fc_cls.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc_cls(self.drop(x.mean((3, 4)).mean(1)))


def stages(
    block: Callable[..., nn.Module], in_channels: int, base_channels: int, ch_ratio: float, num_stages: int,
    inflate_stages: Sequence[int], down_stages: Sequence[int], options: dict[str, Any],
) -> tuple[nn.ModuleList, int]:  # fmt: skip
    """The blocks, and the channels behind the last.

    Stage 1 has no residual and no dropout over time, and is left out where it would change no channels.  The widths
    are base_channels * ch_ratio^q, q the number of ``inflate_stages`` so far.

    Args:
        block: ``block(in_channels, out_channels, stride=, residual=, **options)``.
        options: of every block; a tuple of ``num_stages`` values has one for each.
    """
    blocks, before, inflated = nn.ModuleList(), in_channels, 0
    for stage in range(1, num_stages + 1):
        inflated += stage > 1 and stage in inflate_stages
        width = int(base_channels * ch_ratio**inflated + 1e-4)
        own = {
            name: value[stage - 1] if isinstance(value, tuple) and len(value) == num_stages else value
            for name, value in options.items()
        }
        if stage == 1:
            own.pop("tcn_dropout", None)
            if in_channels == base_channels:
                continue
        stride = 2 if stage > 1 and stage in down_stages else 1
        blocks.append(block(before, width, stride=stride, residual=stage > 1, **own))
        before = width
    return blocks, before


def units_options(options: dict[str, Any], **units: Sequence[str]) -> dict[str, dict[str, Any]]:
    """{unit: its arguments} of names with a prefix, 'gcn_adaptive' say.

    Args:
        units: prefix -> the names that the unit takes.

    Raises:
        ValueError: a name that none of them takes.
    """
    split: dict[str, dict[str, Any]] = {unit: {} for unit in units}
    for name, value in options.items():
        unit, _, rest = name.partition("_")
        if unit not in units or rest not in units[unit]:
            takes = ", ".join(f"{prefix}_{each}" for prefix, names in units.items() for each in names)
            raise ValueError(f"the argument {name} is not known; besides the named ones there are {takes}")
        split[unit][rest] = value
    return split


def unit(x: Tensor, dim: int) -> Tensor:
    """x of length 1 along ``dim``; zero stays zero."""
    return x / (x.norm(dim=dim, keepdim=True) + 1e-12)


def known(name: str, value: Any, *values: Any) -> Any:
    """``value`` if it is one of ``values``; ValueError otherwise."""
    if value not in values:
        raise ValueError(f"{name} '{value}' is not known; there is {', '.join(map(repr, values))}")
    return value
