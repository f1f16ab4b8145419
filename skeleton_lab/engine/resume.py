"""The start of a training: optimizer, schedule, and either the place of an earlier run or a cleared folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skeleton_lab.engine import work_dir as workdir
from skeleton_lab.engine.averaging import Average
from skeleton_lab.engine.checkpoint import load_tensors, restore_random_states
from skeleton_lab.engine.config.options import Options
from skeleton_lab.engine.dataloader import underlying
from skeleton_lab.engine.digests import of_data
from skeleton_lab.engine.distributed import Team
from skeleton_lab.engine.freezing import FROZEN
from skeleton_lab.engine.last_checkpoint import AVERAGE, check_fits, damaged, load_last, optimizer_fault, restore_beyond
from skeleton_lab.engine.logging import Log
from skeleton_lab.engine.optim import make_optimizer
from skeleton_lab.engine.run_files import source_names
from skeleton_lab.engine.runtime import Run
from skeleton_lab.engine.train_state import (
    changes,
    check_same,
    check_same_data,
    circumstances,
    digest,
    new_state,
    stopped_early,
)
from skeleton_lab.engine.work_dir import LAST
from skeleton_lab.errors import UsageError, WeightsError


def earlier_run(options: Options, team: Team, log: Log) -> dict[str, Any] | None:
    """What ``--resume`` goes on from, looked through before anything else is done; the run takes its seed.

    A run that was stopped before its first checkpoint starts again, as jobs that are put back in a queue need it.

    Raises:
        UsageError: another seed, or fewer epochs than have been begun.
        WeightsError: last.ckpt is damaged.
    """
    if not options.resume:
        return None
    work_dir = Path(options.work_dir)
    if options.phase != "train" or not team.agree((work_dir / LAST).exists()):
        options.resume = False
        log(
            f"--resume: there is no {work_dir / LAST} yet; the run starts at its beginning"
            if options.phase == "train"
            else f"--resume: no effect in phase {options.phase}"
        )
        return None
    content = load_last(work_dir)
    if "seed" in options.explicit and options.seed not in (None, content["seed"]):
        raise UsageError(f"--resume: seed was {content['seed']} and is {options.seed} now")
    options.seed = content["seed"]
    state = content["state"]
    if options.num_epoch < state["epoch"]:
        raise UsageError(f"--resume: {state['epoch']} epochs are done, more than --num-epoch {options.num_epoch}")
    if options.num_epoch == state["epoch"] and state["iteration"]:
        raise UsageError(
            f"--resume: the run is in the middle of epoch {state['epoch'] + 1} and has no weights of epoch "
            f"{state['epoch']} any more: --num-epoch {state['epoch'] + 1} or more can be reached"
        )
    return content


def prepare_training(run: Run, earlier: dict[str, Any] | None) -> None:
    """Optimizer, learning rate, place in the run."""
    options, team, loaders = run.options, run.team, run.loaders
    options.forward_batch_size = options.forward_batch_size or options.batch_size
    recipe, learner, fabric = run.recipe, run.learner, run.runtime.fabric
    samples, iterations = len(loaders.train.dataset), len(loaders.train)
    optimizer = make_optimizer(
        learner.net, options, cuda=team.device.type == "cuda", clips=recipe.clips_gradients and options.grad_clip
    )
    learner.optimizer = fabric.setup_optimizers(optimizer)
    learner.rate = recipe.schedule(options, iterations)
    learner.average = Average(learner.net, options.ema) if options.ema is not None else None
    run.state = new_state(options, iterations, -(-options.forward_batch_size // team.world), team.device)
    identity = run.state.identity
    identity.options = digest(options, samples)
    if earlier is not None:
        check_same(earlier["options"], identity.options)
    feeders = {"train": loaders.train, "test": loaders.test}
    identity.data = {split: of_data(underlying(loader)) for split, loader in feeders.items() if loader is not None}
    identity.circumstances = circumstances(options, team.device.type, team.world) | {FROZEN: learner.frozen}
    if earlier is not None:
        resume(run, earlier)
        return
    if options.checkpoint:
        load_published_checkpoint(run)
    moved = team.agree(workdir.move_earlier(run.work_dir, source_names(options)) if team.first else None)
    if moved is not None:
        run.log(f"The earlier run in {run.work_dir} was moved to {moved}.")


def resume(run: Run, earlier: dict[str, Any]) -> None:
    """Take over everything from the content of last.ckpt."""
    options, team, path, state = run.options, run.team, run.work_dir / LAST, run.state
    said = ["an earlier version of the lab wrote this last.ckpt: there are no digests to check it and the data with"]
    if "digest" in earlier:
        said = check_same_data(earlier["data"], run.state.identity.data, earlier["state"]["best"] is not None)
        said += changes(earlier["circumstances"], run.state.identity.circumstances)
    check_fits(path, earlier, run.learner.net, run.learner.optimizer.optimizer, len(state.losses))
    try:
        run.learner.net.load_state_dict(earlier["model"])
        restore_beyond(run.learner.net, earlier)
        run.learner.optimizer.optimizer.load_state_dict(earlier["optimizer"])
        run.runtime.fabric.strategy.precision.load_state_dict(earlier["precision"])
        state.restore(earlier["state"], own=team.first)
        if run.learner.average is not None:
            run.learner.average.restore(earlier[AVERAGE])
        restore_random_states(earlier["random"][team.rank % len(earlier["random"])], team.device)
    except Exception as error:  # nearly anything, by values of the right kind that make no sense
        raise damaged(path, f"{type(error).__name__}: {str(error)[:200]}") from error
    asked = earlier.get("circumstances", {}).get("forward_batch_size", options.forward_batch_size)
    if asked == options.forward_batch_size:  # the memory may have allowed less
        state.forward_batch = min(state.forward_batch, earlier["state"]["forward_batch"])
    over = options.num_epoch <= state.epoch or stopped_early(state, options.early_stopping)
    run.state.finished = earlier["finished"] and over
    if run.state.finished:
        return
    run.log(f"Resuming {path} at epoch {state.epoch + 1}, batch {state.iteration + 1}, step {state.step}.")
    if options.num_epoch != earlier["num_epoch"] and run.recipe.longer_run:
        said.append(run.recipe.longer_run)
    for line in said:
        run.log(line)


def load_published_checkpoint(run: Run) -> None:
    """--checkpoint: published optimizer and scheduler; the learning rate follows --start-epoch in any case."""
    options, log = run.options, run.log
    content = load_tensors(Path(options.checkpoint))
    try:
        states, scheduler = content["optimizer_states"], content["lr_scheduler_states"]
        if fault := optimizer_fault(states, run.learner.optimizer.optimizer):
            raise ValueError(fault)
        log(f"Loading optimizer states from: {options.checkpoint}")
        run.learner.optimizer.optimizer.load_state_dict(states)
        group = run.learner.optimizer.optimizer.param_groups[0]
        log(f"Starting LR: {group['lr']}")
        log(f"Starting WD1: {group['weight_decay']}")
        log(f"Loading LR scheduler states from: {options.checkpoint}")
        log(f"Starting last epoch: {scheduler['last_epoch']}")
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise WeightsError(f"--checkpoint {options.checkpoint}: is no checkpoint of this model ({error})") from error
