"""How many processors this process may use, and how its threads wait for one another.

A host's count is the wrong answer where processors are shared out: by affinity (``taskset``, ``docker --cpuset-cpus``,
Slurm) or by a quota of processor time (``docker --cpus``, Kubernetes' limits). More threads than a quota pays for all
stop together until its next period begins. Everything that would ask ``os.cpu_count()`` asks here.

``skeleton_lab`` calls ``prepare`` before PyTorch is loaded, whose OpenMP reads its environment once; so there is no
torch in this file.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from skeleton_lab.utils.cgroups import ROOT, groups

THREADS = "OMP_NUM_THREADS"
# Networks of this kind are thousands of short parallel regions a step. Between two of them a thread of GNU's OpenMP,
# which PyTorch's wheels bring, turns in a loop for milliseconds (300,000 rounds), and takes the processor from the
# thread that it waits for as soon as others want one too. Sleeping at once costs what a second thread gains; a short
# turn does not. (python -m benchmarks.threads)
PATIENCE = {"GOMP_SPINCOUNT": "10000"}
OWN_WORD = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")  # whoever set one of them knows better


@dataclass(frozen=True)
class Processors:
    """What this process may use.

    Attributes:
        count: processors, a quota's rounded up; at least 1.
        host: those of the machine.
        why: what makes ``count`` smaller than ``host``; empty where nothing does.
    """

    count: int
    host: int
    why: str = ""


def available(root: Path = ROOT) -> Processors:
    """The smallest of the host's processors, the affinity of this process and the quotas of its control groups.

    Args:
        root: where ``proc`` and ``sys`` are looked for; tests have a tree of their own.
    """
    host = os.cpu_count() or 1
    count, why = host, ""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else host  # not on macOS
    if allowed < count:
        count, why = allowed, "the affinity of this process"
    quota = cgroup_quota(root)
    if quota is not None and math.ceil(quota) < count:
        count, why = max(math.ceil(quota), 1), f"a control group's quota of {quota:g} CPUs"
    return Processors(count, host, why)


def cgroup_quota(root: Path = ROOT) -> float | None:
    """Processors' worth of time that the control groups of this process get: the smallest along the path, or None."""
    quotas = [quota for group in groups("cpu", root) if (quota := _quota_of(group)) is not None]
    return min(quotas, default=None)


def _quota_of(group: Path) -> float | None:
    """Of one group: ``cpu.max`` of version 2 ("150000 100000", "max 100000"), or version 1's two files."""
    try:
        if (file := group / "cpu.max").is_file():
            quota, period = file.read_text().split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        share = int(quota) / int(period)  # "max" is no number, and without a quota version 1 says -1
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return share if share > 0 else None


def threads(now: int, asked: int | None = None, processes: int = 1, root: Path = ROOT) -> tuple[int, str]:
    """How many threads each of ``processes`` gets, and why, if that is not the host's count.

    What the user says wins: ``asked``, then OMP_NUM_THREADS, then a smaller number that was set before.

    Args:
        now: what PyTorch would take by itself; it knows OMP_NUM_THREADS.
        asked: ``--threads``, or None.
    """
    found = available(root)
    share = max(found.count // processes, 1)
    own = os.environ.get(THREADS)
    if asked:
        count, why = asked, "--threads"
    elif own and own != _set_here:
        count, why = now, f"{THREADS}={own}"
    elif now < share:
        count, why = now, "set before this run"
    else:
        count, why = share, " and ".join(filter(None, (found.why, f"{processes} processes" if processes > 1 else "")))
    return count, "" if count == found.host else f"{why}; the machine has {found.host} CPUs"


_set_here: str | None = None  # what ``prepare`` gave OMP_NUM_THREADS: not the user's word


def prepare() -> None:
    """Tell OpenMP, before a library loads it, how many threads there may be and that waiting threads soon sleep.

    What the user's environment says about either stays. Processes that are started from here inherit it.
    """
    global _set_here
    if not any(name in os.environ for name in OWN_WORD):
        os.environ.update(PATIENCE)
    found = available()
    if found.why and THREADS not in os.environ:
        _set_here = os.environ[THREADS] = str(found.count)


def share_out(count: int) -> None:
    """Processes that are started from now on get ``count`` threads each, unless the user says how many."""
    global _set_here
    if os.environ.get(THREADS) == _set_here:
        _set_here = os.environ[THREADS] = str(count)
