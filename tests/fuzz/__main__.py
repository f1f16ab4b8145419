"""The program: inputs in worker processes, so that a crash or a hang of one is a finding and not the end."""

from __future__ import annotations

import collections
import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from skeleton_lab.errors import FAILURE, LabError, guarded
from skeleton_lab.utils.cli import Parser
from skeleton_lab.utils.progress import clip_bar
from tests.fuzz.readers import GROUPS, content, readers

SLOW = 2.0  # seconds of computing, however busy the machine is: a hang
STUCK = 60.0  # seconds without a word from a worker, which waits or does not answer to signals: it is ended
GROWTH = 300 << 20  # bytes of memory that an input may take
CEILING = 12 << 30  # bytes of address space of a worker: protects the machine
FINE = ("read", "refused")
FAULTS = ("exception", "long message", "hang", "memory", "crash")
SHOWN = 20


class Slow(BaseException):
    """Not an ``Exception``: no reader may catch it."""


def attempt(number: int, seed: int, folder: Path, group: str = "files") -> tuple[str, str]:
    """What became of an input, and about which exception."""
    reader, data = content(number, seed, group)
    place = folder / str(number)
    place.mkdir()
    before = _memory("VmRSS:")
    _reset_peak()
    signal.setitimer(signal.ITIMER_PROF, SLOW)
    try:
        reader.use(place, data)
        outcome = "read", ""
    except LabError as error:
        fits = str(error) and len(str(error)) < 2000
        outcome = ("refused", "") if fits else ("long message", f"{len(str(error))} characters")
    except Slow:
        outcome = "hang", f"more than {SLOW:g} s"
    except BaseException as error:
        at = error.__traceback__
        while at.tb_next is not None:
            at = at.tb_next
        outcome = (
            "exception",
            f"{type(error).__name__} at {at.tb_frame.f_code.co_filename}:{at.tb_lineno}: {error}"[:300],
        )
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        shutil.rmtree(place, ignore_errors=True)
    growth = _memory("VmHWM:") - before
    return outcome if growth <= GROWTH else ("memory", f"{growth >> 20} MB more")


def _reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # then the peak is that of all inputs so far: a larger one is still noticed


