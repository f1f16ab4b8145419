"""SkateFormer's training program: AdamW with a cosine per step, frames that carry their times, and a late harvest.

It saves and evaluates in the last tenth of the epochs only.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable

from skeleton_lab.engine.optim import half_cosine
from skeleton_lab.engine.recipe import FLAGS, TRAIN_LINES, WITHOUT_EFFECT, Recipe


def cosine(
    t: int,
    total: int,
    base: float,
    minimum: float,
    warm_up: int = 0,
    warm_up_from: float = 0.0,
    prefix: bool = False,
) -> float:
    """The rate at step t: linear from ``warm_up_from`` over ``warm_up`` steps, then half a cosine to ``minimum``.

    Without ``prefix`` the cosine counts from step 0, so the rate drops a little where the warm-up ends; with it the
    cosine starts there.
    """
    if t < warm_up:
        return warm_up_from + t * (base - warm_up_from) / warm_up
    if prefix:
        t, total = t - warm_up, total - warm_up
    return half_cosine(t, total, base, minimum)


def schedule(options: Namespace, iterations: int) -> Callable[[int, int], float]:
    """num_epoch, base_lr, min_lr, warm_up_epoch, warmup_lr, warmup_prefix; ``iterations`` per epoch."""
    total, warm_up = options.num_epoch * iterations, options.warm_up_epoch * iterations
    return lambda epoch, t: cosine(
        t, total, options.base_lr, options.min_lr, warm_up, options.warmup_lr, options.warmup_prefix
    )


STREAMS = {"joint": "j", "bone": "b", "joint-motion": "jm", "bone-motion": "bm"}

RECIPE = Recipe(
    "SkateFormer",
    mark="S",
    flags=(
        *(flag for flag in FLAGS if flag != "step"), "lr_decay_rate", "lr_scheduler", "min_lr", "warmup_lr",
        "warmup_prefix", "lr_ratio", "grad_clip", "grad_max", "loss_type",
    ),
    without_effect=(*WITHOUT_EFFECT, "lr_decay_rate", "lr_ratio", "eval_interval", "save_interval", "save_epoch"),
    defaults={
        "work_dir": "./work_dir", "num_worker": 4, "optimizer": "AdamW", "step": [], "lr_scheduler": "cosine",
        "eval_interval": 5,
    },
    helps={"save_score": "write score pickles (always in training)"},
    rules=(
        ("save_score", lambda o: o.phase == "train" and not o.save_score, "the training writes them in any case"),
    ),
    schedule=schedule,
    longer_run="num_epoch has changed: the cosine schedule changes with it.",
    streams={stream: {"feeder_args": {"data_type": kind}} for stream, kind in STREAMS.items()},
    clips_gradients=True,
    index_t=True,
    deterministic=True,
    saving="last_tenth",
    evaluating="last_tenth",
    scores="always",
    train_lines={**TRAIN_LINES, "lr": "\tLearning Rate: {lr:.4f}"},
)  # fmt: skip
