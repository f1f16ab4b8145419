"""Everything a run needs, put together and checked before the first step and before an earlier run is moved."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from skeleton_lab.engine import freezing, shots, size_checks, skeleton
from skeleton_lab.engine.checkpoint import random_states, restore_random_states
from skeleton_lab.engine.config.class_list import only
from skeleton_lab.engine.config.options import Options
from skeleton_lab.engine.dataloader import BatchPlan, adopted, check_labels, make_feeder, make_loader, split_by_subject
from skeleton_lab.engine.losses import SMOOTHING, Criterion
from skeleton_lab.engine.memory.choice import settle
from skeleton_lab.engine.network import check_named, classes_of, make_net
from skeleton_lab.engine.pretrained import HINT, load_weights
from skeleton_lab.engine.resume import prepare_training
from skeleton_lab.engine.run_files import open_work_dir, say_header
from skeleton_lab.engine.runtime import Learner, Loaders, Run, Runtime
from skeleton_lab.engine.transfer import Transfer
from skeleton_lab.errors import UsageError
from skeleton_lab.utils import cpus

Feeders = tuple[Any, Any]  # training and test, each a data set or None


def build(
    options: Options, runtime: Runtime, earlier: dict[str, Any] | None = None, feeders: Feeders | None = None
) -> Run:
    """Data, network, weights, optimizer; then resuming or clearing the way for a new run.

    The data comes first: that it is missing should not be told minutes later. Random numbers are drawn in the
    published order nevertheless, by the network before anyone else.

    Args:
        earlier: the content of last.ckpt that the run goes on from.
        feeders: instead of those that the options name; they stay as they are.
    """
    check_named(options)
    if feeders is None:
        states = random_states(torch.device("cpu"))
        feeders = make_feeders(options)
        restore_random_states(states, torch.device("cpu"))
    else:
        feeders = tuple(None if feeder is None else adopted(copy.copy(feeder), options) for feeder in feeders)
    for line in skeleton.fit(options, feeders):
        runtime.log(line)
    learner = make_learner(options, runtime, earlier)
    classes = classes_of(options, learner.net)
    loaders = make_loaders(options, runtime, classes, feeders)
    check_clips(options, learner.net, loaders, runtime)
    settle(options, runtime, learner, loaders, earlier)
    learner.net.to(runtime.device)
    learner.model = runtime.fabric.setup_module(torch.compile(learner.net) if options.compile else learner.net)
    run = Run(options, runtime, learner, loaders)
    runtime.team.align(learner.net, parameters=True)
    if options.phase == "train":
        prepare_training(run, earlier)
    open_work_dir(run, classes)
    return run


def make_learner(options: Options, runtime: Runtime, earlier: dict[str, Any] | None = None) -> Learner:
    """The network with its start or its weights (not where ``earlier`` is resumed), on the CPU, and the loss."""
    recipe, training = options.recipe, options.phase == "train"
    net = make_net(options)
    criterion = Criterion(SMOOTHING if options.loss_type != "CE" else 0.0, recipe.extra_loss, net)
    learner = Learner(net, net, criterion)
    say_header(options, runtime.log, learner.parameters)
    if recipe.initialise is not None:
        recipe.initialise(net)
    transfer = Transfer(options, net) if training else None
    if options.weights and earlier is None:
        runtime.log(recipe.loading.format(file=options.weights))
        typed = any(word.startswith("--ignore") for word in options.argv)
        load_weights(
            net, Path(options.weights), ignore=options.ignore_weights, rule=recipe.ignores, strict=not training,
            complete=not training and not typed, transfer=transfer, hint=HINT, say=runtime.log,
        )  # fmt: skip
    if transfer is not None and options.freeze:
        learner.frozen = freezing.backbone(net, transfer, options.model) if earlier is None else freezing.of(earlier)
        learner.still = freezing.freeze(net, learner.frozen)
        runtime.log(freezing.described(net))
    return learner


def check_clips(options: Options, net: nn.Module, loaders: Loaders, runtime: Runtime) -> None:
    """Say how large the clips are, and complain before the first step if the network is made for others."""
    shapes = {}
    for where, loader in (("training", loaders.train), ("test", loaders.test)):
        shape = None if loader is None else size_checks.clip_shape(loader.dataset)
        if shape is not None:
            size_checks.check_clips(shape, options, net, where)
            shapes[where] = shape
    if shapes:
        told = ", ".join(f"{shape} in the {where}" for where, shape in shapes.items())
        runtime.log(f"Clips (coordinates, frames, joints, people): {told}.")


def worker_count(options: Options, runtime: Runtime) -> int:
    """Loader processes: as asked for; a program's default is cut to what the machine has.

    Batches do not depend on it.  On the CPU the cores are busy training, and a batch is made in milliseconds.
    """
    if "num_worker" in options.explicit:
        return options.num_worker
    count = 0 if runtime.device.type == "cpu" else min(options.num_worker, cpus.available().count)
    if count < options.num_worker:
        runtime.log(f"{count} loader processes instead of the default {options.num_worker} (--num-worker N sets them)")
    return count


def make_feeders(options: Options) -> Feeders:
    """The training feeder (None in phase test) and the test feeder (None where it has no arguments).

    Raises:
        UsageError: phase test without test data; ArchiveError and its kin from the feeders.
    """
    if not options.test_feeder_args and options.phase != "train":
        raise UsageError("--phase test needs --test-feeder-args, or a --config that has them")
    test = make_feeder(options, options.test_feeder_args) if options.test_feeder_args else None
    return make_feeder(options, options.train_feeder_args) if options.phase == "train" else None, test


def make_loaders(options: Options, runtime: Runtime, classes: int | None, feeders: Feeders) -> Loaders:
    """Feeders, checked, behind loaders.

    Raises:
        UsageError: fewer training samples than a batch, labels that the network has no output for, sizes that do
            not go together.
    """
    team, log = runtime.team, runtime.log
    each = {"workers": worker_count(options, runtime), "device": team.device, "seed": options.seed}

    def evaluation(feeder: Any) -> Any:
        size = -(-options.test_batch_size // team.world)
        plan = BatchPlan(len(feeder), size, shuffle=False, rank=team.rank, world=team.world)
        return make_loader(feeder, plan, **each)

    loaders = Loaders(evaluation=evaluation)
    feeder, test = feeders
    if test is not None:
        check_labels(test, classes, "test")
        test = only(test, options, classes, "test")
        loaders.test = loaders.choose = evaluation(test)
    if feeder is None:
        return loaders
    check_labels(feeder, classes, "training")
    feeder = only(feeder, options, classes, "training")
    if options.save_best and loaders.test is None:
        raise UsageError("--save-best needs --test-feeder-args: nothing tells which epoch is the best")
    if options.val_split == "subjects":
        if loaders.test is None:
            raise UsageError("--val-split subjects needs --test-feeder-args")
        validation = split_by_subject(options, feeder)
        loaders.choose, loaders.split = evaluation(validation), "val"
        log(f"The best epoch is chosen on {len(validation)} training clips of held-out subjects, not on the test set.")
    elif loaders.test is None:
        log("There are no test_feeder_args: training goes without evaluation.")
    elif options.save_best:
        log("--save-best: best.pt is chosen on the test set itself; on held-out subjects with --val-split subjects.")
    shots.keep(options, feeder, log)
    if len(feeder) < options.batch_size:
        raise UsageError(
            f"--batch-size {options.batch_size}: there are only {len(feeder)} training samples, not one batch; lower it"
        )
    if options.batch_size < team.world:
        raise UsageError(f"--batch-size {options.batch_size} is less than one clip for each of {team.world} processes")
    plan = BatchPlan(len(feeder), options.batch_size, seed=options.seed, shuffle=True, rank=team.rank, world=team.world)
    loaders.train = make_loader(feeder, plan, **each)
    return loaders