def _memory(key: str) -> int:
    """Bytes, by /proc."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) << 10
    return 0


def work(first: int, step: int, stop: int, seed: int, group: str = "files") -> None:
    """Inputs ``first``, ``first + step`` ... below ``stop``; one line of JSON on stdout for each."""
    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (CEILING, CEILING))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def slow(*_) -> None:
        raise Slow

    signal.signal(signal.SIGPROF, slow)
    readers(group)
    told, sys.stdout = sys.stdout, sys.stderr  # what a program prints is none of our lines
    base = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=base) as name:
        for count, number in enumerate(range(first, stop, step)):
            if count % 50 == 0:
                cache = Path(name, f"cache{count}")
                _fresh_cache(cache, Path(name, f"cache{count - 50}"))
            found = [number, content_name(number, group), *attempt(number, seed, Path(name), group)]
            print(json.dumps(found), file=told, flush=True)


def _fresh_cache(cache: Path, old: Path) -> None:
    shutil.rmtree(old, ignore_errors=True)
    cache.mkdir()
    os.environ["SKELETON_LAB_CACHE"] = str(cache)


def content_name(number: int, group: str = "files") -> str:
    known = readers(group)
    return known[number % len(known)][0].name


def results(inputs: int, seed: int, first: int, step: int, group: str = "files") -> Iterator[tuple[int, str, str, str]]:
    """What one worker after the other says; one that dies or is stuck has a finding, the next goes on behind it."""
    at = first
    while at < inputs:
        which = [str(number) for number in (at, step, inputs, seed)]
        command = [sys.executable, "-m", "tests.fuzz", "--kinds", group, "--work", *which]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        watch = _Watch(run)
        for line in run.stdout:
            watch.seen()
            number, name, outcome, about = json.loads(line)
            at = number + step
            yield number, name, outcome, about
        run.wait()
        stuck = watch.end()
        if at < inputs:
            about = f"nothing for {STUCK:g} s" if stuck else f"the process ended with code {run.returncode}"
            yield at, content_name(at, group), "hang" if stuck else "crash", about
            at += step


class _Watch:
    """Ends a process that has said nothing for ``STUCK`` seconds."""

    def __init__(self, run: subprocess.Popen):
        self._run, self._last, self._stuck = run, time.monotonic() + STUCK, False  # the start takes longer
        self._over = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def seen(self) -> None:
        self._last = time.monotonic()

    def end(self) -> bool:
        """Whether it had to be ended."""
        self._over.set()
        return self._stuck

    def _look(self) -> None:
        while not self._over.wait(1):
            if time.monotonic() - self._last > STUCK:
                self._stuck = True
                self._run.kill()
                return


class Tally:
    """Outcomes by reader, and the first findings."""

    def __init__(self) -> None:
        self.counts: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
        self.findings: list[tuple[int, str, str, str]] = []

    def add(self, number: int, name: str, outcome: str, about: str) -> None:
        self.counts[name][outcome] += 1
        if outcome not in FINE:
            self.findings.append((number, name, outcome, about))

    def text(self) -> str:
        columns = ("inputs", *FINE, *FAULTS)
        lines = [f"{'reader':<18}" + "".join(f"{column:>14}" for column in columns)]
        total = collections.Counter()
        for name, counts in self.counts.items():
            lines.append(self._row(name, counts))
            total.update(counts)
        return "\n".join([*lines, self._row("all", total)])

    @staticmethod
    def _row(name: str, counts: collections.Counter) -> str:
        return f"{name:<18}" + "".join(
            f"{n:>14}" for n in (counts.total(), *(counts[kind] for kind in (*FINE, *FAULTS)))
        )


def run(inputs: int, seed: int, jobs: int, show: bool, group: str = "files") -> Tally:
    """All inputs in ``jobs`` processes."""
    tally, lock = Tally(), threading.Lock()
    with clip_bar(inputs, "trying", show=show) as bar:
        bar.unit = " inputs"

        def follow(first: int) -> None:
            for found in results(inputs, seed, first, jobs, group):
                with lock:
                    tally.add(*found)
                    bar.update()

        with ThreadPoolExecutor(jobs) as threads:
            for following in [threads.submit(follow, first) for first in range(jobs)]:
                following.result()  # raises what went wrong in it
    tally.findings.sort()
    return tally


def _parser() -> Parser:
    made = Parser(prog="python -m tests.fuzz", description="Damaged input for every reader and program of the lab.")
    made.add_argument("--inputs", type=int, default=100_000, metavar="N", help="default: 100000")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--kinds", choices=(*GROUPS, "all"), default="all",
                      help="files: data sets and their labels; programs: configurations, flags, key points, scores, "
                      "weights, last.ckpt (default: %(default)s)")  # fmt: skip
    made.add_argument("--jobs", type=int, default=2, metavar="N", help="worker processes; default: 2")
    made.add_argument(
        "--only", type=int, metavar="NUMBER", help="write this input to a file of that name, read nothing"
    )
    made.add_argument("--quiet", action="store_true", help="no progress bar")
    made.add_argument("--work", type=int, nargs=4, help="what the worker processes are started with")
    return made


def program(argv: Sequence[str] | None) -> int:
    options = _parser().parse_args(argv)
    if options.work:
        first, step, stop, seed = options.work
        work(first, step, stop, seed, options.kinds)
        return 0
    if options.only is not None:
        reader, data = content(options.only, options.seed, options.kinds)
        path = Path(f"input-{options.only}")
        path.write_bytes(data)
        print(f"{path}: {len(data)} bytes for {reader.name}")
        return 0
    begun = time.perf_counter()
    tally = run(options.inputs, options.seed, options.jobs, not options.quiet, options.kinds)
    seconds = time.perf_counter() - begun
    print(tally.text())
    for number, name, outcome, about in tally.findings[:SHOWN]:
        print(f"{outcome}: input {number} ({name}): {about}")
    if len(tally.findings) > SHOWN:
        print(f"... and {len(tally.findings) - SHOWN} more findings")
    print(f"{options.inputs} inputs in {seconds:.0f} s, {len(tally.findings)} findings")
    return FAILURE if tally.findings else 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; exit code 1: a reader failed."""
    return guarded(lambda: program(argv))


if __name__ == "__main__":
    sys.exit(main())
