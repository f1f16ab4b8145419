"""Optimizers, and learning rates as functions of epoch and optimizer step.

e is the 0-based epoch, t the number of optimizer steps done before this one, n the iterations of an epoch. A schedule
takes the options and n and returns the function (e, t) -> rate.
"""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn


def decayed(epoch: int, base: float, milestones: Sequence[int], rate: float = 0.1, warm_up: int = 0) -> float:
    """``base (e+1)/W`` during the ``warm_up`` epochs W, then ``base rate^k`` with k = milestones <= e."""
    if epoch < warm_up:
        return base * (epoch + 1) / warm_up
    return base * rate ** sum(epoch >= milestone for milestone in milestones)


def milestones_of(options: Namespace) -> list[int]:
    return [options.step] if isinstance(options.step, int) else list(options.step or [])


def warm_up_and_steps(options: Namespace, iterations: int) -> Callable[[int, int], float]:
    """Of 2s-AGCN's program: base_lr, step, lr_decay_rate, warm_up_epoch."""
    milestones = milestones_of(options)
    return lambda epoch, t: decayed(epoch, options.base_lr, milestones, options.lr_decay_rate, options.warm_up_epoch)


def steps(options: Namespace, iterations: int) -> Callable[[int, int], float]:
    """A tenth at each of ``step``."""
    milestones = milestones_of(options)
    return lambda epoch, t: decayed(epoch, options.base_lr, milestones)


def half_cosine(t: int, total: int, base: float, minimum: float = 0.0) -> float:
    """From ``base`` at step 0 along half a cosine to ``minimum`` at step ``total``, and no further."""
    return minimum if t >= total else minimum + (base - minimum) * (1 + math.cos(math.pi * t / total)) / 2


def cosine(options: Namespace, iterations: int) -> Callable[[int, int], float]:
    """Half a cosine to 0 over the whole run, step by step: base_lr, num_epoch."""
    return lambda epoch, t: half_cosine(t, options.num_epoch * iterations, options.base_lr)


def make_optimizer(net: nn.Module, options: Namespace, *, cuda: bool, clips: bool) -> torch.optim.Optimizer:
    """SGD with momentum 0.9, Adam or AdamW over one group of all parameters.

    Args:
        clips: whether gradients are clipped between backward and step.
    """
    import torch  # here: a room's recipe, which is read before the command line, names the schedules above

    # A fused step undoes the loss scaling itself, which clipping has to do before it.
    how = {"foreach": True} if cuda and clips else {"fused": True} if cuda else {}
    common = {"lr": options.base_lr, "weight_decay": options.weight_decay, **how}
    if options.optimizer == "SGD":
        return torch.optim.SGD(net.parameters(), momentum=0.9, nesterov=options.nesterov, **common)
    return {"Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW}[options.optimizer](net.parameters(), **common)
