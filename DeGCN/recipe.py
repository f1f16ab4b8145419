"""DeGCN's training program: smoothed labels, and a cosine between the warm-up and the steps of the learning rate."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable

from skeleton_lab.engine import optim
from skeleton_lab.engine.recipe import FLAGS, STREAMS, Recipe

LOWEST = 0.01  # the cosine ends where it falls to this rate, whatever base_lr is; from there on the steps count


def schedule(options: Namespace, iterations: int) -> Callable[[int, int], float]:
    """base_lr, warm_up_epoch, cosine_epoch, step: warm-up, half a cosine of so many epochs, a tenth at every step."""
    milestones = optim.milestones_of(options)

    def rate(epoch: int, t: int) -> float:
        past = epoch - options.warm_up_epoch
        if 0 <= past < options.cosine_epoch:
            cosine = options.base_lr * (1 + math.cos(math.pi * past / options.cosine_epoch)) / 2
            if cosine > LOWEST:
                return cosine
        return optim.decayed(epoch, options.base_lr, milestones, warm_up=options.warm_up_epoch)

    return rate


RECIPE = Recipe(
    "DeGCN",
    mark="D",
    flags=(*FLAGS, "cosine_epoch"),
    # The published program evaluates every fifth epoch and the last 19; mixed precision, which it defaults to, has to
    # be asked for here.
    defaults={"num_worker": 0, "loss_type": "LSCE", "save_epoch": 0, "save_score": True, "eval_interval": 5},
    evaluates_last=19,
    schedule=schedule,
    deterministic=True,
    streams={**STREAMS, "jbf": {"model": "model.jbf.Model", **STREAMS["joint"]}},
    weights="epoch_{epoch}_{step}.pt",
)
