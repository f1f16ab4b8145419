"""Runs as jobs of a cluster, through submitit: an array of SLURM jobs, or jobs on this machine (``cluster: local``).

Some time before its limit, or when it is preempted, a job gets a signal. It has its training save and asks to be put
back into the queue; there it begins again and finds ``last.ckpt``. The sweep only watches: it may end and be started
again while jobs wait or run.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from skeleton_lab.engine.signals import Stop
from skeleton_lab.errors import UsageError, one_line
from skeleton_lab.sweep import child, state
from skeleton_lab.sweep.child import Child
from skeleton_lab.sweep.pool import PAUSE, Told
from skeleton_lab.sweep.runs import Run
from skeleton_lab.sweep.state import State
from skeleton_lab.sweep.study import Study
from skeleton_lab.utils import json_lines
from skeleton_lab.utils.importing import optional
from skeleton_lab.utils.results import write_json

JOBS = "jobs"  # submitit's folder below the study's, with its logs
NUMBERS = "jobs.json"
LOOK = 5.0  # seconds between questions to SLURM
LOGGING = "SUBMITIT_LOG_LEVEL"
REQUEUES = 100
MINUTES = 24 * 60
# Keys of ``slurm:`` that submitit calls otherwise
OWN = ("partition", "array_parallelism", "account", "qos", "constraint", "setup", "signal_delay_s")
CALLED = {name: f"slurm_{name}" for name in OWN}


class Job:
    """One run, as submitit takes it along: what it starts, and where it notes the end."""

    def __init__(self, argv: Sequence[str], log: Path, note: Path, settings: Mapping[str, Any]) -> None:
        self.argv, self.log, self.note, self.settings = tuple(argv), log.absolute(), note.absolute(), dict(settings)
        self._child: Child | None = None

    def __call__(self) -> int:
        """Run; the exit code. SIGTERM, of a job that is cancelled or put back, has the training save."""
        self._child = Child(self.argv, self.log, {})
        signal.signal(signal.SIGTERM, lambda *_: self._save())
        code = self._child.wait()
        state.note(self.note, self.settings, code)
        return code

    def checkpoint(self) -> Any:
        """Submitit calls this at its signal: the job that goes on from what is saved now."""
        from submitit.helpers import DelayedSubmission

        self._save()
        if self._child is not None:
            self._child.settle()
        return DelayedSubmission(Job(self.argv, self.log, self.note, self.settings))

    def _save(self) -> None:
        """The cluster may have sent the training a signal as well: SIGUSR1 does not hurry one that is saving."""
        if self._child is not None:
            self._child.tell(signal.SIGUSR1)


def executor(study: Study) -> Any:
    """Submitit's, with the parameters of ``slurm:``.

    Raises:
        UsageError: submitit is not installed, or there is no SLURM here.
    """
    submitit = _submitit(study.path)
    told = dict(study.slurm)
    cluster, requeues = told.pop("cluster", "slurm"), told.pop("requeues", REQUEUES)
    own = {f"{cluster}_max_num_timeout": requeues}
    try:
        made = submitit.AutoExecutor(folder=study.out.absolute() / JOBS, cluster=cluster, **own)
    except RuntimeError as error:
        raise UsageError(
            f"{study.path}: engine: submitit: {one_line(error)}; slurm: {{cluster: local}} runs jobs on this machine"
        ) from None
    given = {"timeout_min": MINUTES} | {CALLED.get(name, name): value for name, value in told.items()}
    made.update_parameters(name="skeleton-lab", **given)
    return made


def _submitit(path: Path) -> Any:
    """Its import sets up logging unless told not to, and logging then closes every handler of this process.

    One of absl's, which comes with TensorBoard, takes the stream that it writes to along.
    """
    own = os.environ.get(LOGGING)
    os.environ[LOGGING] = "NOCONFIG"
    try:
        return optional("submitit", "submitit", "slurm", f"{path}: engine: submitit")
    finally:  # jobs inherit the environment, and their logs are wanted
        del os.environ[LOGGING]
        if own is not None:
            os.environ[LOGGING] = own


def run_all(study: Study, runs: Sequence[Run], told: Told, tick: Callable[[], None]) -> int:
    """Submit what is neither done nor in the queue, watch all of it; the signal that ended the watching, or 0.

    A run whose folder another process is at work in (what a job that was killed left behind) is waited for.
    """
    made = executor(study)
    numbers = _numbers(study)
    local = study.slurm.get("cluster") == "local"
    left, jobs = {run.name: run for run in runs}, dict[str, Any]()
    tried = {name for name in left if numbers.get(name) in _queued(numbers.values(), local)}
    for run in runs:
        told(run, State(state.RUNNING, why="in the queue"))
    with Stop() as stop:
        stop.patient = True
        while left and not stop.signum:
            queued = _queued((numbers[name] for name in left if name in tried), local)
            for job in jobs.values() if local else ():
                job.done()  # reaps it: a process that has ended is not at work
            now = {name: state.of(study, run) for name, run in left.items() if numbers.get(name) not in queued}
            fresh = [left[name] for name, each in now.items() if each.to_do and name not in tried]
            if fresh:
                jobs |= _submit(study, made, fresh)
                numbers |= {run.name: jobs[run.name].job_id for run in fresh}
                write_json(study.out / NUMBERS, numbers)
                tried |= {run.name for run in fresh}
            for name, each in now.items():
                if left[name] not in fresh and each.kind != state.RUNNING:
                    told(left.pop(name), each)
            tick()
            _sleep(PAUSE if local else LOOK, stop)
    return stop.signum


def _submit(study: Study, made: Any, runs: Sequence[Run]) -> dict[str, Any]:
    """One array of all runs. Their notes are there before it starts: a job writes its own when it ends.

    Raises:
        UsageError: the cluster refuses them.
    """
    if not runs:
        return {}
    for run in runs:
        state.note(state.note_file(study, run), run.settings, None)
    jobs = {}
    try:
        with made.batch():
            for run in runs:
                files = state.log_file(study, run), state.note_file(study, run)
                jobs[run.name] = made.submit(Job(child.command(_words(study, run)), *files, run.settings))
    except (RuntimeError, subprocess.SubprocessError) as error:  # submitit's own, with what sbatch said at the end
        raise UsageError(f"{study.path}: slurm: the jobs were not taken: {one_line(error)[-300:]}") from None
    return jobs


def _words(study: Study, run: Run) -> list[str]:
    """A job counts the GPUs that it has from 0; published configurations name others."""
    count = study.slurm.get("gpus_per_node", 0)
    return [*run.command, *(["--device", *map(str, range(count))] if count and "device" not in run.flags else [])]


def queued(study: Study) -> set[str]:
    """The names of the runs whose jobs wait or run; none where there is no SLURM to be asked."""
    numbers = _numbers(study)
    with contextlib.suppress(OSError):
        at_work = _queued(numbers.values(), study.slurm.get("cluster") == "local")
        return {name for name, number in numbers.items() if number in at_work}
    return set()


def _numbers(study: Study) -> dict[str, str]:
    try:
        content = json_lines.parsed((study.out / NUMBERS).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in content.items()} if isinstance(content, dict) else {}


def _queued(numbers: Any, local: bool) -> set[str]:
    """Which of these jobs wait or run."""
    asked = set(numbers)
    if not asked:
        return set()
    if local:
        return {number for number in asked if _alive(number)}
    found = subprocess.run(
        ["squeue", "--noheader", "--array", "--format=%i", "--user", getpass.getuser()],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    if found.returncode:
        return asked  # the controller does not answer for the moment
    return asked & set(found.stdout.split())


def _alive(number: str) -> bool:
    """Whether a process of submitit's local jobs has this number."""
    with contextlib.suppress(OSError, ValueError, OverflowError):
        os.kill(int(number), 0)
        told = Path(f"/proc/{number}/cmdline")
        return not told.exists() or b"submitit" in told.read_bytes()
    return False


def _sleep(seconds: float, stop: Stop) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not stop.signum:
        time.sleep(min(PAUSE, seconds))
