"""From the command line to an exit code: ``run`` catches, ``setup`` reads options and starts processes, ``main`` does
one phase."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from skeleton_lab.data.feeders.base import log_once
from skeleton_lab.engine import container_hints
from skeleton_lab.engine import work_dir as workdir
from skeleton_lab.engine.build import build, make_net
from skeleton_lab.engine.config import options as command_line
from skeleton_lab.engine.config.options import Options
from skeleton_lab.engine.distributed import Team, make_fabric, may_be_first
from skeleton_lab.engine.failures import explained
from skeleton_lab.engine.final_test import finish, test_phase
from skeleton_lab.engine.logging import Log, Relay
from skeleton_lab.engine.recipe import STYLES, Style
from skeleton_lab.engine.resume import earlier_run
from skeleton_lab.engine.run_state import Stop
from skeleton_lab.engine.train import fit
from skeleton_lab.errors import UsageError, guarded
from skeleton_lab.utils import devices, trust

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def run(program: str, main_file: str, argv: Sequence[str] | None = None) -> int:
    """Run a program and return its exit code.

    Args:
        program: letter of the published program whose habits apply (``styles.STYLES``).
        main_file: the room's main.py; dotted names of options resolve in its folder first.
        argv: arguments; None for those of the process.

    Returns:
        0 success; 2 a mistake of the user, a missing file, weights that do not fit, a full disk; 1 any other failure;
        128 + n after signal n (130 and 143 after SIGINT and SIGTERM).
    """
    room = Path(main_file).resolve().parent
    if str(room) not in sys.path:
        sys.path.insert(0, str(room))
    arguments = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: explained(lambda: setup(program, arguments, room)))


def setup(program: str, argv: list[str], room: Path) -> int:
    """Options, and whose code they may name."""
    style = STYLES[program]
    options = command_line.parse(program, argv, room)
    with trust.opened(room), trust.trusting(options.trust_code):
        return launch(options, style)


def launch(options: Options, style: Style) -> int:
    """Device and processes, then one phase in each."""
    lock = contextlib.nullcontext()
    log_once.cache_clear()
    if options.phase != "model_size":
        work_dir = workdir.prepare(Path(options.work_dir))
        options.notices += container_hints.lost(work_dir)
        lock = workdir.locked(work_dir) if may_be_first() else lock
    if options.threads:
        torch.set_num_threads(options.threads)
    device = devices.resolve(options.device, options.use_gpu)
    notices = [*options.notices, *([device.notice] if device.notice else [])]
    precision, notice = precision_of(options, device.kind)
    notices += [notice] if notice else []
    with Stop() as stop, lock:
        fabric = make_fabric(device.kind, device.indices, precision)
        fabric.launch()
        team = Team(fabric)
        log = make_log(style, options, team)
        try:
            with Relay(log):
                for notice in dict.fromkeys(notices):
                    log(notice)
                return main(options, style, fabric, team, log, stop)
        finally:
            team.close()


def make_log(style: Style, options: Namespace, team: Team) -> Log:
    if style.letter == "T":
        return Log(style.stamp, screen=options.print_log and team.first, file=options.save_log and team.first)
    return Log(style.stamp, screen=team.first, file=options.print_log and team.first)


def precision_of(options: Namespace, kind: str) -> tuple[str, str | None]:
    """Fabric's name of the arithmetic, and what has to be said about it."""
    wanted = {"32": "32-true", "64": "64-true"}.get(options.precision, options.precision)
    if kind == "cpu" and wanted == "16-mixed":
        return "bf16-mixed", "--precision 16-mixed: the CPU has bf16-mixed instead"
    if not options.half:
        return wanted, None
    if kind == "cpu":
        return wanted, "--half: ignored on the CPU"
    if options.amp_opt_level == 0:
        return "32-true", None
    level = options.amp_opt_level
    return "16-mixed", f"--amp-opt-level {level} is treated as 1: mixed precision" if level > 1 else None


def seed_everything(options: Namespace, style: Style, team: Team) -> None:
    """One seed for all processes; a program without one gets a random one, which config.yaml keeps."""
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(200)
    options.seed = team.agree(options.seed)
    torch.manual_seed(options.seed)
    np.random.seed(options.seed)
    random.seed(options.seed)
    if style.deterministic is not None:
        torch.backends.cudnn.deterministic = style.deterministic
        torch.backends.cudnn.benchmark = not style.deterministic


def main(options: Namespace, style: Style, fabric: Fabric, team: Team, log: Log, stop: Stop) -> int:
    """One phase."""
    begun = time.monotonic()
    if options.phase == "model_size":
        net = make_net(options)
        print(net)
        print(f"# Parameters: {sum(p.numel() for p in net.parameters() if p.requires_grad)}")
        return 0
    if options.compile and not any(map(shutil.which, ("cc", "gcc", "clang", os.environ.get("CXX") or "c++"))):
        raise UsageError("--compile needs a C compiler, and there is none here; leave the flag out")
    earlier = earlier_run(options, team, log)
    seed_everything(options, style, team)
    job = build(options, style, fabric, team, log, stop, earlier)
    job.begun = begun
    try:
        if options.phase == "test":
            test_phase(job)
        elif job.finished:
            log(f"nothing to do: {job.work_dir} holds a finished run of {options.num_epoch} epochs", file=False)
        else:
            fit(job)
            finish(job)
    finally:
        job.summaries.close()
    return 0
