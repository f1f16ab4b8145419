"""Two ST-GCNs frame by frame: the motion of a frame waits for the next one."""

from __future__ import annotations

import torch
from torch import Tensor

import net.st_gcn_continual  # noqa: F401  # whose rules the streams need
from net import st_gcn_twostream
from skeleton_lab.nn.continual import Chain, Joined, Parts, Window, beside, parts


def motion(x: Tensor) -> Tensor:
    """``st_gcn_twostream.motion`` of all frames but the two at the ends; 0 beside a missing one, which is NaN."""
    m = x[:, :, 1:-1] - (x[:, :, 2:] + x[:, :, :-2]) / 2
    return torch.where(m.isnan(), 0, m)


@parts.register(st_gcn_twostream.Model)
def _network(network: st_gcn_twostream.Model) -> Parts:
    origin, moving = parts(network.origin_stream), parts(network.motion_stream)
    late = Chain([Window(motion, reach=1, fill=torch.nan), moving.trunk])

    def head(features: Tensor) -> Tensor:
        first, second = features.chunk(2, 1)
        return origin.head(first) + moving.head(second)

    return Parts(Joined([origin.trunk, late], beside), head)
