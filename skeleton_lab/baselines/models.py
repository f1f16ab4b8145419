"""Three small networks to compare the published ones with; parameter names are those of the earlier scripts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_lab.nn.fused.batch_norm import fold

CLASSES = 60
COORDINATES, JOINTS, PERSONS = 3, 25, 2
# 1-based, undirected. Only an approximation of the sensor's skeleton (2-3, 3-5 instead of the spine's 21).
BONES = (
    (1, 2), (2, 3), (3, 4), (1, 21), (3, 5), (5, 6), (6, 7), (7, 8), (8, 22), (7, 23), (3, 9), (9, 10), (10, 11),
    (11, 12), (12, 24), (11, 25), (1, 13), (13, 14), (14, 15), (15, 16), (1, 17), (17, 18), (18, 19), (19, 20),
)  # fmt: skip


def first_person(x: Tensor) -> Tensor:
    """(N, C, T, V, M) or (N, C, T, V) to (N, C, T, V)."""
    return x[..., 0] if x.dim() == 5 else x


def rows(x: Tensor) -> Tensor:
    """(N, C, T, V, M) to (N, T, M*V*C): the columns of the Kaggle file; other shapes pass through."""
    return x.permute(0, 2, 4, 3, 1).flatten(2) if x.dim() == 5 else x


class SimpleMLP(nn.Module):
    """Three linear layers on the whole clip: (N, T, D) or (N, C, T, V, M) -> (N, K); ``input_dim`` is T * D."""

    def __init__(self, input_dim: int, num_classes: int = CLASSES):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(input_dim, 1024), nn.ReLU(), nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(rows(x).flatten(1))


class SimpleSTBackbone(nn.Module):
    """Two convolutions over time, a mean, two linear layers, on the first person: (N, C, T, V[, M]) -> (N, K).

    ``T`` has no effect: any number of frames will do.
    """

    def __init__(self, num_classes: int = CLASSES, in_channels: int = COORDINATES, T: int = 300, V: int = JOINTS):
        super().__init__()
        self.temporal = nn.Sequential(
            nn.Conv2d(in_channels, 64, (9, 1), padding=(4, 0)), nn.ReLU(),
            nn.Conv2d(64, 128, (9, 1), padding=(4, 0)), nn.ReLU(),
        )  # fmt: skip
        self.fc = nn.Sequential(nn.Flatten(), nn.Linear(128 * V, 512), nn.ReLU(), nn.Linear(512, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.temporal(first_person(x)).mean(2))


def adjacency() -> Tensor:
    """(V, V) float32: bones in both directions and self loops, each row divided by its sum."""
    A = torch.eye(JOINTS)
    for a, b in BONES:
        A[a - 1, b - 1] = A[b - 1, a - 1] = 1
    return A / A.sum(1, keepdim=True)


def _convolved(x: Tensor, conv: nn.Conv2d, bn: nn.BatchNorm2d) -> Tensor:
    """``bn(conv(x))``; in eval mode one convolution with both in its weights."""
    if bn.training:
        return bn(conv(x))
    scale, shift = fold([bn], [conv.bias])
    return F.conv2d(x, conv.weight * scale.view(-1, 1, 1, 1), shift, conv.stride, conv.padding)


class GraphConv(nn.Module):
    """Mean over neighbours, 1x1 convolution, batch norm, ReLU: (N, C, T, V) -> (N, O, T, V).

    The published order is convolution, then mean. Both are linear and the rows of A sum to 1, so the bias stays what
    it is; with at least as many outputs as inputs, as here throughout, the mean first is cheaper.
    """

    def __init__(self, in_channels: int, out_channels: int, A: Tensor):
        super().__init__()
        self.register_buffer("A", A.clone())
        self.conv = nn.Conv2d(in_channels, out_channels, 1)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(_convolved(x @ self.A.T.to(x.dtype), self.conv, self.bn))


class Block(nn.Module):
    """Graph convolution, convolution over 9 frames, residual, ReLU: (N, C, T, V) -> (N, O, T / stride, V)."""

    def __init__(self, in_channels: int, out_channels: int, A: Tensor, stride: int = 1):
        super().__init__()
        self.gcn = GraphConv(in_channels, out_channels, A)
        self.tcn = nn.Sequential(
            nn.Conv2d(out_channels, out_channels, (9, 1), (stride, 1), (4, 0)), nn.BatchNorm2d(out_channels)
        )
        self.residual: nn.Sequential | None = None
        if in_channels != out_channels or stride != 1:
            self.residual = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, (stride, 1)), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        rest = x if self.residual is None else _convolved(x, *self.residual)
        return F.relu(_convolved(self.gcn(x), *self.tcn) + rest)


class STGCNBackbone(nn.Module):
    """Three spatio-temporal blocks on the first person (after Yan et al. 2018): (N, C, T, V[, M]) -> (N, K)."""

    def __init__(self, num_classes: int = CLASSES, in_channels: int = COORDINATES, num_joints: int = JOINTS):
        super().__init__()
        A = adjacency()
        self.data_bn = nn.BatchNorm1d(in_channels * num_joints)
        self.layer1 = Block(in_channels, 64, A)
        self.layer2 = Block(64, 64, A)
        self.layer3 = Block(64, 128, A, stride=2)
        self.fc = nn.Linear(128, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = first_person(x)
        N, C, T, V = x.shape
        frames = x.permute(0, 2, 1, 3).reshape(N * T, C * V)  # feature c V + v
        x = self.data_bn(frames).view(N, T, C, V).transpose(1, 2)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))
