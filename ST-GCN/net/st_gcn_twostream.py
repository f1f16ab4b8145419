"""Two ST-GCNs side by side: one sees the joints, the other how they depart from a straight course."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from net.st_gcn import Model as STGCN


class Model(nn.Module):
    """(N, C, T, V, M) -> logits (N, num_class), the sum of both streams'; arguments as ``net.st_gcn.Model``."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()
        self.origin_stream = STGCN(*args, **kwargs)
        self.motion_stream = STGCN(*args, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        return self.origin_stream(x) + self.motion_stream(motion(x))


def motion(x: Tensor) -> Tensor:
    """m[t] = x[t] - (x[t+1] + x[t-1]) / 2, zero in the first and the last frame; x (N, C, T, V, M)."""
    m = torch.zeros_like(x)
    if x.shape[2] > 2:
        m[:, :, 1:-1] = x[:, :, 1:-1] - (x[:, :, 2:] + x[:, :, :-2]) / 2
    return m
