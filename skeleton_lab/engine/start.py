"""The start of a training: optimizer, schedule, and either the place of an earlier run or a cleared folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from skeleton_lab.engine import workdir
from skeleton_lab.engine.checkpoints import LAST, load_last, load_tensors, restore_random_states
from skeleton_lab.engine.job import Job
from skeleton_lab.engine.opening import source_names
from skeleton_lab.engine.schedules import schedule
from skeleton_lab.engine.state import check_same, digest, new_state
from skeleton_lab.errors import UsageError, WeightsError


def prepare_training(job: Job) -> None:
    """Optimizer, learning rate, place in the run."""
    options, team = job.options, job.team
    options.forward_batch_size = options.forward_batch_size or options.batch_size
    samples, iterations = len(job.loaders.train.dataset), len(job.loaders.train)
    job.optimizer = job.fabric.setup_optimizers(make_optimizer(job))
    job.rate = schedule(job.style.schedule, options, iterations)
    job.state = new_state(options, iterations, -(-options.forward_batch_size // team.world), team.device)
    if options.resume:
        resume(job, samples)
    else:
        job.digest = digest(options, samples)
        if options.checkpoint:
            load_published_checkpoint(job)
        earlier = team.agree(workdir.move_earlier(job.work_dir, source_names(options)) if team.first else None)
        if earlier is not None:
            job.log(f"The earlier run in {job.work_dir} was moved to {earlier}.")


def make_optimizer(job: Job) -> torch.optim.Optimizer:
    """SGD with momentum 0.9, Adam or AdamW over one group of all parameters."""
    options, parameters = job.options, job.net.parameters()
    cuda = job.team.device.type == "cuda"
    clips = job.style.clips_gradients and options.grad_clip
    # A fused step undoes the loss scaling itself, which clipping has to do before it.
    how = {"foreach": True} if cuda and clips else {"fused": True} if cuda else {}
    common = {"lr": options.base_lr, "weight_decay": options.weight_decay, **how}
    if options.optimizer == "SGD":
        return torch.optim.SGD(parameters, momentum=0.9, nesterov=options.nesterov, **common)
    return {"Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW}[options.optimizer](parameters, **common)


def resume(job: Job, samples: int) -> None:
    """Take over everything from last.ckpt."""
    options, team = job.options, job.team
    content = load_last(job.work_dir)
    if "seed" in options.explicit and options.seed != content["seed"]:
        raise UsageError(f"--resume: seed was {content['seed']} and is {options.seed} now")
    options.seed = content["seed"]
    job.digest = digest(options, samples)
    check_same(content["options"], job.digest)
    if options.num_epoch < content["state"]["epoch"]:
        raise UsageError(
            f"--resume: {content['state']['epoch']} epochs are done, more than --num-epoch {options.num_epoch}"
        )
    try:
        job.net.load_state_dict(content["model"])
        job.optimizer.optimizer.load_state_dict(content["optimizer"])
    except (RuntimeError, ValueError) as error:
        raise WeightsError(f"{job.work_dir / LAST} does not fit the model: {str(error)[:300]}") from error
    job.fabric.strategy.precision.load_state_dict(content["precision"])
    job.state.restore(content["state"], own=team.first)
    for loader in (job.loaders.train, job.loaders.choose, job.loaders.test):
        reseed(loader, options.seed)
    restore_random_states(content["random"][team.rank % len(content["random"])], team.device)
    job.finished = content["finished"] and options.num_epoch <= content["state"]["epoch"]
    place = f"epoch {job.state.epoch + 1}, batch {job.state.iteration + 1}"
    if not job.finished:
        job.log(f"Resuming {job.work_dir / LAST} at {place}, step {job.state.step}.")
    if options.num_epoch != content["num_epoch"] and job.style.schedule == "cosine":
        job.log("num_epoch has changed: the cosine schedule changes with it.")


def reseed(loader: Any, seed: int) -> None:
    """A program that draws its own seed goes on with the one that the run was started with."""
    if loader is None:
        return
    loader.batch_sampler.seed = seed
    for holder in (loader.dataset, getattr(loader.dataset, "dataset", None)):
        if hasattr(holder, "seed"):
            holder.seed = seed


def load_published_checkpoint(job: Job) -> None:
    """--checkpoint of MS-G3D: optimizer and scheduler; the learning rate follows --start-epoch in any case."""
    options, log = job.options, job.log
    content = load_tensors(Path(options.checkpoint))
    try:
        states, scheduler = content["optimizer_states"], content["lr_scheduler_states"]
        log(f"Loading optimizer states from: {options.checkpoint}")
        job.optimizer.optimizer.load_state_dict(states)
        group = job.optimizer.optimizer.param_groups[0]
        log(f"Starting LR: {group['lr']}")
        log(f"Starting WD1: {group['weight_decay']}")
        log(f"Loading LR scheduler states from: {options.checkpoint}")
        log(f"Starting last epoch: {scheduler['last_epoch']}")
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"--checkpoint {options.checkpoint}: is no checkpoint of this model ({error})") from error
