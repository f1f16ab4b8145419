"""Flags that are accepted and change nothing beside the others that are given: each is told, none is silent."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Collection
from functools import partial

from skeleton_lab.engine.config.flags import FLAGS
from skeleton_lab.engine.recipe import Rule


def _overruled(split: str, o: Namespace) -> bool:
    """Whether feeder arguments that were typed, which come later, have another window than the flag."""
    window = getattr(o, f"{split}_feeder_args").get("window_size")
    return window not in (None, getattr(o, f"{split}_window_size"))


# of every program; recipes have some of their own
RULES: tuple[Rule, ...] = (
    ("nesterov", lambda o: o.optimizer != "SGD", "--optimizer {optimizer} has no momentum of this kind"),
    ("grad_max", lambda o: not o.grad_clip, "without --grad-clip nothing is limited"),
    ("warmup_lr", lambda o: not o.warm_up_epoch, "without --warm-up-epoch there is no warm-up"),
    ("warmup_prefix", lambda o: not o.warm_up_epoch, "without --warm-up-epoch there is no warm-up"),
    ("val_share", lambda o: o.val_split == "none", "without --val-split subjects nothing is held out"),
    ("amp_opt_level", lambda o: not o.half, "without --half"),
    ("optimizer", lambda o: o.phase != "train", "--phase {phase} does not train"),
    ("base_lr", lambda o: o.phase != "train", "--phase {phase} does not train"),
    ("num_epoch", lambda o: o.phase != "train", "--phase {phase} does not train"),
    ("resume", lambda o: o.phase != "train", "--phase {phase} does not train"),
    ("shots", lambda o: o.phase != "train", "--phase {phase} does not train"),
    ("freeze", lambda o: o.phase != "train", "--phase {phase} does not train"),
    *((name, lambda o: o.phase != "train", "--phase {phase} does not train")
      for name in ("scale_lr", "ema", "early_stopping", "save_best", "track")),
    ("memory", lambda o: o.phase == "model_size", "--phase {phase} computes nothing"),
    ("train_window_size", lambda o: o.phase != "train", "--phase {phase} does not train"),
    *((f"{split}_window_size", partial(_overruled, split), f"--{split}-feeder-args names another window_size")
      for split in ("train", "test")),
)  # fmt: skip


def without_effect(options: Namespace, typed: Collection[str]) -> list[str]:
    """A line for each flag of the command line (``typed``, names) that changes nothing here."""
    return [
        f"{FLAGS[name].option}: no effect, {why.format(**vars(options))}"
        for name, pointless, why in (*RULES, *options.recipe.rules)
        if name in typed and options.recipe.honours(FLAGS[name]) and pointless(options)
    ]
