"""Everything a run needs, put together and checked before the first step and before an earlier run is moved."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from skeleton_lab.engine import size_checks
from skeleton_lab.engine.checkpoint import random_states, restore_random_states
from skeleton_lab.engine.config.class_list import only
from skeleton_lab.engine.config.options import Options
from skeleton_lab.engine.dataloader import BatchPlan, check_labels, make_feeder, make_loader, split_by_subject
from skeleton_lab.engine.distributed import Team
from skeleton_lab.engine.logging import Log, Metrics, Summaries
from skeleton_lab.engine.losses import Criterion
from skeleton_lab.engine.pretrained import HINT, load_weights
from skeleton_lab.engine.recipe import Style
from skeleton_lab.engine.resume import prepare_training
from skeleton_lab.engine.run_files import open_work_dir, say_header
from skeleton_lab.engine.run_state import Job, Loaders, Stop
from skeleton_lab.errors import UsageError
from skeleton_lab.utils.importing import check_arguments, import_class

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def build(
    options: Options,
    style: Style,
    fabric: Fabric,
    team: Team,
    log: Log,
    stop: Stop,
    earlier: dict[str, Any] | None = None,
) -> Job:
    """Data, network, weights, optimizer; then resuming or clearing the way for a new run.

    The data comes first: that it is missing should not be told minutes later. Random numbers are drawn in the
    published order nevertheless, by the network before anyone else.

    Args:
        earlier: the content of last.ckpt that the run goes on from.
    """
    training = options.phase == "train"
    check_named(options)
    states = random_states(torch.device("cpu"))
    feeders = make_feeders(options)
    restore_random_states(states, torch.device("cpu"))
    net = make_net(options)
    parameters = sum(p.numel() for p in net.parameters() if p.requires_grad)
    say_header(options, style, log, parameters)
    if style.normal_init:
        initialise(net)
    if options.weights and earlier is None:
        log(style.loading.format(file=options.weights))
        typed = any(word.startswith("--ignore") for word in options.argv)
        load_weights(
            net, Path(options.weights), ignore=options.ignore_weights, rule=style.ignores, strict=not training,
            complete=not training and not typed, hint=HINT, say=log,
        )  # fmt: skip
    classes = classes_of(options, net)
    loaders = make_loaders(options, team, log, classes, feeders)
    check_clips(options, net, loaders, log)
    smoothing = style.smoothing if style.smoothing is not None else options.loss_type != "CE"
    net.to(team.device)
    job = Job(
        options=options,
        style=style,
        work_dir=Path(options.work_dir),
        fabric=fabric,
        team=team,
        log=log,
        stop=stop,
        net=net,
        model=fabric.setup_module(torch.compile(net) if options.compile else net),
        criterion=Criterion(0.1 if smoothing else 0.0, style.diverge),
        loaders=loaders,
        parameters=parameters,
        metrics=Metrics(None),
        summaries=Summaries(None),
        test_piece=-(-options.test_batch_size // team.world),
    )
    team.align(net, parameters=True)
    if training:
        prepare_training(job, earlier)
    open_work_dir(job, classes)
    return job


def check_named(options: Options) -> None:
    """UsageError if no network is named, as when --config was forgotten."""
    if not options.model:
        raise UsageError("model: no network is named; give --config with a file of config/, or the class of a network")


def make_net(options: Options) -> nn.Module:
    """The network, the first consumer of random numbers after seeding.

    Raises:
        UsageError: no such class, or arguments that it does not take.
    """
    check_named(options)
    network, arguments = import_class(options.model, "model"), options.model_args
    check_arguments(arguments, "--model-args")
    size_checks.check_arguments(arguments)
    if hasattr(network, "fitted_arguments"):  # what the clips' length decides
        arguments = network.fitted_arguments(arguments, options.train_feeder_args, options.test_feeder_args)
    net = size_checks.construct(network, options.model, arguments)
    if options.activation_checkpointing:
        if not hasattr(net, "activation_checkpointing"):
            raise UsageError(f"--activation-checkpointing: {options.model} does not offer it")
        net.activation_checkpointing = True
    return net


def initialise(net: nn.Module) -> None:
    """ST-GCN's start: convolutions N(0, 0.02^2) without bias, batch norm N(1, 0.02^2) without bias."""
    for module in net.modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d)):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)) and module.affine:
            nn.init.normal_(module.weight, 1.0, 0.02)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def classes_of(options: Options, net: nn.Module) -> int | None:
    """K: what the options say, else the network's own attribute or default; None if nothing tells."""
    names = ("num_class", "num_classes")
    for name in names:
        if name in options.model_args:
            return int(options.model_args[name])
    for name in names:
        known = getattr(net, name, None)
        if known is None:
            parameter = inspect.signature(type(net)).parameters.get(name)
            known = parameter.default if parameter is not None else None
        if isinstance(known, int):
            return known
    return None


