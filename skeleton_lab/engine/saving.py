"""What a training saves: the published files of an epoch, and ``last.ckpt`` for ``--resume``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from skeleton_lab.engine import last_checkpoint
from skeleton_lab.engine.averaging import beside
from skeleton_lab.engine.checkpoint import random_states, save_tensors, weights_of
from skeleton_lab.engine.runtime import Run
from skeleton_lab.engine.signals import Diverged
from skeleton_lab.engine.work_dir import BEST, LAST

if TYPE_CHECKING:
    from torch import Tensor


def check_finite(run: Run, first: int, last: int) -> None:
    """Complain if the loss of one of the batches first..last-1 is not a number, on all processes together."""
    losses = run.state.losses[first:last]
    losses = run.team.sum(losses.clone() if run.team.world > 1 else losses)
    finite = losses.isfinite()
    if finite.all():
        return
    wrong = int((~finite).nonzero()[0])
    batch = first + wrong + 1
    raise Diverged(
        f"the loss is {float(losses[wrong])} at epoch {run.state.epoch + 1}, batch {batch}: "
        f"lower --base-lr (now {run.options.base_lr}) or check the data; {LAST} holds an earlier, sound state"
    )


def save_weights(run: Run, number: int) -> None:
    """The published files of 1-based epoch ``number``."""
    if not run.team.first:
        return
    name = run.recipe.weights.format(epoch=number, step=run.state.step)
    save_tensors(run.work_dir / name, weights_of(run.learner.net))
    if run.learner.average is not None:
        _save_beside(run, name, run.learner.average.weights())
    if "saved" in run.recipe.train_lines:
        run.log(run.recipe.train_lines["saved"].format(file=run.work_dir / name))
    if run.recipe.checkpoint:
        values = {"epoch": number, "step": run.state.step, "forward_batch_size": run.options.forward_batch_size}
        content = {
            "epoch": number,
            "optimizer_states": run.learner.optimizer.optimizer.state_dict(),
            "lr_scheduler_states": multi_step_state(run, number),
        }
        save_tensors(run.work_dir / run.recipe.checkpoint.format(**values), content)


def _save_beside(run: Run, name: str, weights: Mapping[str, Tensor]) -> None:
    """An average, where that of the weights in the file ``name`` lies."""
    path = beside(run.work_dir, name)
    path.parent.mkdir(exist_ok=True)
    save_tensors(path, weights)


def save_best(run: Run) -> None:
    """--save-best: the weights of the best epoch so far, and with --ema the best average's."""
    if not run.options.save_best or not run.team.first:
        return
    if run.state.best is not None:
        save_tensors(run.work_dir / BEST, run.state.best.weights)
    if run.learner.average is not None and run.learner.average.best is not None:
        _save_beside(run, BEST, run.learner.average.best.weights)


def multi_step_state(run: Run, number: int) -> dict:
    """What PyTorch's MultiStepLR would hold, as plain values."""
    return {
        "milestones": {int(epoch): 1 for epoch in run.options.step},
        "gamma": 0.1,
        "base_lrs": [run.options.base_lr],
        "last_epoch": number,
        "_step_count": number + 1,
        "_last_lr": [run.learner.rate(number, run.state.step)],
    }


def save_last(run: Run, *, finished: bool = False) -> None:
    """Everything a resumed run needs, in ``last.ckpt``; never a state whose losses are not numbers."""
    state, team = run.state, run.team
    if state.iteration:
        check_finite(run, 0, state.iteration)
    random = team.gather(random_states(team.device))
    content = state.content()
    for name in ("losses", "accuracies"):
        content[name] = team.sum(getattr(state, name)[: state.iteration].clone()).cpu()
    content["seconds"] = run.seconds()
    average = run.learner.average
    if team.first:
        last_checkpoint.save_last(
            run.work_dir,
            {
                "options": run.state.identity.options,
                "data": run.state.identity.data,
                "circumstances": run.state.identity.circumstances,
                "num_epoch": run.options.num_epoch,
                "seed": run.options.seed,
                "finished": finished,
                "model": weights_of(run.learner.net),
                "optimizer": run.learner.optimizer.optimizer.state_dict(),
                "precision": run.runtime.fabric.strategy.precision.state_dict(),
                "state": content,
                "random": random,
                **last_checkpoint.beyond(run.learner.net),
                **({last_checkpoint.AVERAGE: average.content()} if average is not None else {}),
            },
        )
    run.clock.saved_at = time.monotonic()
