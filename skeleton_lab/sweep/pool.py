"""Runs on this machine: one after the other, or as many at once as there are places (GPUs, or shares of the CPU)."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from tqdm import tqdm

from skeleton_lab.engine.signals import Stop
from skeleton_lab.errors import UsageError
from skeleton_lab.sweep import child, forecast, state
from skeleton_lab.sweep.child import Child
from skeleton_lab.sweep.runs import Run
from skeleton_lab.sweep.state import State
from skeleton_lab.sweep.study import PLAN, Study
from skeleton_lab.utils import cpus, devices

PAUSE = 0.2  # seconds between looks at the children
GPUS = "CUDA_VISIBLE_DEVICES"
Place = Mapping[str, str]  # what the environment of a run has besides
Told = Callable[[Run, State], None]


def places(study: Study, runs: Sequence[Run]) -> list[Place]:
    """Where runs go: serial one place, with the machine as it is; a pool one for each GPU, else one for each core.

    With ``jobs`` there are so many, which share GPUs and cores evenly. Who names devices in the flags shares them out:
    then ``jobs`` has to say how many runs there are at once.

    Raises:
        UsageError: a pool whose runs name GPUs, and no jobs.
    """
    if study.engine == "serial":
        return [{}]
    jobs = study.jobs
    named = [run for run in runs if "device" in run.flags and not on_cpu(run)]
    if named and not isinstance(jobs, int):
        raise UsageError(
            f"{study.path}: flags: device: {named[0].flags['device']}: a pool gives each run a GPU of its own; "
            "leave device out, or say how many runs there are at once: jobs: 1"
        )
    if named:
        return [{}] * int(jobs or 1)
    count = 0 if all(on_cpu(run) for run in runs) else devices.gpus()
    if jobs == PLAN:
        jobs = count * forecast.fitting(runs) if count else None
    cores = cpus.available().count
    places = min(int(jobs or count or cores), max(len(runs), 1))
    threads = min(max(cores // places, 1), int(os.environ.get(cpus.THREADS) or cores))
    return [{cpus.THREADS: str(threads)} | ({GPUS: _visible(n % count)} if count else {}) for n in range(places)]


def on_cpu(run: Run) -> bool:
    """Whether the study says so."""
    device = run.flags.get("device")
    return device in ("cpu", -1) or run.flags.get("use_gpu") is False


def _visible(index: int) -> str:
    """The GPU as the system counts it, where this process sees some of them only."""
    seen = [word for word in os.environ.get(GPUS, "").split(",") if word]
    return seen[index] if index < len(seen) else str(index)


def run_all(study: Study, runs: Sequence[Run], where: Sequence[Place], told: Told, tick: Callable[[], None]) -> int:
    """Run what is to do; returns the number of the signal that ended it, or 0.

    A run whose folder another process is at work in (what a killed sweep left behind, which is saving) is waited for.
    The first signal is passed on to all children, which save; a second one makes them stop where they are.

    Args:
        told: gets each run that has begun or ended; tick: is called between looks at the children.
    """
    waiting, free = list(runs), list(range(len(where)))
    active: dict[int, tuple[Run, Child]] = {}
    with Stop() as stop:
        stop.patient = True
        try:
            while (waiting and not stop.signum) or active:
                for place, (run, process) in list(active.items()):
                    if (code := process.poll()) is not None:
                        _note(study, run, code)
                        told(run, state.of(study, run))
                        del active[place]
                        free.append(place)
                while free and not stop.signum and (fresh := _next(study, waiting)) is not None:
                    place = free.pop(0)
                    _note(study, fresh, None)
                    active[place] = fresh, _start(study, fresh, where[place])
                    told(fresh, State(state.RUNNING))
                tick()
                if stop.signum:
                    _end(study, active, told, stop.signum)
                    break
                time.sleep(PAUSE)
        finally:  # a second signal, or an error: none is left behind
            for _, process in active.values():
                process.tell(signal.SIGTERM)
            for _, process in active.values():
                process.wait()
    return stop.signum


def _note(study: Study, run: Run, code: int | None) -> None:
    state.note(state.note_file(study, run), run.settings, code)


def _start(study: Study, run: Run, place: Place) -> Child:
    return Child(child.command(_words(run, place)), state.log_file(study, run), place)


def _words(run: Run, place: Place) -> list[str]:
    """A GPU that is the only one to be seen is the first; published configurations name others."""
    return [*run.command, *(["--device", "0"] if GPUS in place else [])]


def _next(study: Study, waiting: list[Run]) -> Run | None:
    """The first run that nobody is at work on, out of the list; those finished meanwhile are dropped."""
    for run in list(waiting):
        now = state.of(study, run)
        if now.to_do:
            waiting.remove(run)
            return run
        if now.kind != state.RUNNING:
            waiting.remove(run)
    return None


def _end(study: Study, active: dict[int, tuple[Run, Child]], told: Told, signum: int) -> None:
    """Let all children save and wait for them, which may take a while: that is said."""
    for _, process in active.values():
        process.tell(signal.SIGTERM)
    if names := ", ".join(run.name for run, _ in active.values()):
        with contextlib.suppress(OSError):  # the terminal may be what has gone
            name = signal.Signals(signum).name
            tqdm.write(f"{name}: {names}: to save and end; a second signal stops at once", file=sys.stderr)
    for place, (run, process) in list(active.items()):
        _note(study, run, process.wait())
        told(run, state.of(study, run))
        del active[place]
