"""A network of a few numbers and a feeder of a few clips: what a run of a second needs."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn
from torch.utils.data import Dataset


class Model(nn.Module):
    """(N, 3, T, 2, 1) -> (N, K)."""

    def __init__(self, num_class: int = 3):
        super().__init__()
        self.norm = nn.BatchNorm1d(6)
        self.fc = nn.Linear(6, num_class)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.norm(x.mean(2).flatten(1)))


class Feeder(Dataset):
    """``n`` clips (3, T=2, V=2, M=1) of three classes."""

    def __init__(self, n: int = 6):
        self.label = [i % 3 for i in range(n)]
        self.sample_name = [f"clip{i}" for i in range(n)]

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, i: int) -> tuple:
        return np.full((3, 2, 2, 1), self.label[i], np.float32), self.label[i], i
