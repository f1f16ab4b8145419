"""Learning rates of the published programs, as functions of epoch and optimizer step.

e is the 0-based epoch, t the number of optimizer steps done before this one, n the iterations of an epoch.
"""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable, Sequence


def decayed(epoch: int, base: float, milestones: Sequence[int], rate: float = 0.1, warm_up: int = 0) -> float:
    """``base (e+1)/W`` during the ``warm_up`` epochs W, then ``base rate^k`` with k = milestones <= e."""
    if epoch < warm_up:
        return base * (epoch + 1) / warm_up
    return base * rate ** sum(epoch >= milestone for milestone in milestones)


def cosine(
    t: int,
    total: int,
    base: float,
    minimum: float,
    warm_up: int = 0,
    warm_up_from: float = 0.0,
    prefix: bool = False,
) -> float:
    """SkateFormer's schedule: linear from ``warm_up_from`` over ``warm_up`` steps, then half a cosine to ``minimum``.

    Without ``prefix`` the cosine counts from step 0, so the rate drops a little where the warm-up ends; with it the
    cosine starts there.
    """
    if t < warm_up:
        return warm_up_from + t * (base - warm_up_from) / warm_up
    if prefix:
        t, total = t - warm_up, total - warm_up
    if t >= total:
        return minimum
    return minimum + (base - minimum) * (1 + math.cos(math.pi * t / total)) / 2


def schedule(kind: str, options: Namespace, iterations: int) -> Callable[[int, int], float]:
    """The function (epoch, step) -> learning rate of a program.

    Args:
        kind: ``warmup`` (CTR-GCN, Hyper-GCN, FreqMixFormer), ``steps`` (MS-G3D), ``sgd_steps`` (ST-GCN: steps with
            SGD, constant otherwise) or ``cosine`` (SkateFormer).
        options: base_lr, step, lr_decay_rate, warm_up_epoch, num_epoch, min_lr, warmup_lr, warmup_prefix, optimizer.
        iterations: n, iterations per epoch.
    """
    base = options.base_lr
    if kind == "cosine":
        total, warm_up = options.num_epoch * iterations, options.warm_up_epoch * iterations
        return lambda epoch, t: cosine(
            t, total, base, options.min_lr, warm_up, options.warmup_lr, options.warmup_prefix
        )
    milestones = [options.step] if isinstance(options.step, int) else list(options.step or [])
    if kind == "warmup":
        return lambda epoch, t: decayed(epoch, base, milestones, options.lr_decay_rate, options.warm_up_epoch)
    if kind == "sgd_steps" and options.optimizer != "SGD":
        return lambda epoch, t: base
    return lambda epoch, t: decayed(epoch, base, milestones)
