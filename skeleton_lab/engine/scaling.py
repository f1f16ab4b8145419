"""What the number of processes does to batch and learning rate: nothing, or with ``--scale-lr linear`` both grow.

Without the flag ``--batch-size`` is shared out, so a run takes the same steps however many processes it has. With it
each process takes a whole batch, and N processes learn with N times the rate: the linear scaling rule of Goyal et al.
("Accurate, Large Minibatch SGD", 2017, section 2.1), stated for SGD and with a warm-up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skeleton_lab.engine.config.options import Options
from skeleton_lab.engine.runtime import Runtime
from skeleton_lab.errors import UsageError

RATES = ("base_lr", "warmup_lr", "min_lr")


def settle(options: Options, runtime: Runtime, earlier: Mapping[str, Any] | None = None) -> None:
    """Give ``options`` the batch and the learning rates of this number of processes, and say the effective batch.

    Args:
        earlier: the content of last.ckpt that the run goes on from.

    Raises:
        UsageError: the run had another number of processes, and would go on with another batch.
    """
    world, linear = runtime.team.world, options.scale_lr == "linear"
    if options.phase != "train" or not (linear or world > 1):
        return
    each, rate = options.batch_size, options.base_lr
    if linear:
        options.batch_size *= world
        if options.forward_batch_size is not None:
            options.forward_batch_size *= world
        for name in RATES:
            setattr(options, name, getattr(options, name) * world)
        _check_goes_on(options, world, earlier)
    told = f"Effective batch: {options.batch_size} clips a step in {world} process{'es' * (world > 1)}, "
    if linear:
        why = f"--scale-lr linear: {world} times --batch-size {each} and --base-lr {rate:g}"
    else:
        why = "whatever the number of processes (--scale-lr none)"
    runtime.log(f"{told}base learning rate {options.base_lr:g}: {why}.")


def _check_goes_on(options: Options, world: int, earlier: Mapping[str, Any] | None) -> None:
    if earlier is None:
        return
    batch, processes = earlier["options"].get("batch_size"), earlier.get("circumstances", {}).get("processes")
    if processes not in (None, world) and batch != options.batch_size:
        raise UsageError(
            f"--resume: the run had {processes} process(es) and a batch of {batch}; with --scale-lr linear {world} "
            f"process(es) would make it {options.batch_size}: start {processes}, or give the run's config.yaml and no "
            "--scale-lr"
        )
