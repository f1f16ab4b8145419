"""MS-G3D as its paper writes it, one line of code per equation and nothing merged: the oracle of the room's network.

Liu, Zhang, Chen, Wang, Ouyang, "Disentangling and Unifying Graph Convolutions for Skeleton-Based Action Recognition",
CVPR 2020.  The parameters carry the published names in the published order, so that the parity fixtures can be
replayed on it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

WIDTHS = (96, 192, 384)


def k_adjacency(A: torch.Tensor, k: int) -> torch.Tensor:
    """Equation 5: 1 where the distance is exactly k, and the diagonal; by powers of the matrix."""
    eye = torch.eye(len(A))
    if k == 0:
        return eye
    within = [torch.linalg.matrix_power(A + eye, hops).clamp(max=1) for hops in (k, k - 1)]
    return within[0] - within[1] + eye


def normalised_scales(A: torch.Tensor, scales: int) -> torch.Tensor:
    """D^-1/2 A_k D^-1/2 for k = 0, 1 ... below each other, (S*V, V)."""
    matrices = [k_adjacency(A, k) for k in range(scales)]
    return torch.cat([K * (K.sum(1)[:, None] * K.sum(1)).rsqrt() for K in matrices])


class MLP(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, activation: bool = True):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))
        if activation:
            self.layers.append(nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class GraphConv(nn.Module):
    """Equation 6: sum over scales of A_k X W_k, on a skeleton (or on a window of them)."""

    def __init__(self, scales: int, in_channels: int, out_channels: int, A: torch.Tensor, activation: bool):
        super().__init__()
        self.register_buffer("A", normalised_scales(A, scales), persistent=False)
        self.A_res = nn.Parameter(torch.empty_like(self.A).uniform_(-1e-6, 1e-6))
        self.mlp = MLP(scales * in_channels, out_channels, activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, C, T, V = x.shape
        aggregated = torch.einsum("vu,bctu->bctv", self.A + self.A_res, x)
        aggregated = aggregated.view(B, C, T, -1, V).permute(0, 3, 1, 2, 4).reshape(B, -1, T, V)
        return self.mlp(aggregated)


class WindowGraphConv(GraphConv):
    def __init__(self, scales: int, in_channels: int, out_channels: int, A: torch.Tensor):
        super().__init__(scales, in_channels, out_channels, A, activation=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).relu()


class Unfold(nn.Module):
    """(B, C, T, V) -> (B, C, T', W*V): the joints of W frames side by side."""

    def __init__(self, window: int, stride: int):
        super().__init__()
        self.window, self.stride = window, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pad(x, (0, 0, self.window // 2, self.window // 2)).unfold(2, self.window, self.stride)
        return x.transpose(3, 4).flatten(3)


class Window(nn.Module):
    """Section 3.4: graph convolution on the cross-spacetime graph of a window, which a convolution then collapses."""

    def __init__(
        self, in_channels: int, inner: int, out_channels: int, A: torch.Tensor, scales: int, window: int, stride: int
    ):
        super().__init__()
        tiled = (A + torch.eye(len(A))).tile(window, window)
        conv = WindowGraphConv(scales, in_channels, inner, tiled - torch.eye(len(tiled)))
        self.gcn3d = nn.Sequential(Unfold(window, stride), conv)
        self.out_conv = nn.Conv3d(inner, out_channels, (1, window, 1))
        self.out_bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.gcn3d(x)
        y = y.unflatten(3, (-1, x.shape[3]))
        return self.out_bn(self.out_conv(y).squeeze(3))


class Windows(nn.Module):
    def __init__(self, in_channels: int, inner: int, out_channels: int, A: torch.Tensor, scales: int, stride: int):
        super().__init__()
        self.gcn3d = nn.ModuleList(Window(in_channels, inner, out_channels, A, scales, W, stride) for W in (3, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sum(window(x) for window in self.gcn3d)


class TemporalConv(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, dilation: int = 1):
        super().__init__()
        padding = (kernel - 1) * dilation // 2
        self.conv = nn.Conv2d(in_channels, out_channels, (kernel, 1), (stride, 1), (padding, 0), (dilation, 1))
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(self.conv(x))


class TemporalUnit(nn.Module):
    """Figure 3c: six branches side by side."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        w = out_channels // 6

        def entry() -> list[nn.Module]:
            return [nn.Conv2d(in_channels, w, 1), nn.BatchNorm2d(w), nn.ReLU()]

        self.branches = nn.ModuleList(
            [nn.Sequential(*entry(), TemporalConv(w, w, 3, stride, dilation)) for dilation in (1, 2, 3, 4)]
        )
        self.branches.append(nn.Sequential(*entry(), nn.MaxPool2d((3, 1), (stride, 1), (1, 0)), nn.BatchNorm2d(w)))
        self.branches.append(nn.Sequential(nn.Conv2d(in_channels, w, 1, (stride, 1)), nn.BatchNorm2d(w)))
        same = in_channels == out_channels and stride == 1
        self.residual = nn.Identity() if same else TemporalConv(in_channels, out_channels, 1, stride)
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(torch.cat([branch(x) for branch in self.branches], 1) + self.residual(x))


class Model(nn.Module):
    """(N, C, T, V, M) -> (N, num_class); ``A`` (V, V), 1 at every edge."""

    def __init__(
        self, A: torch.Tensor, num_class: int = 60, num_person: int = 2, gcn_scales: int = 13, g3d_scales: int = 6,
        in_channels: int = 3,
    ):  # fmt: skip
        super().__init__()
        self.data_bn = nn.BatchNorm1d(num_person * in_channels * len(A))
        for i, (before, width) in enumerate(zip((in_channels, *WIDTHS), WIDTHS), start=1):
            stride, inner = (1, width) if i == 1 else (2, before)
            self.add_module(f"gcn3d{i}", Windows(before, inner, width, A, g3d_scales, stride))
            path = [GraphConv(gcn_scales, before, inner, A, activation=True)]
            path += [TemporalUnit(inner, width, stride), TemporalUnit(width, width)]
            path[-1].act = nn.Identity()
            self.add_module(f"sgcn{i}", nn.Sequential(*path))
            self.add_module(f"tcn{i}", TemporalUnit(width, width))
        self.fc = nn.Linear(WIDTHS[-1], num_class)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        N, C, T, V, M = x.shape
        x = self.data_bn(x.permute(0, 4, 3, 1, 2).reshape(N, M * V * C, T))
        x = x.view(N * M, V, C, T).permute(0, 2, 3, 1).contiguous()
        for i in (1, 2, 3):
            x = torch.relu(getattr(self, f"sgcn{i}")(x) + getattr(self, f"gcn3d{i}")(x))
            x = getattr(self, f"tcn{i}")(x)
        return self.fc(x.mean((2, 3)).view(N, M, -1).mean(1))


def build(network: nn.Module) -> Model:
    """The reference of a network of the room, with equal weights."""
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    A = torch.from_numpy(network.graph.A_binary)
    reference = Model(
        A,
        num_class=shapes["fc.bias"][0],
        num_person=shapes["data_bn.bias"][0] // (len(A) * network.in_channels),
        gcn_scales=shapes["sgcn1.0.A_res"][0] // len(A),
        g3d_scales=shapes["gcn3d1.gcn3d.0.gcn3d.1.A_res"][0] // (3 * len(A)),
        in_channels=network.in_channels,
    )
    reference.load_state_dict(network.state_dict())
    return reference