def check_clips(options: Options, net: nn.Module, loaders: Loaders, log: Log) -> None:
    """Say how large the clips are, and complain before the first step if the network is made for others."""
    shapes = {}
    for where, loader in (("training", loaders.train), ("test", loaders.test)):
        shape = None if loader is None else size_checks.clip_shape(loader.dataset)
        if shape is not None:
            size_checks.check_clips(shape, options, net, where)
            shapes[where] = shape
    if shapes:
        told = ", ".join(f"{shape} in the {where}" for where, shape in shapes.items())
        log(f"Clips (coordinates, frames, joints, people): {told}.")


def worker_count(options: Options, team: Team, log: Log) -> int:
    """Loader processes: as asked for; a program's default is cut to what the machine has.

    Batches do not depend on it.  On the CPU the cores are busy training, and a batch is made in milliseconds.
    """
    if "num_worker" in options.explicit:
        return options.num_worker
    count = 0 if team.device.type == "cpu" else min(options.num_worker, os.cpu_count() or 1)
    if count < options.num_worker:
        log(f"{count} loader processes instead of the default {options.num_worker} (--num-worker N sets them)")
    return count


def make_feeders(options: Options) -> tuple[Any, Any]:
    """The training feeder (None in phase test) and the test feeder (None where it has no arguments).

    Raises:
        UsageError: phase test without test data; ArchiveError and its kin from the feeders.
    """
    if not options.test_feeder_args and options.phase != "train":
        raise UsageError("--phase test needs --test-feeder-args, or a --config that has them")
    test = make_feeder(options, options.test_feeder_args) if options.test_feeder_args else None
    return make_feeder(options, options.train_feeder_args) if options.phase == "train" else None, test


def make_loaders(options: Options, team: Team, log: Log, classes: int | None, feeders: tuple[Any, Any]) -> Loaders:
    """Feeders, checked, behind loaders.

    Raises:
        UsageError: fewer training samples than a batch, labels that the network has no output for, sizes that do
            not go together.
    """
    each = {"workers": worker_count(options, team, log), "device": team.device, "seed": options.seed}

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
    if options.val_split == "subjects":
        if loaders.test is None:
            raise UsageError("--val-split subjects needs --test-feeder-args")
        validation = split_by_subject(options, feeder)
        loaders.choose, loaders.split = evaluation(validation), "val"
        log(f"The best epoch is chosen on {len(validation)} training clips of held-out subjects, not on the test set.")
    elif loaders.test is None:
        log("There are no test_feeder_args: training goes without evaluation.")
    if len(feeder) < options.batch_size:
        raise UsageError(
            f"--batch-size {options.batch_size}: there are only {len(feeder)} training samples, not one batch; lower it"
        )
    if options.batch_size < team.world:
        raise UsageError(f"--batch-size {options.batch_size} is less than one clip for each of {team.world} processes")
    plan = BatchPlan(len(feeder), options.batch_size, seed=options.seed, shuffle=True, rank=team.rank, world=team.world)
    loaders.train = make_loader(feeder, plan, **each)
    return loaders
