"""Running the code that a network has for CUDA on the CPU, with the values that the kernels of CUDA would give."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from replay import labels, logits
from torch import Tensor, nn

from skeleton_lab.engine.losses import Criterion
from skeleton_lab.engine.memory import as_device
from skeleton_lab.engine.memory.forecast import STATES, Memory, forecast


def step_as_on_cuda(net: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    with as_device.AsCuda(torch.device("cpu")), as_device.StandIns():
        y = logits(net.train()(*inputs))
        as_device.backward(F.cross_entropy(y, labels(y)))
    return y.detach()


def memory_on_cuda(net: nn.Module, batch: int, *samples: Tensor) -> Memory:
    """Of a training step of ``batch`` samples like these, with SGD."""
    return forecast(net, samples, batch, STATES, "cuda", Criterion(), alone=True)
