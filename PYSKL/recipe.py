"""PYSKL's training program: the rate falls along a cosine, iteration by iteration, and every epoch is kept."""

from __future__ import annotations

from skeleton_lab.engine.optim import cosine
from skeleton_lab.engine.recipe import EVAL_LINES, FLAGS, Recipe

STREAMS = {
    "joint": "j", "bone": "b", "joint-motion": "jm", "bone-motion": "bm", "k-bone": "k", "k-bone-motion": "km",
}  # fmt: skip

RECIPE = Recipe(
    "PYSKL",
    mark="P",
    flags=tuple(flag for flag in FLAGS if flag not in ("step", "warm_up_epoch")),
    defaults={"num_worker": 2, "nesterov": True, "step": [], "save_epoch": 0},
    schedule=cosine,
    eval_lines={**EVAL_LINES, "mean_class": "\tMean class accuracy: {acc:.2f}%"},
    streams={stream: {"config": f"{file}.yaml"} for stream, file in STREAMS.items()},
    longer_run="num_epoch has changed: the cosine schedule changes with it.",
)
