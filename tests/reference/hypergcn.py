"""Hyper-GCN as its paper writes it, one line of code per equation and nothing merged: the oracle of the networks.

Zhou, Xu, Wu, Wu, Kittler: "Adaptive Hyper-Graph Convolution Network for Skeleton-based Human Action Recognition with
Virtual Connections", ICCV 2025.  The parameters carry the published names in the published order, so that the parity
fixtures can be replayed on it.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn

K = 8


class HyperGraphConv(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, h: int, A: torch.Tensor):
        super().__init__()
        d = in_channels // K // 4
        self.hyper_joint = nn.Parameter(torch.randn(1, in_channels).repeat(h, 1))
        self.alpha = nn.Parameter(torch.ones(1))
        self.PA = nn.Parameter(A.clone(), requires_grad=False)
        self.edge_importance = nn.Parameter(torch.ones_like(A))
        self.to_V = nn.Conv1d(in_channels, K * d, 1, groups=K)
        self.to_W = nn.Sequential(
            nn.Conv1d(in_channels, K * d, 1, groups=K), nn.LeakyReLU(), nn.Conv1d(K * d, K, 1), nn.Tanh()
        )
        self.conv_d = nn.Conv2d(in_channels, out_channels, 1, groups=K)
        if in_channels != out_channels:
            self.down = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels))
        else:
            self.down = nn.Identity()
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, _C, T, V = x.shape
        virtual = self.hyper_joint.t()[None, :, None].expand(B, -1, T, -1)
        xt = torch.cat([x, virtual], 3)
        P = self.edge_importance * self.PA
        P = P / (P.abs().sum(2, keepdim=True) + 1e-8)
        s = xt.mean(2)
        a = self.to_V(s).view(B, K, -1, xt.shape[3]).transpose(2, 3)
        D = (a.unsqueeze(3) - a.unsqueeze(2)).norm(dim=-1)
        near, place = torch.topk(D, 9, largest=False)
        H = torch.zeros_like(D).scatter(3, place, torch.softmax(-near, 3))
        W = torch.diag_embed(self.to_W(s))
        q = torch.diag_embed(1 / (H.sum(2) + 1e-8))
        HW = H @ W
        r = torch.diag_embed(1 / (HW.abs().sum(3) + 1e-8))
        G = r @ HW @ W @ q @ H.transpose(2, 3)
        R = P + torch.relu(self.alpha) * G
        z = self.conv_d(xt).view(B, K, -1, T, xt.shape[3])
        y = torch.einsum("bkuv,bkctv->bkctu", R, z).reshape(B, -1, T, xt.shape[3])[..., :V]
        return torch.relu(self.bn(y) + self.down(x))


class TemporalConv(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, dilation: int = 1):
        super().__init__()
        padding = (kernel - 1) * dilation // 2
        self.conv = nn.Conv2d(
            in_channels, out_channels, (kernel, 1), (stride, 1), (padding, 0), (dilation, 1), padding_mode="replicate"
        )
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(self.conv(x))


class MultiScale(nn.Module):
    def __init__(self, channels: int, stride: int):
        super().__init__()
        q = channels // 4

        def entry() -> list[nn.Module]:
            return [nn.Conv2d(channels, q, 1), nn.BatchNorm2d(q), nn.ReLU()]

        self.branches = nn.ModuleList(
            [
                nn.Sequential(*entry(), TemporalConv(q, q, 5, stride, 1)),
                nn.Sequential(*entry(), TemporalConv(q, q, 5, stride, 2)),
                nn.Sequential(*entry(), nn.MaxPool2d((3, 1), (stride, 1), (1, 0)), nn.BatchNorm2d(q)),
                nn.Sequential(nn.Conv2d(channels, q, 1, (stride, 1)), nn.BatchNorm2d(q)),
            ]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class Block(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, h: int, A: torch.Tensor, stride: int):
        super().__init__()
        self.gcn1 = HyperGraphConv(in_channels, out_channels, h, A)
        self.tcn1 = MultiScale(out_channels, stride)
        if in_channels != out_channels or stride != 1:
            self.residual = TemporalConv(in_channels, out_channels, 1, stride)
        else:
            self.residual = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.tcn1(self.gcn1(x)) + self.residual(x))


class Model(nn.Module):
    """``last``: channels of the last stage, 256 (base) or 512 (large)."""

    def __init__(self, A: torch.Tensor, h: int, last: int, num_class: int, V: int, M: int, in_channels: int = 3):
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.randn(1, V, 128))
        self.data_bn = nn.BatchNorm1d(M * 128 * V)
        self.to_joint_embedding = nn.Linear(in_channels, 128)
        widths = [128] * 4 + [256] * 3 + [last] * 3
        for i, (before, width) in enumerate(itertools.pairwise(widths), start=1):
            self.add_module(f"l{i}", Block(before, width, h, A, 2 if i in (4, 7) else 1))
        self.fc = nn.Linear(last, num_class)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        N, _C, T, V, M = x.shape
        e = torch.tanh(self.to_joint_embedding(x.permute(0, 4, 2, 3, 1)) + self.pos_embedding)  # (N, M, T, V, 128)
        e = self.data_bn(e.permute(0, 1, 3, 4, 2).reshape(N, M * V * 128, T))
        x = e.view(N, M, V, 128, T).permute(0, 1, 3, 4, 2).reshape(N * M, 128, T, V)
        for first in (1, 4, 7):
            one, two, three = (getattr(self, f"l{first + i}") for i in range(3))
            skip = one(x)
            x = three(two(skip) + skip)
        logits = self.fc(x.mean((2, 3)).view(N, M, -1).mean(1))
        return logits, [getattr(self, f"l{i}").gcn1.hyper_joint for i in range(1, 10)]


def build(network: nn.Module) -> Model:
    """The reference of a network of the room, with equal weights."""
    reference = Model(
        network.l1.gcn1.PA.detach(), len(network.l1.gcn1.hyper_joint), network.fc.in_features, network.num_class,
        network.num_point, network.num_person, network.to_joint_embedding.in_features,
    )  # fmt: skip
    reference.load_state_dict(network.state_dict())
    return reference
