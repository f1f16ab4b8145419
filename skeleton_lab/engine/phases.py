"""What a run does: device and processes (``launch``), then one phase in each (``main``)."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from skeleton_lab.data.feeders.base import log_once
from skeleton_lab.engine import container_hints, scaling, skeleton, trackers
from skeleton_lab.engine import work_dir as workdir
from skeleton_lab.engine.build import Feeders, build
from skeleton_lab.engine.compiling import missing_compiler
from skeleton_lab.engine.config import devices
from skeleton_lab.engine.config.options import Options
from skeleton_lab.engine.distributed import Team, make_fabric, may_be_first
from skeleton_lab.engine.final_test import finish, test_phase
from skeleton_lab.engine.logging import Log, Relay
from skeleton_lab.engine.network import make_net
from skeleton_lab.engine.resume import earlier_run
from skeleton_lab.engine.runtime import Run, Runtime
from skeleton_lab.engine.signals import Stop
from skeleton_lab.engine.train import train
from skeleton_lab.errors import UsageError
from skeleton_lab.utils import cpus
from skeleton_lab.utils.devices import Devices


def launch(options: Options, feeders: Feeders | None = None) -> Run | None:
    """The whole run, with ``feeders`` in place of those that the options name; None where only a size was asked for."""
    with started(options) as runtime:
        return main(options, runtime, feeders)


@contextlib.contextmanager
def started(options: Options) -> Iterator[Runtime]:
    """Work dir, device and processes; inside, signals are listened to and notices of the library are log lines."""
    lock = contextlib.nullcontext()
    log_once.cache_clear()
    if options.phase != "model_size":
        work_dir = workdir.prepare(Path(options.work_dir))
        options.notices += container_hints.lost(work_dir)
        lock = workdir.locked(work_dir) if may_be_first() else lock
    device = devices.resolve(options)
    notices = [*options.notices, *([device.notice] if device.notice else []), *set_threads(options, device)]
    precision, notice = devices.precision_of(options, device.kind)
    notices += [notice] if notice else []
    with Stop() as stop, lock:
        fabric = make_fabric(device.kind, device.indices, precision)
        team = Team.launched(fabric)
        log = make_log(options, team)
        try:
            with Relay(log):
                for notice in dict.fromkeys(notices):
                    log(notice)
                yield Runtime(team, log, stop, fabric)
        finally:
            team.close()


def set_threads(options: Options, device: Devices) -> list[str]:
    """Give PyTorch its threads, in this process and in those that it starts; a line where there is something to say."""
    processes = max(len(device.indices), 1)
    count, why = cpus.threads(torch.get_num_threads(), options.threads, processes)
    torch.set_num_threads(count)
    if processes > 1:
        cpus.share_out(count)
    return [f"{count} CPU thread{'s' * (count > 1)}: {why}"] if why else []


def make_log(options: Options, team: Team) -> Log:
    stamp = options.recipe.stamp
    if options.recipe.print_log_is_screen:
        return Log(stamp, screen=options.print_log and team.first, file=options.save_log and team.first)
    return Log(stamp, screen=team.first, file=options.print_log and team.first)


def seed_everything(options: Options, team: Team) -> None:
    """One seed for all processes; a program without one gets a random one, which config.yaml keeps."""
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(200)
    options.seed = team.agree(options.seed)
    torch.manual_seed(options.seed)
    np.random.seed(options.seed)
    random.seed(options.seed)
    deterministic = options.recipe.deterministic
    if deterministic is not None:
        torch.backends.cudnn.deterministic = deterministic
        torch.backends.cudnn.benchmark = not deterministic


def main(options: Options, runtime: Runtime, feeders: Feeders | None = None) -> Run | None:
    """One phase in one process."""
    begun = time.monotonic()
    if options.phase == "model_size":
        skeleton.fit(options)
        net = make_net(options)
        print(net)
        print(f"# Parameters: {sum(p.numel() for p in net.parameters() if p.requires_grad)}")
        return None
    lacks = missing_compiler(runtime.device.type) if options.compile else None
    if lacks:
        raise UsageError(f"--compile needs {lacks}, and there is none here; leave the flag out")
    trackers.check(options)
    earlier = earlier_run(options, runtime.team, runtime.log)
    seed_everything(options, runtime.team)
    scaling.settle(options, runtime, earlier)
    run = build(options, runtime, earlier, feeders)
    run.clock.begun = begun
    try:
        if options.phase == "test":
            test_phase(run)
        elif run.finished:
            best, last = run.state.best, run.state.last or None
            run.results = {"best": best and {"epoch": best.epoch, "step": best.step, **best.results}, "last": last}
            done = f"{run.state.epoch} epochs" + ", stopped early" * (run.state.epoch < options.num_epoch)
            runtime.log(f"nothing to do: {run.work_dir} holds a finished run of {done}", file=False)
        else:
            train(run)
            finish(run)
    finally:
        run.summaries.close()
    return run
