"""MS-G3D: disentangled multi-scale aggregation, in space and across windows of spacetime.

Liu, Zhang, Chen, Wang, Ouyang, "Disentangling and Unifying Graph Convolutions for Skeleton-Based Action Recognition",
CVPR 2020.

Notation: N samples, M people, B = N*M bodies, C channels, T frames, V joints, W frames of a window, S scales (hop
distances), E channels within a window.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from graph.scales import scales
from torch import Tensor, nn

from skeleton_lab.errors import UsageError
from skeleton_lab.nn.layers import MultiScaleTemporalConv
from skeleton_lab.utils.importing import import_class

WIDTHS = (96, 192, 384)
WINDOWS = (3, 5)


class MLP(nn.Module):
    """relu(bn(conv(x))) with a 1x1 convolution: what mixes the scales (the W_k of equation 6, side by side)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels)])

    def forward(self, x: Tensor) -> Tensor:
        conv, bn = self.layers
        return torch.relu(bn(conv(x)))


class MultiScaleGraphConv(nn.Module):
    """MS-GCN, (B, C, T, J) -> (B, O, T, J): relu(bn(sum_k (A_k + A_res_k) x W_k)) (equation 6).

    Fixed graphs, a learned residual mask, one matrix per scale.  J joints: the V of a skeleton, or the W*V of a window.

    Args:
        A: (S*J, J) float32, the normalised graphs stacked along rows, row = target.
    """

    def __init__(self, in_channels: int, out_channels: int, A: Tensor):
        super().__init__()
        self.register_buffer("A_scales", A.clone(), persistent=False)
        self.A_res = nn.Parameter(torch.empty_like(A).uniform_(-1e-6, 1e-6))
        self.mlp = MLP(len(A) // A.shape[1] * in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        J = x.shape[3]
        x = torch.einsum("uv,bctv->bctu", self.A_scales + self.A_res, x)  # (B, C, T, S*J)
        x = x.unflatten(3, (-1, J)).permute(0, 3, 1, 2, 4).flatten(1, 2)  # (B, S*C, T, J)
        return self.mlp(x)


class UnfoldWindows(nn.Module):
    """The joints of W frames side by side: (B, C, T, V) -> (B, C, T', W*V), T' = ceil(T / stride)."""

    def __init__(self, window: int, stride: int):
        super().__init__()
        self.window, self.stride = window, stride

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, self.window // 2, self.window // 2))
        ends = [*range(1 - self.window, 0), None]  # T frames from each beginning on
        return torch.stack([x[:, :, w : end : self.stride] for w, end in enumerate(ends)], 3).flatten(3)


class MSG3D(nn.Module):
    """Graph convolution on windows of W frames, then their collapse (section 3.3).

    (B, C, T, V) -> (B, O, T', V), T' = ceil(T / stride).

    Args:
        inner: channels E within the window.
        A: (S*W*V, W*V), the window's normalised graphs.
    """

    def __init__(self, in_channels: int, inner: int, out_channels: int, A: Tensor, window: int, stride: int):
        super().__init__()
        self.gcn3d = nn.Sequential(UnfoldWindows(window, stride), MultiScaleGraphConv(in_channels, inner, A))
        self.out_conv = nn.Conv3d(inner, out_channels, (1, window, 1))
        self.out_bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.gcn3d(x).unflatten(3, (-1, x.shape[3]))  # (B, E, T', W, V)
        return self.out_bn(self.out_conv(y).squeeze(3))


class MultiWindowMSG3D(nn.Module):
    """Windows of several lengths, summed."""

    def __init__(self, in_channels: int, inner: int, out_channels: int, A: dict[int, Tensor], stride: int):
        super().__init__()
        self.gcn3d = nn.ModuleList(
            MSG3D(in_channels, inner, out_channels, A[window], window, stride) for window in WINDOWS
        )

    def forward(self, x: Tensor) -> Tensor:
        return sum(window(x) for window in self.gcn3d)


class MSTCN(MultiScaleTemporalConv):
    """MS-TCN (figure 3c) with six branches and a ReLU over their sum with the residual, unless ``act`` is False."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, act: bool = True):
        super().__init__(in_channels, out_channels, 3, stride)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return torch.relu(y) if self.act else y


class FactorizedPath(nn.Sequential):
    """Space, then time, then time: the path beside the windows (figure 3b)."""


class Model(nn.Module):
    """MS-G3D with the published arguments: (N, C, T, V, M) -> logits (N, num_class).

    Args:
        num_point, num_person: V and M.
        num_gcn_scales, num_g3d_scales: S of the spatial graphs and of the windows.
        graph, graph_args: dotted name of a class whose ``A_binary`` (V, V) is 1 at every edge, and its arguments.

    Raises:
        UsageError: a graph of other joints, no scale.
    """

    def __init__(
        self, num_class: int, num_point: int, num_person: int, num_gcn_scales: int, num_g3d_scales: int, graph: str,
        in_channels: int = 3, graph_args: dict | None = None,
    ):  # fmt: skip
        super().__init__()
        self.graph = import_class(graph, "graph")(**(graph_args or {}))
        if self.graph.num_nodes != num_point:
            raise UsageError(f"num_point={num_point}, but {graph} has {self.graph.num_nodes} joints: make them agree")
        if min(num_gcn_scales, num_g3d_scales) < 1:
            raise UsageError(f"num_gcn_scales={num_gcn_scales}, num_g3d_scales={num_g3d_scales}: both must be positive")
        self.in_channels = in_channels
        A = torch.from_numpy(scales(self.graph.A_binary, num_gcn_scales))
        windows = {W: torch.from_numpy(scales(self.graph.A_binary, num_g3d_scales, W)) for W in WINDOWS}
        self.data_bn = nn.BatchNorm1d(num_person * in_channels * num_point)
        for i, (before, width) in enumerate(zip((in_channels, *WIDTHS), WIDTHS), start=1):
            stride, inner = (1, width) if i == 1 else (2, before)
            self.add_module(f"gcn3d{i}", MultiWindowMSG3D(before, inner, width, windows, stride))
            space = MultiScaleGraphConv(before, inner, A)
            path = FactorizedPath(space, MSTCN(inner, width, stride), MSTCN(width, width, act=False))
            self.add_module(f"sgcn{i}", path)
            self.add_module(f"tcn{i}", MSTCN(width, width))
        self.fc = nn.Linear(WIDTHS[-1], num_class)

    def one_by_one(self, x: Tensor) -> Tensor:
        """(N, C, T, V, M), after ``data_bn``, as bodies (N*M, C, T, V)."""
        N, C, T, V, M = x.shape
        x = self.data_bn(x.permute(0, 4, 3, 1, 2).reshape(N, M * V * C, T))
        return x.view(N, M, V, C, T).permute(0, 1, 3, 4, 2).reshape(N * M, C, T, V)

    def forward(self, x: Tensor) -> Tensor:
        N, M = x.shape[0], x.shape[-1]
        x = self.one_by_one(x)
        for i in range(1, len(WIDTHS) + 1):
            x = torch.relu(getattr(self, f"sgcn{i}")(x) + getattr(self, f"gcn3d{i}")(x))
            x = getattr(self, f"tcn{i}")(x)
        return self.fc(x.mean((2, 3)).view(N, M, -1).mean(1))
