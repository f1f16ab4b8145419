"""A search with Ray Tune: which trials go on is for ASHA (Li et al. 2020) to say, by accuracy on the validation split.

Ray shares out processors and GPUs, and decides; what a trial has learned lies in its run's folder, and nothing of
Ray's own state is kept. A sweep that comes after a crash tells ASHA what the trials' ``metrics.jsonl`` hold, and starts
those that are left with ``--resume``.

Ray works in a thread of its own, where no signal comes between; notes of it reach this one through a queue.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import secrets
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from skeleton_lab.engine import work_dir
from skeleton_lab.engine.signals import Stop
from skeleton_lab.errors import LabError, UsageError, one_line
from skeleton_lab.sweep import child, pool, state
from skeleton_lab.sweep.pool import PAUSE, Told
from skeleton_lab.sweep.runs import Run
from skeleton_lab.sweep.state import State
from skeleton_lab.sweep.study import Study
from skeleton_lab.utils import cpus, devices, locks
from skeleton_lab.utils.importing import optional

if TYPE_CHECKING:
    from skeleton_lab.sweep.trials import Halving, Notes

GRACE, REDUCTION = 1, 3
LOG = "ray.log"
OBJECTS = 100 * 2**20  # bytes of Ray's store of objects, of which next to nothing is used
TERMINAL = {signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}  # of a terminal, to all processes in front of it
AFTERMATH = 10.0  # seconds that Ray's processes have to end by themselves
LONGEST = 40  # bytes of a folder's path, below which Ray has sockets, whose paths may have some 100
# Of Ray, for as long as it runs: no report of use goes out; it listens on 127.0.0.1 alone (the word for that is of
# other systems, but holds on Linux) and wants a token; relative paths stay what they are; it writes no files and prints
# no tables about the trials; trainings are as urgent as without it, and fail as they would where memory is short.
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_memory_monitor_refresh_ms": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_AIR_NEW_OUTPUT": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_worker_niceness": "0",
}  # fmt: skip


@dataclass(frozen=True)
class Shares:
    """What each trial gets, how many there are at once, and what the machine has."""

    cpus: int
    gpus: float
    at_once: int
    threads: int
    all_cpus: int
    all_gpus: int


def shares(study: Study, runs: Sequence[Run]) -> Shares:
    """Of this machine's processors and GPUs: a GPU for each trial where there are some, else a processor.

    Raises:
        UsageError: a trial would need more than there is; flags that name GPUs.
    """
    place, named = f"{study.path}: ray", next((run for run in runs if "device" in run.flags), None)
    on_cpu = all(pool.on_cpu(run) for run in runs)
    if named is not None and not on_cpu:
        raise UsageError(
            f"{study.path}: flags: device: {named.flags['device']}: Ray gives each trial its GPU; leave device out, or "
            "say device: cpu"
        )
    cores, there = cpus.available().count, 0 if on_cpu else devices.gpus()
    gpus = study.ray.get("gpus_per_trial", min(there, 1))
    if gpus > there:
        why = "the flags say device: cpu" if on_cpu else f"this machine has {there} GPUs"
        raise UsageError(f"{place}: gpus_per_trial: {gpus}: {why}")
    places = 0 if not gpus else there * int(1 / gpus) if gpus < 1 else there // int(gpus)
    each = study.ray.get("cpus_per_trial", max(cores // places, 1) if places else 1)
    if each > cores:
        raise UsageError(f"{place}: cpus_per_trial: {each}: this machine has {cores}")
    at_once = max(min(cores // each, places or cores, len(runs)), 1)
    threads = min(each, int(os.environ.get(cpus.THREADS) or cores))
    return Shares(each, gpus, at_once, threads, cores, there)


class Search:
    """What both threads know.

    Attributes:
        notes: of Ray's thread. halted: no trial is to begin any more. failed: what Ray's thread has ended with.
    """

    def __init__(self, study: Study, runs: Sequence[Run]) -> None:
        self.study, self.runs = study, {run.name: run for run in runs}
        self.notes: Notes = queue.SimpleQueue()
        self.halted = threading.Event()
        self.failed: BaseException | None = None

    def stop(self, name: str, epoch: int, accuracy: float) -> None:
        """ASHA does not go on with a trial."""
        from skeleton_lab.sweep.trials import STOPPED

        run, why = self.runs[name], f"by ASHA after epoch {epoch}, validation {100 * accuracy:.2f}"
        state.note(state.note_file(self.study, run), run.settings, None, why)
        self.notes.put((STOPPED, name, 0))


def run_all(study: Study, found: Sequence[Run], to_do: Sequence[Run], told: Told, tick: Callable[[], None]) -> int:
    """Train what is to do as far as ASHA lets it; returns the number of the signal that ended it, or 0.

    A signal has the trainings save; a second one makes them stop where they are.

    Args:
        found: all runs of the study, those to do among them. told, tick: as in ``pool.run_all``.

    Raises:
        UsageError: Ray is not installed, or a trial needs more than there is.
        LabError: Ray cannot be started, or has broken down.
    """
    share, search = shares(study, to_do), Search(study, found)
    with _by_itself(study.out / state.LOGS / LOG), Stop() as stop:
        optional("ray.tune", "Ray Tune", "tune", f"{study.path}: engine: ray")
        stop.patient = True
        _until_free(to_do, tick, stop)
        asha = _asha(search, _left(study, to_do))
        _tell(search, told, {})
        left = _left(study, to_do)
        if left and not stop.signum:
            _watched(search, lambda: _work(search, asha, left, share), stop, told, tick)
        _until_free(to_do, tick)  # those that ASHA has stopped last
    if search.failed is not None and not stop.signum:
        log = study.out / state.LOGS / LOG
        raise LabError(f"{study.path}: engine: ray: {one_line(search.failed)[-300:]}; see {log}") from search.failed
    return stop.signum


@contextlib.contextmanager
def _by_itself(log: Path) -> Iterator[None]:
    """Ray with its own words in a file, and without ours: what it is told by the environment is for a while only."""
    logger, before = logging.getLogger("ray"), dict(os.environ)
    log.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    os.environ.update(SETTINGS, RAY_AUTH_TOKEN=secrets.token_hex(32))
    with contextlib.suppress(ImportError):
        import ray  # noqa: F401  (it sets up a handler that writes to the terminal)
    handlers, logger.handlers = logger.handlers, [handler]
    try:
        yield
    finally:
        logger.handlers = handlers
        handler.close()
        os.environ.clear()
        os.environ.update(before)


def _until_free(runs: Sequence[Run], tick: Callable[[], None], stop: Stop | None = None) -> None:
    """Wait for trainings that are still saving, as those that a killed sweep has left behind."""
    while any(locks.held(run.folder / work_dir.LOCK) for run in runs) and not (stop and stop.signum):
        tick()
        time.sleep(PAUSE)


def _left(study: Study, runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if state.of(study, run).to_do]


def _asha(search: Search, to_do: Sequence[Run]) -> Halving:
    """ASHA, which hears what all trials have been so far.

    Those that are to do have passed all comparisons but perhaps the last one: the sweep may have been killed before it.
    """
    from skeleton_lab.sweep.trials import Halving

    told = search.study.ray
    grace, reduction = told.get("grace_epochs", GRACE), told.get("reduction", REDUCTION)
    made = Halving(next(iter(search.runs.values())).epochs, grace, reduction, search.stop, search.halted)
    histories = {run.name: sorted(state.validated(run.folder).items()) for run in search.runs.values()}
    names = {run.name for run in to_do}
    for name, history in histories.items():
        made.remember(name, history[:-1] if name in names else history)
    for run in to_do:
        for epoch, accuracy in histories[run.name][-1:]:
            if not made.goes_on(run.name, epoch, accuracy) and epoch < run.epochs:
                search.stop(run.name, epoch, accuracy)
    return made


def _watched(search: Search, work: Callable[[], None], stop: Stop, told: Told, tick: Callable[[], None]) -> None:
    """Let Ray work in a thread, tell what it notes, pass a signal on to the trainings."""

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            search.failed = error

    thread = threading.Thread(target=guarded, name="ray", daemon=True)
    thread.start()
    trainings: dict[str, int] = {}
    saving: set[int] = set()
    try:
        while thread.is_alive():
            _tell(search, told, trainings)
            if stop.signum:
                search.halted.set()
                _signal(set(trainings.values()) - saving, signal.SIGUSR1)
                saving |= set(trainings.values())
            tick()
            time.sleep(PAUSE)
    finally:  # a second signal, or an error: none is left behind
        search.halted.set()
        if thread.is_alive():
            _signal(trainings.values(), signal.SIGTERM)
        thread.join()
        _tell(search, told, trainings)


def _tell(search: Search, told: Told, trainings: dict[str, int]) -> None:
    """Pass on what has been noted; ``trainings``: run -> number of its process, of those at work."""
    from skeleton_lab.sweep.trials import BEGUN, LOST

    while not search.notes.empty():
        what, name, number = search.notes.get()
        run = search.runs[name]
        if what == BEGUN:
            trainings[name] = number
            told(run, State(state.RUNNING))
            continue
        trainings.pop(name, None)
        now = state.of(search.study, run)
        told(run, replace(now, kind=state.INTERRUPTED, why=f"Ray has lost it: {LOG}") if what == LOST else now)


def _signal(numbers: Iterable[int], signum: int) -> None:
    for number in numbers:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(number, signum)


def _work(search: Search, asha: Halving, runs: Sequence[Run], share: Shares) -> None:
    """In Ray's thread: start Ray, let it run the trials, end it."""
    import ray
    from ray import tune

    from skeleton_lab.sweep.trials import NAME, TOLD, Trial, Watch

    signal.pthread_sigmask(
        signal.SIG_BLOCK, TERMINAL
    )  # for this thread and all that it starts, which must outlive them
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir=_short(tempfile.gettempdir())))
    try:
        ray.init(
            address="local", num_cpus=share.all_cpus, num_gpus=share.all_gpus, include_dashboard=False,
            object_store_memory=OBJECTS, log_to_driver=False, logging_level=logging.INFO, _temp_dir=str(folder),
            _node_ip_address="127.0.0.1",
        )  # fmt: skip
        tune.run(
            Trial, config={NAME: tune.grid_search([run.name for run in runs]), TOLD: _told(search.study, runs, share)},
            resources_per_trial={"cpu": share.cpus, "gpu": share.gpus}, scheduler=asha, callbacks=[Watch(search.notes)],
            verbose=0, reuse_actors=True, raise_on_failed_trial=False, storage_path=str(folder / "tune"), name="search",
            trial_dirname_creator=lambda trial: trial.trial_id,
        )  # fmt: skip
    finally:
        processes = psutil.Process().children(recursive=True)
        ray.shutdown()
        psutil.wait_procs(processes, timeout=AFTERMATH)
        shutil.rmtree(folder, ignore_errors=True)


def _short(folder: str) -> str:
    """Sockets lie below, whose paths may have some 100 bytes."""
    return folder if len(os.fsencode(folder)) <= LONGEST else "/tmp"


def _told(study: Study, runs: Sequence[Run], share: Shares) -> str:
    """What the trials' processes have to know."""
    device = ["--device", *map(str, range(max(int(share.gpus), 1)))] if share.gpus else []
    return json.dumps({
        run.name: {
            "argv": child.command([*run.command, *device]), "environment": {cpus.THREADS: str(share.threads)},
            "log": str(state.log_file(study, run).absolute()), "note": str(state.note_file(study, run).absolute()),
            "settings": run.settings, "folder": str(run.folder.absolute()), "cwd": str(Path.cwd()),
            "epochs": run.epochs, "done": max(state.validated(run.folder), default=0),
        }
        for run in runs
    })  # fmt: skip
