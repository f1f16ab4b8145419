"""Initialisation laws that the papers share."""

from __future__ import annotations

import math

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def kaiming_fan_out(module: nn.Module, kinds: tuple[type[nn.Module], ...] = (nn.Conv2d,), slope: float = 0.0) -> None:
    """Every convolution of ``kinds`` inside: weight normal(0, sqrt(2 / ((1 + slope^2) out * kh * kw))), bias 0.

    ``slope``: of the leaky ReLU behind it.
    """
    for conv in module.modules():
        if isinstance(conv, kinds):
            nn.init.kaiming_normal_(conv.weight, slope, mode="fan_out")
            nn.init.zeros_(conv.bias)


def normal_norms(module: nn.Module) -> None:
    """Every batch norm inside: weight normal(1, 0.02), bias 0."""
    for norm in module.modules():
        if isinstance(norm, _BatchNorm):
            nn.init.normal_(norm.weight, 1.0, 0.02)
            nn.init.zeros_(norm.bias)


def classifier(fc: nn.Linear) -> None:
    """Weight normal(0, sqrt(2 / num_class)); the bias keeps torch's default."""
    nn.init.normal_(fc.weight, 0.0, math.sqrt(2.0 / fc.out_features))
